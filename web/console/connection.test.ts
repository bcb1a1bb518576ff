import { beforeEach, describe, expect, test } from "vitest";
import { connect, type Connection } from "./connection";
import { Store } from "./store";
import { card, FakeSocket, held, ME, memory, message, NOW, own, snapshot, threadOf } from "./testing/samples";

let socket: FakeSocket;
let store: Store;
let shelf: ReturnType<typeof memory>;
let suspicions: number;
let now: number;
let ids: number;

/** A page of the console on the same browser storage. */
function page(): Connection {
  socket = new FakeSocket();
  store = new Store();
  return connect(store, {
    operator: ME.id,
    shelf,
    dial: socket.dial,
    now: () => now,
    newId: () => `id-${++ids}`,
    suspectLogin: () => suspicions++,
  });
}

const sentDeeds = (): (string | undefined)[] => socket.sent.flatMap((frame) => (frame.t === "do" ? [frame.id] : []));

beforeEach(() => {
  shelf = memory();
  suspicions = 0;
  now = NOW;
  ids = 0;
});

describe("hello", () => {
  test("the first hello asks for everything, the next one for what was missed", () => {
    page();
    socket.connect();
    expect(socket.sent).toEqual([{ t: "hello" }]);

    socket.receive(snapshot(), { t: "updates", n: 1, at: "mark-1", list: [] });
    expect(socket.lose(1012)).toBe(true);
    expect(store.state.link).toBe("lost");

    socket.connect();
    expect(socket.sent).toEqual([{ t: "hello", resume: "mark-1" }]);
  });

  test("after a gap the socket is left and everything is asked for", () => {
    page();
    socket.connect();
    socket.receive(snapshot(), { t: "updates", n: 5, at: "mark-5", list: [] });
    expect(socket.restarts).toBe(1);

    socket.connect();
    expect(socket.sent).toEqual([{ t: "hello" }]);
  });

  test("the open thread, the list and the presence are said anew on a new socket", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.open("a");
    connection.list("all");
    connection.presence("away");
    socket.lose(1006);
    socket.connect();
    socket.receive({ t: "resumed", at: "mark-0", now: NOW });

    expect(socket.sent.slice(1)).toEqual([
      { t: "open", session: "a" },
      { t: "list", box: "all" },
      { t: "presence", state: "away" },
    ]);
  });

  test("a presence that the gateway has already is not said again", () => {
    const connection = page();
    connection.presence("online");
    socket.connect();
    socket.receive(snapshot());

    expect(socket.sent).toEqual([{ t: "hello" }]);
  });

  test("a login that has ended, or a foreign address, ends the coming back", () => {
    page();
    expect(socket.lose(4401)).toBe(false);
    expect(store.state.link).toBe("logged_out");
    expect(socket.lose(4403)).toBe(false);
    expect(store.state.link).toBe("forbidden");
  });

  test("only a socket that never opened makes one ask whether the login still holds", () => {
    page();
    socket.connect();
    socket.lose(1006);
    expect(suspicions).toBe(0);
    socket.lose(1006);
    expect(suspicions).toBe(1);
  });
});

describe("deeds", () => {
  test("a deed goes out once on a live socket, and again under its id on the next one until it is answered", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.deed("a", "reply", { text: "hello" });
    connection.deed("a", "close", { outcome: "sold" });
    expect(socket.sent.slice(1)).toEqual([
      { t: "do", id: "id-1", session: "a", verb: "reply", text: "hello" },
      { t: "do", id: "id-2", session: "a", verb: "close", outcome: "sold" },
    ]);

    socket.receive({ t: "accepted", id: "id-1" });
    socket.lose(1006);
    socket.connect();
    expect(sentDeeds()).toEqual([]);
    socket.receive({ t: "resumed", at: "mark-0", now: NOW });
    expect(sentDeeds()).toEqual(["id-2"]);
  });

  test("a deed says what its verb needs and nothing more, also when its words are sent again", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.deed("a", "transfer", { operator: "ann", text: "see above" });
    connection.deed("a", "assign", { line: "shop" });
    connection.deed("a", "snooze", { until: NOW + 5 });
    connection.deed("a", "spam", { ban: true });
    connection.deed("a", "join");
    expect(socket.sent.slice(1)).toEqual([
      { t: "do", id: "id-1", session: "a", verb: "transfer", operator: "ann", text: "see above" },
      { t: "do", id: "id-2", session: "a", verb: "assign", line: "shop" },
      { t: "do", id: "id-3", session: "a", verb: "snooze", until: NOW + 5 },
      { t: "do", id: "id-4", session: "a", verb: "spam", ban: true },
      { t: "do", id: "id-5", session: "a", verb: "join" },
    ]);

    socket.receive({ t: "refused", id: "id-1", code: "colleague_away", text: "" });
    connection.again("id-1");
    expect(socket.sent.at(-1)).toEqual({ t: "do", id: "id-6", session: "a", verb: "transfer", operator: "ann", text: "see above" });
  });

  test("a pin is asked for on a live socket only, and stands when the gateway says so", () => {
    const connection = page();
    connection.pin("a", true);
    socket.connect();
    socket.receive(snapshot());
    connection.pin("a", true);

    expect(socket.sent.slice(1)).toEqual([{ t: "pin", session: "a", on: true }]);
    expect(store.state.pins.size).toBe(0);
    socket.receive({ t: "updates", n: 1, at: "mark-1", list: [{ pins: ["a"] }] });
    expect([...store.state.pins]).toEqual(["a"]);
  });

  test("what is written while there is no connection goes out in its order when there is one", () => {
    const connection = page();
    connection.deed("a", "reply", { text: "one" });
    connection.deed("a", "reply", { text: "two" });
    socket.connect();
    socket.receive(snapshot());

    expect(sentDeeds()).toEqual(["id-1", "id-2"]);
  });

  test("a reload loses no unanswered deed and repeats no answered one", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.deed("a", "reply", { text: "stored" });
    now += 1;
    connection.deed("a", "reply", { text: "not answered" });
    socket.receive({ t: "accepted", id: "id-1" });

    page();
    expect(store.state.deeds).toMatchObject([{ id: "id-2", text: "not answered" }]);
    socket.connect();
    socket.receive(snapshot());
    expect(sentDeeds()).toEqual(["id-2"]);

    socket.receive({ t: "accepted", id: "id-2" });
    expect(shelf.keys()).toEqual([]);
  });

  test("refused words survive a reload without being sent again, and go out as a new deed when told to", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.deed("a", "reply", { text: "late" });
    socket.receive({ t: "refused", id: "id-1", code: "closed", text: "" });

    const reloaded = page();
    socket.connect();
    socket.receive(snapshot());
    expect(sentDeeds()).toEqual([]);
    reloaded.again("id-1");
    expect(sentDeeds()).toEqual(["id-2"]);
    expect(shelf.keys()).toEqual([`omniline.do.${ME.id}.id-2`]);
    reloaded.discard("id-2");
    expect(shelf.keys()).toEqual([]);
  });

  test("another operator's deeds on the same machine are left alone", () => {
    shelf.setItem("omniline.do.op-other.x", JSON.stringify({ id: "x", state: "waiting" }));
    page();

    expect(store.state.deeds).toEqual([]);
  });

  test("a deed the gateway could not read is not sent for ever", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.deed("a", "reply", { text: "odd" });
    expect(socket.lose(4400)).toBe(true);
    socket.connect();
    socket.receive(snapshot());

    expect(sentDeeds()).toEqual([]);
    expect(store.state.deeds).toMatchObject([{ state: "refused", code: "bad_frame", text: "odd" }]);
  });

  test("a mark the gateway could not read is not said again", () => {
    page();
    socket.connect();
    socket.receive(snapshot());
    socket.lose(1006);
    socket.connect();
    const first = socket.sent;
    socket.lose(4400);
    socket.connect();

    expect([first, socket.sent]).toEqual([[{ t: "hello", resume: "mark-0" }], [{ t: "hello" }]]);
  });
});

