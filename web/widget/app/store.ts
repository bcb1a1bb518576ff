// Everything the panel shows, as one value, and how frames and deeds change it. Pure: time and chance are arguments.
//
// The thread is what the server has stored, by seq, each once. What it has not acknowledged is in the outbox and is
// shown after the thread. `since` is the highest seq of a welcome, or of what was told to us later: own words do not raise
// it, be they acknowledged here or come from another tab, because an answer with a lower seq may still be on its way.

import type { Hours, Refused, ServerFrame, Shown, Welcome } from "../../shared/frames/visitor";
import { inOrder, type DetailsItem, type Item } from "./outbox";

export type Field = Welcome["ask"][number];
export type Standing = Welcome["state"];
export type Link = "connecting" | "online" | "offline" | "missing";

/** The queue stands still until a moment (epoch milliseconds; Infinity: until the form is filled in). */
export interface Hold {
  code: string;
  until: number;
}

export interface Chat {
  link: Link;
  /** False until the first welcome: what the line wants is not known yet. */
  met: boolean;
  line: string;
  ask: readonly Field[];
  known: readonly Field[];
  required: readonly Field[];
  /** The line is closed, and whoever begins must leave an e-mail or a phone. */
  reach: boolean;
  /** When the line opens, epoch milliseconds; 0: it is open, or nobody knows. */
  opensAt: number;
  textMax: number;
  /** They may ask to be called. */
  callback: boolean;
  thread: readonly Shown[];
  since: number;
  more: boolean;
  /** A page of earlier history is on its way. */
  paging: boolean;
  standing: Standing;
  operator: string;
  /** Who is typing; null: nobody; empty: somebody without a name. */
  typing: string | null;
  outbox: readonly Item[];
  /** Id of the frame whose ack we wait for. */
  inFlight: string;
  hold: Hold | null;
  /** How often in a row the server could not take a message. */
  refusals: number;
  /** Highest seq that was on a screen, in any tab. */
  read: number;
  /** The panel is open on a visible page. */
  watching: boolean;
  draft: string;
  /** The form as the server sent it back, and its words about it. */
  returned: { item: DetailsItem; text: string } | null;
  skipped: boolean;
}

export type Action =
  | { t: "heard"; frame: ServerFrame; now: number; chance: number }
  | { t: "closed"; code: number }
  | { t: "forgotten" }
  | { t: "queued"; item: Item }
  | { t: "adopted"; items: readonly Item[] }
  | { t: "withdrawn"; id: string }
  | { t: "sent"; id: string }
  | { t: "retried"; id: string; order: number }
  | { t: "released" }
  | { t: "asked_older" }
  | { t: "watched"; watching: boolean }
  | { t: "read_elsewhere"; seq: number }
  | { t: "typing_over" }
  | { t: "drafted"; text: string }
  | { t: "skipped" };

export const NOTHING: Chat = {
  link: "connecting",
  met: false,
  line: "",
  ask: [],
  known: [],
  required: [],
  reach: false,
  opensAt: 0,
  textMax: 8_000,
  callback: false,
  thread: [],
  since: 0,
  more: false,
  paging: false,
  standing: "none",
  operator: "",
  typing: null,
  outbox: [],
  inFlight: "",
  hold: null,
  refusals: 0,
  read: 0,
  watching: false,
  draft: "",
  returned: null,
  skipped: false,
};


const SECOND = 1_000;

/** Return *chat* after *action*. */
export function reduce(chat: Chat, action: Action): Chat {
  const next = step(chat, action);
  return next.watching && next.since > next.read ? { ...next, read: next.since } : next;
}

function step(chat: Chat, action: Action): Chat {
  switch (action.t) {
    case "heard":
      return heard(chat, action.frame, action.now, action.chance);
    case "closed":
      return closed(chat, action.code);
    case "forgotten":
      return { ...chat, since: 0, read: 0 };
    case "queued":
      return { ...chat, outbox: inOrder([...chat.outbox, action.item]), ...(action.item.t === "details" && { returned: null }) };
    case "adopted":
      return adopted(chat, action.items);
    case "withdrawn":
      return without(chat, action.id);
    case "sent":
      return { ...chat, inFlight: action.id };
    case "retried":
      return changed(chat, action.id, (item) => ({ ...item, order: action.order, ...(item.t === "say" && { failed: "" }) }));
    case "released":
      return { ...chat, hold: null };
    case "asked_older":
      return { ...chat, paging: true };
    case "watched":
      return { ...chat, watching: action.watching };
    case "read_elsewhere":
      return { ...chat, read: Math.max(chat.read, action.seq) };
    case "typing_over":
      return { ...chat, typing: null };
    case "drafted":
      return { ...chat, draft: action.text };
    case "skipped":
      return { ...chat, skipped: true };
  }
}

