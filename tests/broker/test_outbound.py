"""The way out: leases, fates, back-off, recovery. The channel is a fake; the statements and the sender are shipped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.domain import ChannelId, ConversationId, MessageId, Rate, to_us
from broker.errors import StoreBusy, StoreError, StoreFull
from broker.inbound import accept, prepare
from broker.outbound import (
    GIVE_UP_SECONDS,
    GRACE_SECONDS,
    LEASE_SECONDS,
    SEND_SECONDS,
    End,
    Sender,
    due,
    lease,
    lease_each,
    mark,
    mark_each,
    post,
    recover,
)
from broker.ports import Bell, Button, Tx
from broker.store import processes
from broker.store.sql import insert_row
from broker.store.tables import messages
from broker.transport.memory import MemoryTransport
from tests.support.channels import PUSH, PUSH_BUTTONS, STREAM, STREAM_BUTTONS, FakeChannel, Fault, wrote
from tests.support.clock import MovedClock
from tests.support.counting import counted
from tests.support.house import add_channel, add_line, add_process, load_house
from tests.support.store import MemoryStore, PostgresMemory

T = TypeVar("T")
MESSAGE = insert_row(messages, "id conversation_id seq session_id kind author text fate at_us")


class Answered:
    """A store that answers at once, awaited."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.refused_marks: list[StoreError] = []
        """With what the next ones are refused."""

    async def write(self, work: Callable[[Tx], T], /) -> T:
        return self._store.write(work)

    async def write_each(self, work: Callable[[Tx, Sequence[Any]], Sequence[T]], item: Any, /) -> T:
        if work is mark_each and self.refused_marks:
            raise self.refused_marks.pop()
        return self._store.write(lambda tx: work(tx, (item,)))[0]

    read = write


class Post:
    """One conversation of one channel, with what is said in it and the sender that sends it."""

    def __init__(self, capabilities: Any = STREAM, fence: int = 1, store: Any = MemoryStore) -> None:
        self.clock = MovedClock()
        self.store: MemoryStore = store(self.clock)
        self.channel = self.store.write(lambda tx: self._build(tx, capabilities))
        self.conversation = self.begin("eve")
        self.on = True
        self.fence = fence

    def _build(self, tx: Tx, capabilities: Any) -> FakeChannel:
        line = add_line(tx)
        return FakeChannel(add_channel(tx, line), line, capabilities)

    def begin(self, key: str) -> ConversationId:
        """Begin a conversation."""
        settings = self.store.write(load_house).directory.lines[self.channel.line_id].settings
        prepared = prepare(self.channel, [wrote(f"x-{key}", key, "hello")], settings)
        (accepted,) = self.store.write(lambda tx: accept(tx, self.channel.id, prepared))
        assert accepted.conversation_id is not None
        return accepted.conversation_id

    def say(self, *seqs: int, conversation: ConversationId | None = None, buttons: Sequence[Button] = ()) -> None:
        """Queue messages; the text is the seq."""
        to = conversation or self.conversation

        def work(tx: Tx) -> None:
            for seq in seqs:
                message = MessageId(tx.new_id())
                values = {"session_id": None, "kind": "said", "author": "system", "fate": "queued", "at_us": 0}
                tx.run(MESSAGE, id=message, conversation_id=to, seq=seq, text=f"{seq}", **values)
                post(tx, to, seq, self.channel.id, message, buttons)

        self.store.write(work)

    def step(self, within: Any = None, sender: Sender | None = None, **more: Any) -> bool:
        """Run the shipped sender once: a new one, as after a start, but where *sender* is given."""
        return asyncio.run((sender or self.sender(within, **more)).step(self.conversation))

    def sender(self, within: Any = None, **more: Any) -> Sender:
        """Return the shipped sender."""
        return Sender(
            Answered(self.store),
            self.clock,
            lambda _: self.channel if self.on else None,
            lambda channel, operator: "Shop",
            owner="test",
            fence=self.fence,
            **({"within": within} if within else {}),
            **more,
        )

    def lives(self, process: str) -> None:
        """Let *process* be one of those that run."""
        self.store.write(lambda tx: add_process(tx, process))

    def is_dead(self, process: str) -> None:
        """Let whoever leased the row be known as dead: alone they are at the next start, beside others when the lease is over."""
        self.store.write(lambda tx: processes.leave(tx, process))
        if self.store.write(lambda tx: tx.shared):
            self.clock.move(LEASE_SECONDS + GRACE_SECONDS + 0.001)

    def states(self) -> list[str]:
        """Return each row's state, by seq."""
        return [row[0] for row in self.store.rows("SELECT state FROM outbox ORDER BY conversation_id, seq")]

    def fates(self) -> list[str]:
        """Return each outgoing message's fate, by seq."""
        return [
            row[0] for row in self.store.rows("SELECT fate FROM messages WHERE author = 'system' ORDER BY conversation_id, seq")
        ]

    def arrived(self) -> list[str]:
        """Return the texts that arrived."""
        return [sent.text for sent in self.channel.far.delivered]


