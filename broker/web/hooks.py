"""Where providers bring what comes: `POST /hooks/{channel}`. Stored before it is answered; what a stranger sends is told nothing.

The channel's id is in the address and no secret; that the provider it is who asks, its channel finds out (`TakesHooks`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

import structlog
from fastapi import APIRouter, Request, Response

from broker import metrics
from broker.domain import ChannelId, LineSettings
from broker.errors import NotFound, StoreError
from broker.inbound import accept, prepare
from broker.ports import Channel, Store, TakesHooks
from broker.store import health
from broker.web.wiring import Anybody

log = structlog.get_logger(__name__)

RETRY_SECONDS = "5"
CAME_SECONDS = 60.0


def hook_routes(
    store: Store, channel: Callable[[ChannelId], Channel | None], settings_of: Callable[[Channel], LineSettings]
) -> APIRouter:
    """Return the route; *channel* gives those that are switched on, *settings_of* their line's settings."""
    router = APIRouter(tags=["hooks"])
    came_again: dict[ChannelId, float] = {}
    """When it is written down again that something came by a channel."""

    @router.post(
        "/hooks/{channel_id}",
        include_in_schema=False,
        dependencies=[Anybody("a provider has no login: its channel checks what it shows instead")],
    )
    async def bring(channel_id: UUID, request: Request) -> Response:
        """Take what a provider brings."""
        one = channel(ChannelId(str(channel_id)))
        if not isinstance(one, TakesHooks):
            raise NotFound("there is nothing here")
        hooked = one.hook({name.lower(): value for name, value in request.headers.items()}, await request.body())
        if hooked.refused:
            metrics.refused_inputs_total.labels(one.kind, "stranger").inc()
            return Response(status_code=403)
        if hooked.raws:
            prepared = prepare(one, hooked.raws, settings_of(one))
            try:
                accepted = await store.write(lambda tx: accept(tx, one.id, prepared))
            except StoreError as error:
                # It comes again: nothing but the commit lets a provider forget.
                log.warning("hook_refused_by_store", channel_id=one.id, problem=str(error))
                return Response(status_code=503, headers={"Retry-After": RETRY_SECONDS})
            fresh = sum(one.fresh for one in accepted)
            metrics.accepted_inputs_total.labels(one.kind).inc(fresh)
            metrics.repeated_inputs_total.labels(one.kind).inc(len(accepted) - fresh)
            now = time.monotonic()
            if fresh and now >= came_again.get(one.id, 0.0):
                came_again[one.id] = now + CAME_SECONDS
                with suppress(StoreError):  # it is told a minute later
                    await store.write(lambda tx: health.came(tx, one.id))
        return Response(hooked.answer, media_type=hooked.media_type)

    return router
