// Strangers' words made fit for the screen: as text only, never as markup.

/** Characters that turn the direction of what follows: in a name they can make one person look like another. */
const BIDI_CONTROLS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
/** Control characters and line ends have no place in a name. */
const CONTROLS = /\p{Cc}+/gu;

export function cleanName(name: string): string {
  return name.replace(BIDI_CONTROLS, "").replace(CONTROLS, " ").trim();
}

/** The name of a file, short enough for a row: its beginning and its ending, for by that one sees what it is. */
export function middle(name: string, most = 56): string {
  const letters = Array.from(cleanName(name));
  if (letters.length <= most) return letters.join("");
  const tail = Math.floor(most / 3);
  return `${letters.slice(0, most - tail - 1).join("").trimEnd()}…${letters.slice(-tail).join("").trimStart()}`;
}

/** An E.164 number in the groups that its people write it in, where we know them; else as it is. */
export function phoneText(number: string): string {
  const clean = cleanName(number);
  const russian = /^\+7(\d{3})(\d{3})(\d{2})(\d{2})$/u.exec(clean);
  if (russian !== null) return `+7 ${russian[1]} ${russian[2]}-${russian[3]}-${russian[4]}`;
  const american = /^\+1(\d{3})(\d{3})(\d{4})$/u.exec(clean);
  return american === null ? clean : `+1 ${american[1]} ${american[2]}-${american[3]}`;
}

export interface Piece {
  text: string;
  /** Where it leads; only http and https ever do. */
  href?: string;
}

const ADDRESS = /\bhttps?:\/\/[^\s<>"'`\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/giu;
const OPENERS: Readonly<Record<string, string>> = { ")": "(", "]": "[", "}": "{" };
const PUNCTUATION = new Set(".,:;!?…*_~»”");

/** Cut *text* into plain pieces and links. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let end = 0;
  for (const match of text.matchAll(ADDRESS)) {
    const address = withoutTail(match[0]);
    if (!leadsSomewhere(address)) continue;
    if (match.index > end) found.push({ text: text.slice(end, match.index) });
    found.push({ text: address, href: address });
    end = match.index + address.length;
  }
  if (end < text.length) found.push({ text: text.slice(end) });
  return found;
}

/** The sentence's own punctuation is not part of the address; a closing bracket is when it was opened there. */
function withoutTail(address: string): string {
  // How many of each bracket stand unclosed (or, below zero, unopened): counted once, for a stranger may send thousands.
  const open = new Map<string, number>();
  for (const letter of address) {
    const opener = OPENERS[letter];
    if (opener !== undefined) open.set(opener, (open.get(opener) ?? 0) - 1);
    else if ("([{".includes(letter)) open.set(letter, (open.get(letter) ?? 0) + 1);
  }
  let end = address.length;
  for (; end > 0; end -= 1) {
    const last = address.charAt(end - 1);
    const opener = OPENERS[last];
    if (opener !== undefined && (open.get(opener) ?? 0) < 0) open.set(opener, (open.get(opener) ?? 0) + 1);
    else if (!PUNCTUATION.has(last)) break;
  }
  return address.slice(0, end);
}

function leadsSomewhere(address: string): boolean {
  try {
    const { protocol, hostname } = new URL(address);
    return (protocol === "http:" || protocol === "https:") && hostname !== "";
  } catch {
    return false;
  }
}

/** One or two letters that stand for a person. */
export function initials(name: string): string {
  const letters = cleanName(name)
    .split(/[\s.@_-]+/u)
    .flatMap((word) => /[\p{L}\p{N}]/u.exec(word) ?? []);
  const last = letters.length > 1 ? (letters.at(-1) ?? "") : "";
  return ((letters[0] ?? "?") + last).toUpperCase();
}

/** A number from 0 to *count* - 1 that is always the same for the same id: which colour somebody has. */
export function hueOf(id: string, count: number): number {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  return sum % count;
}
