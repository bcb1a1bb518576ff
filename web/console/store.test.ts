import { describe, expect, test } from "vitest";
import type { Alert, Card, GatewayFrame, Update } from "../shared/frames/operator";
import { wordsIn } from "./i18n/words";
import {
  ALERTS_KEPT,
  cardsIn,
  changeOf,
  type Deed,
  hasWords,
  isChange,
  mine,
  promisedAt,
  reduce,
  ringsMe,
  sections,
  serverTime,
  standingOf,
  standsSince,
  START,
  type State,
  unseenAlerts,
  waitForMe,
  waiting,
  waitingSince,
} from "./store";
import { after, card, deed, held, live, ME, message, next, NOW, own, reading, snapshot, threadOf } from "./testing/samples";

const sessions = (cards: { session: string }[]): string[] => cards.map((one) => one.session);

describe("snapshot and updates", () => {
  test("a snapshot makes the first screen, and its mark is where to resume", () => {
    const state = live({ mine: [held("a")], waiting: [card("b")], counts: { mine: 1, waiting: 1 } });

    expect(sessions(mine(state))).toEqual(["a"]);
    expect(sessions(waiting(state))).toEqual(["b"]);
    expect(state).toMatchObject({ link: "live", at: "mark-0", counts: { mine: 1, waiting: 1 } });
  });

  test("whether and from where I can call comes with each snapshot", () => {
    const lines = [{ id: "l1", name: "Shop" }];

    expect(START.callsFrom).toEqual([]);
    expect(live({ calls_from: lines }).callsFrom).toEqual(lines);
    expect(after(live({ calls_from: lines }), snapshot()).callsFrom).toEqual([]);
  });

  test("a point of priority is ten minutes of waiting", () => {
    const ago = (minutes: number, priority = 0) => ({ queued: NOW - minutes * 60_000, priority });
    const state = live({ waiting: [card("old", ago(9)), card("new", ago(0)), card("vip", ago(0, 1)), card("late", ago(30, -3))] });

    expect(sessions(waiting(state))).toEqual(["vip", "old", "new", "late"]);
  });

  test("a new snapshot forgets what it does not name", () => {
    const state = after(live({ mine: [held("a")] }), snapshot({ waiting: [card("b")] }));

    expect(sessions(mine(state))).toEqual([]);
    expect(sessions(waiting(state))).toEqual(["b"]);
  });

  test("updates in their numbers move the mark", () => {
    const state = next(next(live(), { card: card("a") }), { card: held("a") });

    expect(state).toMatchObject({ n: 2, at: "mark-2", gap: false });
    expect(sessions(mine(state))).toEqual(["a"]);
    expect(waiting(state)).toEqual([]);
  });

  test("a missing number asks for a snapshot, and what follows on that socket is not believed", () => {
    const gap = after(live(), { t: "updates", n: 2, at: "mark-2", list: [{ card: card("a") }] });
    const later = after(gap, { t: "updates", n: 3, at: "mark-3", list: [{ card: card("b") }] });

    expect(gap).toMatchObject({ gap: true, at: null });
    expect(later).toBe(gap);
  });

  test("numbers begin again on every socket, the mark does not", () => {
    const state = reduce(live({}, { card: card("a") }), { type: "opened" });
    const resumed = next(after(state, { t: "resumed", at: "mark-1", now: NOW }), { card: card("b") });

    expect(resumed).toMatchObject({ n: 1, gap: false, link: "live" });
    expect(sessions(waiting(resumed))).toEqual(["a", "b"]);
  });

  test("counts, load and colleagues are taken as told; news of myself are mine", () => {
    const state = live(
      {},
      { counts: { mine: 3, waiting: 7 } },
      { load: 50 },
      { colleague: { id: ME.id, name: "Me", presence: "away" } },
      { colleague: { id: "ann", name: "Ann", presence: "online" } },
    );

    expect(state.counts).toEqual({ mine: 3, waiting: 7 });
    expect(state.me).toMatchObject({ load: 50, presence: "away" });
    expect(state.colleagues.ann?.presence).toBe("online");
  });
});

