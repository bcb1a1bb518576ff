"""A chaos run from its first start to its ledger: one data folder, one port, traffic throughout, a server that dies again and again."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import exists, select

from broker.domain import to_us
from broker.ports import Row, Tx
from broker.store.measures import measure
from broker.store.sql import adhoc, one_of
from broker.store.sqlite import read_once
from broker.store.tables import channels, conversations, inputs, messages, offers, outbox, sessions, timers
from broker.timers import CONVERSATION
from tests.chaos.checker import Ledger, check
from tests.chaos.provider import ANSWERED, NO_ANSWER, Standing
from tests.chaos.record import House, Line, Run
from tests.chaos.server import POINTS
from tests.chaos.traffic import HOST, PASSWORD, Operator, Traffic

ROOT = Path(__file__).resolve().parents[2]
OPERATORS = ("ann", "bob", "cy")
AUDITOR = "eve"
"""A supervisor who only reads, at the end."""
VISITORS = 12
START_SECONDS = 60.0
STOP_SECONDS = 40.0
REACH_SECONDS = 20.0
"""A crash point that was not come to in so long is followed by a kill from outside."""
DRAIN_SECONDS = 30.0
SOON_SECONDS = 10.0
"""A timer that falls due so soon is waited for: it would be entered while everything is stopped."""
OPENING_SECONDS = 20.0
AFTER_SECONDS = 1.0
STOPPED = "the program was stopped while sending"
"""How the house begins to say why a message is in doubt whose sender ended, or could not write down what became of it."""
TERM_EVERY = 8
"""After so many kills the server is stopped in order."""

HOUSE = """
[operators.ann]
name = "Ann"
password_env = "CHAOS_PASSWORD"
[operators.bob]
name = "Bob"
password_env = "CHAOS_PASSWORD"
[operators.cy]
name = "Cy"
password_env = "CHAOS_PASSWORD"
[operators.eve]
name = "Eve"
role = "supervisor"
password_env = "CHAOS_PASSWORD"

[lines.site]
operators = ["ann", "bob", "cy"]
settings = { offer_seconds = 5, reopen_seconds = 2, no_answer_seconds = 5, weights = { chat = 30 } }

[channels.site]
kind = "widget"
line = "site"
settings = { ask = [] }
"""
"""Nine seats for twelve customers: somebody always waits. Closed sessions are reopened for two seconds, then new ones follow."""

Say = Callable[[str], None]


class ServerFailed(Exception):
    """The server did not start, or did not stop, as it should."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One end of the server. *how*: `kill` after *seconds* of serving, `start` after *seconds* of starting, `term`, or a crash point.

    `full`: its disk is full for *seconds*, then it is killed; `clock`: its wall clock jumps by *jump* seconds, and it is killed so.
    """

    how: str
    seconds: float = 0.0
    passes: int = 0
    jump: float = 0.0

    def __str__(self) -> str:
        if self.passes:
            return f"{self.how}:{self.passes}"
        return f"{self.how}{f' {self.jump:+.0f} s for' if self.jump else ''} {self.seconds:.2f} s"


def plan(seed: int, kills: int, points: int) -> list[Trial]:
    """Return the trials of a run: *kills* at random moments, each crash point *points* times, orderly stops in between."""
    chance = random.Random(f"{seed} plan")
    trials = [
        Trial("start", chance.uniform(0.05, 1.5)) if n % 8 == 7 else Trial("kill", chance.uniform(0.1, 1.8)) for n in range(kills)
    ]
    # Sends are rarer than commits.
    trials += [Trial(point, passes=chance.randint(1, 25 if "send" in point else 100)) for point in POINTS for _ in range(points)]
    for _ in range(points):
        trials.append(Trial("full", chance.uniform(0.2, 3.0)))
        trials.append(Trial("clock", chance.uniform(0.3, 2.0), jump=chance.choice((-1, 1)) * chance.uniform(2.0, 4_000.0)))
    chance.shuffle(trials)
    for place in range(TERM_EVERY, len(trials), TERM_EVERY + 1):
        trials.insert(place, Trial("term", chance.uniform(0.3, 1.5)))
    return trials


class Server:
    """The server under trial: the same folder and port at every start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "server.log"
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            self.port: int = probe.getsockname()[1]
        self._process: Process | None = None
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("OMNILINE_")} | {
            "CHAOS_PASSWORD": PASSWORD,
            "OMNILINE_DATA": str(self.data),
            "OMNILINE_LISTEN": f"{HOST}:{self.port}",
            "CHAOS_MISCHIEF": str(folder / "mischief.json"),
            "OMNILINE_ALLOW_UNSAFE_DISK": "true",
            "OMNILINE_LOG__LEVEL": "warning",
            "OMNILINE_LOG__FORMAT": "json",
        }

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run `omniline` on the folder; return its status and what it said."""
        line = [sys.executable, "-m", "omniline", *arguments]
        done = subprocess.run(line, env=self.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
        return done.returncode, done.stdout + done.stderr

    async def start(self, crash: str = "") -> None:
        """Start the process; `ready` waits until it serves."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.chaos.server"),
                *(("--crash", crash) if crash else ()),
                "serve",
                cwd=ROOT,
                env=self.environment,
                stdout=PIPE,
                stderr=log,
            )

    async def ready(self) -> bool:
        """Return when the server says where it is, or False when it ends before (a crash point within its start)."""
        assert self._process is not None
        assert self._process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            async for line in self._process.stdout:
                if b"console " in line:
                    return True
        await self._process.wait()
        return False

    def trouble(self, **wrong: object) -> None:
        """Have this be wrong with its machine (`tests.chaos.server`), from now on and for those who start after it."""
        assert self._process is not None
        Path(self.environment["CHAOS_MISCHIEF"]).write_text(json.dumps(wrong))
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGUSR1)

    async def kill(self) -> int:
        """Kill it and return its status: at once, with whatever it was doing."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        return await self._process.wait()

    async def stop(self) -> int:
        """Ask it to end, and return its status."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.terminate()
        return await self.ended(STOP_SECONDS)

    async def ended(self, seconds: float) -> int:
        """Wait for its end. Raises TimeoutError."""
        assert self._process is not None
        return await asyncio.wait_for(self._process.wait(), seconds)

    def log_tail(self) -> str:
        """Return the end of what all starts together wrote."""
        return self.log.read_bytes()[-4_000:].decode(errors="replace") if self.log.exists() else ""


