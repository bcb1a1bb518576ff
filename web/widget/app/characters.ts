// Text as the server counts it: in code points, and without halves of a pair.

/** Return how many characters *text* has. */
export function lengthOf(text: string): number {
  return Array.from(text).length;
}

/** Cut *text* to so many characters: not in the middle of a pair. */
export function clip(text: string, length: number): string {
  return Array.from(wellFormed(text)).slice(0, length).join("");
}

/** Half a surrogate pair is no text: the server would close the socket over it. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\u{FFFD}");
}
