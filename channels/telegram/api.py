"""The Bot API as this house asks it: aiogram's methods with their answers left as they came, and its errors in our words.

Answers are not read into the library's models: one field that is not as expected must not turn a message that was sent into one in
doubt. Connections are shared by all bots of a process; a token is in every address, so no address is ever logged or told.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, ClassVar

import msgspec
from aiogram import Bot, exceptions
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.methods import TelegramMethod
from aiogram.types import InputFile
from aiohttp import ClientConnectorError, ClientError, ConnectionTimeoutError
from pydantic import ConfigDict

from broker.errors import AccessLost, OmnilineError, Rejected, Unavailable, Uncertain, Unreachable
from broker.ports import Files

ANSWER_SECONDS = 60.0
"""Of anything but a long poll and an upload."""
CONFLICT_SECONDS = 15.0
REVOKED_SECONDS = 60.0
PAUSE_SECONDS = 5
"""When it is not said how long a pause is wanted."""
CONNECTIONS_MAX = 1_000
"""Each bot that is asked holds one."""


class Call(TelegramMethod[Any]):
    """One call of the Bot API by its name, with whatever parameters; None is left out."""

    __returning__: ClassVar[Any] = Any
    __api_method__: ClassVar[str] = ""

    model_config = ConfigDict(extra="allow", arbitrary_types_allowed=True)


_CALLS: dict[str, type[Call]] = {}


def call(name: str, **parameters: Any) -> Call:
    """Return the call of *name*."""
    kind = _CALLS.get(name)
    if kind is None:
        kind = _CALLS[name] = type(name, (Call,), {"__api_method__": name, "__module__": __name__})
    return kind(**{key: value for key, value in parameters.items() if value is not None})


class _Session(AiohttpSession):
    """The library's connections, where its reading of answers would let what was refused pass for what is in doubt."""

    def check_response(self, bot: Bot, method: TelegramMethod[Any], status_code: int, content: str) -> Any:
        """Return the answer. Raises AiogramError, Unavailable, Uncertain, Rejected."""
        said = _said(content) if status_code >= 400 else ""
        if status_code == 504:
            raise Uncertain("Telegram's gateway waited in vain for an answer (504)")
        if status_code >= 500:
            raise Unavailable(f"Telegram has a fault of its own: {said or status_code}")
        if status_code == 429 and '"retry_after"' not in content:
            raise exceptions.TelegramRetryAfter(method=method, message=said, retry_after=PAUSE_SECONDS)
        if status_code >= 400 and not said:
            raise Unavailable(f"something else answers in Telegram's place ({status_code})")
        try:
            return super().check_response(bot, method, status_code, content)
        except exceptions.TelegramAPIError as error:
            if type(error) is exceptions.TelegramAPIError and status_code >= 400:
                raise Rejected(said) from None
            raise

    async def close(self) -> None:
        """Close the connections; the library would sleep a while after it."""
        if self._session is not None:
            await self._session.close()


def _said(content: str) -> str:
    """Return in what words something was refused; empty: in none of the provider's."""
    try:
        answer = _loads(content)
    except (ValueError, RecursionError):
        return ""
    return str(answer.get("description") or "") if isinstance(answer, dict) else ""


_sessions: dict[tuple[asyncio.AbstractEventLoop, str], _Session] = {}


def _session(server: str) -> _Session:
    """Return the connections to *server*, which every bot of this process uses."""
    place = (asyncio.get_running_loop(), server)
    if place not in _sessions:
        for other in [one for one in _sessions if one[0].is_closed()]:
            del _sessions[other]
        _sessions[place] = _Session(
            api=TelegramAPIServer.from_base(server),
            timeout=ANSWER_SECONDS,
            limit=CONNECTIONS_MAX,
            json_loads=_loads,
            json_dumps=_dumps,
        )
    return _sessions[place]


async def close() -> None:
    """Close the connections of this loop."""
    loop = asyncio.get_running_loop()
    for place in [one for one in _sessions if one[0] is loop]:
        await _sessions.pop(place).close()


