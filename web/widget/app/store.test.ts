import { describe, expect, test } from "vitest";
import type { ServerFrame } from "../../shared/frames/visitor";
import type { DetailsItem, SayItem } from "./outbox";
import { NOTHING, fieldsToAsk, reduce, requires, unread, wake, type Action, type Chat } from "./store";
import { shown, welcome } from "./testing/world";

const NOW = 1_700_000_000_000;

const heard = (frame: ServerFrame, chance = 0): Action => ({ t: "heard", frame, now: NOW, chance });
const after = (chat: Chat, ...actions: Action[]): Chat => actions.reduce(reduce, chat);
const seqs = (chat: Chat) => chat.thread.map(({ seq }) => seq);
const said = (id: string, order = 1): SayItem => ({ t: "say", id, order, text: `text of ${id}`, page: "", failed: "" });
const form: DetailsItem = { t: "details", id: "form-1", order: 1, name: "Ann", email: "ann@example.com", phone: "" };
const queued = (item: SayItem | DetailsItem): Action => ({ t: "queued", item });
const refused = (id: string, code: string, retry_after?: number, text = ""): ServerFrame => ({
  t: "refused",
  id,
  code,
  text,
  ...(retry_after !== undefined && { retry_after }),
});

describe("the thread", () => {
  test("is in the order of seq, each once, whatever comes in whatever order", () => {
    const chat = after(
      NOTHING,
      heard(welcome({ history: [shown(3), shown(5)], more: true })),
      heard({ t: "message", message: shown(9) }),
      heard({ t: "message", message: shown(7) }),
      heard({ t: "message", message: shown(9) }),
      heard({ t: "history", messages: [shown(1), shown(2), shown(3)], more: false }),
    );

    expect(seqs(chat)).toEqual([1, 2, 3, 5, 7, 9]);
    expect(chat.more).toBe(false);
  });

  test("goes on where it was when the connection comes back", () => {
    const chat = after(
      NOTHING,
      heard(welcome({ history: [shown(1), shown(2)], more: false })),
      { t: "closed", code: 1006 },
      heard(welcome({ history: [shown(4)], more: true })),
    );

    expect(seqs(chat)).toEqual([1, 2, 4]);
    // `more` was about what comes before 4, and we have that.
    expect(chat.more).toBe(false);
  });

  test("begins anew after a gap", () => {
    const chat = after(
      NOTHING,
      heard(welcome({ history: [shown(1), shown(2)] })),
      { t: "closed", code: 1006 },
      heard(welcome({ history: [shown(200)], gap: true, more: true })),
    );

    expect(seqs(chat)).toEqual([200]);
    expect(chat.more).toBe(true);
  });

  test("begins anew as another visitor", () => {
    const chat = after(
      NOTHING,
      heard(welcome({ history: [shown(1), shown(2)] })),
      { t: "closed", code: 4401 },
      { t: "forgotten" },
      heard(welcome({ token: "token-2", history: [shown(1, "system")] })),
    );

    expect(chat.thread).toEqual([shown(1, "system")]);
    expect([chat.since, unread(chat)]).toEqual([1, 1]);
  });

  test("own words from another tab do not move the mark to resume from: an answer below them may still be on its way", () => {
    const here = after(NOTHING, heard(welcome({ history: [shown(3), shown(4, "me")] })), heard({ t: "message", message: shown(6, "me") }));

    expect([here.since, seqs(here)]).toEqual([4, [3, 4, 6]]);
    expect(after(here, heard({ t: "message", message: shown(5) })).since).toBe(5);
    expect(seqs(after(here, { t: "closed", code: 1006 }, heard(welcome({ history: [shown(5), shown(6, "me")] }))))).toEqual([3, 4, 5, 6]);
  });

  test("an ack does not move the mark to resume from: an answer below it may still be on its way", () => {
    const chat = after(
      NOTHING,
      heard(welcome({ history: [shown(4)] })),
      queued(said("message-a")),
      heard({ t: "ack", id: "message-a", seq: 6, at: NOW }),
    );

    expect(chat.since).toBe(4);
    expect(seqs(after(chat, { t: "closed", code: 1006 }, heard(welcome({ history: [shown(5), shown(6, "me", { id: "message-a" })] }))))).toEqual([4, 5, 6]);
  });
});

