"""The worker and the distributor on a real database: one step at a time, as the loops and the simulation run them."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain import ConversationId, Distribution, LineId, LineSettings, LoadKind, MessageId, OperatorId, PresenceState, Role
from broker.errors import StoreBusy, StoreFull
from broker.events import Close, Decline, Event, Reply, Take
from broker.inbound import accept, bury, enter, prepare
from broker.ports import Bell, Raw, Tx
from broker.store.calls import Each
from routing import distributor, worker
from routing.worker import Undecidable, sweep
from tests.support.channels import FakeChannel, saw, told, wrote
from tests.support.clock import MovedClock
from tests.support.counting import counted
from tests.support.house import add_channel, add_line, add_operator, load_house, set_presence
from tests.support.replay import differences, journalled
from tests.support.store import MemoryStore, fewer, set_full


class Shop:
    """One line, one channel, Ann and Bob in its queue, in that order."""

    def __init__(self, store: Any = MemoryStore, **settings: Any) -> None:
        self.store: MemoryStore = store(MovedClock())

        def build(tx: Tx) -> None:
            self.line = add_line(tx, **({"distribution": Distribution.STRICTLY} | settings))
            self.channel = FakeChannel(add_channel(tx, self.line), self.line)
            self.ann = add_operator(tx, "ann", [self.line], position=1)
            self.bob = add_operator(tx, "bob", [self.line], position=2)

        self.store.write(build)
        self.house = self.store.write(lambda tx: load_house(tx, {self.channel.id: LoadKind.CHAT}))
        self.commands = 0

    def take_in(self, *raws: Raw) -> ConversationId:
        """Accept payloads of one conversation."""
        prepared = prepare(self.channel, raws, LineSettings())
        accepted = self.store.write(lambda tx: accept(tx, self.channel.id, prepared))
        assert accepted[0].conversation_id is not None
        return accepted[0].conversation_id

    def do(self, who: OperatorId, conversation: ConversationId, deed: Any, raw: bytes = b"words", **more: Any) -> None:
        """Enter an operator's deed and decide it."""
        self.commands += 1

        def make(at: datetime) -> Event:
            event: Event = deed(at=at, operator_id=who, command=f"k{self.commands}", **more)
            return event

        self.store.write(lambda tx: enter(tx, "console", f"k{self.commands}", conversation, make, raw))
        self.step(conversation)

    def step(self, conversation: ConversationId) -> int:
        """Run the worker's step."""
        return self.store.write(lambda tx: worker.step(tx, conversation, self.house))

    def distribute(self) -> int:
        """Run the distributor's step."""
        return self.store.write(lambda tx: distributor.step(tx, self.line, self.house))

    def session(self) -> tuple[str, str | None]:
        """Return the newest session's status and holder."""
        status, holder = self.store.rows("SELECT status, operator_id FROM sessions ORDER BY id DESC LIMIT 1")[0]
        return status, holder

    def said(self) -> list[tuple[str, str]]:
        """Return who said what kind of thing, in order."""
        return [(row[0], row[1]) for row in self.store.rows("SELECT author, fate FROM messages ORDER BY conversation_id, seq")]


@pytest.fixture
def shop() -> Shop:
    """Return a shop in which nothing has happened."""
    return Shop()


def test_the_main_job(shop: Shop):
    """A message, an offer, a take, an answer, a close: rows, budgets and the journal follow, and replay to the byte."""
    conversation = shop.take_in(wrote("1", "eve", "hello"))
    assert shop.step(conversation) == 1
    assert shop.session() == ("queued", None)
    assert shop.distribute() == 1
    assert shop.session() == ("offered", None)
    shop.do(shop.ann, conversation, Take)
    assert shop.session() == ("active", shop.ann)
    shop.do(shop.ann, conversation, Reply, message_id=MessageId("m1"))
    shop.do(shop.ann, conversation, Close)
    assert shop.session() == ("closed", shop.ann)

    # The welcome; the last word, and the question how it was.
    assert [author for author, _ in shop.said()] == ["contact", "system", "operator", "system", "system"]
    assert shop.store.one("SELECT count(*) FROM outbox") == 4
    assert shop.store.rows("SELECT reserved FROM budgets") == [(0,), (0,)]
    assert differences(journalled(shop.store)) == []


