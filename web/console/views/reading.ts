// What a page reads again and again while somebody looks at it.

import { useEffect, useState } from "preact/hooks";
import { watch, type Watched } from "../watch";

/** What *read* gave last, and what has it read at once; *of* names what is read: of another one nothing is known yet. */
export function useReading<T>(read: () => Promise<T>, everyMs: number, onLoggedOut: () => void, of = ""): [Watched<T>, () => void] {
  const [watched, setWatched] = useState<Watched<T> & { of: string }>({ ...nothing(), of });
  const [asked, setAsked] = useState(0);
  useEffect(() => {
    const watcher = watch(
      read,
      everyMs,
      // A reading that fails after we have asked anew does not take away what the one before has brought.
      (next) =>
        setWatched((before) =>
          next.value === null && before.of === of ? { ...before, failed: next.failed, problem: next.problem } : { ...next, of },
        ),
      onLoggedOut,
      {
        now: Date.now,
        wait(ms, then) {
          const timer = setTimeout(then, ms);
          return () => clearTimeout(timer);
        },
      },
    );
    const lookOrRest = (): void => (document.hidden ? watcher.rest() : watcher.look());
    lookOrRest();
    document.addEventListener("visibilitychange", lookOrRest);
    return () => {
      document.removeEventListener("visibilitychange", lookOrRest);
      watcher.rest();
    };
  }, [asked, of]);
  return [watched.of === of ? watched : nothing(), () => setAsked((before) => before + 1)];
}

function nothing<T>(): Watched<T> {
  return { value: null, readAt: 0, failed: false, problem: "" };
}
