"""VK's API as this house asks it: vk_api's `method`, uploads by requests, long polls and fetches by aiohttp, errors in our words.

    methods     one thread for each channel, one after the other, as the library has it
    uploads     two threads of their own: a film on its way holds up no words
    long polls  and fetches of files: the loop

The library has no time-out, waits and asks again by itself without end, and reads a file in the current folder for its settings; none of
that here. Answers are left as they came. A token is in every call, so no call is ever logged or told.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import jconfig
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError, SSLError
from vk_api import ApiError, ApiHttpError, VkApiError
from vk_api.vk_api import VkApiGroup
from yarl import URL

from broker.errors import AccessLost, Rejected, SendError, Unavailable, Uncertain, Unreachable

T = TypeVar("T")

VERSION = "5.199"
LIBRARY_SERVER = "https://api.vk.ru/"
"""What the library calls, whatever is set."""
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 15.0
BETWEEN_SECONDS = 1 / 18
"""Between two calls: VK takes twenty a second, and counts by its own clock."""
UPLOAD_SECONDS = 120.0
"""Of silence, while a file is brought."""
FETCH_SECONDS = 30.0
"""Of silence, while a file is fetched."""
POLL_ANSWER_MAX = 16 * 1_048_576
REDIRECTS_MAX = 5
FILE_HOSTS = ("vk.com", "vk.ru", "userapi.com", "vkuser.net", "vk-cdn.net", "mycdn.me")
"""Where VK keeps what is attached: on these and below them."""
_PAGES = ("vk.com", "vk.ru", "www.vk.com", "www.vk.ru", "m.vk.com", "m.vk.ru")
"""Where files are led to and pages are shown, but no file is kept."""

_WRITTEN = re.compile(r"[\x21-\x7e]+")

REVOKED_SECONDS = 60.0
RIGHTS_SECONDS = 300.0
CAPTCHA_SECONDS = 600.0
FLOOD_SECONDS = 300.0
DAILY_SECONDS = 3_600.0


class _Server(HTTPAdapter):
    """Brings the library's calls to the server that is set, and gives them the time-outs that the library has not."""

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server)
        self.answer_seconds = ANSWER_SECONDS
        super().__init__()

    def send(self, request: requests.PreparedRequest, *given: Any, **how: Any) -> requests.Response:
        """Send one call."""
        asked = urlsplit(str(request.url))
        path = self._server.path.rstrip("/") + asked.path
        request.url = urlunsplit((self._server.scheme, self._server.netloc, path, asked.query, ""))
        how["timeout"] = (CONNECT_SECONDS, self.answer_seconds)
        return super().send(request, *given, **how)