@pytest.fixture
def push() -> Post:
    """Return a conversation on a channel that cannot tell a repeat."""
    return Post(PUSH)


@pytest.fixture
def stream() -> Post:
    """Return a conversation on an idempotent channel."""
    return Post(STREAM)


def test_a_message_is_sent_and_its_fate_is_known(stream: Post):
    """queued, sending, sent: the provider's id is kept, the dialogue shows the tick, the journal told each step."""
    stream.say(2)

    assert (stream.step(), stream.step()) == (True, False)
    assert (stream.states(), stream.fates(), stream.arrived()) == (["sent"], ["sent"], ["2"])
    assert stream.store.one("SELECT external_id FROM outbox").startswith("far-")
    told = stream.store.rows("SELECT body FROM journal WHERE kind = 'fate' ORDER BY id")
    assert [row[0] for row in told] == ['{"fate":"sending","problem":""}', '{"fate":"sent","problem":""}']


def test_messages_leave_in_the_order_of_their_seq(stream: Post):
    """Whatever the order of posting."""
    stream.say(5, 3, 4)
    while stream.step():
        pass

    assert stream.arrived() == ["3", "4", "5"]


def test_sending_is_committed_before_the_first_byte_leaves(push: Post):
    """At the moment of the send the row says so on the disk."""
    seen: list[list[str]] = []

    async def look(sending: Awaitable[str], seconds: float) -> str:
        seen.append(push.states())
        return await sending

    push.say(2)
    push.step(within=look)

    assert seen == [["sending"]]


def test_one_is_in_flight_at_a_time(push: Post):
    """While a row is `sending` nobody leases another of its conversation; another conversation is not held up."""
    other = push.begin("bob")
    push.say(2, 3)
    push.say(2, conversation=other)

    first = push.store.write(lambda tx: lease(tx, push.conversation, "a", 1, 0.0))
    assert first is not None
    assert first.seq == 2
    assert push.store.write(lambda tx: lease(tx, push.conversation, "b", 1, 0.0)) is None
    assert push.store.write(lambda tx: lease(tx, other, "b", 1, 0.0)) is not None


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE])
def test_nothing_overtakes_one_that_backs_off(push: Post, fault: Fault):
    """The second waits for the first, and neither is work until the first's time has come."""
    push.say(2, 3)
    push.channel.script.append(fault)
    assert push.step()
    assert (push.states(), push.step(), push.store.write(due)) == (["queued", "queued"], False, [])

    push.clock.move(5)
    assert push.store.write(due) == [push.conversation]
    while push.step():
        pass
    assert push.arrived() == ["2", "3"]


def test_a_clock_that_is_turned_back_holds_up_nothing_that_is_new(push: Post):
    """What was queued while it ran an hour ahead is swept and sent at once; only what backs off keeps to its moment."""
    push.clock.move(3600)
    push.say(2)
    push.channel.script.append(Fault.UNAVAILABLE)
    assert push.step()
    other = push.begin("bob")
    push.say(3, conversation=other)
    push.clock.set(push.clock.now() - timedelta(hours=1))

    assert push.store.write(due) == [other]
    assert push.store.write(lambda tx: lease(tx, push.conversation, "a", 1, 0.0)) is None
    assert push.store.write(lambda tx: lease(tx, other, "a", 1, 0.0)) is not None


