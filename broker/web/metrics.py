"""`/metrics`: the numbers of `broker.metrics` in the form Prometheus reads.

Served to this machine itself (a Prometheus beside us, without a proxy in between), to the networks that the configuration names and to
administrators; they tell strangers how busy a business is.
"""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from broker import metrics
from broker.access.authorize import Action, authorize
from broker.errors import NotAuthenticated, StoreError
from broker.store.measures import Measures, measure
from broker.web.wiring import Anybody, Parts, PartsOf

log = structlog.get_logger(__name__)
routes = APIRouter(tags=["operations"])

FRESH_SECONDS = 5.0
"""How old what was read of the house may be: several who ask cost the database no more than one."""


@routes.get(
    "/metrics", dependencies=[Anybody("this machine itself needs no login; all others are asked inside")], response_class=Response
)
async def show_metrics(request: Request, parts: PartsOf) -> Response:
    """Give the numbers to this machine, to a network that may have them, or to an administrator."""
    direct = parts.addresses.is_loopback(request.scope) or parts.addresses.is_from(request.scope, parts.settings.metrics_from)
    if not direct:
        actor = await parts.actor_of(request.scope)
        if actor is None:
            raise NotAuthenticated(
                "ask from the machine itself or from a network of `metrics_from`, or log in as an administrator"
            )
        authorize(actor, Action.READ_METRICS)
    metrics.store_full.set(int(parts.is_full()))
    await _measure_house(request, parts)
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})


async def _measure_house(request: Request, parts: Parts) -> None:
    """Read how the house stands; while the database does not answer, what this process counts is shown all the same."""
    state = request.app.state
    before, now = getattr(state, "measured_at", float("-inf")), parts.clock.monotonic()
    if now - before < FRESH_SECONDS:
        return
    state.measured_at = now  # who asks meanwhile gets the last ones
    reading = parts.reading()
    try:
        found = await parts.store.read(lambda tx: measure(tx, reading))
    except StoreError as error:
        state.measured_at = before
        metrics.store_lost.set(1)
        _forget()
        log.warning("house_not_measured", problem=str(error))
    else:
        metrics.store_lost.set(0)
        _show(found)


def _forget() -> None:
    """Show nothing of the house: an old number would be taken for a true one."""
    for gauge in (
        metrics.house_sessions,
        metrics.house_wait,
        metrics.house_unsent,
        metrics.house_outbox,
        metrics.reader_rows,
        metrics.reader_seconds,
    ):
        gauge.clear()
    for gauge in (metrics.house_undecided, metrics.oldest_writer):
        gauge.set(float("nan"))


def _show(found: Measures) -> None:
    _forget()
    for (line, status), count in found.open.items():
        metrics.house_sessions.labels(line, status).set(count)
    for line, seconds in found.longest_wait.items():
        metrics.house_wait.labels(line).set(seconds)
    for channel, (count, seconds) in found.unsent.items():
        metrics.house_outbox.labels(channel).set(count)
        metrics.house_unsent.labels(channel).set(seconds)
    for reader, behind in found.readers.items():
        metrics.reader_rows.labels(reader).set(behind.rows)
        metrics.reader_seconds.labels(reader).set(behind.seconds)
    metrics.house_undecided.set(found.oldest_undecided)
    metrics.oldest_writer.set(found.oldest_writer)
