"""How updates reach a bot: it asks for them, or they are posted to its webhook; and how often it may send.

An update stays until it is confirmed: by a poll with a higher offset, or by a 2xx from the webhook. Those behind it wait.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import aiohttp

Json = dict[str, Any]

UPDATES_MAX = 100
POLL_MAX_SECONDS = 50
KEPT_SECONDS = 86_400
FIRST_UPDATE = 730_000_001
UNASKED = frozenset({"chat_member", "message_reaction", "message_reaction_count"})
"""Given to a bot only if it has asked for them by name."""
RETRY_FIRST_SECONDS, RETRY_MAX_SECONDS = 0.05, 1.0
WEBHOOK_SECONDS = 10.0

BOT_MESSAGES, BOT_SECONDS = 30, 1.0
GROUP_MESSAGES, GROUP_SECONDS = 20, 60.0
CHAT_SECONDS, CHAT_BURST = 1.0, 5

_POLLED = "terminated by other getUpdates request; make sure that only one bot instance is running"
_SET = "terminated by setWebhook request"
_ACTIVE = "can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"


class Refused(Exception):
    """What the provider refuses: the code, its sentence and its parameters."""

    def __init__(self, code: int, sentence: str, **parameters: int) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence
        self.parameters = parameters


class Clock:
    """The time of the fake: the real one, moved on, or standing still."""

    def __init__(self) -> None:
        self._moved = 0.0
        self._still: float | None = None

    def now(self) -> float:
        """Seconds since 1970."""
        return (time.time() if self._still is None else self._still) + self._moved

    def move(self, seconds: float) -> None:
        """Let it be so much later."""
        self._moved += seconds

    def stop(self) -> None:
        """Let it go on only when it is moved."""
        self._still = time.time() if self._still is None else self._still

    def start(self) -> None:
        """Let it go on by itself, from where it stands."""
        if self._still is not None:
            self._moved += self._still - time.time()
            self._still = None


class Limits:
    """30 messages a second of one bot, 20 a minute to one group, one a second to one chat after a short burst."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.on = True
        self._of_bot: dict[int, deque[float]] = defaultdict(deque)
        self._of_group: dict[tuple[int, int], deque[float]] = defaultdict(deque)
        self._free_at: dict[tuple[int, int], float] = defaultdict(float)

    def take(self, bot: int, chat: int, count: int = 1) -> None:
        """Let *bot* send *count* messages to *chat* by one call. Raises Refused."""
        if not self.on:
            return
        now, key = self._clock.now(), (bot, chat)
        waits = [_wait(self._of_bot[bot], now, BOT_MESSAGES, BOT_SECONDS, count)]
        if chat < 0:
            waits.append(_wait(self._of_group[key], now, GROUP_MESSAGES, GROUP_SECONDS, count))
        waits.append(self._free_at[key] - CHAT_SECONDS * (CHAT_BURST - 1) - now)
        if max(waits) > 0:
            seconds = math.ceil(max(waits))
            raise Refused(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
        self._of_bot[bot].extend([now] * count)
        self._of_group[key].extend([now] * count)
        self._free_at[key] = max(self._free_at[key], now) + CHAT_SECONDS  # an album is one


def _wait(sent: deque[float], now: float, most: int, seconds: float, count: int) -> float:
    """Return how long there is no room for *count* more, and forget what is too old to matter."""
    while sent and sent[0] <= now - seconds:
        sent.popleft()
    over = len(sent) + min(count, most) - most
    return sent[over - 1] + seconds - now if over > 0 else 0.0


@dataclass
class Webhook:
    """Where updates are posted, as setWebhook said."""

    url: str
    secret_token: str
    max_connections: int
    own_certificate: bool
    last_error: tuple[int, str] | None = None


@dataclass
class Inbox:
    """The updates of one bot."""

    clock: Clock
    webhook: Webhook | None = None
    allowed: list[str] | None = None
    """What it wants to be told of; None: the usual. It stays until it says otherwise."""
    next_id: int = FIRST_UPDATE
    answered_by_webhook: list[Any] = field(default_factory=list)
    """What stood in the bodies of answers to posts: the real one would take it for a call, the fake does not."""
    _pending: deque[tuple[float, Json]] = field(default_factory=deque)
    _waiting: asyncio.Future[None] | None = None
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _delivering: asyncio.Task[None] | None = None

    @property
    def pending(self) -> list[Json]:
        """What is not confirmed yet."""
        while self._pending and self._pending[0][0] < self.clock.now() - KEPT_SECONDS:
            self._pending.popleft()
        return [update for _, update in self._pending]

    def wants(self, kind: str) -> bool:
        """Return whether the bot is told of *kind*."""
        return kind not in UNASKED if self.allowed is None else kind in self.allowed

    def give(self, kind: str, value: Json) -> Json:
        """Add an update if it is wanted; return it either way."""
        update = {"update_id": self.next_id, kind: value}
        if self.wants(kind):
            self.put(update)
        return update

    def put(self, update: Json) -> None:
        """Add *update* as it is."""
        self.next_id += 1
        self._pending.append((self.clock.now(), update))
        self._came.set()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def poll(self, offset: int, limit: int, wait_seconds: float, allowed: list[str] | None) -> list[Json]:
        """Answer getUpdates. Raises Refused."""
        if self.webhook is not None:
            raise Refused(409, f"Conflict: {_ACTIVE}")
        self._terminate(_POLLED)
        if allowed is not None:
            self.allowed = allowed or None
        self._confirm(offset)
        if self.pending or wait_seconds <= 0:
            return self.pending[:limit]
        mine = self._waiting = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(min(wait_seconds, POLL_MAX_SECONDS)):
                await mine
        except TimeoutError:
            return []
        finally:
            if self._waiting is mine:
                self._waiting = None
        return self.pending[:limit]

    def set_webhook(self, webhook: Webhook | None, allowed: list[str] | None, session: aiohttp.ClientSession) -> None:
        """Post to *webhook* from now on; None: nowhere."""
        if webhook is not None:
            self._terminate(_SET)
        if allowed is not None:
            self.allowed = allowed or None
        self.webhook = webhook
        if self._delivering is not None:
            self._delivering.cancel()
            self._delivering = None
        if webhook is not None:
            self._delivering = asyncio.create_task(self._deliver(webhook, session))

    def drop(self) -> None:
        """Forget what is pending."""
        self._pending.clear()

    def _terminate(self, reason: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Refused(409, f"Conflict: {reason}"))
        self._waiting = None

    def _confirm(self, offset: int) -> None:
        if offset < 0:
            while len(self._pending) > -offset:
                self._pending.popleft()
        while self._pending and self._pending[0][1]["update_id"] < offset:
            self._pending.popleft()

    async def _deliver(self, webhook: Webhook, session: aiohttp.ClientSession) -> None:
        pause = RETRY_FIRST_SECONDS
        while True:
            pending = self.pending
            if not pending:
                self._came.clear()
                await self._came.wait()
                continue
            error = await self._post(webhook, session, pending[0])
            if error is None:
                pause = RETRY_FIRST_SECONDS
                if self._pending and self._pending[0][1] is pending[0]:
                    self._pending.popleft()
                continue
            webhook.last_error = (int(self.clock.now()), error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MAX_SECONDS)

    async def _post(self, webhook: Webhook, session: aiohttp.ClientSession, update: Json) -> str | None:
        """Return what is wrong with the answer; None if nothing is."""
        headers = {"X-Telegram-Bot-Api-Secret-Token": webhook.secret_token} if webhook.secret_token else {}
        timeout = aiohttp.ClientTimeout(total=WEBHOOK_SECONDS)
        try:
            async with session.post(
                webhook.url, json=update, headers=headers, timeout=timeout, ssl=not webhook.own_certificate, allow_redirects=False
            ) as answer:
                body = await answer.text()
        except TimeoutError:
            return "Read timeout expired"
        except aiohttp.ClientConnectorError:
            return "Connection refused"
        except aiohttp.ClientError as error:
            return f"{type(error).__name__}: {error}"
        if not 200 <= answer.status < 300:
            return f"Wrong response from the webhook: {answer.status} {answer.reason}"
        if '"method"' in body:
            self.answered_by_webhook.append(body)
        return None
