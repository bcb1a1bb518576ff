import { expect, test } from "vitest";
import { DELAY, EVERY, lowpass, thinned, WORK_RATE } from "./filter";

/** How loud a tone is behind the filter, in decibels. */
function response(tone: number): number {
  let cosine = 0;
  let sine = 0;
  lowpass().forEach((tap, at) => {
    cosine += tap * Math.cos((2 * Math.PI * tone * at) / WORK_RATE);
    sine += tap * Math.sin((2 * Math.PI * tone * at) / WORK_RATE);
  });
  return 10 * Math.log10(cosine * cosine + sine * sine);
}

test("what a telephone carries passes as it is", () => {
  for (const tone of [0, 300, 1_000, 2_000, 3_400]) expect(response(tone), String(tone)).toBeCloseTo(0, 1);
});

test("what it would fold down into another tone is not heard", () => {
  for (const tone of [4_000, 4_500, 6_000, 8_000, 12_000, 23_000]) expect(response(tone), String(tone)).toBeLessThan(-60);
});

test("the filter delays everything alike", () => {
  const taps = lowpass();

  expect(taps.length).toBe(2 * DELAY + 1);
  expect([...taps].reverse()).toEqual([...taps]);
});

test("samples are left out from where it begins, and what is not there is silence", () => {
  const samples = Float32Array.from({ length: 4 * EVERY }, (_, at) => at);

  expect([...thinned(samples, 5, 4)]).toEqual([5, 11, 17, 23]);
  expect([...thinned(samples, 20, 2)]).toEqual([20, 0]);
});
