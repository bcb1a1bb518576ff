import type { ComponentChildren } from "preact";

/** A drawing and a hue for each kind; others have a plug. */
const SIGNS: Readonly<Record<string, { hue: number; path: string }>> = {
  telegram: { hue: 0, path: "M21 4L3 11l6 2.5L18 7l-7 8v5l3-3.5 4 3z" },
  vk: { hue: 1, path: "M3 8l4 9 4-9M14 7v10M20.5 7L14 13M16 11.5l5 5.5" },
  mail: { hue: 5, path: "M3 5.5h18v13H3zM3 7l9 6.5L21 7" },
  widget: { hue: 2, path: "M4 5h16v11H9l-5 4z" },
  phone: {
    hue: 3,
    path: "M6.5 3h3l1.5 5-2.5 1.5a12 12 0 0 0 6 6L16 13l5 1.5v3c0 2-1.5 3.5-3.5 3.5C10 21 3 14 3 6.5 3 4.5 4.5 3 6.5 3z",
  },
};
const OTHER = { hue: 4, path: "M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0zM12 17v4" };

/** A kind's sign, beside its name. */
export function Sign({ kind }: { kind: string }): ComponentChildren {
  const { hue, path } = SIGNS[kind] ?? OTHER;
  return (
    <span class={`channel-sign hue-${hue}`} aria-hidden="true">
      <svg class="icon" viewBox="0 0 24 24">
        <path d={path} />
      </svg>
    </span>
  );
}
