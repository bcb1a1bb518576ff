"""News folded and told: consoles that only listen end up with what a new console is shown, whatever happened and however it was paged."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from broker import inbound, timers
from broker.access.authorize import Actor
from broker.domain import ChannelId, LineId, LineSettings, LoadCounts, LoadKind, PresenceState, Role
from broker.errors import NotFound
from broker.ports import Tx
from broker.store import directory as directories
from broker.store import journal
from operators import cards, contacts, deeds, news, pins, presence, screens
from operators.audience import Where, listed, may_see
from operators.hall import Hall
from operators.news import Board
from routing import distributor, worker
from routing.applying import House, timer_fired
from routing.distributor import marked
from routing.engine import LEADS, TABLE
from tests.support import house
from tests.support.channels import FakeChannel, told, wrote
from tests.support.store import MemoryStore, fewer

DEEDS: tuple[deeds.Verb, ...] = (
    *("take", "take", "take", "decline", "reply", "reply", "reply", "note", "close", "close", "start"),
    *("transfer", "transfer", "assign", "invite", "invite", "join", "join", "leave", "take_over", "spam", "snooze"),
)
ENTER = {"conversation": timer_fired, "operator": presence.grace_over}


class Screen:
    """A console that only listens: what it was told, applied as the browser does."""

    def __init__(self, actor: Actor) -> None:
        self.actor = actor
        self.session = ""
        self.conversation = ""
        self.lists_all = False
        self.cards: dict[str, dict[str, Any]] = {}
        self.messages: list[tuple[str, int]] = []
        self.alerts: list[tuple[str, str]] = []
        self.pins: list[str] = []

    def apply(self, encoded: bytes) -> None:
        """Take an update in."""
        update = msgspec.json.decode(encoded)
        card = update.get("card")
        if card:
            self.cards[card["session"]] = card
        if "message" in update:
            conversation = card["conversation"] if card else update["conversation"]
            self.messages.append((conversation, update["message"]["seq"]))
        if "gone" in update:
            self.cards.pop(update["gone"], None)
        if "alert" in update:
            self.alerts.append((update["alert"]["session"], update["alert"]["what"]))
        self.pins = update.get("pins", self.pins)

    def listed(self) -> dict[str, dict[str, Any]]:
        """Return the cards of its lists, without those that the browser shows in none."""
        mine = self.actor.operator_id
        return {
            id_: card
            for id_, card in self.cards.items()
            if card["status"] == "queued"
            or id_ in self.pins
            or card.get("offered_until")
            or (
                card["status"] != "closed"
                and mine in (card.get("operator"), card.get("passed_by"), *card.get("members", ()), *card.get("invited", ()))
            )
        }


class Life:
    """A small house in which things happen at random, by the shipped statements."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.store = MemoryStore()
        self.lines: list[LineId] = []
        self.channels: list[FakeChannel] = []
        self.store.write(self._furnish)
        self.directory = self.store.write(directories.load)
        self.house = House(self.directory, {channel.id: LoadKind.CHAT for channel in self.channels})
        self.actors = [
            Actor(one.id, one.login, one.name, one.role, "en", False, self._lines_of(one.id, one.role))
            for one in self.directory.operators.values()
        ]
        self.said = 0

    def _furnish(self, tx: Any) -> None:
        often = {
            "offer_seconds": 5,
            "transfer_seconds": 5,
            "kpi_first_seconds": 3,
            "kpi_next_seconds": 4,
            "auto_close_seconds": 20,
        }
        bar = LineSettings(load_counts=LoadCounts.UNANSWERED, **often)  # type: ignore[arg-type]
        shop = LineSettings(reopen_seconds=0, priority=3, **often)  # type: ignore[arg-type]
        for slug, settings in (("bar", bar), ("shop", shop)):
            line = house.add_line(tx, slug, settings)
            self.lines.append(line)
            self.channels.append(FakeChannel(ChannelId(house.add_channel(tx, line, slug)), line))
        house.add_operator(tx, "ann", self.lines, budget=60)
        house.add_operator(tx, "bob", self.lines[1:], state=PresenceState.AWAY)
        house.add_operator(tx, "cat", self.lines[:1])
        house.add_operator(tx, "sue", role=Role.SUPERVISOR)

    def _lines_of(self, operator: str, role: Role) -> frozenset[LineId] | None:
        if role is not Role.OPERATOR:
            return None
        return frozenset(line for line, seated in self.directory.seats.items() if operator in seated)

    def go_on(self) -> None:
        """Let one thing happen."""
        match self.chance.randrange(11):
            case 0 | 1 | 2:
                self._hear(text=True)
            case 3:
                self._hear(text=False)
            case 4 | 5 | 8 | 9:
                self._do()
            case 10:
                self._keep()
            case 6:
                actor = self.chance.choice(self.actors)
                state = self.chance.choice(list(PresenceState))
                self.store.write(lambda tx: presence.set_presence(tx, actor.operator_id, state))
            case 7:
                self.store.clock.move(self.chance.choice((1, 4, 7)))  # type: ignore[attr-defined]
                self.store.write(lambda tx: timers.fire_due(tx, ENTER))
        if self.chance.random() < 0.8:
            self._decide()
        if self.chance.random() < 0.8:
            self._distribute()

    def settle(self) -> None:
        """Let everything be decided that has come in."""
        while self._decide() or self._distribute():
            pass

    def _decide(self) -> int:
        found = self.store.write(inbound.undecided)
        for conversation in found:
            self.store.write(lambda tx, one=conversation: worker.step(tx, one, self.house))  # type: ignore[misc]
        return len(found)

    def _distribute(self) -> int:
        found = self.store.write(marked)
        for line in found:
            self.store.write(lambda tx, one=line: distributor.step(tx, one, self.house))  # type: ignore[misc]
        return len(found)

    def _hear(self, *, text: bool) -> None:
        self.said += 1
        key = f"v{self.chance.randrange(6)}"
        raw = (
            wrote(str(self.said), key, f"message {self.said}")
            if text
            else told(
                str(self.said), key, name=f"Name {self.said}", email=f"{key if self.chance.random() < 0.5 else 'one'}@example.com"
            )
        )
        channel = self.chance.choice(self.channels)
        settings = self.directory.lines[channel.line_id].settings
        prepared = inbound.prepare(channel, [raw], settings)
        self.store.write(lambda tx: inbound.accept(tx, channel.id, prepared))

    def _do(self) -> None:
        self.said += 1
        verb = self.chance.choice(DEEDS)
        found = self._likely(verb) if self.chance.random() < 0.8 else []
        found = found or self.store.rows("SELECT id, NULL FROM sessions ORDER BY changed_us DESC LIMIT 6")
        if not found:
            return
        session, who = self.chance.choice(found)
        actor, colleague = self.chance.choice(self.actors), self.chance.choice(self.actors)
        actor = next((one for one in self.actors if one.operator_id == who), actor)
        to_line = self.chance.random() < 0.3
        try:
            deed = deeds.deed(
                f"deed-{self.said:06d}",
                session,
                verb,
                "words",
                operator="" if to_line else colleague.operator_id,
                line=self.chance.choice(self.lines) if to_line else "",
                until=self.store.clock.now() + timedelta(seconds=self.chance.choice((2, 30))),
                ban=self.chance.random() < 0.2,
            )
            self.store.write(lambda tx: deeds.enter(tx, actor, deed))
        except deeds.Refusal:
            pass

    def _likely(self, verb: deeds.Verb) -> list[tuple[str, str]]:
        """Return sessions with somebody who may well do the deed: is asked, is with the session, or has it."""
        match verb:
            case "take" | "decline":
                return self.store.rows("SELECT session_id, operator_id FROM offers WHERE state = 'open'")
            case "join" | "leave":
                return self.store.rows("SELECT session_id, operator_id FROM session_members")
            case _:
                return self.store.rows("SELECT id, operator_id FROM sessions WHERE status IN ('active', 'snoozed')")

    def _keep(self) -> None:
        """Let somebody pin something, and somebody change a contact."""
        sessions = [id_ for (id_,) in self.store.rows("SELECT id FROM sessions ORDER BY changed_us DESC LIMIT 4")]
        actor, keep = self.chance.choice(self.actors), self.chance.choice((pins.pin, pins.pin, pins.unpin))
        if sessions:
            with suppress(NotFound):
                self.store.write(lambda tx: keep(tx, actor, self.chance.choice(sessions)))
        known = [id_ for (id_,) in self.store.rows("SELECT id FROM contacts ORDER BY id")]
        if known:
            how = {"priority": self.chance.randrange(3), "banned": False}
            who = self.chance.choice(known)
            sue = self.actors[-1]
            self.store.write(lambda tx: contacts.change(tx, sue, who, self.directory, **how))  # type: ignore[arg-type]


