// From a rate at which browsers decode well to the telephone's: what is too high for it is filtered out, then some samples are left out.

import { RATE } from "./wav";

/** How many samples are taken for one of the telephone's. */
export const EVERY = 6;
export const WORK_RATE = EVERY * RATE;
/** Odd, so that the filter delays by whole samples. With so many it goes from all to nothing (-74 dB) within 520 Hz. */
const TAPS = 511;
export const DELAY = (TAPS - 1) / 2;
/** Hz, the middle of the slope: nothing is left at 4,000, above which it would be heard as another tone. */
const CUT = 3_740;

/** The filter by which to convolve at WORK_RATE: a sinc in Blackman's window. What is low passes as loud as it was. */
export function lowpass(): Float32Array<ArrayBuffer> {
  const taps = Float32Array.from({ length: TAPS }, (_, at) => {
    const turn = (2 * Math.PI * at) / (TAPS - 1);
    const window = 0.42 - 0.5 * Math.cos(turn) + 0.08 * Math.cos(2 * turn);
    const x = (2 * CUT * (at - DELAY)) / WORK_RATE;
    return window * (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
  });
  const sum = taps.reduce((before, tap) => before + tap, 0);
  return taps.map((tap) => tap / sum);
}

/** One of EVERY samples, from *from* on, *count* of them. */
export function thinned(samples: Float32Array, from: number, count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, at) => samples[from + EVERY * at] ?? 0);
}