class Chaos:
    """One run."""

    def __init__(self, folder: Path, seed: int, trials: Sequence[Trial], say: Say) -> None:
        self.server = Server(folder)
        self.trials = trials
        self.seed = seed
        self.say = say
        self.traffic = Traffic([self.server.port], seed, VISITORS, OPERATORS)
        self.ends: Counter[str] = Counter()
        self.start_seconds: list[float] = []

    async def run(self) -> Ledger:
        """Do every trial, drain, audit; return the ledger."""
        try:
            await self._open()
            for number, trial in enumerate(self.trials, 1):
                await self._try(trial)
                self.traffic.fail_fast()
                self.say(f"{number}/{len(self.trials)} {trial}: {self.traffic.said} messages acknowledged")
            await self._serve("")
            await self.traffic.drain(DRAIN_SECONDS)
            run = Run([one.record for one in self.traffic.visitors], [one.record for one in self.traffic.operators])
            run.trials = len(self.trials)
            run.absent = [*self.traffic.waits, *never_came((trial.how for trial in self.trials), self.ends)]
            rested = await settled(self._left_behind, DRAIN_SECONDS)
            threads = await self._read_again()
        finally:
            await self.traffic.stop()
            stopped = await self.server.stop()
        run.house = self._left_behind()
        run.house.found_at_rest(rested)
        run.house.threads = threads
        reconciled, run.house.report = await asyncio.to_thread(self.server.command, "reconcile")
        run.house.reconciled = reconciled == 0
        replayed, words = await asyncio.to_thread(self.server.command, "replay")
        run.house.unlike = words if replayed != 0 else ""
        self._demand(0, stopped, "the last stop")
        return check(run)

    async def _open(self) -> None:
        """Start on an empty folder, make the house beside the running server, and see everybody served once."""
        file = self.server.folder / "house.toml"
        file.write_text(HOUSE)
        await self._serve("")
        status, words = await asyncio.to_thread(self.server.command, "apply", str(file))
        if status:
            raise ServerFailed(words)
        self.traffic.start()
        if not await self.traffic.until(lambda: all(visitor.texts for visitor in self.traffic.visitors), OPENING_SECONDS):
            raise ServerFailed(f"not everybody was answered before the first trial\n{self.summary()}\n{self.server.log_tail()}")
        self._demand(0, await self.server.stop(), "the first stop")

    # --- trials

    async def _serve(self, crash: str) -> bool:
        began = time.monotonic()
        await self.server.start(crash)
        ready = await self.server.ready()
        self.start_seconds.append(time.monotonic() - began)
        if not ready and not crash:
            raise ServerFailed(f"the server ended before it served\n{self.server.log_tail()}")
        return ready

    async def _try(self, trial: Trial) -> None:
        match trial.how:
            case "start":
                await self.server.start()
                await asyncio.sleep(trial.seconds)  # the moment of the kill
                status = await self.server.kill()
            case "kill":
                await self._serve("")
                await asyncio.sleep(trial.seconds)  # the moment of the kill
                status = await self.server.kill()
            case "term":
                await self._serve("")
                await asyncio.sleep(trial.seconds)  # the moment of the stop
                status = await self.server.stop()
            case "full":
                await self._serve("")
                self.server.trouble(full=True)
                await asyncio.sleep(trial.seconds)  # how long there is no room
                self.server.trouble()
                await asyncio.sleep(AFTER_SECONDS)  # what was refused comes again
                status = await self.server.kill()
            case "clock":
                await self._serve("")
                self.server.trouble(clock=trial.jump)
                await asyncio.sleep(trial.seconds)  # the moment of the kill
                status = await self.server.kill()
                self.server.trouble()
            case point:
                await self._serve(f"{point}:{trial.passes}")
                try:
                    status = await self.server.ended(REACH_SECONDS)
                except TimeoutError:
                    self._demand(-signal.SIGKILL, await self.server.kill(), trial)
                    self.ends[f"{point} not come to"] += 1
                    self.ends["kill"] += 1
                    return
        self._demand(0 if trial.how == "term" else -signal.SIGKILL, status, trial)
        self.ends[trial.how] += 1

    def _demand(self, wanted: int, status: int, what: object) -> None:
        if status != wanted:
            raise ServerFailed(f"{what}: the server ended with status {status}\n{self.server.log_tail()}")

    # --- the end

    async def _read_again(self) -> dict[str, list[Line]]:
        """Have everybody read the whole of it once more, as a new page does; return the conversations as a supervisor reads them."""
        for visitor in self.traffic.visitors:
            await visitor.read_history()
        eve = Operator(AUDITOR, [self.server.port], random.Random(0), lambda: None)
        return await eve.read_threads()

    def _left_behind(self) -> House:
        return read_once(self.server.data / "omniline.db", left_behind)

    def log_tail(self) -> str:
        """Return the end of what all starts together wrote."""
        return self.server.log_tail()

    def summary(self) -> str:
        """Return what happened, in lines."""
        return summary_of(self.traffic, self.ends, self.start_seconds)