class Api:
    """One community's way to VK."""

    def __init__(self, token: str, server: str) -> None:
        self._server = URL(server)
        self._methods = ThreadPoolExecutor(1, "vk")
        self._uploads = ThreadPoolExecutor(2, "vk upload")
        session = _session()
        self._adapter = _Server(server)
        session.mount(LIBRARY_SERVER, self._adapter)
        self._vk = VkApiGroup(token=token, api_version=VERSION, session=session, config=jconfig.MemoryConfig)
        # The library's own answers to errors: to sleep and ask again, on and on, or to ask a person at a keyboard.
        self._vk.error_handlers.clear()
        self._vk.RPS_DELAY = BETWEEN_SECONDS

    def close(self) -> None:
        """End the threads when what they do is done."""
        self._methods.shutdown(wait=False, cancel_futures=True)
        self._uploads.shutdown(wait=False, cancel_futures=True)

    async def ask(self, method: str, *, seconds: float = ANSWER_SECONDS, **parameters: Any) -> Any:
        """Return the answer to a call; None is left out. Raises Rejected, Unreachable, Unavailable, AccessLost, Uncertain."""
        given = {name: _written(value) for name, value in parameters.items() if value is not None}
        return await self._in_thread(self._methods, lambda: self._call(method, given, seconds), seconds + CONNECT_SECONDS)

    def _call(self, method: str, given: Mapping[str, str], seconds: float) -> Any:
        self._adapter.answer_seconds = min(seconds, ANSWER_SECONDS)
        try:
            return self._vk.method(method, given)
        except ApiError as error:
            said = error.error.get("error_msg") if isinstance(error.error, dict) else None
            raise in_our_words(error.code, str(said or "it does not say why")) from None
        except ApiHttpError as error:
            raise _of_status(error.response.status_code) from None
        except requests.JSONDecodeError:
            raise Uncertain("VK's answer cannot be read") from None
        except requests.RequestException as error:
            raise _of_connection(error) from None
        except (VkApiError, LookupError, TypeError, ValueError, AttributeError, RecursionError):
            raise Uncertain("VK's answer cannot be read") from None
        finally:
            # What was lost on its way counts at VK, too; the library forgets it.
            self._vk.last_request = time.time()

    async def upload(self, url: str, field: str, name: str, media_type: str, content: bytes) -> dict[str, Any]:
        """Bring a file to where VK wants it; return what VK says. Raises Rejected, Unavailable: nothing depends on it yet."""
        return await self._in_thread(
            self._uploads, lambda: _upload(url, field, name, media_type, content), UPLOAD_SECONDS + CONNECT_SECONDS
        )

    @staticmethod
    async def _in_thread(pool: ThreadPoolExecutor, work: Callable[[], T], seconds: float) -> T:
        begun = False

        def whole() -> T:
            nonlocal begun
            begun = True
            return work()

        try:
            return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(pool, whole), seconds)
        except TimeoutError:
            # The thread goes on until its own time-out. What waited behind another call never left.
            raise (Uncertain if begun else Unavailable)("VK did not answer in time") from None

    async def poll(self, server: str, key: str, ts: str, wait_seconds: int) -> dict[str, Any]:
        """Return the answer to a long poll. Raises Unavailable."""
        asked = {"act": "a_check", "key": key, "ts": ts, "wait": str(wait_seconds)}
        timeout = aiohttp.ClientTimeout(total=wait_seconds + 10, sock_connect=CONNECT_SECONDS)
        try:
            async with _connections().get(server, params=asked, timeout=timeout, allow_redirects=False) as response:
                if response.status != 200:
                    raise Unavailable(f"VK's long poll answers {response.status}")
                answer = json.loads(await _limited(response, POLL_ANSWER_MAX))
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            # Not the error's own words: they hold the address, and that holds the key.
            raise Unavailable(f"VK's long poll cannot be reached ({type(error).__name__})") from None
        except (ValueError, RecursionError):
            raise Unavailable("VK's long poll cannot be read") from None
        if not isinstance(answer, dict):
            raise Unavailable("VK's long poll cannot be read")
        return answer

    async def download(self, address: str) -> AsyncIterator[bytes]:
        """Yield the file at *address*, if it is one of VK's. Raises Rejected, Unavailable."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=FETCH_SECONDS)
        try:
            url = self._checked(address)
            for _ in range(REDIRECTS_MAX + 1):
                async with _connections().get(url, timeout=timeout, allow_redirects=False) as response:
                    if response.status in (301, 302, 303, 307, 308):
                        url = self._checked(response.headers.get("Location", ""), url)
                        continue
                    if response.status in (400, 401, 403, 404, 410):
                        raise Rejected("VK has this file no more")
                    if response.status != 200:
                        raise Unavailable(f"the file could not be fetched from VK ({response.status})")
                    if url.host in _PAGES and response.content_type == "text/html":
                        raise Rejected("VK shows a page where the file was: it has it no more")
                    async for chunk in response.content.iter_chunked(65_536):
                        yield chunk
                    return
        except (OSError, aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"the file could not be fetched from VK ({type(error).__name__})") from None
        raise Rejected("the file's address leads in a circle")

    def _checked(self, address: str, of: URL | None = None) -> URL:
        """Return *address* if a file may be fetched from there: nobody else's server is asked in our name. Raises Rejected."""
        try:
            # What is written as addresses are is left as it is: its query may be signed.
            url = URL(address, encoded=_WRITTEN.fullmatch(address) is not None)
            url = url if of is None else of.join(url)
            host = url.host or ""
            ours = url.absolute and bool(host) and url.origin() == self._server.origin()
        except ValueError:
            raise Rejected("the file's address is none") from None
        if ours:
            return url
        known = any(host == one or host.endswith(f".{one}") for one in FILE_HOSTS)
        if not known or url.scheme != "https" or url.port != 443 or url.user or url.password:
            raise Rejected("the file's address is not VK's")
        return url


