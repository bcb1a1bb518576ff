// Web addresses inside a message. Only http and https: whatever else somebody writes stays text.

/** A piece of a message; *href* if it is an address. */
export interface Piece {
  text: string;
  href?: string;
}

/** Split *text* into words and addresses. Together the pieces' texts are *text*. */
export function piecesOf(text: string): Piece[] {
  const pieces: Piece[] = [];
  let done = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"«»]+/gi)) {
    const address = withoutSentenceEnd(match[0]);
    if (!URL.canParse(address)) continue;
    if (match.index > done) pieces.push({ text: text.slice(done, match.index) });
    pieces.push({ text: address, href: address });
    done = match.index + address.length;
  }
  if (done < text.length) pieces.push({ text: text.slice(done) });
  return pieces;
}

/** "(see https://example.com/a_(b))." ends with `a_(b)`: a bracket belongs to the address that opened it. */
function withoutSentenceEnd(address: string): string {
  for (;;) {
    const last = address.at(-1) ?? "";
    const opening = { ")": "(", "]": "[" }[last];
    const stray = opening === undefined ? ".,;:!?'’…*".includes(last) : address.split(last).length > address.split(opening).length;
    if (!stray || last === "") return address;
    address = address.slice(0, -1);
  }
}
