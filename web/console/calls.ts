// A call as an operator reads it: how long its caller waited, and how long they talked.

import type { Call } from "./api";
import { morningIn } from "./snooze";

/** Epoch milliseconds; *to* is null while it lasts. */
export interface Span {
  from: number;
  to: number | null;
}

export interface Spans {
  /** Null: we call them. */
  waited: Span | null;
  /** Their phone rings; null: it does not. */
  calling: Span | null;
  /** Null: nobody has talked. */
  talked: Span | null;
}

/** *closed* is when its session was; 0: it is open. */
export function spansOf(call: Call, closed: number): Spans {
  const came = Date.parse(call.came_at);
  const waited = call.outgoing ? null : { from: came, to: closed || null };
  if (call.talk_at === null) return { waited, calling: null, talked: null };
  const lifted = Date.parse(call.talk_at);
  // A session may be closed while they still talk.
  const ended = call.talk_ended_at === null ? null : Date.parse(call.talk_ended_at);
  if (call.outgoing && !call.reached) return { waited, calling: closed === 0 ? { from: lifted, to: null } : null, talked: null };
  return { waited: waited && { from: came, to: lifted }, calling: null, talked: { from: lifted, to: ended } };
}

/** A number outside as it is dialled, without what people write between its digits; empty: it is none. */
export function dialled(written: string): string {
  const bare = written.replace(/[\s()[\].\u2010-\u2015-]+/gu, "");
  return /^(?=.{2,20}$)\+?[0-9]+$/u.test(bare) ? bare : "";
}

/** As a clock counts: 0:05, 12:34, 1:02:03. */
export function counted(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (value: number): string => String(value).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

export type CallPreset = "quarter" | "hour" | "tomorrow";

/** As far ahead as the server lets a call be promised. */
export const CALL_DAYS_MAX = 30;

/** When somebody may be called by a click, in the reader's own time zone. */
export function callPresets(now: number): { preset: CallPreset; at: number }[] {
  return [
    { preset: "quarter", at: now + 15 * 60_000 },
    { preset: "hour", at: now + 3_600_000 },
    { preset: "tomorrow", at: morningIn(now, 1) },
  ];
}
