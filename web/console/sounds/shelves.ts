// The sounds as the page lays them out: prompts, and music.

import { cleanName } from "../text";
import type { Sound } from "./rest";

export interface Shelves {
  prompts: Sound[];
  music: Sound[];
}

/** Those of *items* in which *wanted* occurs (in the name, or in where they are used), told apart and by their names. */
export function shelvesOf(items: readonly Sound[], wanted: string): Shelves {
  const words = wanted.toLowerCase().split(/\s+/u).filter(Boolean);
  const shown = items
    .filter((sound) => {
      const text = [sound.ref, ...sound.uses.map((use) => cleanName(use.line))].join(" ").toLowerCase();
      return words.every((word) => text.includes(word));
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  return { prompts: shown.filter((sound) => !sound.music), music: shown.filter((sound) => sound.music) };
}

/** Which row gets the focus when the sound *name* has gone: the one below it, else the one above; null: it was the only one. */
export function besideOf({ prompts, music }: Shelves, name: string): string | null {
  const rows = [...prompts, ...music];
  const at = rows.findIndex((sound) => sound.name === name);
  return (at < 0 ? null : (rows[at + 1] ?? rows[at - 1]))?.name ?? null;
}
