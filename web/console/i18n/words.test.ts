import { describe, expect, test } from "vitest";
import { DOOR_TEXTS } from "../channels/doorTexts";
import { CHANNEL_TEXTS } from "../channels/texts";
import { SOUND_TEXTS } from "../sounds/texts";
import { CATALOGUES, chooseLanguage, type Entry, type Language, LANGUAGES, wordsIn } from "./words";

const texts = (entry: string | Record<string, string>): string[] => (typeof entry === "string" ? [entry] : Object.values(entry));
const places = (text: string): string[] => (text.match(/\{\w+\}/gu) ?? []).sort();

const BOOKS: { what: string; catalogues: Readonly<Record<Language, Readonly<Record<string, Entry>>>> }[] = [
  { what: "the console", catalogues: CATALOGUES },
  { what: "the sounds", catalogues: SOUND_TEXTS },
  { what: "the door to the channels", catalogues: DOOR_TEXTS },
  { what: "the channels", catalogues: CHANNEL_TEXTS },
];

describe.each(BOOKS.flatMap((book) => LANGUAGES.map((language) => ({ ...book, ...language }))))("what $what says in $name", ({ code, catalogues }) => {
  const catalogue = catalogues[code];
  const keys = Object.keys(catalogues.en);

  test("has every key and no other", () => {
    expect(Object.keys(catalogue).sort()).toEqual([...keys].sort());
  });

  test("has no empty text, and fills the same places", () => {
    for (const key of keys) {
      const wanted = places(texts(catalogues.en[key] ?? "")[0] ?? "");
      for (const text of texts(catalogue[key] ?? "")) {
        expect(text.trim(), key).not.toBe("");
        expect(places(text), key).toEqual(wanted);
      }
    }
  });

  test("has every plural form of its language", () => {
    const forms = new Intl.PluralRules(code).resolvedOptions().pluralCategories;
    for (const key of keys) {
      const entry = catalogue[key] ?? "";
      if (typeof entry !== "string") expect(Object.keys(entry).sort(), key).toEqual([...forms].sort());
    }
  });
});

test("plurals follow the language's rules", () => {
  const ru = wordsIn("ru");

  expect([1, 3, 5, 21].map((count) => ru.t("banner.unsent", { count }))).toEqual([
    "1 сообщение ждёт отправки.",
    "3 сообщения ждут отправки.",
    "5 сообщений ждут отправки.",
    "21 сообщение ждёт отправки.",
  ]);
});

test("a word of the server that the catalogue does not know is shown as it is", () => {
  expect(wordsIn("en").word("channel", "widget")).toBe("Site chat");
  expect(wordsIn("en").word("channel", "pigeon")).toBe("pigeon");
  expect(wordsIn("en").word("refused", "too_windy", "It is too windy.")).toBe("It is too windy.");
  expect(wordsIn("en").word("channel", "widget", "It is too windy.")).toBe("Site chat");
});

test("a line is open, closed for good, or closed until it opens", () => {
  const now = new Date(2026, 4, 10, 8, 5).getTime();
  const en = wordsIn("en");

  expect(en.hours({ open: true, opens_at: null }, now)).toBe("Open");
  expect(en.hours({ open: false, opens_at: null }, now)).toBe("Closed");
  expect(en.hours({ open: false, opens_at: new Date(2026, 4, 10, 9).toISOString() }, now)).toBe("Opens 09:00 AM");
});

test("text that was filled in is not read again for places", () => {
  expect(wordsIn("en").t("list.you", { text: "{name} $& {text}" })).toBe("You: {name} $& {text}");
});

test("a day is named by its distance, then by its date", () => {
  const now = new Date(2026, 4, 10, 0, 5).getTime();
  const en = wordsIn("en");

  expect(en.day(now, now)).toBe("Today");
  expect(en.day(now - 10 * 60_000, now)).toBe("Yesterday");
  expect(en.day(new Date(2026, 4, 2).getTime(), now)).toBe("Saturday, May 2");
  expect(en.day(new Date(2025, 4, 2).getTime(), now)).toBe("May 2, 2025");
});

test("a time to come is said by the clock today, by the weekday within the week, else by its date", () => {
  const now = new Date(2026, 4, 10, 12, 0).getTime();
  const ru = wordsIn("ru");

  expect(ru.weekdayTime(new Date(2026, 4, 10, 18, 0).getTime(), now)).toBe("18:00");
  expect(ru.weekdayTime(new Date(2026, 4, 11, 9, 0).getTime(), now)).toBe("пн 09:00");
  expect(ru.weekdayTime(new Date(2026, 4, 17, 9, 0).getTime(), now)).toBe("17 мая, 09:00");
  expect(ru.weekdayTime(new Date(2027, 0, 2, 9, 0).getTime(), now)).toContain("2027");
});

test("a duration has the unit that matters, and is never negative", () => {
  const en = wordsIn("en");

  expect([-5, 4_000, 65_000, 3_600_000 * 2 + 60_000, 86_400_000 * 3].map((ms) => en.duration(ms))).toEqual([
    "0 sec",
    "4 sec",
    "1 min",
    "2 hr 1 min",
    "3 days",
  ]);
});

test("a size has the unit that matters, in the reader's language", () => {
  const sizes = [500, 2_048, 1_048_300, 1.5 * 1_048_576, 50 * 1_048_576, 2.25 * 1_073_741_824];

  expect(sizes.map(wordsIn("en").size)).toEqual(["500 bytes", "2 kB", "1 MB", "1.5 MB", "50 MB", "2.3 GB"]);
  expect(wordsIn("ru").size(1.5 * 1_048_576)).toMatch(/^1,5\sМБ$/u);
});

test("the first language that we speak is chosen, English when there is none", () => {
  expect(chooseLanguage(null, "de-DE", "ru-RU", "en")).toBe("ru");
  expect(chooseLanguage("tlh", undefined)).toBe("en");
});