describe("own words", () => {
  test("move from the outbox into the thread when they are acknowledged", () => {
    const chat = after(NOTHING, heard(welcome()), queued(said("message-a")), { t: "sent", id: "message-a" }, heard({ t: "ack", id: "message-a", seq: 3, at: NOW }));

    expect(chat.outbox).toEqual([]);
    expect(chat.inFlight).toBe("");
    expect(chat.thread).toEqual([{ seq: 3, who: "me", text: "text of message-a", at: NOW, id: "message-a" }]);
  });

  test("are shown once when the ack was lost and the history has them", () => {
    const chat = after(
      NOTHING,
      heard(welcome()),
      queued(said("message-a")),
      { t: "sent", id: "message-a" },
      { t: "closed", code: 1006 },
      heard(welcome({ history: [shown(3, "me", { id: "message-a" })] })),
    );

    expect([chat.outbox, seqs(chat)]).toEqual([[], [3]]);
  });

  test("are shown once when another tab has sent them and our ack comes late", () => {
    const chat = after(
      NOTHING,
      heard(welcome()),
      { t: "adopted", items: [said("message-a")] },
      { t: "sent", id: "message-a" },
      heard({ t: "message", message: shown(3, "me", { id: "message-a" }) }),
      heard({ t: "ack", id: "message-a", seq: 3, at: NOW }),
    );

    expect([chat.outbox, chat.inFlight, seqs(chat)]).toEqual([[], "", [3]]);
  });

  test("that are stored already are not adopted", () => {
    const chat = after(NOTHING, heard(welcome({ history: [shown(3, "me", { id: "message-a" })] })), { t: "adopted", items: [said("message-a")] });

    expect(chat.outbox).toEqual([]);
  });

  test("stay while the connection is gone, and nothing is in flight then", () => {
    const chat = after(NOTHING, heard(welcome()), queued(said("message-a")), { t: "sent", id: "message-a" }, { t: "closed", code: 1012 });

    expect([chat.link, chat.outbox, chat.inFlight]).toEqual(["offline", [said("message-a")], ""]);
  });

  test.each([4400, 1009])("that the server could not read (%i) fail, instead of closing every socket to come", (code) => {
    const chat = after(NOTHING, heard(welcome()), queued(said("message-a")), { t: "sent", id: "message-a" }, { t: "closed", code });

    expect(chat.outbox).toEqual([{ ...said("message-a"), failed: "unreadable" }]);
  });

  test("that failed are sent again when the visitor wants it, after what was written since", () => {
    const chat = after(
      NOTHING,
      heard(welcome()),
      queued(said("message-a", 1)),
      heard(refused("message-a", "banned", 0, "Not here.")),
      queued(said("message-b", 2)),
      { t: "retried", id: "message-a", order: 3 },
    );

    expect(chat.outbox).toEqual([said("message-b", 2), said("message-a", 3)]);
  });
});

