"""The front gate: stored once, in order, before anybody is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain import ConversationId, LineSettings, OperatorId, Person, Rating
from broker.errors import NotFound
from broker.events import AsksCallback, Codec, ContactMessage, Incoming, Rated, Take
from broker.inbound import Accepted, Prepared, accept, accept_each, bury, enter, prepare, undecided
from broker.ports import Bell, Raw, Tx
from broker.store.calls import Each
from tests.support.channels import FakeChannel, pressed, saw, told, wrote
from tests.support.clock import NOON, MovedClock
from tests.support.counting import counted
from tests.support.house import add_channel, add_line
from tests.support.store import MemoryStore, fewer

ANN = OperatorId("ann")


class Gate:
    """A line with two channels, and what comes in."""

    def __init__(self) -> None:
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)

        def build(tx: Tx) -> tuple[FakeChannel, FakeChannel]:
            line = add_line(tx)
            return FakeChannel(add_channel(tx, line, "page"), line), FakeChannel(add_channel(tx, line, "bot"), line)

        self.page, self.bot = self.store.write(build)

    def take(self, *raws: Raw, channel: FakeChannel | None = None, cursor: str | None = None) -> list[Accepted]:
        """Accept a delivery."""
        of = channel or self.page
        prepared = prepare(of, raws, LineSettings())
        return self.store.write(lambda tx: accept(tx, of.id, prepared, cursor))

    def texts(self) -> list[Any]:
        """Return what stands in the history."""
        return self.store.rows("SELECT seq, text FROM messages ORDER BY conversation_id, seq")


@pytest.fixture
def gate() -> Gate:
    """Return a gate nobody has come through."""
    return Gate()


def test_a_message_is_stored_with_its_conversation_and_its_contact(gate: Gate):
    """One transaction: raw input, message, conversation, contact; and then the conversation is rung."""
    (accepted,) = gate.take(wrote("1", "eve", "hello", page="https://shop.example/"))

    assert (accepted.seq, accepted.fresh, accepted.at, accepted.dead) == (1, True, NOON, None)
    assert gate.texts() == [(1, "hello")]
    assert gate.store.one("SELECT source FROM conversations") == '{"page":"https://shop.example/"}'
    assert gate.store.rows("SELECT kind, value FROM contact_points") == [("channel", "eve")]
    assert (Bell.CONVERSATION, accepted.conversation_id) in gate.store.rung
    assert gate.store.write(undecided) == [accepted.conversation_id]


def test_a_repeat_is_a_no_op_that_answers_as_the_first_did(gate: Gate):
    """However often, whenever, and with whatever body: nothing is stored, the sender is told the first one's number."""
    (first,) = gate.take(wrote("1", "eve", "hello"))
    gate.take(wrote("2", "eve", "more"))
    gate.clock.move(3_600)
    gate.store.rung.clear()

    (again,) = gate.take(wrote("1", "eve", "something else"))

    assert (again.conversation_id, again.seq, again.at, again.fresh) == (first.conversation_id, first.seq, first.at, False)
    assert gate.texts() == [(1, "hello"), (2, "more")]
    assert gate.store.rung == []


def test_a_repeat_inside_one_delivery_is_stored_once(gate: Gate):
    """A provider may say the same twice in one breath."""
    assert [one.fresh for one in gate.take(wrote("1", "eve", "a"), wrote("1", "eve", "a"), wrote("2", "eve", "b"))] == [
        True,
        False,
        True,
    ]


def test_an_external_id_is_its_channels_own(gate: Gate):
    """Two channels may count alike."""
    gate.take(wrote("1", "eve", "here"))
    gate.take(wrote("1", "eve", "there"), channel=gate.bot)

    assert gate.store.one("SELECT count(*) FROM conversations") == 2


def test_what_comes_late_is_taken_all_the_same(gate: Gate):
    """Set membership, never a high-water mark."""
    assert [gate.take(wrote(external, "eve", external))[0].fresh for external in ("9", "3", "7", "3")] == [
        True,
        True,
        True,
        False,
    ]


def test_a_delivery_keeps_the_providers_order(gate: Gate):
    """Numbers without a gap, in the order of the batch."""
    assert [one.seq for one in gate.take(*(wrote(f"{n}", "eve", f"{n}") for n in range(5)))] == [1, 2, 3, 4, 5]