def summary_of(traffic: Traffic, ends: Counter[str], start_seconds: Sequence[float]) -> str:
    """Return what happened in a run, in lines."""
    visitors, operators = traffic.visitors, traffic.operators
    resent = sum(said.sends - 1 for one in visitors for said in one.record.said if said.sends)
    replies = sum(did.verb == "reply" and did.accepted for one in operators for did in one.record.did)
    repeats = sum(len(one.record.pushed) - len({line.seq for line in one.record.pushed}) for one in visitors)
    verbs = Counter(did.verb for one in operators for did in one.record.did)
    refused = Counter(did.refused for one in operators for did in one.record.did if did.refused)
    surprises = Counter(word for one in [*visitors, *operators] for word in one.surprises)
    closes = sum((Counter(one.closes) for one in [*visitors, *operators]), Counter[int]())
    starts = sorted(start_seconds)
    return "\n".join(
        [
            f"ends of the server: {_counted(ends)}",
            f"starts: {len(starts)}, median {starts[len(starts) // 2]:.2f} s, longest {starts[-1]:.2f} s",
            f"messages of customers: {traffic.said} acknowledged, {resent} sent again; answers: {replies}; "
            f"{sum(one.comebacks for one in visitors)} wrote again after a closing over their words",
            f"shown again after a crash and rendered once: {repeats}",
            f"deeds: {_counted(verbs)}; refused: {_counted(refused)}",
            f"sockets: visitors {sum(one.connections for one in visitors)}, operators {sum(one.connections for one in operators)}"
            f" ({sum(one.resumes for one in operators)} resumed, {sum(one.snapshots for one in operators)} anew)",
            f"sockets ended by code: {', '.join(f'{code}: {count}' for code, count in sorted(closes.items()))}",
            f"surprises: {_counted(surprises)}",
            f"still waiting: {'; '.join(traffic.waits) or 'nobody'}",
        ]
    )


def never_came(planned: Iterable[str], ends: Counter[str]) -> list[str]:
    """Say which kinds of fault were planned and never happened: a run without them proves less than it says."""
    return [f"the fault {kind} was planned and never came" for kind in sorted(set(planned)) if not ends[kind]]


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items())) or "none"


async def settled(look: Callable[[], House], seconds: float) -> House:
    """Return what *look* finds once nothing is on its way any more, or after *seconds*: others' rows ring no bell here."""
    until = time.monotonic() + seconds
    while True:
        house = await asyncio.to_thread(look)
        if house.rests or time.monotonic() >= until:
            return house
        await asyncio.sleep(0.2)  # between two looks


_NONE: Mapping[str, Collection[str]] = {}


