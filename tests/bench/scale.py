"""Several processes: the main path beside its own floor, what a second router is worth, and lists over a long history.

`scale_rate_ratio`: the pipeline's traffic through `web` and `router,sender,crm` on PostgreSQL and Redis, by turns with a floor that is
built the same way (tests/bench/floor_pair.py).

`scale_two_routers_ratio`: see tests/bench/routers.py.

`scale_list_growth_ratio`: what a console opens, the board, and the sessions of one contact, at LARGE sessions over the same at SMALL;
the largest of the three ratios. There is no search through texts or names in the product yet: looking up what one contact has had is
the only question to the whole history that is not in its order.
"""

from __future__ import annotations

import asyncio
import http.client
import time
from collections.abc import Awaitable, Callable

import psycopg
import uvloop

from tests.bench.cluster import WEB, ClusterServer, ClusterSubject, FloorPairSubject
from tests.bench.databases import Databases
from tests.bench.filling import fill
from tests.bench.list import ANSWER_SECONDS, HELD, OPENINGS, OPERATORS, ROUNDS, WAITING, opening
from tests.bench.measure import HOST, BenchError, Report, median, progress
from tests.bench.pipeline import median_rate, take_rounds
from tests.bench.product import OPERATOR_LOGINS, PASSWORD_VARIABLE, house, log_in
from tests.bench.routers import two_routers_ratio

SMALL, LARGE = 10_000, 1_000_000
SUPERVISOR = "supervisor"
"""Who looks at the board."""


def run(report: Report) -> None:
    """Report `scale_rate_ratio`, `scale_two_routers_ratio` and `scale_list_growth_ratio`."""
    rounds = take_rounds({"floor": FloorPairSubject, "cluster": ClusterSubject})
    report("scale_rate_ratio", median_rate(rounds["cluster"]) / median_rate(rounds["floor"]), "x")
    report("scale_two_routers_ratio", two_routers_ratio(), "x")
    report("scale_list_growth_ratio", list_growth_ratio(), "x")


def list_growth_ratio(small: int = SMALL, large: int = LARGE) -> float:
    """Return how much longer the slowest to grow of the three takes at *large* sessions than at *small*."""
    databases = Databases()
    houses: dict[int, ClusterServer] = {}
    try:
        for size in (small, large):
            houses[size] = filled_house(size, databases)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            taken = runner.run(lookings(houses))
    finally:
        for one in houses.values():
            one.stop()
        databases.stop()
    ratios = {}
    for name, by_size in taken.items():
        ms = {size: median(seconds) * 1000 for size, seconds in by_size.items()}
        ratios[name] = ms[large] / ms[small]
        progress(f"   {name}: {ms[small]:.2f} ms at {small:,} sessions, {ms[large]:.2f} ms at {large:,}: {ratios[name]:.2f}")
    return max(ratios.values())


def filled_house(size: int, databases: Databases) -> ClusterServer:
    """Return a house of *size* sessions, two to a conversation, with its web process running."""
    begun = time.perf_counter()
    people = house(OPERATORS) + f'[operators.{SUPERVISOR}]\nrole = "supervisor"\npassword_env = "{PASSWORD_VARIABLE}"\n'
    server = ClusterServer(people, (WEB,), databases)
    try:
        fill(server.url, size // 2, waiting=WAITING, held=HELD)
        progress(f"   {size:,} sessions were written in {time.perf_counter() - begun:.1f} s")
        server.start()
    except BaseException:
        server.stop()
        raise
    return server


async def lookings(houses: dict[int, ClusterServer]) -> dict[str, dict[int, list[float]]]:
    """Look at each house again and again, by turns; return the seconds that each way of looking took, by the house's size."""
    taken: dict[str, dict[int, list[float]]] = {}
    looks = {size: await ways(server) for size, server in houses.items()}
    for round_ in range(ROUNDS + 1):
        for size, named in looks.items():
            for name, look in named.items():
                seconds = [await look() for _ in range(OPENINGS)]
                if round_:  # in the first one statements are prepared and pages read
                    taken.setdefault(name, {}).setdefault(size, []).extend(seconds)
    return taken


async def ways(server: ClusterServer) -> dict[str, Callable[[], Awaitable[float]]]:
    """Return the ways to look at the house of *server*, each of which returns the seconds it took."""
    port = server.running.port
    operator = await asyncio.to_thread(log_in, port, OPERATOR_LOGINS.format(0))
    supervisor = await asyncio.to_thread(log_in, port, SUPERVISOR)
    contact = await asyncio.to_thread(contact_in_the_middle, server.url)
    return {
        "first screen and lists": lambda: opening(port, operator),
        "board": lambda: asyncio.to_thread(asked, port, supervisor, "/api/v1/board"),
        "sessions of one contact": lambda: asyncio.to_thread(asked, port, operator, f"/api/v1/sessions?contact={contact}"),
    }


def contact_in_the_middle(url: str) -> str:
    """Return the id of a contact from the middle of the history."""
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT id FROM contacts ORDER BY id OFFSET (SELECT count(*) / 2 FROM contacts) LIMIT 1"
        ).fetchone()
    assert row is not None
    return str(row[0])


def asked(port: int, cookie: str, path: str) -> float:
    """Ask for *path* once; return the seconds to the end of its answer. Raises BenchError when that is no 200."""
    connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS)
    try:
        connection.connect()
        begun = time.perf_counter()
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - begun
    finally:
        connection.close()
    if answer.status != 200:
        raise BenchError(f"{path} was answered with {answer.status}: {body[:300]!r}")
    return seconds