describe("the server's clock", () => {
  const MINUTES = 5 * 60_000;
  const words = wordsIn("en");
  const by = (ours: number, frame: GatewayFrame, state = START): State => reduce(state, { type: "frame", frame, now: ours });

  test.each([MINUTES, -MINUTES])("a clock that is off by %d ms shows the right seconds", (off) => {
    const offer = card("a", { status: "offered", offered_until: NOW + 45_000, queued: NOW - 20_000 });
    const state = by(NOW + off, snapshot({ mine: [offer], now: NOW }));
    const later = serverTime(state, NOW + off + 10_000);

    expect(words.duration((offer.offered_until ?? 0) - later)).toBe("35 sec");
    expect(words.duration(later - waitingSince(offer))).toBe("30 sec");
  });

  test("a clock that was set right meanwhile is noticed at the next greeting", () => {
    const state = by(NOW, { t: "resumed", at: "mark-1", now: NOW }, by(NOW + MINUTES, snapshot({ now: NOW })));

    expect(serverTime(state, NOW)).toBe(NOW);
  });

  test("who is typing is dated by the same clock", () => {
    const typing: GatewayFrame = { t: "typing", conversation: "c", who: "contact" };
    const state = by(NOW + MINUTES, typing, by(NOW + MINUTES, snapshot({ now: NOW })));

    expect(state.typing?.at).toBe(NOW);
  });
});

describe("news of leads", () => {
  test("a lead in the news, and a snapshot after which anything may be new, ask for another look", () => {
    const first = live();
    const told = next(first, { lead: "lead-1" });

    expect(next(first, { load: 5 }).leadNews).toBe(first.leadNews);
    expect(told.leadNews).toBeGreaterThan(first.leadNews);
    expect(after(told, snapshot()).leadNews).toBeGreaterThan(told.leadNews);
  });
});

