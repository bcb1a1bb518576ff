// Between the store and the gateway: says hello, keeps deeds until they are answered, asks for what the screen shows.

import type { Box, ConsoleFrame, Do, GatewayFrame, Presence } from "../shared/frames/operator";
import type { KeptSocket, SocketEvents } from "../shared/socket";
import { keepDeeds, keptDeeds, type Shelf } from "./kept";
import type { Store } from "./store";

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

export interface Connection {
  deed(session: string, verb: Do["verb"], words?: { text?: string; outcome?: string }): void;
  /** Send a refused deed's words again, as a new deed: the gateway never does one id twice. */
  again(id: string): void;
  discard(id: string): void;
  open(session: string): void;
  leave(): void;
  older(): void;
  list(box: Box, more?: boolean): void;
  presence(state: Presence): void;
  typing(session: string): void;
  /** Take a notice off the screen. */
  dismiss(key: string): void;
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
    for (const { id, session, verb, text, outcome, state } of deeds) {
      if (state !== "waiting" || sent.has(id)) continue;
      const frame: Do = { t: "do", id, session, verb };
      if (text !== "") frame.text = text;
      if (outcome !== "") frame.outcome = outcome;
      if (!socket.send(frame)) return;
      sent.add(id);
    }
  }

  function list(box: Box, more = false): void {
    const after = more ? store.state.paging[box].next : null;
    store.dispatch({ type: "asked_list", box, more: after !== null });
    if (store.state.link === "live") socket.send(after === null ? { t: "list", box } : { t: "list", box, after });
  }

  function deed(session: string, verb: Do["verb"], words: { text?: string; outcome?: string } = {}): void {
    store.dispatch({
      type: "did",
      deed: {
        id: around.newId(),
        session,
        verb,
        text: words.text ?? "",
        outcome: words.outcome ?? "",
        at: around.now(),
        state: "waiting",
        code: "",
        problem: "",
      },
    });
  }

  return {
    deed,
    again(id) {
      const old = store.state.deeds.find((one) => one.id === id);
      if (old === undefined) return;
      store.dispatch({ type: "discarded", id });
      deed(old.session, old.verb, { text: old.text, outcome: old.outcome });
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
    dismiss(key) {
      store.dispatch({ type: "dismissed", key });
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
