"""The way out of what is more than words: files, what is answered, and changes of what was sent before."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import pytest

from broker import extras
from broker.domain import ChannelId, ConversationId, LineSettings, MessageId, to_us
from broker.errors import AccessLost, Rejected, Unavailable, Uncertain, Unreachable
from broker.events import Wrote
from broker.extras import Attachment, Extra, FileKind, FileState, Quote
from broker.inbound import accept, prepare, said
from broker.outbound import FILES_SECONDS, GRACE_SECONDS, LEASE_SECONDS, SEND_SECONDS, Sender, lease, post, recover
from broker.ports import OutFile, Tx
from broker.store.sql import insert_row
from broker.store.tables import files, messages
from tests.support.channels import PUSH, STREAM, FakeChannel
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line, add_process
from tests.support.messenger import MESSENGER, Messenger
from tests.support.store import MemoryStore

T = TypeVar("T")
MESSAGE = insert_row(messages, "id conversation_id seq session_id kind author text client_id fate at_us extra")
FILE = insert_row(files, "id sha256 name media_type size conversation_id created_us kind")


class Answered:
    """A store that answers at once, awaited."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def write(self, work: Callable[[Tx], T], /) -> T:
        """See `Store.write`."""
        return self._store.write(work)

    async def write_each(self, work: Callable[[Tx, Sequence[Any]], Sequence[T]], item: Any, /) -> T:
        """See `Store.write_each`."""
        return self._store.write(lambda tx: work(tx, (item,)))[0]

    read = write


class Desk:
    """One conversation of a messenger; eve has written the message 1."""

    def __init__(self, capabilities: Any = MESSENGER) -> None:
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)

        def build(tx: Tx) -> Messenger:
            line = add_line(tx)
            return Messenger(add_channel(tx, line), line, capabilities)

        self.one = self.store.write(build)
        self.channel: FakeChannel = self.one
        self.lost: list[tuple[ChannelId, str]] = []
        prepared = prepare(self.one, [self.one.brings(Wrote("hello", "c1", ref="c1"))], LineSettings())
        (accepted,) = self.store.write(lambda tx: accept(tx, self.one.id, prepared))
        self.conversation = ConversationId(str(accepted.conversation_id))

    def say(self, seq: int, text: str = "", extra: Extra | None = None) -> None:
        """Queue a message."""

        def work(tx: Tx) -> None:
            message = MessageId(tx.new_id())
            values = {"session_id": None, "kind": "said", "author": "operator", "client_id": "", "fate": "queued", "at_us": 0}
            tx.run(
                MESSAGE,
                id=message,
                conversation_id=self.conversation,
                seq=seq,
                text=text or f"{seq}",
                extra=extras.written(extra),
                **values,
            )
            post(tx, self.conversation, seq, self.one.id, message)

        self.store.write(work)

    def change(self, seq: int, target: int, does: str = "reword", text: str = "new") -> None:
        """Queue a change of the message *target*, as the worker does."""

        def work(tx: Tx) -> None:
            there = said.at(tx, self.conversation, target)
            assert there is not None
            said.rewrite(tx, there, text if does == "reword" else there.text, there.extra, "edited")
            post(tx, self.conversation, seq, self.one.id, MessageId(tx.new_id()), does=does, target_seq=target)

        self.store.write(work)

    def step(self, sender: Sender | None = None, within: Any = None) -> bool:
        """Run the shipped sender once."""
        return asyncio.run((sender or self.sender(within)).step(self.conversation))

    def go_on(self) -> None:
        """Send what can be sent."""
        while self.step():
            pass

    def sender(self, within: Any = None) -> Sender:
        """Return the shipped sender."""
        return Sender(
            Answered(self.store),
            self.clock,
            lambda _: self.channel,
            lambda channel, operator: "Shop",
            owner="test",
            fence=1,
            on_access_lost=lambda channel, error: self.lost.append((channel, error.code)),
            **({"within": within} if within else {}),
        )

    def file(self, number: int, conversation: str | None = None) -> Attachment:
        """Return a file that was uploaded for the conversation."""
        id_ = f"01900000-0000-7000-8000-0000000000f{number}"

        def work(tx: Tx) -> None:
            tx.run(
                FILE,
                id=id_,
                sha256=f"{number}" * 64,
                name=f"{number}.png",
                media_type="image/png",
                size=number,
                conversation_id=conversation or self.conversation,
                created_us=0,
                kind="photo",
            )

        self.store.write(work)
        return Attachment(FileKind.PHOTO, FileState.READY, f"{number}.png", "image/png", number, id=id_)

    def states(self) -> list[str]:
        """Return each row's state, by seq."""
        return [row[0] for row in self.store.rows("SELECT state FROM outbox ORDER BY seq")]

    def problem(self, seq: int) -> str:
        """Return what stands beside a message."""
        return str(self.store.one("SELECT problem FROM messages WHERE seq = ?", seq))

    def told(self, kind: str = "changed") -> list[tuple[int | None, Any]]:
        """Return what the journal says, each with the message that it is of."""
        found = self.store.rows("SELECT message_seq, body FROM journal WHERE kind = ? ORDER BY id", kind)
        return [(seq, msgspec.json.decode(body)) for seq, body in found]


