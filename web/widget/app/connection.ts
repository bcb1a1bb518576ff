// One visitor's socket: dialled, greeted, watched, dialled again. Clock, chance and socket come from outside.
//
//     dial -> hello -> welcome -> online -> closed, or silent too long -> wait -> dial
//
// The wait doubles from half a second to twenty, and is a random part of that, so that a restarted server is not met by
// every browser at once. 4404 ends it: there is no such line.

import type { Hello, ServerFrame, VisitorFrame } from "../../shared/frames/visitor";

/** What we use of a WebSocket. */
export interface Socket {
  send: (text: string) => void;
  close: () => void;
}

/** What a socket tells, never before it was returned; as a WebSocket names it. */
export interface SocketEvents {
  onopen: () => void;
  onmessage: (message: { data: string }) => void;
  onclose: (end: { code: number }) => void;
}

export type Dial = (events: SocketEvents) => Socket;

export interface Clock {
  /** Epoch milliseconds. */
  now: () => number;
  /** Call *run* after so many milliseconds; return what calls it off. */
  after: (ms: number, run: () => void) => () => void;
}

/** The world as the connection sees it. */
export interface Wire {
  dial: Dial;
  clock: Clock;
  /** 0 <= n < 1 */
  random: () => number;
  /** Asked for anew at each connection. */
  hello: () => Hello;
  heard: (frame: ServerFrame) => void;
  closed: (code: number) => void;
  /** All is quiet, and has been for a while: a time to look around. */
  idle: () => void;
}

export interface Connection {
  /** Send *frame* if the server has welcomed us; return whether it went. */
  send: (frame: VisitorFrame) => boolean;
  /** Something may have changed (network back, page visible): do not wait, and prove that the socket lives. */
  nudge: () => void;
  /** Give the socket up, as if it were lost. */
  redial: () => void;
  /** Close the socket until the next nudge: the page is being put away. */
  rest: () => void;
}

/** Until there is something to do. */
export const nothing = (): void => undefined;
const PATIENCE_MS = 10_000;
const PING_MS = 25_000;
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 20_000;
const RESTART_WAIT_MS = 3_000;

/** Connect, and stay so. */
export function connect(wire: Wire): Connection {
  const { clock } = wire;
  let socket: Socket | null = null;
  let welcomedAt: number | null = null;
  let failures = 0;
  let rejectedTokens = 0;
  let notBefore = 0;
  let over = false;
  /** The next thing to do: dial, ping, or give up waiting for the hello's answer. */
  let cancelNext = nothing;
  let cancelDeadline = nothing;

  function dial(): void {
    cancelNext();
    // A socket that we gave up may go on talking: only the present one is listened to.
    const mine: Socket = wire.dial({
      onopen() {
        if (socket === mine) mine.send(JSON.stringify(wire.hello()));
      },
      onmessage({ data }) {
        if (socket === mine) hear(data);
      },
      onclose({ code }) {
        if (socket === mine) closed(code);
      },
    });
    socket = mine;
    welcomedAt = null;
    cancelNext = clock.after(PATIENCE_MS, lose);
  }

  function hear(json: string): void {
    let frame: ServerFrame;
    try {
      frame = JSON.parse(json) as ServerFrame;
    } catch {
      lose();
      return;
    }
    cancelDeadline();
    if (frame.t === "error") notBefore = clock.now() + (frame.retry_after ?? 0) * 1_000;
    if (frame.t === "welcome") {
      welcomedAt = clock.now();
      rejectedTokens = 0;
      cancelNext();
      cancelNext = clock.after(PING_MS, ping);
    }
    wire.heard(frame);
  }

  function ping(): void {
    cancelNext();
    cancelNext = clock.after(PING_MS, ping);
    wire.idle();
    if (!send({ t: "ping" })) return;
    cancelDeadline();
    cancelDeadline = clock.after(PATIENCE_MS, lose);
  }

  function drop(): void {
    const lost = socket;
    socket = null;
    cancelNext();
    cancelDeadline();
    lost?.close();
  }

  /** The socket is silent or talks nonsense. It may take minutes to say that it is closed: do not wait for that. */
  function lose(): void {
    closed(1006);
  }

  function closed(code: number): void {
    drop();
    // A server that welcomes and closes at once must not be dialled as if all were well.
    if (welcomedAt !== null && clock.now() - welcomedAt > PATIENCE_MS) failures = 0;
    welcomedAt = null;
    wire.closed(code);
    over = code === 4404;
    if (!over) cancelNext = clock.after(Math.max(waitAfter(code), notBefore - clock.now()), dial);
  }

  function waitAfter(code: number): number {
    if (code === 1012) return wire.random() * RESTART_WAIT_MS;
    // The token is forgotten by now: come again without. But not in a circle.
    if (code === 4401 && rejectedTokens++ === 0) return 0;
    return wire.random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** failures++);
  }

  function send(frame: VisitorFrame): boolean {
    if (socket === null || welcomedAt === null) return false;
    socket.send(JSON.stringify(frame));
    return true;
  }

  dial();
  return {
    send,
    nudge() {
      if (over) return;
      if (welcomedAt !== null) ping();
      else if (socket === null) {
        cancelNext();
        cancelNext = clock.after(Math.max(0, notBefore - clock.now()), dial);
      }
    },
    redial: lose,
    rest() {
      if (over) return;
      drop();
      welcomedAt = null;
      wire.closed(1001);
    },
  };
}
