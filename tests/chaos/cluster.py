"""A chaos run of a house of several processes on a real PostgreSQL and a real Redis: each of them dies, hangs and comes back in traffic.

Two processes serve people, two route, two do the rest; whoever watches over processes would start one again when it dies, and so does
the run. One that ends by itself, or with another status than it was to end with, ends the run. What may happen to any of them, at
random moments:

    kill, point, term, freeze, all         a process: killed, killed at a crash point, stopped in order, stopped for a while; all killed
    clock                                  a process: its wall clock jumps for a while
    vanish                                 half of the visitors and operators: their sockets stay half-open, and they come by others
    crowd                                  both that serve people are killed under a crowd of open widgets, which comes back at once
    restart, sever, stall, full            PostgreSQL: as after a power cut, every connection cut, standing still, its disk full
    empty, flush, silence                  Redis: killed and started empty, FLUSHALL, standing still

All the while two providers of messages have their own troubles (`tests.chaos.provider`), and two consoles read slowly, or nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from broker import leases
from broker.clock import SystemIds
from broker.errors import StoreError
from broker.store.postgres import read_once
from tests.chaos.checker import Ledger, check
from tests.chaos.crowd import Console, Crowd
from tests.chaos.provider import ANSWERED, FORGETFUL, NO_ANSWER, Provider, Standing
from tests.chaos.record import House, Line, Run
from tests.chaos.server import POINTS
from tests.chaos.traffic import HOST, PASSWORD, Operator, Traffic
from tests.chaos.trials import (
    AUDITOR,
    HOUSE,
    OPERATORS,
    REACH_SECONDS,
    ROOT,
    START_SECONDS,
    STOP_SECONDS,
    STOPPED,
    VISITORS,
    Doubt,
    Say,
    ServerFailed,
    in_doubt,
    left_behind,
    never_came,
    settled,
    standing,
    summary_of,
)
from tests.support.postgres import DISK_FULL
from tests.support.postgres import Server as Postgres
from tests.support.redis import RedisServer, free_port

MEMBERS = (
    ("web-1", "web"),
    ("web-2", "web"),
    ("router-1", "router"),
    ("router-2", "router"),
    ("rest-1", "sender,channels"),
    ("rest-2", "sender,crm"),
    ("rest-3", "channels,crm"),
)
SENDERS = tuple(name for name, roles in MEMBERS if "sender" in roles)
CUSTOMERS = 4
"""In each provider's chats, beside the visitors."""
CROWD = 2_000
COMES_SECONDS = 120.0
"""Within which all of a crowd is served again."""
DRAIN_SECONDS = 60.0
"""The bound for anything to be stuck: a lease, the time for another to take over, and the work."""
COMMAND_SECONDS = 300
OF_POSTGRES = ("restart", "sever", "stall", "full")
OF_REDIS = ("empty", "flush", "silence")


@dataclass(frozen=True, slots=True)
class Trial:
    """One fault. *what*: see the module; *whom*: a member; *before*: seconds of traffic until then; *seconds*: how long it lasts.

    *jump*: by how many seconds a clock jumps.
    """

    what: str
    before: float
    whom: str = ""
    point: str = ""
    seconds: float = 0.0
    jump: float = 0.0

    @property
    def kills(self) -> int:
        """How many processes of ours it kills."""
        return {"all": len(MEMBERS), "crowd": 2, "kill": 1, "point": 1}.get(self.what, 0)

    def __str__(self) -> str:
        jump = f"{self.jump:+.0f} s for" if self.jump else ""
        words = (self.what, self.whom, self.point, jump, f"{self.seconds:.1f} s" if self.seconds else "")
        return " ".join(word for word in words if word)


