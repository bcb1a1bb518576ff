import { describe, expect, test } from "vitest";
import { openChat } from "../chat";
import { fakeKeep, FakeClock, FakeNet, welcome, type FakeSocket } from "../testing/world";
import { openRequest, type Wish } from "./request";
import { momentOf, valueOf } from "./when";

/** Open a chat, and in it the place where a call is asked for. */
function begin() {
  const clock = new FakeClock();
  const net = new FakeNet();
  let ids = 0;
  const newId = () => `request-${ids++}`;
  const chat = openChat({
    dial: net.dial,
    clock,
    random: () => 0.5,
    newId,
    keep: fakeKeep(),
    key: "omniline:host:shop",
    source: () => ({ t: "hello" }),
  });
  let drawn = 0;
  const desk = openRequest({ desk: chat, clock, newId, changed: () => drawn++ });
  const online = (): FakeSocket => {
    net.last.open().say(welcome({ callback: true }));
    return net.last;
  };
  const ask = (changes: Partial<Wish> = {}) => {
    desk.type({ phone: "020 7946 0123", ...changes });
    desk.ask();
  };
  return { clock, net, chat, desk, online, ask, drawn: () => drawn };
}

const asked = (socket: FakeSocket) => socket.heard("callback");
const idOf = (socket: FakeSocket): string => asked(socket).at(-1)?.id ?? expect.fail("nothing was asked");
const promise = (socket: FakeSocket, at = 0): void => socket.say({ t: "promised", id: idOf(socket), phone: "+442079460123", at });
const refuse = (socket: FakeSocket, code: string, retry_after = 0): void =>
  socket.say({ t: "refused", id: idOf(socket), code, text: `because of ${code}`, retry_after });

describe("a request", () => {
  test("says whom to call, tidied up, and is under way until it is answered", () => {
    const { desk, online, ask } = begin();
    const socket = online();

    ask({ phone: "  020 7946 0123 ", name: ` Joe\ud83d${"x".repeat(300)}` });

    expect(asked(socket)).toMatchObject([{ phone: "020 7946 0123", name: `Joe\ufffd${"x".repeat(196)}`, at: 0 }]);
    expect(desk.request().asked).toEqual(asked(socket)[0]);
  });

  test("for a time of their own is for that moment; as soon as possible is for none, whatever was chosen before", () => {
    const { desk, online, ask } = begin();
    const socket = online();
    const at = momentOf("2026-12-01T10:30");

    ask({ later: true, at: valueOf(at) });
    promise(socket, at);
    desk.again();
    ask({ later: false });

    expect(asked(socket).map((frame) => frame.at)).toEqual([at, 0]);
  });

  test("for no moment at all does not go out", () => {
    const { desk, online, ask } = begin();
    const socket = online();

    ask({ later: true, at: "" });

    expect([asked(socket), desk.request().refusal?.code]).toEqual([[], "bad_time"]);
  });

  test("without a connection goes out when there is one", () => {
    const { desk, online, ask } = begin();

    ask();
    const waiting = desk.request().asked;

    expect(asked(online())).toEqual([waiting]);
  });

  test("goes out again under its id with every new connection, until it is answered", () => {
    const { clock, online, ask } = begin();
    const first = online();
    ask();
    first.close(1006);
    clock.pass(20_000);
    const second = online();
    second.close(1012);
    clock.pass(20_000);
    const third = online();

    expect([asked(second), asked(third)]).toEqual([asked(first), asked(first)]);
    promise(third);
    third.close(1006);
    clock.pass(20_000);
    expect(asked(online())).toEqual([]);
  });

  test("that a living socket does not answer within 20 s is sent on a new one", () => {
    const { clock, net, online, ask } = begin();
    online();
    ask();

    clock.pass(20_250);

    expect(net.sockets.length).toBe(2);
    expect(asked(online())).toEqual(asked(net.sockets[0] ?? expect.fail()));
  });

  test("that was answered leaves the socket alone", () => {
    const { clock, net, online, ask } = begin();
    const socket = online();
    ask();
    promise(socket);

    clock.pass(24_000);

    expect(net.sockets.length).toBe(1);
  });

  test("is asked once however often the button is pressed, and typing does not change it under way", () => {
    const { desk, online, ask } = begin();
    const socket = online();

    ask();
    ask({ phone: "1" });

    expect(asked(socket).length).toBe(1);
    expect(desk.request().wish.phone).toBe("020 7946 0123");
  });

  test("does not hear what is said to others", () => {
    const { desk, chat, online, ask } = begin();
    const socket = online();
    chat.say("hello");
    ask();

    socket.say({ t: "refused", id: socket.heard("say")[0]?.id ?? "", code: "too_many", text: "", retry_after: 5 });
    socket.say({ t: "promised", id: "somebody-else", phone: "+1", at: 0 });

    expect(desk.request()).toMatchObject({ asked: { t: "callback" }, promised: null, refusal: null });
  });

  test("that the server cannot read is not sent for ever: it would close the chat's socket each time", () => {
    const { desk, clock, online, ask } = begin();
    const first = online();
    ask();

    first.close(4400);
    clock.pass(20_000);

    expect([asked(online()), desk.request().asked, desk.request().refusal?.code]).toEqual([[], null, "unreadable"]);
  });

  test("that had not gone out is not what the server could not read", () => {
    const { desk, net, clock, online, ask } = begin();
    ask();

    net.last.close(1009);
    clock.pass(20_000);

    expect(asked(online())).toEqual([desk.request().asked]);
  });
});

