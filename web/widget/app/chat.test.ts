import { describe, expect, test } from "vitest";
import type { Shown, Welcome } from "../../shared/frames/visitor";
import { openChat } from "./chat";
import { fakeKeep, FakeClock, FakeNet, FakeStorage, shown, welcome, type FakeSocket } from "./testing/world";

const KEY = "omniline:host:shop";
const clock = () => new FakeClock();

/** Open a tab of the site over *storage*. */
function tab(storage = new FakeStorage(), time = clock()) {
  const net = new FakeNet();
  let ids = 0;
  const name = tabs++;
  const desk = openChat({
    dial: net.dial,
    clock: time,
    random: () => 0.5,
    newId: () => `tab${name}-id${ids++}`,
    keep: fakeKeep(storage),
    key: KEY,
    source: () => ({ t: "hello", page: "https://shop.example/" }),
  });
  const online = (changes: Partial<Welcome> = {}): FakeSocket => {
    net.last.open().say(welcome(changes));
    return net.last;
  };
  return { desk, net, storage, clock: time, online };
}
let tabs = 0;

const texts = (socket: FakeSocket) => socket.heard("say").map(({ text }) => text);
const idOf = (socket: FakeSocket, at = -1): string => socket.heard("say").at(at)?.id ?? expect.fail("nothing was said");
const ack = (socket: FakeSocket, seq: number): void => socket.say({ t: "ack", id: idOf(socket), seq, at: 1 });
const outboxOf = (storage: FakeStorage) => Object.keys(storage).filter((key) => key.startsWith(`${KEY}:out:`));

describe("what the visitor wrote", () => {
  test("goes out one at a time, the next after the ack", () => {
    const { desk, online } = tab();
    const socket = online();

    for (const text of ["one", "two", "three"]) desk.say(text);
    expect(texts(socket)).toEqual(["one"]);
    ack(socket, 1);
    expect(texts(socket)).toEqual(["one", "two"]);
    ack(socket, 2);
    ack(socket, 3);

    expect(desk.chat().thread.map(({ text }) => text)).toEqual(["one", "two", "three"]);
  });

  test("before there is a connection goes out with it", () => {
    const { desk, online } = tab();

    desk.say("early");

    expect(texts(online())).toEqual(["early"]);
  });

  test("keeps its id over a lost connection", () => {
    const { desk, clock, online } = tab();
    const first = online();
    desk.say("one");

    first.close(1006);
    clock.pass(20_000);
    const second = online();

    expect([texts(second), idOf(second)]).toEqual([["one"], idOf(first)]);
  });

  test("keeps its id and its order over a reload", () => {
    const before = tab();
    const first = before.online();
    before.desk.say("one");
    before.desk.say("two");
    const after = tab(before.storage);
    const second = after.online();

    expect([texts(second), idOf(second)]).toEqual([["one"], idOf(first)]);
    ack(second, 1);
    expect(texts(second)).toEqual(["one", "two"]);
    ack(second, 2);
    expect(outboxOf(after.storage)).toEqual([]);
  });

  test("keeps its order when the server asks to wait: the next does not overtake", () => {
    const { desk, clock, online } = tab();
    const socket = online();
    desk.say("one");
    desk.say("two");

    socket.say({ t: "refused", id: idOf(socket), code: "too_many", text: "", retry_after: 5 });
    desk.say("three");
    clock.pass(4_999);
    expect(texts(socket)).toEqual(["one"]);
    clock.pass(1);
    expect([texts(socket), idOf(socket, 0)]).toEqual([["one", "one"], idOf(socket)]);
    ack(socket, 1);
    ack(socket, 2);
    ack(socket, 3);

    expect(texts(socket)).toEqual(["one", "one", "two", "three"]);
  });

  test("waits for the form where the line wants one, and goes out after it", () => {
    const { desk, online } = tab();
    const socket = online({ ask: ["email"] });
    desk.say("one");
    socket.say({ t: "refused", id: idOf(socket), code: "details_required", text: "" });

    desk.fillIn({ email: " ann@example.com " });
    const form = socket.heard("details")[0];
    socket.say({ t: "ack", id: form?.id ?? "", seq: 1, at: 1 });

    expect(form).toMatchObject({ name: "", email: "ann@example.com", phone: "" });
    expect(socket.sent.map(({ t }) => t)).toEqual(["hello", "say", "details", "say"]);
  });

  test("is sent on a new socket if this one answers pings and not that", () => {
    const { desk, clock, net, online } = tab();
    online();
    desk.say("one");

    clock.pass(20_250);

    expect(net.sockets.length).toBe(2);
    expect(texts(online())).toEqual(["one"]);
  });

  test("is not sent while it is too long, and stays where it was written", () => {
    const { desk, online } = tab();
    const socket = online({ text_max: 3 });

    desk.say("four");
    expect([texts(socket), desk.chat().draft]).toEqual([[], "four"]);
    desk.say(" abc ");
    expect([texts(socket), desk.chat().draft]).toEqual([["abc"], ""]);
    socket.say({ t: "ack", id: idOf(socket), seq: 1, at: 1 });
    // By the server's count: an emoji is one character.
    desk.say("😀😀😀");
    expect([texts(socket), desk.chat().draft]).toEqual([["abc", "😀😀😀"], ""]);
  });

  test("is readable for the server even with half a pair in it", () => {
    const { desk, online } = tab();
    const socket = online();

    desk.say("a\ud83d");

    expect(texts(socket)).toEqual(["a\ufffd"]);
  });

  test("blanks alone are nothing", () => {
    const { desk, online } = tab();
    const socket = online();

    desk.say(" \n ");

    expect(texts(socket)).toEqual([]);
  });

  test("as a draft is there after a reload, and not after it was sent", () => {
    const first = tab();
    first.desk.draft("half a sen");
    const second = tab(first.storage);
    expect(second.desk.chat().draft).toBe("half a sen");

    second.desk.say("half a sentence");

    expect(tab(first.storage).desk.chat().draft).toBe("");
  });
});