describe("lists", () => {
  test("the waiting are those whom the gateway counts: queued, and nothing else", () => {
    const statuses = ["new", "queued", "offered", "active", "snoozed", "closed"];
    const state = live({ counts: { mine: 0, waiting: 1 } }, ...statuses.map((status) => ({ card: card(status, { status }) })));

    expect(sessions(waiting(state))).toEqual(["queued"]);
    expect(waiting(state)).toHaveLength(state.counts.waiting);
  });

  test("offers come first by their end, then who waits longest, then the latest news", () => {
    const state = live({
      mine: [
        held("quiet", { changed: NOW - 5 }),
        held("fresh", { changed: NOW - 1 }),
        held("waits", { unanswered: NOW - 10 }),
        held("waits longer", { unanswered: NOW - 20 }),
        card("offer late", { status: "offered", offered_until: NOW + 50 }),
        card("offer soon", { status: "offered", offered_until: NOW + 20 }),
      ],
    });

    expect(sessions(mine(state))).toEqual(["offer soon", "offer late", "waits longer", "waits", "fresh", "quiet"]);
    expect(waitForMe(state)).toBe(4);
  });

  test("what is offered to a colleague is not waiting for anybody else", () => {
    const state = live({}, { card: card("a", { status: "offered" }) });

    expect(waiting(state)).toEqual([]);
    expect(mine(state)).toEqual([]);
  });

  test("a session that left every list goes; the thread that shows it says so", () => {
    const state = next(reading(live({ waiting: [card("a")] }), card("a"), [message(1)]), { gone: "a" });

    expect(waiting(state)).toEqual([]);
    expect(state.thread).toMatchObject({ session: "a", gone: true });
  });

  test("a first page that is the whole list takes away what it does not name", () => {
    const asked = reduce(live({ waiting: [card("a"), card("b")] }), { type: "asked_list", box: "waiting", more: false });
    const state = after(asked, { t: "page", box: "waiting", cards: [card("b")] });

    expect(sessions(waiting(state))).toEqual(["b"]);
  });

  test("pages of all are added up, and begin anew with a first page", () => {
    const opened = (session: string, at: number) => card(session, { status: "closed", opened: at });
    const ask = (state: typeof START, more: boolean) => reduce(state, { type: "asked_list", box: "all", more });
    const first = after(ask(live(), false), { t: "page", box: "all", cards: [opened("c", 3), opened("b", 2)], next: "x" });
    const both = after(ask(first, true), { t: "page", box: "all", cards: [opened("a", 1)] });
    const anew = after(ask(both, false), { t: "page", box: "all", cards: [opened("d", 4)] });

    expect(first.paging.all).toEqual({ loading: null, loaded: true, next: "x" });
    expect(sessions(cardsIn(both, "all"))).toEqual(["c", "b", "a"]);
    expect(sessions(cardsIn(anew, "all"))).toEqual(["d"]);
  });

  describe("of calls", () => {
    const call = (session: string, more: Partial<Card> = {}): Card => card(session, { channel: "phone", talk: {}, ...more });
    const page = (box: "calls" | "missed", ...cards: Card[]): State =>
      after(reduce(live(), { type: "asked_list", box, more: false }), { t: "page", box, cards });

    test("those under way have whoever is not spoken with yet first, then the longest; what is over leaves", () => {
      const talk = (session: string, opened: number) => call(session, { status: "active", operator: "ann", opened });
      const state = page("calls", talk("long", 1), talk("short", 5), call("rings", { status: "offered", opened: 3 }), call("waits", { opened: 2 }));
      const later = next(state, { card: call("long", { status: "closed" }) }, { card: card("chat", { status: "active" }) }, { card: call("new") });

      expect(sessions(cardsIn(state, "calls"))).toEqual(["waits", "rings", "long", "short"]);
      expect(sessions(cardsIn(later, "calls"))).toEqual(["waits", "rings", "new", "short"]);
    });

    test("a missed one stands in its list until its caller was spoken with", () => {
      const missed = (session: string, opened: number) => call(session, { status: "closed", opened, talk: { missed: true } });
      const state = page("missed", missed("a", 1), missed("b", 2));
      const later = next(state, { card: call("a", { status: "closed" }) }, { card: missed("c", 3) });

      expect(sessions(cardsIn(state, "missed"))).toEqual(["b", "a"]);
      expect(sessions(cardsIn(later, "missed"))).toEqual(["c", "b"]);
    });

    test.each([
      ["waiting", call("a", { queued: 5 }), 5],
      ["ringing", call("a", { status: "offered", queued: 5 }), 5],
      ["talking", call("a", { status: "active", talk: { answered: 7 } }), 7],
      ["held", call("a", { status: "active", talk: { answered: 7, held: 9 } }), 9],
      ["asking", call("a", { status: "active", talk: { answered: 7, held: 9, consulted: "ann" } }), 9],
      ["missed", call("a", { status: "closed", talk: { missed: true } }), 0],
      ["over", call("a", { status: "closed", talk: { answered: 7 } }), 0],
      ["callback", call("a", { status: "closed", outcome: "callback" }), 0],
      ["promised", call("a", { queued: 5, talk: { outgoing: true, promised: 8 } }), 8],
      ["ringing", call("a", { status: "offered", queued: 5, talk: { outgoing: true, promised: 8 } }), 8],
      ["calling", call("a", { status: "active", talk: { outgoing: true, promised: 8, answered: 9 } }), 9],
      ["talking", call("a", { status: "active", talk: { outgoing: true, reached: true, promised: 8, answered: 9 } }), 9],
      ["waiting", call("a", { queued: 12, talk: { outgoing: true, reached: true, promised: 8, answered: 9 } }), 12],
      ["not_reached", call("a", { status: "closed", outcome: "not_reached", talk: { outgoing: true, promised: 8, tries: 2 } }), 0],
      ["over", call("a", { status: "closed", talk: { outgoing: true, reached: true, answered: 9 } }), 0],
    ])("one that is %s stands so since a moment of its own", (standing, shown, since) => {
      expect([standingOf(shown), standsSince(shown)]).toEqual([standing, since]);
    });

    test("who is to be called does not wait, and is under way when a phone rings for it", () => {
      const promised = call("a", { queued: 5, unanswered: 5, talk: { outgoing: true, promised: 8 } });
      const reached = call("a", { queued: 5, talk: { outgoing: true, reached: true, promised: 8 } });

      expect([promisedAt(promised), waitingSince(promised)]).toEqual([8, 0]);
      expect([promisedAt(reached), waitingSince(reached)]).toEqual([0, 5]);
      expect(promisedAt(call("a", { status: "offered", talk: { outgoing: true, promised: 8 } }))).toBe(0);
      expect(sessions(cardsIn(page("calls", promised), "calls"))).toEqual([]);
      expect(sessions(cardsIn(page("calls", { ...promised, status: "offered" }), "calls"))).toEqual(["a"]);
    });
  });

  test("a colleague who asks me about a call waits for me", () => {
    const asks = card("a", { channel: "phone", status: "active", operator: "ann", invited: [ME.id], talk: { held: 1, consulted: ME.id } });

    expect(waitForMe(live({ mine: [asks] }))).toBe(1);
  });

  test("a closed session waits for nobody, a taken one since its first unanswered word, a queued one since it queued", () => {
    expect(waitingSince(card("a", { status: "closed", unanswered: 5 }))).toBe(0);
    expect(waitingSince(held("a"))).toBe(0);
    expect(waitingSince(held("a", { unanswered: 5 }))).toBe(5);
    expect(waitingSince(card("a", { queued: 7 }))).toBe(7);
  });
});

