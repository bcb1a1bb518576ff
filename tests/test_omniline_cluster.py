"""`omniline serve --role`: a house of several processes, on a real PostgreSQL and a real Redis, seen from outside."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from websockets.sync.client import ClientConnection

import omniline
from tests.support import postgres
from tests.support.collector import Collector, Span, running_collector
from tests.support.postgres import wait_until
from tests.support.redis import RedisServer, running_redis
from tests.test_omniline import Command, Serving, command_in
from tests.test_omniline_move import Console, Enter, Visitor, address, operator, rows

ROLES = ("web", "router", "sender,crm")


class House:
    """Three processes, a supervisor called Ann who sits in the shop, and a collector of what they tell."""

    def __init__(self, folder: Path, enter: Enter) -> None:
        server = postgres.server()
        name = server.migrated()
        enter(contextlib.ExitStack()).callback(server.drop, name)
        self.collector: Collector = enter(running_collector())
        self.redis: RedisServer = enter(running_redis())
        command = command_in(folder)
        command.environment.pop("OMNILINE_DATA")
        command.environment |= {
            "OMNILINE_DATABASE_URL": server.url(name),
            "OMNILINE_REDIS_URL": self.redis.url,
            "OMNILINE_TRACING__ENDPOINT": self.collector.url,
            "OMNILINE_TRACING__RATIO": "1",
        }
        self.command: Command = command
        assert command("migrate").returncode == 0
        operator(command, folder)
        (folder / "house.toml").write_text(
            '[lines.shop]\noperators = ["ann"]\n[channels.shop]\nkind = "widget"\nline = "shop"\n[operators.ann]\n'
        )
        applied = command("apply", str(folder / "house.toml"))
        assert applied.returncode == 0, applied.stderr
        self.url = server.url(name)
        self.processes = {roles: enter(serving(command, roles)) for roles in ROLES}

    def base(self, roles: str = "web") -> str:
        """Return the address of a process."""
        return base_of(self.processes[roles])


@contextlib.contextmanager
def serving(command: Command, roles: str) -> Iterator[Serving]:
    """Give a process that serves *roles* and ends well."""
    started = Serving(command.environment, ["serve", "--role", roles], last="Omniline serves")
    yield started
    assert started.stop() in (0, -signal.SIGKILL)  # a test may have killed it; nobody else does


@pytest.fixture
def enter() -> Iterator[Enter]:
    """Return what opens what is closed at the end."""
    with contextlib.ExitStack() as opened:
        yield opened.enter_context


@pytest.fixture
def house(tmp_path: Path, enter: Enter) -> House:
    """Return a house that serves."""
    return House(tmp_path, enter)


def metrics(base: str) -> dict[str, float]:
    """Return what a process shows, by sample."""
    text = httpx.get(f"{base}/metrics", trust_env=False).text
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {sample: float(value) for sample, _, value in lines}


def until(socket: ClientConnection, done: Callable[[dict[str, Any]], Any]) -> Any:
    """Return what *done* finds in the frames that come, once it finds something. Raises TimeoutError."""
    while not (found := done(json.loads(socket.recv(30)))):
        pass
    return found


def test_a_message_and_its_answer_go_through_three_processes_and_are_told_of(house: House, enter: Enter):
    """From the visitor by the router to the console and back: seen on both screens, in the numbers, and as two traces."""
    console, visitor = Console(enter, house.base(), "ann"), Visitor(enter, house.base())
    console.socket.send('{"t": "presence", "state": "online"}')
    assert visitor.write(str(uuid4()))["t"] == "ack"
    session = until(console.socket, lambda frame: next((one for one in sessions_of(frame, "offered")), None))
    answered = console.http.post(
        f"/api/v1/sessions/{session}/reply", json={"id": str(uuid4()), "text": "good day"}, headers={"Origin": house.base()}
    )
    assert answered.status_code == 202, answered.text
    until(visitor.socket, lambda frame: "good day" in json.dumps(frame))

    asked, told = traces(house.collector, "send")
    assert {span.parent for name, span in told.items() if name != "accept"} == {told["accept"].id}
    web, router, sender = told["accept"].process, told["decide"].process, told["send"].process
    assert len({web, router, sender}) == len(ROLES)
    assert (asked["accept"].process, asked["decide"].process, asked["show"].process) == (web, router, web)
    assert told["send"].attributes["omniline.outcome"] == "sent"
    assert asked["accept"].trace != told["accept"].trace

    numbers = {roles: metrics(house.base(roles)) for roles in ROLES}
    assert numbers["web"]['omniline_accepted_inputs_total{origin="widget"}'] == 1
    assert numbers["router"]["omniline_decided_total"] >= 2
    assert numbers["router"]['omniline_offers_total{outcome="taken"}'] == numbers["router"]["omniline_wait_seconds_count"] == 1
    assert numbers["sender,crm"]['omniline_sent_total{channel="shop",kind="widget",outcome="sent"}'] >= 1
    assert numbers["sender,crm"]['omniline_house_sessions{line="shop",status="active"}'] == 1
    assert {role: numbers["web"][f'omniline_processes{{role="{role}"}}'] for role in omniline.ROLES} == {
        role: float(any(role in roles.split(",") for roles in ROLES)) for role in omniline.ROLES
    }


def test_who_runs_and_who_does_not_is_told(house: House):
    """A line for each process, with what it alone may do; a role that nobody has is said, and is the command's status."""
    told = house.command("processes")
    *lines, missing = told.stdout.splitlines()

    assert (1, "nobody does: channels") == (told.returncode, missing)
    assert sorted(line.split()[0] for line in lines[1:]) == sorted(ROLES)
    holds = {roles: " ".join(next(line for line in lines if line.startswith(roles + " ")).split()[-2:]) for roles in ROLES}
    assert ("timers" in holds["router"], "crm" in holds["sender,crm"]) == (True, True)


