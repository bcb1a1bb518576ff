// What an operator may do with a session, as far as the console can know: by who they are to it, and by where it stands. The
// server decides; what it would refuse for certain is not offered.

import type { Card, Do, Me } from "../shared/frames/operator";
import { isHeldBy, isInvited, isJoinedBy, isOffered, isWaiting } from "./store";

/** `review` goes over REST; the others are deeds. */
export type Verb = Exclude<Do["verb"], "note"> | "review";

/** Supervisors and administrators. */
export function supervises(me: Me | null): boolean {
  return me !== null && me.role !== "operator";
}

export function may(verb: Verb, card: Card, me: Me | null): boolean {
  if (me === null) return false;
  const open = card.status !== "closed";
  const begun = card.status === "active" || card.status === "snoozed";
  const held = isHeldBy(card, me);
  const joined = isJoinedBy(card, me);
  switch (verb) {
    case "take":
      // What I put by is taken again by waking it.
      return isWaiting(card) || isOffered(card) || (held && card.status === "snoozed");
    case "decline":
      return isOffered(card);
    case "reply":
      // Whoever answers a waiting customer, or one offered to them, takes the dialogue by it.
      return held || joined || isWaiting(card) || isOffered(card);
    case "close":
    case "transfer":
      return open && (held || supervises(me));
    case "assign":
      return open && supervises(me);
    case "take_over":
      // What nobody has is taken.
      return open && supervises(me) && !held && !isWaiting(card) && !isOffered(card);
    case "invite":
      return begun && (held || joined || supervises(me));
    case "join":
      return begun && !held && !joined && (isInvited(card, me) || supervises(me));
    case "leave":
      return joined || isInvited(card, me);
    case "snooze":
      return begun && held;
    case "spam":
      // Of a dialogue that somebody has begun only those who are in it can say so.
      return begun ? held || joined || supervises(me) : card.outcome !== "spam";
    case "start":
      return !open;
    case "review":
      return !open && supervises(me) && (card.operator ?? "") !== "" && card.operator !== me.id;
  }
}
