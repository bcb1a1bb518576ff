"""A whole house in one thread: coroutines driven by hand, a scheduler with a seed, the shipped functions on the shipped writer.

    visitors, operators          outside: they survive a crash, and ask again until they are answered
    worker, distributor, timers, senders, sweeper, presence, starter     the process: a crash drops them and all they remember
    database, far sides          what stays

Whoever writes waits twice: before the commit and between the commit and its answer. Whoever sends waits twice: before it leaves
and between the arrival and its answer. A crash may fall anywhere; so every one of those is a crash point. What waits to be
written may be committed together, as the store's writer does. The same seed is the same history.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy import bindparam, or_, select

from broker import outbound
from broker.domain import (
    ChannelId,
    ConversationId,
    Distribution,
    LineId,
    LineSettings,
    LoadKind,
    MessageId,
    OperatorId,
    PresenceState,
    Role,
    Weights,
    from_us,
)
from broker.errors import Rejected, StoreFull, Unavailable, Uncertain
from broker.events import Close, Decline, Event, Note, Reply, Take
from broker.inbound import accept, accept_each, bury, enter, prepare, undecided
from broker.outbound import GRACE_SECONDS, LEASE_SECONDS, SEND_SECONDS, Sender
from broker.ports import Bell, Outbound, Raw, Tx
from broker.store.calls import WHOLE, calls_of
from broker.store.sql import sql, upsert
from broker.store.sqlite import SqliteTx, Writer
from broker.store.tables import counters, offers, outbox, sessions
from broker.timers import earliest, fire_due
from routing import distributor, worker
from routing.applying import TIMER_OWNER, BudgetExceeded, timer_fired
from routing.worker import Undecidable
from tests.support.audit import Seen, audit
from tests.support.channels import PUSH, STREAM, AdapterBroken, FakeChannel, Fault, saw, told, wrote
from tests.support.clock import CountedIds, MovedClock
from tests.support.house import add_channel, add_line, add_operator, load_house, set_presence
from tests.support.store import in_memory

T = TypeVar("T")
Work = Callable[[Tx], Any]

STEPS_MAX = 20_000
"""A schedule that needs more has something that never ends."""


class Cut(Exception):
    """The connection broke: the server died before it answered."""


class Stuck(AssertionError):
    """The faults have ended and the house does not come to rest."""


# --- what a coroutine may wait for


class _Ask:
    """The root: what the scheduler is given when a coroutine waits."""

    __slots__ = ()

    def __await__(self) -> Generator[_Ask, Any, Any]:
        return (yield self)


class Pause(_Ask):
    """Go on at any later moment at which *ready* says so."""

    __slots__ = ("ready",)

    def __init__(self, ready: Callable[[], bool] | None = None) -> None:
        self.ready = ready


class Transaction(_Ask):
    """Have *work* done by the store."""

    __slots__ = ("item", "reads", "work")

    def __init__(self, work: Callable[..., Any], item: Any = WHOLE, *, reads: bool = False) -> None:
        self.work = work
        self.item = item
        self.reads = reads


class Sending(_Ask):
    """A send under way; later than *deadline* (monotonic) it is given up."""

    __slots__ = ("deadline", "token")

    def __init__(self, deadline: float, token: str) -> None:
        self.deadline = deadline
        self.token = token


@dataclass(eq=False)
class Actor:
    """A coroutine and what it waits for."""

    name: str
    coro: Coroutine[_Ask, Any, Any]
    outside: bool
    waits: _Ask
    answered: bool = False
    value: Any = None
    error: BaseException | None = None


class SimulatedStore:
    """A `Store` whose answers come when the scheduler says so."""

    def write(self, work: Callable[[Tx], T], /) -> Awaitable[T]:
        """See `Store.write`."""
        return Transaction(work)

    def write_each(self, work: Callable[[Tx, Sequence[Any]], Sequence[T]], item: Any, /) -> Awaitable[T]:
        """See `Store.write_each`."""
        return Transaction(work, item)

    def read(self, work: Callable[[Tx], T], /) -> Awaitable[T]:
        """See `Store.read`."""
        return Transaction(work, reads=True)


class Believed:
    """A channel whose capabilities are believed to be what they are not."""

    def __init__(self, real: FakeChannel) -> None:
        self.kind = real.kind
        self.slug = real.slug
        self.capabilities = STREAM
        self.send = real.send


class SimulatedChannel(FakeChannel):
    """A fake channel whose sends take their time and fail as the world's dice say."""

    def __init__(self, world: World, id_: ChannelId, line_id: LineId, *, idempotent: bool) -> None:
        super().__init__(id_, line_id, STREAM if idempotent else PUSH)
        self._world = world

    async def send(self, outbound: Outbound) -> str:
        """See `Channel.send`."""
        deadline = self._world.clock.monotonic() + SEND_SECONDS
        await Sending(deadline, outbound.token)
        fault = self._world.fault()
        if fault is Fault.REJECTED:
            raise Rejected("blocked")
        if fault is Fault.UNAVAILABLE:
            raise Unavailable("resting", retry_after=self._world.dice.choice((None, 1.0, 30.0)))
        if fault in (Fault.UNCERTAIN_LOST, Fault.BROKEN_BEFORE):
            self._world.seen.doubtful.add(outbound.token)
            raise Uncertain("no answer") if fault is Fault.UNCERTAIN_LOST else AdapterBroken
        external_id = self.far.take(outbound)
        await Sending(deadline, outbound.token)
        if fault in (Fault.UNCERTAIN_DELIVERED, Fault.BROKEN_AFTER):
            self._world.seen.doubtful.add(outbound.token)
            raise Uncertain("no answer") if fault is Fault.UNCERTAIN_DELIVERED else AdapterBroken
        return external_id


