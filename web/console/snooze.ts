// Until when a session may be snoozed by a click, in the reader's own time zone.

export type Preset = "hour" | "evening" | "tomorrow" | "monday";

const HOUR_MS = 3_600_000;
const MORNING = 9;
const EVENING = 18;
/** An evening that begins in a moment is no choice. */
const EVENING_AHEAD_MS = HOUR_MS / 2;
/** As far as the server goes. */
export const SNOOZE_DAYS_MAX = 366;

export function presets(now: number): { preset: Preset; at: number }[] {
  const tomorrow = morningIn(now, 1);
  const monday = morningIn(now, (8 - new Date(now).getDay()) % 7 || 7);
  const evening = new Date(now).setHours(EVENING, 0, 0, 0);
  const all: { preset: Preset; at: number }[] = [
    { preset: "hour", at: now + HOUR_MS },
    { preset: "evening", at: evening },
    { preset: "tomorrow", at: tomorrow },
    { preset: "monday", at: monday },
  ];
  return all.filter(
    ({ preset, at }) => (preset !== "evening" || at - now >= EVENING_AHEAD_MS) && (preset !== "monday" || at !== tomorrow),
  );
}

/** By the calendar, not by 24 hours: the days on which clocks are moved are longer or shorter. */
export function morningIn(now: number, days: number): number {
  const date = new Date(now);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + days, MORNING).getTime();
}

/** What a date-and-time field holds for *at*, in local time and to the minute. */
export function fieldOf(at: number): string {
  const date = new Date(at);
  const two = (part: number): string => String(part).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}`;
}

/** The time that *field* says; null when it says none, or one that is not within so many *days* from now. */
export function timeOf(field: string, now: number, days: number): number | null {
  const at = field === "" ? NaN : new Date(field).getTime();
  return at > now && at <= now + days * 24 * HOUR_MS ? at : null;
}
