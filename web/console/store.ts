// The console's whole state, and the one pure function that changes it: (state, action) -> state. No clock, no page, no
// socket: what came from the gateway and what the operator did arrive as actions, with their time in them.

import type {
  Alert,
  Box,
  CallLine,
  Card,
  ChannelCan,
  Colleague,
  Contact,
  Counts,
  Do,
  FateChange,
  GatewayFrame,
  Me,
  Page,
  Presence,
  Shown,
  Update,
} from "../shared/frames/operator";
import type { Attachment, Quote } from "./extras";

/**
 * How we stand with the gateway. `live` begins with its snapshot (or `resumed`), not with the open socket: before that we
 * do not know whom we talk to.
 */
export type Link = "connecting" | "live" | "lost" | "logged_out" | "forbidden";

/** Who hears a supervisor in a talk: nobody, the operator, both. */
export type How = NonNullable<Do["how"]>;

/** The lists that are known as far as they were asked for. */
type Paged = Exclude<Box, "mine" | "waiting">;

/** Something the operator did that the gateway has not yet shown us done. */
export interface Deed {
  id: string;
  session: string;
  verb: Do["verb"];
  text: string;
  outcome: string;
  /** To whom: a colleague's id, or a line's. */
  operator?: string;
  line?: string;
  /** Of snooze. */
  until?: number;
  /** Of spam. */
  ban?: boolean;
  /** Of transfer: a number outside. */
  number?: string;
  /** Of listen. */
  how?: How;
  /** Of reply: what was uploaded for it. */
  files?: readonly Attachment[];
  /** Of reply: what it answers. */
  answers?: Quote;
  /** Of reply. */
  asksPhone?: boolean;
  /** Of reword and take_back: the message's seq. */
  message?: number;
  at: number;
  /** `waiting`: to be sent, again and again; `accepted`: stored by the server; `refused`: kept only for the operator's words. */
  state: "waiting" | "accepted" | "refused";
  code: string;
  problem: string;
}

export interface Thread {
  session: string;
  status: "loading" | "ready" | "missing" | "failed";
  /** Its own copy: the session may leave every list while it is read. */
  card: Card | null;
  contact: Contact | null;
  messages: readonly Shown[];
  more: boolean;
  loadingOlder: boolean;
  /** It left every list of mine while it was open. */
  gone: boolean;
  /** The session that follows it in the same conversation; empty: it is the latest that we know. */
  next: string;
}

export interface Paging {
  loading: "first" | "more" | null;
  loaded: boolean;
  next: string | null;
}

/** A sentence for the operator that belongs to no message: a refused take, an error of the gateway, a word of our own. */
export interface Notice {
  key: string;
  code: string;
  text: string;
  verb: Do["verb"] | "";
}

/** Supervisors are told that a customer was let down. */
export interface KeptAlert extends Alert {
  key: string;
  at: number;
  seen: boolean;
  /** Whether it stands on the screen by itself, beside being in the list. */
  shown: boolean;
}

export interface SomeoneTyping {
  conversation: string;
  who: "contact" | "operator";
  name: string;
  at: number;
}

export interface State {
  link: Link;
  /** The mark to resume from; null asks for a snapshot. */
  at: string | null;
  /** The number of the last update on this socket. */
  n: number;
  /** An update is missing: leave this socket and come again without a mark. */
  gap: boolean;
  me: Me | null;
  colleagues: Readonly<Record<string, Colleague>>;
  counts: Counts;
  cards: Readonly<Record<string, Card>>;
  /** The list last asked for; the gateway sends updates of every session while it is `all`, `calls` or `missed`. */
  box: Box;
  paging: Readonly<Record<Box, Paging>>;
  /** What the pages of each list, and the news since, have named. */
  within: Readonly<Record<Paged, ReadonlySet<string>>>;
  thread: Thread | null;
  deeds: readonly Deed[];
  notices: readonly Notice[];
  /** The operator's own, by session. */
  pins: ReadonlySet<string>;
  /** The latest first. */
  alerts: readonly KeptAlert[];
  typing: SomeoneTyping | null;
  /** By how much the server's clock is ahead of ours, in milliseconds. */
  skew: number;
  /** Lines of mine from which customers can be called; none: I can call nobody. */
  callsFrom: readonly CallLine[];
  /** What channels can, by their kind. */
  can: Readonly<Record<string, ChannelCan>>;
  /** The conversation of the call that I have asked for last, until it is on the screen. */
  called: string;
  /** Grows whenever a lead was made or changed, and whenever one may have been. */
  leadNews: number;
}

