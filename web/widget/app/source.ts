// Where the visitor came from: the first page they saw of this site in this tab, as the loader noted it, and this one.

import type { Hello } from "../../shared/frames/visitor";
import { clip } from "./characters";

/** The parts of a page that we look at. */
export interface Place {
  href: string;
  search: string;
  title: string;
  referrer: string;
  lang: string;
  /** What the loader noted on the first page: JSON of `[referrer, query]`. */
  landing: string | null;
}

/** Return the hello that *place* makes: never longer than the contract allows, whatever the site's address is. */
export function sourceOf(place: Place): Hello {
  const [referrer, query] = landingOf(place.landing);
  const here = utmOf(place.search);
  return {
    t: "hello",
    lang: clip(place.lang, 35),
    page: clip(place.href, 2048),
    title: clip(place.title, 200),
    referrer: clip(referrer || place.referrer, 2048),
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
  const found = [...new URLSearchParams(query)].filter(([name]) => /^utm_./.test(name) && name.length <= 40).slice(0, 12);
  return Object.fromEntries(found.map(([name, value]) => [name, clip(value, 200)]));
}
