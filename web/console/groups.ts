// How a thread is laid out: by day, by session, and within them by who spoke.

import type { Shown } from "../shared/frames/operator";

/** What one person said without a pause. */
export interface Group {
  kind: "group";
  key: string;
  first: Shown;
  messages: Shown[];
}

export interface Day {
  kind: "day";
  key: string;
  at: number;
}

/** Here another session of the same conversation begins. */
export interface Border {
  kind: "session";
  key: string;
  session: string;
  at: number;
}

/** Somebody called: the beginning of a call. */
export interface Rang {
  kind: "call";
  key: string;
  message: Shown;
}

export type Row = Group | Day | Border | Rang;

const PAUSE_MS = 5 * 60_000;

/** Lay *messages* (oldest first) out; *dayOf* names the reader's day of a time. */
export function rows(messages: readonly Shown[], dayOf: (at: number) => string): Row[] {
  const laid: Row[] = [];
  let group: Group | null = null;
  let last: Shown | null = null;
  for (const message of messages) {
    const newDay = last === null || dayOf(last.at) !== dayOf(message.at);
    const newSession = last !== null && (last.session ?? "") !== (message.session ?? "");
    if (newSession) laid.push({ kind: "session", key: `s${message.seq}`, session: message.session ?? "", at: message.at });
    if (newDay) laid.push({ kind: "day", key: `d${message.seq}`, at: message.at });
    if (message.kind === "call") {
      laid.push({ kind: "call", key: `c${message.seq}`, message });
      group = null;
      last = message;
      continue;
    }
    if (group === null || last === null || newDay || newSession || !together(last, message)) {
      group = { kind: "group", key: `g${message.seq}`, first: message, messages: [] };
      laid.push(group);
    }
    group.messages.push(message);
    last = message;
  }
  return laid;
}

function together(a: Shown, b: Shown): boolean {
  const same = a.who === b.who && a.kind === b.kind && (a.operator ?? "") === (b.operator ?? "") && (a.name ?? "") === (b.name ?? "");
  // In a group several people write, and our own side may have written in the provider's program.
  const one = (a.extra?.author ?? "") === (b.extra?.author ?? "") && (a.extra?.elsewhere ?? false) === (b.extra?.elsewhere ?? false);
  return same && one && b.at - a.at < PAUSE_MS;
}
