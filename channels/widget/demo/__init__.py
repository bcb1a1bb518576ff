"""A page that stands for a customer's own site: it embeds the chat by the one script tag."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

from broker.web.wiring import Anybody

_HERE = Path(__file__).parent
# What a careful shop would send: the chat works under it.
_CSP = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'"

routes = APIRouter(include_in_schema=False, dependencies=[Anybody("a page for strangers")])


@routes.get("/demo/shop")
async def shop() -> Response:
    """Serve the shop."""
    return FileResponse(
        _HERE / "shop.html", media_type="text/html", headers={"Content-Security-Policy": _CSP, "Cache-Control": "no-cache"}
    )


@routes.get("/demo/shop.css")
async def style() -> Response:
    """Serve its style."""
    return FileResponse(_HERE / "shop.css", media_type="text/css", headers={"Cache-Control": "no-cache"})