describe("a refusal", () => {
  const waiting = after(NOTHING, heard(welcome()), queued(said("message-a")), { t: "sent", id: "message-a" });

  test("too_many holds the queue for as long as the server says", () => {
    const chat = after(waiting, heard(refused("message-a", "too_many", 7)));

    expect([chat.hold, chat.inFlight, chat.outbox]).toEqual([{ code: "too_many", until: NOW + 7_000 }, "", [said("message-a")]]);
  });

  test.each(["full", "unavailable"])("%s holds it longer each time, to a minute, and never less than asked", (code) => {
    let chat = waiting;
    const waits = Array.from({ length: 8 }, () => {
      chat = after(chat, heard(refused("message-a", code), 1));
      return ((chat.hold?.until ?? 0) - NOW) / 1_000;
    });

    expect(waits).toEqual([2, 4, 8, 16, 32, 60, 60, 60]);
    expect(after(waiting, heard(refused("message-a", code, 90))).hold?.until).toBe(NOW + 90_000);
  });

  test("too_long gives the words back to the composer, before what is written there", () => {
    const chat = after(waiting, { t: "drafted", text: "and more" }, heard(refused("message-a", "too_long")));

    expect([chat.outbox, chat.draft]).toEqual([[], "text of message-a\nand more"]);
  });

  test("bad_details gives the form back with what was in it and what is wrong", () => {
    const line = welcome({ ask: ["name", "email", "phone"], required: ["email"] });
    const chat = after(NOTHING, heard(line), queued(form), heard(refused("form-1", "bad_details", 0, "No such domain.")));

    expect(chat.returned).toEqual({ item: form, text: "No such domain." });
    expect(fieldsToAsk(chat)).toEqual(["name", "email", "phone"]);
  });

  test("details_required keeps the words, shows the form, and goes on when it is filled in", () => {
    const line = welcome({ ask: ["name", "email"] });
    const held = after(NOTHING, heard(line), { t: "skipped" }, queued(said("message-a")), heard(refused("message-a", "details_required")));
    const filled = after(held, queued({ ...form, name: "" }), heard({ t: "ack", id: "form-1", seq: 2, at: NOW }));

    expect([held.outbox.length, fieldsToAsk(held)]).toEqual([1, ["name", "email"]]);
    expect([filled.hold, filled.outbox, fieldsToAsk(filled)]).toEqual([null, [said("message-a")], []]);
  });

  test("of a kind that we do not know fails the message with the server's words", () => {
    expect(after(waiting, heard(refused("message-a", "banned", 0, "Not here."))).outbox).toEqual([{ ...said("message-a"), failed: "Not here." }]);
  });

  test("of something that we do not wait for changes nothing", () => {
    expect(after(waiting, heard(refused("other-id", "too_many", 7)))).toEqual(waiting);
  });
});

describe("the form", () => {
  const line = (changes: Parameters<typeof welcome>[0]) => after(NOTHING, heard(welcome({ ask: ["name", "email"], ...changes })));

  test("is not there before the line has said what it wants", () => {
    expect(fieldsToAsk(NOTHING)).toEqual([]);
  });

  test("asks for what is not known, first of all", () => {
    expect(fieldsToAsk(line({}))).toEqual(["name", "email"]);
    expect(fieldsToAsk(line({ known: ["name"], required: ["email"] }))).toEqual(["email"]);
  });

  test("of optional fields can be skipped, and is not shown to who has written or left one before", () => {
    expect(fieldsToAsk(after(line({}), { t: "skipped" }))).toEqual([]);
    expect(fieldsToAsk(line({ history: [shown(1)] }))).toEqual([]);
    expect(fieldsToAsk(line({ known: ["name"] }))).toEqual([]);
  });

  test("of required fields stays, whatever was said before", () => {
    expect(fieldsToAsk(after(line({ required: ["email"], history: [shown(1)] }), { t: "skipped" }))).toEqual(["name", "email"]);
  });

  test("is gone while the server has it, and after", () => {
    const sent = after(line({ required: ["email"] }), queued(form));

    expect(fieldsToAsk(sent)).toEqual([]);
    expect(fieldsToAsk(after(sent, heard({ t: "ack", id: "form-1", seq: 1, at: NOW })))).toEqual([]);
  });
});

describe("reading", () => {
  const three = after(NOTHING, heard(welcome({ history: [shown(1), shown(2, "me"), shown(3, "system")] })));

  test("own words are never unread", () => {
    expect(unread(three)).toBe(2);
  });

  test("what comes while the visitor watches is read", () => {
    const chat = after(three, { t: "watched", watching: true }, heard({ t: "message", message: shown(4) }), { t: "watched", watching: false }, heard({ t: "message", message: shown(5) }));

    expect([chat.read, unread(chat)]).toEqual([4, 1]);
  });

  test("what was read in another tab is read here", () => {
    expect(unread(after(three, { t: "read_elsewhere", seq: 3 }, { t: "read_elsewhere", seq: 1 }))).toBe(0);
  });
});

test("who types is shown until they have written", () => {
  const typing = after(NOTHING, heard(welcome()), heard({ t: "typing", name: "Ann" }));

  expect(typing.typing).toBe("Ann");
  expect(after(typing, heard({ t: "message", message: shown(1, "me") })).typing).toBe("Ann");
  expect(after(typing, heard({ t: "message", message: shown(1) })).typing).toBeNull();
  expect(after(typing, { t: "typing_over" }).typing).toBeNull();
});