def test_the_cursor_is_stored_with_what_it_confirms(gate: Gate):
    """All of a delivery and its cursor, or nothing."""
    gate.take(wrote("1", "eve", "a"), cursor="10")
    gate.take(cursor="11")
    assert gate.store.rows("SELECT cursor FROM channel_cursors") == [("11",)]

    prepared = prepare(gate.page, [wrote("2", "eve", "b")], LineSettings())

    def fails(tx: Tx) -> None:
        accept(tx, gate.page.id, prepared, "12")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        gate.store.write(fails)
    assert gate.store.rows("SELECT cursor FROM channel_cursors") == [("11",)]
    assert gate.texts() == [(1, "a")]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe\x00", b"[]", b'{"key": 7}', b'{"key": "eve", "upto": "x"}', b'{"key":"eve","email":"?"}']
)
def test_what_cannot_be_read_is_kept_and_blocks_nobody(gate: Gate, body: bytes):
    """A dead letter with its raw bytes and a reason; its neighbours are stored; a repeat of it is a repeat."""
    dead, alive = gate.take(Raw("1", body), wrote("2", "eve", "hello"))

    assert dead.dead
    assert (dead.conversation_id, alive.seq) == (None, 1)
    assert [bytes(row[0]) for row in gate.store.rows("SELECT raw FROM inputs WHERE dead IS NOT NULL")] == [body]
    assert gate.take(Raw("1", body))[0].fresh is False


def test_a_parser_that_breaks_is_a_dead_letter_too(gate: Gate):
    """What an adapter's author did not foresee ends nothing."""

    class Breaks(FakeChannel):
        def parse(self, raw: Raw) -> Any:
            raise KeyError("chat")

    before = counted("omniline_dead_letters_total", why="unreadable")
    channel = Breaks(gate.page.id, gate.page.line_id)
    (accepted,), (again,) = gate.take(Raw("1", b"x"), channel=channel), gate.take(Raw("1", b"x"), channel=channel)

    assert (accepted.dead, again.dead, again.fresh) == ("KeyError: 'chat'", "KeyError: 'chat'", False)
    assert counted("omniline_dead_letters_total", why="unreadable") == before + 1


def test_forms_and_receipts_are_inputs_without_a_message(gate: Gate):
    """They take their turn among the messages and say nothing in the history."""
    accepted = gate.take(wrote("1", "eve", "hello"), told("2", "eve", name="Eve"), saw("3", "eve", 1))

    assert [one.seq for one in accepted] == [1, 2, 3]
    assert gate.texts() == [(1, "hello")]
    kinds = [type(Codec.decode(row[0])).__name__ for row in gate.store.rows("SELECT event FROM inputs ORDER BY seq")]
    assert kinds == ["ContactMessage", "ContactDetails", "Receipt"]


def deed(gate: Gate, command: str, conversation: ConversationId, raw: bytes = b"") -> Accepted:
    """Enter an operator's deed."""
    return gate.store.write(
        lambda tx: enter(tx, "console", command, conversation, lambda at: Take(at=at, operator_id=ANN, command=command), raw)
    )


def test_a_deed_takes_its_turn_among_the_messages(gate: Gate):
    """Everything that happens to a conversation has one order; a deed's id makes it happen once."""
    (first,) = gate.take(wrote("1", "eve", "hello"))
    assert first.conversation_id is not None

    assert [deed(gate, command, first.conversation_id).seq for command in ("k1", "k2", "k1")] == [2, 3, 2]
    assert gate.take(wrote("2", "eve", "more"))[0].seq == 4


def test_a_deed_in_no_conversation_is_refused(gate: Gate):
    """NotFound, and nothing is stored."""
    with pytest.raises(NotFound):
        deed(gate, "k1", ConversationId("nowhere"))

    assert gate.store.one("SELECT count(*) FROM inputs") == 0


def test_an_event_is_dated_by_its_acceptance(gate: Gate):
    """The provider's clock is for display; deadlines are kept against ours."""
    gate.clock.move(5)
    gate.take(wrote("1", "eve", "hello"))

    assert Codec.decode(gate.store.one("SELECT event FROM inputs")).at == gate.clock.now()


def test_burying_keeps_the_input_and_says_why(gate: Gate):
    """A dead letter of a conversation: its place stays taken."""
    (first,) = gate.take(wrote("1", "eve", "hello"))
    assert first.conversation_id is not None
    conversation = first.conversation_id
    gate.store.write(lambda tx: bury(tx, conversation, 1, "why"))

    assert gate.store.rows("SELECT seq, dead FROM inputs") == [(1, "why")]


def test_undecided_conversations_come_by_pages(gate: Gate):
    """The sweep finds every one, a page at a time."""
    for number in range(5):
        gate.take(wrote(f"{number}", f"v{number}", "hello"))
    everything = gate.store.write(undecided)
    first = gate.store.write(lambda tx: undecided(tx, most=2))

    assert len(everything) == 5
    assert first == everything[:2]
    assert gate.store.write(lambda tx: undecided(tx, first[-1])) == everything[2:]


# --- many deliveries at once

_KINDS = st.sampled_from(["words", "words", "words", "repeat", "details", "email", "page", "receipt", "broken", "twice"])
_DELIVERIES = st.lists(
    st.tuples(st.integers(0, 3), st.booleans(), st.lists(_KINDS, min_size=1, max_size=3)), min_size=2, max_size=12
)


