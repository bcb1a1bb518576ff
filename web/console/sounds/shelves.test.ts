import { expect, test } from "vitest";
import type { Sound } from "./rest";
import { besideOf, shelvesOf } from "./shelves";

function sound(name: string, more: Partial<Sound> = {}): Sound {
  return { name, ref: `our/${name}`, seconds: 1, music: false, changed_at: "2026-11-28T12:00:00Z", uses: [], ...more };
}

const ITEMS = [
  sound("welcome", { uses: [{ line_id: "1", line: "Shop of Ann", setting: "calls.greeting" }] }),
  sound("jazz", { music: true }),
  sound("busy"),
  sound("ambient", { music: true }),
];
const names = (sounds: Sound[]): string[] => sounds.map((one) => one.name);

test("prompts and music stand apart, by their names", () => {
  const { prompts, music } = shelvesOf(ITEMS, "");

  expect([names(prompts), names(music)]).toEqual([
    ["busy", "welcome"],
    ["ambient", "jazz"],
  ]);
});

test("what is looked for may be of the name, or of the line that uses it, in any order", () => {
  const found = (wanted: string): string[] => {
    const { prompts, music } = shelvesOf(ITEMS, wanted);
    return names([...prompts, ...music]);
  };

  expect(found("B")).toEqual(["busy", "ambient"]);
  expect(found(" shop  wel")).toEqual(["welcome"]);
  expect(found("our/jazz")).toEqual(["jazz"]);
  expect(found("nobody")).toEqual([]);
});

test("when a row goes, the focus goes to the next, from the last to the one before", () => {
  const shelves = shelvesOf(ITEMS, "");

  expect(["busy", "welcome", "jazz", "nobody"].map((name) => besideOf(shelves, name))).toEqual(["welcome", "ambient", "ambient", null]);
  expect(besideOf(shelvesOf([sound("a")], ""), "a")).toBeNull();
});
