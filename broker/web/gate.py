"""What every HTTP request passes before a route sees it: headers that browsers obey, a limit on bodies, and no foreign forms.

Raw ASGI, for HTTP alone: sockets are dispatched before this (broker.web.app).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from starlette.exceptions import HTTPException

from broker.config import ConnectionLimits
from broker.domain import FILE_BYTES_MAX, SOUND_BYTES_MAX
from broker.metrics import refused_connections_total
from broker.networks import network_of
from broker.ports import Clock
from broker.rates import Rates
from broker.web.addresses import Addresses
from broker.web.asgi import App, Message, Receive, Scope, Send, header
from broker.web.problem import respond

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PLAIN: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""For answers that say nothing else: JSON, problems, numbers. Pages bring their own policy (broker.web.static)."""
_HSTS = (b"strict-transport-security", b"max-age=31536000")


class TooOften:
    """Counts the requests and the openings of each client's network. Before anything else: what is refused must cost little."""

    def __init__(self, limits: ConnectionLimits, addresses: Addresses, clock: Clock) -> None:
        self._addresses = addresses
        self._clock = clock
        self._rates = {
            "http": Rates(limits.requests_per_second, limits.requests_burst),
            "websocket": Rates(limits.openings_per_second, limits.openings_burst),
        }

    def refusal(self, scope: Scope) -> App | None:
        """Count it; return what answers it when there are too many."""
        rates = self._rates.get(scope["type"])
        if rates is None:
            return None
        wait = rates.take(network_of(self._addresses.client(scope)), self._clock.monotonic())
        if not wait:
            return None
        refused_connections_total.labels("often").inc()
        answer = respond(429, "too many requests from this address; come back a little later", "too_many", retry_after=wait)
        # What stands behind it on the same connection would only be refused as well.
        answer.headers["connection"] = "close"
        return answer


class SecurityHeaders:
    """ASGI: adds the headers that an answer does not bring itself."""

    def __init__(self, app: App, addresses: Addresses) -> None:
        self._app = app
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wanted = (*_PLAIN, _HSTS) if self._addresses.is_https(scope) else _PLAIN
        if scope["path"].startswith("/api/"):
            wanted = (*wanted, (b"cache-control", b"no-store"))

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                brought = list(message.get("headers", ()))
                names = {name.lower() for name, _ in brought}
                message["headers"] = [*brought, *(pair for pair in wanted if pair[0] not in names)]
            await send(message)

        await self._app(scope, receive, add)


class NoNul:
    """ASGI: refuses a NUL in the path or the query: no database keeps one in a text, and PostgreSQL is not even asked with one."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and ("\0" in scope["path"] or b"%00" in scope.get("query_string", b"")):
            await respond(400, "an address holds no NUL", "bad_input")(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Upload(NamedTuple):
    """What may be sent to addresses like *path*, beside JSON: at most *most* bytes of a *kind*, which *others* say as well."""

    path: re.Pattern[str]
    kind: str
    others: frozenset[str]
    most: int

    def takes(self, path: str) -> bool:
        """Return whether it is sent to *path*."""
        return self.path.fullmatch(path) is not None


UPLOADS = (
    Upload(
        re.compile(r"/api/v1/sounds/.*"),
        "audio/wav",
        frozenset({"audio/x-wav", "audio/wave", "audio/vnd.wave"}),
        SOUND_BYTES_MAX,
    ),
    # As bytes of nothing in particular, whatever it is: what a file calls itself is read from its name.
    Upload(re.compile(r"/api/v1/sessions/[^/]+/files/[^/]+"), "application/octet-stream", frozenset(), FILE_BYTES_MAX),
)


def _upload(scope: Scope) -> Upload | None:
    kind = (header(scope, b"content-type") or "").partition(";")[0].strip().lower()
    return next((one for one in UPLOADS if one.takes(scope["path"]) and kind in (one.kind, *one.others)), None)


class BodyLimit:
    """ASGI: refuses a body over *most* bytes, by its announced length or while it comes; of an upload over that one's."""

    def __init__(self, app: App, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        upload = _upload(scope)
        most = self._most if upload is None else upload.most
        announced = header(scope, b"content-length")
        if announced is not None and (not announced.isdigit() or int(announced) > most):
            await respond(413, _too_large(most), "too_large")(scope, receive, send)
            return
        come = 0

        async def count() -> Message:
            nonlocal come
            message = await receive()
            come += len(message.get("body", b""))
            if come > most:
                raise HTTPException(413, _too_large(most))
            return message

        await self._app(scope, count, send)


def _too_large(most: int) -> str:
    return f"a request may have {most} bytes"


class OwnPages:
    """ASGI: a request under /api/ that changes something must come from our own pages, or from no page at all, and be JSON or an upload.

    Sec-Fetch-Site is the browser's own word and decides where it is sent; elsewhere Origin, which every browser sends with
    what is not GET. A program that sends neither is no browser, so there is nobody's cookie to be misused.
    """

    def __init__(self, app: App, addresses: Addresses) -> None:
        self._app = app
        self._addresses = addresses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in _SAFE and scope["path"].startswith("/api/"):
            if not self._own(scope):
                sentence = "this must come from Omniline's own pages; behind a proxy, set public_url or trusted_proxies"
                await respond(403, sentence, "foreign_origin")(scope, receive, send)
                return
            if not _is_json(scope) and _upload(scope) is None:
                wanted = next((one.kind for one in UPLOADS if one.takes(scope["path"])), "application/json")
                await respond(415, f"send the body as {wanted}", "unsupported_media_type")(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _own(self, scope: Scope) -> bool:
        site = header(scope, b"sec-fetch-site")
        if site is not None:
            return site == "same-origin"
        origin = header(scope, b"origin")
        return origin is None or self._addresses.own_origin(scope, origin)


def _is_json(scope: Scope) -> bool:
    kind = header(scope, b"content-type")
    if kind is not None:
        return kind.partition(";")[0].strip().lower() == "application/json"
    return header(scope, b"content-length") in (None, "0") and header(scope, b"transfer-encoding") is None