def _raws(script: list[tuple[int, bool, list[str]]]) -> list[tuple[bool, list[Raw]]]:
    """Return the deliveries of *script*: (to the bot's channel, its payloads) each."""
    made: list[tuple[bool, list[Raw]]] = []
    sent: list[Raw] = []
    for number, (visitor, to_bot, kinds) in enumerate(script):
        key = f"v{visitor}"
        raws: list[Raw] = []
        for part, kind in enumerate(kinds):
            id_ = f"{number}.{part}"
            match kind:
                case "repeat" if sent:
                    raws.append(sent[number % len(sent)])
                case "details":
                    raws.append(told(id_, key, name=f"Name {number}", email=f"{visitor % 2}@example.com"))
                case "email":
                    raws.append(wrote(id_, key, f"write to {visitor}@example.com"))
                case "page":
                    raws.append(wrote(id_, key, "hello", page=f"https://shop.example/{number}"))
                case "receipt":
                    raws.append(saw(id_, key, 1, read=True))
                case "broken":
                    raws.append(Raw(id_, b"{broken"))
                case "twice":
                    raws += [wrote(id_, key, f"text {id_}")] * 2
                case _:
                    raws.append(wrote(id_, key, f"text {id_}"))
        sent += raws
        made.append((to_bot, raws))
    return made


def _answers(accepted: Sequence[Accepted]) -> list[tuple[int | None, bool, str | None]]:
    return [(one.seq, one.fresh, one.dead) for one in accepted]


@settings(max_examples=fewer(150), deadline=None, derandomize=True)
@given(script=_DELIVERIES, groups=st.integers(2, 6))
def test_many_deliveries_at_once_are_what_each_alone_would_be(script: list[tuple[int, bool, list[str]]], groups: int):
    """Sharing a call changes nothing: each message is stored once, in its delivery's order; who is recognised is the same."""
    alone, shared = Gate(), Gate()
    deliveries = _raws(script)
    for begin in range(0, len(deliveries), groups):
        asked = []
        for to_bot, raws in deliveries[begin : begin + groups]:
            channel = shared.bot if to_bot else shared.page
            asked.append((channel.id, prepare(channel, raws, LineSettings())))
        answers = shared.store.together([Each(accept_each, asked)])
        for (to_bot, raws), answer in zip(deliveries[begin : begin + groups], answers, strict=True):
            assert len(answer) == len(raws)
            alone.take(*raws, channel=alone.bot if to_bot else alone.page)
            for raw, one in zip(raws, answer, strict=True):
                assert (one.seq is None) == (one.conversation_id is None), raw

    # In a shared call the plain ones go first, so numbers may be exchanged between deliveries, and what came twice may count the other
    # one as the first; what is stored of whom is the same, and each delivery's own order.
    for query in (
        "SELECT i.external_id, i.dead IS NULL, c.key FROM inputs i LEFT JOIN conversations c ON c.id = i.conversation_id ORDER BY 1, 3",
        "SELECT key, last_seq, input_seq, worked_seq FROM conversations ORDER BY channel_id, key",
        "SELECT kind, value, evidence FROM contact_points ORDER BY 1, 2, 3",
        "SELECT count(*), min(at_us) FROM messages",
    ):
        assert shared.store.rows(query) == alone.store.rows(query)
    rows = shared.store.rows(
        "SELECT c.channel_id, c.key, m.seq, i.external_id, i.seq FROM messages m JOIN conversations c ON c.id = m.conversation_id "
        "LEFT JOIN inputs i ON i.conversation_id = m.conversation_id AND i.seq = m.seq ORDER BY 1, 2, 3"
    )
    assert all(seq == input_seq for _, _, seq, _, input_seq in rows)
    for to_bot, raws in deliveries:
        channel = shared.bot if to_bot else shared.page
        places = [row[2] for raw in raws for row in rows if (row[0], row[3]) == (channel.id, raw.external_id)]
        fresh = [raw.external_id for raw in raws]
        if len(set(fresh)) == len(fresh) and not any("repeat" in kinds for _, _, kinds in script):
            assert places == sorted(places)


def test_plain_words_of_many_visitors_are_stored_by_a_few_statements():
    """What a busy minute is made of: hundreds of messages, and not one statement for each."""
    gate = Gate()
    for visitor in range(200):
        gate.take(wrote(f"first {visitor}", f"v{visitor}", "hello"))
    asked = [
        (gate.page.id, prepare(gate.page, [wrote(f"{visitor}.{part}", f"v{visitor}", "more") for part in (1, 2)], LineSettings()))
        for visitor in range(200)
    ]
    with gate.store.executed() as executed:
        answers = gate.store.write(lambda tx: accept_each(tx, asked))

    assert [_answers(answer) for answer in answers] == [[(2, True, None), (3, True, None)]] * 200
    assert 1 <= len(executed) <= 10
    assert gate.store.one("SELECT count(*) FROM messages") == 600


