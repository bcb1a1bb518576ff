import { expect, test } from "vitest";
import { deafBy, levelOf } from "./microphone";

test("what a browser rejects with becomes a reason that one can do something about", () => {
  expect(["NotAllowedError", "NotFoundError", "NotReadableError", "TypeError"].map(deafBy)).toEqual([
    "denied",
    "missing",
    "busy",
    "failed",
  ]);
});

test("the level goes from silence to full scale in even steps for the ear", () => {
  const level = (height: number): number => levelOf(new Float32Array(100).fill(height));

  expect([0, 0.0001, 1, 3].map(level)).toEqual([0, 0, 1, 1]);
  expect(level(0.1) - level(0.01)).toBeCloseTo(level(1) - level(0.1), 6);
  expect(levelOf(new Float32Array(0))).toBe(0);
});