function heard(chat: Chat, frame: ServerFrame, now: number, chance: number): Chat {
  switch (frame.t) {
    case "welcome":
      return welcomed(chat, frame);
    case "ack":
      return acknowledged(chat, frame.id, frame.seq, frame.at);
    case "message":
      return { ...shown(chat, [frame.message]), ...(frame.message.who === "me" ? { since: chat.since } : { typing: null }) };
    case "history":
      return { ...chat, thread: merged(chat.thread, frame.messages), more: frame.more, paging: false };
    case "state":
      return { ...chat, standing: frame.state, operator: frame.operator ?? "" };
    case "hours":
      return withHours(chat, frame);
    case "typing":
      return { ...chat, typing: frame.name ?? "" };
    case "refused":
      return refused(chat, frame, now, chance);
    case "promised":
    case "error":
    case "pong":
      return chat;
  }
}

function welcomed(chat: Chat, frame: Welcome): Chat {
  // Without a `since` the server sent the newest page, not what follows ours: it stands for the whole thread.
  const anew = frame.gap || chat.since === 0;
  const resumed = withHours(anew ? { ...chat, thread: [], more: frame.more } : chat, frame);
  return shown(
    {
      ...resumed,
      link: "online",
      met: true,
      line: frame.line,
      known: frame.known,
      required: frame.required,
      textMax: frame.text_max ?? NOTHING.textMax,
      callback: frame.callback ?? false,
      standing: frame.state,
      operator: frame.operator ?? "",
      paging: false,
      inFlight: "",
    },
    frame.history,
  );
}

/** Take in what the line asks for now. What waits for the form asks the server again: another tab may have filled it in meanwhile. */
function withHours(chat: Chat, { ask, reach = false, opens_at: opensAt = 0 }: Welcome | Hours): Chat {
  return { ...chat, ask, reach, opensAt, hold: chat.hold?.until === Infinity ? null : chat.hold };
}

/** Put pushed *messages* into the thread; our own words among them need no ack any more. */
function shown(chat: Chat, messages: readonly Shown[]): Chat {
  const stored = new Set(messages.map(({ id }) => id));
  const outbox = chat.outbox.filter(({ id }) => !stored.has(id));
  return {
    ...chat,
    thread: merged(chat.thread, messages),
    since: messages.reduce((highest, { seq }) => Math.max(highest, seq), chat.since),
    outbox,
    inFlight: stored.has(chat.inFlight) ? "" : chat.inFlight,
  };
}

function acknowledged(chat: Chat, id: string, seq: number, at: number): Chat {
  const item = chat.outbox.find((waiting) => waiting.id === id);
  const rest = { ...without(chat, id), hold: null, refusals: 0 };
  return item?.t === "say" ? { ...rest, thread: merged(rest.thread, [{ seq, who: "me", text: item.text, at, id }]) } : rest;
}

function refused(chat: Chat, { id, code, text, retry_after: seconds = 0 }: Refused, now: number, chance: number): Chat {
  const item = chat.outbox.find((waiting) => waiting.id === id);
  const landed = chat.inFlight === id ? { ...chat, inFlight: "" } : chat;
  if (item === undefined) return landed;
  switch (code) {
    case "too_many":
      return { ...landed, hold: { code, until: now + Math.max(1, seconds) * SECOND } };
    case "full":
    case "unavailable": {
      // Doubling to a minute, the later half of it by chance: a server in trouble must not be asked by everybody at once.
      const wait = Math.min(60, 2 ** (chat.refusals + 1)) * (0.5 + chance / 2);
      return { ...landed, refusals: chat.refusals + 1, hold: { code, until: now + Math.max(wait, seconds) * SECOND } };
    }
    case "details_required":
      return { ...landed, hold: { code, until: Infinity } };
    case "too_long":
    case "empty": {
      const words = item.t === "say" ? item.text : "";
      return { ...removed(landed, id), draft: [words, chat.draft].filter(Boolean).join("\n") };
    }
    default:
      return item.t === "say" ? failed(landed, id, text || code) : { ...removed(landed, id), returned: { item, text: text || code } };
  }
}

