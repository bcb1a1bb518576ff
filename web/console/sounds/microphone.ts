// A recording by the microphone of whoever sits here.

/** Why nothing is recorded. */
export type Deaf = "insecure" | "unsupported" | "denied" | "missing" | "busy" | "failed";

/** What getUserMedia rejected with, in our words. */
export function deafBy(name: string): Deaf {
  switch (name) {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotFoundError":
    case "OverconstrainedError":
      return "missing";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    default:
      return "failed";
  }
}

/** 0: nothing; 1: as loud as can be. Even steps for the ear, over 60 dB. */
export function levelOf(samples: Float32Array): number {
  let power = 0;
  for (const sample of samples) power += sample * sample;
  const loudness = Math.sqrt(power / Math.max(1, samples.length));
  return loudness === 0 ? 0 : Math.max(0, Math.min(1, 1 + (20 * Math.log10(loudness)) / 60));
}

export interface Recording {
  /** As of now; see levelOf. */
  level: () => number;
  /** Seconds. */
  length: () => number;
  stop: () => void;
  /** Stop, and tell nothing any more. */
  forget: () => void;
}

/** Begin. *done* is told of what was recorded when it was stopped, or the microphone was taken away. Rejects with a Deaf. */
export async function record(done: (recorded: Blob) => void): Promise<Recording> {
  // Browsers give a microphone to pages from https and from this very machine alone.
  if (!isSecureContext) throw new NotHeard("insecure");
  if (!("mediaDevices" in navigator) || !("MediaRecorder" in globalThis)) throw new NotHeard("unsupported");
  let stream: MediaStream;
  try {
    // An echo canceller would take the low voice for an echo; a steady level helps who does not know microphones.
    stream = await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: true, autoGainControl: true },
    });
  } catch (error) {
    throw new NotHeard(error instanceof DOMException ? deafBy(error.name) : "failed");
  }
  try {
    return recordingOf(stream, done);
  } catch {
    release(stream);
    throw new NotHeard("failed");
  }
}

export class NotHeard extends Error {
  constructor(readonly why: Deaf) {
    super(why);
  }
}

function recordingOf(stream: MediaStream, done: (recorded: Blob) => void): Recording {
  const context = new AudioContext();
  const analyser = context.createAnalyser();
  context.createMediaStreamSource(stream).connect(analyser);
  const heard = new Float32Array(analyser.fftSize);
  const recorder = new MediaRecorder(stream);
  const parts: Blob[] = [];
  let forgotten = false;
  const began = performance.now();

  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.onstop = () => {
    release(stream);
    void context.close();
    if (!forgotten) done(new Blob(parts, { type: recorder.mimeType }));
  };
  recorder.start();

  function stop(): void {
    if (recorder.state !== "inactive") recorder.stop();
  }

  return {
    level() {
      analyser.getFloatTimeDomainData(heard);
      return levelOf(heard);
    },
    length: () => (performance.now() - began) / 1_000,
    stop,
    forget() {
      forgotten = true;
      stop();
    },
  };
}

function release(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}
