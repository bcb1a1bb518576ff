import { expect, test } from "vitest";
import { fieldOf, presets, SNOOZE_DAYS_MAX, timeOf } from "./snooze";

const at = (day: number, hour: number, minute = 0): number => new Date(2026, 5, day, hour, minute).getTime();
const offered = (now: number) => presets(now).map(({ preset, at: until }) => [preset, fieldOf(until)]);

test("on a weekday morning there are four times to choose from", () => {
  expect(offered(at(3, 10, 20))).toEqual([
    ["hour", "2026-06-03T11:20"],
    ["evening", "2026-06-03T18:00"],
    ["tomorrow", "2026-06-04T09:00"],
    ["monday", "2026-06-08T09:00"],
  ]);
});

test("an evening that has come, or comes in a moment, is not offered", () => {
  expect(offered(at(3, 17, 31)).map(([preset]) => preset)).toEqual(["hour", "tomorrow", "monday"]);
  expect(offered(at(3, 17, 30)).map(([preset]) => preset)).toContain("evening");
});

test("on a Sunday tomorrow is the next Monday, and is offered once", () => {
  expect(offered(at(7, 12)).filter(([, time]) => time === "2026-06-08T09:00")).toEqual([["tomorrow", "2026-06-08T09:00"]]);
});

test("on a Monday the next one is in a week", () => {
  expect(offered(at(8, 8)).at(-1)).toEqual(["monday", "2026-06-15T09:00"]);
});

test("a field says its time to the minute, and says it again", () => {
  const now = at(3, 10);

  expect(timeOf("2026-06-03T10:05", now, 1)).toBe(at(3, 10, 5));
  expect(fieldOf(at(3, 10, 5))).toBe("2026-06-03T10:05");
});

test("an empty field, a time that has passed and one that is too far away are no times", () => {
  const now = at(3, 10);

  const read = (field: string) => timeOf(field, now, SNOOZE_DAYS_MAX);
  expect(["", "2026-06-03T10:00", "2025-06-03T10:05", "2027-06-05T10:00", "soon"].map(read)).toEqual([null, null, null, null, null]);
  expect(["2026-07-03T10:00", "2026-07-03T10:01"].map((field) => timeOf(field, now, 30))).toEqual([new Date(2026, 6, 3, 10).getTime(), null]);
});