export type Action =
  | { type: "frame"; frame: GatewayFrame; now: number }
  /** A socket is open: its numbers begin again. */
  | { type: "opened" }
  | { type: "link"; link: Link }
  | { type: "did"; deed: Deed }
  /** Deeds of an earlier page that nobody has answered. */
  | { type: "remembered"; deeds: readonly Deed[] }
  | { type: "discarded"; id: string }
  /** The gateway could not read a frame: one of these was in it, and must not be sent again. */
  | { type: "unreadable"; ids: ReadonlySet<string> }
  | { type: "opening"; session: string }
  | { type: "left" }
  | { type: "asked_older" }
  | { type: "asked_list"; box: Box; more: boolean }
  | { type: "set_presence"; presence: Presence }
  | { type: "password_changed" }
  /** A sentence of our own for the operator. */
  | { type: "told"; text: string }
  /** I have asked for a call; empty: it is on the screen. */
  | { type: "called"; conversation: string }
  | { type: "dismissed"; key: string }
  | { type: "alerts_seen" };

const NOT_ASKED: Paging = { loading: null, loaded: false, next: null };
const NOTICES_KEPT = 3;
export const ALERTS_KEPT = 50;
/** An accepted deed whose message is not on the page we were given so long after is on an earlier page. */
const ECHO_WAIT_MS = 60_000;

export const START: State = {
  link: "connecting",
  at: null,
  n: 0,
  gap: false,
  me: null,
  colleagues: {},
  counts: { mine: 0, waiting: 0 },
  cards: {},
  box: "mine",
  paging: { mine: NOT_ASKED, waiting: NOT_ASKED, all: NOT_ASKED, calls: NOT_ASKED, missed: NOT_ASKED },
  within: { all: new Set(), calls: new Set(), missed: new Set() },
  thread: null,
  deeds: [],
  notices: [],
  pins: new Set(),
  alerts: [],
  typing: null,
  skew: 0,
  callsFrom: [],
  can: {},
  called: "",
  leadNews: 0,
};

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case "frame":
      return receive(state, action.frame, action.now);
    case "opened":
      return { ...state, n: 0, gap: false };
    case "link":
      return { ...state, link: action.link, typing: null };
    case "did":
      return { ...state, deeds: [...state.deeds, action.deed] };
    case "remembered": {
      const known = new Set(state.deeds.map((deed) => deed.id));
      return { ...state, deeds: [...action.deeds.filter((deed) => !known.has(deed.id)), ...state.deeds] };
    }
    case "discarded":
      return { ...state, deeds: without(state.deeds, action.id) };
    case "unreadable":
      return {
        ...state,
        // It may have been the mark: without one, all is told anew.
        at: null,
        deeds: state.deeds.map((deed) =>
          deed.state === "waiting" && action.ids.has(deed.id) ? { ...deed, state: "refused", code: "bad_frame" } : deed,
        ),
      };
    case "opening":
      return state.thread?.session === action.session && state.thread.status !== "failed" ? state : { ...state, thread: openingThread(state, action.session), typing: null };
    case "left":
      return { ...state, thread: null, typing: null };
    case "asked_older":
      return state.thread === null ? state : { ...state, thread: { ...state.thread, loadingOlder: true } };
    case "asked_list":
      return {
        ...state,
        box: action.box,
        paging: { ...state.paging, [action.box]: { ...state.paging[action.box], loading: action.more ? "more" : "first" } },
      };
    case "set_presence":
      return state.me === null ? state : { ...state, me: { ...state.me, presence: action.presence } };
    case "password_changed":
      return state.me === null ? state : { ...state, me: { ...state.me, password_generated: false } };
    case "told":
      return noticed(state, { key: `told-${action.text}`, code: "", text: action.text, verb: "" });
    case "called":
      return { ...state, called: action.conversation };
    case "dismissed":
      return {
        ...state,
        notices: state.notices.filter((notice) => notice.key !== action.key),
        alerts: state.alerts.map((alert) => (alert.key === action.key ? { ...alert, shown: false } : alert)),
      };
    case "alerts_seen":
      return { ...state, alerts: state.alerts.map((alert) => ({ ...alert, seen: true, shown: false })) };
  }
}

