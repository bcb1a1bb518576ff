// The parts of the browser that the chat is given as arguments.

import type { Clock, Dial } from "./connection";
import type { Catalogue } from "./texts";

/** Dial the server's visitor socket at *address*. */
export function dialTo(address: string): Dial {
  return (events) => Object.assign(new WebSocket(address), events);
}

export const systemClock: Clock = {
  now: Date.now,
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** Fetch a catalogue; not for ever: words in English are better than none. */
export async function fetchCatalogue(address: URL): Promise<Catalogue> {
  const answer = await fetch(address, { signal: AbortSignal.timeout(5_000) });
  return (await answer.json()) as Catalogue;
}

/** Return a name that nobody else will choose. */
export function newId(): string {
  // Not randomUUID, which is there on https and localhost only: a chat on a plain-http intranet needs ids too.
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

/** Listen to these events of *target*, for as long as the page lives. */
export function within(target: EventTarget, listeners: Readonly<Record<string, (event: Event) => void>>): void {
  for (const [name, listener] of Object.entries(listeners)) target.addEventListener(name, listener);
}
