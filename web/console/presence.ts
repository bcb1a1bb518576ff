// What presence to say: what the operator chose, and `away` while nobody touches the console.

import type { Presence } from "../shared/frames/operator";
import { read, type Shelf, write } from "./kept";

export interface PresenceHabit {
  chosen: Presence;
  /** Say `away` by itself after IDLE_MS without input. */
  auto: boolean;
}

export const IDLE_MS = 5 * 60_000;
/** Input is noted at most so often: it goes to storage, for the other tabs. */
const NOTE_EVERY_MS = 5_000;
const LOOK_EVERY_MS = 10_000;
const INPUTS = ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"] as const;

export function presenceToSay(habit: PresenceHabit, idleMs: number): Presence {
  return habit.chosen === "online" && habit.auto && idleMs >= IDLE_MS ? "away" : habit.chosen;
}

export interface PresenceWatch {
  habit(): PresenceHabit;
  change(habit: Partial<PresenceHabit>): void;
  stop(): void;
}

/** Call *say* with the presence now and whenever it changes. Input in one tab counts for all tabs of the operator. */
export function watchPresence(on: Shelf, operator: string, say: (presence: Presence) => void): PresenceWatch {
  const habitKey = `presence.${operator}`;
  const inputKey = `input.${operator}`;
  let habit: PresenceHabit = { chosen: "online", auto: true, ...(read(on, habitKey) as Partial<PresenceHabit> | null) };
  let noted = 0;
  let said: Presence | null = null;

  function look(): void {
    const lastInput = Math.max(noted, (read(on, inputKey) as number | null) ?? 0);
    const presence = presenceToSay(habit, Date.now() - lastInput);
    if (presence === said) return;
    said = presence;
    say(presence);
  }

  function note(): void {
    const now = Date.now();
    if (now - noted < NOTE_EVERY_MS) return;
    noted = now;
    write(on, inputKey, now);
    look();
  }

  function otherTab(event: StorageEvent): void {
    if (event.key !== `omniline.${habitKey}`) return;
    habit = { ...habit, ...(read(on, habitKey) as Partial<PresenceHabit> | null) };
    look();
  }

  for (const input of INPUTS) addEventListener(input, note, { capture: true, passive: true });
  addEventListener("storage", otherTab);
  const timer = setInterval(look, LOOK_EVERY_MS);
  note();
  return {
    habit: () => habit,
    change(change) {
      habit = { ...habit, ...change };
      write(on, habitKey, habit);
      // Said once more though it is what was said last: another computer of theirs may have said something else since.
      if (change.chosen !== undefined) said = null;
      look();
    },
    stop() {
      for (const input of INPUTS) removeEventListener(input, note, { capture: true });
      removeEventListener("storage", otherTab);
      clearInterval(timer);
    },
  };
}
