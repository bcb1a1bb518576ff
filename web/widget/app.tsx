// The application behind the button, and the whole of the public page. The loader fetches it when it is wanted.

import { render } from "preact";
import type { Options } from "./options";
import { dialTo, fetchCatalogue, newId, systemClock, within } from "./app/browser";
import type { CallbackView } from "./app/callback/view";
import { openChat } from "./app/chat";
import { focusIn, keepFocusIn } from "./app/focus";
import { keepIn } from "./app/keep";
import { Panel } from "./app/panel";
import panelCss from "./app/panel.css?inline";
import { sourceOf } from "./app/source";
import { unread, type Chat } from "./app/store";
import { learn, type Speech, type Text } from "./app/texts";

/** Who shows the panel: the loader with its button, or the page. */
export interface Shell {
  /** On a page of its own the panel is always open and fills the place. */
  page: boolean;
  /** The name under which the browser keeps what belongs to this line. */
  key: string;
  /** How the visitor came to this site, as noted on its first page: JSON of `[referrer, query]`. */
  landing: string | null;
  /** Put a style sheet on. */
  wear: (css: string) => void;
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
  const address = `${options.server.replace(/^http/, "ws")}/ws/visitor?line=${encodeURIComponent(options.line)}`;
  let speech: Speech | null = null;
  let open = false;
  /** The keyboard should be where one writes, as soon as there is such a place. */
  let seeking = false;
  /** Where the visitor asks to be called, once they wanted that; and whether they are there now. */
  let callback: CallbackView | undefined;
  let calling = false;
  let notice: Text | "" = "";

  shell.wear(panelCss);
  const place = document.createElement("div");
  place.className = `place ${shell.page ? "page" : options.side}`;
  root.append(place);

  const desk = openChat({
    dial: dialTo(address),
    clock: systemClock,
    random: Math.random,
    newId,
    keep: keepIn(() => localStorage),
    key: shell.key,
    source: () => sourceOf(location, document, options.lang, shell.landing),
  });

  const visible = () => document.visibilityState === "visible";
  // Behind another view nobody reads the messages.
  const look = () => desk.look(open, visible() && !calling);
  const close = shell.page ? undefined : () => show(false, true);
  const draw = () => {
    const chat = desk.chat();
    if (speech === null) return;
    const inside = place.contains(root.activeElement);
    const now = Date.now();
    const view = calling && callback?.draw(now, speech);
    render(open && <Panel {...{ desk, speech, now, view, notice }} onCall={call} onClose={close} />, place);
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
    notice = "";
    look();
    draw();
    shell.opened(open);
  }

  /** Go to where the visitor asks to be called, or back. */
  function turn(): void {
    calling = !calling;
    seeking = open;
    look();
    draw();
  }

  function call(): void {
    if (callback !== undefined) {
      turn();
      return;
    }
    notice = "loading";
    draw();
    // Put together: a plain name Vite would wrap into 700 bytes that preload what a part needs, and this one needs nothing.
    (import("./app/callback/" + "view") as Promise<typeof import("./app/callback/view")>).then(
      ({ openCallback }) => {
        callback ??= openCallback({ wear: shell.wear, desk, wanted: options.lang, turn, draw });
        notice = "";
        // Whoever pressed twice meanwhile wants it once.
        if (!calling) turn();
      },
      () => {
        notice = "lost";
        draw();
      },
    );
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
    storage: (event) => desk.changedElsewhere(event as StorageEvent),
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
      look();
      if (visible()) desk.nudge();
    },
  });
  void learn(options.lang, fetchCatalogue).then((learnt) => {
    speech = learnt;
    draw();
  });
  return { show };
}
