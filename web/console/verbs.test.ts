import { describe, expect, test } from "vitest";
import type { Card, Me } from "../shared/frames/operator";
import { card, held, ME } from "./testing/samples";
import { may, type Verb } from "./verbs";

const BOSS: Me = { ...ME, role: "supervisor" };
const VERBS: readonly Verb[] = [
  "take",
  "decline",
  "reply",
  "close",
  "transfer",
  "assign",
  "take_over",
  "invite",
  "join",
  "leave",
  "snooze",
  "spam",
  "start",
  "review",
  "hold",
  "resume",
  "consult",
  "listen",
  "settle",
];

const can = (shown: Card, me: Me = ME): string => VERBS.filter((verb) => may(verb, shown, me)).join(" ");
const theirs = (more: Partial<Card> = {}): Card => card("a", { status: "active", operator: "ann", ...more });

describe("an operator", () => {
  test.each([
    ["waiting", card("a"), "take reply spam"],
    ["offered to me", card("a", { status: "offered", offered_until: 1 }), "take decline reply spam"],
    ["offered to a colleague", card("a", { status: "offered" }), "spam"],
    ["mine", held("a"), "reply close transfer invite snooze spam"],
    ["mine and snoozed", held("a", { status: "snoozed" }), "take reply close transfer invite snooze spam"],
    ["a colleague's", theirs(), ""],
    ["a colleague's, and I joined", theirs({ members: [ME.id] }), "reply invite leave spam"],
    ["a colleague's, and I am invited", theirs({ invited: [ME.id] }), "join leave"],
    ["passed by me to a colleague", card("a", { status: "offered", passed_by: ME.id }), "take reply close transfer spam"],
    ["passed by a colleague to another", card("a", { status: "offered", passed_by: "ann" }), ""],
    ["a colleague's and closed", theirs({ status: "closed" }), "start"],
    ["mine and closed", held("a", { status: "closed" }), "spam start"],
    ["closed without anybody", card("a", { status: "closed" }), "spam start"],
    ["mine, closed as spam", held("a", { status: "closed", outcome: "spam" }), "start"],
  ])("may, with one that is %s", (_, shown, verbs) => {
    expect(can(shown)).toBe(verbs);
  });
});

const call = (more: Partial<Card> = {}): Card => card("a", { channel: "phone", ...more });
const talking = (operator: string, more: Partial<Card> = {}): Card => call({ status: "active", operator, ...more });

describe("with a call", () => {
  test.each([
    ["that waits", call(), "take spam"],
    ["that rings at me", call({ status: "offered", offered_until: 1 }), "decline spam"],
    ["that rings at a colleague", call({ status: "offered" }), "spam"],
    ["that I passed on, and that still rings", call({ status: "offered", passed_by: ME.id }), "close transfer spam"],
    ["in which I talk", talking(ME.id), "close transfer invite spam hold consult"],
    ["that I have put on hold", talking(ME.id, { talk: { held: 1 } }), "close transfer invite spam resume consult"],
    ["about which I ask a colleague", talking(ME.id, { talk: { held: 1, consulted: "ann" } }), "close transfer invite spam resume"],
    ["about which a colleague asks me", talking("ann", { invited: [ME.id], talk: { held: 1, consulted: ME.id } }), ""],
    ["in which a colleague talks", talking("ann"), ""],
    ["in which a colleague talks, and I joined", talking("ann", { members: [ME.id] }), "invite leave spam"],
    ["that I had", talking(ME.id, { status: "closed" }), "spam"],
    ["that nobody answered", call({ status: "closed", talk: { missed: true } }), "spam settle"],
    ["that is promised", call({ talk: { outgoing: true } }), "take spam"],
    ["whose customer is being called by me", talking(ME.id, { talk: { outgoing: true } }), "close invite spam"],
    ["whose customer I have called", talking(ME.id, { talk: { outgoing: true, reached: true } }), "close transfer invite spam hold consult"],
  ])("an operator may, with one %s", (_, shown, verbs) => {
    expect(can(shown)).toBe(verbs);
  });

  test.each([
    ["that waits", call(), "take close transfer assign spam"],
    ["that rings at a colleague", call({ status: "offered" }), "close transfer assign spam"],
    ["in which a colleague talks", talking("ann"), "close transfer invite join spam listen"],
    ["that they hear", talking("ann", { talk: { listeners: [ME.id] } }), "close transfer invite join spam"],
    ["by which their phone rings to hear it", talking("ann", { talk: { listens: ME.id } }), "close transfer invite join spam"],
    ["whose customer is being called", talking("ann", { talk: { outgoing: true } }), "close invite join spam"],
    ["that a colleague had", talking("ann", { status: "closed" }), "spam review"],
  ])("a supervisor may, with one %s", (_, shown, verbs) => {
    expect(can(shown, BOSS)).toBe(verbs);
  });
});

describe("a supervisor", () => {
  test.each([
    ["waiting", card("a"), "take reply close transfer assign spam"],
    ["offered to a colleague", card("a", { status: "offered" }), "close transfer assign take_over spam"],
    ["a colleague's", theirs(), "close transfer assign take_over invite join spam"],
    ["a colleague's and snoozed", theirs({ status: "snoozed" }), "close transfer assign take_over invite join spam"],
    ["mine", held("a"), "reply close transfer assign invite snooze spam"],
    ["a colleague's and closed", theirs({ status: "closed" }), "spam start review"],
    ["my own and closed", held("a", { status: "closed" }), "spam start"],
    ["closed without anybody", card("a", { status: "closed" }), "spam start"],
  ])("may, with one that is %s", (_, shown, verbs) => {
    expect(can(shown, BOSS)).toBe(verbs);
  });
});

test("who is not known yet may nothing", () => {
  expect(VERBS.filter((verb) => may(verb, held("a"), null))).toEqual([]);
});