describe("threads and lists", () => {
  test("the earlier page is asked for once, from the first message shown", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot({ mine: [held("a")] }));
    connection.open("a");
    socket.receive(threadOf(held("a"), [message(7), own(8, "sent")], true));
    connection.older();
    connection.older();

    expect(socket.sent.slice(1)).toEqual([
      { t: "open", session: "a" },
      { t: "older", session: "a", before: 7 },
    ]);
  });

  test("more of a list is asked for by the mark of the page before", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.list("waiting");
    socket.receive({ t: "page", box: "waiting", cards: [card("a")], next: "after-a" });
    connection.list("waiting", true);

    expect(socket.sent.slice(1)).toEqual([
      { t: "list", box: "waiting" },
      { t: "list", box: "waiting", after: "after-a" },
    ]);
  });

  test("typing is told at most every three seconds", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.typing("a");
    now += 1_000;
    connection.typing("a");
    now += 3_000;
    connection.typing("a");

    expect(socket.sent.filter((frame) => frame.t === "typing")).toHaveLength(2);
  });

  test("leaving a thread is told, leaving none is not", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.leave();
    connection.open("a");
    connection.leave();

    expect(socket.sent.slice(1)).toEqual([{ t: "open", session: "a" }, { t: "leave" }]);
  });
});

describe("an answer with more than words", () => {
  const frames = () => socket.sent.filter((frame) => frame.t === "do");
  const files = [{ kind: "photo", state: "ready", id: "f1", name: "a.png" }, { kind: "document", state: "ready", id: "f2" }] as const;

  test("files go by their ids, what it answers by its seq; what it has not is left out", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.deed("a", "reply", { text: "", files, answers: { seq: 7, text: "Hi", name: "Ann" }, asksPhone: true });
    connection.deed("a", "reply", { text: "plain", files: [] });

    expect(frames()).toEqual([
      { t: "do", id: "id-1", session: "a", verb: "reply", files: ["f1", "f2"], answers: 7, asks_phone: true },
      { t: "do", id: "id-2", session: "a", verb: "reply", text: "plain" },
    ]);
  });

  test("refused, it is kept with its files over a reload, and sent again with them", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.deed("a", "reply", { text: "", files, answers: { seq: 7 } });
    socket.receive({ t: "refused", id: "id-1", code: "not_yours", text: "Not yours." });

    const reloaded = page();
    socket.connect();
    socket.receive(snapshot());
    expect(store.state.deeds).toMatchObject([{ state: "refused", files }]);
    reloaded.again("id-1");

    expect(frames()).toEqual([{ t: "do", id: "id-2", session: "a", verb: "reply", files: ["f1", "f2"], answers: 7 }]);
  });

  test("a change names its message", () => {
    const connection = page();
    socket.connect();
    socket.receive(snapshot());
    connection.deed("a", "reword", { text: "better", message: 3 });
    connection.deed("a", "take_back", { message: 4 });

    expect(frames()).toEqual([
      { t: "do", id: "id-1", session: "a", verb: "reword", text: "better", message: 3 },
      { t: "do", id: "id-2", session: "a", verb: "take_back", message: 4 },
    ]);
  });
});