def test_a_step_without_inputs_does_nothing(shop: Shop):
    """A bell too many costs nothing."""
    conversation = shop.take_in(wrote("1", "eve", "hello"))
    shop.step(conversation)
    before = shop.store.one("SELECT max(id) FROM journal")

    assert (shop.step(conversation), shop.step(ConversationId("nowhere"))) == (0, 0)
    assert shop.store.one("SELECT max(id) FROM journal") == before


def test_inputs_are_decided_in_the_order_of_their_seq(shop: Shop):
    """Whatever waits is drained in one step, each once."""
    conversation = shop.take_in(*(wrote(f"{n}", "eve", f"{n}") for n in range(4)))

    assert (shop.step(conversation), shop.step(conversation)) == (4, 0)
    assert [row[0] for row in shop.store.rows("SELECT input_seq FROM journal WHERE kind = 'contact_message' ORDER BY id")] == [
        1,
        2,
        3,
        4,
    ]


def test_a_long_backlog_is_drained_by_portions(shop: Shop):
    """A hundred at a time, and the bell for the rest."""
    conversation = shop.take_in(*(wrote(f"{n}", "eve", f"{n}") for n in range(130)))
    shop.store.rung.clear()

    assert shop.step(conversation) == 100
    assert (Bell.CONVERSATION, conversation) in shop.store.rung
    assert (shop.step(conversation), shop.step(conversation)) == (30, 0)


def test_an_input_nobody_can_decide_is_buried_and_the_conversation_goes_on(shop: Shop):
    """Nothing of the step has happened; as a dead letter it is passed over."""
    conversation = shop.take_in(wrote("1", "eve", "a"), wrote("2", "eve", "b"), wrote("3", "eve", "c"))
    shop.store.change('UPDATE inputs SET event = \'{"type": "of a later version"}\' WHERE seq = 2')

    with pytest.raises(Undecidable) as error:
        shop.step(conversation)
    assert error.value.seq == 2
    assert shop.store.one("SELECT count(*) FROM sessions") == 0
    before = counted("omniline_dead_letters_total", why="undecidable")
    shop.store.write(lambda tx: bury(tx, conversation, error.value.seq, error.value.why))

    assert counted("omniline_dead_letters_total", why="undecidable") == before + 1
    assert shop.step(conversation) == 3
    assert shop.session()[0] == "queued"


def test_a_reply_that_is_no_text_is_undecidable(shop: Shop):
    """Bytes that are not UTF-8 end neither the worker nor the conversation."""
    conversation = shop.take_in(wrote("1", "eve", "a"))
    shop.step(conversation)

    with pytest.raises(Undecidable, match="UnicodeDecodeError"):
        shop.do(shop.ann, conversation, Reply, raw=b"\xff", message_id=MessageId("m1"))


def test_a_full_disk_is_nobodys_fault(shop: Shop):
    """It is refused, not buried: with space again the same input is decided."""
    conversation = shop.take_in(wrote("1", "eve", "a"))
    shop.store.write(lambda tx: set_full(tx, True))
    refusals = 0
    for number in range(2, 400):
        try:
            conversation = shop.take_in(wrote(f"{number}", f"v{number}", "x" * 200))
            shop.step(conversation)
        except StoreFull:
            refusals += 1
    assert refusals
    shop.store.write(lambda tx: set_full(tx, False))
    for (left,) in shop.store.rows("SELECT id FROM conversations WHERE input_seq > worked_seq"):
        shop.step(left)

    assert shop.store.one("SELECT count(*) FROM inputs WHERE dead IS NOT NULL") == 0
    assert shop.store.one("SELECT count(*) FROM conversations WHERE input_seq > worked_seq") == 0


def test_a_constraint_that_would_break_for_ever_is_the_inputs_fault(shop: Shop):
    """Otherwise its conversation would be tried again each second and never go on."""
    conversation = shop.take_in(wrote("1", "eve", "a"))
    shop.store.change(
        "INSERT INTO messages (id, conversation_id, seq, kind, author, text, fate, at_us) "
        "VALUES ('m', ?, 2, 'said', 'system', 'in the way', 'queued', 0)",
        conversation,
    )

    with pytest.raises(Undecidable, match=r"IntegrityError|UniqueViolation"):
        shop.step(conversation)


@pytest.mark.parametrize(("read", "fate"), [(False, "delivered"), (True, "read")])
def test_a_receipt_marks_what_the_customer_has(shop: Shop, read: bool, fate: str):
    """Up to the number it names, the contact's own messages aside."""
    conversation = shop.take_in(wrote("1", "eve", "a"))
    shop.step(conversation)
    shop.take_in(saw("2", "eve", 2, read=read))
    shop.step(conversation)

    assert shop.said() == [("contact", "received"), ("system", fate)]


