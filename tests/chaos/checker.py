"""The auditor of a chaos run: compares what was promised to the clients with what they were shown. Pure.

lost        acknowledged and not in the history, never on an operator's screen, or never answered;
            accepted of an operator and never on the visitor's screen; in the history and never pushed; pushed and not in the history;
            a dead letter of what can be read, or none of what cannot;
            a decision whose reasons are not those that the journal has: it comes out otherwise
doubled     one id under two places, one place with two contents, two readers with two histories; a message that a provider took twice;
            a text of the house's own said more often in a session than there was reason to
reordered   places in another order than the words were said; a screen that went back
stuck       after the drain: not acknowledged, not decided, not sent, not ended; of a crowd somebody not served again
unconfirmed left, and nobody knows whether it arrived: only so where the provider forgets, and did not answer or its sender ended
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from routing.replies import CATALOGUE
from tests.chaos.record import MISSED, REPLY, Line, OperatorRecord, Run, VisitorRecord

KINDS = ("lost", "doubled", "reordered", "stuck", "unconfirmed")
EVIDENCE_MAX = 20


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken promise."""

    kind: str
    says: str


@dataclass(slots=True)
class Ledger:
    """All faults of a run."""

    trials: int
    faults: list[Fault] = field(default_factory=list)

    def count(self, kind: str) -> int:
        """Return how many faults of a kind there are."""
        return sum(fault.kind == kind for fault in self.faults)

    @property
    def ok(self) -> bool:
        """Tell whether nothing was lost, doubled, reordered, stuck or left in doubt."""
        return not self.faults

    def line(self) -> str:
        """Return the ledger in one line."""
        return " ".join([*(f"{kind} {self.count(kind)}" for kind in KINDS), f"trials {self.trials}"])

    def evidence(self) -> str:
        """Return the first faults of each kind, a line each."""
        said = []
        for kind in KINDS:
            found = [fault.says for fault in self.faults if fault.kind == kind]
            said += [f"{kind.upper()}  {says}" for says in found[:EVIDENCE_MAX]]
            if len(found) > EVIDENCE_MAX:
                said.append(f"{kind.upper()}  and {len(found) - EVIDENCE_MAX} more")
        return "\n".join(said)


def check(run: Run) -> Ledger:
    """Return every fault of *run*."""
    ledger = Ledger(run.trials)
    for visitor in run.visitors:
        ledger.faults += _visitor(visitor, run)
    for operator in run.operators:
        ledger.faults += _operator(operator, run)
    ledger.faults += (Fault("stuck", says) for says in run.absent)
    ledger.faults += _threads(run)
    ledger.faults += _house(run)
    return ledger


# --- one visitor


def _visitor(visitor: VisitorRecord, run: Run) -> Iterator[Fault]:
    name = visitor.name
    place = {line.mark: line.seq for line in visitor.history if line.who == "contact"}
    pushed = {line.seq for line in visitor.pushed}
    on_a_screen = {
        line.text for operator in run.operators for lines in operator.shown.values() for line in lines if line.who == "contact"
    }
    answers = Counter(line.text for line in visitor.history if line.who == "operator")
    for said in visitor.said:
        if not said.settled:
            yield Fault("stuck", f"{name}: “{said.text}” was never {'acknowledged' if said.sends else 'sent'}")
            continue
        if said.id not in place:
            yield Fault("lost", f"{name}: “{said.text}” was acknowledged and is not in the history")
            continue
        if any(seq != place[said.id] for seq in said.acks):
            yield Fault("doubled", f"{name}: “{said.text}” has the place {place[said.id]} and acks for {said.acks}")
        if said.text not in on_a_screen:
            yield Fault("lost", f"{name}: “{said.text}” was never on an operator's screen")
        elif not answers[REPLY + said.text]:
            yield Fault("lost", f"{name}: “{said.text}” was never answered")
    for line in visitor.history:
        if line.who != "contact" and line.seq not in pushed | visitor.in_doubt:
            yield Fault("lost", f"{name}: {_quote(line)} is in the history and was never on the screen")
    stored = {line.seq for line in visitor.history}
    for seq, line in {line.seq: line for line in visitor.pushed}.items():
        if seq not in stored:
            yield Fault("lost", f"{name}: was shown {_quote(line)}, which is not in the history")
    if visitor.shows_repeats:
        for line, times in Counter(visitor.pushed).items():
            if times > 1:
                yield Fault("doubled", f"{name}: {_quote(line)} came {times} times, as so many messages")
    yield from _one_content(name, [*visitor.pushed, *visitor.history])
    yield from _each_once(name, visitor.history)
    told = [place[said.id] for said in visitor.said if said.id in place]
    for before, after in pairwise(told):
        if after < before:
            yield Fault("reordered", f"{name}: what was said after the message of place {before} has place {after}")
    yield from _forward(name, visitor.pushed, {seq for said in visitor.said for seq in said.acks})


