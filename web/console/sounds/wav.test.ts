import { describe, expect, test } from "vitest";
import { isLonger, isSilent, levelled, peakOf, RATE, secondsMax, trimmed, wavOf } from "./wav";

const text = (bytes: Uint8Array, from: number, to: number): string => String.fromCharCode(...bytes.subarray(from, to));

/** A tone of 440 Hz with this peak. */
function tone(peak: number, seconds = 1): Float32Array {
  return Float32Array.from({ length: seconds * RATE }, (_, at) => peak * Math.sin((2 * Math.PI * 440 * at) / RATE));
}

const decibels = (value: number): number => 20 * Math.log10(value);

describe("a WAV", () => {
  test("says in its header what a telephone needs", () => {
    const bytes = wavOf(new Float32Array(3));
    const view = new DataView(bytes.buffer);

    expect([text(bytes, 0, 4), text(bytes, 8, 16), text(bytes, 36, 40)]).toEqual(["RIFF", "WAVEfmt ", "data"]);
    expect([4, 16, 24, 28, 40].map((at) => view.getUint32(at, true))).toEqual([36 + 6, 16, 8_000, 16_000, 6]);
    expect([20, 22, 32, 34].map((at) => view.getUint16(at, true))).toEqual([1, 1, 2, 16]);
  });

  test("has two bytes a sample behind the header", () => {
    expect([0, 1, 8_000].map((count) => wavOf(new Float32Array(count)).length)).toEqual([44, 46, 16_044]);
  });

  test("cuts off what is too loud, and does not turn it over", () => {
    const view = new DataView(wavOf(Float32Array.of(0, 1, -1, 1.5, -7, Infinity, NaN, 0.5)).buffer, 44);

    expect([0, 1, 2, 3, 4, 5, 6, 7].map((at) => view.getInt16(2 * at, true))).toEqual([
      0, 32_767, -32_767, 32_767, -32_767, 32_767, 0, 16_384,
    ]);
  });

  test("of silence is silence", () => {
    expect(wavOf(new Float32Array(100)).subarray(44).every((byte) => byte === 0)).toBe(true);
  });
});

describe("levelling", () => {
  test("brings quiet and loud tones to one loudness", () => {
    const peaks = [0.05, 0.3, 1].map((peak) => decibels(peakOf(levelled(tone(peak)))));

    // A tone's peak is 3 dB above its loudness.
    for (const peak of peaks) expect(peak).toBeCloseTo(-15, 1);
  });

  test("is not led astray by pauses", () => {
    const spoken = new Float32Array(10 * RATE);
    spoken.set(tone(0.1), 4 * RATE);

    expect(decibels(peakOf(levelled(spoken)))).toBeCloseTo(-15, 1);
  });

  test("never clips, however sharp the peaks", () => {
    const clicks = new Float32Array(RATE);
    for (let at = 0; at < RATE; at += 1_000) clicks[at] = 0.5;

    expect(decibels(peakOf(levelled(clicks)))).toBeCloseTo(-1, 1);
  });

  test("lowers what was decoded beyond full scale", () => {
    expect(peakOf(levelled(tone(1.8)))).toBeLessThan(1);
  });

  test("raises a whisper tenfold and no further", () => {
    expect(peakOf(levelled(tone(0.004)))).toBeCloseTo(0.04, 3);
  });

  test("leaves silence, and nothing at all, as they are", () => {
    expect(peakOf(levelled(tone(0.001)))).toBeCloseTo(0.001, 6);
    expect(levelled(new Float32Array(0)).length).toBe(0);
  });
});

test("what is over a limit by a moment is cut to it, and nothing else is", () => {
  const seconds = [1, 100, 100.3, 101, 300, 600, 600.4].map((length) => trimmed(new Float32Array(length * RATE)).length / RATE);

  expect(seconds).toEqual([1, 100, 100, 101, 300, 600, 600]);
  expect([99, 100, 100.4, 100.5].map((length) => isLonger(length, secondsMax(false)))).toEqual([false, false, false, true]);
  expect(isLonger(100.5, secondsMax(true))).toBe(false);
});

test("a hum that nobody hears is silence, a whisper is not", () => {
  expect([0, 0.001, 0.01].map((peak) => isSilent(tone(peak)))).toEqual([true, true, false]);
});
