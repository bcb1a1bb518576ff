"""What a console is given at once: the first screen, what it missed, a page of a list. Bounded reads of one transaction each."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Literal, assert_never

from sqlalchemy import bindparam, select

from broker.access.authorize import Actor
from broker.domain import Capabilities, Directory, LineId, PresenceState
from broker.ports import Tx
from broker.store import journal
from broker.store.journal import Position
from broker.store.sql import cols, sql
from broker.store.tables import budgets, presence
from operators import calling, cards, news, pins
from operators.audience import holds, may_see
from operators.cards import Watched
from operators.frames import Box, CallLine, Card, ChannelCan, Colleague, Counts, Me, Snapshot
from operators.news import News

RESUME_ROWS = 1_000
"""Who missed more is given a snapshot."""

_BUDGET = sql(select(*cols(budgets, "budget reserved")).where(budgets.c.operator_id == bindparam("operator")))
_PRESENCES = sql(select(*cols(presence, "operator_id state")))

_Presence = Literal["online", "away", "offline"]


@dataclass(frozen=True, slots=True)
class First:
    """The first screen, but for its counts, which the gateway has in memory."""

    at: Position
    """The journal's position it is as new as."""
    me: Me
    colleagues: tuple[Colleague, ...]
    mine: tuple[Card, ...]
    waiting: tuple[Card, ...]
    held: tuple[str, ...]
    """The conversations of the sessions that are held."""
    now: int
    """Epoch milliseconds."""
    pins: tuple[str, ...]
    pinned: tuple[Card, ...]
    """Of the pins that are in neither list."""
    calls_from: tuple[CallLine, ...]

    def snapshot(self, mark: str, counts: Counts, channels: tuple[ChannelCan, ...]) -> Snapshot:
        """Return the frame; *channels*: what each kind of them can."""
        return Snapshot(
            mark,
            self.me,
            self.colleagues,
            counts,
            self.mine,
            self.waiting,
            self.now,
            self.pins,
            self.pinned,
            self.calls_from,
            channels,
        )


def abilities(kinds: Mapping[str, Capabilities]) -> tuple[ChannelCan, ...]:
    """Return what channels of each kind can, as consoles are told it."""
    return tuple(
        ChannelCan(kind, can.text_max, can.files_max, can.quotes, can.edits, can.deletes, can.asks_phone)
        for kind, can in sorted(kinds.items())
    )


@dataclass(frozen=True, slots=True)
class Missed:
    """What came after a mark."""

    pages: tuple[News, ...]
    held: tuple[str, ...]
    load: int
    now: int
    """Epoch milliseconds."""


def first(tx: Tx, actor: Actor, directory: Directory, calls_from: AbstractSet[LineId] = frozenset()) -> First:
    """Return everything on the first screen of *actor*; *calls_from* are the lines from which can be called."""
    states: dict[str, _Presence] = dict(tx.all(_PRESENCES))
    budget, load = tx.one(_BUDGET, operator=actor.operator_id) or (0, 0)
    mine = cards.mine(tx, actor.operator_id)
    waiting, _ = cards.waiting(tx, cards.lines_of(actor, directory), most=cards.FIRST_SCREEN)
    pinned = pins.of(tx, actor.operator_id)
    listed = {one.session for one in (*mine, *waiting)}
    beside = cards.load_all(tx, (session for session in pinned if session not in listed))
    offline: _Presence = PresenceState.OFFLINE.value
    me = Me(
        id=actor.operator_id,
        login=actor.login,
        name=actor.name,
        role=actor.role.value,
        language=actor.language,
        presence=states.get(actor.operator_id, offline),
        load=load,
        budget=budget,
        password_generated=actor.password_generated,
        phone=calling.has_phone(actor, directory),
    )
    return First(
        at=journal.now(tx),
        me=me,
        colleagues=tuple(
            Colleague(one.id, one.name, states.get(one.id, offline)) for one in directory.operators.values() if one.active
        ),
        mine=tuple(one.card_for(actor, directory) for one in mine),
        waiting=tuple(one.card_for(actor, directory) for one in waiting),
        held=_held(actor, mine),
        now=cards.ms(tx.now),
        pins=pinned,
        pinned=tuple(one.card_for(actor, directory) for one in beside if may_see(actor, one.where)),
        calls_from=tuple(CallLine(line.id, line.name) for line in calling.lines_of(actor, directory, calls_from)),
    )


def missed(tx: Tx, after: Position, actor: Actor) -> Missed | None:
    """Return what came after the journal's position *after*; None when that is too much, or no position of ours."""
    last = journal.now(tx).last
    # A mark is what a browser says: one of our own numbers few transactions as under way, and finds few rows that came late.
    if not last - RESUME_ROWS <= after.last <= last or len(journal.late_rows(tx, after, RESUME_ROWS + 1)) > RESUME_ROWS:
        return None
    pages: list[News] = []
    known: dict[str, Watched] = {}
    while not pages or pages[-1].more:
        page = news.read(tx, pages[-1].behind if pages else after, known)
        known |= {watched.session: watched for watched in page.loaded}
        pages.append(page)
    # Whoever applies them begins with nothing in memory, and must know which cards a pin keeps on the screen.
    pages[0].pins.setdefault(actor.operator_id, pins.of(tx, actor.operator_id))
    _, load = tx.one(_BUDGET, operator=actor.operator_id) or (0, 0)
    return Missed(tuple(pages), _held(actor, cards.mine(tx, actor.operator_id)), load, cards.ms(tx.now))


def page(tx: Tx, actor: Actor, directory: Directory, box: Box, after: str | None) -> tuple[list[Watched], str | None]:
    """Return a page of a list, and the next one's mark. Raises BadInput."""
    match box:
        case "mine":
            return cards.mine(tx, actor.operator_id), None
        case "waiting":
            return cards.waiting(tx, cards.lines_of(actor, directory), after)
        case "all":
            return cards.opened(tx, None if actor.lines is None else cards.lines_of(actor, directory), after)
        case "calls":
            return cards.under_way(tx, actor.lines), None
        case "missed":
            return cards.missed(tx, actor.lines, after)
        case _:
            assert_never(box)


def _held(actor: Actor, mine: list[Watched]) -> tuple[str, ...]:
    return tuple(one.conversation for one in mine if holds(actor, one.where))
