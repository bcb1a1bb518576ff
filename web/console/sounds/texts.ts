// What the page of sounds says. A catalogue of its own, which comes with the page and not with the console.

import { useMemo } from "preact/hooks";
import { type Entry, type Language, type Texts, textsOf } from "../i18n/words";
import { cleanName } from "../text";
import { useWords } from "../views/context";
import type { SoundUse } from "./rest";
import en from "./texts/en.json";
import ru from "./texts/ru.json";

export type SoundKey = keyof typeof en;
export const SOUND_TEXTS: Readonly<Record<Language, Readonly<Record<SoundKey, Entry>>>> = { en, ru };

export function useSoundTexts(): Texts<SoundKey> {
  const { language } = useWords();
  return useMemo(() => textsOf(language, SOUND_TEXTS[language]), [language]);
}

/** A line and the moment in its calls: `Shop: greeting`. */
export function whereSaid({ word }: Texts<SoundKey>, { line, setting }: SoundUse): string {
  return `${cleanName(line)}: ${word("setting", setting)}`;
}