def test_back_off_grows_and_ends():
    """2, 4, 8 … at most 300 seconds while it is tried; after a day the operator is told that it has failed."""
    post_ = Post(STREAM)
    post_.say(2)
    sender = post_.sender()
    waits = []
    while post_.states() == ["queued"]:
        post_.channel.script.append(Fault.UNCERTAIN_LOST)
        post_.step(sender=sender)
        until = post_.store.one("SELECT due_us FROM outbox")
        wait = (until - to_us(post_.clock.now())) / 1_000_000
        waits.append(wait)
        post_.clock.move(wait)

    assert waits[:4] == [2, 4, 8, 16]
    assert max(waits) == 300
    assert (post_.states(), post_.fates()) == (["failed"], ["failed"])
    assert sum(waits) >= GIVE_UP_SECONDS


def test_a_rejection_is_final(push: Post):
    """Never retried; the reason stands in the dialogue; the next message goes its way."""
    push.say(2, 3)
    push.channel.script.append(Fault.REJECTED)
    while push.step():
        pass

    assert (push.states(), push.arrived()) == (["failed", "sent"], ["3"])
    assert push.store.one("SELECT problem FROM messages WHERE seq = 2") == "the customer has blocked us"


@pytest.mark.parametrize("fault", [Fault.UNCERTAIN_LOST, Fault.UNCERTAIN_DELIVERED, Fault.BROKEN_BEFORE, Fault.BROKEN_AFTER])
def test_doubt_is_put_before_a_human_where_a_repeat_would_be_seen(push: Post, fault: Fault):
    """No blind retry: unconfirmed, and the conversation goes on."""
    push.say(2, 3)
    push.channel.script.append(fault)
    while push.step():
        pass
    push.clock.move(3_600)

    assert push.step() is False
    assert push.states() == ["unconfirmed", "sent"]
    assert len(push.arrived()) == len(set(push.arrived()))


@pytest.mark.parametrize("fault", [Fault.UNCERTAIN_LOST, Fault.UNCERTAIN_DELIVERED, Fault.BROKEN_BEFORE, Fault.BROKEN_AFTER])
def test_doubt_is_sent_again_under_the_same_token_where_it_is_shown_once(stream: Post, fault: Fault):
    """An idempotent channel: the customer sees it once."""
    stream.say(2)
    stream.channel.script.append(fault)
    stream.step()
    stream.clock.move(2)
    stream.step()

    assert stream.states() == ["sent"]
    assert len({sent.token for sent in stream.channel.far.delivered}) == 1
    assert len(stream.channel.far.shown()) == 1


@pytest.mark.parametrize(("capabilities", "state"), [(PUSH, "unconfirmed"), (STREAM, "queued")])
def test_a_send_without_an_answer_is_given_up_in_time(capabilities: Any, state: str):
    """A channel that hangs does not hold the lease past its end: after SEND_SECONDS its outcome is in doubt."""
    asked: list[float] = []

    async def too_long(sending: Any, seconds: float) -> str:
        asked.append(seconds)
        sending.close()
        raise TimeoutError

    post_ = Post(capabilities)
    post_.say(2)
    post_.step(within=too_long)

    assert asked == [SEND_SECONDS]
    assert post_.states() == [state]
    assert SEND_SECONDS < LEASE_SECONDS


@pytest.mark.parametrize(
    ("slept", "arrived", "states"),
    [
        (LEASE_SECONDS - SEND_SECONDS, ["2"], ["sent"]),
        (LEASE_SECONDS - SEND_SECONDS + 0.001, [], ["queued"]),
        (LEASE_SECONDS, [], ["queued"]),
    ],
)
def test_a_sender_that_slept_sends_nothing_that_might_outlast_its_lease(slept: float, arrived: list[str], states: list[str]):
    """It may be another's before the send ends: the row goes back, and it is not put before a human, for nothing left."""

    class Sleeper(Answered):
        async def write_each(self, work: Callable[[Tx, Sequence[Any]], Sequence[T]], item: Any, /) -> T:
            answer = await super().write_each(work, item)
            post_.clock.move(slept)
            return answer

    post_ = Post(PUSH)
    post_.say(2)
    sender = Sender(Sleeper(post_.store), post_.clock, lambda _: post_.channel, lambda *_: "", owner="a", fence=1)
    asyncio.run(sender.step(post_.conversation))

    assert (post_.arrived(), post_.states()) == (arrived, states)


