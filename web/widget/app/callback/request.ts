// What the visitor asks for when they want to be called, and what became of it. No looks.
//
//     typed -> asked -> promised, or refused and typed again
//
// Until it is answered the request goes out again with every new connection, under the id that it was born with: however
// often it comes, the server keeps it once. A refusal is the visitor's to answer, never ours: only they press the button.

import type { Callback, Promised, ServerFrame } from "../../../shared/frames/visitor";
import type { ChatDesk } from "../chat";
import { clip } from "../characters";
import type { Clock } from "../connection";
import { momentOf } from "./when";

/** What is typed. */
export interface Wish {
  phone: string;
  name: string;
  /** At the moment *at*, not as soon as somebody can. */
  later: boolean;
  /** Value of a datetime-local field. */
  at: string;
}

/** Why not. */
export interface Refusal {
  code: string;
  /** The server's words, in English. */
  text: string;
  /** When it may be tried again, epoch milliseconds; 0: nobody said. */
  until: number;
}

export interface Request {
  wish: Wish;
  /** Waits for its answer. */
  asked: Callback | null;
  promised: Promised | null;
  /** The promise is for another time than was asked for: nobody is there at that one. */
  moved: boolean;
  refusal: Refusal | null;
}

/** The parts of the world that a request needs. */
export interface RequestWorld {
  desk: Pick<ChatDesk, "send" | "listen" | "redial">;
  clock: Clock;
  newId: () => string;
  /** Something is to be drawn. */
  changed: () => void;
}

export interface RequestDesk {
  request: () => Request;
  /** Type; what is under way is not changed by it. */
  type: (changes: Partial<Wish>) => void;
  /** Ask for the call that is typed. */
  ask: () => void;
  /** Ask for another one after a promise. */
  again: () => void;
}

/** Refused for now, not for what it says. */
const AGAIN = new Set(["too_many", "too_many_calls", "full", "unavailable"]);
const PATIENCE_MS = 20_000;
const LONGEST = 200;

const tidy = (words: string): string => clip(words.trim(), LONGEST);

export function openRequest({ desk, clock, newId, changed }: RequestWorld): RequestDesk {
  let request: Request = {
    wish: { phone: "", name: "", later: false, at: "" },
    asked: null,
    promised: null,
    moved: false,
    refusal: null,
  };
  /** It has gone out on the present socket; calling this ends the patience with that. */
  let recall: (() => void) | null = null;
  /** The last one that may be asked again as it was. */
  let refused: Callback | null = null;

  function change(changes: Partial<Request>): void {
    request = { ...request, ...changes };
    changed();
  }

  function forget(): void {
    recall?.();
    recall = null;
  }

  function send(): void {
    forget();
    if (request.asked === null || !desk.send(request.asked)) return;
    // The socket answers pings, yet this was never answered: a new one may do better.
    recall = clock.after(PATIENCE_MS, desk.redial);
  }

  function refuse(code: string, text = "", until = 0): void {
    forget();
    refused = AGAIN.has(code) ? request.asked : null;
    change({ asked: null, refusal: { code, text, until } });
  }

  function heard(frame: ServerFrame, asked: Callback, now: number): void {
    if (frame.t === "welcome") send();
    else if (frame.t === "promised" && frame.id === asked.id) {
      forget();
      const { at = 0 } = asked;
      change({ asked: null, promised: frame, moved: at > 0 && (frame.at ?? 0) > at });
    } else if (frame.t === "refused" && frame.id === asked.id) {
      const { code, text, retry_after: seconds = 0 } = frame;
      refuse(code, text, seconds && now + seconds * 1_000);
    }
  }

  desk.listen((action) => {
    const { asked } = request;
    if (asked === null) return;
    if (action.t === "heard") heard(action.frame, asked, action.now);
    else if (action.t === "closed") {
      // A frame that the server could not read would close every socket it goes out on, the chat's too.
      if (recall !== null && (action.code === 4400 || action.code === 1009)) refuse("unreadable");
      else forget();
    }
  });

  return {
    request: () => request,
    type(changes) {
      change({ wish: request.asked === null ? { ...request.wish, ...changes } : request.wish });
    },
    ask() {
      if (request.asked !== null) return;
      const { phone, name, later, at } = request.wish;
      const moment = later ? momentOf(at) : 0;
      if (Number.isNaN(moment)) {
        refuse("bad_time");
        return;
      }
      const asked: Callback = { t: "callback", id: newId(), phone: tidy(phone), name: tidy(name), at: moment };
      // The server may have kept it all the same: as long as it is the same, so is its id.
      if (refused?.phone === asked.phone && refused.name === asked.name && refused.at === asked.at) asked.id = refused.id;
      refused = null;
      change({ asked, refusal: null });
      send();
    },
    again: () => change({ promised: null, moved: false }),
  };
}