function receive(state: State, frame: GatewayFrame, now: number): State {
  // What follows a gap on the old socket is worth nothing: a new snapshot is on its way.
  if (state.gap) return state;
  switch (frame.t) {
    case "snapshot":
      return {
        ...state,
        link: "live",
        at: frame.at,
        me: frame.me,
        colleagues: Object.fromEntries(frame.colleagues.map((colleague) => [colleague.id, colleague])),
        counts: frame.counts,
        cards: Object.fromEntries([...(frame.pinned ?? []), ...frame.waiting, ...frame.mine].map((card) => [card.session, card])),
        paging: START.paging,
        within: START.within,
        pins: new Set(frame.pins ?? []),
        skew: frame.now - now,
        callsFrom: frame.calls_from ?? [],
        can: Object.fromEntries((frame.channels ?? []).map((one) => [one.kind, one])),
        leadNews: state.leadNews + 1,
      };
    case "resumed":
      return { ...state, link: "live", at: frame.at, skew: frame.now - now };
    case "updates": {
      if (frame.n !== state.n + 1) return { ...state, gap: true, at: null };
      const updated = frame.list.reduce((before, update) => applyUpdate(before, update, now), state);
      return { ...updated, n: frame.n, at: frame.at };
    }
    case "accepted":
      return { ...state, deeds: state.deeds.flatMap((deed) => (deed.id === frame.id ? accepted(deed) : [deed])) };
    case "refused":
      return refuse(state, frame.id, frame.code, frame.text);
    case "thread": {
      if (state.thread?.session !== frame.session) return state;
      const shown = new Set(frame.messages.map((message) => message.command));
      const thread: Thread = {
        session: frame.session,
        status: "ready",
        card: frame.card,
        contact: frame.contact,
        messages: continues(state.thread.messages, frame.messages) ? merge(state.thread.messages, frame.messages) : frame.messages,
        more: continues(state.thread.messages, frame.messages) ? state.thread.more : frame.more,
        loadingOlder: false,
        gone: false,
        next: state.thread.next,
      };
      const over = (deed: Deed): boolean =>
        shown.has(deed.id) ||
        (deed.session === frame.session &&
          ((deed.state === "accepted" && deed.at < now - ECHO_WAIT_MS) || frame.messages.some((message) => isDoneTo(message, deed))));
      return { ...state, thread, deeds: state.deeds.filter((deed) => !over(deed)) };
    }
    case "older":
      if (state.thread?.session !== frame.session) return state;
      return {
        ...state,
        thread: { ...state.thread, messages: merge(frame.messages, state.thread.messages), more: frame.more, loadingOlder: false },
      };
    case "page":
      return applyPage(state, frame);
    case "typing":
      return { ...state, typing: { conversation: frame.conversation, who: frame.who, name: frame.name ?? "", at: serverTime(state, now) } };
    case "error":
      if (state.thread?.status === "loading") {
        return { ...state, thread: { ...state.thread, status: frame.code === "no_session" ? "missing" : "failed" } };
      }
      return noticed(state, { key: `error-${frame.code}`, code: frame.code, text: frame.text, verb: "" });
    case "pong":
      return state;
  }
}

function applyUpdate(state: State, update: Update, now: number): State {
  let next = state;
  if (update.card !== undefined && update.card !== null) next = putCard(next, update.card);
  if (update.message !== undefined && update.message !== null) {
    next = putMessage(next, update.message, update.card?.conversation ?? update.conversation ?? "");
  }
  if (update.fate !== undefined && update.fate !== null) next = applyFate(next, update.fate);
  if (update.contact !== undefined && update.contact !== null && next.thread?.contact?.id === update.contact.id) {
    next = { ...next, thread: { ...next.thread, contact: update.contact } };
  }
  if (update.gone !== undefined && update.gone !== "") next = removeCard(next, update.gone);
  if (update.colleague !== undefined && update.colleague !== null) next = putColleague(next, update.colleague);
  if (update.counts !== undefined && update.counts !== null) next = { ...next, counts: update.counts };
  if (update.load !== undefined && update.load !== null && next.me !== null) next = { ...next, me: { ...next.me, load: update.load } };
  if (update.lead !== undefined && update.lead !== "") next = { ...next, leadNews: next.leadNews + 1 };
  if (update.pins !== undefined && update.pins !== null) next = { ...next, pins: new Set(update.pins) };
  if (update.alert !== undefined && update.alert !== null) next = putAlert(next, update.alert, serverTime(state, now));
  return next;
}