@pytest.fixture
def desk() -> Desk:
    """Return a conversation in which nothing was answered."""
    return Desk()


# --- changes


@pytest.mark.parametrize(("does", "change"), [("reword", ("reword", "far", "new")), ("take_back", ("take_back", "far", "eve"))])
def test_what_was_sent_is_changed_where_it_was_sent(desk: Desk, does: str, change: tuple[str, str, str]):
    """By the name that the provider gave it; nothing is sent once more, and screens are told that the customer has it."""
    desk.say(2)
    desk.step()
    desk.store.change("UPDATE outbox SET external_id = 'far'")
    desk.change(3, 2, does)
    desk.go_on()

    assert ([change], ["2"]) == (desk.one.changed, [sent.text for sent in desk.one.far.delivered])
    assert (["sent", "sent"], (2, {"what": "sent"})) == (desk.states(), desk.told()[-1])
    assert ["sending", "sent"] == [body["fate"] for _, body in desk.told("fate")]


def test_a_change_comes_after_the_message_it_is_of(desk: Desk):
    """Though the message waits: what is not there cannot be changed, and what was sent in between keeps its place."""
    desk.say(2)
    desk.change(3, 2)
    desk.say(4)
    desk.one.faults = [Unavailable("resting", retry_after=5.0)]
    desk.go_on()
    before = (desk.states(), list(desk.one.changed))
    desk.clock.move(5)
    desk.go_on()

    assert (["queued"] * 3, []) == before
    assert ["new", "4"] == [sent.text for sent in desk.one.far.delivered]
    assert [("reword", f"far-{desk.one.far.delivered[0].token}", "new")] == desk.one.changed


@pytest.mark.parametrize("does", ["reword", "take_back"])
def test_a_change_of_what_never_left_is_told_beside_it(desk: Desk, does: str):
    """The operator sees that the customer has nothing of it."""
    desk.say(2)
    desk.one.faults = [Rejected("too long")]
    desk.step()
    desk.change(3, 2, does)
    desk.go_on()

    assert (["failed", "failed"], []) == (desk.states(), desk.one.changed)
    assert desk.problem(2)
    assert (2, {"what": "sent"}) == desk.told()[-1]


@pytest.mark.parametrize("channel", ["other", "refuses"])
def test_a_change_that_cannot_be_done_is_told_beside_the_message(desk: Desk, channel: str):
    """A channel of another kind by now, or a provider that says no; the message's own fate stays as it was."""
    desk.say(2)
    desk.step()
    if channel == "other":
        desk.channel = FakeChannel(desk.one.id, desk.one.line_id, PUSH)
    else:
        desk.one.faults = [Rejected("it is too old to be changed")]
    desk.change(3, 2)
    desk.go_on()

    assert ["sent", "failed"] == desk.states()
    assert ("sent", True) == (desk.store.one("SELECT fate FROM messages WHERE seq = 2"), bool(desk.problem(2)))


