import { describe, expect, test } from "vitest";
import type { ServerFrame } from "../../shared/frames/visitor";
import { connect } from "./connection";
import { FakeClock, FakeNet, welcome } from "./testing/world";

function start(chance = 0.5) {
  const clock = new FakeClock();
  const net = new FakeNet();
  const told: string[] = [];
  let greetings = 0;
  const connection = connect({
    dial: net.dial,
    clock,
    random: () => chance,
    hello: () => ({ t: "hello", since: greetings++ }),
    heard: (frame: ServerFrame) => told.push(frame.t),
    closed: (code) => told.push(`closed ${code}`),
    idle: () => told.push("idle"),
  });
  const online = () => net.last.open().say(welcome());
  /** How long after the close the next socket was dialled. */
  const waitAfter = (code: number): number => {
    const dialled = net.sockets.length;
    net.last.close(code);
    clock.pass(0);
    for (let waited = 0; ; waited += 50) {
      if (net.sockets.length > dialled) return waited;
      if (waited > 120_000) return Infinity;
      clock.pass(50);
    }
  };
  return { clock, net, told, connection, online, waitAfter };
}

describe("greeting", () => {
  test("hello goes first, asked for anew each time", () => {
    const { net, online, waitAfter } = start();

    online();
    waitAfter(1006);
    online();

    expect(net.sockets.map(({ sent }) => sent)).toEqual([[{ t: "hello", since: 0 }], [{ t: "hello", since: 1 }]]);
  });

  test("nothing is sent before the welcome", () => {
    const { net, connection, online } = start();

    net.last.open();
    const early = connection.send({ t: "typing" });
    online();

    expect([early, connection.send({ t: "typing" })]).toEqual([false, true]);
  });

  test.each(["before the socket opens", "after the hello"])("a server that is silent %s is given up after 10 s", (when) => {
    const { clock, net, told } = start();
    if (when === "after the hello") net.last.open();

    clock.pass(9_999);
    expect(told).toEqual([]);
    clock.pass(1);
    expect([told, net.last.closedByUs]).toEqual([["closed 1006"], true]);
    clock.pass(250);
    expect(net.sockets.length).toBe(2);
  });
});

describe("watching", () => {
  test("a ping goes every 25 s, and its answer keeps the connection", () => {
    const { clock, net, online } = start();
    online();

    for (let round = 0; round < 3; round++) {
      clock.pass(25_000);
      net.last.say({ t: "pong" });
    }

    expect([net.last.heard("ping").length, net.sockets.length]).toEqual([3, 1]);
  });

  test("no answer within 10 s, and the connection is made anew", () => {
    const { clock, net, told, online } = start();
    online();

    clock.pass(25_000 + 9_999);
    expect(told).toEqual(["welcome", "idle"]);
    clock.pass(1);
    expect([told.at(-1), net.last.closedByUs]).toEqual(["closed 1006", true]);
    clock.pass(250);
    expect(net.sockets.length).toBe(2);
  });

  test("any frame is an answer", () => {
    const { clock, net, online } = start();
    online();

    clock.pass(25_000);
    net.last.say({ t: "state", state: "waiting" });
    clock.pass(10_000);

    expect(net.sockets.length).toBe(1);
  });

  test("a socket that was given up is not listened to any more", () => {
    const { clock, net, told, online } = start();
    online();
    clock.pass(35_000 + 250);
    const before = [...told];

    net.sockets[0]?.say({ t: "pong" });
    net.sockets[0]?.close(1000);

    expect([told, net.sockets.length]).toEqual([before, 2]);
  });

  test("what is no JSON breaks the connection, not the page", () => {
    const { net, told, online } = start();
    online();

    net.last.sayText("<html>");

    expect(told).toEqual(["welcome", "closed 1006"]);
  });
});

describe("coming back", () => {
  test("the wait doubles from half a second to 20 s, and chance takes a part of it", () => {
    const { waitAfter } = start(0.5);

    const waits = Array.from({ length: 8 }, () => waitAfter(1006));

    expect(waits).toEqual([250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
  });

  test("a connection that held begins the waits anew; one that was closed at once does not", () => {
    const { clock, net, online, waitAfter } = start(0.5);
    [waitAfter(1006), waitAfter(1006), waitAfter(1006)].map(String);

    online();
    expect(waitAfter(1006)).toBe(2_000);
    online();
    clock.pass(10_001);
    net.last.say({ t: "pong" });
    expect(waitAfter(1006)).toBe(250);
  });

  test("a server that restarts is met within 3 s, by everybody at another moment", () => {
    expect([start(0).waitAfter(1012), start(0.5).waitAfter(1012), start(0.99).waitAfter(1012)]).toEqual([0, 1_500, 3_000]);
  });

  test("a wrong token is no reason to wait, once", () => {
    const { clock, net, online, waitAfter } = start(0.5);

    expect(waitAfter(4401)).toBe(0);
    expect(waitAfter(4401)).toBe(250);
    online();
    clock.pass(11_000);
    expect(net.sockets.length).toBe(3);
    expect(waitAfter(4401)).toBe(0);
  });

  test("the server says when to come back, and neither we nor the visitor come earlier", () => {
    const { clock, net, connection } = start(0.5);
    net.last.open().say({ t: "error", code: "too_many", text: "", retry_after: 30 });
    net.last.close(4429);

    clock.pass(29_900);
    connection.nudge();
    expect(net.sockets.length).toBe(1);
    clock.pass(100);
    expect(net.sockets.length).toBe(2);
  });

  test("there is no coming back to a line that does not exist", () => {
    const { clock, net, connection, waitAfter } = start();

    expect(waitAfter(4404)).toBe(Infinity);
    connection.nudge();
    connection.rest();
    clock.pass(60_000);
    expect(net.sockets.length).toBe(1);
  });
});

describe("a nudge", () => {
  test("ends the wait", () => {
    const { clock, net, connection, waitAfter } = start(0.5);
    Array.from({ length: 6 }, () => waitAfter(1006));
    net.last.close(1006);
    const before = net.sockets.length;

    connection.nudge();
    clock.pass(0);
    expect(net.sockets.length).toBe(before + 1);
    net.last.open().say(welcome());
    clock.pass(24_000);
    expect(net.sockets.length).toBe(before + 1);
  });

  test("makes a socket that seems well prove it", () => {
    const { clock, net, connection, online } = start();
    online();

    connection.nudge();
    expect(net.last.heard("ping").length).toBe(1);
    clock.pass(10_000);
    expect(net.last.closedByUs).toBe(true);
  });

  test("does not disturb a socket that is being opened", () => {
    const { net, connection } = start();

    connection.nudge();

    expect(net.sockets.length).toBe(1);
  });
});

test("a page that is put away holds no socket, and has one again when it comes back", () => {
  const { clock, net, told, connection, online } = start();
  online();

  connection.rest();
  clock.pass(120_000);
  expect([told.at(-1), net.last.closedByUs, net.sockets.length]).toEqual(["closed 1001", true, 1]);
  connection.nudge();
  clock.pass(0);
  expect(net.sockets.length).toBe(2);
});
