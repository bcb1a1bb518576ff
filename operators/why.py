"""What the journal says of who got a session and why, decision by decision, as sentences. Pure.

    teller = Teller(directory, language)
    teller.decision(session, at, record, distribution, offers)     a row of the session's
    teller.waits(now, state, line)                                 what holds it now

A sentence names people and numbers and never a time: what it is until stands beside it as `until`, and each screen writes times in
its reader's zone. Names are as of now. Every word is in operators.why_words; a code that an older engine wrote and
nobody knows any more is told in the plainest sentence of its kind.

Numbers are those of the moment: what earlier offers of the same distribution took of a budget, or did to the turns, is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from broker.domain import Directory, base_language
from operators.why_rows import Distribution, Record, Side, Sight, State
from operators.why_words import LANGUAGES, WORDS, say

Kind = Literal[
    "opened",
    "reopened",
    "started",
    "offered",
    "held",
    "taken",
    "declined",
    "ran_out",
    "busy",
    "unreachable",
    "gone",
    "returned",
    "passed_on",
    "assigned",
    "taken_over",
    "handed_over",
    "on_hold",
    "resumed",
    "consulted",
    "listened",
    "invited",
    "joined",
    "left",
    "snoozed",
    "woke",
    "closed",
    "settled",
    "spam",
    "waits",
    "unreadable",
]
NAMES_MAX = 5
"""People whom one sentence names; of the others it says how many they are."""
ENDS_WITH = 4
"""So many of its last digits are shown of a number outside."""


# --- what is told


@dataclass(frozen=True, slots=True)
class ConsideredSeat:
    """A seat of the line, in the queue's order, and why it was chosen or passed over.

    *why*: chosen, inactive, offline, away, off_shift, full, no_phone, on_call, unskilled, paced, asked, kept, later. *until*: when that
    is over, if known.
    """

    operator_id: str
    name: str
    why: str
    text: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class OfferEnd:
    """What became of an offer: open, taken, declined, ran_out, withdrawn, gone; of a call also busy, unreachable."""

    operator_id: str
    name: str
    state: str
    text: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """One step of the session's story. *text* names no time: what it is until stands in *until*.

    *rule* of an offer: responsible, evenly, strictly, all_at_once, least_loaded; of what is held or waits: round, rounds_over,
    responsible, skill, pace, nobody, closed, promised, greeting; else empty. *seats* are those of a distribution. *engine* is null of what
    waits now.
    """

    at: datetime
    kind: Kind
    rule: str
    settings_version: int
    engine: int | None
    text: str
    seats: list[ConsideredSeat] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    until: datetime | None = None
    offer_no: int | None = None
    offers: list[OfferEnd] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LineNow:
    """A line's hours and pace as of now."""

    open: bool
    opens_at: datetime | None
    paced_until: datetime | None


@dataclass(frozen=True, slots=True)
class Offered:
    """An offer as its row says it now."""

    operator_id: str
    state: str
    ended_at: datetime | None


@dataclass(slots=True)
class _Story:
    """A decision in the making."""

    kind: Kind
    sentences: list[str]
    rule: str = ""
    chosen: tuple[str, ...] = ()
    until: datetime | None = None
    offer_no: int | None = None