def left_behind(tx: Tx, unreadable: Mapping[str, Collection[str]] = _NONE) -> House:
    """Return what is open, failed or in doubt in a database.

    *unreadable* are, by a channel's kind, the numbers of the updates that nobody can read: they alone are to be dead letters.
    """

    def ids(rows: list[Row]) -> list[str]:
        return ["/".join(str(part) for part in row) for row in rows]

    def rows_of(state: str) -> list[str]:
        return ids(tx.all(adhoc(select(outbox.c.id, outbox.c.state).where(outbox.c.state == state))))

    undecided = (
        select(inputs.c.conversation_id, inputs.c.seq)
        .join_from(inputs, conversations, conversations.c.id == inputs.c.conversation_id)
        .where(inputs.c.seq > conversations.c.worked_seq)
    )
    soon_us = to_us(tx.now + timedelta(seconds=SOON_SECONDS))
    due = select(timers.c.owner_id, timers.c.name).where(timers.c.owner_kind == CONVERSATION, timers.c.due_us < soon_us)
    letters = (
        select(channels.c.kind, inputs.c.external_id, inputs.c.event, inputs.c.conversation_id, inputs.c.seq, inputs.c.dead)
        .outerjoin_from(inputs, channels, channels.c.id == inputs.c.origin)
        .where(inputs.c.dead.is_not(None))
    )
    dead: list[str] = []
    kept: set[tuple[str, str]] = set()
    for kind, external_id, event, *where in tx.all(adhoc(letters)):
        if event is None and external_id in unreadable.get(kind, ()):
            kept.add((kind, external_id))
        else:
            dead.append("/".join(map(str, (kind or "ours", external_id, *where))))
    return House(
        dead=dead,
        unkept=[f"{kind}/{number}" for kind, numbers in unreadable.items() for number in numbers if (kind, number) not in kept],
        open_outbox=[*rows_of("queued"), *rows_of("sending")],
        unconfirmed=rows_of("unconfirmed"),
        failed=rows_of("failed"),
        open_offers=ids(tx.all(adhoc(select(offers.c.session_id, offers.c.operator_id).where(offers.c.state == "open")))),
        open_sessions=ids(tx.all(adhoc(select(sessions.c.id, sessions.c.status).where(sessions.c.status != "closed")))),
        unrouted=ids(tx.all(adhoc(undecided))),
        due=ids(tx.all(adhoc(due))),
        unread=[f"{name}, {behind.rows} rows" for name, behind in measure(tx).readers.items() if behind.rows],
    )


def standing(tx: Tx, kind: str, key: str, last_words: str) -> Standing:
    """Return how the house stands with the customer *key* of a channel of the *kind*, up to their *last_words* (an external id).

    It has done with them when all is stored and decided, the session is closed, and nothing is on its way to them: whoever has no answer
    then was closed over.
    """
    of_customer = select(conversations.c.id).join(channels, channels.c.id == conversations.c.channel_id)
    of_customer = of_customer.where(channels.c.kind == kind, conversations.c.key == key)
    on_its_way = exists().where(outbox.c.conversation_id == conversations.c.id, one_of(outbox.c.state, "queued", "sending"))
    stored = exists().where(inputs.c.origin == conversations.c.channel_id, inputs.c.external_id == last_words)
    done = (
        of_customer.join(sessions, sessions.c.id == conversations.c.session_id)
        .where(conversations.c.worked_seq >= conversations.c.input_seq)
        .where(sessions.c.status == "closed", stored, ~on_its_way)
    )
    doubts = frozenset(doubt.text for doubt in in_doubt(tx) if (doubt.kind, doubt.key) == (kind, key))
    return Standing(tx.one(adhoc(done)) is not None, doubts)


@dataclass(frozen=True, slots=True)
class Doubt:
    """A message of which nobody knows whether it has arrived. *key*: its customer's; *token*: what it was sent under."""

    kind: str
    key: str
    token: str
    seq: int
    text: str
    problem: str

    @property
    def reason(self) -> str:
        """Return what of the reasons that there may be the problem begins with; empty: none."""
        return next((words for words in (NO_ANSWER, ANSWERED, STOPPED) if self.problem.startswith(words)), "")


def in_doubt(tx: Tx) -> list[Doubt]:
    """Return all that is unconfirmed."""
    doubts = (
        select(channels.c.kind, conversations.c.key, outbox.c.id, outbox.c.seq, messages.c.text, outbox.c.problem)
        .join_from(outbox, conversations, conversations.c.id == outbox.c.conversation_id)
        .join(channels, channels.c.id == outbox.c.channel_id)
        .join(messages, (messages.c.conversation_id == outbox.c.conversation_id) & (messages.c.seq == outbox.c.seq))
        .where(outbox.c.state == "unconfirmed")
    )
    return [Doubt(*row) for row in tx.all(adhoc(doubts))]