def _listen(life: Life, board: Board, hall: Any) -> None:
    """Read on to the journal's end."""
    while (page := life.store.write(lambda tx: news.read(tx, board.at, board.sessions))).rows:
        folded = board.fold(page, life.directory, ())
        news.tell(folded, hall, life.directory, lambda screen, update: screen.apply(update))


@pytest.mark.parametrize("seed", range(fewer(40)))
def test_who_only_listens_sees_what_a_new_console_is_shown(seed):
    """After any history, in any pieces: the cards told, pinned ones too, are a snapshot's; counts and loads are the tables'."""
    life = Life(seed)
    listeners = [Screen(actor) for actor in life.actors]
    hall: Any = Hall(listeners)  # type: ignore[arg-type]
    board = life.store.write(Board.load)
    board.kept = 3 if seed % 2 else board.kept
    for _ in range(150):
        life.go_on()
        if life.chance.random() < 0.3:
            _listen(life, board, hall)
    life.settle()
    _listen(life, board, hall)

    truth = life.store.write(Board.load)
    for actor, listener in zip(life.actors, listeners, strict=True):
        first = life.store.write(lambda tx, who=actor: screens.first(tx, who, life.directory))  # type: ignore[misc]
        shown = {
            card.session: msgspec.json.decode(msgspec.json.encode(card)) for card in (*first.waiting, *first.mine, *first.pinned)
        }
        assert {id_: _steady(card) for id_, card in shown.items()} == {id_: _steady(c) for id_, c in listener.listed().items()}
        assert truth.counts(actor) == board.counts(actor)
        assert truth.loads[actor.operator_id] == board.loads[actor.operator_id]
        assert list(first.pins) == listener.pins
        told = life.store.rows("SELECT session_id, body FROM journal WHERE kind = 'alert' ORDER BY id")
        raised = [(session, msgspec.json.decode(body)["what"]) for session, body in told]
        assert listener.alerts == ([] if actor.role is Role.OPERATOR else raised)
    for session, watched in board.sessions.items():
        stored = life.store.write(lambda tx, id_=session: cards.load(tx, id_))  # type: ignore[misc]
        assert stored is not None
        assert stored.where == watched.where


