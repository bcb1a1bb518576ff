// What the tests of the console are made of.

import type { Card, Contact, GatewayFrame, Me, Shown, Snapshot, Thread, Update } from "../../shared/frames/operator";
import type { KeptSocket, SocketEvents } from "../../shared/socket";
import type { ConsoleFrame } from "../../shared/frames/operator";
import type { Shelf } from "../kept";
import { type Deed, reduce, START, type State } from "../store";

export const ME: Me = { id: "op-me", login: "me", name: "Me", role: "operator", language: "en", presence: "online" };
export const NOW = 1_800_000_000_000;

export function card(session: string, more: Partial<Card> = {}): Card {
  return {
    session,
    conversation: `conversation-${session}`,
    line: "line",
    line_name: "Shop",
    channel: "widget",
    status: "queued",
    contact: `contact-${session}`,
    contact_name: `Name ${session}`,
    opened: NOW - 60_000,
    ...more,
  };
}

export function held(session: string, more: Partial<Card> = {}): Card {
  return card(session, { status: "active", operator: ME.id, ...more });
}

export function message(seq: number, more: Partial<Shown> = {}): Shown {
  return { id: `m${seq}`, seq, who: "contact", kind: "said", text: `text ${seq}`, at: NOW + seq, fate: "received", ...more };
}

export function own(seq: number, fate: string, more: Partial<Shown> = {}): Shown {
  return message(seq, { who: "operator", operator: ME.id, fate, ...more });
}

export function deed(id: string, more: Partial<Deed> = {}): Deed {
  return { id, session: "a", verb: "reply", text: "hello", outcome: "", at: NOW, state: "waiting", code: "", problem: "", ...more };
}

export function snapshot(more: Partial<Snapshot> = {}): Snapshot {
  return { t: "snapshot", at: "mark-0", me: ME, colleagues: [], counts: { mine: 0, waiting: 0 }, mine: [], waiting: [], now: NOW, ...more };
}

export function threadOf(shown: Card, messages: Shown[], more = false): Thread {
  const contact: Contact = { id: shown.contact, name: shown.contact_name };
  return { t: "thread", session: shown.session, card: shown, contact, messages, more };
}

export function after(state: State, ...frames: GatewayFrame[]): State {
  return frames.reduce((before, frame) => reduce(before, { type: "frame", frame, now: NOW }), state);
}

/** A state that has its snapshot, and these updates after it. */
export function live(first: Partial<Snapshot> = {}, ...updates: Update[]): State {
  const state = after(START, snapshot(first));
  return updates.reduce((before, update) => next(before, update), state);
}

/** The next numbered update. */
export function next(state: State, ...list: Update[]): State {
  return after(state, { t: "updates", n: state.n + 1, at: `mark-${state.n + 1}`, list });
}

/** The state with the thread of *shown* open. */
export function reading(state: State, shown: Card, messages: Shown[], more = false): State {
  return after(reduce(state, { type: "opening", session: shown.session }), threadOf(shown, messages, more));
}

export function memory(): Shelf & { keys(): string[] } {
  const items = new Map<string, string>();
  return {
    get length() {
      return items.size;
    },
    key: (index) => [...items.keys()][index] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => items.set(key, value),
    removeItem: (key) => items.delete(key),
    keys: () => [...items.keys()],
  };
}

/** A socket whose other end is the test. */
export class FakeSocket implements KeptSocket<ConsoleFrame> {
  sent: ConsoleFrame[] = [];
  open = false;
  restarts = 0;
  closed = false;
  events: SocketEvents<GatewayFrame> | null = null;

  readonly dial = (events: SocketEvents<GatewayFrame>): this => {
    this.events = events;
    return this;
  };

  readonly send = (frame: ConsoleFrame): boolean => {
    if (this.open) this.sent.push(frame);
    return this.open;
  };

  readonly restart = (): void => {
    this.restarts += 1;
    this.open = false;
  };

  readonly close = (): void => {
    this.closed = true;
  };

  connect(): void {
    this.open = true;
    this.sent = [];
    this.events?.opened();
  }

  receive(...frames: GatewayFrame[]): void {
    for (const frame of frames) this.events?.received(frame);
  }

  lose(code: number): boolean {
    this.open = false;
    return this.events?.lost(code) ?? false;
  }
}