function closed(chat: Chat, code: number): Chat {
  // A frame that the server could not read would be sent, and would close the socket, for ever.
  const kept = code === 4400 || code === 1009 ? failed(chat, chat.inFlight, "unreadable") : chat;
  return { ...kept, link: code === 4404 ? "missing" : "offline", typing: null, paging: false, inFlight: "" };
}

function adopted(chat: Chat, items: readonly Item[]): Chat {
  const stored = new Set(chat.thread.map(({ id }) => id));
  const outbox = inOrder([...items.filter(({ id }) => !stored.has(id)), ...chat.outbox]);
  return outbox.length === chat.outbox.length ? chat : { ...chat, outbox };
}

/** The server has *id*, here or through another tab: what it said about the visitor is known now. */
function without(chat: Chat, id: string): Chat {
  const item = chat.outbox.find((waiting) => waiting.id === id);
  return { ...removed(chat, id), known: [...chat.known, ...(item?.t === "details" ? filledIn(item) : [])] };
}

function removed(chat: Chat, id: string): Chat {
  return { ...chat, outbox: chat.outbox.filter((item) => item.id !== id), inFlight: chat.inFlight === id ? "" : chat.inFlight };
}

function failed(chat: Chat, id: string, reason: string): Chat {
  const item = chat.outbox.find((waiting) => waiting.id === id);
  if (item?.t === "details") return { ...removed(chat, id), returned: { item, text: "" } };
  return changed(chat, id, (said) => ({ ...said, failed: reason }));
}

function changed(chat: Chat, id: string, change: (item: Item) => Item): Chat {
  return { ...chat, outbox: inOrder(chat.outbox.map((item) => (item.id === id ? change(item) : item))) };
}

/** Return both, by seq, each once. */
function merged(thread: readonly Shown[], messages: readonly Shown[]): readonly Shown[] {
  const bySeq = new Map([...thread, ...messages].map((message) => [message.seq, message]));
  return [...bySeq.values()].sort((a, b) => a.seq - b.seq);
}

/** Return the fields in which something is written. */
export function filledIn(item: DetailsItem): Field[] {
  return (["name", "email", "phone"] as const).filter((field) => item[field] !== "");
}

/** Return the fields to ask for now; none: no form. A line's optional fields are asked once, before the first word. */
export function fieldsToAsk(chat: Chat): readonly Field[] {
  const waiting = chat.outbox.find((item) => item.t === "details");
  if (!chat.met || waiting !== undefined) return [];
  const returned = chat.returned === null ? [] : filledIn(chat.returned.item);
  const missing = chat.ask.filter((field) => !chat.known.includes(field) || returned.includes(field));
  if (chat.returned !== null) return missing;
  if (chat.hold?.code === "details_required") return missing.length > 0 ? missing : chat.ask;
  if (missing.some((field) => requires(chat, field))) return missing;
  const begun = chat.skipped || chat.known.length > 0 || chat.thread.length > 0 || chat.outbox.length > 0 || chat.standing !== "none";
  return begun ? [] : missing;
}

/** Return whether nobody may begin without telling *field*; of an e-mail and a phone one is enough where the line is closed. */
export function requires(chat: Chat, field: Field): boolean {
  const reaches = chat.reach && !served(chat) && field !== "name" && !chat.known.some((known) => known !== "name");
  return reaches || chat.required.includes(field);
}

/** Return whether somebody is with the visitor or will be. */
function served({ standing }: Chat): boolean {
  return standing === "waiting" || standing === "active";
}

/** Return how many messages wait to be read. */
export function unread(chat: Chat): number {
  return chat.thread.filter(({ seq, who }) => who !== "me" && seq > chat.read).length;
}

/** Return whether the application should come up on the visitor's next page by itself, and how. */
export function wake(chat: Chat, open: boolean): "open" | "quiet" | null {
  if (open) return "open";
  const pending = chat.outbox.some((item) => item.t === "details" || item.failed === "");
  return pending || served(chat) ? "quiet" : null;
}