class Teller:
    """Tells decisions in one language, with the names of one directory."""

    def __init__(self, directory: Directory, language: str) -> None:
        base = base_language(language)
        self._language = base if base in LANGUAGES else "en"
        self._directory = directory

    def decision(
        self,
        session: str,
        at: datetime,
        made: Record | None,
        by: Distribution | None = None,
        offers: Sequence[Offered] = (),
    ) -> RoutingDecision | None:
        """Tell a row of the session's; None: it tells nothing of who gets the session.

        *by* is the distribution that made it, *offers* are those that it made, as they are now.
        """
        if made is None:
            return RoutingDecision(at, "unreadable", "", 0, None, self._say("unreadable"))
        tell = _TELLERS.get(made.event.type)
        after = made.after
        if tell is None or not isinstance(after, Side) or after.id != session:
            return None
        sight = Sight(by, session) if by is not None and by.reasons(session) else None
        story = self._sent_elsewhere(tell(self, made, after, sight), made, after)
        if story is None:
            return None
        return RoutingDecision(
            at,
            story.kind,
            story.rule,
            sight.line.version if sight is not None else made.settings,
            made.engine,
            " ".join(story.sentences),
            self._seats(sight) if sight is not None else [],
            list(story.chosen),
            story.until,
            story.offer_no,
            [self._end(one) for one in offers] if story.offer_no is not None else [],
        )

    def waits(self, now: datetime, session: State, line: LineNow) -> RoutingDecision:
        """Tell what holds a waiting session now."""
        settled = self._directory.lines.get(session.line_id)  # type: ignore[call-overload]
        version, rounds = (settled.version, settled.settings.rounds) if settled is not None else (0, 0)
        told = RoutingDecision(now, "waits", "nobody", version, None, self._say("waits.nobody"))
        opens_at, promised = line.opens_at, session.held_until if session.promised else None
        if not line.open and (opens_at is None or promised is None or promised < opens_at):
            text = self._say("held.closed" if line.opens_at is not None else "held.closed_for_good")
            return replace(told, rule="closed", text=text, until=line.opens_at)
        if session.held_why and (session.held_until is None or session.held_until > now):
            needs = session.needs if session.needs_until is None or session.needs_until > now else ()
            sentences = self._held(
                session.held_why, session.held_until, session.round_no, rounds, needs, session.needs_until, session.responsible_id
            )
            return replace(told, rule=session.held_why, text=" ".join(sentences), until=session.held_until)
        if line.paced_until is not None and line.paced_until > now:
            return replace(told, rule="pace", text=self._say("held.pace"), until=line.paced_until)
        return told

    def name(self, operator: str | None) -> str:
        """Return the person's name as of now; of one who is switched off, that they were here."""
        if not operator:
            return self._say("nobody")
        person = self._directory.operators.get(operator)  # type: ignore[call-overload]
        if person is None:
            return self._say("former")
        return person.name if person.active else f"{person.name} {self._say('former')}"

    # --- words

    def _say(self, *keys: str, **values: object) -> str:
        return say(self._language, *keys, **values)

    def _names(self, people: Sequence[str]) -> str:
        names = ", ".join(self.name(one) for one in people[:NAMES_MAX])
        left = len(people) - NAMES_MAX
        return self._say("more", names=names, n=left) if left > 0 else names

    def _needs(self, needs: Iterable[str]) -> str:
        parts = (need.partition(":") for need in needs)
        return ", ".join(
            self._say(f"need.{kind}", what=what) if f"need.{kind}" in WORDS else what or kind for kind, _, what in parts
        )

    def _line(self, line: str) -> str:
        known = self._directory.lines.get(line)  # type: ignore[call-overload]
        return known.name if known is not None else ""

    # --- the distributor's

    def _offered(self, made: Record, after: Side, sight: Sight | None) -> _Story:
        event, who = made.event, made.event.operators
        rule = sight.rule if sight is not None else event.rule
        values = {"who": self._names(who), "people": self._say("people", n=len(who))}
        # Without what the distribution saw nobody's load is known.
        key = f"offered.{rule}" if sight is not None or rule != "least_loaded" else "offered"
        percent = sight.percent(who[0]) if sight is not None and who else 0
        sentences = [self._say(key, "offered", percent=percent, **values)]
        if event.renewed:
            sentences.append(self._say("renewed"))
        if sight is not None:
            if sight.waited_for_opening:
                sentences.append(self._say("from_before_opening"))
            if sight.relaxed:
                sentences.append(self._say("relaxed"))
            if rule != "responsible" and after.round_no > 1:
                sentences.append(self._say("round", n=after.round_no, rounds=sight.line.rounds))
        return _Story("offered", sentences, rule, who, event.until, after.offer_no)

    def _kept_back(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        event = made.event
        if event.why == "nobody":
            if after.promised:
                return None  # nobody is wanted yet
            told = {one.reply for one in made.decisions if one.do == "say"}
            sentences = [self._say("held.nobody")]
            sentences += [self._say("customer_told")] if "no_answer" in told else []
            sentences += [self._say("supervisors_told")] if any(one.do == "alert" for one in made.decisions) else []
            return _Story("held", sentences, event.why)
        if event.why == "hours":
            return self._other_hours(made, after)
        waiting = sight.waiting if sight is not None else None
        sentences = self._held(
            event.why,
            event.until,
            waiting.round_no if waiting is not None else after.round_no,
            sight.line.rounds if sight is not None else 0,
            sight.needs if sight is not None else (),
            waiting.needs_until if waiting is not None else None,
            waiting.responsible_id if waiting is not None else None,
        )
        return _Story("held", sentences, event.why, until=event.until)

    def _other_hours(self, made: Record, after: Side) -> _Story | None:
        if made.view.hours is not None and made.view.hours.open:
            return None  # what follows is told by itself
        sentences = [self._say("held.closed" if after.opens_at is not None else "held.closed_for_good")]
        if any(one.do == "say" for one in made.decisions):
            sentences.append(self._say("customer_told_opening"))
        return _Story("held", sentences, "closed", until=after.opens_at)

    def _held(
        self,
        why: str,
        until: datetime | None,
        round_no: int,
        rounds: int,
        needs: Sequence[str],
        needs_until: datetime | None,
        responsible: str | None,
    ) -> list[str]:
        """Say why a session is kept back: a code of the distribution."""
        n = rounds if why == "rounds_over" else round_no
        words = "left_out" if why == "round" and round_no == 0 else why
        said = self._say(f"held.{words}", "held", who=self.name(responsible), needs=self._needs(needs), n=n, rounds=rounds)
        relaxes = bool(needs) and until is not None and until == needs_until
        return [said, self._say("then_anybody")] if relaxes else [said]

    def _seats(self, sight: Sight) -> list[ConsideredSeat]:
        return [
            ConsideredSeat(
                operator,
                self.name(operator),
                why,
                self._seat(operator, why, sight),
                sight.paced_until(operator) if why == "paced" else None,
            )
            for operator, why in sight.reasons
        ]

    def _seat(self, operator: str, why: str, sight: Sight) -> str:
        values: dict[str, object] = {
            "taken": sight.taken.get(operator, 0),
            "budget": sight.budget(operator),
            "weight": sight.waiting.weight if sight.waiting is not None else 0,
            "percent": sight.percent(operator),
            "turn": sight.turns.get(operator, 0),
            "needs": self._needs(sight.missing(operator)),
            "n": sight.waiting.round_no if sight.waiting is not None else 0,
            "first": "",
        }
        rule = sight.rule
        if why == "chosen" and rule == "evenly" and not values["turn"]:
            rule = "evenly.never"
        if why == "asked" and not values["n"]:
            rule = "before"  # it has begun no round since somebody had it
        if why == "later" and sight.chosen:
            first = sight.chosen[0]
            if rule == "least_loaded" and sight.load(operator) != sight.load(first):
                values["first"] = sight.percent(first)
            elif rule in ("least_loaded", "evenly"):
                # Of two that are alike the queue's order decides, as it does by the rule that knows nothing else.
                rule = "evenly" if sight.turns.get(operator) != sight.turns.get(first) else "strictly"
                values["first"] = sight.turns.get(first, 0)
        return self._say(f"seat.{why}.{rule}", f"seat.{why}", "seat", **values)

    def _end(self, one: Offered) -> OfferEnd:
        return OfferEnd(
            one.operator_id, self.name(one.operator_id), one.state, self._say(f"offer.{one.state}", "offer"), one.ended_at
        )

    # --- the customer's

    def _customer_wrote(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        if before is None or before.id != after.id:
            return self._opened(made, after)
        if before.status == "snoozed" and after.status != "snoozed":
            return self._woke("wrote", before, after)
        if before.status == "active" and after.status == "queued":
            said = self._say("returned.wrote", who=self.name(before.operator_id))
            return self._queued(_Story("returned", [said]), after)
        if before.status != "closed" or after.status == "closed":
            return None
        if after.status == "active":
            return _Story(
                "reopened", [self._say("reopened.active", who=self.name(after.operator_id))], chosen=_one(after.operator_id)
            )
        key = "reopened.queued" if before.operator_id is not None else "reopened.new"
        return self._queued(_Story("reopened", [self._say(key)]), after)

    def _opened(self, made: Record, after: Side) -> _Story:
        line = self._line(after.line_id)
        if after.outgoing:
            return self._called_out(made, after, line)
        if after.status == "closed":
            return _Story("opened", [self._say(f"opened.shut.{after.outcome}", "opened.shut", line=line)])
        if made.view.hours is None or made.view.hours.open:
            return _Story("opened", [self._say("opened", line=line)])
        key = "opened.outside" if after.opens_at is not None else "opened.outside.for_good"
        return _Story("opened", [self._say(key, line=line)], until=after.opens_at)

    def _called_out(self, made: Record, after: Side, line: str) -> _Story:
        """Tell how a call begins that we make."""
        who = self.name(made.event.operator_id)
        if after.status == "queued":
            return self._queued(_Story("opened", [self._say("call_out", line=line)], until=after.promised_at), after)
        if after.status == "offered":
            said = self._say("call_out.now", who=who)
            return _Story("offered", [said], "", after.offered_to, after.offered_until, after.offer_no)
        return _Story("closed", [self._say("call_out.no_phone", who=who)])

    def _answered(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        if made.before is None or made.before.reached or not after.reached:
            return None
        return _Story("taken", [self._say("reached")], chosen=_one(after.operator_id))

    def _not_reached(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        if before is None or before.status != "active" or after.status == "active":
            return None
        how = "put_down" if made.event.type == "talk_ended" else "customer"
        said = self._say(f"not_reached.{how}", who=self.name(before.operator_id))
        if after.status == "closed":
            return _Story("closed", [said, self._say("not_reached.over")])
        again = self._say("not_reached.again", who=self.name(before.operator_id))
        return self._queued(_Story("returned", [said, again], until=after.promised_at), after)

    def _chose(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        """Tell what a key of the menu has led to; that somebody waits, who has chosen nothing, is nothing new."""
        before = made.before
        if before is None:
            return None
        if after.status == "closed":
            return _Story("closed", [self._say(f"key.{after.outcome}")])
        if after.line_id != before.line_id:
            return self._queued(_Story("passed_on", [self._say("key.line", line=self._line(after.line_id))]), after)
        view = made.view.colleague
        if view is None:
            return None
        return _Story("returned", [self._say("key.operator", who=self.name(view.operator_id))])

    def _queued(self, story: _Story, after: Side) -> _Story:
        """Say of a session that went to the queue that it waits for the time that was promised, or for the opening if that is later."""
        if after.promised and story.until is None:
            story.sentences.append(self._say("for_its_time"))
            story.until = after.promised_at
        early = story.until is None or after.opens_at is None or story.until < after.opens_at
        if after.status == "queued" and after.opens_at is not None and early:
            story.sentences.append(self._say("for_opening"))
            story.until = after.opens_at
        return story

    # --- the operators'

    def _taken(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        if before is not None and before.status == "queued" and after.status == "offered":
            said = self._say("rings.own", who=self.name(made.event.operator_id))
            return _Story("offered", [said], "", after.offered_to, after.offered_until, after.offer_no)
        if before is None or before.status == after.status or after.status != "active":
            return None
        who = after.operator_id
        if before.status == "snoozed":
            return self._woke("hand", before, after)
        offered = before.status == "offered"
        told = _Story("taken", [self._say("taken.offer" if offered else "taken.list", who=self.name(who))], chosen=_one(who))
        told.offer_no = before.offer_no if offered else None
        return self._with_responsible(told, made)

    def _sent_elsewhere(self, story: _Story | None, made: Record, after: Side) -> _Story | None:
        """Add where a call was sent that rang or waited; of one that came outside the hours it is told as it is opened.

        Where somebody has sent it is told by what they did.
        """
        to = next((one.to for one in made.decisions if one.do == "divert"), "")
        if not to or made.before is None or after.forward_to or after.sent_because == "key":
            return story
        hours = made.view.hours
        why = after.sent_because or ("outside" if hours is not None and not hours.open else "unanswered")
        story = story or _Story("closed", [])
        story.sentences.append(self._say(f"diverted.{why}.{to}", f"diverted.{why}"))
        return story

    def _lifted(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before, who = made.before, made.event.operator_id
        if before is None or before.status == after.status:
            return None
        late = who not in before.offered_to
        said = self._say("lifted.late" if late else "lifted", who=self.name(who))
        told = _Story("taken", [said], chosen=_one(who), offer_no=None if late else before.offer_no)
        return self._with_responsible(told, made)

    def _rang(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        how: Any = made.event.how
        who = [one for one in made.event.operators if before is not None and one in before.offered_to]
        return self._not_taken(how if f"{how}.next" in WORDS else "gone", made, after, who)

    def _hung_up(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        if made.before is None or made.before.status == "closed":
            return None
        if made.before.outgoing and not made.before.reached:
            return self._not_reached(made, after, sight)
        again = ".again" if made.before.answered_at is not None else ""
        return _Story("closed", [self._say(f"hung_up.{after.outcome}{again}", f"hung_up.{after.outcome}", "hung_up")])

    # --- a talk

    def _held_on(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return _Story("on_hold", [self._say("on_hold", who=self.name(made.event.operator_id))]) if after.held else None

    def _resumed(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        if before is None or not before.held or after.held:
            return None
        key = "resumed.alone" if before.consulted is not None else "resumed"
        return _Story("resumed", [self._say(key, who=self.name(after.operator_id), to=self.name(before.consulted))])

    def _not_held(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return _Story("resumed", [self._say("not_held", who=self.name(after.operator_id))])

    def _consulted(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before, to = made.before, after.consulted
        if to is None or (before is not None and before.consulted == to):
            return None
        said = self._say("consulted", who=self.name(made.event.operator_id), to=self.name(to))
        return _Story("consulted", [said], chosen=_one(to))

    def _consult_lifted(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        if made.before is None or made.before.consult_lifted or not after.consult_lifted:
            return None
        to = made.event.operator_id
        said = self._say("consulted.lifted", to=self.name(to), who=self.name(after.operator_id))
        return _Story("consulted", [said], chosen=_one(to))

    def _consult_ended(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        if before is None or before.consulted is None or after.consulted is not None:
            return None
        how = "talked" if before.consult_lifted else made.event.how
        values = {"to": self.name(before.consulted), "who": self.name(after.operator_id)}
        return _Story("resumed", [self._say(f"consult_ended.{how}", "consult_ended", **values)])

    def _put_down(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before, who = made.before, self.name(made.event.operator_id)
        if before is None or before.status != "active":
            return None
        if before.outgoing and not before.reached:
            return self._not_reached(made, after, sight)
        if after.status == "active":
            said = self._say("put_down.handed_over", who=who, to=self.name(after.operator_id))
            return self._with_responsible(_Story("handed_over", [said], chosen=_one(after.operator_id)), made)
        if not (before.held or made.event.missing):
            return _Story("closed", [self._say("put_down", who=who)])
        said = self._say("put_down.missing" if made.event.missing else "put_down.held", who=who)
        return self._waits_again(_Story("returned", [said]), after, before.operator_id)

    def _moved(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        if before is None or before.status != "active":
            return None
        who = self.name(before.operator_id)
        if after.status == "active":
            said = self._say("moved", who=who, to=self.name(after.operator_id))
            return self._with_responsible(_Story("handed_over", [said], chosen=_one(after.operator_id)), made)
        return _Story("passed_on", [self._to_number("moved.number", made.event.number, who)])

    def _came_back(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        if before is None or before == after:
            return None
        said = self._say("not_answered_outside")
        return self._waits_again(_Story("returned", [said]), after, before.operator_id if before.forward_to else None)

    def _listens(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        if made.event.operator_id != after.listens:
            return None
        who = self.name(after.listens)
        return _Story("listened", [self._say(f"listens.{after.listens_how}", "listens", who=who)], chosen=_one(after.listens))

    def _hears(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        me, before = made.event.operator_id, made.before
        if before is None or me in before.listeners or me not in after.listeners:
            return None
        how = before.listens_how if before.listens == me else ""
        return _Story("listened", [self._say(f"hears.{how}", "hears", who=self.name(me))])

    def _hears_no_more(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        me, before = made.event.operator_id, made.before
        if before is None or me not in (before.listens, *before.listeners):
            return None
        key = "hears_no_more" if me in before.listeners else "hears_no_more.not_lifted"
        return _Story("listened", [self._say(key, who=self.name(me))])

    def _waits_again(self, story: _Story, after: Side, first: str | None) -> _Story:
        """Say of a caller with whom nobody speaks any more that they wait, and for whom *first*."""
        if after.status == "queued":
            story.sentences.append(self._say("waits_again.first" if first is not None else "waits_again", who=self.name(first)))
        return story

    def _to_number(self, key: str, number: str, who: str) -> str:
        """Say that a call went to a *number*, of which its end is shown; what is no number is the exchange's name of a phone."""
        digits = number.removeprefix("+")
        if not digits.isdecimal():
            return self._say(f"{key}.unknown", who=who)
        ends = number if len(digits) <= ENDS_WITH else f"…{digits[-ENDS_WITH:]}"
        return self._say(key, who=who, number=ends)

    def _with_responsible(self, story: _Story, made: Record) -> _Story:
        now = next((one.operator_id for one in made.decisions if one.do == "make_responsible"), None)
        if now is not None:
            story.sentences.append(self._say("responsible", who=self.name(now)))
        return story

    def _declined(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return self._not_taken("declined", made, after, _one(made.event.operator_id))

    def _ran_out(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return self._not_taken("ran_out", made, after, made.before.offered_to if made.before is not None else ())

    def _gone(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before, who = made.before, made.event.operator_id
        if before is not None and who in before.offered_to:
            return self._not_taken("gone", made, after, _one(who))
        if before is None or after.status != "queued" or before.status == "queued":
            return None
        key = "returned.removed" if made.event.removed else "returned.vanished"
        return self._queued(_Story("returned", [self._say(key, who=self.name(who))]), after)

    def _not_taken(
        self, kind: Literal["declined", "ran_out", "busy", "unreachable", "gone"], made: Record, after: Side, who: Sequence[str]
    ) -> _Story | None:
        before = made.before
        if before is None or before.status != "offered" or before.offered_to == after.offered_to:
            return None
        passed_by = before.passed_by
        if before.mine_only and after.status == "closed":
            return _Story("closed", [self._say("not_lifted", who=self._names(who))], offer_no=before.offer_no)
        if after.promised:
            return self._queued(
                _Story(kind, [self._say("not_lifted.early", who=self._names(who))], offer_no=before.offer_no), after
            )
        if after.status == "active":
            key, chosen = "back", _one(after.operator_id)
        elif after.status == "offered":
            key, chosen = "others", after.offered_to
        else:
            key, chosen = "queue" if passed_by is not None else "next", ()
        if passed_by is not None and before.load == "call":
            said = self._say(f"{kind}.next", who=self._names(who))
            return self._waits_again(_Story(kind, [said], offer_no=before.offer_no), after, passed_by)
        back = self.name(after.operator_id if after.status == "active" else passed_by)
        said = self._say(f"{kind}.{key}", who=self._names(who), back=back)
        story = _Story(kind, [said], chosen=chosen, offer_no=before.offer_no)
        hours = made.view.hours
        return self._queued(story, after) if hours is not None and not hours.open else story

    def _passed_on(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        event, before = made.event, made.before
        if before is None or before == after:
            return None
        who, by = self.name(event.operator_id), ".by_phone" if event.by_phone else ""
        if any(one.reason == "not passed on" for one in made.decisions):
            key = "not_passed_on.colleague" if event.to_operator is not None else "not_passed_on"
            said = self._say(key, who=who, to=self.name(event.to_operator))
            return self._waits_again(_Story("returned", [said]), after, before.operator_id)
        if event.to_number:
            return _Story("passed_on", [self._to_number(f"passed_on.number{by}", event.to_number, who)])
        if event.to_line is not None:
            key = "passed_on.line" if after.line_id != before.line_id else "passed_on.queue"
            said = self._say(f"{key}{by}", who=who, line=self._line(after.line_id))
            return self._queued(_Story("passed_on", [said]), after)
        to = self.name(event.to_operator)
        if before.consulted is not None and before.consulted == after.operator_id:
            story = _Story("handed_over", [self._say("handed_over", who=who, to=to)], chosen=_one(after.operator_id))
            return self._with_responsible(story, made)
        if event.assigned:
            story = _Story("assigned", [self._say("assigned", who=who, to=to)], chosen=_one(after.operator_id))
            return self._with_responsible(story, made)
        said = self._say(f"passed_on.colleague{by}", who=who, to=to)
        return _Story("passed_on", [said], "", after.offered_to, after.offered_until, after.offer_no)

    def _taken_over(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        if before is None or after.status != "active" or before == after:
            return None
        held = before.operator_id if before.status in ("active", "snoozed") and before.operator_id != after.operator_id else None
        key = "taken_over.from" if held is not None else "taken_over"
        said = self._say(key, who=self.name(made.event.operator_id), back=self.name(held))
        return _Story("taken_over", [said], chosen=_one(after.operator_id))

    def _invited(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        said = self._say("invited", who=self.name(made.event.operator_id), to=self.name(made.event.colleague))
        return _Story("invited", [said], chosen=_one(made.event.colleague))

    def _joined(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return _Story("joined", [self._say("joined", who=self.name(made.event.operator_id))])

    def _left(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return _Story("left", [self._say("left", who=self.name(made.event.operator_id))])

    def _started(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        again = made.before is not None and made.before.id == after.id
        said = self._say("started.again" if again else "started", who=self.name(made.event.operator_id))
        return _Story("started", [said], chosen=_one(after.operator_id))

    def _snoozed(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return _Story("snoozed", [self._say("snoozed", who=self.name(made.event.operator_id))], until=after.snoozed_until)

    def _closed(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        if made.before is None or made.before.status == "closed":
            return None
        sentences = [self._say("closed.hand", who=self.name(made.event.operator_id))]
        if after.outcome:
            sentences.append(self._say("outcome", outcome=after.outcome))
        return _Story("closed", sentences)

    def _settled(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return _Story("settled", [self._say("settled", who=self.name(made.event.operator_id))])

    def _spam(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        sentences = [self._say("spam", who=self.name(made.event.operator_id))]
        if any(one.do == "ban" for one in made.decisions):
            sentences.append(self._say("banned"))
        return _Story("spam", sentences)

    # --- time's

    def _silent(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return _Story("closed", [self._say("closed.silence")]) if after.status == "closed" else None

    def _not_answered(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        before = made.before
        if before is None or after.status != "queued" or (before.status, before.line_id) == (after.status, after.line_id):
            return None
        key = "returned.unanswered" if after.line_id == before.line_id else "returned.sent_on"
        said = self._say(key, who=self.name(before.operator_id), line=self._line(after.line_id))
        return self._queued(_Story("returned", [said]), after)

    def _snooze_ended(self, made: Record, after: Side, sight: Sight | None) -> _Story | None:
        return self._woke("time", made.before, after) if made.before is not None else None

    def _woke(self, how: Literal["time", "wrote", "hand"], before: Side, after: Side) -> _Story:
        who = self.name(before.operator_id)
        if after.status == "active":
            return _Story("woke", [self._say(f"woke.{how}", who=who)], chosen=_one(after.operator_id))
        return self._queued(_Story("woke", [self._say(f"woke.{how}.queue", who=who)]), after)


def _one(operator: str | None) -> tuple[str, ...]:
    return (operator,) if operator is not None else ()


_TELLERS: dict[str, Callable[[Teller, Record, Side, Sight | None], _Story | None]] = {
    "contact_message": Teller._customer_wrote,
    "take": Teller._taken,
    "reply": Teller._taken,
    "decline": Teller._declined,
    "close": Teller._closed,
    "transfer": Teller._passed_on,
    "invite": Teller._invited,
    "join": Teller._joined,
    "leave": Teller._left,
    "take_over": Teller._taken_over,
    "spam": Teller._spam,
    "start": Teller._started,
    "snooze": Teller._snoozed,
    "operator_gone": Teller._gone,
    "offer_expired": Teller._ran_out,
    "no_answer_due": Teller._not_answered,
    "snooze_ended": Teller._snooze_ended,
    "silence_due": Teller._silent,
    "ring_answered": Teller._lifted,
    "ring_ended": Teller._rang,
    "call_ended": Teller._hung_up,
    "settle": Teller._settled,
    "hold": Teller._held_on,
    "resume": Teller._resumed,
    "hold_failed": Teller._not_held,
    "consult": Teller._consulted,
    "consult_answered": Teller._consult_lifted,
    "consult_ended": Teller._consult_ended,
    "talk_ended": Teller._put_down,
    "talk_moved": Teller._moved,
    "forward_ended": Teller._came_back,
    "customer_reached": Teller._answered,
    "customer_not_reached": Teller._not_reached,
    "key_pressed": Teller._chose,
    "listen": Teller._listens,
    "listen_began": Teller._hears,
    "listen_ended": Teller._hears_no_more,
    "offered": Teller._offered,
    "held": Teller._kept_back,
}
TOLD = tuple(_TELLERS)
"""The kinds of the journal's rows that may have something to tell."""
SAID = ("contact_message", "reply")
"""Of these, the kinds that have nothing to tell while the session's status stays."""
UNTOLD = frozenset(("note", "rated", "round_due", "kpi_due", "reopen_ended", "call_rated", "voicemail_left", "call_ready"))
"""Kinds that never move a session to or from anybody."""
