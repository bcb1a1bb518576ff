// The visitor's chat without its looks: ties the store to the connection, the browser's storage and the clock.

import type { Hello, ServerFrame } from "../../shared/frames/visitor";
import { UNREAD, WAKE } from "../options";
import { lengthOf, wellFormed } from "./characters";
import { connect, nothing, type Clock, type Connection, type Dial } from "./connection";
import type { Keep } from "./keep";
import { firstOf, loadOutbox, saveOutbox, type DetailsItem } from "./outbox";
import { NOTHING, filledIn, reduce, unread, wake, type Action, type Chat, type Field } from "./store";

/** Everything outside, so that tests can stand in for it. */
export interface World {
  dial: Dial;
  clock: Clock;
  /** 0 <= n < 1 */
  random: () => number;
  newId: () => string;
  keep: Keep;
  /** What the browser keeps for this server's line lies under names that begin with this. */
  key: string;
  /** Who looks, and at what: the hello without token and since. */
  source: () => Hello;
}

export interface ChatDesk extends Connection {
  chat: () => Chat;
  onChange: (run: () => void) => void;
  /** Tell *run* of everything that happens, before the chat is changed by it. */
  listen: (run: (action: Action) => void) => void;
  say: (text: string) => void;
  /** Fill in the form; with nothing at all: pass it over. */
  fillIn: (fields: Partial<Record<Field, string>>) => void;
  /** Press the button *value* of the newest message. Whether it was heard, the answer tells: until then the button stays. */
  press: (value: string) => void;
  retry: (id: string) => void;
  discard: (id: string) => void;
  draft: (text: string) => void;
  older: () => void;
  /** The panel was opened or closed, the page shown or hidden. */
  look: (open: boolean, visible: boolean) => void;
  /** Another tab changed what the browser keeps. */
  changedElsewhere: (change: Pick<StorageEvent, "key" | "newValue">) => void;
}

const SEEN_DELAY_MS = 300;
const ACK_PATIENCE_MS = 20_000;
const TYPING_SHOWN_MS = 6_000;
const TYPING_EVERY_MS = 3_000;

