// What an operator may do with a session, as far as the console can know: by who they are to it, and by where it stands. The
// server decides; what it would refuse for certain is not offered.

import type { Card, Do, Me } from "../shared/frames/operator";
import {
  asksMe,
  consulted,
  hearsTalk,
  heldSince,
  isCall,
  isCalling,
  isHeldBy,
  isInvited,
  isJoinedBy,
  isMissed,
  isOffered,
  isPassedBy,
  isTalked,
  isWaiting,
} from "./store";

/** `review` goes over REST; the others are deeds. */
export type Verb = Exclude<Do["verb"], "note"> | "review";

/** Supervisors and administrators. */
export function supervises(me: Me | null): boolean {
  return me !== null && me.role !== "operator";
}

/** Administrators alone. */
export function administers(me: Me | null): boolean {
  return me?.role === "administrator";
}

function isSomebodys(card: Card): boolean {
  return (card.operator ?? "") !== "" || (card.passed_by ?? "") !== "";
}

function hadBy(card: Card, me: Me): boolean {
  return card.status === "closed" && card.operator === me.id;
}

export function may(verb: Verb, card: Card, me: Me | null): boolean {
  if (me === null) return false;
  const open = card.status !== "closed";
  const begun = card.status === "active" || card.status === "snoozed";
  const call = isCall(card);
  // Before the customer has answered there is no talk.
  const talked = isTalked(card) && !isCalling(card);
  const held = isHeldBy(card, me);
  const passing = isPassedBy(card, me);
  const joined = isJoinedBy(card, me);
  switch (verb) {
    case "take":
      // A call that waits is made to ring at my phone; one that rings is taken by lifting it.
      if (call) return isWaiting(card);
      // What I put by is taken again by waking it.
      // What I passed on, while the colleague has not taken it.
      return isWaiting(card) || isOffered(card) || passing || (held && card.status === "snoozed");
    case "decline":
      return isOffered(card);
    case "reply":
      // Whoever answers a waiting customer, or one offered to them, takes the dialogue by it.
      return !call && (held || joined || passing || isWaiting(card) || isOffered(card));
    // What was said is changed by whoever may say more.
    case "reword":
    case "take_back":
      return open && !call && (held || joined);
    case "close":
      return open && (held || passing || supervises(me));
    case "transfer":
      return open && !isCalling(card) && (held || passing || supervises(me));
    // A talk is passed on: whoever gets it is asked in any case, for they have to lift their phone.
    case "assign":
      return open && !(call && begun) && supervises(me);
    case "hold":
      return talked && held && heldSince(card) === 0;
    case "resume":
      return talked && held && heldSince(card) > 0;
    case "consult":
      return talked && held && consulted(card) === "";
    case "settle":
      return isMissed(card);
    case "listen":
      return talked && supervises(me) && !held && !asksMe(card, me) && !hearsTalk(card, me);
    case "take_over":
      // What nobody has is taken.
      return open && !call && supervises(me) && !held && !isWaiting(card) && !isOffered(card);
    case "invite":
      return begun && (held || joined || supervises(me));
    // Who is asked about a call lifts the phone, or does not.
    case "join":
      return begun && !asksMe(card, me) && !held && !joined && (isInvited(card, me) || supervises(me));
    case "leave":
      return joined || (isInvited(card, me) && !asksMe(card, me));
    case "snooze":
      return begun && held && !call;
    case "spam":
      // Of a dialogue that is or was somebody's only they can say so, and who joined them.
      if (card.outcome === "spam") return false;
      return supervises(me) || (isSomebodys(card) ? held || joined || passing || hadBy(card, me) : true);
    case "start":
      return !open && !call;
    case "review":
      return !open && supervises(me) && (card.operator ?? "") !== "" && card.operator !== me.id;
  }
}