def test_a_change_that_is_done_takes_an_older_problem_away(desk: Desk):
    """The customer has the message as it is now."""
    desk.say(2)
    desk.step()
    desk.change(3, 2)
    desk.one.faults = [Rejected("not now")]
    desk.step()
    before = desk.problem(2)
    desk.change(4, 2, text="newer")
    desk.step()

    assert ("not now", "") == (before, desk.problem(2))


@pytest.mark.parametrize("fault", [Uncertain("no answer"), ZeroDivisionError(), TimeoutError()])
def test_a_change_is_never_in_doubt(desk: Desk, fault: Exception):
    """Doing it again is no harm, in a channel too that cannot tell a repeat."""
    desk.say(2)
    desk.step()
    desk.change(3, 2)
    desk.one.faults = [fault]
    desk.step()
    before = desk.states()
    desk.clock.move(2)
    desk.step()

    assert (["sent", "queued"], ["sent", "sent"], 1) == (before, desk.states(), len(desk.one.changed))


def test_a_change_that_backs_off_says_nothing_yet(desk: Desk):
    """Only what has ended is told beside the message."""
    desk.say(2)
    desk.step()
    desk.change(3, 2)
    desk.one.faults = [Unavailable("resting")]
    before = desk.told()
    desk.step()

    assert ("", before) == (desk.problem(2), desk.told())


@pytest.mark.parametrize("does", ["send", "reword", "take_back"])
def test_after_a_crash_a_change_is_done_again_and_a_message_is_in_doubt(desk: Desk, does: str):
    """The channel cannot tell a repeat: of a message a human decides, a change is simply made."""
    desk.say(2)
    desk.store.write(lambda tx: add_process(tx, "test"))
    if does != "send":
        desk.step()
        desk.change(3, 2, does)
    desk.store.write(lambda tx: lease(tx, desk.conversation, "test", 1, 0.0))
    desk.clock.move(LEASE_SECONDS + GRACE_SECONDS + 1)
    desk.store.write(lambda tx: recover(tx, 2, lambda _: False))
    recovered = desk.states()[-1]
    desk.go_on()

    assert ("unconfirmed" if does == "send" else "queued") == recovered
    assert (0 if does == "send" else 1) == len(desk.one.changed)


def test_of_two_changes_the_last_words_are_the_last(desk: Desk):
    """Each in its turn."""
    desk.say(2)
    desk.step()
    desk.change(3, 2, text="newer")
    desk.step()
    desk.change(4, 2, text="newest")
    desk.step()

    assert ["newer", "newest"] == [text for _, _, text in desk.one.changed]


# --- names of what was sent


def test_what_was_sent_is_known_by_each_of_its_names(desk: Desk):
    """A message may be sent as several: a customer who answers or reacts to any of them means it."""

    async def twice(sending: Awaitable[str], seconds: float) -> str:
        return f"{await sending} second"

    desk.say(2)
    desk.step(within=twice)
    name = f"far-{desk.one.far.delivered[0].token}"

    assert [(name, 2), ("second", 2)] == desk.store.rows("SELECT ref, seq FROM message_refs WHERE seq = 2 ORDER BY ref")


def test_a_channel_whose_messages_have_no_names_keeps_none():
    """Nobody would ask for them."""
    desk = Desk(STREAM)
    desk.say(2)
    desk.step()

    assert [("c1",)] == desk.store.rows("SELECT ref FROM message_refs")


def test_a_change_gives_no_name(desk: Desk):
    """The message keeps the one that it has."""
    desk.say(2)
    desk.step()
    before = desk.store.rows("SELECT ref FROM message_refs ORDER BY ref")
    desk.change(3, 2)
    desk.step()

    assert before == desk.store.rows("SELECT ref FROM message_refs ORDER BY ref")


@pytest.mark.parametrize("answered", ["theirs", "ours"])
def test_an_answer_names_what_it_answers(desk: Desk, answered: str):
    """The customer's message by the name it came with, ours by the one it was sent as."""
    desk.say(2)
    desk.step()
    desk.say(3, extra=Extra(quote=Quote(1 if answered == "theirs" else 2, "hello")))
    desk.step()

    names = {"theirs": "c1", "ours": f"far-{desk.one.far.delivered[0].token}"}
    assert names[answered] == desk.one.far.delivered[-1].answers