describe("a promise", () => {
  test("is kept with the number that will be dialled, and ends the request", () => {
    const { desk, online, ask } = begin();
    ask();
    const socket = online();

    promise(socket);

    expect(desk.request()).toMatchObject({ asked: null, refusal: null, moved: false, promised: { phone: "+442079460123", at: 0 } });
  });

  test("for a later time than was asked for is told apart: nobody is there at that one", () => {
    const { desk, online, ask } = begin();
    const socket = online();
    const at = momentOf("2026-12-01T03:00");

    ask({ later: true, at: valueOf(at) });
    promise(socket, at + 3_600_000);

    expect(desk.request().moved).toBe(true);
  });

  test("for another moment than the soonest is none of their choice that was moved", () => {
    const { desk, online, ask } = begin();
    const socket = online();

    ask();
    promise(socket, momentOf("2026-12-01T09:00"));

    expect(desk.request().moved).toBe(false);
  });

  test("does not stand in the way of another request, which has an id of its own", () => {
    const { desk, online, ask } = begin();
    const socket = online();
    ask();
    promise(socket);

    desk.again();
    desk.ask();

    const [one, other] = asked(socket);
    expect([other?.phone, one?.id === other?.id, desk.request().promised]).toEqual(["020 7946 0123", false, null]);
  });
});

describe("a refusal", () => {
  test.each(["no_callback", "bad_phone", "bad_time", "called_already", "id_used", "whatever"])("by %s keeps what was typed, and the next press is another request", (code) => {
    const { desk, online, ask } = begin();
    const socket = online();
    ask({ name: "Joe" });

    refuse(socket, code);

    expect(desk.request()).toMatchObject({ asked: null, wish: { phone: "020 7946 0123", name: "Joe" }, refusal: { code, until: 0 } });
    desk.ask();
    const [one, other] = asked(socket);
    expect([one?.id === other?.id, desk.request().refusal]).toEqual([false, null]);
  });

  test.each(["too_many", "too_many_calls", "full", "unavailable"])("by %s says until when, and is never asked again by itself", (code) => {
    const { desk, clock, online, ask } = begin();
    const socket = online();
    ask();

    refuse(socket, code, 5);

    expect(desk.request().refusal?.until).toBe(clock.now() + 5_000);
    clock.pass(15_000);
    socket.close(1006);
    clock.pass(20_000);
    expect([asked(socket).length, asked(online()).length]).toEqual([1, 0]);
  });

  test("for now is answered under the same id while the request is the same, and under another when it is not", () => {
    const { desk, online, ask } = begin();
    const socket = online();
    ask();

    refuse(socket, "unavailable", 5);
    desk.ask();
    refuse(socket, "unavailable", 5);
    ask({ phone: "020 7946 0124" });

    const [one, again, other] = asked(socket).map(({ id }) => id);
    expect([again === one, other === one]).toEqual([true, false]);
  });

  test("for now that became a promise is over: the same wish after it is another request", () => {
    const { desk, online, ask } = begin();
    const socket = online();
    ask();

    refuse(socket, "too_many", 5);
    desk.ask();
    promise(socket);
    desk.again();
    desk.ask();

    const [one, again, other] = asked(socket).map(({ id }) => id);
    expect([again === one, other === one]).toEqual([true, false]);
  });

  test("is forgotten with the next press, and whoever draws is told of each", () => {
    const { desk, online, ask, drawn } = begin();
    const socket = online();
    ask();
    const before = drawn();

    refuse(socket, "bad_phone");
    const between = drawn();
    desk.ask();

    expect([between > before, drawn() > between]).toEqual([true, true]);
  });
});