TAKEN_OVER_SECONDS = 10.0


def test_what_one_process_alone_may_do_is_taken_over_within_ten_seconds_of_its_death(house: House, enter: Enter):
    """Killed, not stopped: nobody has given the lease back."""
    other = enter(serving(house.command, "router"))
    held = 'omniline_leases_held{name="timers"}'
    holder = house.processes["router"]
    assert (metrics(house.base("router"))[held], metrics(base_of(other)).get(held, 0)) == (1, 0)
    holder.process.kill()
    began = time.monotonic()
    wait_until(lambda: metrics(base_of(other)).get(held) == 1)

    assert time.monotonic() - began < TAKEN_OVER_SECONDS
    assert rows(house.url, "SELECT count(*) FROM leases WHERE name = 'timers'") == [(1,)]


def test_a_lost_redis_is_told_and_keeps_nobody_from_being_served(house: House, enter: Enter):
    """`/readyz` stays 200 and says what is late; a message is accepted and decided all the same; back again it says nothing."""

    def late() -> str:
        answer = httpx.get(f"{house.base()}/readyz", trust_env=False)
        assert answer.status_code == 200
        return " ".join(answer.json().get("late", ()))

    visitor = Visitor(enter, house.base())
    assert late() == ""
    house.redis.kill()
    wait_until(lambda: late().startswith("redis: "))
    assert metrics(house.base())["omniline_transport_lost"] == 1
    assert visitor.write(str(uuid4()))["t"] == "ack"
    wait_until(lambda: rows(house.url, "SELECT count(*) FROM conversations WHERE worked_seq = input_seq") == [(1,)])
    house.redis.start()

    wait_until(lambda: late() == "")
    assert metrics(house.base())["omniline_transport_lost"] == 0


