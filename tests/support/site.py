"""A web application on the shipped store, asked synchronously: what a browser and a program would see."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
from fastapi import APIRouter

from broker.access.logins import Logins
from broker.access.passwords import Passwords
from broker.config import Settings
from broker.domain import OperatorId, Role
from broker.ports import Bell, Tx
from broker.web.addresses import Addresses
from broker.web.app import Front, make_app
from broker.web.static import Assets
from broker.web.wiring import CallsOut, Parts
from operators import people
from tests.support.clock import CountedIds, MovedClock
from tests.support.store import open_store

T = TypeVar("T")

PASSWORD = "correct horse battery"
CHEAP = Passwords(memory_kib=8, passes=1)
"""A hash in a fraction of a millisecond."""


class Site:
    """The application, its store, and clients that keep their cookies."""

    def __init__(
        self,
        folder: Path,
        *,
        routes: Sequence[APIRouter] = (),
        sockets: Mapping[str, Any] | None = None,
        settings: Settings | None = None,
        assets: Assets | None = None,
        calls_out: CallsOut | None = None,
    ) -> None:
        self._runner = asyncio.Runner()
        self.clock = MovedClock()
        self.rung: list[tuple[Bell, str]] = []
        self.store = self.do(self._open(folder))
        self.settings = settings or Settings()
        self.full = False
        self.parts = Parts(
            store=self.store,
            clock=self.clock,
            settings=self.settings,
            passwords=CHEAP,
            logins=Logins(self.store, CHEAP, self.settings.login),
            addresses=Addresses(self.settings.trusted_proxies, self.settings.public_url),
            is_full=lambda: self.full,
            calls_out=calls_out,
        )
        self.app: Front = make_app(self.parts, routes=routes, sockets=sockets, assets=assets)
        self.client = self.browser()

    async def _open(self, folder: Path) -> Any:
        return open_store(folder, clock=self.clock, ids=CountedIds(), ring=self.rung.extend)

    def do(self, coroutine: Any) -> Any:
        """Run *coroutine* on the site's loop."""
        return self._runner.run(coroutine)

    def write(self, work: Callable[[Tx], T]) -> T:
        """Run a transaction."""

        async def go() -> T:
            return await self.store.write(work)  # type: ignore[no-any-return]

        return self.do(go())  # type: ignore[no-any-return]

    def browser(self, base: str = "http://localhost", peer: str = "127.0.0.1") -> httpx.AsyncClient:
        """Return a client that asks for *base* from the address *peer*."""
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app, client=(peer, 50_000)), base_url=base)

    def ask(self, method: str, path: str, *, by: httpx.AsyncClient | None = None, **more: Any) -> httpx.Response:
        """Return the answer to one request."""
        answer: httpx.Response = self.do((by or self.client).request(method, path, **more))
        return answer

    def person(self, login: str, role: Role = Role.OPERATOR, password: str = PASSWORD) -> OperatorId:
        """Add a person."""
        made = self.do(CHEAP.hash(password))
        return self.write(lambda tx: people.add(tx, login, login.title(), role, made, generated=False))

    def log_in(self, login: str, password: str = PASSWORD, by: httpx.AsyncClient | None = None) -> httpx.Response:
        """Log in as *login*; the client keeps the cookie."""
        return self.ask("POST", "/api/v1/login", by=by, json={"login": login, "password": password})

    def close(self) -> None:
        """Close the store and the loop."""
        self.do(self.store.close())
        self._runner.close()
