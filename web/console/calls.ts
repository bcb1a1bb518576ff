// A call as an operator reads it: how long its caller waited, and how long they talked.

import type { Call } from "./api";

/** Epoch milliseconds; *to* is null while it lasts. */
export interface Span {
  from: number;
  to: number | null;
}

/** *closed* is when its session was; 0: it is open. Nobody has talked: *talked* is null. */
export function spansOf(call: Call, closed: number): { waited: Span; talked: Span | null } {
  const came = Date.parse(call.came_at);
  if (call.talk_at === null) return { waited: { from: came, to: closed || null }, talked: null };
  const lifted = Date.parse(call.talk_at);
  // A session may be closed while they still talk.
  const ended = call.talk_ended_at === null ? null : Date.parse(call.talk_ended_at);
  return { waited: { from: came, to: lifted }, talked: { from: lifted, to: ended } };
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