class Paced:
    """A provider's rate as processes share it, and a clock that sleeping moves."""

    def __init__(self, post_: Post, *rates: Rate) -> None:
        self.post = post_
        self.transport = MemoryTransport(monotonic=post_.clock.monotonic)
        post_.channel.capabilities = replace(PUSH, rates=rates)
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Let *seconds* pass."""
        self.slept.append(round(seconds, 3))
        self.post.clock.move(seconds)

    def step(self) -> bool:
        """Send the next."""
        return self.post.step(take=self.transport.take, sleep=self.sleep)


def test_a_message_waits_a_little_for_the_rate_of_its_provider(push: Post):
    """The burst leaves at once, the rest as the bucket fills; an attempt it is not until it leaves."""
    paced = Paced(push, Rate(per_second=2, burst=2))
    push.say(2, 3, 4)
    for _ in range(3):
        paced.step()

    assert (push.arrived(), paced.slept) == (["2", "3", "4"], [0.5])


def test_what_would_wait_long_for_the_rate_makes_room_for_others(push: Post):
    """It goes back with its time, and is sent then; nobody is told of a trouble."""
    paced = Paced(push, Rate(per_second=0.1, burst=1, of="conversation"), Rate(per_second=30, burst=30))
    push.say(2, 3)
    paced.step()
    paced.step()

    assert (push.arrived(), push.states(), paced.slept) == (["2"], ["sent", "queued"], [])
    assert paced.step() is False
    push.clock.move(10.1)
    assert paced.step() is True
    assert (push.arrived(), push.fates()) == (["2", "3"], ["sent", "sent"])


def test_a_long_queue_of_one_channel_holds_few_places(push: Post):
    """Of a hundred who wait for its rate those wait here whose turn is near; the others go back, each with a turn of its own."""
    paced = Paced(push, Rate(per_second=10, burst=1))
    waiting: list[float] = []

    everybody = asyncio.Event()
    left = 100

    def counted_off() -> None:
        nonlocal left
        left -= 1
        if not left:
            everybody.set()

    async def wait(seconds: float) -> None:
        waiting.append(seconds)
        counted_off()
        await asyncio.get_running_loop().create_future()

    async def story() -> None:
        sender = push.sender(take=paced.transport.take, sleep=wait)
        steps = [asyncio.create_task(sender.step(one)) for one in customers]
        for step in steps:
            step.add_done_callback(lambda _: counted_off())
        await everybody.wait()
        for step in steps:
            step.cancel()
        await asyncio.gather(*steps, return_exceptions=True)

    customers = [push.begin(f"c{number}") for number in range(100)]
    for one in customers:
        push.say(2, conversation=one)
    asyncio.run(story())

    turns = [row[0] for row in push.store.rows("SELECT due_us FROM outbox WHERE state = 'queued' ORDER BY due_us")]
    apart = {(later - earlier) // 1_000 for earlier, later in pairwise(turns)}
    assert (19, 80, {100}) == (len(waiting), len(turns), apart)


def test_what_comes_back_at_its_turn_leaves_at_it(push: Post):
    """A row keeps the turn that it was given: whoever comes back does not stand at the end again."""
    paced = Paced(push, Rate(per_second=10, burst=1))
    customers = [push.begin(f"c{number}") for number in range(100)]
    for one in customers:
        push.say(2, conversation=one)
    sender = push.sender(take=paced.transport.take, sleep=paced.sleep)
    began = push.clock.monotonic()
    while not all(state == "sent" for state in push.states()):
        before = len(push.arrived())
        for one in customers:
            asyncio.run(sender.step(one))
        if len(push.arrived()) == before:
            push.clock.move(0.1)

    assert 100 == len(push.arrived())
    assert 9.9 == pytest.approx(push.clock.monotonic() - began, abs=0.3)


def test_the_rate_of_a_conversation_is_its_own_and_that_of_a_channel_everybodys(push: Post):
    """Of two who are written to, neither waits for the other's rate, both wait for the channel's."""
    other = push.begin("other")
    paced = Paced(push, Rate(per_second=0.1, burst=1, of="conversation"), Rate(per_second=1, burst=1))
    push.say(2)
    push.say(2, conversation=other)
    paced.step()
    push.conversation = other
    paced.step()

    assert (push.arrived(), paced.slept) == (["2", "2"], [1.0])


def test_a_channel_that_was_switched_off_fails_its_messages(push: Post):
    """They do not wait for ever for a sender that does not exist."""
    push.say(2)
    push.on = False
    push.store.change("UPDATE channels SET active = 0")
    labels = {"channel": push.channel.id, "kind": "unknown", "outcome": "failed"}
    before = counted("omniline_sent_total", **labels)
    push.step()

    assert push.states() == ["failed"]
    assert counted("omniline_sent_total", **labels) == before + 1


def test_a_channel_that_was_switched_on_elsewhere_is_waited_for(push: Post):
    """This process has not heard of it yet: the message is no failed one, which an operator would send again."""
    push.say(2)
    push.on = False
    push.step()

    assert (push.states(), push.fates()) == (["queued"], ["queued"])
    push.on = True
    push.clock.move(1)
    push.step()
    assert push.arrived() == ["2"]


def test_waiting_for_the_rate_is_no_failure(push: Post):
    """However often a message has made room for others: when it then fails, it is tried again as soon as any."""
    paced = Paced(push, Rate(per_second=0.1, burst=1, of="conversation"))
    push.channel.capabilities = replace(STREAM, rates=push.channel.capabilities.rates)
    sender = push.sender(take=paced.transport.take, sleep=paced.sleep)
    push.say(2, 3)
    push.step(sender=sender)
    for _ in range(5):
        push.step(sender=sender)
        push.store.change("UPDATE outbox SET due_us = 0")
    push.clock.move(10.1)
    push.channel.script.append(Fault.UNCERTAIN_LOST)
    push.step(sender=sender)

    until = push.store.one("SELECT due_us FROM outbox WHERE state = 'queued'")
    assert until - to_us(push.clock.now()) == 2_000_000


def test_whose_lease_was_taken_over_counts_nothing_as_sent(push: Post):
    """It has left twice, and the second sender's word stands."""
    labels = {"channel": push.channel.slug, "kind": push.channel.kind, "outcome": "lease_lost"}
    before = counted("omniline_sent_total", **labels)

    async def taken_meanwhile(sending: Awaitable[str], seconds: float) -> str:
        push.store.change("UPDATE outbox SET fence = fence + 1")
        return await sending

    push.say(2)
    push.step(within=taken_meanwhile)

    assert push.states() == ["sending"]
    assert counted("omniline_sent_total", **labels) == before + 1


