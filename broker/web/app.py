"""The application: one ASGI callable. Sockets go straight to their endpoints; everything else passes the gate to FastAPI.

    websocket ──► not too often ── endpoint of its path (raw ASGI, no layer in between)
    http      ──► not too often ── headers ── unexpected errors ── no NUL ── body limit ── own pages ──► FastAPI's routes

Start uvicorn with `proxy_headers=False`: whose X-Forwarded-* to believe is decided in broker.web.addresses alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware

from broker.web import health, metrics, problem
from broker.web.asgi import App, Receive, Scope, Send
from broker.web.gate import BodyLimit, NoNul, OwnPages, SecurityHeaders, TooOften
from broker.web.static import Assets, static_routes
from broker.web.wiring import Parts

NO_SUCH_SOCKET = 4404


class Front:
    """The front door; *web* is the FastAPI application behind it, for tests and tools."""

    def __init__(self, web: FastAPI, sockets: Mapping[str, App], often: TooOften) -> None:
        self.web = web
        self._sockets = dict(sockets)
        self._often = often

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._often.refusal(scope)
        if refusal is not None or scope["type"] != "websocket":
            await (refusal or self.web)(scope, receive, send)
            return
        endpoint = self._sockets.get(scope["path"])
        if endpoint is not None:
            await endpoint(scope, receive, send)
            return
        await receive()
        await send({"type": "websocket.close", "code": NO_SUCH_SOCKET})  # before the opening: answered with 403


def make_app(
    parts: Parts,
    *,
    routes: Sequence[APIRouter] = (),
    sockets: Mapping[str, App] | None = None,
    assets: Assets | None = None,
    only_operations: bool = False,
) -> Front:
    """Return the application with the wings' *routes* (each with its whole path) and *sockets* (by path).

    *only_operations*: of a process that serves no people, for whoever watches over it.
    """
    addresses = parts.addresses
    web = FastAPI(
        title="Omniline",
        version="1",
        description="Self-hosted contact centre. Errors are RFC 9457 problems; lists are paged by `next_cursor`.",
        openapi_url="/api/v1/openapi.json",
        docs_url=None,  # its pages load scripts from other people's servers
        redoc_url=None,
        redirect_slashes=False,
        responses=problem.RESPONSES,
        middleware=[
            Middleware(SecurityHeaders, addresses=addresses),
            Middleware(_HttpOnly, inner=problem.Unexpected),
            Middleware(NoNul),
            Middleware(BodyLimit, most=parts.settings.body_bytes),
            Middleware(OwnPages, addresses=addresses),
        ],
    )
    web.state.parts = parts
    problem.install(web)
    for router in (health.routes, metrics.routes, *routes, *(() if only_operations else (static_routes(assets),))):
        web.include_router(router)
    _describe(web)
    return Front(web, sockets or {}, TooOften(parts.settings.connections, addresses, parts.clock))


class _HttpOnly:
    """ASGI: passes what is no request (the lifespan) round *inner*."""

    def __init__(self, app: App, inner: type[problem.Unexpected]) -> None:
        self._app = app
        self._inner = inner(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._inner if scope["type"] == "http" else self._app)(scope, receive, send)


def _describe(web: FastAPI) -> None:
    """Let the OpenAPI document hold the schema of problems."""

    def openapi() -> dict[str, Any]:
        if web.openapi_schema is None:
            made = get_openapi(title=web.title, version=web.version, description=web.description, routes=web.routes)
            problem.add_schema(made)
            web.openapi_schema = made
        return web.openapi_schema

    web.openapi = openapi  # type: ignore[method-assign]