@pytest.mark.parametrize("album", ["", "a"])
def test_an_answer_names_a_message_that_has_only_its_providers_name(desk: Desk, album: str):
    """`Wrote.client_id` is a writer's own id; the provider's name of a message is its ref."""
    prepared = prepare(desk.one, [desk.one.brings(Wrote("again", ref="c2", album=album))], LineSettings())
    desk.store.write(lambda tx: accept(tx, desk.one.id, prepared))
    desk.say(3, extra=Extra(quote=Quote(2, "again")))
    desk.step()

    assert "c2" == desk.one.far.delivered[-1].answers


@pytest.mark.parametrize("capabilities", [replace(MESSENGER, quotes=False, asks_phone=False), MESSENGER])
def test_a_channel_is_asked_for_nothing_that_it_cannot(capabilities: Any):
    """A quote and a button for the phone go where there is such a thing."""
    desk = Desk(capabilities)
    desk.say(2, extra=Extra(quote=Quote(1, "hello"), asks_phone=True))
    desk.step()

    (sent,) = desk.one.far.delivered
    assert ("c1" if capabilities.quotes else "", capabilities.asks_phone) == (sent.answers, sent.asks_phone)


def note(desk: Desk, seq: int) -> None:
    """Write a note of colleagues: it is never sent, and `client_id` is the operator's own id of the deed."""

    def work(tx: Tx) -> None:
        values = {"session_id": None, "author": "operator", "text": "a liar", "fate": "noted", "at_us": 0, "extra": None}
        tx.run(MESSAGE, id=tx.new_id(), conversation_id=desk.conversation, seq=seq, kind="note", client_id="12345678", **values)

    desk.store.write(work)


def test_what_was_never_sent_has_no_name_there(desk: Desk):
    """An operator may answer a note: the provider is asked for nothing by the operator's own id of it."""
    note(desk, 2)
    desk.say(3, extra=Extra(quote=Quote(2, "a liar")))
    desk.step()

    assert [("3", "")] == [(sent.text, sent.answers) for sent in desk.one.far.delivered]


@pytest.mark.parametrize("does", ["reword", "take_back"])
def test_a_note_never_reaches_the_customer_by_a_change_of_it(desk: Desk, does: str):
    """Its words are for colleagues: they replace no message that happens to be called as the deed was."""
    note(desk, 2)
    desk.change(3, 2, does)
    desk.go_on()

    assert ([], ["failed"]) == (desk.one.changed, desk.states())


def test_a_quote_of_what_never_was_names_nothing(desk: Desk):
    """The message goes out all the same."""
    desk.say(2, extra=Extra(quote=Quote(99, "hello")))
    desk.step()

    assert [("2", "")] == [(sent.text, sent.answers) for sent in desk.one.far.delivered]


# --- files


def test_a_message_goes_out_with_its_files(desk: Desk):
    """In their order, as bytes that are kept under their names; one that is not here is left out."""
    gone = Attachment(FileKind.PHOTO, FileState.GONE, "gone.png", id="01900000-0000-7000-8000-0000000000f9")
    desk.say(2, extra=Extra(files=(desk.file(2), gone, desk.file(1))))
    desk.step()

    (sent,) = desk.one.far.delivered
    assert (
        OutFile("2" * 64, FileKind.PHOTO, "2.png", "image/png", 2),
        OutFile("1" * 64, FileKind.PHOTO, "1.png", "image/png", 1),
    ) == sent.files


@pytest.mark.parametrize("with_file", [False, True])
def test_a_message_with_files_has_more_time(desk: Desk, with_file: bool):
    """To be sent, and until another takes it over; the lease is longer by as much."""
    desk.say(2, extra=Extra(files=(desk.file(1),)) if with_file else None)
    seen: list[tuple[float, float]] = []

    async def look(sending: Awaitable[str], seconds: float) -> str:
        until_us = desk.store.one("SELECT lease_us FROM outbox")
        seen.append((seconds, (until_us - to_us(desk.clock.now())) / 1_000_000))
        return await sending

    desk.step(within=look)

    more = FILES_SECONDS - SEND_SECONDS if with_file else 0
    assert [(SEND_SECONDS + more, LEASE_SECONDS + more)] == seen


