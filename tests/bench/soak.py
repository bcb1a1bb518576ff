"""Whether memory grows while the house works: the default installation at PACE messages a second for ten minutes.

The traffic is the pipeline's: 1,000 visitors, 20 operators, and sessions that open and close as the history grows.
What a process takes in its first minute, it takes for good; what it still takes after that would go on for weeks.
"""

from __future__ import annotations

import asyncio

import uvloop

from tests.bench.measure import BenchError, Report, progress, rss_kib
from tests.bench.pipeline import OPERATORS, PACE, VISITORS, Traffic
from tests.bench.product import ProductSubject
from tests.bench.wsclient import WebSocketError

BEGIN_SECONDS, END_SECONDS = 60.0, 600.0


def run(report: Report) -> None:
    """Report `soak_growth_mib`."""
    report("soak_growth_mib", growth_mib(), "MiB")


def growth_mib(
    begin_seconds: float = BEGIN_SECONDS,
    end_seconds: float = END_SECONDS,
    *,
    visitors: int = VISITORS,
    operators: int = OPERATORS,
) -> float:
    """Return by how much the server's resident memory grows from *begin_seconds* of traffic to *end_seconds*."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        samples = runner.run(mib_after([begin_seconds, end_seconds], visitors, operators))
    return samples[-1] - samples[0]


async def mib_after(moments: list[float], visitors: int, operators: int) -> list[float]:
    """Return the server's resident memory after each of *moments* of traffic, in seconds from its beginning."""
    subject = ProductSubject()
    subject.operators = operators
    samples: list[float] = []
    try:
        await subject.start()
        traffic = Traffic(subject, visitors)
        await subject.connect_operators(operators)
        await subject.connect_visitors(visitors)
        await traffic.open()
        await subject.settled()
        passed = 0.0
        for moment in moments:
            await traffic.pace(PACE, moment - passed)
            passed = moment
            samples.append(rss_kib(subject.pid) / 1024)
            progress(f"   {samples[-1]:.1f} MiB after {passed:g} s")
    except (OSError, WebSocketError) as error:
        raise BenchError(f"product: a client could not connect: {error!r}") from error
    finally:
        await subject.stop()
    return samples
