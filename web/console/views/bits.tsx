// The smallest parts, used all over the console.

import type { ComponentChildren } from "preact";
import { useMemo } from "preact/hooks";
import { cleanName, hueOf, initials, pieces } from "../text";
import { useNow, useWords } from "./context";

const PATHS = {
  back: "M15 5l-7 7 7 7",
  check: "M4 12.5l5 5L20 6.5",
  checks: "M2 12.5l5 5 9-11M11 16l1.5 1.5L22 6.5",
  clock: "M12 7v5l3.5 2M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  cross: "M6 6l12 12M18 6L6 18",
  down: "M6 9l6 6 6-6",
  lead: "M4 20c0-4 3.6-6 8-6s8 2 8 6M12 11a4 4 0 1 0 0-8 4 4 0 0 0 0 8z",
  chat: "M4 5h16v11H9l-5 4z",
  note: "M5 4h14v10l-5 6H5zM19 14h-5v6",
  question: "M9 9a3 3 0 1 1 4.5 2.6c-1 .6-1.5 1.2-1.5 2.4M12 17.5v.5M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0z",
  warning: "M12 4l9.5 16.5h-19zM12 10v4.5M12 17v.5",
  card: "M3 5h18v14H3zM7 15c0-2 5-2 5 0M9.5 11.5a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3M15 10h3M15 13.5h3",
} as const;

export type IconName = keyof typeof PATHS;

/** A drawing beside a text; with a *label* it speaks for itself. */
export function Icon({ name, label }: { name: IconName; label?: string }) {
  const spoken = label === undefined ? ({ "aria-hidden": "true" } as const) : ({ role: "img", "aria-label": label } as const);
  return (
    <svg class="icon" viewBox="0 0 24 24" {...spoken}>
      {label !== undefined && <title>{label}</title>}
      <path d={PATHS[name]} />
    </svg>
  );
}

const HUES = 6;

export function Avatar({ id, name }: { id: string; name: string }) {
  return (
    <span class={`avatar hue-${hueOf(id, HUES)}`} aria-hidden="true">
      {initials(name)}
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
