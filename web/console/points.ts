// A contact's points as an operator reads them.

import type { Point } from "../shared/frames/operator";
import type { Words } from "./i18n/words";
import { cleanName } from "./text";

// What anybody can use before what only we can.
const ORDER = ["phone", "email", "channel"];

export function inOrder(points: readonly Point[]): Point[] {
  return [...points].sort((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind));
}

/** Whether one could call or write to it after the customer has gone. Where they write from is no such thing. */
export function isAddress(point: Point): boolean {
  return point.kind === "phone" || point.kind === "email";
}

/** What stands on the card: an address as it was written; a channel by its kind and name, with a name that people use there. */
export function pointText(point: Point, words: Words): string {
  const value = cleanName(point.value);
  if (point.kind !== "channel") return value;
  const kind = point.channel ? words.word("channel", point.channel) : "";
  return [value, kind, cleanName(point.channel_name ?? "")].filter((part) => part !== "").join(" · ");
}