describe("thread", () => {
  test("messages stand once each, in the order of seq, however often they are told", () => {
    const state = next(reading(live(), held("a"), [message(1), message(3)]), {
      message: message(2),
      conversation: "conversation-a",
    });
    const again = next(state, { card: held("a"), message: message(3, { text: "edited" }) });

    expect(again.thread?.messages.map((one) => one.seq)).toEqual([1, 2, 3]);
    expect(again.thread?.messages[2]?.text).toBe("edited");
  });

  test("words of another conversation do not get into the open one", () => {
    const state = next(reading(live(), held("a"), [message(1)]), { card: held("b"), message: message(2) });

    expect(state.thread?.messages).toHaveLength(1);
  });

  test("a late answer for a thread that is no longer open changes nothing", () => {
    const state = reduce(reading(live(), held("a"), [message(1)]), { type: "opening", session: "b" });

    expect(after(state, threadOf(held("a"), [message(1)])).thread).toMatchObject({ session: "b", status: "loading" });
  });

  test("earlier pages go before what is shown and stay when the thread is sent again", () => {
    const first = reading(live(), held("a"), [message(5), message(6)], true);
    const older = after(first, { t: "older", session: "a", messages: [message(3), message(4)], more: false });
    const again = after(older, threadOf(held("a"), [message(6), message(7)], true));

    expect(again.thread?.messages.map((one) => one.seq)).toEqual([3, 4, 5, 6, 7]);
    expect(again.thread?.more).toBe(false);
  });

  test("when more was missed than a page holds, the thread begins anew rather than with a hole", () => {
    const state = after(reading(live(), held("a"), [message(1)]), threadOf(held("a"), [message(50), message(51)], true));

    expect(state.thread?.messages.map((one) => one.seq)).toEqual([50, 51]);
    expect(state.thread?.more).toBe(true);
  });

  test("a session that does not exist says so; one that cannot be read now may be asked again", () => {
    const opening = reduce(live(), { type: "opening", session: "a" });

    expect(after(opening, { t: "error", code: "no_session", text: "" }).thread?.status).toBe("missing");
    expect(after(opening, { t: "error", code: "unavailable", text: "" }).thread?.status).toBe("failed");
  });

  test("a completed contact replaces the one beside its thread only", () => {
    const state = reading(live(), held("a"), []);
    const other = next(state, { contact: { id: "contact-b", name: "B" } });
    const completed = next(other, { contact: { id: "contact-a", name: "Anna" } });

    expect(other.thread?.contact?.name).toBe("Name a");
    expect(completed.thread?.contact?.name).toBe("Anna");
  });

  test("typing ends with the words that were typed", () => {
    const typing = after(reading(live(), held("a"), []), { t: "typing", conversation: "conversation-a", who: "contact" });

    expect(typing.typing).toMatchObject({ who: "contact", at: NOW });
    expect(next(typing, { message: message(1), conversation: "conversation-a" }).typing).toBeNull();
  });
});

describe("fates", () => {
  const shown = [own(1, "sent"), own(2, "failed"), message(3), own(4, "delivered"), own(5, "noted", { kind: "note" }), own(6, "sent")];
  const fates = (change: { seq: number; fate: string; upto?: boolean; problem?: string }): (string | undefined)[] =>
    next(reading(live(), held("a"), shown), { fate: { conversation: "conversation-a", ...change } }).thread?.messages.map(
      (one) => one.fate,
    ) ?? [];

  test("a fate is of one message", () => {
    expect(fates({ seq: 6, fate: "delivered" })).toEqual(["sent", "failed", "received", "delivered", "noted", "delivered"]);
  });

  test("a receipt up to a message lifts the outgoing ones before it, and only those on their way", () => {
    expect(fates({ seq: 6, fate: "read", upto: true })).toEqual(["read", "failed", "received", "read", "noted", "read"]);
  });

  test("a receipt never takes back what is known already", () => {
    expect(fates({ seq: 6, fate: "sent", upto: true })[3]).toBe("delivered");
  });

  test("a problem comes with its fate", () => {
    const state = next(reading(live(), held("a"), [own(1, "sending")]), {
      fate: { conversation: "conversation-a", seq: 1, fate: "failed", problem: "blocked" },
    });

    expect(state.thread?.messages[0]).toMatchObject({ fate: "failed", problem: "blocked" });
  });
});

