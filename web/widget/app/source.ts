// Where the visitor came from: the first page they saw of this site in this tab, as the loader noted it, and this one.

import type { Hello } from "../../shared/frames/visitor";
import { clip } from "./characters";

/**
 * Return the hello of somebody on *page* at *address*: never longer than the contract allows, whatever the site's address is.
 *
 * *landing* is what the loader noted on the first page: JSON of `[referrer, query]`.
 */
export function sourceOf(
  address: Pick<Location, "href" | "search">,
  page: Pick<Document, "title" | "referrer">,
  lang: string,
  landing: string | null,
): Hello {
  const [referrer, query] = landingOf(landing);
  const here = utmOf(address.search);
  return {
    t: "hello",
    lang: clip(lang, 35),
    page: clip(address.href, 2048),
    title: clip(page.title, 200),
    referrer: clip(referrer || page.referrer, 2048),
    utm: Object.keys(here).length > 0 ? here : utmOf(query),
  };
}

function landingOf(json: string | null): [referrer: string, query: string] {
  try {
    const noted: unknown = JSON.parse(json ?? "");
    if (Array.isArray(noted)) return [String(noted[0] ?? ""), String(noted[1] ?? "")];
  } catch {
    // Nobody noted it, or somebody else uses our name.
  }
  return ["", ""];
}

function utmOf(query: string): Record<string, string> {
  const found = [...new URLSearchParams(query)].filter(([name]) => /^utm_.{1,36}$/.test(name)).slice(0, 12);
  return Object.fromEntries(found.map(([name, value]) => [name, clip(value, 200)]));
}