def test_a_reading_is_never_taken_back(shop: Shop):
    """A "delivered" that comes after a "read" changes nothing and leaves no trace."""
    conversation = shop.take_in(wrote("1", "eve", "a"))
    shop.step(conversation)
    shop.take_in(saw("2", "eve", 2, read=True), saw("3", "eve", 2), saw("4", "eve", 99))
    shop.step(conversation)

    assert shop.said()[1] == ("system", "read")
    assert shop.store.one("SELECT count(*) FROM journal WHERE kind = 'fate'") == 1


def test_a_form_that_shows_who_it_is_moves_the_session(shop: Shop):
    """A stranger turns out to be Eve: the session is hers, and the journal can still be decided again."""
    shop.take_in(wrote("1", "home", "hello", email="eve@example.com"))
    conversation = shop.take_in(wrote("2", "office", "hello"))
    shop.step(conversation)
    shop.take_in(told("3", "office", email="eve@example.com"), wrote("4", "office", "more"))
    shop.step(conversation)

    contacts = shop.store.rows("SELECT contact_id FROM conversations")
    assert len(set(contacts)) == 1
    assert shop.store.rows("SELECT contact_id FROM sessions") == contacts[:1]
    assert differences(journalled(shop.store)) == []


def test_an_offer_knows_its_distribution(shop: Shop):
    """Why did it go there? The offer points at the row with every seat's reason."""
    conversation = shop.take_in(wrote("1", "eve", "a"))
    shop.step(conversation)
    shop.distribute()
    (row,) = shop.store.rows("SELECT j.kind, j.body FROM offers o JOIN journal j ON j.id = o.distribution_id")

    assert row[0] == "distribution"
    assert f'"reasons":[["{shop.ann}","chosen"],["{shop.bob}","later"]]' in row[1]


def test_a_declined_session_goes_to_the_next_seat(shop: Shop):
    """And its reservation goes with it."""
    conversation = shop.take_in(wrote("1", "eve", "a"))
    shop.step(conversation)
    shop.distribute()
    shop.do(shop.ann, conversation, Decline)
    assert shop.distribute() == 1

    assert shop.store.rows("SELECT operator_id, state FROM offers ORDER BY offer_no") == [
        (shop.ann, "declined"),
        (shop.bob, "open"),
    ]
    assert shop.store.rows("SELECT operator_id, reserved FROM budgets ORDER BY operator_id") == [(shop.ann, 0), (shop.bob, 25)]


def test_a_pool_that_is_not_marked_is_left_alone(shop: Shop):
    """The marks are the work; taken with it."""
    shop.step(shop.take_in(wrote("1", "eve", "a")))

    assert (shop.distribute(), shop.distribute()) == (1, 0)
    assert shop.store.write(distributor.marked) == []


def test_more_than_a_page_waits_and_all_of_it_is_seen(shop: Shop):
    """Heavy sessions that fit nobody fill the first page; the light ones behind them are found."""
    heavy = Shop(weights={"chat": 101})
    for number in range(distributor.PAGE + 5):
        heavy.step(heavy.take_in(wrote(f"{number}", f"v{number}", "x")))
    light = heavy.take_in(wrote("light", "light", "x"))
    heavy.step(light)
    heavy.store.change(
        "UPDATE sessions SET weight = 25, state = replace(state, '\"weight\":101', '\"weight\":25') WHERE conversation_id = ?",
        light,
    )

    assert heavy.distribute() == 1


def test_what_is_too_heavy_now_does_not_hide_what_stands_behind_it():
    """The first heavy one takes the only seat that could hold it; a light one pages behind still finds the other's rest."""
    shop = Shop(weights={"chat": 100})
    for number in range(distributor.PAGE + 5):
        shop.step(shop.take_in(wrote(f"{number}", f"v{number}", "x")))
    light = shop.take_in(wrote("light", "light", "x"))
    shop.step(light)
    shop.store.change(
        "UPDATE sessions SET weight = 25, state = replace(state, '\"weight\":100', '\"weight\":25') WHERE conversation_id = ?",
        light,
    )
    shop.store.change("UPDATE budgets SET reserved = 70 WHERE operator_id = ?", shop.bob)

    assert shop.distribute() == 2
    assert differences(journalled(shop.store)) == []


