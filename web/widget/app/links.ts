// Web addresses inside a message. Only http and https: whatever else somebody writes stays text.

/** A piece of a message; *href* if it is an address. */
export interface Piece {
  text: string;
  href?: string;
}

/** Split *text* into words and addresses. Together the pieces' texts are *text*. */
export function piecesOf(text: string): Piece[] {
  // Every other part is an address.
  return text.split(/(\bhttps?:\/\/[^\s<>"«»]+)/i).flatMap((part, at) => {
    let address = at % 2 === 1 ? part : "";
    while (endsSentence(address)) address = address.slice(0, -1);
    return URL.canParse(address) ? [{ text: address, href: address }, { text: part.slice(address.length) }] : [{ text: part }];
  });
}

/** "(see https://example.com/a_(b))." ends with `a_(b)`: a bracket belongs to the address that opened it. */
function endsSentence(address: string): boolean {
  const last = address.slice(-1);
  const opening = { ")": "(", "]": "[" }[last];
  return opening === undefined ? /[.,;:!?'’…*]/.test(last) : address.split(last).length > address.split(opening).length;
}
