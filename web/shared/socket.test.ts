import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { keepSocket, waitBefore } from "./socket";

type Handler<Event> = ((event: Event) => void) | null;

/** The browser's WebSocket as far as we use it; the test plays the server. */
class Wire {
  static readonly OPEN = 1;
  static all: Wire[] = [];
  readyState = 0;
  sent: string[] = [];
  onopen: Handler<null> = null;
  onmessage: Handler<{ data: string }> = null;
  onclose: Handler<{ code: number }> = null;

  constructor(readonly address: string) {
    Wire.all.push(this);
  }

  send(text: string): void {
    this.sent.push(text);
  }

  close(): void {
    this.readyState = 3;
  }

  accept(): void {
    this.readyState = 1;
    this.onopen?.(null);
  }
}

const wire = (): Wire => Wire.all.at(-1) ?? expect.fail("no socket was opened");
let online: () => void;

function keep(stay = true) {
  const told: string[] = [];
  const socket = keepSocket<{ t: string }, { t: string }>("ws://x/", {
    opened: () => told.push("opened"),
    received: (frame) => told.push(frame.t),
    lost: (code) => {
      told.push(`lost ${code}`);
      return stay;
    },
  });
  return { told, socket };
}

beforeEach(() => {
  vi.useFakeTimers();
  Wire.all = [];
  vi.stubGlobal("WebSocket", Wire);
  vi.stubGlobal("addEventListener", (_: string, listener: () => void) => (online = listener));
  vi.stubGlobal("removeEventListener", () => (online = () => undefined));
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

test("waits double from half a second to fifteen, never shorter or longer", () => {
  expect([0, 1, 2, 3, 9].map((attempt) => waitBefore(attempt, 0))).toEqual([500, 1_000, 2_000, 4_000, 7_500]);
  expect([0, 9].map((attempt) => waitBefore(attempt, 1))).toEqual([1_000, 15_000]);
});

test("a lost socket comes back after a wait, and at once when the network does", () => {
  const { told } = keep();
  wire().onclose?.({ code: 1006 });
  vi.advanceTimersByTime(499);
  expect(Wire.all).toHaveLength(1);
  vi.advanceTimersByTime(501);
  expect(Wire.all).toHaveLength(2);

  wire().onclose?.({ code: 1006 });
  online();
  expect(Wire.all).toHaveLength(3);
  expect(told).toEqual(["lost 1006", "lost 1006"]);
});

test("it stays away when told to", () => {
  keep(false);
  wire().onclose?.({ code: 4401 });
  vi.advanceTimersByTime(60_000);

  expect(Wire.all).toHaveLength(1);
});

test("nothing is sent before the socket is open, and the sender knows", () => {
  const { socket } = keep();
  expect(socket.send({ t: "x" })).toBe(false);
  wire().accept();
  expect(socket.send({ t: "x" })).toBe(true);
  expect(wire().sent).toEqual(['{"t":"x"}']);
});

test("a ping goes out when nothing else did, and silence after it means that the line is dead", () => {
  const { told, socket } = keep();
  wire().accept();
  socket.send({ t: "hello" });
  vi.advanceTimersByTime(25_000);
  expect(wire().sent.at(-1)).toBe('{"t":"ping"}');
  wire().onmessage?.({ data: '{"t":"pong"}' });
  vi.advanceTimersByTime(24_999);
  expect(told).toEqual(["opened", "pong"]);

  vi.advanceTimersByTime(10_001);
  expect(told.at(-1)).toBe("lost 1006");
});

test("a socket that was left says nothing any more", () => {
  const { told, socket } = keep();
  const first = wire();
  first.accept();
  socket.restart();

  expect(Wire.all).toHaveLength(2);
  expect(first.onclose).toBeNull();
  expect(told).toEqual(["opened"]);
});

test("closed is closed", () => {
  const { socket } = keep();
  socket.close();
  online();
  vi.advanceTimersByTime(60_000);

  expect(Wire.all).toHaveLength(1);
});
