"""REST of the live board and of whom a session can be passed to: `/api/v1/board`, `/api/v1/targets`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from broker.access.authorize import Action, Actor
from broker.store import directory
from broker.web.wiring import May, StoreOf
from operators import board
from operators.board import BoardNow, OnShift, Targets


def routes(on_shift: OnShift) -> APIRouter:
    """Return the routes; *on_shift* knows everybody's calendar."""
    router = APIRouter(prefix="/api/v1", tags=["board"])

    @router.get("/board")
    async def read_board(store: StoreOf, actor: Annotated[Actor, May(Action.READ_BOARD)]) -> BoardNow:
        """What waits and who does what, and the last 24 hours in numbers."""
        return await store.read(lambda tx: board.read(tx, actor, directory.load(tx), on_shift))

    @router.get("/targets", dependencies=[May(Action.READ_COLLEAGUES)])
    async def list_targets(store: StoreOf) -> Targets:
        """Lines and people that a session can be passed to."""
        return await store.read(lambda tx: board.targets(tx, directory.load(tx), on_shift))

    return router
