"""`/metrics`: the numbers of `broker.metrics` in the form Prometheus reads.

Served to this machine itself (a Prometheus beside us, without a proxy in between) and to administrators; they tell strangers
how busy a business is.
"""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from broker import metrics
from broker.access.authorize import Action, authorize
from broker.errors import NotAuthenticated
from broker.web.wiring import Anybody, PartsOf

routes = APIRouter(tags=["operations"])


@routes.get(
    "/metrics", dependencies=[Anybody("this machine itself needs no login; all others are asked inside")], response_class=Response
)
async def show_metrics(request: Request, parts: PartsOf) -> Response:
    """Give the numbers to this machine or to an administrator."""
    if not parts.addresses.is_loopback(request.scope):
        actor = await parts.actor_of(request.scope)
        if actor is None:
            raise NotAuthenticated("ask from the machine itself, or log in as an administrator")
        authorize(actor, Action.READ_METRICS)
    metrics.store_full.set(int(parts.is_full()))
    return Response(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})
