"""The main path: a visitor's message, stored, routed, journalled, and on its operator's socket.

Each round starts the subject anew and takes both measures of it, the subjects by turns:

1. *opening*: every visitor sends one message, all have come in, and the operators have taken and opened every session;
2. *pace*: PACE messages a second on a clock of their own, late answers or not; how long from send to the operator's socket;
3. *saturation*: each visitor keeps WINDOW messages in the air; how many come in at the operators' sockets in a second;
4. *drain*: what is in the air comes in.

Anything lost, doubled, out of its visitor's order or not acknowledged spoils the run: a fast wrong server has no rate.

One message in SESSION_MESSAGES opens a session: after that many a visitor's session is closed, the next message opens another.
The first sessions are of different lengths, so that the openings are spread evenly over time.

``python -m tests.bench.pipeline`` takes the floor alone, and prints to standard error only.
"""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import uvloop

from tests.bench.measure import BenchError, Report, cpu_seconds_each, fsync_ms, median, percentile, progress, stolen_seconds
from tests.bench.subject import FloorSubject, Subject
from tests.bench.wsclient import WebSocketError

VISITORS = 1000
OPERATORS = 20
SESSION_MESSAGES = 50
WINDOW = 12
"""With fewer in the air the floor reads fewer at a time and pays more for each: at 4, 8, 12, 20 about 39, 35, 32, 31 us."""
PACE = 200
ROUNDS = 3
OPENING_SECONDS = 60.0
PACE_SECONDS = 10.0
WARM_UP_SECONDS = 2.0
WINDOW_SECONDS = 6.0
DRAIN_SECONDS = 30.0
ROUND_SECONDS = 180.0
WORDS = "is the blue one still there in size 42?"
"""Between the two numbers that tell a message: side by side they would look like a phone, and be searched as one."""


@dataclass(frozen=True, slots=True)
class Saturation:
    """What the full load saw."""

    rate: float
    """Messages a second."""
    server_us: Mapping[str, float]
    """CPU time for each message, of each of the server's processes."""
    database_us: Mapping[str, float]
    """The same of the databases it stands on, where they are processes of their own."""
    load_share: float
    """How much of one core the load took; near 1 the load is the limit, not the server."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round saw of one subject."""

    full: Saturation
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        full = self.full
        cpu = f"{sum(full.server_us.values()):.1f} us of server CPU each"
        if len(full.server_us) > 1 or full.database_us:
            parts = {**full.server_us, **full.database_us}
            cpu += f" ({', '.join(f'{name} {us:.1f}' for name, us in parts.items())})"
        return (
            f"{full.rate:,.0f} messages/s, {cpu}, load {full.load_share:.0%} of a core; "
            f"at {PACE}/s p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms"
        )


def run(report: Report) -> None:
    """Report `pipeline_rate_ratio`, `pipeline_p50_ms` and `pipeline_p99_ms`."""
    rounds = take_rounds({"floor": FloorSubject, "product": product_subject()})
    floor, product = rounds["floor"], rounds["product"]
    report("pipeline_rate_ratio", median_rate(product) / median_rate(floor), "x")
    report("pipeline_p50_ms", median([each.p50_ms for each in product]), "ms")
    report("pipeline_p99_ms", median([each.p99_ms for each in product]), "ms")


def product_subject() -> Callable[[], Subject]:
    """Return the class of the product's subject."""
    if importlib.util.find_spec("tests.bench.product") is None:
        raise BenchError("tests/bench/product.py is missing; to measure the floor alone: python -m tests.bench.pipeline")
    subject: Callable[[], Subject] = importlib.import_module("tests.bench.product").ProductSubject
    return subject


