// The smallest parts, used all over the console.

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";
import { counted, type Span } from "../calls";
import type { FileKind } from "../extras";
import { cleanName, hueOf, initials, pieces } from "../text";
import { useNow, useWords } from "./context";

const PATHS = {
  arrow: "M4 12h15M13 6l6 6-6 6",
  back: "M15 5l-7 7 7 7",
  bell: "M6 16V11a6 6 0 0 1 12 0v5l1.5 2h-15zM10 21h4",
  board: "M4 20V10M10 20V4M16 20v-8M22 20H2",
  channel: "M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4",
  check: "M4 12.5l5 5L20 6.5",
  checks: "M2 12.5l5 5 9-11M11 16l1.5 1.5L22 6.5",
  clock: "M12 7v5l3.5 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  cross: "M6 6l12 12M18 6L6 18",
  crown: "M4 18h16l1-11-5 4-4-6-4 6-5-4z",
  dash: "M7 12h10",
  down: "M6 9l6 6 6-6",
  lead: "M4 20c0-4 3.6-6 8-6s8 2 8 6M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8z",
  chat: "M4 5h16v11H9l-5 4z",
  note: "M5 4h14v10l-5 6H5zM19 14h-5v6",
  leave: "M10 4H5v16h5M9 12h11M16 8l4 4-4 4",
  missed: "M4 5l7 6 9-8M4 5h5M4 5v5M2 19c5.5-5 14.5-5 20 0l-2.5 2.5-4-2v-2.5c-2.5-.7-4.5-.7-7 0v2.5l-4 2z",
  more: "M5 12v.01M12 12v.01M19 12v.01",
  pause: "M8 5v14M16 5v14",
  people: "M2 20c0-3.5 3-5.5 7-5.5s7 2 7 5.5M9 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM19 8v6M16 11h6",
  phone: "M6.5 3h3l1.5 5-2.5 1.5a12 12 0 0 0 6 6L16 13l5 1.5v3c0 2-1.5 3.5-3.5 3.5C10 21 3 14 3 6.5 3 4.5 4.5 3 6.5 3z",
  pin: "M9 3h6l-1 6 4 4H6l4-4zM12 13v8",
  question: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.5M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  route: "M6 21a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM18 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM6 16V9a4 4 0 0 1 8 0v6a4 4 0 0 0 4-4V8",
  select: "M9 12l2.5 2.5L21 5M20 13v7H4V4h11",
  snooze: "M7 4h7l-7 8h7M15 12h5l-5 7h5",
  sound: "M4 9.5v5h3.5L13 19V5L7.5 9.5zM16.5 9a4 4 0 0 1 0 6M19 6.5a8 8 0 0 1 0 11",
  spam: "M8.5 3h7L21 8.5v7L15.5 21h-7L3 15.5v-7zM12 8v5M12 16v.5",
  star: "M12 3.5l2.6 5.5 6 .8-4.4 4.2 1.1 6L12 17l-5.3 3 1.1-6L3.4 9.8l6-.8z",
  star_empty: "M12 3.5l2.6 5.5 6 .8-4.4 4.2 1.1 6L12 17l-5.3 3 1.1-6L3.4 9.8l6-.8z",
  thumb_up: "M7 11v9H3v-9zM7 11l4-8c2 0 3 1 2.5 3L13 9h6c1.5 0 2 1 1.8 2l-1.5 7c-.3 1.2-1 2-2.3 2H7",
  thumb_down: "M7 13V4H3v9zM7 13l4 8c2 0 3-1 2.5-3L13 15h6c1.5 0 2-1 1.8-2l-1.5-7c-.3-1.2-1-2-2.3-2H7",
  warning: "M12 4l9.5 16.5h-19zM12 10v4.5M12 17v.5",
  call_out:
    "M6.5 3h3l1.5 5-2.5 1.5a12 12 0 0 0 6 6L16 13l5 1.5v3c0 2-1.5 3.5-3.5 3.5C10 21 3 14 3 6.5 3 4.5 4.5 3 6.5 3zM14 10l7-7M15.5 3H21v5.5",
  clip: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 4.8 4.8L9.5 17a1.7 1.7 0 0 1-2.4-2.4L15 6.8",
  dice: "M4 4h16v16H4zM8.5 8.5v.01M15.5 8.5v.01M12 12v.01M8.5 15.5v.01M15.5 15.5v.01",
  download: "M12 4v11M7 10.5l5 5 5-5M5 20h14",
  edit: "M4 20l1-4.5L16.5 4l3.5 3.5L8.5 19zM14 6.5l3.5 3.5",
  file: "M6 3h8l5 5v13H6zM14 3v5h5",
  film: "M3 6h12v12H3zM15 11l6-4v10l-6-4",
  forward: "M13 5l7 7-7 7v-4.5c-5 0-8 1.5-10 4.5 0-6 3-9.5 10-9.5z",
  picture: "M3 4.5h18v15H3zM3 16l5-5 5 5 3-3 5 4.5M15.5 9.5v.01",
  place: "M12 21c-4.5-5-7-8.5-7-11.5a7 7 0 0 1 14 0c0 3-2.5 6.5-7 11.5zM12 12a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z",
  poll: "M4 6h16M4 12h10M4 18h6",
  reply: "M10 5l-7 7 7 7v-4.5c5 0 8 1.5 10.5 4.5-.5-6-3.5-9.5-10.5-9.5z",
  sticker: "M4 4h16v9l-7 7H4zM13 20v-7h7M9 8.5v1.5M15 8.5v1.5",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5.5M14 11v5.5",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  microphone: "M12 3a3 3 0 0 0-3 3v5a3 3 0 0 0 6 0V6a3 3 0 0 0-3-3zM5.5 11a6.5 6.5 0 0 0 13 0M12 17.5V21",
  play: "M7 4.5v15l12-7.5z",
  stop: "M6.5 6.5h11v11h-11z",
  card: "M3 5h18v14H3zM7 15c0-2 5-2 5 0M9.5 11.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3M15 10h3M15 13.5h3",
} as const;

