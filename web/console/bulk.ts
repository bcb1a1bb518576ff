// Many sessions at once, in requests as large as the server takes them.

import { type Bulk, bulk, BULK_MAX, type BulkItem } from "./api";

export interface BulkResult {
  accepted: number;
  failed: readonly BulkItem[];
}

/** Each part has an id of its own, made from ours: what is said again after a failure is done once. */
export async function doInBulk(what: Bulk, send: (part: Bulk) => Promise<BulkItem[]> = bulk): Promise<BulkResult> {
  const items: BulkItem[] = [];
  for (let from = 0; from < what.sessions.length; from += BULK_MAX) {
    const part = { ...what, sessions: what.sessions.slice(from, from + BULK_MAX), id: `${what.id}-${from / BULK_MAX}` };
    items.push(...(await send(part)));
  }
  return { accepted: items.filter((item) => item.accepted).length, failed: items.filter((item) => !item.accepted) };
}
