"""How events of a community leave the fake: the long poll, and the servers of the Callback API.

Both are given an event once and keep it. The long poll keeps a history from `floor` to `newest`: a caller who comes with another place
has failed 1. A server's events wait in one line: the first is posted until it is answered "ok", and the rest behind it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import Any

import aiohttp

Json = dict[str, Any]

BATCH_MAX = 100
WAIT_MAX_SECONDS = 90.0
CALLBACK_SERVERS_MAX = 10


class LongPoll:
    """The events of a community by number. `ts` of an answer is the number of the last event in it."""

    def __init__(self) -> None:
        self.enabled = False
        self.api_version = "5.199"
        self.on: set[str] = {"message_new"}
        self.keys: set[str] = set()
        self.lost_keys: set[str] = set()
        self.floor = 1
        self.newest = 1
        self.canned: deque[Json] = deque()
        """Answers to the next polls, whatever they ask for."""
        self.asked: list[Json] = []
        """The polls that came."""
        self._events: dict[int, Any] = {}
        self._wake = asyncio.Event()

    def give(self, event: Any) -> None:
        """Add an event, or what a test wants to be taken for one."""
        self.newest += 1
        self._events[self.newest] = event
        self.wake()

    def wake(self) -> None:
        """Have who waits look again."""
        self._wake.set()
        self._wake = asyncio.Event()

    def new_key(self) -> str:
        """Return a key that is good until it is dropped."""
        key = secrets.token_hex(20)
        self.keys.add(key)
        return key

    def lose_history(self) -> None:
        """Forget every event up to now, given or not: failed 1 for who comes for them."""
        self._events.clear()
        self.newest += 1  # who has read them all has missed something, too
        self.floor = self.newest
        self.wake()

    def drop_keys(self, *, lost: bool) -> None:
        """Have no key be good any more: failed 2, or with *lost* failed 3."""
        if lost:
            self.lost_keys |= self.keys
            self.lose_history()
        self.keys.clear()
        self.wake()

    async def poll(self, key: str, ts: str, wait_seconds: float) -> Json:
        """Return the answer to one poll, which comes when there is something to say or after *wait_seconds*."""
        until = asyncio.get_running_loop().time() + min(max(wait_seconds, 0.0), WAIT_MAX_SECONDS)
        while True:
            wake = self._wake
            answer = self._answer(key, ts)
            if answer is not None:
                return answer
            try:
                async with asyncio.timeout_at(until):
                    await wake.wait()
            except TimeoutError:
                return {"ts": ts, "updates": []}

    def _answer(self, key: str, ts: str) -> Json | None:
        if self.canned:
            return self.canned.popleft()
        if key in self.lost_keys:
            return {"failed": 3}
        if key not in self.keys or not self.enabled:
            return {"failed": 2}
        if not ts.isdecimal() or not self.floor <= int(ts) <= self.newest:
            return {"failed": 1, "ts": str(self.newest)}
        last = min(self.newest, int(ts) + BATCH_MAX)
        if last == int(ts):
            return None
        return {"ts": str(last), "updates": [self._events[number] for number in range(int(ts) + 1, last + 1)]}


class CallbackServer:
    """A server of the Callback API. It has events while its address is confirmed."""

    def __init__(self, number: int, group_id: int, code: str) -> None:
        self.id = number
        self.group_id = group_id
        self.code = code
        self.url = self.title = self.secret = ""
        self.status = "unconfigured"
        self.api_version = "5.199"
        self.on: set[str] = set()
        self.line: deque[Any] = deque()
        self.attempts: list[Json] = []
        """What was posted and how it was answered."""
        self.retry_seconds = 0.05
        self.patience_seconds = 5.0
        self.idle = asyncio.Event()
        """Set while there is nothing to post."""
        self.idle.set()
        self._unconfirmed = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def configure(self, url: str, title: str, secret: str) -> None:
        """Set where events go, and ask there for the confirmation."""
        self.url, self.title, self.secret = url, title, secret
        self.status, self._unconfirmed = "wait", True
        self._stir()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    def give(self, event: Any) -> None:
        """Add an event, if the server is one that gets events."""
        if self.status == "ok":
            self.line.append(event)
            self._stir()

    def stop(self) -> None:
        """Post no more."""
        if self._task is not None:
            self._task.cancel()
        self.line.clear()
        self.idle.set()

    @property
    def shown(self) -> Json:
        """As groups.getCallbackServers shows it."""
        server = {"id": self.id, "title": self.title, "creator_id": 1, "url": self.url}
        return server | {"secret_key": self.secret, "status": self.status}

    def _stir(self) -> None:
        self.idle.clear()
        self._wake.set()

    async def _run(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self.patience_seconds)) as session:
            while True:
                self._wake.clear()
                if self._unconfirmed:
                    self._unconfirmed = False
                    await self._confirm(session)
                elif self.line:
                    await self._deliver(session, self.line[0])
                else:
                    self.idle.set()
                    await self._wake.wait()

    async def _confirm(self, session: aiohttp.ClientSession) -> None:
        asked = {"type": "confirmation", "group_id": self.group_id, "event_id": secrets.token_hex(20), "v": self.api_version}
        status, text, _ = await self._post(session, asked, 0)
        if not self._unconfirmed:
            self.status = "ok" if status == 200 and text.strip() == self.code else "failed"

    async def _deliver(self, session: aiohttp.ClientSession, event: Any) -> None:
        said = event | {"secret": self.secret} if self.secret and isinstance(event, dict) else event
        attempt = 0
        while self.line and self.line[0] is event:
            status, text, retry_after = await self._post(session, said, attempt)
            if status == 200 and text.strip() == "ok":
                self.line.popleft()
                return
            attempt += 1
            await asyncio.sleep(retry_after if status in {429, 503} and retry_after else self.retry_seconds)

    async def _post(self, session: aiohttp.ClientSession, event: Any, attempt: int) -> tuple[int, str, float]:
        """Return the answer's status, its text and how long it asks to wait; status 0: there was no answer."""
        headers = {"X-Retry-Counter": str(attempt)} if attempt else {}
        status, text, retry_after = 0, "", 0.0
        try:
            async with session.post(self.url, json=event, headers=headers, allow_redirects=False) as answer:
                status, text = answer.status, await answer.text(errors="replace")
                asked = answer.headers.get("Retry-After", "0")
                retry_after = float(asked) if asked.replace(".", "", 1).isdecimal() else 0.0
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            text = type(error).__name__
        known = event if isinstance(event, dict) else {}
        told = {"type": known.get("type"), "event_id": known.get("event_id"), "attempt": attempt}
        self.attempts.append(told | {"status": status, "answer": text[:200]})
        return status, text, retry_after