@pytest.mark.parametrize("seed", range(40, 40 + fewer(40)))
def test_what_was_missed_is_told_as_if_one_had_listened(seed):
    """Whoever comes again is told every message and ends with the same cards as whoever stayed."""
    life = Life(seed)
    stayed, came_again = [[Screen(actor) for actor in life.actors] for _ in range(2)]
    board = life.store.write(Board.load)
    for _ in range(60):
        life.go_on()
    _listen(life, board, Hall([*stayed, *came_again]))  # type: ignore[list-item]
    mark = board.at
    for _ in range(60):
        life.go_on()
    life.settle()
    _listen(life, board, Hall(stayed))  # type: ignore[arg-type]

    for actor, here, back in zip(life.actors, stayed, came_again, strict=True):
        missed = life.store.write(lambda tx, who=actor: screens.missed(tx, mark, who))  # type: ignore[misc]
        assert missed is not None
        then = Board(mark)
        for page in missed.pages:
            folded = then.fold(page, life.directory, ())
            news.tell(folded, Hall([back]), life.directory, lambda screen, update: screen.apply(update))  # type: ignore[list-item]
        assert {i: _steady(c) for i, c in here.listed().items()} == {i: _steady(c) for i, c in back.listed().items()}
        # Between conversations the order is nobody's promise.
        assert sorted(here.messages, key=lambda one: one[0]) == sorted(back.messages, key=lambda one: one[0])
        assert (here.alerts, here.pins) == (back.alerts, back.pins)


