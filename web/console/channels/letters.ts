// Dead letters are read again: what became of each.

import { Problem } from "../api";
import type { Letter } from "./rest";

/** Why one could not be read again: a word of the catalogue, else a sentence of the server. */
export type Outcome = { read: true } | { read: false; word: "letter_still" | "letter_undecided" | "letter_channel_off" | "no_answer" | ""; text: string };

export function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof Problem) || error.status === 0) return { read: false, word: "no_answer", text: "" };
  if (error.code === "still_unreadable") return { read: false, word: "letter_still", text: "" };
  if (error.code === "not_replayable") return { read: false, word: "letter_undecided", text: "" };
  if (error.status === 404) return { read: false, word: "letter_channel_off", text: "" };
  return { read: false, word: "", text: error.detail };
}

/** Read *letters* again, the oldest first, one after the other; *tell* what became of each. Ends when the server does not answer. */
export async function readAgain(
  letters: readonly Letter[],
  replay: (id: string) => Promise<void>,
  tell: (id: string, outcome: Outcome) => void,
): Promise<{ read: number; left: number }> {
  let read = 0;
  for (const { id } of [...letters].reverse()) {
    const outcome = await replay(id).then((): Outcome => ({ read: true }), outcomeOf);
    tell(id, outcome);
    if (outcome.read) read += 1;
    else if (outcome.word === "no_answer") break;
  }
  return { read, left: letters.length - read };
}
