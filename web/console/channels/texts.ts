// What the page of channels says. A catalogue of its own, which comes with the page and not with the console.

import { useMemo } from "preact/hooks";
import { Problem } from "../api";
import { type Entry, type Language, type Texts, textsOf } from "../i18n/words";
import { useWords } from "../views/context";
import en from "./texts/en.json";
import ru from "./texts/ru.json";

export type ChannelKey = keyof typeof en;
export const CHANNEL_TEXTS: Readonly<Record<Language, Readonly<Record<ChannelKey, Entry>>>> = { en, ru };
export type ChannelTexts = Texts<ChannelKey>;

export function useChannelTexts(): ChannelTexts {
  const { language } = useWords();
  return useMemo(() => textsOf(language, CHANNEL_TEXTS[language]), [language]);
}

/** What is to be done about *code*; where there is no such sentence the server's own. */
export function adviceOf({ word }: ChannelTexts, code: string, otherwise: string): string {
  return code === "" ? otherwise : word("code", code, otherwise);
}

/** What went wrong, for whoever asked for it. */
export function problemSaid(texts: ChannelTexts, error: unknown): string {
  if (!(error instanceof Problem) || error.status === 0) return texts.t("no_answer");
  return adviceOf(texts, error.code, error.detail || texts.t("not_done"));
}
