// The application behind the button, and the whole of the public page. The loader fetches it when it is wanted.

import { render } from "preact";
import { LANDING, storageKey, type Options } from "./options";
import { dialTo, fetchCatalogue, newId, systemClock, within } from "./app/browser";
import { openChat } from "./app/chat";
import { focusIn, keepFocusIn } from "./app/focus";
import { keepIn } from "./app/keep";
import { Panel } from "./app/panel";
import panelCss from "./app/panel.css?inline";
import { sourceOf } from "./app/source";
import { unread, type Chat } from "./app/store";
import { learn, type Speech } from "./app/texts";

/** Who shows the panel: the loader with its button, or the page. */
export interface Shell {
  /** On a page of its own the panel is always open and fills the place. */
  page: boolean;
  opened(open: boolean): void;
  /** How many messages wait, and that in words. */
  unread(count: number, words: string): void;
  chat?(chat: Chat): void;
}

export interface Application {
  /** Open or close the panel; *seek*: and put the keyboard into it, because the visitor asked for it. */
  show(open: boolean, seek: boolean): void;
}

/** Put the chat into *root*. */
export function mount(root: ShadowRoot, options: Options, shell: Shell): Application {
  const key = storageKey(options);
  const address = `${options.server.replace(/^http/, "ws")}/ws/visitor?line=${encodeURIComponent(options.line)}`;
  const session = keepIn(() => sessionStorage);
  let speech: Speech | null = null;
  let open = false;
  /** The keyboard should be where one writes, as soon as there is such a place. */
  let seeking = false;

  const sheet = new CSSStyleSheet();
  sheet.replaceSync(panelCss);
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
  const place = document.createElement("div");
  place.className = `place ${shell.page ? "page" : options.side}`;
  root.append(place);

  const desk = openChat({
    dial: dialTo(address),
    clock: systemClock,
    random: Math.random,
    newId,
    keep: keepIn(() => localStorage),
    key,
    page: () => location.href.slice(0, 2048),
    source: () =>
      sourceOf({
        href: location.href,
        search: location.search,
        title: document.title,
        referrer: document.referrer,
        lang: options.lang,
        landing: session.get(LANDING),
      }),
  });

  const visible = () => document.visibilityState === "visible";
  const close = shell.page ? undefined : () => show(false, true);
  const draw = () => {
    const chat = desk.chat();
    if (speech === null) return;
    const inside = place.contains(root.activeElement);
    render(open && <Panel {...{ desk, speech }} now={Date.now()} onClose={close} />, place);
    const count = unread(chat);
    shell.unread(count, speech.text("unread", { count }));
    shell.chat?.(chat);
    // Drawing may take away what had the keyboard: the form, once it is filled in.
    if (open && (seeking || (inside && root.activeElement === null))) seeking = !focusIn(place);
  };

  function show(wanted: boolean, seek: boolean): void {
    if (open === wanted) return;
    open = wanted;
    seeking = open && seek;
    desk.look(open, visible());
    draw();
    shell.opened(open);
  }

  desk.onChange(draw);
  place.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.isComposing) close?.();
    else if (!shell.page) keepFocusIn(place, event);
  });
  within(window, {
    online: desk.nudge,
    offline: desk.nudge,
    // A page that rests in the browser's cache may not hold a socket.
    pagehide: desk.rest,
    pageshow: desk.nudge,
    storage: (event) => {
      const { key: changed, newValue } = event as StorageEvent;
      if (changed !== null) desk.changedElsewhere(changed, newValue);
    },
  });
  const view = visualViewport;
  if (view !== null) {
    // A phone's keyboard covers the page, and may shove it: the panel keeps to what is left. A pinch is the visitor's own wish.
    const fit = () => {
      const zoomed = view.scale > 1.01;
      place.style.setProperty("--height", zoomed ? "" : `${view.height}px`);
      place.style.setProperty("--top", zoomed ? "" : `${view.offsetTop}px`);
    };
    within(view, { resize: fit, scroll: fit });
  }
  within(document, {
    visibilitychange: () => {
      desk.look(open, visible());
      if (visible()) desk.nudge();
    },
  });
  void learn(options.lang, fetchCatalogue).then((learnt) => {
    speech = learnt;
    draw();
  });
  return { show };
}
