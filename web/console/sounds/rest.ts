// The sounds over REST.

import { ask, Problem, problemOf, ROOT } from "../api";

export interface SoundUse {
  line_id: string;
  line: string;
  /** Which of the line's settings names it: `calls.greeting`. */
  setting: string;
}

export interface Sound {
  name: string;
  /** How settings name it. */
  ref: string;
  seconds: number;
  /** For who waits; else it is a prompt. */
  music: boolean;
  /** ISO 8601. */
  changed_at: string;
  uses: SoundUse[];
}

export interface Sounds {
  items: Sound[];
  /** How many more there can be, */
  left: number;
  /** and how many of those may be music. */
  music_left: number;
}

export async function sounds(): Promise<Sounds> {
  return (await ask("GET", "/sounds")) as Sounds;
}

export async function deleteSound(name: string): Promise<void> {
  await ask("DELETE", addressOf(name));
}

/** Where it can be heard; another one under its name has another address, or a browser would play what it has kept. */
export function audioOf(sound: Sound): string {
  return `${ROOT}${addressOf(sound.name)}/audio?changed=${encodeURIComponent(sound.changed_at)}`;
}

function addressOf(name: string): string {
  return `/sounds/${encodeURIComponent(name)}`;
}

export interface NewSound {
  name: string;
  music: boolean;
  /** Only if there is none of that name. */
  fresh: boolean;
  wav: Blob;
}

/** Keep a sound, *tell*ing how much of it has been sent, 0 to 1. By what only XMLHttpRequest can: fetch tells nothing. */
export function putSound({ name, music, fresh, wav }: NewSound, tell: (sent: number) => void, aborted: AbortSignal): Promise<Sound> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("PUT", `${ROOT}${addressOf(name)}?music=${String(music)}`);
    request.setRequestHeader("Accept", "application/json");
    request.setRequestHeader("Content-Type", "audio/wav");
    if (fresh) request.setRequestHeader("If-None-Match", "*");
    request.upload.onprogress = (event) => tell(event.total > 0 ? event.loaded / event.total : 0);
    request.onload = () => {
      const answer = parsed(request.responseText);
      if (request.status >= 200 && request.status < 300 && answer !== null) resolve(answer as Sound);
      else reject(problemOf(request.status, answer));
    };
    request.onerror = request.onabort = () => reject(new Problem(0, ""));
    aborted.addEventListener("abort", () => request.abort());
    request.send(wav);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
