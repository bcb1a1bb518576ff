"""REST of the live board and of whom a session can be passed to: `/api/v1/board`, `/api/v1/targets`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter

from broker.access.authorize import Action, Actor
from broker.domain import Directory
from broker.web.wiring import May, PartsOf, StoreOf
from operators import board, calling
from operators.board import BoardNow, OnShift, Targets


def routes(directory: Callable[[], Directory], on_shift: OnShift) -> APIRouter:
    """Return the routes; *directory* is that of this moment, *on_shift* knows everybody's calendar."""
    router = APIRouter(prefix="/api/v1", tags=["board"])

    @router.get("/board")
    async def read_board(store: StoreOf, actor: Annotated[Actor, May(Action.READ_BOARD)]) -> BoardNow:
        """What waits and who does what, and the last 24 hours in numbers."""
        known = directory()
        return await store.read(lambda tx: board.read(tx, actor, known, on_shift))

    @router.get("/targets", dependencies=[May(Action.READ_COLLEAGUES)])
    async def list_targets(store: StoreOf, parts: PartsOf) -> Targets:
        """Lines and people that a session can be passed to."""
        known, calls_from = directory(), calling.calls_from(parts.calls_out)
        return await store.read(lambda tx: board.targets(tx, known, on_shift, calls_from))

    return router