def test_who_comes_online_is_offered_what_waits(shop: Shop):
    """Nobody there, nothing offered; presence marks the pool."""
    for person in (shop.ann, shop.bob):
        shop.store.write(lambda tx, p=person: set_presence(tx, p, PresenceState.AWAY, [shop.line]))  # type: ignore[misc]
    shop.step(shop.take_in(wrote("1", "eve", "a")))
    assert shop.distribute() == 0
    shop.store.write(lambda tx: set_presence(tx, shop.bob, PresenceState.ONLINE, [shop.line]))

    assert shop.distribute() == 1
    assert shop.store.rows("SELECT operator_id FROM offers") == [(shop.bob,)]


def test_what_a_supervisor_gives_back_is_free_in_the_pool_of_their_own_seats(shop: Shop):
    """A session of a line they have no seat in took their budget: its end must wake the line that waits for them."""

    def build(tx: Tx) -> tuple[LineId, OperatorId]:
        desk = add_line(tx, "desk")
        return desk, add_operator(tx, "sue", [desk], role=Role.SUPERVISOR, budget=25)

    desk, sue = shop.store.write(build)
    shop.house = shop.store.write(load_house)
    conversation = shop.take_in(wrote("1", "eve", "a"))
    shop.step(conversation)
    shop.do(sue, conversation, Take)
    shop.distribute()
    shop.do(sue, conversation, Close)

    assert set(shop.store.write(distributor.marked)) == {shop.line, desk}


def test_a_full_operator_is_offered_what_weighs_nothing():
    """A line whose sessions take nothing of a budget is not held up by budgets."""
    shop = Shop(weights={"chat": 0})
    shop.store.change("UPDATE budgets SET reserved = budget")
    shop.step(shop.take_in(wrote("1", "eve", "a")))

    assert shop.distribute() == 1


def test_whose_budget_row_was_lost_is_passed_over():
    """Nothing can be reserved for them, so they are never chosen; the session goes to who can have it."""
    shop = Shop(weights={"chat": 0})
    shop.store.change("DELETE FROM budgets WHERE operator_id = ?", shop.ann)
    shop.step(shop.take_in(wrote("1", "eve", "a")))

    assert shop.distribute() == 1
    assert shop.store.rows("SELECT operator_id FROM offers") == [(shop.bob,)]


# --- many conversations at once


class Crowd(Shop):
    """A shop with many customers, whose inputs are decided together or one by one."""

    def __init__(self, *, together: bool) -> None:
        super().__init__(distribution=Distribution.EVENLY)
        self.together = together
        self.begun: dict[str, ConversationId] = {}

    def play(self, script: list[list[tuple[int, str]]]) -> None:
        """Let each page of *script* happen, (customer, what) each, then decide it, then distribute."""
        for number, page in enumerate(script):
            for at, (customer, what) in enumerate(page):
                self._enter(f"{number}.{at}", f"v{customer}", what)
            asked = [(conversation, self.house) for conversation in sorted(self.begun.values())]
            if self.together:
                self.store.write(lambda tx, a=asked: worker.step_each(tx, a))  # type: ignore[misc]
            else:
                for conversation, _ in asked:
                    self.step(conversation)
            while self.distribute():
                pass

    def _enter(self, id_: str, key: str, what: str) -> None:
        conversation = self.begun.get(key)
        if what == "words" or conversation is None:
            self.begun[key] = self.take_in(wrote(id_, key, f"text {id_}"))
            return
        deeds: dict[str, Any] = {"take": Take, "close": Close, "decline": Decline, "reply": Reply}
        more = {"message_id": MessageId(f"m{id_}")} if what == "reply" else {}

        def make(at: datetime) -> Event:
            event: Event = deeds[what](at=at, operator_id=self.ann, command=id_, **more)
            return event

        self.store.write(lambda tx: enter(tx, "console", id_, conversation, make, b"words"))

    def left(self) -> list[Any]:
        """Return what a customer, an operator or a replay could see of it, without ids."""
        by_key = "JOIN conversations c ON c.id = x.conversation_id ORDER BY c.key, x.seq"
        return [
            self.store.rows(f"SELECT c.key, x.seq, x.kind, x.status, x.input_seq, x.message_seq FROM journal x {by_key}"),  # noqa: S608
            self.store.rows(f"SELECT c.key, x.seq, x.author, x.text, x.fate, x.session_id IS NULL FROM messages x {by_key}"),  # noqa: S608
            self.store.rows("SELECT key, last_seq, input_seq, worked_seq, journal_seq FROM conversations ORDER BY key"),
            self.store.rows(
                "SELECT c.key, s.status FROM sessions s JOIN conversations c ON c.id = s.conversation_id ORDER BY c.key, s.id"
            ),
            self.store.rows("SELECT reserved FROM budgets ORDER BY operator_id"),
            self.store.one("SELECT count(*) FROM outbox"),
        ]


