// What every part of the logged-in console may use.

import { createContext } from "preact";
import { useContext, useEffect, useState } from "preact/hooks";
import type { Card } from "../../shared/frames/operator";
import type { Connection } from "../connection";
import type { Words } from "../i18n/words";
import type { Shelf } from "../kept";
import type { PresenceWatch } from "../presence";
import { serverTime, type State } from "../store";

export interface Desk {
  state: State;
  connection: Connection;
  presence: PresenceWatch;
  operator: string;
  shelf: Shelf;
}

export const WordsContext = createContext<Words | null>(null);
export const DeskContext = createContext<Desk | null>(null);

export function useWords(): Words {
  return given(useContext(WordsContext), "WordsContext");
}

export function useDesk(): Desk {
  return given(useContext(DeskContext), "DeskContext");
}

function given<T>(value: T | null, name: string): T {
  if (value === null) throw new Error(`${name} has no provider above this component`);
  return value;
}

/** What is asked or decided about it; while that is on its way it is not asked again. */
export function useOff(card: Card): { off: boolean; doing: string | undefined } {
  const { state } = useDesk();
  const doing = state.deeds.find((deed) => deed.session === card.session && deed.state === "waiting" && !WORDS.has(deed.verb))?.verb;
  // What is decided against the clock is not kept for later: only words are.
  return { off: state.link !== "live" || doing !== undefined, doing };
}

const WORDS: ReadonlySet<string> = new Set(["reply", "note", "start", "reword", "take_back"]);

/** The time now by the server's clock, told again every *everyMs*. */
export function useNow(everyMs: number): number {
  const { state } = useDesk();
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return serverTime(state, now);
}