@pytest.mark.parametrize(("capabilities", "state"), [(PUSH, "unconfirmed"), (STREAM, "queued")])
def test_recovery_settles_what_a_dead_process_was_sending(capabilities: Any, state: str):
    """A lower fence: the same token again where that is safe, a human where it is not."""
    post_ = Post(capabilities)
    post_.say(2)
    post_.lives("dead")
    post_.store.write(lambda tx: lease(tx, post_.conversation, "dead", 1, 0.0))

    def idempotent(channel: ChannelId) -> bool:
        return bool(post_.channel.capabilities.idempotent)

    before = counted("omniline_recovered_sends_total", outcome=state)
    assert post_.store.write(lambda tx: recover(tx, 1, idempotent)) == 0
    post_.is_dead("dead")
    assert post_.store.write(lambda tx: recover(tx, 2, idempotent)) == 1
    assert post_.states() == [state]
    assert post_.store.write(lambda tx: recover(tx, 2, idempotent)) == 0
    assert counted("omniline_recovered_sends_total", outcome=state) == before + 1


@pytest.mark.parametrize("capabilities", [PUSH, STREAM])
def test_beside_other_processes_a_newer_one_takes_nothing_from_who_lives(capabilities: Any):
    """That somebody has started later proves nothing; the end of the lease does."""
    post_ = Post(capabilities, store=PostgresMemory)
    post_.lives("another")
    post_.say(2)
    post_.store.write(lambda tx: lease(tx, post_.conversation, "another", 1, 0.0))

    def recovered() -> int:
        return post_.store.write(lambda tx: recover(tx, 2, lambda _: post_.channel.capabilities.idempotent))

    assert recovered() == 0
    post_.clock.move(LEASE_SECONDS + GRACE_SECONDS)
    assert recovered() == 0
    post_.clock.move(0.001)
    assert recovered() == 1


