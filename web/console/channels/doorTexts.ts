// What the console says of channels before their page is there: the way to it, and that one of them needs somebody.

import { useMemo } from "preact/hooks";
import { type Entry, type Language, type Texts, textsOf } from "../i18n/words";
import { useWords } from "../views/context";
import en from "./door/en.json";
import ru from "./door/ru.json";

export type DoorKey = keyof typeof en;
export const DOOR_TEXTS: Readonly<Record<Language, Readonly<Record<DoorKey, Entry>>>> = { en, ru };

export function useDoorTexts(): Texts<DoorKey> {
  const { language } = useWords();
  return useMemo(() => textsOf(language, DOOR_TEXTS[language]), [language]);
}
