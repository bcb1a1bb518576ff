// What the browser keeps for an operator across reloads: unanswered deeds, drafts, habits. Keys carry the operator's id, so
// that a colleague on the same machine neither sees nor sends another's words.

import type { Attachment, Quote } from "./extras";
import { type Deed, hasWords } from "./store";

export interface Draft {
  text: string;
  note: boolean;
  /** The message that it answers. */
  answers?: Quote | null;
  /** With a button by which the customer tells their phone. */
  asksPhone?: boolean;
}

/** The part of Storage that we use. A browser may refuse it (private mode, full): then we go on without. */
export interface Shelf {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export function shelf(): Shelf {
  try {
    return localStorage;
  } catch {
    const items = new Map<string, string>();
    return {
      get length() {
        return items.size;
      },
      key: (index) => [...items.keys()][index] ?? null,
      getItem: (key) => items.get(key) ?? null,
      setItem: (key, value) => items.set(key, value),
      removeItem: (key) => items.delete(key),
    };
  }
}

/** Return what *write* kept, null when nothing is there or nothing that can be read. */
export function read(on: Shelf, key: string): unknown {
  try {
    return JSON.parse(on.getItem(`omniline.${key}`) ?? "null");
  } catch {
    return null;
  }
}

/** Keep *value*; null forgets it. */
export function write(on: Shelf, key: string, value: unknown): void {
  try {
    if (value === null) on.removeItem(`omniline.${key}`);
    else on.setItem(`omniline.${key}`, JSON.stringify(value));
  } catch {
    // Full or refused: what is on the screen still works, it only does not survive a reload.
  }
}

/** One key a deed: two tabs must not overwrite each other's. */
function deedKey(operator: string, id: string): string {
  return `do.${operator}.${id}`;
}

/** Return the deeds that an earlier page left unanswered, oldest first. */
export function keptDeeds(on: Shelf, operator: string): Deed[] {
  const prefix = `omniline.${deedKey(operator, "")}`;
  return Array.from({ length: on.length }, (_, index) => on.key(index) ?? "")
    .filter((key) => key.startsWith(prefix))
    .map((key) => read(on, key.slice("omniline.".length)) as Deed | null)
    .filter((deed) => deed !== null)
    .sort((a, b) => a.at - b.at);
}

/** Keep what changed between two states: deeds not yet accepted, and refused ones for the words in them. */
export function keepDeeds(on: Shelf, operator: string, before: readonly Deed[], after: readonly Deed[]): void {
  if (before === after) return;
  const present = new Set(after.map((deed) => deed.id));
  for (const deed of before) {
    if (!present.has(deed.id)) write(on, deedKey(operator, deed.id), null);
  }
  for (const deed of after) {
    if (before.includes(deed)) continue;
    const keep = deed.state === "waiting" || (deed.state === "refused" && hasWords(deed));
    write(on, deedKey(operator, deed.id), keep ? deed : null);
  }
}

export function keptDraft(on: Shelf, operator: string, session: string): Draft {
  return (read(on, `draft.${operator}.${session}`) as Draft | null) ?? { text: "", note: false };
}

export function keepDraft(on: Shelf, operator: string, session: string, draft: Draft): void {
  const empty = draft.text === "" && !draft.answers && draft.asksPhone !== true;
  write(on, `draft.${operator}.${session}`, empty ? null : draft);
}

/** What was uploaded for a draft: it goes on to come while another dialogue is written in, so it is kept beside the words. */
export function keptFiles(on: Shelf, operator: string, session: string): Attachment[] {
  const files = read(on, `files.${operator}.${session}`);
  return Array.isArray(files) ? (files as Attachment[]) : [];
}

export function keepFiles(on: Shelf, operator: string, session: string, files: readonly Attachment[]): void {
  write(on, `files.${operator}.${session}`, files.length === 0 ? null : files);
}
