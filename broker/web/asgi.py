"""The words of ASGI, typed, and the few things that are done with raw scopes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]


def header(scope: Scope, name: bytes) -> str | None:
    """Return the header *name* (lower case); several are joined by commas, as HTTP says."""
    found = [value for key, value in scope["headers"] if key == name]
    return b",".join(found).decode("latin-1") if found else None


def cookies(scope: Scope) -> str:
    """Return the whole Cookie header."""
    # HTTP/2 proxies may split this one header, and only this one, at semicolons.
    return b"; ".join(value for key, value in scope["headers"] if key == b"cookie").decode("latin-1")