describe("deeds", () => {
  const doing = (one: ReturnType<typeof deed>) => reduce(reading(live(), held("a"), []), { type: "did", deed: one });

  test("own words stand as pending until their echo, also when that is in another thread", () => {
    const accepted = after(doing(deed("d")), { t: "accepted", id: "d" });

    expect(accepted.deeds).toMatchObject([{ id: "d", state: "accepted" }]);
    expect(next(accepted, { card: held("a"), message: own(1, "queued", { command: "d" }) }).deeds).toEqual([]);
    expect(next(accepted, { card: held("b"), message: own(1, "queued", { command: "d" }) }).deeds).toEqual([]);
  });

  test("an echo before its acceptance is enough, and the acceptance then means nothing", () => {
    const echoed = next(doing(deed("d")), { card: held("a"), message: own(1, "queued", { command: "d" }) });

    expect(after(echoed, { t: "accepted", id: "d" }).deeds).toEqual([]);
  });

  test("a thread that shows the words ends their waiting", () => {
    const state = after(doing(deed("d")), threadOf(held("a"), [own(1, "sent", { command: "d" })]));

    expect(state.deeds).toEqual([]);
  });

  test("refused words are kept with their reason, a refused take becomes a notice", () => {
    const words = after(doing(deed("d")), { t: "refused", id: "d", code: "closed", text: "It is closed." });
    const take = after(doing(deed("t", { verb: "take", text: "" })), { t: "refused", id: "t", code: "too_late", text: "Late." });

    expect(words.deeds).toMatchObject([{ id: "d", state: "refused", code: "closed", text: "hello" }]);
    expect(words.notices).toEqual([]);
    expect(take.deeds).toEqual([]);
    expect(take.notices).toEqual([{ key: "t", code: "too_late", text: "Late.", verb: "take" }]);
  });

  test("words that were accepted can still be decided against", () => {
    const state = after(doing(deed("d")), { t: "accepted", id: "d" }, { t: "refused", id: "d", code: "closed", text: "" });

    expect(state.deeds).toMatchObject([{ state: "refused", text: "hello" }]);
  });

  test("an accepted take is done with: the card tells the rest", () => {
    expect(after(doing(deed("t", { verb: "take" })), { t: "accepted", id: "t" }).deeds).toEqual([]);
  });

  test("deeds of an earlier page come back once, before those of this one", () => {
    const state = reduce(doing(deed("new")), { type: "remembered", deeds: [deed("old"), deed("new")] });

    expect(state.deeds.map((one) => one.id)).toEqual(["old", "new"]);
  });

  test("a sentence of our own is told once, however often it is said", () => {
    const state = ["Lift it", "Lift it"].reduce((before, text) => reduce(before, { type: "told", text }), live());

    expect(state.notices).toMatchObject([{ code: "", text: "Lift it", verb: "" }]);
  });

  test("only the latest notices stand, each once", () => {
    const refuse = (id: string) => ({ t: "refused", id, code: "full", text: "" }) as const;
    const state = after(live(), refuse("1"), refuse("2"), refuse("3"), refuse("4"), refuse("3"));

    expect(state.notices.map((notice) => notice.key)).toEqual(["2", "4", "3"]);
    expect(reduce(state, { type: "dismissed", key: "4" }).notices).toHaveLength(2);
  });
});