@pytest.mark.parametrize(("capabilities", "at_once"), [(PUSH, 0), (STREAM, 1)])
def test_what_a_process_that_is_gone_was_sending_goes_out_at_once_where_that_is_safe(capabilities: Any, at_once: int):
    """Elsewhere its lease is waited for: it may be sending still."""
    post_ = Post(capabilities, store=PostgresMemory)
    post_.say(2)
    post_.store.write(lambda tx: lease(tx, post_.conversation, "gone", 1, 0.0))

    assert post_.store.write(lambda tx: recover(tx, 2, lambda _: post_.channel.capabilities.idempotent)) == at_once


def test_recovery_of_its_own_waits_for_the_lease_and_grace(push: Post):
    """A mark that could not be written (a full disk) is settled, but never while the send may still be under way."""
    push.lives("a")
    push.say(2)
    push.store.write(lambda tx: lease(tx, push.conversation, "a", 1, 0.0))
    assert LEASE_SECONDS > SEND_SECONDS  # a send begins only while the whole of it fits into the lease
    push.clock.move(LEASE_SECONDS + GRACE_SECONDS)
    assert push.store.write(lambda tx: recover(tx, 1, lambda _: False)) == 0
    push.clock.move(0.001)
    assert push.store.write(lambda tx: recover(tx, 1, lambda _: False)) == 1


@pytest.mark.parametrize(
    ("refused", "goes_on", "state"),
    [(1, 0.0, "sent"), (19, 0.0, "sent"), (20, 0.0, "sending"), (2, LEASE_SECONDS + 1, "sending")],
)
def test_what_became_of_a_send_is_kept_until_it_can_be_written(push: Post, refused: int, goes_on: float, state: str):
    """Through a failover, or while the disk is full: not for longer than the row is ours, and not for ever."""
    push.say(2)
    sender, store = push.sender(sleep=lambda _: asyncio.sleep(0)), Answered(push.store)
    sender._store = store
    store.refused_marks = [StoreBusy("the database does not answer"), StoreFull("the disk is full")] * 10
    del store.refused_marks[refused:]

    async def slowly(sending: Awaitable[str], _: float) -> str:
        push.clock.move(goes_on)
        return await sending

    sender._within = slowly
    with suppress(StoreError):
        push.step(sender=sender)

    assert (push.states(), push.arrived()) == ([state], ["2"])


@pytest.mark.parametrize("late", ["sent", "queued", "failed"])
@pytest.mark.parametrize("fence", [1, 2])
def test_a_step_that_lost_its_lease_changes_nothing(push: Post, late: str, fence: int):
    """Guarded by state, attempt and fence: a zombie's end comes to nothing, whether another process has the row now or its own."""
    push.say(2)
    zombie = push.store.write(lambda tx: lease(tx, push.conversation, "a", 1, 0.0))
    assert zombie is not None
    push.clock.move(LEASE_SECONDS + GRACE_SECONDS + 0.001)
    assert push.store.write(lambda tx: recover(tx, fence, lambda _: True)) == 1
    again = push.store.write(lambda tx: lease(tx, push.conversation, "b", fence, 0.0))
    assert again is not None
    before = push.store.rows("SELECT * FROM outbox")

    assert push.store.write(lambda tx: mark(tx, zombie, late)) is False
    assert push.store.rows("SELECT * FROM outbox") == before
    assert push.store.write(lambda tx: mark(tx, again, "sent", external_id="1")) is True


@pytest.mark.parametrize("late", ["sent", "queued", "failed", "unconfirmed"])
def test_what_was_put_before_a_human_is_not_taken_back_by_a_late_mark(push: Post, late: str):
    """Its own process recovered it, under the same fence and attempt: whatever the send came to, an operator decides now."""
    push.lives("a")
    push.say(2)
    zombie = push.store.write(lambda tx: lease(tx, push.conversation, "a", 1, 0.0))
    assert zombie is not None
    push.clock.move(LEASE_SECONDS + GRACE_SECONDS + 0.001)
    assert push.store.write(lambda tx: recover(tx, 1, lambda _: False)) == 1
    before = push.store.rows("SELECT * FROM outbox")

    assert push.store.write(lambda tx: mark(tx, zombie, late, external_id="1")) is False
    assert push.store.rows("SELECT * FROM outbox") == before
    assert (push.states(), push.fates()) == (["unconfirmed"], ["unconfirmed"])