/** Open the chat and connect it. */
export function openChat(world: World): ChatDesk {
  const { clock, keep, key } = world;
  const outboxKeys = `${key}:out:`;
  let open = false;
  /** The token that this connection goes by, and the one that the thread belongs to. */
  let saidToken: string | null = null;
  let ownToken: string | null = null;
  let lastOrder = 0;
  let typedAt = 0;
  let seenSaid = "";
  let tell = nothing;
  let listen: (action: Action) => void = nothing;
  let cancelSeen: (() => void) | null = null;
  let cancelTyping = nothing;
  let cancelHold = nothing;
  let cancelAck = nothing;

  let chat: Chat = {
    ...NOTHING,
    outbox: loadOutbox(keep, outboxKeys),
    read: Number(keep.get(`${key}:read`)) || 0,
    draft: keep.get(`${key}:draft`) ?? "",
  };

  function dispatch(action: Action): void {
    listen(action);
    const before = chat;
    chat = reduce(chat, action);
    if (chat === before) return;
    save(before);
    if (chat.hold !== before.hold) holdFor();
    if (action.t === "heard" && action.frame.t === "typing") showTyping();
    pump();
    planSeen();
    tell();
  }

  function save(before: Chat): void {
    saveOutbox(keep, outboxKeys, before.outbox, chat.outbox);
    if (chat.read !== before.read) keep.set(`${key}:read`, `${chat.read}`);
    if (chat.draft !== before.draft) keep.set(`${key}:draft`, chat.draft || null);
    saveForLoader();
  }

  let savedForLoader = "";
  function saveForLoader(): void {
    // Before the first welcome we do not know whether a session waits: what an earlier page knew stands.
    const earlier = !chat.met && keep.get(key + WAKE) !== null ? "quiet" : null;
    const [reason, count] = [wake(chat, open) ?? earlier, unread(chat)];
    if (savedForLoader === (savedForLoader = `${chat.met} ${reason} ${count}`)) return;
    keep.set(key + WAKE, reason);
    if (chat.met) keep.set(key + UNREAD, count > 0 ? `${count}` : null);
  }

  function holdFor(): void {
    cancelHold();
    if (chat.hold !== null && chat.hold.until < Infinity) {
      cancelHold = clock.after(chat.hold.until - clock.now(), () => dispatch({ t: "released" }));
    }
  }

  function showTyping(): void {
    cancelTyping();
    cancelTyping = clock.after(TYPING_SHOWN_MS, () => dispatch({ t: "typing_over" }));
  }

  /** Send the first of the queue, if nothing is in flight and nothing holds it. */
  function pump(): void {
    const item = firstOf(chat.outbox);
    if (item === undefined || chat.inFlight !== "") return;
    const held = chat.hold !== null && !(chat.hold.until === Infinity && item.t === "details");
    if (held || chat.link !== "online") return;
    const { id } = item;
    // What is ours alone does not go out: JSON has no undefined.
    const frame = { ...item, order: undefined, failed: undefined };
    if (!connection.send(frame)) return;
    dispatch({ t: "sent", id });
    cancelAck();
    // The socket answers pings, yet this was never answered: a new one may do better.
    cancelAck = clock.after(ACK_PATIENCE_MS, () => {
      if (chat.inFlight === id) connection.redial();
    });
  }

  /** Tell what has arrived and what was read, once for a burst. */
  function planSeen(): void {
    if (chat.since === 0 || cancelSeen !== null || seenNow() === seenSaid) return;
    cancelSeen = clock.after(SEEN_DELAY_MS, () => {
      cancelSeen = null;
      const now = seenNow();
      if (now !== seenSaid && connection.send({ t: "seen", upto: chat.since, read: chat.watching })) seenSaid = now;
    });
  }

  function seenNow(): string {
    // Looking away takes nothing back: after `read` there is no news until something else arrives.
    const read = chat.watching || seenSaid === `${chat.since} true`;
    return `${chat.since} ${read}`;
  }

  function hello(): Hello {
    saidToken = keep.get(key);
    // Another visitor's numbers mean nothing to this one.
    if (ownToken !== null && ownToken !== saidToken) dispatch({ t: "forgotten" });
    return { ...world.source(), token: saidToken, since: chat.since };
  }

  function heard(frame: ServerFrame): void {
    if (frame.t === "welcome") {
      const stored = keep.get(key);
      // Two tabs came as strangers at once. One visitor is enough: be the one who was first.
      if (saidToken === null && stored !== null && stored !== frame.token) {
        connection.redial();
        return;
      }
      keep.set(key, frame.token);
      saidToken = ownToken = frame.token;
      seenSaid = "";
      adopt();
    }
    dispatch({ t: "heard", frame, now: clock.now(), chance: world.random() });
  }

  /** Take up what another tab left unsent, be it closed or asleep. The same id twice does no harm. */
  function adopt(): void {
    dispatch({ t: "adopted", items: loadOutbox(keep, outboxKeys) });
  }

  function nextOrder(): number {
    return (lastOrder = Math.max(clock.now(), lastOrder + 1));
  }

  const connection = connect({
    dial: world.dial,
    clock,
    random: world.random,
    hello,
    heard,
    closed(code) {
      // Not the token that another tab has got since.
      if (code === 4401 && keep.get(key) === saidToken) keep.set(key, null);
      dispatch({ t: "closed", code });
      if (code === 4401) dispatch({ t: "forgotten" });
    },
    idle: adopt,
  });

  return {
    chat: () => chat,
    onChange(run) {
      tell = run;
    },
    listen(run) {
      listen = run;
    },
    say(text) {
      const words = text.trim();
      if (words === "") return;
      dispatch({ t: "drafted", text: words });
      if (lengthOf(words) > chat.textMax) return;
      dispatch({ t: "drafted", text: "" });
      typedAt = 0;
      dispatch({ t: "queued", item: { t: "say", id: world.newId(), order: nextOrder(), text: wellFormed(words), page: world.source().page ?? "", failed: "" } });
    },
    fillIn(fields) {
      const item: DetailsItem = { t: "details", id: world.newId(), order: nextOrder(), name: "", email: "", phone: "" };
      for (const [field, value] of Object.entries(fields)) item[field as Field] = wellFormed(value.trim());
      dispatch(filledIn(item).length > 0 ? { t: "queued", item } : { t: "skipped" });
    },
    press(value) {
      connection.send({ t: "press", id: world.newId(), value });
    },
    retry: (id) => dispatch({ t: "retried", id, order: nextOrder() }),
    discard: (id) => dispatch({ t: "withdrawn", id }),
    draft(text) {
      const grows = text.length > chat.draft.length;
      dispatch({ t: "drafted", text });
      if (grows && clock.now() - typedAt >= TYPING_EVERY_MS && connection.send({ t: "typing" })) typedAt = clock.now();
    },
    older() {
      const first = chat.thread[0];
      if (!chat.more || chat.paging || first === undefined) return;
      if (connection.send({ t: "older", before: first.seq })) dispatch({ t: "asked_older" });
    },
    look(opened, visible) {
      open = opened;
      dispatch({ t: "watched", watching: opened && visible });
      saveForLoader();
    },
    changedElsewhere({ key: changed, newValue }) {
      if (changed === `${key}:read`) dispatch({ t: "read_elsewhere", seq: Number(newValue) });
      else if (changed?.startsWith(outboxKeys) && newValue === null) dispatch({ t: "withdrawn", id: changed.slice(outboxKeys.length) });
    },
    ...connection,
  };
}
