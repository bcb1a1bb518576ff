"""What browsers load: the console, the widget and the public chat page, as `make web` left them in static/.

    /console/…      the console; any of its addresses that is no file is its first page
    /widget.js      what a site embeds: a name that never changes, so browsers ask again after minutes
    /widget/…       the widget's parts: names with a hash, kept for ever, loaded by any site
    /chat/{line}    the public page; a page that says so when there is no such chat
    /icon.svg       the icon of our pages; /favicon.ico, which browsers ask for unasked, leads to it

The files are read into memory once, with a compressed copy and a tag each; a path is looked up, never opened.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import mimetypes
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from broker.errors import NotFound
from broker.web.wiring import Anybody

FOLDER = Path(__file__).parent / "static"

_PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors {ancestors}; require-trusted-types-for 'script'"
)
# In it operators hear recordings of calls, and administrators what they have just recorded.
CONSOLE_POLICY = _PAGE.format(ancestors="'none'") + "; media-src 'self' blob:"
# The chat page connects as our own origin. Framed by a stranger's site it would go round the channel's list of allowed origins;
# the way into another site is the widget's script tag, which that list guards.
CHAT_POLICY = _PAGE.format(ancestors="'self'")

_CONSOLE = {"Permissions-Policy": "camera=(), geolocation=(), microphone=(self), payment=(), usb=()"}
_HASHED = re.compile(r"-[A-Za-z0-9_-]{8}\.\w+$")
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
_MINUTES = "public, max-age=300"
_ANY_SITE = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
_NOT_BUILT = "The browser files have not been built yet: run “make web”, then load this page again.\n"
_STYLE = (
    ":root{color-scheme:light dark}body{max-width:34rem;margin:18vh auto;padding:0 1.5rem;font:1.1rem/1.5 system-ui,sans-serif}"
)
_NO_CHAT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
_NO_CHAT = f"""<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <title>No chat here</title>
    <style>{_STYLE}</style>
  </head>
  <body>
    <p>There is no chat at this address. Please check the link, or ask whoever gave it to you.</p>
    <p lang="ru">По этому адресу чата нет. Проверьте ссылку или спросите у того, кто её дал.</p>
  </body>
</html>
"""
_BOTH = ["GET", "HEAD"]
_COMPRESSED = ("text/", "application/json", "application/javascript", "image/svg")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file."""

    body: bytes
    zipped: bytes | None
    tag: str
    media_type: str
    hashed: bool


class Assets:
    """The files of a folder by their path in it; read again only while there are none."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        self._files: dict[str, Asset] = {}

    def find(self, path: str) -> Asset | None:
        """Return the file at *path*, or None."""
        return self._files.get(path)

    def are_built(self) -> bool:
        """Return whether there is anything to serve."""
        if not self._files and self._folder.is_dir():
            self._files = {
                path.relative_to(self._folder).as_posix(): _read(path) for path in self._folder.rglob("*") if path.is_file()
            }
        return bool(self._files)


def _read(path: Path) -> Asset:
    body = path.read_bytes()
    kind = (
        "text/javascript" if path.suffix in (".js", ".mjs") else mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    )
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    # mtime=0: the same file is the same bytes in every process.
    zipped = gzip.compress(body, 9, mtime=0) if kind.startswith(_COMPRESSED) and len(body) > 512 else None
    tag = hashlib.sha256(body).hexdigest()[:32]
    return Asset(body, zipped, tag, kind, bool(_HASHED.search(path.name)))


def static_routes(assets: Assets | None = None) -> APIRouter:
    """Return the routes that serve *assets*, but the public chat's."""
    files = assets or Assets()
    serve = partial(_serve, files)
    routes = _router()

    @routes.api_route("/", methods=_BOTH)
    async def first() -> Response:
        return RedirectResponse("/console/", 307)

    @routes.api_route("/console", methods=_BOTH)
    async def console() -> Response:
        return RedirectResponse("/console/", 308)

    @routes.api_route("/console/{path:path}", methods=_BOTH)
    async def console_file(request: Request, path: str) -> Response:
        if files.are_built() and path != "index.html" and files.find(f"console/{path}"):
            return serve(request, f"console/{path}")
        if "." in path.rpartition("/")[2] and path != "index.html":
            raise NotFound("there is nothing at this address")
        return serve(request, "console/index.html", policy=CONSOLE_POLICY, more=_CONSOLE)

    @routes.api_route("/icon.svg", methods=_BOTH)
    async def icon(request: Request) -> Response:
        return serve(request, "icon.svg", cache=_MINUTES)

    @routes.api_route("/favicon.ico", methods=_BOTH)
    async def favicon() -> Response:
        return RedirectResponse("/icon.svg", 308)

    @routes.api_route("/widget.js", methods=_BOTH)
    async def widget(request: Request) -> Response:
        return serve(request, "widget/widget.js", cache=_MINUTES, any_site=True)

    @routes.api_route("/widget/{path:path}", methods=_BOTH)
    async def widget_file(request: Request, path: str) -> Response:
        return serve(request, f"widget/{path}", policy=CHAT_POLICY, any_site=True)

    return routes


def chat_routes(files: Assets, has_chat: Callable[[str], bool]) -> APIRouter:
    """Return the route of the public chat; *has_chat* tells whether a line has one now."""
    routes = _router()

    # Whatever stands behind: people type addresses by hand, and none of them shall read JSON.
    @routes.api_route("/chat/{line:path}", methods=_BOTH)
    async def chat(request: Request, line: str) -> Response:
        if not has_chat(line):
            return HTMLResponse(_NO_CHAT, 404, headers={"Content-Security-Policy": _NO_CHAT_POLICY, "Cache-Control": _ASK_AGAIN})
        return _serve(files, request, "widget/page.html", policy=CHAT_POLICY)

    return routes


def _router() -> APIRouter:
    return APIRouter(include_in_schema=False, dependencies=[Anybody("what browsers load holds nobody's data")])


def _serve(
    files: Assets,
    request: Request,
    path: str,
    *,
    policy: str | None = None,
    cache: str = _ASK_AGAIN,
    any_site: bool = False,
    more: Mapping[str, str] | None = None,
) -> Response:
    if not files.are_built():
        return PlainTextResponse(_NOT_BUILT, 503, headers={"Retry-After": "10"})
    asset = files.find(path)
    if asset is None:
        raise NotFound("there is nothing at this address")
    headers = (_ANY_SITE if any_site else {}) | dict(more or {})
    if policy:
        headers["Content-Security-Policy"] = policy
    return _answer(request, asset, headers, _FOR_EVER if asset.hashed else cache)


def _answer(request: Request, asset: Asset, headers: dict[str, str], cache: str) -> Response:
    accepts = request.headers.get("accept-encoding", "")
    zipped = asset.zipped if "gzip" in accepts else None
    tag = f'"{asset.tag}{"-gz" if zipped else ""}"'
    headers |= {"Cache-Control": cache, "ETag": tag}
    if asset.zipped:
        headers["Vary"] = "Accept-Encoding"
    if tag in [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return Response(zipped or asset.body, media_type=asset.media_type, headers=headers)
