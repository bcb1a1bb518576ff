import { expect, test } from "vitest";
import { rows } from "./groups";
import { message, own } from "./testing/samples";

const MINUTE = 60_000;
const dayOf = (at: number): string => String(Math.floor(at / (24 * 60 * MINUTE)));
const kinds = (...messages: Parameters<typeof message>[1][]): string[] =>
  rows(
    messages.map((more, index) => message(index + 1, { at: index, ...more })),
    dayOf,
  ).map((row) => (row.kind === "group" ? `group ${row.messages.length}` : row.kind));

test("what one person says without a pause stands together", () => {
  expect(kinds({}, {}, { who: "operator" }, {})).toEqual(["day", "group 2", "group 1", "group 1"]);
});

test("a pause begins a new group", () => {
  expect(kinds({}, { at: 6 * MINUTE })).toEqual(["day", "group 1", "group 1"]);
});

test("a note never stands together with what the customer can read", () => {
  const reply = own(1, "sent", { at: 0 });

  expect(rows([reply, own(2, "noted", { at: 1, kind: "note" })], dayOf).filter((row) => row.kind === "group")).toHaveLength(2);
});

test("in a group each who writes stands apart, and so does what was answered elsewhere", () => {
  const by = (author: string): Parameters<typeof message>[1] => ({ extra: { author } });

  expect(kinds(by("Ann"), by("Ann"), by("Bob"))).toEqual(["day", "group 2", "group 1"]);
  expect(kinds({ who: "operator" }, { who: "operator", extra: { elsewhere: true } })).toEqual(["day", "group 1", "group 1"]);
});

test("a new day and a new session are told, in this order of importance", () => {
  const later = 24 * 60 * MINUTE;

  expect(kinds({ session: "a" }, { session: "b" })).toEqual(["day", "group 1", "session", "group 1"]);
  expect(kinds({ session: "a" }, { session: "b", at: later })).toEqual(["day", "group 1", "session", "day", "group 1"]);
});

test("a call is a line of its own, also between what one person says", () => {
  expect(kinds({}, { kind: "call" }, {}, {})).toEqual(["day", "group 1", "call", "group 2"]);
});

test("no messages are no rows", () => {
  expect(rows([], dayOf)).toEqual([]);
});