def take_rounds(subjects: dict[str, Callable[[], Subject]], count: int = ROUNDS) -> dict[str, list[Round]]:
    """Measure the subjects by turns, *count* times each."""
    rounds: dict[str, list[Round]] = {name: [] for name in subjects}
    for number in range(1, count + 1):
        disk = fsync_ms()
        progress(f"   round {number}: this disk's fsync now p50 {percentile(disk, 50):.2f} ms, p99 {percentile(disk, 99):.2f} ms")
        for name, make in subjects.items():
            stolen, begun = stolen_seconds(), time.monotonic()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                taken = runner.run(take_round(make()))
            share = (stolen_seconds() - stolen) / (time.monotonic() - begun)
            progress(f"   round {number} {name}: {taken}; the host took {share:.0%} of a core")
            rounds[name].append(taken)
    return rounds


async def take_round(subject: Subject) -> Round:
    """Measure a fresh *subject* once and stop it."""
    try:
        async with asyncio.timeout(ROUND_SECONDS) as limit:
            await subject.start()
            traffic = Traffic(subject, VISITORS)
            await subject.connect_operators(OPERATORS)
            await subject.connect_visitors(VISITORS)
            await traffic.open()
            await subject.settled()
            latencies_ms = await traffic.pace(PACE, PACE_SECONDS)
            await traffic.drain()
            full = await traffic.saturate()
            await traffic.drain()
            return Round(full, percentile(latencies_ms, 50), percentile(latencies_ms, 99))
    except (OSError, WebSocketError) as error:
        why = f"the round did not end in {ROUND_SECONDS:g} s" if limit.expired() else f"a client could not connect: {error!r}"
        raise BenchError(f"{subject.name}: {why}") from error
    finally:
        await subject.stop()