def test_a_mark_that_would_bring_the_whole_history_is_no_mark():
    """It is what a browser says: a forged one names as under way what has long ended, and wrote much."""
    life = Life(1)

    def much(tx: Tx) -> None:
        for _ in range(screens.RESUME_ROWS + 1):
            journal.append(tx, "hours", "{}")

    life.store.write(much)
    is_shared = life.store.write(lambda tx: tx.shared)
    under_way = tuple(xid for (xid,) in life.store.rows("SELECT max(xid) FROM journal")) if is_shared else ()
    forged = life.store.write(lambda tx: journal.Position(journal.now(tx).last, 2**40, under_way))

    missed = life.store.write(lambda tx: screens.missed(tx, forged, life.actors[0]))

    assert (missed is None) == is_shared  # elsewhere a mark has no transactions


def _steady(card: dict[str, Any]) -> dict[str, Any]:
    """A card without what a list does not follow.

    That is the moment of the last change, what is said in a session that waits, and of an ended one also who its contact turns out to be.
    """
    said, who = {"last_text", "last_who", "last_seq", "unanswered"}, {"contact", "contact_name"}
    left = {"changed"} | {"queued": said, "closed": said | who}.get(card["status"], set())
    return {key: value for key, value in card.items() if key not in left}


# --- the rules of sight


def _actor(name: str, *lines: str, role: Role = Role.OPERATOR) -> Actor:
    seen = frozenset(LineId(line) for line in lines) if role is Role.OPERATOR else None
    return Actor(name, name, name, role, "en", False, seen)  # type: ignore[arg-type]


ANN, BOB, SUE = _actor("ann", "shop"), _actor("bob", "bar"), _actor("sue", role=Role.SUPERVISOR)
QUEUED = Where("shop", "queued", None, ())
OFFERED = Where("shop", "offered", None, ("ann",))
LENT = Where("shop", "offered", None, ("bob",))
ACTIVE = Where("shop", "active", "ann", ())
CLOSED = Where("shop", "closed", "bob", ())
JOINED = Where("shop", "active", "ann", (), members=("bob",))
INVITED = Where("shop", "queued", None, (), invited=("bob",))
JOINED_ONCE = Where("shop", "closed", "ann", (), members=("bob",))


@pytest.mark.parametrize(
    ("where", "ann", "bob", "sue"),
    [
        (QUEUED, "waiting", "", "waiting"),
        (OFFERED, "mine", "", ""),
        (LENT, "", "mine", ""),
        (ACTIVE, "mine", "", ""),
        (CLOSED, "", "", ""),
        (JOINED, "mine", "mine", ""),
        (INVITED, "waiting", "mine", "waiting"),
        (JOINED_ONCE, "", "", ""),
    ],
)
def test_a_session_is_in_one_list_or_none(where, ann, bob, sue):
    """Mine when I hold it, joined it, am invited or am asked; waiting when it waits in a line of mine; closed ones are in neither."""
    assert (ann, bob, sue) == (listed(ANN, where), listed(BOB, where), listed(SUE, where))


@pytest.mark.parametrize(
    ("where", "bob"),
    [
        *((QUEUED, False), (OFFERED, False), (LENT, True), (ACTIVE, False), (CLOSED, True)),
        *((JOINED, True), (INVITED, True), (JOINED_ONCE, True)),
    ],
)
def test_a_foreign_line_is_seen_only_by_whom_it_concerns(where, bob):
    """Without a seat one sees what one holds, held, joined, is offered or invited to; with one, or supervising, all of the line."""
    assert (True, bob, True) == (may_see(ANN, where), may_see(BOB, where), may_see(SUE, where))


def test_rows_that_screens_need_not_know_are_passed_over():
    """A line has opened, or a later version has told of something new: the news go on."""
    life = Life(1)
    board = life.store.write(Board.load)
    life.store.write(lambda tx: journal.append(tx, "hours", '{"open":true}', line_id=life.lines[0]))
    life.store.write(lambda tx: journal.append(tx, "unheard_of", "?"))

    page = life.store.write(lambda tx: news.read(tx, board.at, board.sessions))

    assert board.fold(page, life.directory, ()).touched == {}
    assert board.at == page.behind
    assert board.at.last > 0


def test_whatever_may_move_a_session_is_read():
    """By a deed, by time or by the distributor: no screen keeps what is somebody else's by now."""
    moving = {event.__struct_config__.tag for (_, event), handler in TABLE.items() if handler in LEADS}

    assert moving <= news._TOLD
    assert {"transfer", "no_answer_due", "snooze_ended"} <= moving