function putCard(state: State, card: Card): State {
  return {
    ...state,
    cards: { ...state.cards, [card.session]: card },
    within: inEach(state, (named, box) => (state.paging[box].loaded ? new Set([...named, card.session]) : named)),
    thread: state.thread === null ? null : threadWith(state.thread, card),
  };
}

function threadWith(thread: Thread, card: Card): Thread {
  if (thread.session === card.session) return { ...thread, card, gone: false };
  const follows = thread.card?.conversation === card.conversation && card.opened > thread.card.opened;
  return follows ? { ...thread, next: card.session } : thread;
}

/** The same alert of the same session again is one alert, with the new time. */
function putAlert(state: State, alert: Alert, at: number): State {
  const key = `${alert.what}-${alert.session}`;
  // One stands on the screen at a time: more would hide what one is doing.
  const others = state.alerts.filter((one) => one.key !== key).map((one) => ({ ...one, shown: false }));
  return { ...state, alerts: [{ ...alert, key, at, seen: false, shown: true }, ...others].slice(0, ALERTS_KEPT) };
}

function inEach(state: State, change: (named: ReadonlySet<string>, box: Paged) => ReadonlySet<string>): State["within"] {
  const { all: every, calls, missed } = state.within;
  return { all: change(every, "all"), calls: change(calls, "calls"), missed: change(missed, "missed") };
}

function removeCard(state: State, session: string): State {
  return {
    ...state,
    cards: Object.fromEntries(Object.entries(state.cards).filter(([id]) => id !== session)),
    within: inEach(state, (named) => new Set([...named].filter((one) => one !== session))),
    thread: state.thread?.session === session ? { ...state.thread, gone: true } : state.thread,
  };
}

/** What is new of a message: that it was said, or what became of it since; of one that we know it takes the place. */
function putMessage(state: State, message: Shown, conversation: string): State {
  const { thread } = state;
  const here = thread !== null && thread.status === "ready" && thread.card?.conversation === conversation ? thread : null;
  const known = here?.messages.find((one) => one.seq === message.seq);
  // Put before the page that we have, it would hide what lies between; its own page will say it as it is then.
  const unread = here !== null && here.more && message.seq < (here.messages[0]?.seq ?? 0);
  // Whoever was typing has said it; what has only changed was said before.
  const fresh = known === undefined && !unread;
  const changed = known !== undefined && (message.extra?.edited_ms ?? 0) > (known.extra?.edited_ms ?? 0);
  const over = (deed: Deed): boolean =>
    (message.command !== undefined && deed.id === message.command) ||
    (deed.session === here?.session && (isDoneTo(message, deed) || (changed && deed.state === "accepted" && deed.message === message.seq)));
  return {
    ...state,
    thread: here !== null && !unread ? { ...here, messages: merge(here.messages, [message]) } : thread,
    deeds: state.deeds.some(over) ? state.deeds.filter((deed) => !over(deed)) : state.deeds,
    typing: fresh && state.typing?.conversation === conversation && state.typing.who === message.who ? null : state.typing,
  };
}

/** The message says what the deed wanted it to say. A refused one wanted it in vain: its words are kept for the operator. */
function isDoneTo(message: Shown, deed: Deed): boolean {
  if (deed.message !== message.seq || deed.state === "refused") return false;
  return (message.extra?.deleted_ms ?? 0) > 0 || (deed.verb === "reword" && message.text === deed.text);
}

/** How far a message is on its way; a receipt "up to" lifts only what is behind it. */
const WAY: Readonly<Record<string, number>> = { queued: 0, sending: 1, unconfirmed: 1, sent: 2, delivered: 3, read: 4 };

function applyFate(state: State, change: FateChange): State {
  if (state.thread?.card?.conversation !== change.conversation) return state;
  const reached = WAY[change.fate] ?? -1;
  const messages = state.thread.messages.map((message) => {
    if (message.who === "contact" || message.kind === "note") return message;
    if (message.seq === change.seq) return { ...message, fate: change.fate, problem: change.problem ?? "" };
    const behind = change.upto === true && message.seq < change.seq && (WAY[message.fate] ?? Infinity) < reached;
    return behind ? { ...message, fate: change.fate, problem: "" } : message;
  });
  return { ...state, thread: { ...state.thread, messages } };
}