def _written(value: object) -> str:
    """Return a parameter as VK reads it."""
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else json.dumps(value, ensure_ascii=False)


def _session() -> requests.Session:
    """Return connections that nothing around this process changes, and that are led to no other place."""
    session = requests.Session()
    session.trust_env = False
    session.max_redirects = 0
    return session


def _upload(url: str, field: str, name: str, media_type: str, content: bytes) -> dict[str, Any]:
    try:
        with _session() as session:
            file = {field: (name, content, media_type)}
            answer = session.post(url, files=file, timeout=(CONNECT_SECONDS, UPLOAD_SECONDS))
        if answer.status_code == 413:
            raise Rejected(f"“{name}” is larger than VK takes", code="too_large")
        if not answer.ok:
            raise Unavailable(f"VK could not take “{name}” ({answer.status_code})")
        told = answer.json()
    except requests.JSONDecodeError:
        raise Unavailable("VK's answer to a file cannot be read") from None
    except requests.RequestException as error:
        raise Unavailable(f"a file could not be brought to VK ({type(error).__name__})") from None
    if not isinstance(told, dict):
        raise Unavailable("VK's answer to a file cannot be read")
    if why := told.get("error"):
        raise Rejected(f"VK does not take “{name}”: {told.get('error_descr') or why}")
    return told


async def _limited(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(65_536):
        body += chunk
        if len(body) > most:
            raise Unavailable("VK's long poll says more than can be")
    return bytes(body)


_sessions: dict[asyncio.AbstractEventLoop, aiohttp.ClientSession] = {}


def _connections() -> aiohttp.ClientSession:
    """Return the connections that every channel of this loop uses."""
    loop = asyncio.get_running_loop()
    if loop not in _sessions:
        for other in [one for one in _sessions if one.is_closed()]:
            del _sessions[other]
        _sessions[loop] = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )
    return _sessions[loop]


async def close() -> None:
    """Close the connections of this loop."""
    if (session := _sessions.pop(asyncio.get_running_loop(), None)) is not None:
        await session.close()


class Paused(Unavailable):
    """VK wants a pause of the whole community."""


def _of_status(status: int) -> SendError:
    if status == 429:
        return Paused("VK wants a pause", retry_after=5.0)
    return Uncertain(f"VK answers {status}")


def _of_connection(error: requests.RequestException) -> SendError:
    """Return whether anything can have left before the connection was lost."""
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    if isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError | ConnectTimeoutError | SSLError):
        return Unavailable(f"VK cannot be reached ({type(reason).__name__})")
    return Uncertain(f"VK did not answer ({type(error).__name__})")


def in_our_words(code: int, said: str) -> SendError:
    """Return what VK's error *code* means; *said* are VK's own words."""
    match code:
        case 5 | 27:
            sentence = "VK does not know this token any more: make a new one in the community's management, and give it here"
            return AccessLost(sentence, code="token_revoked", retry_after=REVOKED_SECONDS)
        case 7 | 15:
            sentence = f"the token may not do this: make one with the rights to messages, photos, files and management ({said})"
            return AccessLost(sentence, code="no_rights", retry_after=RIGHTS_SECONDS)
        case 14:
            sentence = "VK wants a person to solve a captcha before this community may send on: write less often, and wait"
            return AccessLost(sentence, code="captcha", retry_after=CAPTCHA_SECONDS)
        case 6:
            return Paused("VK takes twenty calls a second", retry_after=1.0)
        case 9:
            return Unavailable("VK wants a pause: too much of the same was sent", retry_after=FLOOD_SECONDS)
        case 29:
            return Paused("VK takes no more of this today", retry_after=DAILY_SECONDS)
        case 1 | 10:
            return Unavailable(f"VK has a fault of its own: {said}")
        case 901:
            return Unreachable(
                "they have not allowed messages from the community: VK lets us answer once they write", code="denied"
            )
        case 900:
            return Unreachable("they are on the community's black list, or the community is on theirs", code="blocked")
        case 902:
            return Unreachable("their privacy settings let no messages of the community through", code="blocked")
        case 909:
            return Rejected("VK lets a message be changed for a day only", code="too_late")
        case 914:
            return Rejected("the message is too long for VK", code="too_long")
        case 924:
            return Rejected("VK lets a message be taken back for a day only", code="too_late")
    return Rejected(f"VK refuses: {said} ({code})")