describe("what is mine", () => {
  test("a dialogue that I joined, or am invited to, is mine as one that I hold", () => {
    const theirs = { status: "active", operator: "ann" };
    const state = live({ mine: [card("joined", { ...theirs, members: [ME.id] }), card("invited", { ...theirs, invited: [ME.id] }), held("own")] });

    expect(sessions(mine(state)).sort()).toEqual(["invited", "joined", "own"]);
  });

  test("who is only a member is not waited for, who is invited is", () => {
    const theirs = { status: "active", operator: "ann", unanswered: NOW - 10 };

    expect(waitForMe(live({ mine: [card("a", { ...theirs, members: [ME.id] })] }))).toBe(0);
    expect(waitForMe(live({ mine: [card("a", { ...theirs, invited: [ME.id] })] }))).toBe(1);
  });

  test("offers go first, then what is pinned, then what is in work, and what is snoozed last, by when it wakes", () => {
    const state = live({
      mine: [
        held("later", { status: "snoozed", snoozed_until: NOW + 20 }),
        held("sooner", { status: "snoozed", snoozed_until: NOW + 10, unanswered: NOW - 50 }),
        held("waits", { unanswered: NOW - 10 }),
        held("pinned", { changed: NOW - 99 }),
        card("offer", { status: "offered", offered_until: NOW + 50, passed_by: "ann" }),
      ],
      pins: ["pinned"],
    });

    expect(sessions(mine(state))).toEqual(["offer", "pinned", "waits", "sooner", "later"]);
    expect(sections(mine(state), state.pins).map(({ section, cards }) => [section, cards.length])).toEqual([
      ["offered", 1],
      ["pinned", 1],
      ["now", 1],
      ["snoozed", 2],
    ]);
  });

  test("what is snoozed waits for nobody, although its customer was not answered", () => {
    const snoozed = held("a", { status: "snoozed", snoozed_until: NOW + 10, unanswered: NOW - 50 });

    expect(waitingSince(snoozed)).toBe(0);
    expect(waitForMe(live({ mine: [snoozed] }))).toBe(0);
  });

  test("a dialogue that comes back is in work again", () => {
    const state = live({ mine: [held("a", { status: "snoozed", snoozed_until: NOW + 10 })] }, { card: held("a", { unanswered: NOW }) });

    expect(sections(mine(state), state.pins)).toMatchObject([{ section: "now", cards: [{ session: "a" }] }]);
  });
});

describe("pins", () => {
  test("pins are as the gateway last told them", () => {
    const state = live({ mine: [held("a")], pins: ["a"] }, { pins: ["a", "b"] });

    expect([...state.pins]).toEqual(["a", "b"]);
    expect([...next(state, { pins: [] }).pins]).toEqual([]);
    expect([...after(state, snapshot()).pins]).toEqual([]);
  });

  const theirs = card("b", { status: "active", operator: "ann" });

  test("a pinned dialogue of somebody else stands in mine, by the snapshot or by the card that comes with the pin", () => {
    const first = live({ pins: ["b"], pinned: [theirs] });
    const told = live({}, { card: theirs }, { pins: ["b"] });

    for (const state of [first, told]) {
      expect(sessions(mine(state))).toEqual(["b"]);
      expect(sessions(mine(next(state, { pins: [] })))).toEqual([]);
    }
  });

  test("a pinned dialogue that another takes, or that ends, stays pinned in mine", () => {
    const state = live({ waiting: [card("b")], pins: ["b"] }, { card: theirs });
    const ended = next(state, { card: card("b", { status: "closed", operator: "ann" }) });

    expect(waiting(state)).toEqual([]);
    for (const each of [state, ended]) expect(sections(mine(each), each.pins)).toMatchObject([{ section: "pinned", cards: [{ session: "b" }] }]);
  });

  test("a pinned dialogue that one may see no more goes, and stands there again when its card comes", () => {
    const gone = live({ pins: ["b"], pinned: [theirs] }, { gone: "b" });

    expect(mine(gone)).toEqual([]);
    expect(sessions(mine(next(gone, { card: theirs })))).toEqual(["b"]);
  });

  test("the whole list of mine does not take away what is only pinned", () => {
    const pinned = live({ pins: ["b"], waiting: [card("b")] });
    const asked = reduce(pinned, { type: "asked_list", box: "mine", more: false });

    expect(sessions(mine(after(asked, { t: "page", box: "mine", cards: [] })))).toEqual(["b"]);
  });
});

