// Something read again and again while it is on the screen: the board. What was read last stays when the server fails.

import { detailOf, Problem } from "./api";

export interface Watched<T> {
  value: T | null;
  /** By our own clock: when *value* was read. */
  readAt: number;
  /** The last reading failed: *value* is what it was, not what it is. */
  failed: boolean;
  problem: string;
}

export interface Watcher {
  /** Begin, or go on after `rest`; reads at once. */
  look(): void;
  /** Nobody is looking. */
  rest(): void;
}

export interface Surroundings {
  now(): number;
  /** Call *then* in *ms*; returns what calls it off. */
  wait(ms: number, then: () => void): () => void;
}

/** *read* it every *everyMs*, counted from the answer, so that a slow server is not asked twice at once. */
export function watch<T>(
  read: () => Promise<T>,
  everyMs: number,
  tell: (watched: Watched<T>) => void,
  loggedOut: () => void,
  around: Surroundings,
): Watcher {
  let known: Watched<T> = { value: null, readAt: 0, failed: false, problem: "" };
  let looking = false;
  let reading = false;
  let cancel: (() => void) | null = null;

  async function readOnce(): Promise<void> {
    if (reading) return;
    reading = true;
    try {
      const value = await read();
      known = { value, readAt: around.now(), failed: false, problem: "" };
    } catch (error) {
      if (error instanceof Problem && error.status === 401) {
        if (looking) loggedOut();
        looking = false;
      }
      known = { ...known, failed: true, problem: detailOf(error) };
    } finally {
      reading = false;
    }
    if (!looking) return;
    tell(known);
    cancel?.();
    cancel = around.wait(everyMs, () => void readOnce());
  }

  return {
    look() {
      looking = true;
      cancel?.();
      cancel = null;
      void readOnce();
    },
    rest() {
      looking = false;
      cancel?.();
      cancel = null;
    },
  };
}
