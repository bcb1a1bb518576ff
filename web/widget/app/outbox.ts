// What the visitor sent and the server has not acknowledged: kept in the browser, so that a reload loses nothing.
//
// One key a message, never a list under one key: two tabs of a site share the storage and nothing locks it, so a list
// read, changed and written back by both would lose a message. Every tab sends the first of the queue, always with the
// id it was born with, and the next only after its ack: whoever sends it, and however often, the server stores it once
// and in order.

import type { Keep } from "./keep";

/** A message waiting for its ack. *order* is the moment of writing in milliseconds, unique within a tab. */
export interface SayItem {
  t: "say";
  id: string;
  order: number;
  text: string;
  page: string;
  /** Why the server will never take it; empty while it may. */
  failed: string;
}

/** The pre-chat form, filled in, waiting for its ack. */
export interface DetailsItem {
  t: "details";
  id: string;
  order: number;
  name: string;
  email: string;
  phone: string;
}

export type Item = SayItem | DetailsItem;

/** Return *items* in the order of writing, each id once. */
export function inOrder(items: readonly Item[]): readonly Item[] {
  const byId = new Map(items.map((item) => [item.id, item]));
  return [...byId.values()].sort((a, b) => a.order - b.order || (a.id < b.id ? -1 : 1));
}

/** Return what to send next: details before words, because a line may ask for them first; then strictly in order. */
export function firstOf(outbox: readonly Item[]): Item | undefined {
  return outbox.find((item) => item.t === "details") ?? outbox.find((item) => item.t === "say" && !item.failed);
}

/** Return the queue that this and other tabs and earlier visits left in *keep*. Damaged rows are passed over. */
export function loadOutbox(keep: Keep, prefix: string): readonly Item[] {
  return inOrder(keep.keys(prefix).flatMap((key) => readItem(keep.get(key))));
}

/** Write to *keep* what changed between the two queues. */
export function saveOutbox(keep: Keep, prefix: string, before: readonly Item[], after: readonly Item[]): void {
  if (before === after) return;
  for (const item of before) {
    if (!after.some(({ id }) => id === item.id)) keep.set(prefix + item.id, null);
  }
  for (const item of after) {
    if (!before.includes(item)) keep.set(prefix + item.id, JSON.stringify(item));
  }
}

function readItem(json: string | null): Item[] {
  try {
    const item = JSON.parse(json ?? "") as Partial<Item> | null;
    return item?.id && Number.isFinite(item.order) && (item.t === "details" || (item.t === "say" && item.text)) ? [item as Item] : [];
  } catch {
    return [];
  }
}