export type IconName = keyof typeof PATHS;

/** A drawing beside a text; with a *label* it speaks for itself. */
export function Icon({ name, label }: { name: IconName; label?: string }) {
  const spoken = label === undefined ? ({ "aria-hidden": "true" } as const) : ({ role: "img", "aria-label": label } as const);
  return (
    <svg class={`icon is-${name}`} viewBox="0 0 24 24" {...spoken}>
      {label !== undefined && <title>{label}</title>}
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The sign of each kind of file, and of what else a message may be. */
export const KIND_ICONS: Readonly<Record<FileKind, IconName>> & Readonly<Record<string, IconName | undefined>> = {
  photo: "picture",
  video: "film",
  voice: "microphone",
  audio: "sound",
  animation: "film",
  sticker: "sticker",
  document: "file",
  place: "place",
  contact: "card",
  poll: "poll",
  dice: "dice",
};

const HUES = 6;

/** Whoever it is: by their *picture*, where there is one that can be had, or else by their initials. */
export function Avatar({ id, name, picture = "" }: { id: string; name: string; picture?: string }) {
  const [failed, setFailed] = useState("");
  const pictured = picture !== "" && failed !== picture;
  return (
    <span class={`avatar hue-${hueOf(id, HUES)}`} aria-hidden="true">
      {pictured ? <img src={picture} alt="" onError={() => setFailed(picture)} /> : initials(name)}
    </span>
  );
}

/** A stranger's name: cleaned, and shut off from the direction of the text around it. */
export function Name({ of }: { of: string }) {
  const { t } = useWords();
  return <bdi>{cleanName(of) || t("thread.nobody")}</bdi>;
}

/** What somebody wrote, with its links. */
export function Said({ text }: { text: string }) {
  const cut = useMemo(() => pieces(text), [text]);
  return (
    <span class="said" dir="auto">
      {cut.map((piece) =>
        piece.href === undefined ? (
          piece.text
        ) : (
          <a href={piece.href} target="_blank" rel="noopener noreferrer">
            {piece.text}
          </a>
        ),
      )}
    </span>
  );
}

/** How long it is since *at*, always right. */
export function Since({ at, label }: { at: number; label?: "list.waits" | "list.oldest" }) {
  const words = useWords();
  const time = words.duration(useNow(1000) - at);
  return label === undefined ? <>{time}</> : <>{words.t(label, { time })}</>;
}

/** How long something lasts, or has lasted, as a clock counts; *to* is null while it does. */
export function Lasts({ from, to }: Span) {
  const now = useNow(1000);
  return <span class="lasts">{counted((to ?? now) - from)}</span>;
}

/** How long it is until *at*. */
export function Until({ at }: { at: number }) {
  const words = useWords();
  return <>{words.duration(at - useNow(500) + 999)}</>;
}

/** An empty place that says what will be here and how it comes. */
export function Empty({ icon, title, next, children }: { icon: IconName; title: string; next?: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <p class="empty-title">{title}</p>
      {next !== undefined && <p>{next}</p>}
      {children}
    </div>
  );
}

export function Busy({ text }: { text: string }) {
  return (
    <p class="busy" role="status">
      <span class="spinner" aria-hidden="true" />
      {text}
    </p>
  );
}

/** What could not be had, and a way to try again; *class* beside its own. */
export function Failed({ text, onRetry, class: more = "" }: { text: string; onRetry: () => void; class?: string }) {
  const { t } = useWords();
  return (
    <p class={`problem ${more}`} role="alert">
      {text}{" "}
      <button type="button" class="link" onClick={onRetry}>
        {t("app.retry")}
      </button>
    </p>
  );
}