_DEEDS = st.tuples(st.integers(0, 4), st.sampled_from(["words", "words", "words", "take", "reply", "decline", "close"]))


@settings(max_examples=fewer(100), deadline=None, derandomize=True)
@given(script=st.lists(st.lists(_DEEDS, min_size=1, max_size=8), min_size=1, max_size=5))
def test_many_conversations_stepped_together_are_what_each_alone_would_be(script: list[list[tuple[int, str]]]):
    """Whatever happened in whatever order: messages, journal, sessions and budgets are the same, and replay to the byte."""
    alone, shared = Crowd(together=False), Crowd(together=True)
    alone.play(script)
    shared.play(script)

    assert shared.left() == alone.left()
    assert differences(journalled(shared.store)) == []


def test_one_that_cannot_be_decided_harms_nobody_it_was_stepped_with(shop: Shop):
    """The call for all raises and undoes all; alone each has its own fate, and the guilty one's names its input."""
    good = [shop.take_in(wrote(f"{n}", f"v{n}", "x")) for n in range(3)]
    bad = shop.take_in(wrote("bad", "vbad", "x"))
    shop.store.change("UPDATE inputs SET event = '{}' WHERE conversation_id = ?", bad)
    asked = [(conversation, shop.house) for conversation in (good[0], bad, *good[1:])]

    answers = shop.store.together([Each(worker.step_each, asked), lambda tx: None])

    assert answers[0] == answers[2] == answers[3] == 1
    assert isinstance(answers[1], Undecidable)
    assert (answers[1].seq, shop.store.one("SELECT count(*) FROM sessions")) == (1, 3)


def test_a_long_queue_in_the_crowd_goes_a_piece_at_a_time(shop: Shop):
    """One conversation with hundreds of inputs is decided in pieces and rings for the next; its neighbours do not wait for it."""
    busy = shop.take_in(*(wrote(f"{n}", "busy", "x") for n in range(130)))
    calm = shop.take_in(wrote("calm", "calm", "x"))
    shop.store.rung.clear()
    asked = [(busy, shop.house), (calm, shop.house)]

    assert shop.store.write(lambda tx: worker.step_each(tx, asked)) == [100, 1]
    assert (Bell.CONVERSATION, busy) in shop.store.rung
    assert shop.store.write(lambda tx: worker.step_each(tx, asked)) == [30, 0]


def test_inputs_far_behind_what_was_sent_are_found(shop: Shop):
    """Outgoing messages take numbers too: the next input may stand hundreds of numbers behind the last one."""
    far = shop.take_in(wrote("1", "far", "x"))
    near = shop.take_in(wrote("2", "near", "x"))
    asked = [(far, shop.house), (near, shop.house)]
    shop.store.write(lambda tx: worker.step_each(tx, asked))
    shop.store.change("UPDATE conversations SET last_seq = last_seq + 300 WHERE id = ?", far)
    shop.take_in(wrote("3", "far", "y"))

    assert shop.store.write(lambda tx: worker.step_each(tx, asked)) == [1, 0]


# --- the sweep


def test_a_sweep_wakes_everything_page_by_page():
    """What lay there before the bells rang, or was rung for in vain."""
    pages = {"": ["c1", "c2"], "c2": ["c3"], "c3": []}
    woken: list[str] = []

    async def page(after: str) -> list[ConversationId]:
        return [ConversationId(one) for one in pages[after]]

    assert asyncio.run(sweep(page, woken.append)) == 3
    assert woken == ["c1", "c2", "c3"]


def test_a_sweep_that_was_refused_knows_no_number():
    """To show a nothing, or half of it, would say that all is well."""

    async def page(after: str) -> list[ConversationId]:
        if after:
            raise StoreBusy("the database does not answer")
        return [ConversationId("c1")]

    assert asyncio.run(sweep(page, lambda _: None)) is None