describe("two tabs of a site", () => {
  test("send what waits with the same id, and the other learns from the storage that it is done", () => {
    const one = tab();
    const first = one.online();
    one.desk.say("one");
    const other = tab(one.storage);
    const second = other.online();
    expect(idOf(second)).toBe(idOf(first));

    ack(first, 1);
    other.desk.changedElsewhere({ key: `${KEY}:out:${idOf(first)}`, newValue: null });

    expect([other.desk.chat().outbox, outboxOf(one.storage)]).toEqual([[], []]);
    second.say({ t: "ack", id: idOf(second), seq: 1, at: 1 });
    second.say({ t: "message", message: shown(1, "me", { id: idOf(first) }) });
    expect(other.desk.chat().thread.map(({ seq }) => seq)).toEqual([1]);
  });

  test("take over from one that was closed, at their next look around", () => {
    const time = clock();
    const stays = tab(new FakeStorage(), time);
    const socket = stays.online();
    const leaves = tab(stays.storage, time);
    leaves.desk.say("last words");

    time.pass(25_000);

    expect(texts(socket)).toEqual(["last words"]);
  });

  test("that come as strangers at once become one visitor: the first", () => {
    const [one, other] = [tab(), tab()];
    const late = tab(one.storage);
    expect(other.net.sockets.length).toBe(1);
    one.net.last.open();
    late.net.last.open();
    one.net.last.say(welcome({ token: "token-1" }));

    late.net.last.say(welcome({ token: "token-2" }));
    late.clock.pass(250);

    expect([late.net.sockets.length, one.storage[KEY]]).toEqual([2, "token-1"]);
    expect(late.net.last.open().heard("hello")[0]?.token).toBe("token-1");
  });

  test("do not take each other's new token away when the old one is refused", () => {
    const storage = new FakeStorage();
    storage[KEY] = "old";
    const [one, other] = [tab(storage), tab(storage)];
    for (const { net } of [one, other]) net.last.open();
    one.net.last.close(4401);
    one.clock.pass(0);
    one.online({ token: "new" });

    other.net.last.close(4401);
    other.clock.pass(0);

    expect(other.net.last.open().heard("hello")[0]?.token).toBe("new");
    expect(storage[KEY]).toBe("new");
  });
});

