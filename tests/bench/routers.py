"""What a second router is worth: how fast one decides what has come in, and how fast two do, over lines with operators of their own.

    web,sender,crm ── the operators' consoles, online, who take what they are offered
    router ×1, ×2  ── idle, until a backlog is committed and its bells are rung, at one moment

Most of the backlog are words in sessions that are being served; one message in SESSION_MESSAGES opens a session, which is distributed,
offered and taken. It goes in as visitors' messages do (`broker.inbound`), in one transaction, written by the process that measures; so no
visitor's socket is open, and nothing of what is measured waits for more to come in.

The rate is that of the middle: from the moment when a tenth is decided to that when a tenth is left. How routers start, are woken and run
dry is not in it.
"""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Mapping
from itertools import pairwise

import psycopg
import uvloop

from broker.clock import SystemIds
from broker.inbound import accept_each, prepare
from broker.inbound.accept import Prepared
from broker.ports import Raw, Tx
from broker.store import directory
from broker.store.postgres import PostgresStore
from broker.transport.redis import RedisTransport
from channels.widget.adapter import Envelope, WidgetChannel, encode
from channels.widget.frames import Say
from tests.bench.cluster import ClusterSubject
from tests.bench.filling import fill
from tests.bench.measure import (
    HOST,
    BenchError,
    Server,
    cpu_seconds_each,
    median,
    progress,
    stolen_seconds,
)
from tests.bench.pipeline import SESSION_MESSAGES, WORDS
from tests.bench.wsclient import WebSocketError

LINES, OPERATORS = 8, 16
MESSAGES = 8
"""Of each conversation in the backlog."""
CONVERSATIONS = 4_000
"""In the backlog; each is a ring, and a transport passes on no more than that at once."""
ROUNDS = 7
SETTLE_SECONDS = 2.0
SAMPLE_SECONDS = 0.1
READY_SECONDS = 10.0
DECIDING_SECONDS = 120.0
DECIDED = b"omniline_decided_total "

Delivery = tuple[str, list[Prepared]]


