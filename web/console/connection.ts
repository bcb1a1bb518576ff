// Between the store and the gateway: says hello, keeps deeds until they are answered, asks for what the screen shows.

import { notify } from "./channels/news";
import type { Box, ConsoleFrame, Do, GatewayFrame, Presence } from "../shared/frames/operator";
import type { KeptSocket, SocketEvents } from "../shared/socket";
import { keepDeeds, keptDeeds, type Shelf } from "./kept";
import { type Deed, type Store, unseenAlerts } from "./store";

export type Dial = (events: SocketEvents<GatewayFrame>) => KeptSocket<ConsoleFrame>;

export interface Surroundings {
  /** Whose login it is; deeds are kept under this id. */
  operator: string;
  shelf: Shelf;
  dial: Dial;
  now(): number;
  newId(): string;
  /** A socket that never opened may mean that the login has ended: a browser does not say. */
  suspectLogin(): void;
}

/** What a deed says beside its verb. */
export type Details = Partial<Pick<Do, "text" | "outcome" | "operator" | "line" | "until" | "ban" | "number" | "how" | "message">> &
  Pick<Deed, "files" | "answers" | "asksPhone">;

export interface Connection {
  deed(session: string, verb: Do["verb"], details?: Details): void;
  pin(session: string, on: boolean): void;
  /** Send a refused deed's words again, as a new deed: the gateway never does one id twice. */
  again(id: string): void;
  discard(id: string): void;
  open(session: string): void;
  leave(): void;
  older(): void;
  list(box: Box, more?: boolean): void;
  presence(state: Presence): void;
  typing(session: string): void;
  /** Show a sentence of our own among the notices. */
  tell(text: string): void;
  /** Show the call of this conversation once it is known; empty: it is shown. */
  called(conversation: string): void;
  /** Take a notice off the screen. */
  dismiss(key: string): void;
  alertsSeen(): void;
  passwordChanged(): void;
  close(): void;
}

/** The gateway tells colleagues for some seconds; more often says nothing new. */
const TYPING_EVERY_MS = 3_000;