@pytest.mark.parametrize("receipt", ["delivered", "read"])
def test_a_receipt_is_not_taken_back_by_a_late_mark(stream: Post, receipt: str):
    """The customer has it, or has read it, before our own mark was written: so it stays."""
    stream.say(2)
    leased = stream.store.write(lambda tx: lease(tx, stream.conversation, "a", 1, 0.0))
    stream.store.change("UPDATE messages SET fate = ? WHERE author = 'system'", receipt)
    assert leased is not None
    stream.store.write(lambda tx: mark(tx, leased, "sent"))

    assert (stream.states(), stream.fates()) == (["sent"], [receipt])


def test_who_must_wake_is_rung_for(stream: Post):
    """A message posted, and one that waited behind the one that was sent; where none waited, nobody wakes for nothing."""

    def rung() -> list[str]:
        keys = [key for bell, key in stream.store.rung if bell is Bell.OUTBOX]
        stream.store.rung.clear()
        return keys

    stream.store.rung.clear()
    stream.say(2)
    stream.say(3)
    assert rung() == [stream.conversation] * 2
    stream.step()
    assert rung() == [stream.conversation]
    stream.step()
    assert rung() == []


def test_what_goes_back_into_the_queue_is_rung_for(stream: Post):
    """However many wait behind it, it is the next."""
    stream.say(2)
    stream.store.rung.clear()
    leased = stream.store.write(lambda tx: lease(tx, stream.conversation, "a", 1, 0.0))
    assert leased is not None
    assert leased.more is False

    stream.store.write(lambda tx: mark(tx, leased, "queued"))
    assert (Bell.OUTBOX, stream.conversation) in stream.store.rung


# --- buttons

GOOD_OR_BAD = (Button("Хорошо", "good"), Button("Плохо", "bad"))


def test_buttons_go_out_with_their_message():
    """With that one, in their order; the next has none."""
    post_ = Post(PUSH_BUTTONS)
    post_.say(2, buttons=GOOD_OR_BAD)
    post_.say(3)
    while post_.step():
        pass

    assert [sent.buttons for sent in post_.channel.far.delivered] == [GOOD_OR_BAD, ()]


@pytest.mark.parametrize("capabilities", [PUSH, STREAM])
def test_a_channel_without_buttons_never_gets_them(capabilities: Any):
    """Whatever was posted: what a channel cannot show it is not given."""
    post_ = Post(capabilities)
    post_.say(2, buttons=GOOD_OR_BAD)
    post_.step()

    assert [(sent.text, sent.buttons) for sent in post_.channel.far.delivered] == [("2", ())]


def test_buttons_survive_a_restart():
    """A message that a dead process was sending goes out again as it was, buttons and all."""
    post_ = Post(STREAM_BUTTONS)
    post_.say(2, buttons=GOOD_OR_BAD)
    post_.store.write(lambda tx: lease(tx, post_.conversation, "dead", 1, 0.0))
    post_.is_dead("dead")
    post_.fence = 2
    post_.store.write(lambda tx: recover(tx, 2, lambda _: True))
    post_.step()

    assert [sent.buttons for sent in post_.channel.far.delivered] == [GOOD_OR_BAD]


# --- many at once

ENDS = st.sampled_from(["sent", "queued", "failed", "unconfirmed", "lost", "seen", "twice"])
LEASES = st.lists(st.tuples(st.integers(0, 3), ENDS), min_size=1, max_size=4)
"""Conversations, some of them asked for twice, and how each of their sends ends."""


def rows_of(post_: Post) -> dict[str, list[Any]]:
    """Return all that sending writes, in the order of places."""
    asked = {
        "outbox": "conversation_id, seq, state, attempt, owner, fence, due_us, lease_us, external_id, problem",
        "messages": "conversation_id, seq, fate, problem",
        "journal": "conversation_id, seq, kind, message_seq, body",
    }
    rows = post_.store.rows
    return {table: rows(f"SELECT {names} FROM {table} ORDER BY conversation_id, seq") for table, names in asked.items()}  # noqa: S608


