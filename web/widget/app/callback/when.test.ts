import { expect, test } from "vitest";
import { momentOf, proposed, reachable, valueOf } from "./when";

// By the local clock of whoever runs this, wherever they are: so are these fields.
const at = (hours: number, minutes: number, seconds = 0) => new Date(2026, 10, 28, hours, minutes, seconds).getTime();
const DAY = 86_400_000;

test("a moment becomes the field's value and is the same moment again", () => {
  expect(valueOf(at(9, 5))).toBe("2026-11-28T09:05");
  expect(momentOf(valueOf(at(9, 5)))).toBe(at(9, 5));
});

test.each(["", "2026-13-40T25:61", "tomorrow"])("what is no moment is none, and nothing is made of it: %s", (value) => {
  const moment = momentOf(value);

  expect(Number.isNaN(moment)).toBe(true);
});

test("what can be asked for begins at the next step of 5 minutes and ends before 30 days are over", () => {
  const now = at(9, 3, 20);

  const [first, last] = reachable(now);

  expect(first).toBe(at(9, 5));
  expect([last <= now + 30 * DAY, last > now + 30 * DAY - 300_000]).toEqual([true, true]);
  expect((last - first) % 300_000).toBe(0);
});

test("the next full hour is proposed", () => {
  expect(proposed(at(9, 3), 0)).toBe(at(10, 0));
  expect(proposed(at(9, 0), 0)).toBe(at(10, 0));
  expect(valueOf(proposed(at(23, 59), 0))).toBe("2026-11-29T00:00");
});

test("while the line is closed its opening is proposed, never what lies beyond reach", () => {
  expect(proposed(at(20, 0), at(20, 0) + DAY)).toBe(at(20, 0) + DAY);
  expect(proposed(at(9, 3), at(8, 0))).toBe(at(10, 0));
  expect(proposed(at(9, 3), at(9, 3) + 90 * DAY)).toBe(reachable(at(9, 3))[1]);
});
