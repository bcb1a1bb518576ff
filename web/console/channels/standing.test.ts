import { expect, test } from "vitest";
import type { Channel, Health } from "./rest";
import { refused, shelved, standingOf } from "./standing";

const HEALTH: Health = { state: "well", code: "", problem: "", since: "2026-05-10T10:00:00Z", heard_at: null, came_at: null };

function channel(name: string, state: Health["state"] | null, more: Partial<Channel> = {}, since = "2026-05-10T10:00:00Z"): Channel {
  const health = state === null ? null : { ...HEALTH, state, since };
  return { id: name, line_id: "l", slug: name, kind: "telegram", name, active: true, version: 1, settings: {}, secrets: {}, health, ...more };
}

test("a channel that is switched off is off, whatever its provider said before", () => {
  expect(standingOf(channel("a", "refused", { active: false }))).toBe("off");
  expect(standingOf(channel("a", "refused"))).toBe("refused");
});

test("a channel without a provider is open, and stands among those that work", () => {
  expect(standingOf(channel("a", null))).toBe("open");
  expect(shelved([channel("a", null)])).toEqual([{ shelf: "working", items: [channel("a", null)] }]);
});

test("trouble comes first, by whom it has lasted longest; the others by name", () => {
  const all = [
    channel("b", "well"),
    channel("a", "unknown"),
    channel("off", "well", { active: false }),
    channel("late", "refused", {}, "2026-05-11T10:00:00Z"),
    channel("weather", "waiting"),
    channel("old", "refused", {}, "2026-05-01T10:00:00Z"),
  ];

  expect(shelved(all).map(({ shelf, items }) => [shelf, items.map((one) => one.name)])).toEqual([
    ["refused", ["old", "late"]],
    ["waiting", ["weather"]],
    ["working", ["a", "b"]],
    ["off", ["off"]],
  ]);
});

test("the banner is about those that are refused and switched on", () => {
  expect(refused([channel("a", "refused", { active: false }), channel("b", "waiting"), channel("c", "refused")]).map((one) => one.name)).toEqual(["c"]);
});
