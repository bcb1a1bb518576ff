// Whatever a browser can play, made what a telephone plays.

import { DELAY, EVERY, lowpass, thinned, WORK_RATE } from "./filter";
import { isLonger, isSilent, levelled, RATE, SECONDS_MAX, trimmed, wavOf } from "./wav";

export interface Converted {
  wav: Blob;
  seconds: number;
  /** Nothing of it will be heard. */
  silent: boolean;
}

/** Why a file cannot become a sound. */
export type UnfitReason = "unreadable" | "too_long" | "too_big" | "empty";

export class Unfit extends Error {
  constructor(
    readonly reason: UnfitReason,
    /** How long it is, where that is why. */
    readonly seconds = 0,
  ) {
    super(reason);
  }
}

/** Megabytes of 1,000,000 bytes: ten minutes of the best there is have less, and more would not fit into a browser's memory. */
export const FILE_MB_MAX = 300;
const ASK_MS = 5_000;

/** Raises Unfit. */
export async function convert(file: Blob): Promise<Converted> {
  if (file.size === 0) throw new Unfit("empty");
  if (file.size > FILE_MB_MAX * 1_000_000) throw new Unfit("too_big");
  // Before it is decoded: an hour of music would take a gigabyte.
  refuseLong(await announcedSeconds(file));
  const bytes = await file.arrayBuffer().catch(() => null);
  if (bytes === null) throw new Unfit("unreadable");
  const decoded = await new OfflineAudioContext(1, 1, WORK_RATE).decodeAudioData(bytes).catch(() => null);
  if (decoded === null) throw new Unfit("unreadable");
  if (decoded.length < EVERY) throw new Unfit("empty");
  refuseLong(decoded.duration);
  const samples = levelled(trimmed(await thin(decoded)));
  return {
    wav: new Blob([wavOf(samples)], { type: "audio/wav" }),
    seconds: samples.length / RATE,
    silent: isSilent(samples),
  };
}

/** One channel, 8,000 samples a second. Left to itself a browser resamples with a filter that lets hiss through, or with none. */
async function thin(decoded: AudioBuffer): Promise<Float32Array> {
  const context = new OfflineAudioContext(1, decoded.length + DELAY, WORK_RATE);
  const buffer = context.createBuffer(1, lowpass().length, WORK_RATE);
  buffer.copyToChannel(lowpass(), 0);
  const source = new AudioBufferSourceNode(context, { buffer: decoded });
  // Of two sides the mean; of more what a browser makes of them for one loudspeaker.
  const mono = new GainNode(context, { channelCount: 1, channelCountMode: "explicit" });
  source.connect(mono).connect(new ConvolverNode(context, { buffer, disableNormalization: true })).connect(context.destination);
  source.start();
  const filtered = await context.startRendering();
  return thinned(filtered.getChannelData(0), DELAY, Math.floor(decoded.length / EVERY));
}

function refuseLong(seconds: number): void {
  if (isLonger(seconds, SECONDS_MAX)) throw new Unfit("too_long", seconds);
}

/** What the file says of its length; 0: nothing. */
function announcedSeconds(file: Blob): Promise<number> {
  const address = URL.createObjectURL(file);
  const audio = new Audio();
  audio.preload = "metadata";
  return new Promise<number>((resolve) => {
    audio.onloadedmetadata = () => resolve(Number.isFinite(audio.duration) ? audio.duration : 0);
    audio.onerror = () => resolve(0);
    setTimeout(() => resolve(0), ASK_MS);
    audio.src = address;
  }).finally(() => {
    audio.removeAttribute("src");
    audio.load();
    URL.revokeObjectURL(address);
  });
}