test("the line and its state are the server's", () => {
  const chat = after(NOTHING, heard(welcome({ state: "waiting", text_max: 100 })), heard({ t: "state", state: "active", operator: "Ann" }));

  expect(chat).toMatchObject({ line: "Tea and kettles", textMax: 100, standing: "active", operator: "Ann" });
  expect(after(chat, heard({ t: "state", state: "closed" }))).toMatchObject({ standing: "closed", operator: "" });
});

test("whether they may ask to be called is the server's to say, at each welcome", () => {
  const chat = after(NOTHING, heard(welcome({ callback: true })));

  expect([NOTHING.callback, chat.callback, after(chat, heard(welcome())).callback]).toEqual([false, true, false]);
  expect(after(chat, heard({ t: "promised", id: "request-1", phone: "+442079460123" }))).toBe(chat);
});

test("a message that is refused as if it were a form has failed, and is not sent again for ever", () => {
  const chat = after(NOTHING, heard(welcome()), queued(said("message-a")), heard(refused("message-a", "bad_details")));

  expect(chat.outbox).toMatchObject([{ id: "message-a", failed: "bad_details" }]);
});

test("the next page wakes the application for an open panel, an unsent word, a session that goes on", () => {
  const idle = after(NOTHING, heard(welcome()));
  const failed = after(idle, queued(said("message-a")), heard(refused("message-a", "banned")));

  expect([wake(idle, true), wake(idle, false)]).toEqual(["open", null]);
  expect(wake(after(idle, queued(said("message-a"))), false)).toBe("quiet");
  expect(wake(failed, false)).toBeNull();
  expect((["none", "waiting", "active", "closed"] as const).map((state) => wake(after(NOTHING, heard(welcome({ state }))), false))).toEqual([null, "quiet", "quiet", null]);
});

test("a line that does not exist is said to be missing", () => {
  expect(after(NOTHING, { t: "closed", code: 4404 }).link).toBe("missing");
});

describe("a closed line", () => {
  const closed = { ask: ["name", "email", "phone"], reach: true, opens_at: NOW + 3_600_000 } as const;
  const hours = (changes: object = closed): ServerFrame => ({ t: "hours", ask: [], ...changes });

  test("asks how to reach whoever begins, one way being enough", () => {
    const stranger = after(NOTHING, heard(welcome({ ...closed, ask: [...closed.ask] })));
    const named = after(NOTHING, heard(welcome({ ...closed, ask: [...closed.ask], known: ["name"] })));
    const reached = after(NOTHING, heard(welcome({ ...closed, ask: [...closed.ask], known: ["phone"] })));

    expect(fieldsToAsk(stranger)).toEqual(["name", "email", "phone"]);
    expect(fieldsToAsk(named)).toEqual(["email", "phone"]);
    expect(fieldsToAsk(reached)).toEqual([]);
    expect(stranger.ask.map((field) => requires(stranger, field))).toEqual([false, true, true]);
    expect(reached.ask.map((field) => requires(reached, field))).toEqual([false, false, false]);
  });

  test("asks nothing of somebody whom we are with already", () => {
    for (const state of ["waiting", "active"] as const) {
      expect(fieldsToAsk(after(NOTHING, heard(welcome({ state })), heard(hours())))).toEqual([]);
    }
    expect(fieldsToAsk(after(NOTHING, heard(welcome({ state: "closed", history: [shown(1)] })), heard(hours())))).toHaveLength(3);
  });

  test("that opens asks no more, and sends what has waited for the form", () => {
    const held = after(
      NOTHING,
      heard(welcome()),
      queued(said("message-a")),
      { t: "sent", id: "message-a" },
      heard(hours()),
      heard(refused("message-a", "details_required")),
    );
    const open = after(held, heard(hours({})));

    expect([held.hold?.until, fieldsToAsk(held).length, held.opensAt]).toEqual([Infinity, 3, closed.opens_at]);
    expect([open.hold, fieldsToAsk(open), open.opensAt, open.outbox.length]).toEqual([null, [], 0, 1]);
  });
});