def plan(seed: int, kills: int, faults: int) -> list[Trial]:
    """Return the trials of a run: at least *kills* processes killed, and each of the other faults *faults* times."""
    chance = random.Random(f"{seed} cluster")
    names = [name for name, _ in MEMBERS]
    trials: list[Trial] = []
    # Every member in turn, by kill -9 and at each point that it passes: sends are the senders', commits everybody's.
    plain = itertools.cycle(names)
    each_point = []
    for number, point in enumerate(POINTS):
        passing = SENDERS if point.endswith("send") else names
        starts = 2 * number % len(passing)  # so that a short run takes others at each
        each_point.append(itertools.cycle([(point, name) for name in (*passing[starts:], *passing[:starts])]))
    points = itertools.chain.from_iterable(zip(*each_point, strict=False))
    for number in range(kills):
        if number % 3 < 2:
            trials.append(Trial("kill", chance.uniform(0.1, 1.2), next(plain)))
            continue
        point, whom = next(points)
        passes = chance.randint(1, 8 if point.endswith("send") else 40)
        trials.append(Trial("point", chance.uniform(0.1, 1.2), whom, f"{point}:{passes}"))
    for _ in range(faults):
        trials += [Trial(what, chance.uniform(0.2, 1.0), seconds=_lasts(what, chance)) for what in (*OF_POSTGRES, *OF_REDIS)]
        trials.append(Trial("freeze", chance.uniform(0.2, 1.0), chance.choice(names), seconds=chance.uniform(0.5, 15.0)))
        trials.append(Trial("term", chance.uniform(0.2, 1.0), chance.choice(names)))
        trials.append(Trial("vanish", chance.uniform(0.2, 1.0)))
        jump = chance.choice((-1, 1)) * chance.uniform(2.0, 4_000.0)
        trials.append(Trial("clock", chance.uniform(0.2, 1.0), chance.choice(names), seconds=chance.uniform(0.5, 4.0), jump=jump))
    trials += [Trial(what, chance.uniform(0.2, 1.0)) for what in ("all", "crowd") for _ in range(max(1, faults // 3))]
    chance.shuffle(trials)
    return trials


def _lasts(what: str, chance: random.Random) -> float:
    return chance.uniform(0.3, 4.0) if what in ("stall", "full", "silence") else 0.0


class Member:
    """One process of the house: the same roles and port at every start."""

    def __init__(self, name: str, roles: str, folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self.port = free_port()
        self._roles = roles
        self._mischief = folder / f"{name}.json"
        self._environment = environment | {"OMNILINE_LISTEN": f"{HOST}:{self.port}", "CHAOS_MISCHIEF": str(self._mischief)}
        self.log = folder / f"{name}.log"
        self._process: Process | None = None

    async def start(self, crash: str = "") -> None:
        """Start the process; `ready` waits until it serves."""
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "tests.chaos.server", "--role", self._roles),
                *(("--crash", crash) if crash else ()),
                "serve",
                cwd=ROOT,
                env=self._environment,
                stdout=PIPE,
                stderr=log,
            )

    async def ready(self) -> bool:
        """Return when it says where it is, or False when it ends before."""
        process = self._running
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            async for line in process.stdout:
                if b"Omniline serves" in line:
                    return True
        await process.wait()
        return False

    @property
    def status(self) -> int | None:
        """Return with what it has ended; None while it runs."""
        return self._running.returncode

    @property
    def _running(self) -> Process:
        assert self._process is not None
        return self._process

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            self._running.send_signal(number)

    def trouble(self, **wrong: object) -> None:
        """Have this be wrong with its machine (`tests.chaos.server`)."""
        self._mischief.write_text(json.dumps(wrong))
        self.send(signal.SIGUSR1)

    async def kill(self) -> int:
        """Kill it; return its status."""
        self.send(signal.SIGKILL)
        return await self._running.wait()

    async def stop(self) -> int:
        """Ask it to end; return its status."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        return await self.ended(STOP_SECONDS)

    async def ended(self, seconds: float) -> int:
        """Wait for its end. Raises TimeoutError."""
        return await asyncio.wait_for(self._running.wait(), seconds)

    def log_tail(self) -> str:
        """Return the end of what all its starts wrote."""
        text = self.log.read_bytes()[-2_000:].decode(errors="replace") if self.log.exists() else ""
        return f"--- {self.name}\n{text}"


def demand(wanted: int, status: int | BaseException | None, member: Member, what: object) -> None:
    """Raise ServerFailed when the member has not ended as it was to: with another status, or not at all (an exception)."""
    if status != wanted:
        raise ServerFailed(f"{what}: {member.name} ended with {status!r} and not with {wanted}\n{member.log_tail()}")


def demand_running(members: Iterable[Member], what: object) -> None:
    """Raise ServerFailed when one of *members* has ended: nobody asked it to."""
    for member in members:
        if member.status is not None:
            raise ServerFailed(f"{what}: {member.name} has ended by itself, with {member.status}\n{member.log_tail()}")


def weigh(doubts: Sequence[Doubt], unanswered: Collection[str], stopped_max: int) -> tuple[dict[str, set[int]], list[str]]:
    """Return of each customer the places that are in doubt with reason, and what is without.

    Only with the provider that forgets is there reason, and the adapter, which is ours, says which: that nobody answered, or with what,
    and then the provider has the token among those that it left *unanswered*. A sender that ends, or cannot write down what became of
    it, leaves one message of a conversation so: *stopped_max* in all.
    """
    places: dict[str, set[int]] = {}
    without: list[str] = []
    stopped = 0
    for doubt in doubts:
        stopped += doubt.reason == STOPPED
        reasons = {NO_ANSWER: True, ANSWERED: doubt.token in unanswered, STOPPED: stopped <= stopped_max}
        if doubt.kind == FORGETFUL and reasons.get(doubt.reason, False):
            places.setdefault(doubt.key, set()).add(doubt.seq)
        else:
            without.append(f"{doubt.kind}/{doubt.key}/{doubt.seq}/{doubt.problem}")
    return places, without


class Cluster:
    """One run."""

    def __init__(self, folder: Path, seed: int, trials: Sequence[Trial], say: Say, crowd: int = CROWD) -> None:
        """*crowd*: how many widgets one has."""
        self.trials = trials
        self.crowd = crowd
        self.absent: list[str] = []
        self.seed = seed
        self.say = say
        self.folder = folder
        self.postgres = Postgres(durable=True)
        self.redis = RedisServer(folder)
        self.provider, self.forgetful = Provider(seed, CUSTOMERS), Provider(seed, CUSTOMERS, FORGETFUL)
        self.providers = (self.provider, self.forgetful)
        self.doubts: Counter[str] = Counter()
        """Of how many messages nobody knows whether they have arrived, by the reason."""
        self.url = self.postgres.url(self.postgres.empty())
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("OMNILINE_")} | {
            "CHAOS_PASSWORD": PASSWORD,
            "OMNILINE_DATABASE_URL": self.url,
            "OMNILINE_LOG__LEVEL": "warning",
            "OMNILINE_LOG__FORMAT": "json",
        }
        self.members: dict[str, Member] = {}
        self.traffic: Traffic | None = None
        self.ends: Counter[str] = Counter()
        self.start_seconds: list[float] = []
        self.taken_over: dict[str, int] = {}
        """How often each lease has changed hands."""

    @property
    def kills(self) -> int:
        """How many processes of ours the plan kills."""
        return sum(trial.kills for trial in self.trials)

    async def run(self) -> Ledger:
        """Do every trial, drain, audit; return the ledger."""
        self.redis.start()
        for provider in self.providers:
            await provider.start()
        self.environment["OMNILINE_REDIS_URL"] = self.redis.url
        self.members = {name: Member(name, roles, self.folder, self.environment) for name, roles in MEMBERS}
        ports = [self.members["web-1"].port, self.members["web-2"].port]
        consoles = [
            Console(AUDITOR, ports, random.Random(f"{self.seed} console {stares}"), lambda: None, stares=stares)
            for stares in (True, False)
        ]
        traffic = self.traffic = Traffic(ports, self.seed, VISITORS, OPERATORS, self.providers, consoles)
        for provider in self.providers:
            provider.changed, provider.standing = traffic.changed, self._standing
        try:
            await self._open(traffic)
            for number, trial in enumerate(self.trials, 1):
                await self._try(trial)
                traffic.fail_fast()
                demand_running(self.members.values(), trial)
                self.say(f"{number}/{len(self.trials)} {trial}: {traffic.said} messages acknowledged")
            await traffic.drain(DRAIN_SECONDS)
            run = Run([one.record for one in traffic.visitors], [one.record for one in traffic.operators])
            run.trials = len(self.trials)
            planned = (trial.point.partition(":")[0] or trial.what for trial in self.trials)
            run.absent = [*self.absent, *traffic.waits, *never_came(planned, self.ends)]
            rested = await settled(self._left_behind, DRAIN_SECONDS)
            threads = await self._read_again(traffic)
            demand_running(self.members.values(), "the drain")
            held = await asyncio.to_thread(read_once, self.url, leases.held)
            self.taken_over = {name: token - 1 for name, _, token, _ in held}
        finally:
            await traffic.stop()
            for provider in self.providers:
                await provider.stop()
            stopped = await asyncio.gather(*(one.stop() for one in self.members.values()), return_exceptions=True)
        run.house = await asyncio.to_thread(self._left_behind)
        run.house.found_at_rest(rested)
        run.house.threads = threads
        for provider in self.providers:
            run.visitors += provider.records(threads)
        doubts = await asyncio.to_thread(read_once, self.url, in_doubt)
        self.doubts = Counter(doubt.reason for doubt in doubts)
        places, run.house.unconfirmed = weigh(doubts, self.forgetful.unanswered, CUSTOMERS * len(self.trials))
        for visitor in run.visitors:
            visitor.in_doubt = places.get(visitor.name, set())
        # As autovacuum does, which a server of the tests has not: PostgreSQL would plan for empty tables.
        await asyncio.to_thread(self.postgres.run, "ANALYZE", self.url.rpartition("/")[2])
        reconciled, run.house.report = await self._command("reconcile")
        run.house.reconciled = reconciled == 0
        replayed, words = await self._command("replay")
        run.house.unlike = words if replayed != 0 else ""
        for member, status in zip(self.members.values(), stopped, strict=True):
            demand(0, status, member, "the last stop")
        self.redis.kill()
        ledger = check(run)
        if ledger.ok:
            self.postgres.remove()
        else:
            self.postgres.keep()
            self.say(f"the database is kept in {self.postgres.folder}")
        return ledger

    async def _command(self, *arguments: str) -> tuple[int, str]:
        line = [sys.executable, "-m", "omniline", *arguments]
        try:
            done = await asyncio.to_thread(
                subprocess.run,
                line,
                env=self.environment,
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=False,
                timeout=COMMAND_SECONDS,
            )
        except subprocess.TimeoutExpired:
            return 1, f"{arguments} took more than {COMMAND_SECONDS} s"
        return done.returncode, done.stdout + done.stderr

    async def _open(self, traffic: Traffic) -> None:
        file = self.folder / "house.toml"
        file.write_text(HOUSE)
        for arguments in (("migrate",), ("apply", str(file))):
            status, words = await self._command(*arguments)
            if status:
                raise ServerFailed(words)
        for provider in self.providers:
            await asyncio.to_thread(self._connect, provider)
        await asyncio.gather(*(self._serve(one) for one in self.members.values()))
        traffic.start()
        for provider in self.providers:
            provider.begin()
        if not await traffic.until(lambda: all(visitor.texts for visitor in traffic.visitors), DRAIN_SECONDS):
            raise ServerFailed(f"not everybody was answered before the first trial\n{self.summary()}\n{self.log_tail()}")

    def _connect(self, provider: Provider) -> None:
        """Add its channel by hand: `omniline apply` knows the kinds that there are."""
        settings = json.dumps({"url": provider.url})
        with psycopg.connect(self.url) as connection:
            connection.execute(
                "INSERT INTO channels (id, line_id, slug, kind, name, settings) SELECT %s, id, %s, %s, %s, %s FROM lines",
                [SystemIds().new(), *[provider.kind] * 3, settings],
            )

    async def _serve(self, member: Member, crash: str = "") -> bool:
        """Start it until it serves; False when it came to its crash point before.

        While the database is away it cannot serve, and whoever watches over it tries again; how often is in the summary.
        """
        began = time.monotonic()
        while True:
            await member.start(crash)
            try:
                if await member.ready():
                    break
            except TimeoutError:
                raise ServerFailed(f"{member.name} does not serve after {START_SECONDS:.0f} s\n{member.log_tail()}") from None
            if crash and member.status == -signal.SIGKILL:
                return False
            self.ends[f"start in vain (status {member.status})"] += 1
            if time.monotonic() - began >= START_SECONDS:
                raise ServerFailed(f"{member.name} does not serve\n{member.log_tail()}")
        self.start_seconds.append(time.monotonic() - began)
        return True

    # --- trials

    async def _try(self, trial: Trial) -> None:
        await asyncio.sleep(trial.before)  # traffic
        demand_running(self.members.values(), f"before {trial}")
        member = self.members.get(trial.whom)
        match trial.what:
            case "kill":
                assert member is not None
                await self._kill([member], trial)
            case "point":
                assert member is not None
                demand(0, await member.stop(), member, trial)
                end = trial.point.partition(":")[0]
                if await self._serve(member, trial.point):
                    try:
                        await member.ended(REACH_SECONDS)
                    except TimeoutError:
                        end = f"{end} not come to"
                # At the point it has killed itself; where it has not come to it, it is killed.
                demand(-signal.SIGKILL, await member.kill(), member, trial)
                self.ends[end] += 1
                await self._serve(member)
            case "term":
                assert member is not None
                demand(0, await member.stop(), member, trial)
                await self._serve(member)
            case "freeze":
                assert member is not None
                member.send(signal.SIGSTOP)
                await asyncio.sleep(trial.seconds)  # what it sleeps through
                member.send(signal.SIGCONT)
            case "clock":
                assert member is not None
                member.trouble(clock=trial.jump)
                await asyncio.sleep(trial.seconds)  # how long it goes wrong
                member.trouble()
            case "vanish":
                assert self.traffic is not None
                people = [*self.traffic.visitors, *self.traffic.operators]
                await asyncio.gather(
                    *(one.vanish() for one in random.Random(f"{self.seed} {trial.before}").sample(people, len(people) // 2))
                )
            case "crowd":
                await self._overrun(trial)
            case "all":
                await self._kill(list(self.members.values()), trial)
            case what:
                await self._disturb(what, trial.seconds)
        self.ends[trial.what] += 1

    async def _overrun(self, trial: Trial) -> None:
        """Have a crowd come, cut them all off at once, and see them all served again."""
        doors = [self.members[name] for name in ("web-1", "web-2")]
        crowd = Crowd([one.port for one in doors], self.crowd, self.seed)
        crowd.come()
        try:
            await self._all_there(crowd, "came")
            await self._kill(doors, trial)
            await self._all_there(crowd, "came back")
        finally:
            await crowd.leave()

    async def _all_there(self, crowd: Crowd, what: str) -> None:
        began = time.monotonic()
        with suppress(TimeoutError):
            async with asyncio.timeout(COMES_SECONDS):
                await crowd.complete.wait()
        if crowd.complete.is_set():
            self.say(f"a crowd of {crowd.size} {what} in {time.monotonic() - began:.1f} s")
        else:
            self.absent.append(f"of a crowd of {crowd.size} only {crowd.here} {what} within {COMES_SECONDS:.0f} s")

    async def _kill(self, members: Sequence[Member], trial: Trial) -> None:
        """Kill them all at once, and start them again."""
        for member, status in zip(members, await asyncio.gather(*(one.kill() for one in members)), strict=True):
            demand(-signal.SIGKILL, status, member, trial)
        await asyncio.gather(*(self._serve(one) for one in members))

    async def _disturb(self, what: str, seconds: float) -> None:
        """Do something to PostgreSQL or Redis."""
        match what:
            case "restart":
                await asyncio.to_thread(self.postgres.restart, "immediate")
            case "sever":
                statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'omniline %'"
                await asyncio.to_thread(self.postgres.run, statement)
            case "stall":
                await self._stand_still(self.postgres.pause, lambda: self.postgres.pause(paused=False), seconds)
            case "full":
                with psycopg.connect(self.url) as connection:
                    connection.execute(
                        f"{DISK_FULL}; CREATE TRIGGER disk_full BEFORE INSERT ON journal EXECUTE FUNCTION disk_full()"
                    )
                try:
                    await asyncio.sleep(seconds)  # how long there is no room
                finally:
                    with psycopg.connect(self.url) as connection:
                        connection.execute("DROP FUNCTION disk_full CASCADE")
            case "empty":
                await asyncio.to_thread(self.redis.kill)
                await asyncio.to_thread(self.redis.start)
            case "flush":
                await asyncio.to_thread(self.redis.ask, "FLUSHALL")
            case "silence":
                await self._stand_still(self.redis.pause, self.redis.resume, seconds)
            case _:
                raise ValueError(what)

    @staticmethod
    async def _stand_still(pause: Any, go_on: Any, seconds: float) -> None:
        pause()
        try:
            await asyncio.sleep(seconds)  # how long it stands still
        finally:
            go_on()

    # --- the end

    def _left_behind(self) -> House:
        return read_once(self.url, lambda tx: left_behind(tx, {one.kind: one.unreadable for one in self.providers}))

    async def _standing(self, kind: str, customer: str, last_words: str) -> Standing:
        try:
            return await asyncio.to_thread(read_once, self.url, lambda tx: standing(tx, kind, customer, last_words))
        except StoreError:
            return Standing()  # the database is away

    async def _read_again(self, traffic: Traffic) -> dict[str, list[Line]]:
        for visitor in traffic.visitors:
            await visitor.read_history()
        eve = Operator(AUDITOR, [self.members["web-1"].port], random.Random(0), lambda: None)
        return await eve.read_threads()

    def summary(self) -> str:
        """Return what happened, in lines."""
        assert self.traffic is not None
        told = [
            f"{one.kind}: {sum(len(customer.said) for customer in one.customers.values())} said, {len(one.sent)} taken, "
            f"{one.repeats} sent again; {one.comebacks} wrote again after a closing over their words; "
            f"{len(one.unreadable)} updates that nobody can read; troubles: {dict(one.troubles)}"
            for one in self.providers
        ]
        return "\n".join(
            [
                f"processes killed: {self.kills}; leases taken over: {self.taken_over}",
                summary_of(self.traffic, self.ends, self.start_seconds),
                *told,
                f"in doubt: {dict(self.doubts)}",
            ]
        )

    def log_tail(self) -> str:
        """Return the ends of what the processes wrote."""
        return "\n".join(one.log_tail() for one in self.members.values())
