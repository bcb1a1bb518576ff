// What a site says about the widget in its script tag. Shared by the loader and the application, so kept to a few bytes.

/** Where the widget talks to and how it looks there. */
export interface Options {
  /** Origin of the Omniline server: `https://chat.example.com`. */
  server: string;
  /** The line's slug. */
  line: string;
  lang: string;
  /** `#rrggbb`, or empty for our own. */
  color: string;
  side: "left" | "right";
  /** Words on the button; empty: an icon alone. */
  label: string;
}

/** Read *attributes* (the script tag's dataset) of the script at *address*. */
export function readOptions(attributes: Readonly<Record<string, string | undefined>>, address: string, browserLanguage: string): Options {
  const color = (attributes.color ?? "").trim().toLowerCase();
  return {
    server: new URL(address).origin,
    line: (attributes.line ?? "").trim(),
    lang: (attributes.lang ?? "").trim() || browserLanguage,
    // Six digits only: we compute a readable text colour from it.
    color: /^#[0-9a-f]{6}$/.test(color) ? color : "",
    side: attributes.position?.trim() === "left" ? "left" : "right",
    label: (attributes.label ?? "").trim(),
  };
}

/** Return black or white, whichever reads better on *color* (`#rrggbb`). */
export function inkOn(color: string): string {
  const [red, green, blue] = [1, 3, 5].map((at) => (parseInt(color.slice(at, at + 2), 16) / 255) ** 2.2) as [number, number, number];
  // WCAG's relative luminance; white and black are equally readable on 0.179.
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? "#000" : "#fff";
}

/** Why the loader should fetch the application without a click: the panel was `open`, or somebody or something waits. */
export const WAKE = ":wake";
/** How many messages nobody has read, for the badge before the application is there. */
export const UNREAD = ":unread";
/** In sessionStorage: how the visitor came to the site, `[referrer, query]`. */
export const LANDING = "omniline:landing";