function putColleague(state: State, colleague: Colleague): State {
  return {
    ...state,
    colleagues: { ...state.colleagues, [colleague.id]: colleague },
    me: state.me?.id === colleague.id ? { ...state.me, presence: colleague.presence } : state.me,
  };
}

function applyPage(state: State, page: Page): State {
  const first = state.paging[page.box].loading !== "more";
  const cards = { ...state.cards };
  const listed = new Set(page.cards.map((card) => card.session));
  // A first page that is also the last says the whole list: what it does not name has left it.
  if (first && page.next === undefined && (page.box === "mine" || page.box === "waiting")) {
    for (const card of page.box === "mine" ? mine(state).filter((one) => isMine(one, state.me)) : waiting(state)) {
      if (!listed.has(card.session)) Reflect.deleteProperty(cards, card.session);
    }
  }
  for (const card of page.cards) cards[card.session] = card;
  return {
    ...state,
    cards,
    within: inEach(state, (named, box) => (box === page.box ? new Set([...(first ? [] : named), ...listed]) : named)),
    paging: { ...state.paging, [page.box]: { loading: null, loaded: true, next: page.next ?? null } },
  };
}

/** Words, and changes of what was said, stay until they are seen in the thread; a take or a close is told by the card that follows. */
function accepted(deed: Deed): Deed[] {
  return hasWords(deed) || isChange(deed) ? [{ ...deed, state: "accepted" }] : [];
}

function refuse(state: State, id: string, code: string, text: string): State {
  const deed = state.deeds.find((one) => one.id === id);
  if (deed !== undefined && hasWords(deed)) {
    const refused: Deed = { ...deed, state: "refused", code, problem: text };
    const kept = { ...state, deeds: state.deeds.map((one) => (one.id === id ? refused : one)) };
    // Whoever passed a session on may be looking at another one by now.
    return passesOn(deed) ? noticed(kept, { key: id, code, text, verb: deed.verb }) : kept;
  }
  return noticed({ ...state, deeds: without(state.deeds, id) }, { key: id, code, text, verb: deed?.verb ?? "" });
}

function noticed(state: State, notice: Notice): State {
  const others = state.notices.filter((one) => one.key !== notice.key);
  return { ...state, notices: [...others, notice].slice(-NOTICES_KEPT) };
}

function openingThread(state: State, session: string): Thread {
  const card = state.cards[session] ?? null;
  return { session, status: "loading", card, contact: null, messages: [], more: false, loadingOlder: false, gone: false, next: "" };
}

/** Whether *page* joins what is shown without a hole between them. */
function continues(shown: readonly Shown[], page: readonly Shown[]): boolean {
  const last = shown.at(-1);
  const first = page[0];
  return last !== undefined && first !== undefined && first.seq <= last.seq;
}

/** Both, by seq, each once; *later* wins. */
function merge(earlier: readonly Shown[], later: readonly Shown[]): Shown[] {
  const bySeq = new Map([...earlier, ...later].map((message) => [message.seq, message]));
  return [...bySeq.values()].sort((a, b) => a.seq - b.seq);
}

function without(deeds: readonly Deed[], id: string): readonly Deed[] {
  return deeds.some((deed) => deed.id === id) ? deeds.filter((deed) => deed.id !== id) : deeds;
}

/** Its words stand in the thread until the gateway shows them there. */
export function hasWords(deed: Deed): boolean {
  if (deed.verb === "reply" || deed.verb === "note" || deed.verb === "start" || deed.verb === "reword") return true;
  return passesOn(deed) && deed.text !== "";
}

/** It changes a message that is in the thread already. */
export function isChange(deed: Deed): boolean {
  return deed.verb === "reword" || deed.verb === "take_back";
}

/** What I am doing to the message *seq* of a session, or wanted to in vain. */
export function changeOf(deeds: readonly Deed[], session: string, seq: number): Deed | undefined {
  return deeds.findLast((deed) => deed.session === session && deed.message === seq && isChange(deed));
}

/** What only colleagues read of it. */
export function isNote(deed: Deed): boolean {
  return deed.verb === "note" || passesOn(deed);
}

function passesOn(deed: Deed): boolean {
  return deed.verb === "transfer" || deed.verb === "assign";
}

/** What the server's clock says when ours says *now*; every time in a frame is by it. */
export function serverTime(state: State, now: number): number {
  return now + state.skew;
}

