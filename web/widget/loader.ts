// What a site embeds: <script src="https://host/widget.js" data-line="shop" async></script>
//
// Draws one button, and fetches the application when somebody wants it. Works under the strictest policy of the host
// page that still allows our scripts and connections: no inline style, no <style>, no cookie, no eval.

import type { Application, Shell } from "./app";
import css from "./button.css?inline";
import { LANDING, UNREAD, WAKE, inkOn, readOptions, type Options } from "./options";
import { storageKey, wearIn } from "./shell";

declare global {
  interface Window {
    Omniline?: { open(): void; close(): void; toggle(): void };
  }
}

const script = (document.currentScript ?? document.querySelector("script[data-line][src*='widget.js']")) as HTMLScriptElement | null;

// A second tag on the page makes no second button.
if (script !== null && window.Omniline === undefined) {
  const start = begin(readOptions(script.dataset, script.src, navigator.language), new URL(__WIDGET_APP__, script.src).href, noteLanding());
  // A script in the head runs before there is a body.
  if (document.querySelector("body") === null) addEventListener("DOMContentLoaded", start);
  else start();
}

/** Make the button; return what puts it on the page. */
function begin(options: Options, address: string, landing: string | null): () => void {
  const host = document.createElement("omniline-chat");
  const root = host.attachShadow({ mode: "open" });
  const key = storageKey(options);
  const wear = (sheet: string) => wearIn(root, sheet);
  wear(css);
  if (options.color !== "") {
    host.style.setProperty("--omniline-accent", options.color);
    host.style.setProperty("--omniline-ink", inkOn(options.color));
  }
  const button = document.createElement("button");
  const name = options.label || (/^ru/i.test(options.lang) ? "Чат" : "Chat");
  button.type = "button";
  button.className = `launcher ${options.side}`;
  button.append(icon(), options.label);
  root.append(button);

  let application: Promise<Application> | undefined;
  let tries = 0;
  let isOpen = false;

  const shell: Shell = {
    page: false,
    key,
    landing,
    wear,
    opened(open) {
      isOpen = open;
      button.ariaExpanded = `${open}`;
      if (!open) button.focus();
    },
    unread: badge,
  };

  function badge(count: number, words: string): void {
    button.ariaLabel = count > 0 ? `${name}. ${words}` : name;
    button.dataset.unread = count > 99 ? "99+" : `${count || ""}`;
  }

  function show(open: boolean, seek = true): void {
    button.ariaBusy = "true";
    // A browser may remember that a module did not load: another try has another address.
    application ??= (import(/* @vite-ignore */ tries++ > 0 ? `${address}?${tries}` : address) as Promise<typeof import("./app")>).then(
      ({ mount }) => mount(root, options, shell),
    );
    application
      .then(
        (loaded) => loaded.show(open, seek),
        () => {
          application = undefined;
          badge(0, "");
          button.dataset.unread = "!";
        },
      )
      .finally(() => (button.ariaBusy = "false"));
  }

  badge(0, "");
  button.ariaExpanded = "false";
  button.onclick = () => show(!isOpen);
  window.Omniline = { open: () => show(true), close: () => show(false), toggle: () => show(!isOpen) };

  return () => {
    document.body.append(host);
    const count = Number(read(() => localStorage.getItem(key + UNREAD)));
    if (count > 0) badge(count, `${count}`);
    const wake = read(() => localStorage.getItem(key + WAKE));
    if (wake) show(wake === "open", false);
  };
}

/** Keep how the visitor came to this site, and return it: by the time they click, they may be three pages further. */
function noteLanding(): string | null {
  return read(() => (sessionStorage[LANDING] ??= JSON.stringify([document.referrer, location.search])) as string);
}

/** Storage throws where the browser denies it. */
function read(get: () => string | null): string | null {
  try {
    return get();
  } catch {
    return null;
  }
}

function icon(): SVGElement {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS(svg.namespaceURI, "path") as SVGElement;
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.ariaHidden = "true";
  path.setAttribute("d", "M4 5h16v11H10l-5 4v-4H4z");
  svg.append(path);
  return svg;
}
