// A socket that comes back by itself, for JSON frames. Both faces use it; what is said over it is theirs.

/** Waits between attempts double from the first to the last; each is cut by chance, so that a restart is not a stampede. */
const FIRST_WAIT_MS = 500;
const LAST_WAIT_MS = 15_000;
/** A ping goes out when nothing else did for so long; no answer within the second time means that the line is dead. */
const PING_MS = 25_000;
const ANSWER_MS = 10_000;

export interface SocketEvents<In> {
  /** The socket is open; say hello. */
  opened(): void;
  received(frame: In): void;
  /** The socket is gone. Return false to stay away, true to come back after a wait. */
  lost(code: number): boolean;
}

export interface KeptSocket<Out> {
  /** Send now; false when there is no open socket. */
  send(frame: Out): boolean;
  /** Leave this socket and open another one at once. */
  restart(): void;
  close(): void;
}

/** Return the wait before attempt *attempt* (0, 1, 2…), of which *chance* (0..1) decides the upper half. */
export function waitBefore(attempt: number, chance: number): number {
  const most = Math.min(LAST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempt + 1));
  return Math.max(FIRST_WAIT_MS, (most * (1 + chance)) / 2);
}

/** Keep a socket to *address* open until told to close. */
export function keepSocket<Out, In>(address: string, events: SocketEvents<In>): KeptSocket<Out> {
  let socket: WebSocket | null = null;
  let attempt = 0;
  let closed = false;
  let again: ReturnType<typeof setTimeout> | undefined;
  let ping: ReturnType<typeof setTimeout> | undefined;
  let answer: ReturnType<typeof setTimeout> | undefined;

  function open(): void {
    clearTimeout(again);
    const mine = new WebSocket(address);
    socket = mine;
    mine.onopen = () => events.opened();
    mine.onmessage = (event: MessageEvent<string>) => {
      // Only a frame proves that the other side is well: an accepted connection may still be a dying proxy's.
      attempt = 0;
      clearTimeout(answer);
      answer = undefined;
      events.received(JSON.parse(event.data) as In);
    };
    mine.onclose = (event) => drop(event.code);
  }

  /** Forget the present socket without waiting for its closing handshake: on a dead line that takes minutes. */
  function detach(): void {
    for (const timer of [again, ping, answer]) clearTimeout(timer);
    answer = undefined;
    if (socket === null) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    socket = null;
  }

  function drop(code: number): void {
    detach();
    if (closed || !events.lost(code)) return;
    again = setTimeout(open, waitBefore(attempt++, Math.random()));
  }

  function send(frame: Out | { t: "ping" }): boolean {
    if (socket?.readyState !== WebSocket.OPEN) return false;
    socket.send(JSON.stringify(frame));
    clearTimeout(ping);
    ping = setTimeout(() => {
      send({ t: "ping" });
      answer ??= setTimeout(() => drop(1006), ANSWER_MS);
    }, PING_MS);
    return true;
  }

  function hurry(): void {
    if (!closed && socket === null) open();
  }

  addEventListener("online", hurry);
  open();
  return {
    send,
    restart() {
      detach();
      if (!closed) open();
    },
    close() {
      closed = true;
      removeEventListener("online", hurry);
      detach();
    },
  };
}