@pytest.mark.parametrize(
    "seconds", [LEASE_SECONDS + GRACE_SECONDS + 1, LEASE_SECONDS + FILES_SECONDS - SEND_SECONDS + GRACE_SECONDS + 1]
)
def test_nobody_takes_over_files_that_are_on_their_way(desk: Desk, seconds: float):
    """Of a process that lives: what takes long is no orphan before its own lease is over."""
    desk.store.write(lambda tx: add_process(tx, "test"))
    desk.say(2, extra=Extra(files=(desk.file(1),)))
    desk.store.write(lambda tx: lease(tx, desk.conversation, "test", 1, 0.0))
    desk.clock.move(seconds)
    desk.store.write(lambda tx: recover(tx, 1, lambda _: True))

    over = seconds > LEASE_SECONDS + FILES_SECONDS - SEND_SECONDS
    assert ["queued" if over else "sending"] == desk.states()


# --- customers and channels that are reached no more


def test_who_blocked_us_is_marked(desk: Desk):
    """Nothing more reaches them until they write; screens are told once, and the message has failed for that reason."""
    desk.say(2)
    desk.say(3)
    desk.one.faults = [Unreachable("the bot was blocked", code="blocked"), Unreachable("the bot was blocked", code="blocked")]
    desk.go_on()

    assert ("blocked", ["failed", "failed"]) == (desk.store.one("SELECT unreachable FROM conversations"), desk.states())
    assert "the bot was blocked" == desk.problem(2)
    (contact,) = [body for _, body in desk.told("contact") if "unreachable" in body]
    assert {"contact": desk.store.one("SELECT id FROM contacts"), "unreachable": "blocked"} == contact


def test_a_rejection_of_one_message_marks_nobody(desk: Desk):
    """The next one may be taken."""
    desk.say(2)
    desk.one.faults = [Rejected("too long")]
    desk.go_on()

    assert "" == desk.store.one("SELECT unreachable FROM conversations")


def test_who_lost_their_lease_marks_nobody(desk: Desk):
    """Whoever took over says what became of it."""
    desk.say(2)
    desk.one.faults = [Unreachable("blocked", code="blocked")]

    async def look(sending: Awaitable[str], seconds: float) -> str:
        desk.store.change("UPDATE outbox SET fence = 2")
        return await sending

    desk.step(within=look)

    assert ("", []) == (desk.store.one("SELECT unreachable FROM conversations"), desk.told("contact")[1:])


def test_a_channel_that_lets_us_in_no_more_is_told_and_waited_for(desk: Desk):
    """An administrator repairs it: the message waits as long as it takes, up to a day, and what stands behind it does too."""
    desk.say(2)
    desk.say(3)
    desk.one.faults = [AccessLost("revoked", code="token_revoked", retry_after=60.0)]
    desk.go_on()
    due_us = desk.store.one("SELECT due_us FROM outbox WHERE seq = 2")
    before = desk.states()
    desk.clock.move(60)
    desk.go_on()

    assert ([(desk.one.id, "token_revoked")], ["queued", "queued"]) == (desk.lost, before)
    assert to_us(desk.clock.now()) == due_us
    assert ["2", "3"] == [sent.text for sent in desk.one.far.delivered]


def test_a_channel_that_lets_us_in_no_more_backs_off_by_itself(desk: Desk):
    """Where its provider does not say when to come back: later and later."""
    desk.say(2)
    sender = desk.sender()
    waits = []
    for _ in range(3):
        desk.one.faults = [AccessLost("revoked", code="token_revoked")]
        desk.step(sender)
        waits.append((desk.store.one("SELECT due_us FROM outbox") - to_us(desk.clock.now())) / 1_000_000)
        desk.clock.move(waits[-1])

    assert [2, 4, 8] == waits