# --- what a mutant may replace


@dataclass
class Parts:
    """The parts of the process; a mutant brings another one in place of one of these."""

    accept: Callable[..., Any] = accept
    sender: Callable[..., Any] = Sender
    recover: Callable[..., int] = outbound.recover
    accept_each: Callable[..., Any] | None = accept_each
    """None: what *accept* replaces is all there is."""
    decide: Callable[..., Any] = worker.step_each
    distribute: Callable[..., int] = distributor.step
    tx: Callable[[Tx], Any] = lambda tx: tx
    schema: str = ""
    acknowledges_first: bool = False
    idempotent: Callable[[bool], bool] = lambda really: really
    """What the house believes of a channel."""
    sweeps: bool = True


@dataclass
class Odds:
    """How often things go wrong."""

    crash: tuple[float, ...] = (0.0, 1 / 400, 1 / 150, 1 / 60)
    """One of these is a schedule's, for each step."""
    crashes_max: int = 4
    bell_lost: float = 0.1
    full: float = 0.01
    send_fault: float = 0.15
    resend: float = 0.25


_FENCE = sql(select(counters.c.value).where(counters.c.name == bindparam("name")))
_RAISE = upsert(counters, "name value", "name", "value")

_OPEN = sql(
    select(outbox.c.conversation_id, outbox.c.state, outbox.c.due_us, outbox.c.lease_us)
    .where(or_(outbox.c.state == "queued", outbox.c.state == "sending"))
    .order_by(outbox.c.conversation_id, outbox.c.seq)
)
_SCREEN = sql(
    select(sessions.c.conversation_id, sessions.c.status, sessions.c.operator_id, offers.c.operator_id)
    .outerjoin(offers, (offers.c.session_id == sessions.c.id) & (offers.c.state == "open"))
    .order_by(sessions.c.id, offers.c.id)
)

_FAULTS: list[Fault] = list(Fault)
_JUMPS = (0.2, 1.0, 1.0, 5.0, 15.0, 61.0, 200.0)


@dataclass
class _Memory:
    """What the process knows and a crash takes away."""

    conversations: dict[ConversationId, None] = field(default_factory=dict)
    pools: dict[LineId, None] = field(default_factory=dict)
    outbox: dict[ConversationId, None] = field(default_factory=dict)
    busy: set[ConversationId] = field(default_factory=set)
    timers: bool = False