class Traffic:
    """The visitors' messages: what each may send, has sent, and what has come in."""

    def __init__(self, subject: Subject, visitors: int) -> None:
        self._subject = subject
        self._loop = asyncio.get_running_loop()
        self._sent = [0] * visitors
        self._arrived = [0] * visitors
        self._left = [1 + visitor % SESSION_MESSAGES for visitor in range(visitors)]
        self._in_air = 0
        self._total = 0
        self._window = 0
        self._next = 0
        self._sent_at: dict[str, float] | None = None
        self._latencies_ms: list[float] = []
        self._quiet: asyncio.Future[None] | None = None
        self._failure: asyncio.Future[None] = self._loop.create_future()
        subject.on_operator_message = self._on_arrival
        subject.on_session_ended = self._on_session_ended
        subject.on_failure = self._fail

    async def open(self) -> None:
        """Have every visitor say one thing, and wait until all of it has come in."""
        for visitor in range(len(self._sent)):
            self._send(visitor)
        await self.drain(OPENING_SECONDS)

    async def pace(self, per_second: int, seconds: float) -> list[float]:
        """Send *per_second* messages a second for *seconds*, whatever comes back, the visitors by turns.

        Return the milliseconds that each took from its sending to the operator's socket.
        """
        count = round(per_second * seconds)
        done = self._loop.create_future()
        self._latencies_ms, self._sent_at = [], {}
        begun = self._loop.time()

        def tick(number: int) -> None:
            if number == count:
                done.set_result(None)
                return
            self._send(self._next_ready())
            self._loop.call_at(begun + (number + 1) / per_second, tick, number + 1)

        tick(0)
        await self._until(done, 2 * seconds, "keeping the pace")
        await self.drain()
        self._sent_at = None
        return self._latencies_ms

    async def saturate(self) -> Saturation:
        """Keep WINDOW messages of each visitor in the air, and count what comes in once that is warm."""
        self._window = WINDOW
        for visitor in range(len(self._sent)):
            self._refill(visitor)
        await self._rest(WARM_UP_SECONDS)
        subject = self._subject
        server, databases = cpu_seconds_each(subject.pids), cpu_seconds_each(subject.database_pids)
        total, client, begun = self._total, time.process_time(), time.perf_counter()
        await self._rest(WINDOW_SECONDS)
        seconds = time.perf_counter() - begun
        client = time.process_time() - client
        count = self._total - total
        self._window = 0
        if not count:
            raise BenchError(f"{subject.name}: nothing came in during {seconds:.1f} s of saturation")
        return Saturation(
            count / seconds,
            {name: (used - server[name]) / count * 1e6 for name, used in cpu_seconds_each(subject.pids).items()},
            {name: (used - databases[name]) / count * 1e6 for name, used in cpu_seconds_each(subject.database_pids).items()},
            client / seconds,
        )

    async def drain(self, seconds: float = DRAIN_SECONDS) -> None:
        """Wait until nothing is in the air; BenchError if something stays there or was never acknowledged."""
        if self._in_air:
            self._quiet = self._loop.create_future()
            await self._until(self._quiet, seconds, f"draining; {self._in_air} messages were in the air")
            self._quiet = None
        if unacknowledged := self._subject.unacknowledged():
            raise BenchError(f"{self._subject.name}: {unacknowledged} messages were never acknowledged to their visitors")

    # What the subject tells

    def _on_arrival(self, text: str) -> None:
        visitor, number = int(text[:5]), int(text[-6:])
        if number != self._arrived[visitor]:
            self._fail(f"visitor {visitor}: message {number} came in where {self._arrived[visitor]} was due")
        self._arrived[visitor] = number + 1
        self._total += 1
        self._in_air -= 1
        if self._sent_at is not None:
            self._latencies_ms.append((time.perf_counter() - self._sent_at.pop(text)) * 1000)
        if not self._left[visitor] and self._sent[visitor] == number + 1:
            self._subject.end_session(visitor)
        elif self._window:
            self._refill(visitor)
        if not self._in_air and self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    def _on_session_ended(self, visitor: int) -> None:
        self._left[visitor] = SESSION_MESSAGES
        if self._window:
            self._refill(visitor)

    def _fail(self, why: str) -> None:
        if not self._failure.done():
            self._failure.set_exception(BenchError(f"{self._subject.name}: {why}"))

    # Sending

    def _send(self, visitor: int) -> None:
        number = self._sent[visitor]
        text = f"{visitor:05d} {WORDS} {number:06d}"
        self._sent[visitor] = number + 1
        self._left[visitor] -= 1
        self._in_air += 1
        if self._sent_at is not None:
            self._sent_at[text] = time.perf_counter()
        self._subject.visitor_send(visitor, text)

    def _refill(self, visitor: int) -> None:
        for _ in range(min(self._left[visitor], self._window - self._sent[visitor] + self._arrived[visitor])):
            self._send(visitor)

    def _next_ready(self) -> int:
        """Return the next visitor by turns whose session is not being closed."""
        for _ in self._left:
            visitor, self._next = self._next, (self._next + 1) % len(self._left)
            if self._left[visitor]:
                return visitor
        raise BenchError(f"{self._subject.name}: every visitor waits for a session to be closed")

    # Waiting

    async def _rest(self, seconds: float) -> None:
        done = self._loop.create_future()
        self._loop.call_later(seconds, done.set_result, None)
        await self._until(done, 2 * seconds, "saturating")

    async def _until(self, done: asyncio.Future[None], seconds: float, doing: str) -> None:
        """Wait for *done*; raise what failed meanwhile, or BenchError after *seconds*."""
        await asyncio.wait({done, self._failure}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._failure.done():
            self._failure.result()
        if not done.done():
            raise BenchError(f"{self._subject.name}: gave up after {seconds:g} s while {doing}")


def median_rate(rounds: list[Round]) -> float:
    """Return the rounds' median of messages a second."""
    return median([each.full.rate for each in rounds])


def main() -> None:
    """Take the floor alone."""
    rounds = take_rounds({"floor": FloorSubject})["floor"]
    progress(f"   floor, median: {median_rate(rounds):,.0f} messages/s")


if __name__ == "__main__":
    main()