def test_two_processes_without_redis_are_told_that_they_cannot_wake_each_other(house: House, enter: Enter):
    """They serve, and find each other's work by looking: both say so."""
    environment = {name: value for name, value in house.command.environment.items() if name != "OMNILINE_REDIS_URL"}
    alone = Serving(environment, ["serve"], last="Omniline serves")
    try:
        wait_until(lambda: "set redis_url for all of them" in httpx.get(f"{base_of(alone)}/readyz", trust_env=False).text)
    finally:
        assert alone.stop() == 0


def base_of(started: Serving) -> str:
    """Return the address of a process."""
    return address(started).partition(" ")[0]


def test_a_process_that_was_taken_for_dead_says_again_who_is_in_it(house: House, enter: Enter):
    """It was frozen, say, and the others have buried it: its consoles have never gone."""
    Console(enter, house.base(), "ann")
    wait_until(lambda: rows(house.url, "SELECT count(*) FROM consoles") == [(1,)])
    with psycopg.connect(house.url, autocommit=True) as connection:
        connection.execute("DELETE FROM consoles")
        connection.execute("DELETE FROM processes WHERE roles = 'web'")

    wait_until(lambda: rows(house.url, "SELECT roles FROM processes WHERE roles = 'web'") == [("web",)])
    wait_until(lambda: rows(house.url, "SELECT count(*) FROM consoles") == [(1,)])


NEXT_RELEASE = (
    "ALTER TABLE messages ADD COLUMN next_release text NOT NULL DEFAULT ''",
    "ALTER TABLE sessions ADD COLUMN next_release bigint",
    "UPDATE alembic_version SET serves = version_num, version_num = '9999'",
    "INSERT INTO channels (id, line_id, slug, kind, name, settings) "
    "SELECT '01900000-0000-7000-8000-0000000000c1', id, 'next', 'of the next release', 'Next', '{}' FROM lines LIMIT 1",
    "UPDATE lines SET version = version + 1",
)


def test_old_processes_go_on_with_the_schema_of_the_next_release_and_may_be_started_again(house: House, enter: Enter):
    """It is made under their traffic, in their prepared statements; a new schema that does not serve them keeps them from starting."""
    visitor = Visitor(enter, house.base())
    assert visitor.write(str(uuid4()))["t"] == "ack"
    with psycopg.connect(house.url) as connection:
        for statement in NEXT_RELEASE:
            connection.execute(statement)

    def decided() -> bool:
        with psycopg.connect(house.url) as connection:
            (left,) = connection.execute("SELECT count(*) FROM conversations WHERE worked_seq < input_seq").fetchone() or (1,)
        return bool(left == 0)

    assert visitor.write(str(uuid4()))["t"] == "ack"
    wait_until(decided)
    again = enter(serving(house.command, "router"))
    assert "Omniline serves" in again.said
    assert house.command("migrate").returncode == 0

    with psycopg.connect(house.url) as connection:
        connection.execute("UPDATE alembic_version SET serves = '9998'")
    refused = house.command("serve", "--role", "router")
    assert (refused.returncode, "written by a newer Omniline" in refused.stderr) == (1, True)


def traces(collector: Collector, last: str) -> tuple[dict[str, Span], dict[str, Span]]:
    """Return the spans, by name, of the customer's message and of the operator's, once *last* of the latter has come."""

    def of(root: Span) -> dict[str, Span]:
        return {span.name: span for span in collector.spans if span.trace == root.trace}

    def roots() -> list[Span]:
        """The operator's last."""
        found = [span for span in collector.spans if span.name == "accept"]
        return sorted(found, key=lambda span: span.attributes["omniline.origin"] == "console")

    wait_until(lambda: len(roots()) == 2 and {"decide", "show", last} <= of(roots()[1]).keys() and "show" in of(roots()[0]))
    asked, told = roots()
    return of(asked), of(told)


def sessions_of(frame: dict[str, Any], status: str) -> list[str]:
    """Return the sessions in *status* of which a console's frame tells."""
    cards = [update["card"] for update in frame.get("list", ()) if "card" in update]
    return [card["session"] for card in cards if card["status"] == status]