describe("the token", () => {
  test("is kept for the next visit, and the history begins anew there", () => {
    const { storage, online } = tab();
    online({ history: [shown(5)] });

    const hello = tab(storage).net.last.open().heard("hello")[0];

    expect(hello).toMatchObject({ token: "token-1", since: 0, page: "https://shop.example/" });
  });

  test("is forgotten when it is wrong; what was written is not", () => {
    const { desk, net, storage, clock, online } = tab();
    const first = online({ history: [shown(5)] });
    desk.say("one");

    first.close(4401);
    expect(storage[KEY]).toBeUndefined();
    clock.pass(0);
    net.last.open();

    expect(net.last.heard("hello")[0]).toMatchObject({ token: null, since: 0 });
    net.last.say(welcome({ token: "token-2" }));
    expect([texts(net.last), desk.chat().thread]).toEqual([["one"], []]);
  });

  test("resumes after what was shown", () => {
    const { net, clock, online } = tab();
    online({ history: [shown(5), shown(8)] }).close(1006);
    clock.pass(20_000);

    expect(net.last.open().heard("hello")[0]).toMatchObject({ token: "token-1", since: 8 });
  });
});

describe("seen", () => {
  const message = (seq: number): { t: "message"; message: Shown } => ({ t: "message", message: shown(seq) });

  test("is told once for a burst, and as read only where somebody looks", () => {
    const { desk, clock, online } = tab();
    const socket = online();
    for (const seq of [1, 2, 3]) socket.say(message(seq));

    clock.pass(300);
    expect(socket.heard("seen")).toEqual([{ t: "seen", upto: 3, read: false }]);
    desk.look(true, false);
    clock.pass(300);
    expect(socket.heard("seen").length).toBe(1);
    desk.look(true, true);
    clock.pass(300);
    expect(socket.heard("seen").at(-1)).toEqual({ t: "seen", upto: 3, read: true });
  });

  test("looking away takes nothing back", () => {
    const { desk, clock, online } = tab();
    const socket = online({ history: [shown(1)] });
    desk.look(true, true);
    clock.pass(300);

    desk.look(false, true);
    clock.pass(300);

    expect(socket.heard("seen")).toEqual([{ t: "seen", upto: 1, read: true }]);
  });

  test("is told again on a new connection: the last may not have arrived", () => {
    const { clock, online } = tab();
    online({ history: [shown(1)] });
    clock.pass(300);
    online().close(1006);
    clock.pass(20_000);
    const socket = online();

    clock.pass(300);

    expect(socket.heard("seen")).toEqual([{ t: "seen", upto: 1, read: false }]);
  });
});

describe("for the loader", () => {
  const noted = (storage: FakeStorage) => [storage[`${KEY}:wake`], storage[`${KEY}:unread`]];

  test("it is noted whether to come up by itself, and how much waits to be read", () => {
    const { desk, storage, online } = tab();
    desk.look(true, true);
    expect(noted(storage)).toEqual(["open", undefined]);
    const socket = online({ state: "active" });
    desk.look(false, true);
    expect(noted(storage)).toEqual(["quiet", undefined]);

    socket.say({ t: "message", message: shown(1) });
    expect(noted(storage)).toEqual(["quiet", "1"]);
    socket.say({ t: "state", state: "closed" });
    expect(noted(storage)).toEqual([undefined, "1"]);
    desk.look(true, true);
    expect(noted(storage)).toEqual(["open", undefined]);
  });

  test("a page without a connection does not forget that a session waits", () => {
    const storage = new FakeStorage();
    storage[`${KEY}:wake`] = "open";
    storage[`${KEY}:unread`] = "2";
    const { desk } = tab(storage);

    desk.look(true, true);
    desk.look(false, true);

    expect(noted(storage)).toEqual(["quiet", "2"]);
  });
});