def _dumps(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _loads(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.MsgspecError:
        # The standard library reads what is not quite JSON (half a character, a number beyond all numbers): one such update must not
        # keep back all that stand behind it.
        return json.loads(text)


class Api:
    """One bot's way to its server."""

    def __init__(self, token: str, server: str) -> None:
        self._token = token
        self._server = server
        self._bot: Bot | None = None

    async def ask(self, name: str, *, seconds: float = ANSWER_SECONDS, **parameters: Any) -> Any:
        """Return the result of a call. Raises Rejected, Unreachable, Unavailable, AccessLost, Uncertain, and MovedTo."""
        session = _session(self._server)
        if self._bot is None or self._bot.session is not session:
            self._bot = Bot(self._token, session=session)
        # None of the errors' own words, and none of the errors behind ours: they may hold the address, and that holds the token.
        try:
            return await self._bot(call(name, **parameters), request_timeout=int(seconds))
        except exceptions.AiogramError as error:
            raise _in_our_words(error) from None
        except (OSError, ClientError, TimeoutError) as error:
            raise Uncertain(f"the connection to Telegram was lost ({type(error).__name__})") from None
        except (UnicodeDecodeError, RecursionError) as error:
            raise Uncertain(f"Telegram's answer cannot be read ({type(error).__name__})") from None

    async def download(self, path: str) -> AsyncIterator[bytes]:
        """Yield the file at *path*, which getFile has told. Raises Rejected, Unavailable."""
        session = _session(self._server)
        try:
            async for chunk in session.stream_content(session.api.file_url(self._token, path), timeout=int(ANSWER_SECONDS * 5)):
                yield chunk
        except (OSError, ClientError, TimeoutError) as error:
            status = getattr(error, "status", 0)
            if status in (400, 404):
                raise Rejected("Telegram has this file no more") from None
            raise Unavailable(
                f"the file could not be fetched from Telegram ({type(error).__name__} {status or ''})".strip()
            ) from None


class MovedTo(OmnilineError):
    """The group has become a supergroup under another id."""

    def __init__(self, chat_id: int) -> None:
        super().__init__(f"the group is now {chat_id}")
        self.chat_id = chat_id


_BLOCKED = ("bot was blocked by the user", "user is deactivated")
_LEFT = ("bot was kicked", "bot is not a member", "the group chat was deleted")
_DENIED = ("can't initiate conversation", "chat not found", "business connection")


def _in_our_words(error: exceptions.AiogramError) -> OmnilineError:
    """Return what *error* means for a message that was to be sent."""
    said = getattr(error, "message", "") or type(error).__name__
    low = said.lower()
    match error:
        case exceptions.TelegramRetryAfter():
            return Unavailable(f"Telegram wants a pause of {error.retry_after} s", retry_after=error.retry_after + 0.1)
        case exceptions.TelegramMigrateToChat():
            return MovedTo(error.migrate_to_chat_id)
        case exceptions.TelegramUnauthorizedError():
            sentence = "Telegram does not know this token any more: ask @BotFather for a new one (/token), and give it here"
            return AccessLost(sentence, code="token_revoked", retry_after=REVOKED_SECONDS)
        case exceptions.TelegramNotFound():
            sentence = "Telegram knows no such bot: look at the token again, or at the server's address"
            return AccessLost(sentence, code="token_wrong", retry_after=REVOKED_SECONDS)
        case exceptions.TelegramConflictError():
            if "webhook" in low:
                sentence = "Telegram brings this bot's messages to a webhook; only one way works at a time"
                return AccessLost(sentence, code="webhook_elsewhere", retry_after=CONFLICT_SECONDS)
            sentence = "another program takes this bot's messages too: stop it, or give it a bot of its own"
            return AccessLost(sentence, code="other_receiver", retry_after=CONFLICT_SECONDS)
        case exceptions.TelegramForbiddenError():
            code = "left" if any(one in low for one in _LEFT) else "blocked" if any(one in low for one in _BLOCKED) else "denied"
            return Unreachable(said, code=code)
        case exceptions.TelegramEntityTooLarge():
            return Rejected("the file is too large for Telegram", code="too_large")
        case exceptions.TelegramBadRequest():
            if any(one in low for one in _DENIED):
                return Unreachable(said, code="denied")
            if "temporarily unavailable" in low:
                return Unavailable(said)  # in one sentence with a file that is none: who asks again for a day learns which
            return Rejected(said, code="too_large" if "too big" in low else "rejected")
        case exceptions.TelegramNetworkError():
            cause = error.__cause__
            name = type(cause).__name__ if cause is not None else "no answer"
            if isinstance(cause, ClientConnectorError | ConnectionTimeoutError):
                return Unavailable(f"Telegram cannot be reached ({name})")
            return Uncertain(f"Telegram did not answer ({name})")
        case exceptions.ClientDecodeError():
            return Uncertain("Telegram's answer cannot be read")
    return Uncertain(f"Telegram's answer is not known ({type(error).__name__})")


_NOT_IN_A_HEADER = re.compile(r'[\x00-\x1f\x7f"\\]')


class Kept(InputFile):
    """A file of ours on its way to the provider, read piece by piece."""

    def __init__(self, files: Files, sha256: str, name: str) -> None:
        super().__init__(filename=_NOT_IN_A_HEADER.sub("_", name))
        self._files = files
        self._sha256 = sha256

    async def read(self, bot: Bot) -> AsyncGenerator[bytes, None]:
        """Yield the bytes."""
        async for piece in self._files.read(self._sha256):
            yield piece
