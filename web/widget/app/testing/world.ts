// A browser and a server made of plain values: time moves when the test says so, and sockets do what it tells them.

import type { ServerFrame, Shown, VisitorFrame, Welcome } from "../../../shared/frames/visitor";
import type { Clock, Dial, SocketEvents } from "../connection";
import { keepIn, type Keep } from "../keep";

/** A clock that stands until it is moved. */
export class FakeClock implements Clock {
  private time = 1_700_000_000_000;
  private waiting: { at: number; run: () => void }[] = [];

  readonly now = (): number => this.time;

  readonly after = (ms: number, run: () => void): (() => void) => {
    const entry = { at: this.time + ms, run };
    this.waiting.push(entry);
    return () => {
      this.waiting = this.waiting.filter((other) => other !== entry);
    };
  };

  /** Let so much time pass, and whatever was due in it happen at its moment. */
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = this.waiting.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this.waiting = this.waiting.filter((other) => other !== next);
      this.time = Math.max(this.time, next.at);
      next.run();
    }
    this.time = end;
  }
}

/** One socket, seen from the server's end. */
export class FakeSocket {
  readonly sent: VisitorFrame[] = [];
  closedByUs = false;

  constructor(private readonly events: SocketEvents) {}

  open(): this {
    this.events.onopen();
    return this;
  }

  say(frame: ServerFrame): void {
    this.events.onmessage({ data: JSON.stringify(frame) });
  }

  sayText(text: string): void {
    this.events.onmessage({ data: text });
  }

  close(code: number): void {
    this.events.onclose({ code });
  }

  /** Return the frames of this kind that have come. */
  heard<T extends VisitorFrame["t"]>(kind: T): Extract<VisitorFrame, { t: T }>[] {
    return this.sent.filter((frame): frame is Extract<VisitorFrame, { t: T }> => frame.t === kind);
  }
}

/** Every socket that was dialled, in order. */
export class FakeNet {
  readonly sockets: FakeSocket[] = [];

  readonly dial: Dial = (events) => {
    const socket = new FakeSocket(events);
    this.sockets.push(socket);
    return {
      send: (text) => socket.sent.push(JSON.parse(text) as VisitorFrame),
      close: () => (socket.closedByUs = true),
    };
  };

  get last(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("nothing was dialled");
    return socket;
  }
}

/** The browser's storage, as long as nobody reloads the whole test. */
export class FakeStorage implements Storage {
  [name: string]: unknown;

  get length(): number {
    return Object.keys(this).length;
  }

  clear(): void {
    for (const key of Object.keys(this)) this.removeItem(key);
  }

  getItem(key: string): string | null {
    return Object.hasOwn(this, key) ? String(this[key]) : null;
  }

  key(at: number): string | null {
    return Object.keys(this)[at] ?? null;
  }

  removeItem(key: string): void {
    Reflect.deleteProperty(this, key);
  }

  setItem(key: string, value: string): void {
    this[key] = value;
  }
}

export function fakeKeep(storage: Storage = new FakeStorage()): Keep {
  return keepIn(() => storage);
}

/** A line that asks for nothing and has heard nothing yet, but for *changes*. */
export function welcome(changes: Partial<Welcome> = {}): Welcome {
  return {
    t: "welcome",
    token: "token-1",
    line: "Tea and kettles",
    language: "en",
    ask: [],
    known: [],
    required: [],
    history: [],
    gap: false,
    more: false,
    state: "none",
    ...changes,
  };
}

/** Message number *seq*, which says its number. */
export function shown(seq: number, who: Shown["who"] = "operator", changes: Partial<Shown> = {}): Shown {
  return { seq, who, text: `text ${seq}`, at: 1_700_000_000_000 + seq, ...changes };
}