def _one_content(where: str, lines: Sequence[Line]) -> Iterator[Fault]:
    """One place has one content, whenever it is shown."""
    known: dict[int, Line] = {}
    for line in lines:
        first = known.setdefault(line.seq, line)
        if (first.who, first.text) != (line.who, line.text):
            yield Fault("doubled", f"{where}: place {line.seq} was {_quote(first)} and {_quote(line)}")


def _each_once(where: str, history: Sequence[Line]) -> Iterator[Fault]:
    """One id, and one answer to one message, stands in one place. (What the house says by itself may come again: see `_with_reason`.)"""
    places: dict[str, set[int]] = defaultdict(set)
    for line in history:
        if line.mark:
            places[f"id {line.mark}"].add(line.seq)
        if line.who != "system":
            places[f"{line.who}'s “{line.text}”"].add(line.seq)
    for what, seqs in places.items():
        if len(seqs) > 1:
            yield Fault("doubled", f"{where}: {what} stands at {sorted(seqs)}")
    for before, after in pairwise(history):
        if after.seq <= before.seq:
            yield Fault("reordered", f"{where}: the history has place {after.seq} after {before.seq}")


def _forward(where: str, shown: Sequence[Line], own: set[int]) -> Iterator[Fault]:
    """What is new to a screen is below what it has of the same side; repeats, and what was written on it and acknowledged, are not new.

    Each side for itself: what a visitor writes is on every screen of theirs at once, what is told to them when its turn has come.
    """
    known = set(own)
    highest = {True: 0, False: 0}
    for line in shown:
        side = line.who == "contact"
        if line.seq not in known and line.seq < highest[side]:
            yield Fault("reordered", f"{where}: {_quote(line)} came to the screen after place {highest[side]}")
        known.add(line.seq)
        highest[side] = max(highest[side], line.seq)


def _quote(line: Line) -> str:
    return f"{line.who}'s “{line.text}” ({line.seq})"


# --- one operator


def _operator(operator: OperatorRecord, run: Run) -> Iterator[Fault]:
    on_screens = {line.text for visitor in run.visitors for line in visitor.pushed if line.who == "operator"}
    on_screens |= {line.text for visitor in run.visitors for line in visitor.history if line.seq in visitor.in_doubt}
    place = {
        line.mark: (conversation, line.seq)
        for conversation, thread in run.house.threads.items()
        for line in thread
        if line.who == "operator" and line.mark
    }
    last: dict[str, int] = {}
    for did in operator.did:
        if not did.accepted and not did.refused:
            yield Fault("stuck", f"{operator.name}: the {did.verb} {did.id} was neither accepted nor refused")
        if did.verb != "reply" or did.refused or not did.accepted:
            continue
        if did.text not in on_screens:
            yield Fault("lost", f"{operator.name}: “{did.text}” was accepted and its visitor never saw it")
        if did.id not in place:
            yield Fault("lost", f"{operator.name}: “{did.text}” was accepted and is not in the thread")
            continue
        conversation, seq = place[did.id]
        if seq < last.get(conversation, 0):
            yield Fault(
                "reordered", f"{operator.name}: “{did.text}” has place {seq}, and the answer before it {last[conversation]}"
            )
        last[conversation] = seq
    for conversation, lines in operator.shown.items():
        yield from _one_content(f"{operator.name} in {conversation}", lines)
        yield from _news_forward(f"{operator.name} in {conversation}", lines)
    if operator.gaps:
        yield Fault("lost", f"{operator.name}: the numbers of updates had {operator.gaps} holes")


