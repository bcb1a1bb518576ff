// The short name of a new channel, proposed from what its provider says of the account.

import { fitName, NAME_MAX } from "../sounds/names";
import type { Probed } from "./rest";

/** A short name for the account: its own in its address (`https://t.me/shop_bot`, `help@shop.example`), else from its name; not one of *taken*. */
export function proposeSlug({ name, address }: Pick<Probed, "name" | "address">, taken: ReadonlySet<string>): string {
  const wanted = fitName(ownName(address)) || fitName(name);
  if (wanted === "") return "";
  for (let count = 1; ; count += 1) {
    const ending = count === 1 ? "" : `-${count}`;
    const slug = fitName(wanted.slice(0, NAME_MAX - ending.length)) + ending;
    if (!taken.has(slug)) return slug;
  }
}

/** The last part of a link's path, or a mailbox without its domain. */
function ownName(address: string): string {
  const link = /^https?:\/\/[^/]+\/(?:.*\/)?([^/?#]+)/iu.exec(address);
  if (link !== null) return link[1] ?? "";
  const at = address.indexOf("@");
  return at > 0 ? address.slice(0, at) : address.slice(at + 1);
}