describe("alerts", () => {
  const alert = (session: string, what: Alert["what"] = "kpi_first"): Update => ({ alert: { session, what, line_name: "Shop", contact_name: "Joe" } });

  test("the newest is first and alone on the screen, all are unseen; looking at the list changes both", () => {
    const state = live({}, alert("a"), alert("b"));
    const seen = reduce(state, { type: "alerts_seen" });

    expect(state.alerts).toMatchObject([
      { session: "b", at: NOW, seen: false, shown: true },
      { session: "a", seen: false, shown: false },
    ]);
    expect(unseenAlerts(state)).toBe(2);
    expect(unseenAlerts(seen)).toBe(0);
    expect(seen.alerts.some((one) => one.shown)).toBe(false);
  });

  test("one that is taken off the screen stays in the list, unseen", () => {
    const state = reduce(live({}, alert("a")), { type: "dismissed", key: "kpi_first-a" });

    expect(state.alerts).toMatchObject([{ shown: false, seen: false }]);
  });

  test("the same again is one alert, and new again; another of the same dialogue is another", () => {
    const seen = reduce(live({}, alert("a"), alert("b")), { type: "alerts_seen" });
    const again = next(seen, alert("a"), alert("a", "nobody"));

    expect(again.alerts.map((one) => [one.what, one.session, one.seen])).toEqual([
      ["nobody", "a", false],
      ["kpi_first", "a", false],
      ["kpi_first", "b", true],
    ]);
  });

  test("only the latest are kept", () => {
    const many = Array.from({ length: ALERTS_KEPT + 5 }, (_, index) => alert(String(index)));

    expect(live({}, ...many).alerts).toHaveLength(ALERTS_KEPT);
  });
});

describe("a dialogue that is passed on", () => {
  const passing = (text: string) => reduce(reading(live(), held("a"), []), { type: "did", deed: deed("d", { verb: "transfer", text, operator: "ann" }) });
  const refused = { t: "refused", id: "d", code: "colleague_away", text: "" } as const;

  test("its note stands as pending until the thread shows it", () => {
    const accepted = after(passing("See above"), { t: "accepted", id: "d" });
    const note = own(1, "noted", { kind: "note", command: "d" });

    expect(accepted.deeds).toMatchObject([{ id: "d", state: "accepted" }]);
    expect(next(accepted, { message: note, conversation: "conversation-a" }).deeds).toEqual([]);
    expect(after(passing(""), { t: "accepted", id: "d" }).deeds).toEqual([]);
  });

  test("refused, its words are kept, and it is told wherever the operator looks now", () => {
    const state = after(passing("See above"), refused);

    expect(state.deeds).toMatchObject([{ state: "refused", text: "See above", operator: "ann" }]);
    expect(state.notices).toMatchObject([{ code: "colleague_away", verb: "transfer" }]);
    expect(after(passing(""), refused).deeds).toEqual([]);
  });
});

describe("a dialogue that begins anew", () => {
  const closed = card("a", { status: "closed", operator: ME.id });

  test("the thread of a closed one knows which one follows it", () => {
    const state = next(reading(live(), closed, [message(1)]), { card: held("b", { conversation: "conversation-a", opened: NOW }) });

    expect(state.thread).toMatchObject({ session: "a", next: "b", card: { status: "closed" } });
    expect(after(state, threadOf(closed, [message(1)])).thread?.next).toBe("b");
  });

  test("neither an earlier one nor one of another conversation follows", () => {
    const state = reading(live(), closed, [message(1)]);
    const earlier = next(state, { card: card("0", { conversation: "conversation-a", opened: 1 }) });

    expect(earlier.thread?.next).toBe("");
    expect(next(state, { card: held("b", { opened: NOW }) }).thread?.next).toBe("");
  });
});

test("my phone rings while a call is offered to me, and for nothing else", () => {
  const rings = { status: "offered", offered_until: NOW };

  expect(ringsMe(card("a", { channel: "phone", ...rings }))).toBe(true);
  expect(ringsMe(card("a", rings))).toBe(false);
  expect(ringsMe(card("a", { channel: "phone", status: "offered" }))).toBe(false);
  expect(ringsMe(card("a", { channel: "phone", ...rings, status: "closed" }))).toBe(false);
});

