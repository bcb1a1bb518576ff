// Samples as a telephone plays them: one channel, 8,000 a second, 16 bits, in a WAV. Nothing of a browser is used here.

/** Samples a second. */
export const RATE = 8_000;
/** As long as the server takes: of music, and of a prompt, to whose end a call waits. */
export const SECONDS_MAX = 600;
export const PROMPT_SECONDS_MAX = 100;
/** Encoders put a little silence around what they encode, and no finger is that quick: what is over by less is cut off. */
const GRACE_SECONDS = 0.5;

const HEADER_BYTES = 44;
const FULL = 32_767;
/** How loud speech shall be on the telephone, as the root mean square where somebody speaks: -18 dB of full scale. */
const LOUDNESS = 10 ** (-18 / 20);
/** No sample shall be above -1 dB: what comes after us (another codec, a phone) must have room. */
const PEAK = 10 ** (-1 / 20);
/** Whispering is raised; what is below is the room, which must not become a roar. */
const GAIN_MAX = 10;
/** Below it (-46 dB) a piece of 50 ms is a pause, which says nothing of how loud the speaker is. */
const PAUSE = 10 ** (-46 / 20);
const PIECE = RATE / 20;
/** A sound without a sample above it (-54 dB) will be heard by nobody. */
const SILENCE = 10 ** (-54 / 20);

/** The greatest distance from zero. */
export function peakOf(samples: Float32Array): number {
  let peak = 0;
  for (const sample of samples) {
    const height = Math.abs(sample);
    if (height > peak) peak = height;
  }
  return peak;
}

/** How long it may be. */
export function secondsMax(music: boolean): number {
  return music ? SECONDS_MAX : PROMPT_SECONDS_MAX;
}

/** Whether *seconds* are too many even for who is patient. */
export function isLonger(seconds: number, than: number): boolean {
  return seconds >= than + GRACE_SECONDS;
}

/** What is over a prompt's or a piece of music's length by a moment is cut off. */
export function trimmed(samples: Float32Array): Float32Array {
  const limit = [PROMPT_SECONDS_MAX, SECONDS_MAX].find((seconds) => samples.length > seconds * RATE && !isLonger(samples.length / RATE, seconds));
  return limit === undefined ? samples : samples.subarray(0, limit * RATE);
}

/** There is nothing in it that could be heard. */
export function isSilent(samples: Float32Array): boolean {
  return peakOf(samples) < SILENCE;
}

/** As loud as the others: quiet ones raised, loud ones lowered, as a whole, and never so far that it would be clipped. */
export function levelled(samples: Float32Array): Float32Array<ArrayBuffer> {
  const peak = peakOf(samples);
  if (peak < SILENCE) return samples.slice();
  const gain = Math.min(PEAK / peak, LOUDNESS / loudnessOf(samples), GAIN_MAX);
  return samples.map((sample) => sample * gain);
}

/** The root mean square of the pieces that are no pauses; where all are, of all. */
function loudnessOf(samples: Float32Array): number {
  let heard = 0;
  let heardCount = 0;
  let all = 0;
  for (let from = 0; from < samples.length; from += PIECE) {
    const piece = samples.subarray(from, from + PIECE);
    let power = 0;
    for (const sample of piece) power += sample * sample;
    all += power;
    if (Math.sqrt(power / piece.length) < PAUSE) continue;
    heard += power;
    heardCount += piece.length;
  }
  return heardCount > 0 ? Math.sqrt(heard / heardCount) : Math.sqrt(all / samples.length);
}

/** A WAV of samples from -1 to 1. What is beyond is cut off there, never turned over; what is no number is silence. */
export function wavOf(samples: Float32Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + 2 * samples.length);
  const view = new DataView(bytes.buffer);
  const text = (at: number, letters: string): void => {
    for (let index = 0; index < letters.length; index += 1) view.setUint8(at + index, letters.charCodeAt(index));
  };
  text(0, "RIFF");
  view.setUint32(4, bytes.length - 8, true);
  text(8, "WAVE");
  text(12, "fmt ");
  view.setUint32(16, 16, true); // bytes of this part
  view.setUint16(20, 1, true); // plain samples
  view.setUint16(22, 1, true); // one channel
  view.setUint32(24, RATE, true);
  view.setUint32(28, 2 * RATE, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a moment
  view.setUint16(34, 16, true); // bits
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, index) => {
    const height = Number.isNaN(sample) ? 0 : Math.max(-1, Math.min(1, sample));
    view.setInt16(HEADER_BYTES + 2 * index, Math.round(height * FULL), true);
  });
  return bytes;
}
