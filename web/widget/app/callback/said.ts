// The words for what became of a request, in the visitor's language.

import { speak, type Speech } from "../texts";
import type { Refusal, Request } from "./request";
import en from "./texts/en.json";
import ru from "./texts/ru.json";

export type CallbackText = keyof typeof en;

// All of them come along: who has pressed the button does not wait for a second file.
const catalogues: Readonly<Record<string, Readonly<Record<CallbackText, string>>>> = { en, ru };

/** Speak of callbacks as the rest of the widget speaks (*lang*) to whoever *wanted* a language. */
export function speakAs(lang: string, wanted: string): Speech<CallbackText> {
  return speak(wanted, lang, catalogues[lang] ?? en);
}

const DAY_MS = 24 * 60 * 60 * 1_000;
/** So soon, seconds matter. */
const SOON_MS = 10 * 60 * 1_000;

/** Return what was promised; empty: nothing yet. */
export function promiseOf({ promised, moved }: Request, { text, day, time }: Speech<CallbackText>, now: number): string {
  if (promised === null) return "";
  const { phone, at = 0 } = promised;
  if (at === 0) return text("soon_promised", { phone });
  return text(moved ? "moved" : "promised_at", { phone, day: day(at, now), time: time(at) });
}

/** Return why not, and when it may be tried again; empty: nothing was refused. */
export function complaintOf(refusal: Refusal | null, speech: Speech<CallbackText>, now: number): string {
  if (refusal === null) return "";
  const { code, until } = refusal;
  switch (code) {
    case "no_callback":
    case "bad_phone":
    case "bad_time":
    case "called_already":
      return speech.text(code);
    case "too_many":
    case "too_many_calls":
      return `${speech.text("too_many")} ${againAt(until, speech, now)}`;
    case "full":
    case "unavailable":
      return `${speech.text("unavailable")} ${againAt(until, speech, now)}`;
    default:
      // The server explains in English: to anybody else we say it less exactly, but so that they understand.
      return (speech.lang === "en" && refusal.text) || speech.text("refused");
  }
}

function againAt(until: number, { text, day, time }: Speech<CallbackText>, now: number): string {
  if (until === 0) return text("again");
  const at = time(until, until - now < SOON_MS);
  return until - now < DAY_MS ? text("again_at", { time: at }) : text("again_on", { day: day(until, now), time: at });
}
