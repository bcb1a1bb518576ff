// How channels stand, and in which order they are looked at: trouble first.

import type { Channel } from "./rest";

/**
 * One word for a channel: `refused`, somebody must act; `waiting`, its provider cannot be reached just now; `unknown`, nobody has
 * asked it yet; `well`; `open`, there is no provider to ask; `off`, whatever its provider said before.
 */
export type Standing = "refused" | "waiting" | "unknown" | "well" | "open" | "off";

/** The parts of the list, in their order. */
export const SHELVES = ["refused", "waiting", "working", "off"] as const;
export type Shelf = (typeof SHELVES)[number];

export function standingOf({ active, health }: Channel): Standing {
  if (!active) return "off";
  return health === null ? "open" : health.state;
}

export function shelfOf(channel: Channel): Shelf {
  const standing = standingOf(channel);
  return standing === "unknown" || standing === "well" || standing === "open" ? "working" : standing;
}

/** The channels by part, those that have any; within a part who has waited longest for help, then by name. */
export function shelved(channels: readonly Channel[]): { shelf: Shelf; items: Channel[] }[] {
  return SHELVES.map((shelf) => ({ shelf, items: channels.filter((one) => shelfOf(one) === shelf).sort(before) })).filter(
    ({ items }) => items.length > 0,
  );
}

/** Those of which nothing comes until an administrator has acted. */
export function refused(channels: readonly Channel[]): Channel[] {
  return channels.filter((one) => standingOf(one) === "refused").sort(before);
}

function before(a: Channel, b: Channel): number {
  return troubled(a) - troubled(b) || a.name.localeCompare(b.name) || a.slug.localeCompare(b.slug);
}

/** Since when it has trouble; where there is none all are alike. */
function troubled(channel: Channel): number {
  const standing = standingOf(channel);
  if (standing !== "refused" && standing !== "waiting") return 0;
  return channel.health?.since ? Date.parse(channel.health.since) : 0;
}