/** Anybody of its line may take it: nobody has it, and it is offered to nobody. These alone the gateway counts as waiting. */
export function isWaiting(card: Card): boolean {
  return card.status === "queued";
}

export function isOffered(card: Card): boolean {
  return (card.offered_until ?? 0) > 0 && card.status !== "closed";
}

/** It came by telephone: it is answered by lifting a phone, and nothing is written to its caller. */
export function isCall(card: Card): boolean {
  return card.channel === "phone";
}

/** We call the customer. */
export function isOutgoing(card: Card): boolean {
  return isCall(card) && card.talk?.outgoing === true;
}

/** We call the customer, who is not on the line: there is nothing yet that could be done with a talk. */
export function isUnreached(card: Card): boolean {
  return isOutgoing(card) && card.talk?.reached !== true;
}

/** The operator has lifted the phone, and the customer's rings. */
export function isCalling(card: Card): boolean {
  return isTalked(card) && isUnreached(card);
}

/** When the customer is to be called, while nobody does it yet; 0: it is no such call. */
export function promisedAt(card: Card): number {
  return isUnreached(card) && isWaiting(card) ? due(card) : 0;
}

function due(card: Card): number {
  return (card.talk?.promised ?? 0) || card.opened;
}

/** It is spoken with just now, also while its caller is on hold. */
export function isTalked(card: Card): boolean {
  return isCall(card) && card.status === "active";
}

/** Since when its caller hears music; 0: they do not. */
export function heldSince(card: Card): number {
  return isTalked(card) ? (card.talk?.held ?? 0) : 0;
}

/** The colleague who is asked about a call, by id; empty: nobody is. */
export function consulted(card: Card): string {
  return isTalked(card) ? (card.talk?.consulted ?? "") : "";
}

/** My phone rings, or I have lifted it: a colleague asks me about a call. */
export function asksMe(card: Card, me: Me | null): boolean {
  return me !== null && consulted(card) === me.id;
}

/** I hear a colleague's talk, or my phone rings so that I do. */
export function hearsTalk(card: Card, me: Me | null): boolean {
  return me !== null && isTalked(card) && (card.talk?.listens === me.id || (card.talk?.listeners ?? []).includes(me.id));
}

/** Nobody answered it, and its caller was not spoken with since. */
export function isMissed(card: Card): boolean {
  return card.talk?.missed === true && card.status === "closed";
}

/** How a call stands, in one word. */
export type Standing =
  | "waiting"
  | "promised"
  | "ringing"
  | "calling"
  | "talking"
  | "held"
  | "asking"
  | "missed"
  | "not_reached"
  | "callback"
  | "over";

export function standingOf(card: Card): Standing {
  if (card.status === "closed") {
    if (isMissed(card)) return "missed";
    return card.outcome === "not_reached" || card.outcome === "callback" ? card.outcome : "over";
  }
  if (isCalling(card)) return "calling";
  if (promisedAt(card) > 0) return "promised";
  if (card.status === "active") return consulted(card) !== "" ? "asking" : heldSince(card) > 0 ? "held" : "talking";
  return card.status === "offered" ? "ringing" : "waiting";
}

/** Since when a call stands so: its caller waits, talks or is on hold, or is to be called; 0: it is over. */
export function standsSince(card: Card): number {
  if (card.status === "closed") return 0;
  if (isUnreached(card) && !isTalked(card)) return due(card);
  return heldSince(card) || (isTalked(card) ? (card.talk?.answered ?? 0) : 0) || (card.queued ?? 0) || card.opened;
}

/** My phone rings. */
export function ringsMe(card: Card): boolean {
  return isCall(card) && isOffered(card);
}

export function isHeldBy(card: Card, me: Me | null): boolean {
  return me !== null && card.operator === me.id && card.status !== "closed";
}

/** I passed it on to a colleague who has not taken it yet. */
export function isPassedBy(card: Card, me: Me | null): boolean {
  return me !== null && card.status === "offered" && card.passed_by === me.id;
}

/** I joined it: I may answer there as whoever holds it. */
export function isJoinedBy(card: Card, me: Me | null): boolean {
  return me !== null && card.status !== "closed" && (card.members ?? []).includes(me.id);
}

/** I am asked to join it. */
export function isInvited(card: Card, me: Me | null): boolean {
  return me !== null && card.status !== "closed" && (card.invited ?? []).includes(me.id);
}