export function connect(store: Store, around: Surroundings): Connection {
  /** What has gone out on the present socket; the rest of the waiting deeds goes out when it is live. */
  let sent = new Set<string>();
  let everOpened = false;
  let wanted: Presence | null = null;
  let typedAt = 0;
  let deeds = store.state.deeds;

  const socket = around.dial({
    opened() {
      everOpened = true;
      sent = new Set();
      store.dispatch({ type: "opened" });
      const { at } = store.state;
      socket.send(at === null ? { t: "hello" } : { t: "hello", resume: at });
    },
    received(frame) {
      store.dispatch({ type: "frame", frame, now: around.now() });
      if (frame.t === "updates") for (const { channel } of frame.list) if (channel !== undefined && channel !== "") notify(channel);
      if (store.state.gap) {
        store.dispatch({ type: "link", link: "connecting" });
        socket.restart();
      } else if (frame.t === "snapshot" || frame.t === "resumed") {
        catchUp(frame.t === "snapshot");
      }
    },
    lost(code) {
      if (!everOpened) around.suspectLogin();
      everOpened = false;
      if (code === 4400) store.dispatch({ type: "unreadable", ids: sent });
      const link = code === 4401 ? "logged_out" : code === 4403 ? "forbidden" : "lost";
      store.dispatch({ type: "link", link });
      return link === "lost";
    },
  });

  const unsubscribe = store.subscribe(() => {
    keepDeeds(around.shelf, around.operator, deeds, store.state.deeds);
    deeds = store.state.deeds;
    flush();
  });
  store.dispatch({ type: "remembered", deeds: keptDeeds(around.shelf, around.operator) });

  /** A thread, a list and a presence are said anew on every socket. */
  function catchUp(afresh: boolean): void {
    const { thread, box, me } = store.state;
    if (thread !== null) socket.send({ t: "open", session: thread.session });
    if (box !== "mine") list(box);
    // After a resume our own idea of the presence may be one that the gateway never heard.
    if (wanted !== null && (!afresh || me?.presence !== wanted)) socket.send({ t: "presence", state: wanted });
  }

  function flush(): void {
    if (store.state.link !== "live" || store.state.gap) return;
    for (const deed of deeds) {
      if (deed.state !== "waiting" || sent.has(deed.id)) continue;
      if (!socket.send(frameOf(deed))) return;
      sent.add(deed.id);
    }
  }

  function list(box: Box, more = false): void {
    const after = more ? store.state.paging[box].next : null;
    store.dispatch({ type: "asked_list", box, more: after !== null });
    if (store.state.link === "live") socket.send(after === null ? { t: "list", box } : { t: "list", box, after });
  }

  function deed(session: string, verb: Do["verb"], details: Details = {}): void {
    const said = { text: "", outcome: "", ...details };
    store.dispatch({
      type: "did",
      deed: { id: around.newId(), session, verb, ...said, at: around.now(), state: "waiting", code: "", problem: "" },
    });
  }

  return {
    deed,
    pin(session, on) {
      // It is pinned when the gateway says so, to every screen of ours.
      if (store.state.link === "live") socket.send({ t: "pin", session, on });
    },
    again(id) {
      const old = store.state.deeds.find((one) => one.id === id);
      if (old === undefined) return;
      store.dispatch({ type: "discarded", id });
      deed(old.session, old.verb, detailsOf(old));
    },
    discard(id) {
      store.dispatch({ type: "discarded", id });
    },
    open(session) {
      if (store.state.thread?.session === session && store.state.thread.status !== "failed") return;
      store.dispatch({ type: "opening", session });
      if (store.state.link === "live") socket.send({ t: "open", session });
    },
    leave() {
      if (store.state.thread === null) return;
      store.dispatch({ type: "left" });
      if (store.state.link === "live") socket.send({ t: "leave" });
    },
    older() {
      const { thread, link } = store.state;
      const first = thread?.messages[0];
      if (thread === null || first === undefined || thread.loadingOlder || !thread.more || link !== "live") return;
      store.dispatch({ type: "asked_older" });
      socket.send({ t: "older", session: thread.session, before: first.seq });
    },
    list,
    presence(state) {
      wanted = state;
      if (store.state.me?.presence === state) return;
      store.dispatch({ type: "set_presence", presence: state });
      if (store.state.link === "live") socket.send({ t: "presence", state });
    },
    typing(session) {
      if (store.state.link !== "live" || around.now() - typedAt < TYPING_EVERY_MS) return;
      typedAt = around.now();
      socket.send({ t: "typing", session });
    },
    tell(text) {
      store.dispatch({ type: "told", text });
    },
    called(conversation) {
      store.dispatch({ type: "called", conversation });
    },
    dismiss(key) {
      store.dispatch({ type: "dismissed", key });
    },
    alertsSeen() {
      if (unseenAlerts(store.state) > 0) store.dispatch({ type: "alerts_seen" });
    },
    passwordChanged() {
      store.dispatch({ type: "password_changed" });
    },
    close() {
      unsubscribe();
      socket.close();
    },
  };
}

/** What of a deed its verb has; the rest is left out. */
function detailsOf(deed: Deed): Details {
  const { text, outcome, operator, line, until, ban, number, how, files, answers, asksPhone, message } = deed;
  const details: Details = {};
  if (text !== "") details.text = text;
  if (outcome !== "") details.outcome = outcome;
  if (operator) details.operator = operator;
  if (line) details.line = line;
  if (until) details.until = until;
  if (ban) details.ban = ban;
  if (number) details.number = number;
  if (how) details.how = how;
  if (files && files.length > 0) details.files = files;
  if (answers) details.answers = answers;
  if (asksPhone) details.asksPhone = asksPhone;
  if (message) details.message = message;
  return details;
}

function frameOf(deed: Deed): Do {
  const { files, answers, asksPhone, ...said } = detailsOf(deed);
  const frame: Do = { t: "do", id: deed.id, session: deed.session, verb: deed.verb, ...said };
  if (files) frame.files = files.flatMap((file) => file.id ?? []);
  if (answers?.seq) frame.answers = answers.seq;
  if (asksPhone) frame.asks_phone = true;
  return frame;
}
