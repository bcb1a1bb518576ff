// Public text, dates and durations in the reader's language.

import en from "./en.json";
import ru from "./ru.json";

export type Key = keyof typeof en;
export type Language = "en" | "ru";
/** A text, or its plural forms by the categories of Intl.PluralRules; `other` is always there. */
export type Entry = string | ({ other: string } & Partial<Record<Intl.LDMLPluralRule, string>>);

export const CATALOGUES: Readonly<Record<Language, Readonly<Record<Key, Entry>>>> = { en, ru };
/** Each language by its own name: who cannot read the screen must still find theirs. */
export const LANGUAGES: readonly { code: Language; name: string }[] = [
  { code: "en", name: "English" },
  { code: "ru", name: "Русский" },
];

/** Return the first of *wishes* (`ru-RU`, `en`…) that we speak. */
export function chooseLanguage(...wishes: (string | null | undefined)[]): Language {
  for (const wish of wishes) {
    const code = wish?.toLowerCase().split(/[-_]/u)[0];
    const found = LANGUAGES.find((language) => language.code === code);
    if (found !== undefined) return found.code;
  }
  return "en";
}

/** As the server has them: `opens_at` in ISO 8601, null when it never opens. */
export interface LineHours {
  open: boolean;
  opens_at: string | null;
}

/** What one catalogue says. */
export interface Texts<K extends string> {
  /** The text of *key*; `{name}` is filled from *values*, plural forms are chosen by `count`. */
  t: (key: K, values?: Readonly<Record<string, string | number>>) => string;
  /** The text of `group.value` where the catalogue has it, else *otherwise*: words of the server that may grow. */
  word: (group: string, value: string, otherwise?: string) => string;
}

export interface Words extends Texts<Key> {
  language: Language;
  time: (at: number) => string;
  day: (at: number, now: number) => string;
  dateTime: (at: number) => string;
  date: (at: number) => string;
  /** Time for today, else the date: for lists. */
  short: (at: number, now: number) => string;
  /** To the second; with the date unless it is today. */
  exact: (at: number, now: number) => string;
  /** A time to come: by the clock today, with the day of the week within the week, else with the date. */
  weekdayTime: (at: number, now: number) => string;
  /** Whether a line is open, or when it opens next. */
  hours: (line: LineHours, now: number) => string;
  duration: (ms: number) => string;
  number: (value: number) => string;
  /** How large a file is: `1.2 MB`. */
  size: (bytes: number) => string;
  languageName: (code: string) => string;
}

export function textsOf<K extends string>(language: Language, catalogue: Readonly<Record<K, Entry>>): Texts<K> {
  const plurals = new Intl.PluralRules(language);
  const numbers = new Intl.NumberFormat(language);

  function t(key: K, values: Readonly<Record<string, string | number>> = {}): string {
    const entry: Entry = catalogue[key];
    const text = typeof entry === "string" ? entry : (entry[plurals.select(Number(values.count ?? 0))] ?? entry.other);
    return text.replace(/\{(\w+)\}/gu, (whole, name: string) => {
      const value = values[name];
      return typeof value === "number" ? numbers.format(value) : (value ?? whole);
    });
  }

  return {
    t,
    word(group, value, otherwise = value) {
      const key = `${group}.${value}`;
      return key in catalogue ? t(key as K) : otherwise;
    },
  };
}

export function wordsIn(language: Language): Words {
  const { t, word } = textsOf(language, CATALOGUES[language]);
  const numbers = new Intl.NumberFormat(language);
  const format = (options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(language, options);
  const clock = format({ hour: "2-digit", minute: "2-digit" });
  const longDay = format({ weekday: "long", day: "numeric", month: "long" });
  const longDate = format({ day: "numeric", month: "long", year: "numeric" });
  const shortDate = format({ day: "numeric", month: "short" });
  const both = format({ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  const seconds = format({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const dateSeconds = format({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  const weekday = format({ weekday: "short", hour: "2-digit", minute: "2-digit" });
  const dayMonth = format({ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const unit = (name: string) => new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay: "short" });
  const units = { second: unit("second"), minute: unit("minute"), hour: unit("hour"), day: unit("day") };
  const sized = (name: string, maximumFractionDigits: number, unitDisplay: "short" | "long" = "short") =>
    new Intl.NumberFormat(language, { style: "unit", unit: name, unitDisplay, maximumFractionDigits });
  const sizes = { byte: sized("byte", 0, "long"), kilobyte: sized("kilobyte", 0), megabyte: sized("megabyte", 1), gigabyte: sized("gigabyte", 1) };

  function weekdayTime(at: number, now: number): string {
    const days = daysBetween(now, at);
    return (days === 0 ? clock : days > 0 && days < 7 ? weekday : sameYear(at, now) ? dayMonth : both).format(at);
  }

  return {
    language,
    t,
    word,
    time: (at) => clock.format(at),
    day(at, now) {
      const days = daysBetween(now, at);
      if (days === 0 || days === -1) return capital(relative.format(days, "day"), language);
      return capital((sameYear(at, now) ? longDay : longDate).format(at), language);
    },
    dateTime: (at) => both.format(at),
    date: (at) => longDate.format(at),
    short: (at, now) => (daysBetween(now, at) === 0 ? clock : sameYear(at, now) ? shortDate : longDate).format(at),
    exact: (at, now) => (daysBetween(now, at) === 0 ? seconds : dateSeconds).format(at),
    weekdayTime,
    hours(line, now) {
      if (line.open) return t("line.open");
      return line.opens_at === null ? t("line.closed") : t("line.opens", { time: weekdayTime(Date.parse(line.opens_at), now) });
    },
    number: (value) => numbers.format(value),
    size(bytes) {
      if (bytes < 1_024) return sizes.byte.format(bytes);
      // What would be written as 1,024 of one unit is one of the next.
      if (bytes < 1_023.5 * 1_024) return sizes.kilobyte.format(bytes / 1_024);
      return bytes < 1_023.95 * 1_048_576 ? sizes.megabyte.format(bytes / 1_048_576) : sizes.gigabyte.format(bytes / 1_073_741_824);
    },
    duration(ms) {
      const whole = Math.max(0, Math.floor(ms / 1000));
      if (whole < 60) return units.second.format(whole);
      const minutes = Math.floor(whole / 60);
      if (minutes < 60) return units.minute.format(minutes);
      const hours = Math.floor(minutes / 60);
      if (hours < 24) return `${units.hour.format(hours)} ${units.minute.format(minutes % 60)}`;
      return units.day.format(Math.floor(hours / 24));
    },
    languageName(code) {
      try {
        return new Intl.DisplayNames(language, { type: "language" }).of(code) ?? code;
      } catch {
        return code;
      }
    },
  };
}

/** Whole calendar days from *from* to *to* in the reader's time zone, however long the days are. */
function daysBetween(from: number, to: number): number {
  const midnight = (at: number): number => {
    const date = new Date(at);
    return Date.UTC(date.getFullYear(), date.getMonth(), date.getDate());
  };
  return Math.round((midnight(to) - midnight(from)) / 86_400_000);
}

function sameYear(a: number, b: number): boolean {
  return new Date(a).getFullYear() === new Date(b).getFullYear();
}

function capital(text: string, language: string): string {
  const [first = "", ...rest] = text;
  return first.toLocaleUpperCase(language) + rest.join("");
}
