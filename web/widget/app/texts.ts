// What the widget says: one catalogue a language. English comes along; any other is fetched, so that a language more
// costs nobody a byte who does not speak it. {name} and the like are filled in by `speak`.

import en from "./texts/en.json";

export type Text = keyof typeof en;
export type Catalogue = Readonly<Record<Text, string>>;

/** Where the other catalogues are. Vite makes files of them, beside the application. */
const addresses = new Map([["ru", () => new URL("./texts/ru.json", import.meta.url)]]);

/** How the widget speaks to this visitor, by a catalogue of these keys. */
export interface Speech<Key extends string = Text> {
  /** The catalogue's language, for the `lang` attribute. */
  lang: string;
  text: (key: Key, values?: Readonly<Record<string, string | number>>) => string;
  /** Hours and minutes, with seconds if asked. */
  time: (at: number, seconds?: boolean) => string;
  /** A calendar day; the year only when it is not this one. */
  day: (at: number, now: number) => string;
}

/** Learn the language that *wanted* (BCP 47) names. English if we do not know it, or its catalogue cannot be had. */
export async function learn(wanted: string, get: (address: URL) => Promise<Catalogue>): Promise<Speech> {
  const lang = languageOf(wanted);
  const address = addresses.get(lang);
  if (address === undefined) return speak(wanted);
  return get(address()).then(
    (catalogue) => speak(wanted, lang, catalogue),
    () => speak(wanted),
  );
}

/** Speak English. */
export function speak(wanted: string): Speech;
/** Speak *lang* by its *catalogue*. Dates follow the region of *wanted*, if that is the same language's. */
export function speak<Key extends string>(wanted: string, lang: string, catalogue: Readonly<Record<Key, string>>): Speech<Key>;
export function speak<Key extends string>(wanted: string, lang = "en", catalogue = en as unknown as Readonly<Record<Key, string>>): Speech<Key> {
  const locale = languageOf(wanted) === lang && supported(wanted) ? wanted : lang;
  const format = (at: number, options: Intl.DateTimeFormatOptions) => new Intl.DateTimeFormat(locale, options).format(at);
  return {
    lang,
    text: (key, values = {}) => catalogue[key].replace(/\{(\w+)\}/g, (_, name: string) => `${values[name] ?? ""}`),
    time: (at, seconds = false) => format(at, { timeStyle: seconds ? "medium" : "short" }),
    day: (at, now) => {
      const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
      return format(at, { day: "numeric", month: "long", year: sameYear ? undefined : "numeric" });
    },
  };
}

function languageOf(locale: string): string {
  return locale.toLowerCase().split(/[-_]/)[0] ?? "";
}

function supported(locale: string): boolean {
  try {
    return Intl.DateTimeFormat.supportedLocalesOf(locale).length > 0;
  } catch {
    // A site wrote `data-lang="ru_RU"` or worse.
    return false;
  }
}
