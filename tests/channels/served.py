"""A house that serves and is worked with over REST, for tests of channels from the provider to the desk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from tests.support.broker import PASSWORD, WAIT_SECONDS, Broker

HOUSE = """
[operators.ann]
name = "Ann"
password_env = "PHONE_PASSWORD"
[operators.adm]
name = "Adm"
role = "administrator"
password_env = "PHONE_PASSWORD"
[lines.shop]
operators = ["ann"]
"""
Json = dict[str, Any]
T = TypeVar("T")


class Desk:
    """What a program of somebody else's does with a broker, as one of its people."""

    def __init__(self, broker: Broker, login: str) -> None:
        self._broker = broker
        self._login = login
        self._origin = f"http://127.0.0.1:{broker.port}"
        self._http = httpx.AsyncClient(
            base_url=f"{self._origin}/api/v1", headers={"Origin": self._origin}, timeout=WAIT_SECONDS, trust_env=False
        )
        self._numbers = 0

    async def __aenter__(self) -> Desk:
        (await self._http.post("/login", json={"login": self._login, "password": PASSWORD})).raise_for_status()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()

    async def get(self, path: str) -> Json:
        """Return what is at *path*."""
        return dict((await self._http.get(path)).raise_for_status().json())

    async def do(self, path: str, **what: Any) -> Json:
        """Do what *path* is for, and return its answer."""
        self._numbers += 1
        answer = await self._http.post(path, json={"id": f"deed-{self._numbers:06}", **what})
        assert answer.is_success, answer.text
        return dict(answer.json())

    async def add_channel(self, **what: Any) -> Json:
        """Connect a bot."""
        answer = await self._http.post("/channels", json=what)
        assert answer.is_success, answer.text
        return dict(answer.json())

    async def set_up(self, channel: str, **settings: str) -> None:
        """Change a channel's settings."""
        (await self._http.patch(f"/channels/{channel}", json={"settings": settings})).raise_for_status()

    async def upload(self, session: str, name: str, content: bytes) -> str:
        """Upload a file, and return its id."""
        answer = await self._http.post(
            f"/sessions/{session}/files/{name}", content=content, headers={"Content-Type": "application/octet-stream"}
        )
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    async def reword(self, session: str, seq: int, text: str) -> None:
        """Word a message anew."""
        what = {"id": f"reword-{seq:06}", "text": text}
        (await self._http.patch(f"/sessions/{session}/messages/{seq}", json=what)).raise_for_status()

    async def take_back(self, session: str, seq: int) -> None:
        """Take a message back."""
        key = {"Idempotency-Key": f"take-back-{seq:06}"}
        (await self._http.delete(f"/sessions/{session}/messages/{seq}", headers=key)).raise_for_status()

    async def session(self) -> str:
        """Return the one session there is, once there is one."""
        await self._broker.until("SELECT id FROM sessions", lambda found: len(found) == 1)
        return str(self._broker.find("SELECT id FROM sessions")[0][0])

    async def messages(self, session: str, wanted: Callable[[list[Json]], bool]) -> list[Json]:
        """Return the session's messages once they are as *wanted*."""

        async def look() -> list[Json]:
            return list((await self.get(f"/sessions/{session}/messages"))["items"])

        return await until(look, wanted)


async def until(look: Callable[[], Awaitable[T]], wanted: Callable[[T], bool]) -> T:
    """Return what is seen once it is as *wanted*; who looks from outside hears no bells."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not wanted(found := await look()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        return found


def by(author: str, messages: list[Json]) -> list[Json]:
    """Return what *author* said."""
    return [one for one in messages if one["author"] == author]
