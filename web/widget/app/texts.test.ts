import { expect, test } from "vitest";
import { learn, speak } from "./texts";
import en from "./texts/en.json";
import ru from "./texts/ru.json";

const catalogues: Record<string, Record<string, string>> = { ru };
const blanksOf = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([blank]) => blank).sort();

test.each(Object.keys(catalogues))("%s says everything that English says, and nothing else", (lang) => {
  expect(Object.keys(catalogues[lang] ?? {}).sort()).toEqual(Object.keys(en).sort());
});

test.each(Object.keys(catalogues))("%s leaves the same blanks to be filled in, and no text empty", (lang) => {
  for (const [key, text] of Object.entries(en)) {
    const other = catalogues[lang]?.[key] ?? "";
    expect([key, other !== "", blanksOf(other)]).toEqual([key, true, blanksOf(text)]);
  }
});

test("a visitor's language is fetched, whatever its region and spelling", async () => {
  const asked: string[] = [];
  const get = (address: URL) => {
    asked.push(address.pathname);
    return Promise.resolve(ru);
  };

  const speech = [await learn("ru", get), await learn("ru-KZ", get), await learn("RU_ru", get)];

  expect(speech.map(({ lang, text }) => [lang, text("send")])).toEqual(Array(3).fill(["ru", "Отправить"]));
  expect(asked.every((path) => path.endsWith("ru.json"))).toBe(true);
});

test.each(["en-US", "xx", "", "constructor"])("whoever speaks %s is spoken to in English, and nothing is fetched", async (wanted) => {
  const speech = await learn(wanted, () => expect.fail("fetched"));

  expect([speech.lang, speech.text("send")]).toEqual(["en", "Send"]);
});

test("a catalogue that cannot be had leaves English", async () => {
  const speech = await learn("ru", () => Promise.reject(new TypeError("offline")));

  expect([speech.lang, speech.text("send")]).toEqual(["en", "Send"]);
});

test("dates are the language's, and of this year unless they say which", () => {
  const speech = speak("ru", "ru", ru);
  const [then, now] = [Date.UTC(2024, 4, 9, 12), Date.UTC(2025, 0, 2, 12)];

  expect(speech.day(now, now)).toBe("2 января");
  expect(speech.day(then, now)).toContain("9 мая 2024");
});

test("a name goes where the catalogue puts it", () => {
  expect(speak("en").text("typing", { name: "Ann $& {name}" })).toBe("Ann $& {name} is typing…");
});
