// How a sound may be called: it becomes the name of a file, and a part of a line's settings.

/** Letters, as many as the server takes. */
export const NAME_MAX = 40;
const FIT = /^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/u;

/** As Russian names of files are read by those who have no Cyrillic. */
const CYRILLIC: Readonly<Record<string, string>> = {
  а: "a", б: "b", в: "v", г: "g", д: "d", е: "e", ё: "e", ж: "zh", з: "z", и: "i", й: "y", к: "k", л: "l", м: "m", н: "n", о: "o", п: "p",
  р: "r", с: "s", т: "t", у: "u", ф: "f", х: "kh", ц: "ts", ч: "ch", ш: "sh", щ: "sch", ъ: "", ы: "y", ь: "", э: "e", ю: "yu", я: "ya",
}; // prettier-ignore

export function isFit(name: string): boolean {
  return FIT.test(name);
}

/** The nearest name to *text* that is fit; empty: nothing in it is a letter that we can write. */
export function fitName(text: string): string {
  const latin = text
    .normalize("NFC")
    .toLowerCase()
    .replace(/[а-яё]/gu, (letter) => CYRILLIC[letter] ?? "")
    // "é" is an "e" with a mark above it.
    .normalize("NFD")
    .replace(/\p{M}+/gu, "");
  const joined = latin.replace(/[^a-z0-9]+/gu, "-");
  return trimmed(trimmed(joined).slice(0, NAME_MAX));
}

/** A name for the sound of a file: its own without the ending, made fit. */
export function nameOfFile(file: string): string {
  return fitName(file.replace(/\.[^.]*$/u, ""));
}

function trimmed(name: string): string {
  return name.replace(/^-+|-+$/gu, "");
}