def play_sends(script: list[tuple[float, list[int], list[tuple[int, str]]]], *, together: bool) -> list[Any]:
    """Queue, lease and end as *script* says, each time all in one call or one call for each; return what came of it."""
    house = Post()
    conversations = [house.conversation, *(house.begin(f"v{number}") for number in range(3))]
    seqs = [10] * len(conversations)
    told: list[Any] = []
    for seconds, said, leases in script:
        house.clock.move(seconds)
        for number in said:
            seqs[number] += 1
            house.say(seqs[number], conversation=conversations[number])
        asked = [(conversations[number], "test", 1, 0.0) for number, _ in leases]
        calls = [asked] if together else [[one] for one in asked]
        leased = [one for call in calls for one in house.store.write(partial(lease_each, asked=call))]
        ends = []
        for one, (_, end) in zip(leased, leases, strict=True):
            if one is None:
                continue
            if end == "seen":  # its customer has it before we know that it was sent
                house.store.change(
                    "UPDATE messages SET fate = 'read' WHERE conversation_id = ? AND seq = ?", one.conversation_id, one.seq
                )
            lost = replace(one, fence=one.fence + (end == "lost"))
            state = "sent" if end in ("lost", "seen", "twice") else end
            ends.append(End(lost, state, "x" if state == "sent" else None, "why" if state == "failed" else "", 3.0))
            if end == "twice":  # whoever wrote it down was not told that it had been
                ends.append(End(one, "queued"))
        house.store.rung.clear()
        endings = ([ends] if ends else []) if together else [[one] for one in ends]
        marked = [one for ending in endings for one in house.store.write(partial(mark_each, ends=ending))]
        told += [leased, marked, sorted(set(house.store.rung))]
    return [*told, rows_of(house)]


@given(st.lists(st.tuples(st.sampled_from([1.0, 5.0]), st.lists(st.integers(0, 3), max_size=4), LEASES), max_size=6))
@settings(max_examples=150, deadline=None)
def test_many_sends_at_once_are_what_each_alone_would_be(script: list[tuple[float, list[int], list[tuple[int, str]]]]):
    """Leased in one call and ended in one call: the same rows, the same answers, the same bells."""
    assert play_sends(script, together=True) == play_sends(script, together=False)


def test_many_sends_cost_as_many_statements_as_one():
    """Beside others a statement is a message there and back."""
    house = Post()
    conversations = [house.conversation, *(house.begin(f"v{number}") for number in range(30))]
    for conversation in conversations:
        house.say(11, conversation=conversation)
    spent = []
    for some in (conversations[:3], conversations[3:]):
        with house.store.executed() as executed:
            leased = house.store.write(partial(lease_each, asked=[(one, "test", 1, 0.0) for one in some]))
            house.store.write(partial(mark_each, ends=[End(one, "sent", "x") for one in leased if one]))
        spent.append(len(executed))

    assert house.states() == ["sent"] * 31
    assert spent[0] == spent[1]


def cost_of_sends(waiting: int) -> int:
    """Return what the database goes through to send a message of each of three conversations, in which *waiting* are queued."""
    house = Post()
    conversations = [house.conversation, house.begin("bob"), house.begin("ann")]
    for conversation in conversations:
        house.say(*range(11, 11 + waiting), conversation=conversation)
    with house.store.spent() as spent:
        leased = house.store.write(partial(lease_each, asked=[(one, "test", 1, 0.0) for one in conversations]))
        marked = house.store.write(partial(mark_each, ends=[End(one, "sent", "x") for one in leased if one]))
    assert marked == [True] * 3
    return spent[0]


def test_a_send_costs_the_same_however_many_wait_behind_it():
    """A provider that was away for hours leaves long queues: they are to be sent, not counted again at each message."""
    few, many = cost_of_sends(20), cost_of_sends(1_000)

    assert 0 < many < 2 * few


def test_who_asks_twice_in_one_call_is_given_one_row():
    """A conversation sends one message at a time, however often it was woken."""
    house = Post()
    house.say(11, 12)
    one = (house.conversation, "test", 1, 0.0)

    first, second = house.store.write(partial(lease_each, asked=[one, one]))

    assert (first is not None, second) == (True, None)
    assert house.states() == ["sending", "queued"]
