// One sound at a time, heard from the server.

import { useEffect, useRef, useState } from "preact/hooks";
import { audioOf, type Sound } from "./rest";

export interface Player {
  /** The name of the sound that is heard; null: none is. */
  playing: string | null;
  toggle: (sound: Sound) => void;
  stop: () => void;
  /** How many seconds of it have been heard: a hook of its own, so that only what shows it is drawn anew. */
  useAt: () => number;
}

/** *failed* is told of a sound that could not be played. */
export function usePlayer(failed: (name: string) => void): Player {
  const [playing, setPlaying] = useState<string | null>(null);
  const audio = useRef<HTMLAudioElement | null>(null);

  function stop(): void {
    const before = audio.current;
    audio.current = null;
    setPlaying(null);
    if (before === null) return;
    before.pause();
    // What is still on its way is not wanted any more.
    before.removeAttribute("src");
    before.load();
  }
  useEffect(() => stop, []);

  function start(sound: Sound): void {
    const heard = new Audio(audioOf(sound));
    audio.current = heard;
    setPlaying(sound.name);
    const over = (): void => {
      if (audio.current === heard) stop();
    };
    heard.addEventListener("ended", over);
    heard.play().catch(() => {
      // One that we have stopped ourselves rejects, too.
      if (audio.current !== heard) return;
      stop();
      failed(sound.name);
    });
  }

  return {
    playing,
    toggle(sound) {
      const again = playing === sound.name;
      stop();
      if (!again) start(sound);
    },
    stop,
    useAt() {
      const [at, setAt] = useState(0);
      useEffect(() => {
        const heard = audio.current;
        if (heard === null) return undefined;
        const tell = (): void => setAt(heard.currentTime);
        heard.addEventListener("timeupdate", tell);
        return () => heard.removeEventListener("timeupdate", tell);
      }, []);
      return at;
    },
  };
}