/** Since when the customer of a card waits; 0: they do not. What is put off is not being waited for, and who is to be called does not wait. */
export function waitingSince(card: Card): number {
  if (card.status === "closed" || card.status === "snoozed" || isUnreached(card)) return 0;
  return (card.unanswered ?? 0) || (card.status === "active" ? 0 : (card.queued ?? 0) || card.opened);
}

/** Where a card of mine stands: an offer runs out, so it goes before whatever is pinned; what is put off comes last. */
export type Section = "offered" | "pinned" | "now" | "snoozed";

const SECTIONS: readonly Section[] = ["offered", "pinned", "now", "snoozed"];

export function sectionOf(card: Card, pins: ReadonlySet<string>): Section {
  if (isOffered(card)) return "offered";
  if (pins.has(card.session)) return "pinned";
  return card.status === "snoozed" ? "snoozed" : "now";
}

/**
 * What I have to do with, or pinned: offers first, by their end; what is pinned; then whoever waits longest, then the latest news; last
 * what is snoozed, by when it wakes.
 */
export function mine(state: State): Card[] {
  const section = (card: Card): number => SECTIONS.indexOf(sectionOf(card, state.pins));
  const rank = (card: Card): number => (waitingSince(card) > 0 ? 0 : card.status === "snoozed" ? 2 : 1);
  const order = (card: Card): number =>
    isOffered(card)
      ? (card.offered_until ?? 0)
      : waitingSince(card) || (card.status === "snoozed" ? (card.snoozed_until ?? 0) : -(card.changed ?? card.opened));
  return Object.values(state.cards)
    .filter((card) => isMine(card, state.me) || state.pins.has(card.session))
    .sort((a, b) => section(a) - section(b) || rank(a) - rank(b) || order(a) - order(b));
}

function isMine(card: Card, me: Me | null): boolean {
  return isOffered(card) || isHeldBy(card, me) || isPassedBy(card, me) || isJoinedBy(card, me) || isInvited(card, me);
}

/** *cards* of mine in their sections, none of them empty. */
export function sections(cards: readonly Card[], pins: ReadonlySet<string>): { section: Section; cards: Card[] }[] {
  return SECTIONS.map((section) => ({ section, cards: cards.filter((card) => sectionOf(card, pins) === section) })).filter(
    (one) => one.cards.length > 0,
  );
}

/** Where it stands in the queue: by its age, and a point of priority is ten minutes of it. Epoch milliseconds. */
function place(card: Card): number {
  return (card.queued ?? card.opened) - (card.priority ?? 0) * 600_000;
}

/** Waiting in my lines, in the queue's order. */
export function waiting(state: State): Card[] {
  return Object.values(state.cards)
    .filter(isWaiting)
    .sort((a, b) => place(a) - place(b));
}

/** As far as asked for, the latest opened first: the order of the pages. */
function named(state: State, box: Paged): Card[] {
  return Object.values(state.cards)
    .filter((card) => state.within[box].has(card.session))
    .sort((a, b) => b.opened - a.opened);
}

/** Calls under way: first whoever is not spoken with yet, then the talks; of each the longest first. */
function calls(state: State): Card[] {
  return named(state, "calls")
    .filter((card) => isCall(card) && card.status !== "closed" && promisedAt(card) === 0)
    .sort((a, b) => Number(isTalked(a)) - Number(isTalked(b)) || a.opened - b.opened);
}

export function cardsIn(state: State, box: Box): Card[] {
  switch (box) {
    case "mine":
      return mine(state);
    case "waiting":
      return waiting(state);
    case "calls":
      return calls(state);
    case "missed":
      return named(state, "missed").filter(isMissed);
    case "all":
      return named(state, "all");
  }
}

/** How many wait for this operator: offered to me, mine and unanswered, or colleagues who invite me. */
export function waitForMe(state: State): number {
  const { me } = state;
  return mine(state).filter((card) => isOffered(card) || isInvited(card, me) || (isHeldBy(card, me) && waitingSince(card) > 0)).length;
}

export function unseenAlerts(state: State): number {
  return state.alerts.filter((alert) => !alert.seen).length;
}

export function nameOf(state: State, operator: string): string {
  return state.colleagues[operator]?.name ?? (state.me?.id === operator ? state.me.name : "");
}

export class Store {
  state = START;
  readonly #listeners = new Set<() => void>();

  dispatch(action: Action): void {
    this.state = reduce(this.state, action);
    for (const listener of [...this.#listeners]) listener();
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