describe("messages that change after they were said", () => {
  const conversation = "conversation-a";
  const texts = (state: State): string[] => (state.thread?.messages ?? []).map((one) => one.text);
  const open = (...messages: Parameters<typeof message>[]): State =>
    reading(live({ mine: [held("a")] }), held("a"), messages.map((args) => message(...args)));
  const edit = (seq: number, text: string, edited_ms = NOW): Update => ({ message: message(seq, { text, extra: { edited_ms } }), conversation });

  test("an edit takes the place of what was said, and nothing else is new", () => {
    const before = open([1], [2]);
    const state = next(before, edit(1, "other words"));

    expect(texts(state)).toEqual(["other words", "text 2"]);
    expect([waitForMe(state), state.notices, state.alerts, state.cards]).toEqual([waitForMe(before), [], [], before.cards]);
  });

  test("who changed what was said may still be writing", () => {
    const typing = after(open([1]), { t: "typing", conversation, who: "contact" });

    expect(next(typing, edit(1, "other words")).typing).toMatchObject({ who: "contact" });
    expect(next(typing, { message: message(2), conversation }).typing).toBeNull();
  });

  test("a change of a message on a page that we do not have makes no hole before the one that we have", () => {
    const state = reading(live({ mine: [held("a")] }), held("a"), [message(101), message(102)], true);

    expect(texts(next(state, edit(3, "other words")))).toEqual(["text 101", "text 102"]);
    expect(texts(next(state, { message: message(103), conversation }))).toEqual(["text 101", "text 102", "text 103"]);
  });

  test("a file that has come takes the place of the one that was awaited", () => {
    const state = open([1, { text: "", extra: { files: [{ kind: "photo" }] } }]);
    const come = message(1, { text: "", extra: { files: [{ kind: "photo", state: "ready", id: "f1", preview: true }] } });

    expect(next(state, { message: come, conversation }).thread?.messages).toEqual([come]);
  });

  describe("by my own deed", () => {
    const reword = deed("r", { verb: "reword", text: "better", message: 1, state: "accepted" });
    const wish = (state: State, what: Deed): State => reduce(state, { type: "did", deed: what });

    test("it stands at its message, and not among what is yet to be said", () => {
      expect([isChange(reword), hasWords(reword)]).toEqual([true, true]);
      expect(changeOf([deed("x"), reword], "a", 1)).toBe(reword);
      expect([changeOf([reword], "a", 2), changeOf([reword], "b", 1)]).toEqual([undefined, undefined]);
    });

    test("new words stay until the message says them", () => {
      const accepted = after(wish(open([1]), { ...reword, state: "waiting" }), { t: "accepted", id: "r" });
      expect(accepted.deeds).toMatchObject([{ id: "r", state: "accepted" }]);

      expect(next(accepted, edit(1, "better")).deeds).toEqual([]);
    });

    test("a later edit of somebody else's ends them too", () => {
      expect(next(wish(open([1]), reword), edit(1, "best")).deeds).toEqual([]);
    });

    test("something else about the message does not", () => {
      const reacted = message(1, { extra: { reactions: ["👍"] } });

      expect(next(wish(open([1]), reword), { message: reacted, conversation }).deeds).toEqual([reword]);
    });

    test("a thread that says them already ends them", () => {
      const state = wish(live({ mine: [held("a")] }), reword);

      expect(reading(state, held("a"), [message(1, { text: "better" })]).deeds).toEqual([]);
    });

    test("words that were refused are kept for their author", () => {
      const state = after(wish(open([1]), { ...reword, state: "waiting" }), { t: "refused", id: "r", code: "taken_back", text: "Taken back." });

      expect(state.deeds).toMatchObject([{ state: "refused", code: "taken_back", text: "better" }]);
      expect(next(state, { message: message(1, { extra: { deleted_ms: NOW } }), conversation }).deeds).toHaveLength(1);
    });

    test("what could not be taken back is told", () => {
      const wished = wish(open([1]), deed("t", { verb: "take_back", text: "", message: 1 }));
      const state = after(wished, { t: "refused", id: "t", code: "not_ours", text: "Not ours." });

      expect(state.deeds).toEqual([]);
      expect(state.notices).toMatchObject([{ code: "not_ours", verb: "take_back" }]);
    });

    test("what was taken back stays to be read, and the wish is done", () => {
      const wished = after(wish(open([1]), deed("t", { verb: "take_back", text: "", message: 1 })), { t: "accepted", id: "t" });
      expect(changeOf(wished.deeds, "a", 1)).toMatchObject({ state: "accepted" });
      const state = next(wished, { message: message(1, { extra: { deleted_ms: NOW } }), conversation });

      expect([texts(state), state.deeds]).toEqual([["text 1"], []]);
    });
  });
});

test("what channels can comes with each snapshot, by their kind", () => {
  const telegram = { kind: "telegram", text_max: 4_096, files_max: 20, quotes: true };

  expect(live({ channels: [telegram] }).can).toEqual({ telegram });
  expect(after(live({ channels: [telegram] }), snapshot()).can).toEqual({});
});