# --- a button


def test_a_press_is_the_customers_rating(gate: Gate):
    """An input like any other, with a seq of its own, and no message: nothing was said."""
    gate.take(wrote("1", "eve", "hello"))

    (accepted,) = gate.take(pressed("2", "eve", "bad"))

    assert (accepted.seq, accepted.fresh, accepted.dead) == (2, True, None)
    event = Codec.decode(gate.store.one("SELECT event FROM inputs WHERE seq = 2"))
    assert event == Rated(at=NOON, rating=Rating.BAD)
    assert gate.texts() == [(1, "hello")]


@pytest.mark.parametrize("value", ["great", "GOOD", "", "good "])
def test_a_press_of_what_no_button_says_is_a_dead_letter(gate: Gate, value: str):
    """Kept raw, and the conversation goes on without it."""
    gate.take(wrote("1", "eve", "hello"))

    (accepted,) = gate.take(pressed("2", "eve", value))
    (after,) = gate.take(wrote("3", "eve", "more"))

    assert (accepted.conversation_id, accepted.seq, after.seq) == (None, None, 2)
    assert "no button of ours" in (accepted.dead or "")


def test_a_press_where_nothing_was_said_makes_no_contact(gate: Gate):
    """There was no message of ours for a button to stand beneath."""
    (accepted,) = gate.take(pressed("1", "eve", "good"))

    assert "where nothing was said" in (accepted.dead or "")
    assert gate.store.one("SELECT count(*) FROM contacts") == 0


# --- a call that is to be made


def asks(external_id: str, what: AsksCallback, key: str = "out-1") -> Prepared:
    """Return what asks for a call."""
    (plain,) = prepare(Gate().page, [wrote(external_id, key, "")], LineSettings())
    return replace(plain, incoming=Incoming(key, Person(what.number, phones=(what.number,)), what))


@pytest.mark.parametrize(
    "what",
    [
        AsksCallback("+100", NOON + timedelta(minutes=5)),
        AsksCallback("+100", NOON, ANN),
        AsksCallback("+100", NOON, ANN, now=True),
    ],
)
def test_a_call_that_is_asked_for_stands_in_the_history(gate: Gate, what: AsksCallback):
    """By whom and when it is to be made is the event; its message is a call's, of the contact, to the number."""
    (accepted,) = gate.store.write(lambda tx: accept(tx, gate.page.id, [asks("1", what)]))

    assert (accepted.seq, accepted.fresh, accepted.dead) == (1, True, None)
    assert gate.store.rows("SELECT kind, author, text, client_id, fate FROM messages") == [
        ("call", "contact", "+100", "", "received")
    ]
    message_id = gate.store.one("SELECT id FROM messages")
    event = Codec.decode(gate.store.one("SELECT event FROM inputs WHERE seq = 1"))
    assert event == ContactMessage(NOON, message_id, what.due, what.operator_id, what.now)
    assert (Bell.CONVERSATION, accepted.conversation_id) in gate.store.rung


def test_a_call_that_is_asked_for_again_is_one(gate: Gate):
    """By the external id, whatever is asked for then; another id and key is another call of the same customer."""

    def ask(*wanted: Prepared) -> list[Accepted]:
        return gate.store.write(lambda tx: accept(tx, gate.page.id, wanted))

    (first,) = ask(asks("1", AsksCallback("+100", NOON)))
    (again,) = ask(asks("1", AsksCallback("+100", NOON + timedelta(hours=1), ANN)))
    (other,) = ask(asks("2", AsksCallback("+100", NOON), "out-2"))

    assert (again.conversation_id, again.seq, again.fresh) == (first.conversation_id, 1, False)
    assert (other.conversation_id != first.conversation_id, other.seq) == (True, 1)
    assert gate.store.one("SELECT count(*) FROM messages") == 2
    assert gate.store.one("SELECT count(*) FROM inputs") == 2


def test_a_call_may_be_asked_for_beside_words(gate: Gate):
    """In one delivery of several: it is none of the plain ones, and each is stored."""
    gate.take(wrote("1", "eve", "hello"))
    words = prepare(gate.page, [wrote("2", "eve", "more")], LineSettings())
    deliveries = [(gate.page.id, words), (gate.page.id, [asks("3", AsksCallback("+100", NOON))])]
    answers = gate.store.write(lambda tx: accept_each(tx, deliveries))

    assert [(one.seq, one.fresh) for (one,) in answers] == [(2, True), (1, True)]
    assert {row[0] for row in gate.store.rows("SELECT text FROM messages")} == {"hello", "more", "+100"}