def two_routers_ratio(rounds: int = ROUNDS, conversations: int = CONVERSATIONS) -> float:
    """Return the rate of two routers over that of one, by turns, medians of *rounds*."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rates = runner.run(rates_of_rounds(rounds, conversations))
    return median(rates[2]) / median(rates[1])


class RouterSubject(ClusterSubject):
    """A house with *served* conversations that operators are in, and no router yet."""

    name = "routers"
    operators, lines = OPERATORS, LINES
    roles = ("web,sender,crm",)

    def __init__(self, served: int) -> None:
        super().__init__()
        self.served = served

    async def start(self) -> None:
        await super().start()
        await asyncio.to_thread(fill, self.cluster.url, self.served, held=self.served, earlier=False)


async def rates_of_rounds(rounds: int, conversations: int) -> dict[int, list[float]]:
    """Return the messages decided in a second, by the number of routers."""
    opened = conversations * MESSAGES // SESSION_MESSAGES
    subject = RouterSubject(conversations - opened)
    rates: dict[int, list[float]] = {1: [], 2: []}
    try:
        await subject.start()
        backlog = Backlog(subject, opened)
        await subject.connect_operators(OPERATORS)
        for number in range(1, rounds + 1):
            for count, found in rates.items():
                stolen, begun = stolen_seconds(), time.monotonic()
                found.append(await backlog.rate(count))
                share = (stolen_seconds() - stolen) / (time.monotonic() - begun)
                progress(
                    f"   round {number}, {count} router{'s' * (count > 1)}: {found[-1]:,.0f} decided/s; {backlog.used}; "
                    f"the host took {share:.0%} of a core"
                )
    except (OSError, WebSocketError) as error:
        raise BenchError(f"routers: a client could not connect: {error!r}") from error
    finally:
        await subject.stop()
    return rates


class Backlog:
    """Writes as many messages as there are, again and again, and watches how routers decide them."""

    def __init__(self, subject: RouterSubject, opened: int, settle_seconds: float = SETTLE_SECONDS) -> None:
        self._settle_seconds = settle_seconds
        self._cluster = subject.cluster
        self._served = subject.served
        self._opened = opened
        self._round = 0
        self._failure = ""
        self.used = ""
        """What CPU time the latest backlog took, in words."""
        subject.on_operator_message = lambda text: None  # what routers decide is counted where they decide it
        subject.on_failure = self._fail

    async def rate(self, routers: int) -> float:
        """Let *routers* decide one backlog; return the messages a second. Raises BenchError."""
        first = self._served + self._round * self._opened
        self._round += 1
        await asyncio.to_thread(fill, self._cluster.url, self._opened, first=first, sessions=False)
        names = [f"router {number}" for number in range(1, routers + 1)]
        servers = [await asyncio.to_thread(self._cluster.add, "router", name) for name in names]
        try:
            # A router that has just started looks at everything once.
            await asyncio.sleep(self._settle_seconds)
            numbers = [*range(self._served), *range(first, first + self._opened)]
            watch = asyncio.create_task(asyncio.to_thread(middle_rate, servers, len(numbers) * MESSAGES))
            before = self._cpu()
            await self._release(numbers)
            rate = await watch
            await self._until_quiet()
            self.used = told(before, self._cpu(), len(numbers) * MESSAGES)
        finally:
            for name in names:
                await asyncio.to_thread(self._cluster.end, name)
        if self._failure:
            raise BenchError(f"routers: {self._failure}")
        return rate

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why

    def _cpu(self) -> dict[str, float]:
        return cpu_seconds_each({**self._cluster.pids, **self._cluster.databases.pids})

    async def _release(self, numbers: list[int]) -> None:
        """Commit the backlog of the conversations *numbers*, and ring for each."""
        transport = RedisTransport(self._cluster.redis_url, process=f"bench-{self._round}")
        running = asyncio.create_task(transport.run())
        store = PostgresStore(self._cluster.url, ids=SystemIds(), ring=transport.ring)
        try:
            async with asyncio.timeout(READY_SECONDS):
                while transport.lost is not None:  # noqa: ASYNC110 -- nothing tells when it is found
                    await asyncio.sleep(0.01)
            deliveries = await store.read(lambda tx: written(tx, numbers, self._round))
            await store.write(lambda tx: accept_each(tx, deliveries))  # type: ignore[arg-type]
            await transport.take("bench", 1_000.0, 1_000.0)  # what was rung before is passed on before
        finally:
            await store.close()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _until_quiet(self) -> None:
        """Return when nothing is undecided, waits for an offer or is being offered."""
        with psycopg.connect(self._cluster.url, autocommit=True) as connection:
            for _ in range(round(DECIDING_SECONDS / SAMPLE_SECONDS)):
                row = connection.execute(
                    "SELECT (SELECT count(*) FROM conversations WHERE input_seq > worked_seq) "
                    "+ (SELECT count(*) FROM pool_marks) + (SELECT count(*) FROM sessions WHERE status IN ('queued', 'offered'))"
                ).fetchone()
                if row == (0,):
                    return
                await asyncio.sleep(SAMPLE_SECONDS)
        raise BenchError(f"routers: after {DECIDING_SECONDS:g} s something was undecided, or had not been taken: {row}")


def written(tx: Tx, numbers: list[int], round_: int) -> list[Delivery]:
    """Return what the visitors of the conversations *numbers* write, MESSAGES each, ready to be stored."""
    known = directory.load(tx)
    rows = sorted(known.channels.values(), key=lambda row: row.slug)
    channels = [WidgetChannel(row, lambda *_: None) for row in rows]
    found: list[Delivery] = []
    for number in numbers:
        channel = channels[number % len(channels)]
        visitor = f"visitor-{number:012d}"
        frames = [Say(f"{round_:04d}-{message:06d}", f"{number:05d} {WORDS} {message:06d}") for message in range(MESSAGES)]
        raws = [Raw(f"{visitor}:{frame.id}", encode(Envelope(visitor, frame, lang="en"))) for frame in frames]
        prepared = prepare(channel, raws, known.lines[channel.line_id].settings)
        if problem := next((one.problem for one in prepared if one.problem), ""):
            raise BenchError(f"routers: the product cannot read what visitors write: {problem}")
        found.append((channel.id, prepared))
    return found


def middle_rate(routers: list[Server], count: int) -> float:
    """Return how many inputs the *routers* decide in a second, while they go from a tenth of *count* to nine tenths."""
    begun = sum(map(decided, routers))
    samples = [(0.0, 0)]
    started = time.perf_counter()
    while samples[-1][1] < 0.9 * count:
        time.sleep(SAMPLE_SECONDS)
        if time.perf_counter() - started > DECIDING_SECONDS:
            raise BenchError(f"routers: {samples[-1][1]} of {count} messages were decided in {DECIDING_SECONDS:g} s")
        samples.append((time.perf_counter() - started, sum(map(decided, routers)) - begun))
    return 0.8 * count / (moment(samples, 0.9 * count) - moment(samples, 0.1 * count))


def moment(samples: list[tuple[float, int]], reached: float) -> float:
    """Return when the count of *samples* (seconds, count) came to *reached*, as on a straight line between two of them."""
    for (before, low), (after, high) in pairwise(samples):
        if low < reached <= high:
            return before + (after - before) * (reached - low) / (high - low)
    raise BenchError(f"routers: {reached:g} was never reached")


def decided(router: Server) -> int:
    """Return how many inputs *router* has decided since its start."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{HOST}:{router.port}/metrics", timeout=30.0) as answer:
        lines = answer.read().splitlines()
    return next(int(float(line[len(DECIDED) :])) for line in lines if line.startswith(DECIDED))


def told(before: Mapping[str, float], after: Mapping[str, float], count: int) -> str:
    """Return the CPU time between the two for each of *count* messages, in words."""
    return ", ".join(f"{name} {(after[name] - used) / count * 1e6:.0f} us" for name, used in before.items())