def _news_forward(where: str, shown: Sequence[Line]) -> Iterator[Fault]:
    """Live updates that are new to a screen are below those it had of the same side. Pages of the thread tell of no order.

    A customer's words get their place when they are stored and are told when they are decided: each side for itself. What a resume
    brings comes after everything that was told before its mark. A process, though, may lag behind that mark: it goes on from where it
    stands, so that its updates are in order among themselves only. Repeats, and what stands in a page already, are not new.
    """
    known: set[int] = set()
    highest: dict[tuple[int, bool], int] = defaultdict(int)
    for line in shown:
        if line.news:
            side = line.who == "contact"
            above = highest[line.news, side]
            if line.seq not in known and line.seq < above:
                yield Fault("reordered", f"{where}: the news of {_quote(line)} came after those of place {above}")
            for news in (line.news, MISSED):
                highest[news, side] = max(highest[news, side], line.seq)
        known.add(line.seq)


# --- all of them together


def _threads(run: Run) -> Iterator[Fault]:
    """Visitor and operators read one and the same conversation."""
    by_visitor = {_texts(visitor.history): visitor for visitor in run.visitors if visitor.history}
    closings = Counter(did.session for operator in run.operators for did in operator.did if did.verb == "close")
    for conversation, thread in run.house.threads.items():
        yield from _each_once(conversation, thread)
        yield from _with_reason(conversation, thread, closings)
        if _texts(thread) in by_visitor:
            continue
        names = [visitor for visitor in run.visitors if {said.text for said in visitor.said} & {line.text for line in thread}]
        yield Fault("doubled", f"{conversation}: operators read another history than {', '.join(one.name for one in names)}")
    final = {conversation: {line.seq: line for line in thread} for conversation, thread in run.house.threads.items()}
    for operator in run.operators:
        for conversation, lines in operator.shown.items():
            for line in lines:
                now = final.get(conversation, {}).get(line.seq)
                if now is None:
                    yield Fault("lost", f"{operator.name}: was shown {_quote(line)}, which {conversation} does not have")
                elif now.text != line.text:
                    yield Fault("doubled", f"{operator.name}: was shown {_quote(line)}, which is {_quote(now)} in {conversation}")


def _with_reason(conversation: str, thread: Sequence[Line], closings: Counter[str]) -> Iterator[Fault]:
    """The house says in a session what it says by itself once, or as often as there was reason to.

    It takes leave, and asks how it was, at most at each closing; that nobody has answered yet it says of one message at most once.
    """
    asked = Counter(line.session for line in thread if line.who == "contact")
    reasons = {CATALOGUE[name]["en"]: closings for name in ("close", "rating", "rating_buttons")}
    reasons[CATALOGUE["no_answer"]["en"]] = asked
    said = Counter((line.session, line.text) for line in thread if line.who == "system")
    for (session, text), times in said.items():
        if times > (most := reasons[text][session] if text in reasons else 1):
            yield Fault(
                "doubled", f"{conversation}: “{text}” was said {times} times in session {session}, with reason {most} times"
            )


def _texts(lines: Sequence[Line]) -> tuple[tuple[int, str, str], ...]:
    return tuple((line.seq, line.who, line.text) for line in lines)


def _house(run: Run) -> Iterator[Fault]:
    house = run.house
    for what, ids in (
        ("outbox rows queued or sending", house.open_outbox),
        ("outbox rows failed", house.failed),
        ("offers never ended", house.open_offers),
        ("sessions never closed", house.open_sessions),
        ("inputs never decided", house.unrouted),
        ("timers never entered", house.due),
        ("news never read", house.unread),
    ):
        for id_ in ids:
            yield Fault("stuck", f"{what}: {id_}")
    for id_ in house.dead:
        yield Fault("lost", f"dead letter {id_}")
    for id_ in house.unkept:
        yield Fault("lost", f"nobody can read {id_}, and it is no dead letter")
    for id_ in house.unconfirmed:
        yield Fault("unconfirmed", f"outbox row {id_}")
    if not house.reconciled:
        failed = [line for line in house.report.splitlines() if line.startswith("FAIL")] or [house.report[-300:]]
        for line in failed:
            yield Fault("lost", f"reconcile: {line}")
    if house.unlike:
        yield Fault("lost", f"replay: {house.unlike}")
