"""The transport of several processes: what one of them cannot hear by itself goes through Redis, 7 or newer.

    ring ─┬─ who listens here hears at once
          └─ gathered ─┐             ┌─ XADD, a stream for each bell of FOR_ONE ── one consumer group ── one process
    tell ─┬─ gathered ─┼─ one flush ─┼─ PUBLISH, one channel for all ──────────────────────────────── every process
          │            │             └─ a script, the buckets' ─────────────────────────────────── the one that asked
    take ─── gathered ─┘
          └─ who follows here hears at once

Nothing here is the truth: Redis may be emptied, stopped or replaced at any moment, and sweeps of SQL find what was rung for. So a
lost Redis is neither waited for nor written for: what would have been passed on is dropped, and one line in the log says so.

Three connections: one sends, one reads the streams (and blocks in it), one hears the channel. When any of them fails, all three
are made anew. A flush takes what has gathered, sends it in one piece and waits for the answers; what is rung meanwhile gathers for
the next. So nobody waits for a batch to fill, and the busier it is, the less a ring costs.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import structlog
from redis.exceptions import NoScriptError, RedisError, ResponseError

from broker import metrics
from broker.errors import ConfigError
from broker.ports import FOR_ONE, Bell
from broker.tasks import until_one_fails
from broker.transport.limits import OwnBuckets, whole
from broker.transport.line import Address, Command, Line
from broker.transport.memory import MemoryTransport, add_hearer

log = structlog.get_logger(__name__)

MOST_GATHERED = 4_096
"""Rings, words or askings for a token that may wait for a flush, of each kind; more are not passed on."""
KEYS_TOGETHER = 16
"""Keys in one entry of a stream: few enough that work spreads, enough that it costs little."""
ENTRIES_TOGETHER = 16
"""Entries that one process takes of a stream at a time."""
STREAM_ENTRIES = 4_096
"""Roughly what a stream keeps; what nobody read by then, a sweep has long found."""
SETTLED_SECONDS = 5.0
"""A Redis that worked so long is tried again soon when it is lost; one that fails at once is given time."""
GROUP = "workers"

# GCRA: all that is kept is when the bucket will be full again, in microseconds of the server's clock. That clock may be set back:
# no bucket is ever emptier than empty.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = 1000000 / tonumber(ARGV[1])
local burst = tonumber(ARGV[2])
local full = math.max(now, math.min(tonumber(redis.call('GET', KEYS[1]) or now), now + burst * interval))
local wait = full - now - (burst - 1) * interval
if wait >= 1 then return math.ceil(wait) end
full = full + interval
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return 0
"""
# In a script, so that no entry is read between the look and the removal. A living reader that was removed is made again by its
# next reading.
_FORGET = """
local removed = 0
local readers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
if readers.err then return 0 end
for _, reader in ipairs(readers) do
    local of = {}
    for at = 1, #reader, 2 do of[reader[at]] = reader[at + 1] end
    if of.pending == 0 and of.idle > tonumber(ARGV[2]) then
        removed = removed + 1
        redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], of.name)
    end
end
return removed
"""
_TAKE_SHA = hashlib.sha1(_TAKE.encode(), usedforsecurity=False).hexdigest()

_PASSED_RINGS = metrics.transport_passed_total.labels("ring")
_PASSED_WORDS = metrics.transport_passed_total.labels("word")
_DROPPED_RINGS = metrics.transport_dropped_total.labels("ring")
_DROPPED_WORDS = metrics.transport_dropped_total.labels("word")

_BELLS = {bell.value: bell for bell in Bell}


class _Shout(msgspec.Struct, array_like=True):
    """What one flush has for everybody."""

    rings: list[tuple[str, str]]
    words: list[tuple[str, bytes]]


