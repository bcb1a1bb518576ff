"""`/healthz`: the process answers. `/readyz`: it can do its work now, or why it cannot."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from sqlalchemy import bindparam, select
from starlette.responses import JSONResponse, Response

from broker.errors import StoreError
from broker.ports import Tx
from broker.store.sql import sql, upsert
from broker.store.tables import counters
from broker.web.wiring import Anybody, Parts, PartsOf

routes = APIRouter(tags=["operations"])

ANSWER_SECONDS = 2.0
_LOOK = sql(select(counters.c.value).where(counters.c.name == bindparam("name")))
_WRITE = upsert(counters, "name value", "name", "value")
_NAME = "readiness"


@routes.get("/healthz", dependencies=[Anybody("a supervisor of processes asks, without a login")])
async def healthz() -> dict[str, str]:
    """Say that the process answers; a process that does not should be started again."""
    return {"status": "ok"}


@routes.get("/readyz", dependencies=[Anybody("a load balancer asks, without a login")], response_model=dict[str, str | list[str]])
async def readyz(parts: PartsOf) -> Response:
    """Say whether new work may be sent here: 200, with what makes news late if anything does, or 503 with the reasons."""
    reasons = await not_ready(parts)
    if reasons:
        return JSONResponse({"status": "not ready", "reasons": reasons}, 503, headers={"Retry-After": "5"})
    # Whoever sends work elsewhere for this finds it no better there: all processes of a house have the same Redis.
    late = parts.late()
    return JSONResponse({"status": "ready", "late": late} if late else {"status": "ready"})


async def not_ready(parts: Parts) -> list[str]:
    """Return why new work must not be sent here; nothing when it may."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            # Once full, only a write can tell that there is room again; whoever heeds this answer sends us none till then.
            # Of a house that moves a write says where it goes.
            if parts.is_full() or parts.is_leaving():
                await parts.store.write(_probe)
            else:
                await parts.store.read(lambda tx: tx.one(_LOOK, name=_NAME))
    except TimeoutError:
        return ["the store does not answer"]
    except StoreError as error:
        return [str(error)]
    return []


def _probe(tx: Tx) -> None:
    tx.run(_WRITE, name=_NAME, value=int(tx.now.timestamp()))