test("earlier history is asked for once at a time, before the first that is shown", () => {
  const { desk, online } = tab();
  const socket = online({ history: [shown(50)], more: true });

  desk.older();
  desk.older();
  expect(socket.heard("older")).toEqual([{ t: "older", before: 50 }]);
  socket.say({ t: "history", messages: [shown(49)], more: false });
  desk.older();

  expect([socket.heard("older").length, desk.chat().thread.map(({ seq }) => seq)]).toEqual([1, [49, 50]]);
});

test("typing is told at most every 3 s, and not for taking letters away", () => {
  const { desk, clock, online } = tab();
  const socket = online();

  for (const text of ["a", "ab", "a", "abc"]) desk.draft(text);
  expect(socket.heard("typing").length).toBe(1);
  clock.pass(3_000);
  desk.draft("ab");
  expect(socket.heard("typing").length).toBe(1);
  desk.draft("abc");
  expect(socket.heard("typing").length).toBe(2);
});

test("an operator who stopped typing is not shown as typing for ever", () => {
  const { desk, clock, online } = tab();
  const socket = online();

  socket.say({ t: "typing", name: "Ann" });
  clock.pass(5_000);
  socket.say({ t: "typing", name: "Ann" });
  clock.pass(5_999);
  expect(desk.chat().typing).toBe("Ann");
  clock.pass(1);
  expect(desk.chat().typing).toBeNull();
});

test("a failed message can be thrown away, here and in the storage", () => {
  const { desk, storage, online } = tab();
  const socket = online();
  desk.say("one");
  socket.say({ t: "refused", id: idOf(socket), code: "banned", text: "Not here." });

  desk.discard(idOf(socket));

  expect([desk.chat().outbox, outboxOf(storage)]).toEqual([[], []]);
});

test("whoever listens hears what happens before the chat has changed, and may send past the queue", () => {
  const { desk, online } = tab();
  const heard: string[] = [];
  desk.listen((action) => heard.push(`${action.t} ${desk.chat().link}`));
  const early = desk.send({ t: "typing" });

  const socket = online();
  socket.close(1006);

  expect(heard.filter((line) => !line.startsWith("adopted"))).toEqual(["heard connecting", "closed online"]);
  expect([early, desk.send({ t: "typing" })]).toEqual([false, false]);
});

test("whoever draws is told of each change", () => {
  const { desk, online } = tab();
  let drawn = 0;
  desk.onChange(() => drawn++);

  online();
  const before = drawn;
  desk.draft("a");

  expect([before > 0, drawn - before]).toEqual([true, 1]);
});

describe("a button", () => {
  const question = shown(2, "system", { buttons: [{ label: "Good", value: "good" }] });

  test("says its value under an id of its own, and stays until it is answered", () => {
    const { desk, online } = tab();
    const socket = online({ history: [shown(1), question] });

    desk.press("good");
    desk.press("good");

    const presses = socket.heard("press");
    expect(presses.map(({ value }) => value)).toEqual(["good", "good"]);
    expect(new Set(presses.map(({ id }) => id)).size).toBe(2);
    socket.say({ t: "ack", id: presses[0]?.id ?? "", seq: 3, at: 1 });
    expect(desk.chat().thread).toEqual([shown(1), question]);
  });

  test("without a connection is not pressed", () => {
    const { desk, net, online } = tab();
    online({ history: [question] }).close(1006);

    desk.press("good");

    expect(net.last.heard("press")).toEqual([]);
    expect(desk.chat().outbox).toEqual([]);
  });
});