_encode = msgspec.msgpack.Encoder().encode
_decode_keys = msgspec.msgpack.Decoder(list[str]).decode
_decode_shout = msgspec.msgpack.Decoder(_Shout).decode


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a `RedisTransport` waits, and for what."""

    answer_seconds: float = 1.0
    """For an answer; a Redis that takes longer is lost."""
    take_seconds: float = 0.25
    """For a token; then this process goes by its own bucket."""
    heartbeat_seconds: float = 1.0
    """Before a silent connection is asked for a sign of life."""
    claim_seconds: float = 2.5
    """Before an entry that was read and not acknowledged is heard by another process."""
    forget_seconds: float = 60.0
    """Before a reader that reads no more is struck off the list."""
    first_pause_seconds: float = 0.1
    """Before Redis is tried again; doubled each time in vain."""
    longest_pause_seconds: float = 2.0


class _Ask(NamedTuple):
    """A token asked for, and where the answer goes: seconds to wait, or None when nobody can say."""

    answer: asyncio.Future[float | None]
    bucket: str
    per_second: float
    burst: int


class RedisTransport:
    """A `Transport` between all processes that name the same Redis and the same prefix. `run` must be running.

    *process* names this process among them, like no other. Raises ConfigError when *url* (redis://, rediss://, unix://) is none.
    """

    alone = False

    def __init__(
        self,
        url: str,
        *,
        process: str,
        prefix: str = "omniline",
        pace: Pace | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (process.isascii() and process.isprintable()) or not process or " " in process:
            raise ConfigError(f"process: {process!r} is no name for Redis; write printable ASCII without spaces")
        self._address = Address(url)
        self._process = process
        self._mark = process.encode() + b"\0"
        """Before each shout: its own come back to a process, and are known without being read."""
        self._streams = {bell: f"{prefix}:bell:{bell}" for bell in sorted(FOR_ONE)}
        # Redis has one set of channels for all its databases.
        self._channel = f"{prefix}:{self._address.database}:shouts"
        self._buckets_key = f"{prefix}:bucket:"
        self._no_stream = f"{prefix}:none"
        self._pace = pace or Pace()
        self._monotonic = monotonic
        self._here = MemoryTransport(monotonic)
        self._own_buckets = OwnBuckets()
        self._restored: list[Callable[[], None]] = []

        self._rings: dict[tuple[Bell, str], None] = {}
        self._words: list[tuple[str, bytes]] = []
        self._asks: list[_Ask] = []
        self._gathered = asyncio.Event()
        self._bells_changed = asyncio.Event()
        """Which bells are listened to here is not what the reader knows."""

        self._lost: str | None = "not connected yet"
        self._lost_at: float | None = None

    # --- what `Transport` promises

    @property
    def lost(self) -> str | None:
        """See `Transport.lost`."""
        return self._lost

    def on_restored(self, hear: Callable[[], None], /) -> Callable[[], None]:
        """See `Transport.on_restored`."""
        return add_hearer(self._restored, hear)

    def ring(self, bells: Sequence[tuple[Bell, str]], /) -> None:
        """See `Transport.ring`. Work that somebody here listens for stays here."""
        is_heard = self._here.is_heard
        away = [ring for ring in bells if ring[0] not in FOR_ONE or not is_heard(ring[0])]
        self._here.ring(bells)
        if not away:
            return
        room = 0 if self._lost_at is not None else MOST_GATHERED - len(self._rings)
        if room < len(away):
            _DROPPED_RINGS.inc(len(away) - room)
            del away[room:]
        if away:
            self._rings.update(dict.fromkeys(away))
            self._gathered.set()

    def listen(self, bell: Bell, hear: Callable[[str], None], /) -> Callable[[], None]:
        """See `Transport.listen`."""
        stop_hearing = self._here.listen(bell, hear)
        if bell not in FOR_ONE:
            return stop_hearing
        self._change_bells()

        def stop() -> None:
            stop_hearing()
            self._change_bells()

        return stop

    def tell(self, topic: str, word: bytes, /) -> None:
        """See `Transport.tell`."""
        self._here.tell(topic, word)
        if self._lost_at is not None or len(self._words) >= MOST_GATHERED:
            _DROPPED_WORDS.inc()
            return
        self._words.append((topic, word))
        self._gathered.set()

    def follow(self, topic: str, hear: Callable[[bytes], None], /) -> Callable[[], None]:
        """See `Transport.follow`."""
        return self._here.follow(topic, hear)

    async def take(self, bucket: str, per_second: float, burst: float) -> float:
        """See `Transport.take`. The time is the server's."""
        if self._lost is None and len(self._asks) < MOST_GATHERED:
            answer: asyncio.Future[float | None] = asyncio.get_running_loop().create_future()
            self._asks.append(_Ask(answer, bucket, per_second, whole(burst)))
            self._gathered.set()
            try:
                async with asyncio.timeout(self._pace.take_seconds):
                    wait_seconds = await answer
                if wait_seconds is not None:
                    return wait_seconds
            except TimeoutError:
                pass  # Slow is as good as lost.
        return self._own_buckets.take(bucket, per_second, burst, self._monotonic())

    # --- lost and found

    async def run(self) -> None:
        """Keep the connections to Redis until cancelled."""
        pause = self._pace.first_pause_seconds
        try:
            while True:
                began = self._monotonic()
                try:
                    await self._stay_connected()
                except Exception as error:
                    self._lose(error)
                if self._monotonic() - began > SETTLED_SECONDS:
                    pause = self._pace.first_pause_seconds
                await asyncio.sleep(pause)
                pause = min(2 * pause, self._pace.longest_pause_seconds)
        finally:
            self._lost = "not running"
            self._drop()

    async def _stay_connected(self) -> None:
        """Raise what ended the connections."""
        seconds = self._pace.answer_seconds
        async with (
            self._address.dial(self._process, seconds) as sending,
            self._address.dial(self._process, seconds) as reading,
            self._address.dial(self._process, seconds) as hearing,
        ):
            await self._prove(sending)
            await hearing.ask(("SUBSCRIBE", self._channel))
            (reader_id,) = await reading.ask(("CLIENT", "ID"))
            await self._make_groups(reading)
            # Only now: who sweeps because of it misses nothing that is rung from here on.
            self._find()
            await until_one_fails(self._send(sending, reader_id), self._read(reading), self._hear(hearing))

    async def _prove(self, line: Line) -> None:
        """Raise unless this Redis is new enough and takes what we send: it may be full, a replica, or forbid it."""
        # NOMKSTREAM: into a stream that does not exist nothing is written, and all that would refuse a writing refuses this.
        hello, _ = await line.ask(("HELLO",), ("XADD", self._no_stream, "NOMKSTREAM", "*", "keys", ""))
        version = dict(zip(hello[::2], hello[1::2], strict=False)).get(b"version", b"0").decode()
        if int(version.partition(".")[0]) < 7:
            raise ResponseError(f"this is Redis {version}, and 7 or newer is needed")

    def _find(self) -> None:
        self._lost = None
        if self._lost_at is None:
            return
        log.info("transport_restored", seconds=round(self._monotonic() - self._lost_at, 1))
        self._lost_at = None
        metrics.transport_lost.set(0)
        self._call_restored()

    def _lose(self, error: Exception) -> None:
        if not isinstance(error, RedisError | OSError | TimeoutError):
            metrics.unexpected_errors_total.labels("transport").inc()
            log.error("transport_failed", exc_info=error)
        text = str(error) or ("no answer in time" if isinstance(error, TimeoutError) else type(error).__name__)
        self._lost = self._address.without_secret(text)
        self._drop()
        if self._lost_at is not None:
            return
        self._lost_at = self._monotonic()
        metrics.transport_lost.set(1)
        metrics.transport_losses_total.inc()
        log.warning("transport_lost", reason=self._lost)

    def _drop(self) -> None:
        """Forget what has gathered: when Redis is back, sweeps have found it."""
        _DROPPED_RINGS.inc(len(self._rings))
        _DROPPED_WORDS.inc(len(self._words))
        for ask in self._asks:
            _answer(ask, None)
        self._rings, self._words, self._asks = {}, [], []
        self._gathered.clear()

    def _call_restored(self) -> None:
        for hear in tuple(self._restored):
            try:
                hear()
            except Exception:
                metrics.unexpected_errors_total.labels("transport").inc()
                log.exception("restored_listener_failed")

    # --- sending

    async def _send(self, line: Line, reader_id: int) -> None:
        while True:
            if await _is_set_within(self._gathered, self._pace.heartbeat_seconds):
                await self._flush(line, reader_id)
            else:
                await line.ask(("PING",))

    async def _flush(self, line: Line, reader_id: int) -> None:
        self._gathered.clear()
        rings, words, asks = self._rings, self._words, [ask for ask in self._asks if not ask.answer.done()]
        self._rings, self._words, self._asks = {}, [], []
        # Before what is passed on: a reader that is blocked for a bell nobody listens to any more must not get it.
        commands: list[Command] = [("CLIENT", "UNBLOCK", reader_id)] if self._bells_changed.is_set() else []
        commands += self._passed_on(rings, words)
        try:
            if commands:
                await line.ask(*commands)
                _PASSED_RINGS.inc(len(rings))
                _PASSED_WORDS.inc(len(words))
            if asks:
                await self._take_tokens(line, asks, ("EVALSHA", _TAKE_SHA))
        finally:
            for ask in asks:
                _answer(ask, None)

    def _passed_on(self, rings: dict[tuple[Bell, str], None], words: list[tuple[str, bytes]]) -> list[Command]:
        work: dict[Bell, list[str]] = {}
        shout = _Shout([], words)
        timers: list[str] = []
        for ring in rings:
            bell, key = ring
            if bell in FOR_ONE:
                work.setdefault(bell, []).append(key)
            elif bell is Bell.TIMERS:
                timers.append(key)
            else:
                shout.rings.append(ring)
        if timers:
            # Numbers without leading zeros: the shorter is the smaller.
            shout.rings.append((Bell.TIMERS, min(timers, key=lambda due_us: (len(due_us), due_us))))
        commands: list[Command] = [
            ("XADD", self._streams[bell], "MAXLEN", "~", STREAM_ENTRIES, "*", "keys", _encode(keys[at : at + KEYS_TOGETHER]))
            for bell, keys in work.items()
            for at in range(0, len(keys), KEYS_TOGETHER)
        ]
        if shout.rings or shout.words:
            commands.append(("PUBLISH", self._channel, self._mark + _encode(shout)))
        return commands

    async def _take_tokens(self, line: Line, asks: Sequence[_Ask], script: tuple[str, str]) -> None:
        answers = await line.attempt(
            *((*script, 1, self._buckets_key + ask.bucket, ask.per_second, ask.burst) for ask in asks),
        )
        unknown: list[_Ask] = []
        for ask, answer in zip(asks, answers, strict=True):
            if isinstance(answer, NoScriptError):
                unknown.append(ask)
            elif isinstance(answer, ResponseError):
                raise answer
            else:
                _answer(ask, answer / 1_000_000)
        if unknown:
            await self._take_tokens(line, unknown, ("EVAL", _TAKE))

    # --- the streams: work for one

    async def _read(self, line: Line) -> None:
        claim_at = forget_at = self._monotonic()
        acks: list[Command] = []
        while True:
            try:
                now = self._monotonic()
                if now >= claim_at:
                    claim_at = now + self._pace.claim_seconds / 2
                    acks += await self._claim(line)
                if now >= forget_at:
                    forget_at = now + self._pace.forget_seconds / 2
                    await self._forget_readers(line)
                self._bells_changed.clear()
                if bells := self._worked_bells():
                    acks = await self._read_once(line, bells, acks)
                else:
                    await line.ask(*acks, ("PING",))
                    acks = []
                    await _is_set_within(self._bells_changed, self._pace.heartbeat_seconds)
            except ResponseError as error:
                if not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                    raise
                # Somebody has emptied Redis under us: the streams are gone, and with them what was in them.
                await self._make_groups(line)
                metrics.transport_emptied_total.inc()
                log.warning("transport_emptied")
                self._call_restored()

    async def _make_groups(self, line: Line) -> None:
        """Let each stream have a group, which keeps from now on what is rung, unless there is one already."""
        makings: list[Command] = [("XGROUP", "CREATE", stream, GROUP, "$", "MKSTREAM") for stream in self._streams.values()]
        for answer in await line.attempt(*makings):
            if isinstance(answer, ResponseError) and not str(answer).startswith("BUSYGROUP"):
                raise answer

    async def _read_once(self, line: Line, bells: tuple[Bell, ...], acks: list[Command]) -> list[Command]:
        """Acknowledge what was heard before and wait for more; return how to acknowledge that."""
        wait = self._pace.heartbeat_seconds
        block = ("COUNT", ENTRIES_TOGETHER, "BLOCK", max(1, int(wait * 1_000)))
        streams = (*(self._streams[bell] for bell in bells), *(">" for _ in bells))
        reading: Command = ("XREADGROUP", "GROUP", GROUP, self._process, *block, "STREAMS", *streams)
        *_, found = await line.ask(*acks, reading, wait_seconds=wait)
        # One answer a stream with news, in the streams' order and by their names; None when there are none.
        by_name = {self._streams[bell].encode(): bell for bell in bells}
        return [ack for name, entries in found or () for ack in self._work(by_name[name], entries)]

    def _worked_bells(self) -> tuple[Bell, ...]:
        return tuple(bell for bell in self._streams if self._here.is_heard(bell))

    async def _claim(self, line: Line) -> list[Command]:
        """Have what others read and did not acknowledge heard here; return how to acknowledge it."""
        bells = self._worked_bells()
        idle_ms = int(self._pace.claim_seconds * 1_000)
        claims: list[Command] = [
            ("XAUTOCLAIM", self._streams[bell], GROUP, self._process, idle_ms, "0-0", "COUNT", ENTRIES_TOGETHER) for bell in bells
        ]
        acks: list[Command] = []
        for bell, (_, entries, *_) in zip(bells, await line.ask(*claims), strict=True):
            metrics.transport_claimed_total.inc(len(entries))
            acks += self._work(bell, entries)
        return acks

    async def _forget_readers(self, line: Line) -> None:
        idle_ms = int(self._pace.forget_seconds * 1_000)
        await line.ask(*(("EVAL", _FORGET, 1, stream, GROUP, idle_ms) for stream in self._streams.values()))

    def _work(self, bell: Bell, entries: Sequence[tuple[bytes, Sequence[bytes]]]) -> list[Command]:
        """Let the entries be heard; return how to acknowledge them."""
        if not entries:
            return []
        for _, (_, keys, *_) in entries:
            try:
                # Who listened may have stopped while the reading was under way: then it is passed on to another process.
                self.ring([(bell, key) for key in _decode_keys(keys)])
            except msgspec.MsgspecError as error:
                log.warning("transport_entry_unreadable", bell=bell, problem=str(error))
        return [("XACK", self._streams[bell], GROUP, *(entry_id for entry_id, _ in entries))]

    # --- the channel: rings and words for everybody

    async def _hear(self, line: Line) -> None:
        is_asked = False
        while True:
            wait = self._pace.answer_seconds if is_asked else self._pace.heartbeat_seconds
            heard = await line.heard_within(wait)
            if heard is not None:
                is_asked = False
                if heard[0] == b"message":
                    self._pass_in(heard[2])
            elif is_asked:
                raise TimeoutError
            else:
                is_asked = True
                await line.say(("PING",))

    def _pass_in(self, body: bytes) -> None:
        if body.startswith(self._mark):
            return
        try:
            shout = _decode_shout(body[body.index(b"\0") + 1 :])
        except (ValueError, msgspec.MsgspecError) as error:
            log.warning("transport_shout_unreadable", problem=str(error))
            return
        # A newer version may know bells that this one does not.
        self._here.ring([(_BELLS[name], key) for name, key in shout.rings if name in _BELLS])
        for topic, word in shout.words:
            self._here.tell(topic, word)

    def _change_bells(self) -> None:
        self._bells_changed.set()
        self._gathered.set()  # The reader may be blocked: the sender frees it.


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    if event.is_set():
        return True
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _answer(ask: _Ask, wait_seconds: float | None) -> None:
    if not ask.answer.done():
        ask.answer.set_result(wait_seconds)
