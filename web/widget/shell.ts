// What the loader and the page do alike before there is an application, and then do for it. The application is given these,
// and imports none: what it imported would be loaded twice.

import type { Options } from "./options";

/** Return the name under which a browser keeps what belongs to this server's line. The token lies under the bare name. */
export function storageKey(options: Pick<Options, "server" | "line">): string {
  return `omniline:${new URL(options.server).host}:${options.line}`;
}

/** Put *css* on what is in *root*: a sheet of a script is under no policy of the host page. */
export function wearIn(root: ShadowRoot, css: string): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
}
