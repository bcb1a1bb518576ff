// How one may write in a dialogue just now, and whether what is written can go. Pure.

import type { Card, ChannelCan, Me } from "../shared/frames/operator";
import type { Draft } from "./kept";
import { isCall } from "./store";
import { areReady, type Attached, bytesMax } from "./uploads";
import { may } from "./verbs";

/** What the server takes as one message. */
export const TEXT_MAX = 8_000;

/**
 * `reply`: the customer reads it; `note`: operators only; `start`: it opens a closed dialogue again. *chosen*: both an answer and a note
 * could be written.
 */
export interface Stance {
  kind: "reply" | "note" | "start";
  chosen: boolean;
  /** It is for whoever looks at it to write: they need not say first that they want to. */
  inTurn: boolean;
  textMax: number;
  /** The largest file that may go with it; 0: none. */
  filesMax: number;
  /** Why none may; empty: they may. */
  noFiles: "" | "in_note" | "no_channel" | "not_now";
  quotes: boolean;
  asksPhone: boolean;
}

export function stanceOf(card: Card, me: Me | null, can: ChannelCan | null, draft: Draft, gone: boolean): Stance {
  const closed = card.status === "closed";
  const answers = may("reply", card, me);
  // A call is noted while they talk, and after it: whoever talks does not write their last line before the other hangs up.
  const mine = isCall(card) && me !== null && card.operator === me.id;
  const note = closed ? mine : draft.note || !answers;
  const kind = note ? "note" : closed ? "start" : "reply";
  const most = bytesMax(can?.files_max ?? 0);
  const noFiles = !answers || gone ? "not_now" : most === 0 ? "no_channel" : note ? "in_note" : "";
  const says = kind === "reply" ? can : null;
  return {
    kind,
    chosen: answers,
    inTurn: answers || (mine && !closed),
    textMax: Math.min(TEXT_MAX, says?.text_max ?? TEXT_MAX),
    filesMax: noFiles === "" ? most : 0,
    noFiles,
    quotes: says?.quotes === true,
    asksPhone: says?.asks_phone === true,
  };
}

/** How many characters of *most* are left, as the server counts: characters, not UTF-16 units. */
export function leftOf(text: string, most: number): number {
  return most - Array.from(text.trim()).length;
}

/** It can go: words or files, none of them too long or still on its way. */
export function canGo(stance: Stance, text: string, attached: readonly Attached[]): boolean {
  if (leftOf(text, stance.textMax) < 0) return false;
  const files = stance.kind === "reply" ? attached : [];
  return areReady(files) && (files.length > 0 || text.trim() !== "");
}