class World:
    """One schedule: `run` plays it to its end, `verdict` says what was wrong."""

    def __init__(self, seed: int, parts: Parts | None = None, odds: Odds | None = None) -> None:
        self.dice = random.Random(seed)
        self.parts = parts or Parts()
        self.odds = odds or Odds()
        self.clock = MovedClock()
        self.ids = CountedIds()
        self.connection = in_memory()
        self.connection.executescript(self.parts.schema)
        self._writer = Writer(self.connection, self.clock, self.ids)
        self.store = SimulatedStore()
        self.seen = Seen()
        self.faults = True
        self.crashes = 0
        self.commits = 0
        self.steps = 0
        self.fence = 0
        self.memory = _Memory()
        self.actors: list[Actor] = []
        self._swapped: dict[Any, Callable[..., Any]] = {}
        self._externals = 0
        self._clients_left = 0
        self._swept_clean = False
        self._crash_odds = self.dice.choice(self.odds.crash)
        self._build()

    # --- the house

    def _build(self) -> None:
        dice = self.dice
        self.channels: dict[ChannelId, SimulatedChannel] = {}
        self.people: dict[OperatorId, list[LineId]] = {}

        def build(tx: Tx) -> None:
            lines = [
                add_line(
                    tx,
                    f"line{number}",
                    LineSettings(
                        distribution=dice.choice(list(Distribution)),
                        offer_seconds=dice.choice((5, 30, 60)),
                        rounds=dice.choice((1, 2, 3)),
                        priority=dice.choice((0, 0, 5)),
                        weights=Weights(chat=dice.choice((25, 25, 50, 100))),
                        no_answer_seconds=dice.choice((0, 30)),
                        reopen_seconds=dice.choice((0, 30, 600)),
                        close_says=dice.random() < 0.5,
                    ),
                )
                for number in range(dice.choice((1, 2, 2)))
            ]
            for number, idempotent in enumerate((True, False)):
                line = lines[number % len(lines)]
                id_ = add_channel(tx, line, f"channel{number}")
                self.channels[id_] = SimulatedChannel(self, id_, line, idempotent=idempotent)
            for number, login in enumerate(("ann", "bob", "cat")[: dice.choice((2, 3))]):
                seated = [line for line in lines if dice.random() < 0.8] or lines[:1]
                role = Role.SUPERVISOR if number == 0 and dice.random() < 0.5 else Role.OPERATOR
                person = add_operator(tx, login, seated, role=role, budget=dice.choice((50, 100)), position=number)
                self.people[person] = seated

        self._now(build)
        self.house = self._now(lambda tx: load_house(tx, dict.fromkeys(self.channels, LoadKind.CHAT)))
        self.seen.delivered = {id_: channel.far.delivered for id_, channel in self.channels.items()}
        self.seen.idempotent = {id_: channel.far.idempotent for id_, channel in self.channels.items()}

    def _now(self, work: Callable[[Tx], T]) -> T:
        answers, _ = self._writer.run([work])
        if answers[0].error is not None:
            raise answers[0].error
        value: T = answers[0].value
        return value

    def fault(self) -> Fault | None:
        """Return what becomes of a send."""
        if self.faults and self.dice.random() < self.odds.send_fault:
            return self.dice.choice(_FAULTS)
        return None

    def doubt_open_sends(self) -> None:
        """Note that nobody can know the outcome of what is being sent now."""
        self.seen.doubtful.update(
            row[0] for row in self.connection.execute("SELECT id FROM outbox WHERE state = 'sending'").fetchall()
        )

    # --- playing

    def run(self) -> World:
        """Play until everybody is done, then stop the faults and let the house come to rest."""
        self._spawn("starter", self._starter())
        self._spawn("time", self._time(), outside=True)
        keys = [f"v{number}" for number in range(self.dice.choice((2, 3, 4)))]
        self._clients_left = len(keys) + len(self.people)
        for key in keys:
            self._spawn(key, self._visitor(key), outside=True)
        for person in self.people:
            self._spawn(person, self._operator(person), outside=True)
        try:
            while self._clients_left:
                self._step()
            self.faults = False
            self._rest()
        finally:
            for actor in self.actors:
                actor.coro.close()
        return self

    def verdict(self) -> list[str]:
        """Return what the auditor found."""
        return audit(lambda text: list(self.connection.execute(text).fetchall()), self.seen) + list(self._side_by_side())

    def _spawn(self, name: str, coro: Coroutine[_Ask, Any, Any], *, outside: bool = False) -> None:
        actor = Actor(name, coro, outside, Pause())
        self.actors.append(actor)

    def _step(self) -> None:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stuck(f"still moving after {STEPS_MAX} steps: {[actor.name for actor in self._ready()]}")
        if self.faults and self.crashes < self.odds.crashes_max and self.dice.random() < self._crash_odds:
            self._crash()
            return
        actor = self.dice.choice(self._ready())
        waits = actor.waits
        if isinstance(waits, Transaction) and not actor.answered:
            self._commit(actor, waits)
            return
        self._resume(actor)

    def _ready(self) -> list[Actor]:
        return [
            actor
            for actor in self.actors
            if actor.answered or not isinstance(actor.waits, Pause) or actor.waits.ready is None or actor.waits.ready()
        ]

    def _resume(self, actor: Actor) -> None:
        value, error = actor.value, actor.error
        waits = actor.waits
        if isinstance(waits, Sending) and self.clock.monotonic() > waits.deadline:
            error = TimeoutError()
            self.seen.doubtful.add(waits.token)
        actor.answered, actor.value, actor.error = False, None, None
        try:
            actor.waits = actor.coro.throw(error) if error is not None else actor.coro.send(value)
        except StopIteration:
            self.actors.remove(actor)

    def _commit(self, actor: Actor, asked: Transaction) -> None:
        if asked.reads:
            self._settle(actor, *self._look(asked.work))
            return
        if self.faults and self.dice.random() < self.odds.full:
            self._settle(actor, None, StoreFull("no space"))
            if actor.name.startswith("sender"):
                self.doubt_open_sends()
            return
        batch = [actor]
        batch += [
            other
            for other in self.actors
            if other is not actor
            and isinstance(other.waits, Transaction)
            and not other.answered
            and not other.waits.reads
            and self.dice.random() < 0.5
        ]
        works, waiting = calls_of([(self._swapping(one.waits.work), one.waits.item, one) for one in batch])  # type: ignore[attr-defined]
        answers, after = self._writer.run(works)
        self.commits += 1
        for one, answer in zip(waiting, answers, strict=True):
            self._settle(one, answer.value, answer.error)
        after.carry_out(self._ring)

    def _swapping(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """Return *work* on the mutant's transactions; the same for the same, or no two would share a call."""
        if work not in self._swapped:
            self._swapped[work] = lambda tx, *items: work(self.parts.tx(tx), *items)
        return self._swapped[work]

    def _look(self, work: Work) -> tuple[Any, BaseException | None]:
        cursor = self.connection.cursor()
        cursor.execute("PRAGMA query_only=1")
        cursor.execute("BEGIN")
        try:
            return work(SqliteTx(cursor, self.clock.now(), self.ids)), None
        except Exception as error:
            return None, error
        finally:
            cursor.execute("ROLLBACK")
            cursor.execute("PRAGMA query_only=0")

    @staticmethod
    def _settle(actor: Actor, value: Any, error: BaseException | None) -> None:
        actor.answered, actor.value, actor.error = True, value, error

    def _ring(self, bells: Iterable[tuple[Bell, str]]) -> None:
        for bell, key in dict.fromkeys(bells):
            if self.faults and self.dice.random() < self.odds.bell_lost:
                continue
            match bell:
                case Bell.CONVERSATION:
                    self.memory.conversations[ConversationId(key)] = None
                case Bell.POOL:
                    self.memory.pools[LineId(key)] = None
                case Bell.OUTBOX:
                    self.memory.outbox[ConversationId(key)] = None
                case Bell.TIMERS:
                    self.memory.timers = True
                case _:
                    pass

    def _crash(self) -> None:
        """Drop the process; the database, the far sides and the people outside remain."""
        self.crashes += 1
        self.doubt_open_sends()
        for actor in [actor for actor in self.actors if not actor.outside]:
            self.actors.remove(actor)
            actor.coro.close()
        for actor in self.actors:
            if isinstance(actor.waits, Transaction):
                self._settle(actor, None, Cut())
        self.memory = _Memory()
        self._writer = Writer(self.connection, self.clock, self.ids)
        self._spawn("starter", self._starter())

    # --- coming to rest

    def _rest(self) -> None:
        """Play on without faults, moving time to each timer, until nothing is left to do."""
        while True:
            for _ in range(2):
                self._settle_down()
                self.clock.move(0.001)
            due = self._now(earliest)
            moments = [due] if due else []
            heads: dict[str, Any] = {}
            for conversation, state, due_us, lease_us in self._now(lambda tx: tx.all(_OPEN)):
                expires = from_us(lease_us or 0) + timedelta(seconds=SEND_SECONDS + GRACE_SECONDS + 1)
                heads.setdefault(conversation, from_us(due_us) if state == "queued" else expires)
            moments += heads.values()
            if not moments:
                return
            self.steps += 10  # time that passes and settles nothing must end too
            if self.steps > STEPS_MAX:
                raise Stuck(f"timers or rows are due and nobody does them: {moments[:3]}")
            ahead = (min(moments) - self.clock.now()).total_seconds()
            self.clock.move(max(ahead, 0.001))

    def _settle_down(self) -> None:
        """Step until everybody idles after a sweep that found nothing."""
        self._swept_clean = False
        while True:
            busy = [actor for actor in self._ready() if actor.name not in ("time", "presence")]
            if not busy or (self._swept_clean and all(actor.name == "sweeper" and self._idles(actor) for actor in busy)):
                return
            self._step_one(busy)

    @staticmethod
    def _idles(actor: Actor) -> bool:
        return isinstance(actor.waits, Pause) and not actor.answered

    def _step_one(self, busy: list[Actor]) -> None:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stuck(f"still moving after {STEPS_MAX} steps: {[actor.name for actor in busy]}")
        actor = self.dice.choice(busy)
        if isinstance(actor.waits, Transaction) and not actor.answered:
            self._commit(actor, actor.waits)
        else:
            self._resume(actor)

    # --- the process

    async def _starter(self) -> None:
        def raise_fence(tx: Tx) -> int:
            row = tx.one(_FENCE, name="fence")
            fence = (row[0] if row else 0) + 1
            tx.run(_RAISE, name="fence", value=fence)
            return fence

        fence = await self._insist(raise_fence)
        self.fence = fence
        while await self._insist(lambda tx: self.parts.recover(tx, fence, self._believed)):
            pass
        self._spawn("worker-1", self._worker())
        self._spawn("worker-2", self._worker())
        self._spawn("distributor", self._distributor())
        self._spawn("timers", self._timers())
        for number in (1, 2):
            self._spawn(f"sender-{number}", self._sender(f"sender-{number}", fence))
        if self.parts.sweeps:
            self._spawn("sweeper", self._sweeper(fence))
        self._spawn("presence", self._presence())

    async def _insist(self, work: Callable[[Tx], T]) -> T:
        while True:
            try:
                return await self.store.write(work)
            except StoreFull:
                await Pause()

    def _believed(self, channel: ChannelId) -> bool:
        return self.parts.idempotent(self.channels[channel].far.idempotent)

    async def _worker(self) -> None:
        memory = self.memory

        def free() -> ConversationId | None:
            return next((c for c in memory.conversations if c not in memory.busy), None)

        while True:
            await Pause(lambda: free() is not None)
            conversation = free()
            assert conversation is not None
            del memory.conversations[conversation]
            memory.busy.add(conversation)
            try:
                await self.store.write_each(self.parts.decide, (conversation, self.house))
            except StoreFull:
                pass  # the sweep finds it
            except Undecidable as error:
                await self._insist(lambda tx, e=error, c=conversation: bury(tx, c, e.seq, e.why))  # type: ignore[misc]
            finally:
                memory.busy.discard(conversation)

    async def _distributor(self) -> None:
        memory = self.memory
        while True:
            await Pause(lambda: bool(memory.pools))
            line = next(iter(memory.pools))
            del memory.pools[line]
            with suppress(StoreFull, BudgetExceeded):
                await self.store.write(lambda tx, ln=line: self.parts.distribute(tx, ln, self.house))  # type: ignore[misc]

    async def _timers(self) -> None:
        memory = self.memory

        while True:
            await Pause(lambda: memory.timers)
            memory.timers = False
            with suppress(StoreFull):
                await self.store.write(lambda tx: fire_due(tx, {TIMER_OWNER: timer_fired}))

    async def _sender(self, name: str, fence: int) -> None:
        memory = self.memory
        sender = self.parts.sender(
            self.store,
            self.clock,
            self._believed_channel,
            lambda channel, operator: "Ann",
            owner=name,
            fence=fence,
            within=_unbounded,
            sleep=_a_while,
        )
        while True:
            await Pause(lambda: bool(memory.outbox))
            conversation = self.dice.choice(list(memory.outbox))
            del memory.outbox[conversation]
            with suppress(StoreFull):
                await sender.step(conversation)

    def _believed_channel(self, channel: ChannelId) -> Any:
        real = self.channels[channel]
        if self.parts.idempotent(real.far.idempotent) == real.far.idempotent:
            return real
        return Believed(real)

    async def _sweeper(self, fence: int) -> None:
        memory = self.memory
        while True:
            await Pause()
            undone = await self.store.read(undecided)
            pools = await self.store.read(distributor.marked)
            due = await self.store.read(outbound.due)
            soonest = await self.store.read(earliest)
            recovered = 0
            with suppress(StoreFull):
                recovered = await self.store.write(lambda tx: self.parts.recover(tx, fence, self._believed))
            memory.conversations.update(dict.fromkeys(undone))
            memory.pools.update(dict.fromkeys(pools))
            memory.outbox.update(dict.fromkeys(due))
            memory.timers = memory.timers or (soonest is not None and soonest <= self.clock.now())
            self._swept_clean = not (undone or pools or recovered or memory.timers or due)

    async def _presence(self) -> None:
        """People go away and come back, twice at most a life of the process."""
        for _ in range(2):
            await Pause(lambda: self.faults)
            if self.dice.random() < 0.1:
                person = self.dice.choice(list(self.people))
                state = self.dice.choice((PresenceState.AWAY, PresenceState.ONLINE, PresenceState.OFFLINE))
                with suppress(StoreFull):
                    await self.store.write(lambda tx, p=person, s=state: set_presence(tx, p, s, self.people[p]))  # type: ignore[misc]

    # --- the world outside

    async def _time(self) -> None:
        while True:
            await Pause(lambda: self.faults)
            if self.dice.random() < 0.2:
                seconds = self.dice.choice(_JUMPS)
                if seconds > LEASE_SECONDS:
                    self.doubt_open_sends()  # to the database a process that slept is one that died
                self.clock.move(seconds)
                self.memory.timers = True

    async def _visitor(self, key: str) -> None:
        """Say numbered messages, one or two at a time, each until it is acknowledged; sometimes once more after that."""
        dice = self.dice
        channel_id = dice.choice(list(self.channels))
        said: list[str] = []
        self.seen.said_in_order[channel_id, key] = said
        for number in range(dice.choice((2, 3, 4))):
            batch: list[Raw] = []
            for part in range(dice.choice((1, 1, 2))):
                self._externals += 1
                text = f"{key}:{number}.{part}"
                more = {"email": f"{dice.choice(('a', 'b', key))}@example.com"} if dice.random() < 0.15 else {}
                said.append(text)
                batch.append(wrote(f"{self._externals:06d}", key, text, **more))
            self._externals += 1
            match dice.random():
                case chance if chance < 0.1:
                    batch.append(Raw(f"{self._externals:06d}", b"{broken"))
                case chance if chance < 0.2:
                    batch.append(
                        told(f"{self._externals:06d}", key, name=f"Name {number}", email=f"{dice.choice('ab')}@example.com")
                    )
                case chance if chance < 0.35:
                    upto = max((o.seq for o in self.channels[channel_id].far.delivered if o.key == key), default=0)
                    if upto:
                        batch.append(saw(f"{self._externals:06d}", key, upto, read=dice.random() < 0.5))
            for _ in range(dice.randrange(12)):
                await Pause()
            await self._deliver(channel_id, batch)
            while dice.random() < self.odds.resend:
                await self._deliver(channel_id, batch)
        self._clients_left -= 1

    async def _deliver(self, channel_id: ChannelId, batch: list[Raw]) -> None:
        channel = self.channels[channel_id]
        prepared = prepare(channel, batch, self.house.directory.lines[channel.line_id].settings)
        shared = self.parts.accept_each is not None and self.dice.random() < 0.7
        while True:
            if self.parts.acknowledges_first:
                self._acknowledge(channel_id, batch)
            try:
                if shared:
                    await self.store.write_each(self.parts.accept_each, (channel_id, prepared))  # type: ignore[arg-type]
                else:
                    await self.store.write(lambda tx: self.parts.accept(tx, channel_id, prepared, batch[-1].external_id))
            except (Cut, StoreFull):
                if self.parts.acknowledges_first:
                    return  # it was told that all is well
                await Pause()
            else:
                self._acknowledge(channel_id, batch)
                return

    def _acknowledge(self, channel_id: ChannelId, batch: list[Raw]) -> None:
        for raw in batch:
            with suppress(Exception):
                what = self.channels[channel_id].parse(raw).what
                self.seen.acknowledged[channel_id, raw.external_id] = getattr(what, "text", "")

    async def _operator(self, person: OperatorId) -> None:
        """Look at the screen, do something with what is there; each deed until it is answered, some twice."""
        dice = self.dice
        for number in range(dice.choice((4, 6, 8))):
            for _ in range(dice.randrange(15)):
                await Pause()
            try:
                deed = self._choose(person, await self.store.read(lambda tx: tx.all(_SCREEN)), f"{person[-2:]}:{number}")
            except Cut:
                continue
            if deed is None:
                continue
            conversation, command, text, make = deed
            await self._command(conversation, command, text, make)
            if dice.random() < self.odds.resend:
                await self._command(conversation, command, text, make)
        self._clients_left -= 1

    def _choose(
        self, person: OperatorId, screen: list[Any], command: str
    ) -> tuple[ConversationId, str, str, Callable[[Any, MessageId], Event]] | None:
        dice = self.dice
        if not screen:
            return None
        offered = [row for row in screen if row[3] == person]
        mine = [row for row in screen if row[2] == person and row[1] == "active"]
        if offered and dice.random() < 0.8:
            rows, kinds = offered, [Take, Take, Take, Decline, Reply]
        elif mine and dice.random() < 0.8:
            rows, kinds = mine, [Reply, Reply, Reply, Note, Close, Close]
        else:
            rows, kinds = screen, [Take, Reply, Note, Close, Decline]
        conversation = ConversationId(dice.choice(rows)[0])
        kind: Any = dice.choice(kinds)
        text = f"words {command}" if kind in (Reply, Note) else ""

        def make(at: Any, message: MessageId) -> Event:
            more = {"message_id": message} if text else {}
            event: Event = kind(at=at, operator_id=person, command=command, **more)
            return event

        return conversation, command, text, make

    async def _command(
        self, conversation: ConversationId, command: str, text: str, make: Callable[[Any, MessageId], Event]
    ) -> None:
        def work(tx: Tx) -> None:
            message = MessageId(tx.new_id())
            enter(tx, "console", command, conversation, lambda at: make(at, message), text.encode())

        while True:
            try:
                await self.store.write(work)
            except (Cut, StoreFull):
                await Pause()
            else:
                self.seen.answered[command] = text
                return

    # --- what must not stand side by side at the end

    def _side_by_side(self) -> Iterable[str]:
        waiting = self.connection.execute("SELECT id, line_id, weight, state FROM sessions WHERE status = 'queued'").fetchall()
        fit = {
            (line, operator): budget - reserved
            for line, operator, budget, reserved in self.connection.execute(
                "SELECT s.line_id, s.operator_id, b.budget, b.reserved FROM seats s JOIN operators o ON o.id = s.operator_id "
                "JOIN presence p ON p.operator_id = s.operator_id JOIN budgets b ON b.operator_id = s.operator_id "
                "WHERE o.active = 1 AND p.state = 'online'"
            ).fetchall()
        }
        for session, line, weight, state in waiting:
            for (of, operator), left in fit.items():
                if of == line and left >= weight and '"rounds_over":true' not in state:
                    yield f"STUCK session {session} waits and {operator} could take it"


async def _a_while(_: float) -> None:
    """Let others go on."""
    await Pause()


def _unbounded(sending: Awaitable[str], seconds: float) -> Awaitable[str]:
    """The scheduler itself gives up a send that takes too long."""
    return sending
