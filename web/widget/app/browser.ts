// The parts of the browser that the chat is given as arguments.

import type { Clock, Dial } from "./connection";
import type { Catalogue } from "./texts";

/** Dial the server's visitor socket at *address*. */
export function dialTo(address: string): Dial {
  return (events) => {
    const socket = new WebSocket(address);
    socket.onopen = () => events.opened();
    socket.onmessage = ({ data }) => events.heard(String(data));
    socket.onclose = ({ code }) => events.closed(code);
    return { send: (text) => socket.send(text), close: () => socket.close() };
  };
}

export const systemClock: Clock = {
  now: () => Date.now(),
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
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Listen to these events of *target*, for as long as the page lives. */
export function within(target: EventTarget, listeners: Readonly<Record<string, (event: Event) => void>>): void {
  for (const [name, listener] of Object.entries(listeners)) target.addEventListener(name, listener);
}
