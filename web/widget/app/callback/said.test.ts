import { expect, test } from "vitest";
import type { Refusal, Request } from "./request";
import { complaintOf, promiseOf, speakAs } from "./said";
import en from "./texts/en.json";
import ru from "./texts/ru.json";

const english = speakAs("en", "en-GB");
const russian = speakAs("ru", "ru");
const NOW = new Date(2026, 10, 28, 9, 30).getTime();
const tomorrow = new Date(2026, 10, 29, 14, 5).getTime();
const blanksOf = (text: string) => [...text.matchAll(/\{\w+\}/g)].map(([blank]) => blank).sort();

const promised = (at: number, moved = false): Request => ({
  wish: { phone: "", name: "", later: false, at: "" },
  asked: null,
  promised: { t: "promised", id: "request-1", phone: "+442079460123", at },
  moved,
  refusal: null,
});
const refusal = (code: string, until = 0): Refusal => ({ code, text: "“12” is not a phone number", until });

test("Russian says everything that English says with the same blanks, and nothing else", () => {
  const texts: Record<string, string> = ru;

  expect(Object.keys(texts).sort()).toEqual(Object.keys(en).sort());
  for (const [key, text] of Object.entries(en)) expect([key, blanksOf(texts[key] ?? "")]).toEqual([key, blanksOf(text)]);
});

test("a language whose catalogue we lack is spoken to as the rest of the widget does: in English", () => {
  expect(speakAs("en", "fi").text("ask")).toBe("Call me");
});

test("a promise says the number, and when", () => {
  expect(promiseOf(promised(0), english, NOW)).toBe("We will call you at +442079460123 as soon as somebody is free.");
  expect(promiseOf(promised(tomorrow), english, NOW)).toBe("We will call you at +442079460123 on 29 November at 14:05.");
  expect(promiseOf(promised(tomorrow), russian, NOW)).toBe("Позвоним вам 29 ноября в 14:05 по номеру +442079460123.");
});

test("a promise for another time than they chose says why", () => {
  expect(promiseOf(promised(tomorrow, true), english, NOW)).toContain("We are closed at the time you chose.");
});

test("nothing was promised, nothing was refused: nothing is said", () => {
  expect([promiseOf({ ...promised(0), promised: null }, english, NOW), complaintOf(null, english, NOW)]).toEqual(["", ""]);
});

test.each(["no_callback", "bad_phone", "bad_time", "called_already"] as const)("%s is told in the visitor's language", (code) => {
  expect([complaintOf(refusal(code), english, NOW), complaintOf(refusal(code), russian, NOW)]).toEqual([en[code], ru[code]]);
});

test.each([
  ["too_many", en.too_many],
  ["too_many_calls", en.too_many],
  ["full", en.unavailable],
  ["unavailable", en.unavailable],
])("%s says when it may be tried again, as exactly as it matters", (code, words) => {
  const said = (until: number) => complaintOf(refusal(code, until), english, NOW);

  expect(said(NOW + 5_000)).toBe(`${words} Please try again after 09:30:05.`);
  expect(said(NOW + 3_600_000)).toBe(`${words} Please try again after 10:30.`);
  expect(said(tomorrow)).toBe(`${words} Please try again on 29 November after 14:05.`);
  expect(said(0)).toBe(`${words} Please try again a little later.`);
});

test.each(["id_used", "unreadable", "something_new"])("of %s who reads English reads what the server found, and who does not is not answered in English", (code) => {
  expect(complaintOf(refusal(code), english, NOW)).toBe("“12” is not a phone number");
  expect(complaintOf({ ...refusal(code), text: "" }, english, NOW)).toBe(en.refused);
  expect(complaintOf(refusal(code), russian, NOW)).toBe(ru.refused);
});
