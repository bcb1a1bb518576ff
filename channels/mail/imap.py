r"""A mailbox over IMAP: its folders, what is new in one, whole mails, and the wait for more.

    Mailbox.connect ── TLS, login
    Mailbox.select ─── one folder, its UIDVALIDITY
    Mailbox.new_uids ─ what has come since; then Mailbox.fetch, one mail a command
    Mailbox.idle ───── until something comes; then new_uids again

    MailboxError
    ├── MailboxRefused    an administrator must act; `code` says on what
    └── MailboxLost       the connection has ended, nothing of it can be used: come back later with another

This is the one module that imports aioimaplib. That is GPL-3.0-only: it comes with the extra `mail` alone, is imported only where a
mailbox is, and an image that contains it is under its terms (see NOTICE).

What it lacks stands around it here. A lost connection ends none of its waits, and after a time-out later commands wait for ever: so each
wait ends with the connection or by the clock, and every time-out ends the connection. It calls itself once a line, so a thousand lines
at once end it. It drops every `* ` of a line: mails are taken from literals alone, which are counted. It forgets the news of a mail
that comes while another command is answered, so that the wait that follows would not hear of it. It lets a refused XOAUTH2 hang.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import math
import re
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any, NoReturn, TypeVar

from broker.errors import Forbidden, OmnilineError
from channels.mail.server import Password, Patience, Server, not_believed, not_reached, reach, words

POLL_SECONDS = 60.0
"""How often a server is asked that cannot tell by itself."""
CLOSE_SECONDS = 2.0
ANSWER_BYTES_MAX = 16 * 1_048_576
"""Nothing but a mail is longer."""
UIDS_A_COMMAND = 500
"""Their numbers fit into a line that every server takes."""
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_LIST = re.compile(rb"\(([^)]*)\) (?:NIL|\"(?:\\.|[^\"\\])*\") (.*)", re.DOTALL)
_UNSELECTABLE = {"\\noselect", "\\nonexistent"}
# RFC 5530, and what large providers say instead.
_LATER = re.compile(rb"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\]|too many|try again|temporar", re.IGNORECASE)

T = TypeVar("T")


class MailboxError(OmnilineError):
    """The mailbox cannot be used now; the text is for an administrator."""


class MailboxRefused(MailboxError):
    """Trying again would not help; *code* is login, certificate, tls, address, folder, full or server."""

    def __init__(self, sentence: str, code: str) -> None:
        super().__init__(sentence)
        self.code = code


class MailboxLost(MailboxError):
    """The connection has ended, whoever ended it."""


@dataclass(frozen=True, slots=True)
class Selected:
    """The folder that the commands which follow are about."""

    uidvalidity: int
    """When it changes, UIDs that were seen before mean nothing any more."""
    uidnext: int | None
    exists: int


@dataclass(frozen=True, slots=True)
class Fetched:
    """One mail. Its text is in *raw*, unless it is too large: then *headers* are all there is."""

    uid: int
    size: int
    """In bytes."""
    raw: bytes | None
    headers: bytes
    """Of a mail that is there whole, too."""
    flags: frozenset[str]
    internaldate: datetime | None
    """When the server got it; aware."""


class Mailbox:
    """One connection to one mailbox; it is asked one thing at a time.

    Every method but close raises MailboxLost, after which only close is of use.
    """

    def __init__(self, server: Server, *, patience: Patience | None = None) -> None:
        """*server* speaks IMAP with TLS from the first byte."""
        self._server = server
        self._patience = patience or Patience()
        self._lost = asyncio.Event()
        self._why = "the connection has not been made yet"
        self._made: Any = None

    @property
    def _client(self) -> Any:
        if self._made is None:
            self._end(self._why)
        return self._made

    # --- the connection

    async def connect(self) -> None:
        """Connect and log in. Raises MailboxRefused: address, certificate, tls, login."""
        server, patience = self._server, self._patience
        try:
            tls = server.tls()
        except OSError as error:
            raise MailboxRefused(f"ca_file {server.ca_file} cannot be read: {words(str(error))}", "certificate") from error
        try:
            reached = await reach(server, patience.connect_seconds)
        except Forbidden as error:
            raise MailboxRefused(str(error), "address") from error
        except OSError as error:
            raise MailboxLost(not_reached(server, error)) from error
        self._lost.clear()
        self._why = f"{server.place} ended the connection"
        try:
            self._made = _client_class()(reached, tls, server.host, self._lost)
            await self._do(self._client.wait_hello_from_server())
            await self._log_in()
        except BaseException:
            self._abort()
            reached.close()
            raise

    async def _log_in(self) -> None:
        secret, wire = self._server.secret, self._client.protocol
        if isinstance(secret, Password):
            if "AUTH=PLAIN" in wire.capabilities:
                answer = await self._do(wire.authenticate("PLAIN", f"\0{self._server.user}\0{secret.text}"))
            else:
                # The library quotes the password and forgets the user.
                answer = await self._do(self._client.login(_quoted(self._server.user), secret.text))
        else:
            told = f"user={self._server.user}\1auth=Bearer {await secret.ask()}\1\1"
            answer = await self._do(wire.authenticate("XOAUTH2", told))
        if answer.result == "OK":
            # More is offered to who has logged in; IDLE is often among it.
            await self._do(wire.capability())
            return
        said = _last(answer)
        if _LATER.search(said):
            raise MailboxLost(f"{self._server.place} lets nobody in just now: {words(said)}")
        if isinstance(secret, Password):
            cure = "check user and password; many providers want a password made for programs, and IMAP switched on"
        else:
            cure = "allow Omniline's access to the mailbox again"
        raise MailboxRefused(f"{self._server.place} refused the login ({words(said)}); {cure}", "login")

    async def close(self) -> None:
        """Log out if there is still somebody to tell, and end the connection."""
        if self._made is not None and not self._lost.is_set():
            with suppress(MailboxError):
                await self._do(self._client.logout(), seconds=CLOSE_SECONDS)
        self._abort()

    # --- folders

    async def folders(self) -> list[str]:
        """Return the names of all folders that can be selected."""
        return [name for name, _ in await self._list()]

    async def sent_folder(self) -> str | None:
        """Return the folder that the server says is for what was sent; None when it says nothing."""
        return next((name for name, uses in await self._list() if "\\sent" in uses), None)

    async def _list(self) -> list[tuple[str, frozenset[str]]]:
        answer = self._good(await self._do(self._client.list('""', '"*"')), "list the folders")
        found = []
        lines = iter(answer.lines)
        for line in lines:
            match = _LIST.fullmatch(line) if isinstance(line, bytes) else None
            if match is None:
                continue
            uses = frozenset(match[1].decode("ascii", "replace").lower().split())
            name = bytes(next(lines, b"")) if match[2].endswith(b"}") else _unquoted(match[2])
            if not uses & _UNSELECTABLE:
                found.append((_decoded(name), uses))
        return found

    async def select(self, folder: str) -> Selected:
        """Let what follows be about *folder*. Raises MailboxRefused: folder, server."""
        answer = await self._do(self._client.select(_named(folder)))
        if answer.result != "OK":
            self._end_if_later(answer)
            raise MailboxRefused(
                f"{self._server.place} has no folder “{folder}” that can be read ({words(_last(answer))}); choose another",
                "folder",
            )
        said = b"\n".join(bytes(line) for line in answer.lines)
        uidvalidity, uidnext, exists = (
            re.search(pattern, said) for pattern in (rb"UIDVALIDITY (\d+)", rb"UIDNEXT (\d+)", rb"(?m)^(\d+) EXISTS")
        )
        if uidvalidity is None:
            raise MailboxRefused(
                f"{self._server.place} gives mails of “{folder}” no lasting numbers (UIDVALIDITY); it cannot be used", "server"
            )
        self._client.protocol.news.clear()
        return Selected(int(uidvalidity[1]), int(uidnext[1]) if uidnext else None, int(exists[1]) if exists else 0)

    # --- mails

    async def new_uids(self, after: int, since: date | None = None) -> list[int]:
        """Return the UIDs above *after* of the selected folder, the lowest first; with *since* only what came on that day or later."""
        # What is told from now on may not be among the answer.
        self._client.protocol.news.clear()
        asked = f"UID {after + 1}:*"
        if since is not None:
            asked += f" SINCE {since.day}-{MONTHS[since.month - 1]}-{since.year}"
        answer = self._good(await self._do(self._client.uid_search(asked, charset=None)), "search for new mail")
        numbers = [line.split() for line in answer.lines[:-1] if re.fullmatch(rb"[\d ]*", line)]
        # The last mail is always within `n:*`, whatever n is.
        return sorted({uid for line in numbers for uid in map(int, line) if uid > after})

    async def fetch(self, uid: int, size_max: int) -> Fetched | None:
        """Return the mail *uid* of the selected folder, without marking it; None if it has gone.

        Of a mail of more than *size_max* bytes only the headers are fetched.
        """
        found = await self._fetch(uid, "RFC822.SIZE FLAGS INTERNALDATE")
        if found is None:
            return None
        size = re.search(rb"RFC822\.SIZE (\d+)", found[0])
        if size is None:
            self._end(f"{self._server.place} does not say how large mail {uid} is")
        whole = int(size[1]) <= size_max
        got = await self._fetch(uid, "BODY.PEEK[]" if whole else "BODY.PEEK[HEADER]", int(size[1]) if whole else 0)
        if got is None:
            return None
        text = got[1]
        if text is None:
            self._end(f"{self._server.place} did not give the text of mail {uid}")
        flags = re.search(rb"FLAGS \(([^)]*)\)", found[0])
        return Fetched(
            uid,
            len(text) if whole else int(size[1]),
            text if whole else None,
            _headers(text),
            frozenset(flags[1].decode("ascii", "replace").split() if flags else ()),
            _internaldate(found[0]),
        )

    async def _fetch(self, uid: int, items: str, size: int = 0) -> tuple[bytes, bytes | None] | None:
        """Return what is said of *uid*, and the literal in it; None when nothing is."""
        asked = self._client.uid("fetch", str(uid), f"(UID {items})")
        seconds, allowed = self._patience.for_bytes(size), size + ANSWER_BYTES_MAX
        answer = self._good(await self._do(asked, seconds=seconds, bytes_max=allowed), f"give mail {uid}")
        wanted = rb"BODY\[" if items.startswith("BODY") else rb"RFC822\.SIZE"
        for said, text in _told(answer.lines[:-1]):
            # Others' news may come in between: what another program marked.
            if re.search(rb"[( ]UID %d[ )]" % uid, said) and re.search(wanted, said):
                return said, text
        return None

    async def mark_seen(self, uids: Iterable[int]) -> None:
        """Mark mails of the selected folder as read; those that have gone are passed over."""
        numbers = [str(uid) for uid in uids]
        for start in range(0, len(numbers), UIDS_A_COMMAND):
            some = ",".join(numbers[start : start + UIDS_A_COMMAND])
            self._good(await self._do(self._client.uid("store", some, "+FLAGS.SILENT", r"(\Seen)")), "mark mail as read")

    async def append(self, folder: str, raw: bytes, flags: str = r"\Seen") -> None:
        """Put a mail into *folder*. Raises MailboxRefused: folder, full."""
        asked = self._client.append(raw, _named(folder), f"({flags})")
        answer = await self._do(asked, seconds=self._patience.for_bytes(len(raw)))
        if answer.result == "OK":
            return
        self._end_if_later(answer)
        said = _last(answer)
        if b"[OVERQUOTA]" in said.upper():
            raise MailboxRefused(f"the mailbox at {self._server.place} is full ({words(said)}); make room in it", "full")
        raise MailboxRefused(
            f"{self._server.place} takes no mail into the folder “{folder}” ({words(said)}); choose another, or make it", "folder"
        )

    async def idle(self, seconds: float) -> bool:
        """Wait until mail comes into the selected folder, at most so long; return whether some has come since the last new_uids."""
        wire = self._client.protocol
        if wire.news.is_set():
            return True
        if "IDLE" not in wire.capabilities:
            if not await self._until(wire.news.wait(), min(seconds, POLL_SECONDS)):
                self._good(await self._do(self._client.noop()), "answer")
            return bool(wire.news.is_set())
        idling = asyncio.ensure_future(wire.idle())
        try:
            await self._do(_either(idling, wire.wait_for_idle_response()))
            if not idling.done():
                await self._until(wire.news.wait(), seconds)
                wire.idle_done()
            self._good(await self._do(asyncio.shield(idling)), "wait for mail")
        finally:
            idling.cancel()
            await asyncio.gather(idling, return_exceptions=True)
            while not wire.idle_queue.empty():
                wire.idle_queue.get_nowait()
        return bool(wire.news.is_set())

    # --- how a thing is asked

    async def _do(self, asked: Awaitable[T], *, seconds: float | None = None, bytes_max: int = ANSWER_BYTES_MAX) -> T:
        """Return the answer. Raises MailboxLost when the connection or the time ends before it comes.

        With *seconds* it may take so long as long as something is heard of it.
        """
        if self._lost.is_set():
            _drop(asked)
            self._end(self._why)
        self._client.protocol.bytes_left = bytes_max
        silence = self._patience.answer_seconds
        done = await self._first(asked, silence if seconds is None else seconds, silence)
        if done is None:
            self._end(self._why if self._lost.is_set() else f"{self._server.place} did not answer in time")
        try:
            return done.result()
        except ssl.SSLCertVerificationError as error:
            raise MailboxRefused(not_believed(self._server, error), "certificate") from error
        except ssl.SSLError as error:
            if error.reason == "WRONG_VERSION_NUMBER":
                raise MailboxRefused(
                    f"{self._server.place} does not begin with TLS; use the port of IMAPS, which is 993 as a rule", "tls"
                ) from error
            self._end(f"the TLS connection to {self._server.place} failed: {words(str(error))}", error)
        except OSError as error:
            self._end(f"{self._server.place} ended the connection: {words(str(error))}", error)
        except (_library().AioImapException, ValueError, LookupError) as error:
            self._end(f"{self._server.place} did not keep to the protocol ({type(error).__name__})", error)

    async def _until(self, asked: Awaitable[object], seconds: float) -> bool:
        """Wait at most *seconds*, and return whether it came. Raises MailboxLost."""
        came = await self._first(asked, seconds)
        if self._lost.is_set():
            self._end(self._why)
        return came is not None

    async def _first(self, asked: Awaitable[T], seconds: float, silence: float = math.inf) -> asyncio.Future[T] | None:
        """Return *asked* when it is done; None when the connection or the time has ended before, or nothing was heard for *silence*."""
        wire, clock = self._client.protocol, asyncio.get_running_loop().time
        wanted = asyncio.ensure_future(asked)
        lost = asyncio.ensure_future(self._lost.wait())
        until = clock() + seconds
        try:
            while True:
                heard, left = wire.bytes_left, until - clock()
                await asyncio.wait({wanted, lost}, timeout=min(left, silence), return_when=asyncio.FIRST_COMPLETED)
                if wanted.done():
                    return wanted
                if lost.done() or left <= silence or wire.bytes_left == heard:
                    return None
        except BaseException:
            # Whoever asked has gone: nobody would read the answer, and the next one would be taken for it.
            self._why = f"what was asked of {self._server.place} before was given up"
            self._abort()
            raise
        finally:
            for waiting in (wanted, lost):
                if not waiting.done():
                    waiting.cancel()
            await asyncio.gather(wanted, lost, return_exceptions=True)

    def _good(self, answer: Any, what: str) -> Any:
        if answer.result != "OK":
            self._end(f"{self._server.place} did not {what}: {words(_last(answer))}")
        return answer

    def _end_if_later(self, answer: Any) -> None:
        if _LATER.search(_last(answer)):
            self._end(f"{self._server.place} cannot just now: {words(_last(answer))}")

    def _end(self, why: str, error: BaseException | None = None) -> NoReturn:
        """End the connection; every wait that follows is told *why*."""
        self._why = why
        self._abort()
        raise MailboxLost(why) from error

    def _abort(self) -> None:
        self._lost.set()
        if self._made is not None:
            self._made.abort()


# --- the library, mended


@cache
def _library() -> Any:
    from aioimaplib import aioimaplib

    # At the level of debugging it writes mails and passwords.
    logging.getLogger("aioimaplib").setLevel(logging.WARNING)
    return aioimaplib


class _Line(bytes):
    """A line that begins with `* `, of which the library would drop every `* `: this drops the first."""

    def replace(self, *_: Any) -> bytes:
        return bytes(self[2:])


@cache
def _client_class() -> Any:
    library = _library()
    protocol: Any = library.IMAP4ClientProtocol
    client: Any = library.IMAP4

    class Wire(protocol):  # type: ignore[misc]  # it has no types
        """The library's protocol: without recursion, with news of mail, and with a bound on what it keeps."""

        def __init__(self, lost: asyncio.Event) -> None:
            super().__init__(asyncio.get_running_loop(), lambda _: lost.set())
            self.news = asyncio.Event()
            self.bytes_left = ANSWER_BYTES_MAX
            self._credential: str | None = None

        def data_received(self, data: bytes) -> None:
            self.bytes_left -= len(data)
            try:
                if self.bytes_left < 0:
                    raise ValueError("more was said than anybody asked for")
                super().data_received(data)
            except (library.AioImapException, ValueError, LookupError, AttributeError):
                self.transport.abort()

        async def welcome(self, command: bytes) -> None:
            try:
                await super().welcome(command)
            except (library.AioImapException, ValueError, LookupError):
                # Nobody awaits this: who waits for the greeting is told by the connection's end.
                self.transport.abort()

        def _handle_responses(self, data: bytes, line_handler: Callable[..., Any], current_cmd: Any = None) -> None:
            command = current_cmd
            while data:
                if command is not None and command.wait_literal_data():
                    data = command.append_literal_data(data)
                    if command.wait_literal_data() or not data:
                        raise library.IncompleteRead(command)
                line, end, rest = data.partition(b"\r\n")
                if not end:
                    raise library.IncompleteRead(command, data)
                command = line_handler(line, command)
                if announced := library.literal_data_re.match(line):
                    command = command or library.Command("NIL", "unused")
                    command.begin_literal_data(int(announced["size"]))
                elif command is not None and not command.wait_data():
                    command = None
                data = rest
            if self.pending_sync_command is not None:
                self.pending_sync_command.flush()
            if command is not None and command.wait_data():
                raise library.IncompleteRead(command)

        def _untagged_response(self, line: bytes) -> Any:
            if re.match(rb"\* \d+ EXISTS", line):
                self.news.set()
            return super()._untagged_response(_Line(line))

        def _continuation(self, line: bytes) -> None:
            asked = self.pending_sync_command
            if asked is None or asked.name != "AUTHENTICATE":
                super()._continuation(line)
                return
            # What the server says after the credential is why it was refused; an empty line asks for the refusal itself.
            self.transport.write((self._credential or "").encode() + b"\r\n")
            self._credential = None

        async def authenticate(self, mechanism: str, told: str) -> Any:
            """Log in by SASL, with all that is to be told at once."""
            credential = base64.b64encode(told.encode()).decode()
            at_once = "SASL-IR" in self.capabilities
            self._credential = None if at_once else credential
            asked = library.Command("AUTHENTICATE", self.new_tag(), mechanism, *([credential] if at_once else []))
            answer = await self.execute(asked)
            if answer.result == "OK":
                self.state = library.AUTH
            return answer

    class Client(client):  # type: ignore[misc]  # it has no types
        """The library's client, on a connection that is there already."""

        def __init__(self, reached: Any, tls: ssl.SSLContext, host: str, lost: asyncio.Event) -> None:
            self._made = (reached, tls, host, lost)
            super().__init__(timeout=None)

        def create_client(self, *_: Any) -> None:
            reached, tls, host, lost = self._made
            loop = asyncio.get_running_loop()
            self.protocol = Wire(lost)
            connecting = loop.create_connection(lambda: self.protocol, sock=reached, ssl=tls, server_hostname=host)
            self._client_task = loop.create_task(connecting)

        def abort(self) -> None:
            if self.protocol.transport is not None:
                self.protocol.transport.abort()
            for task in (self._client_task, *self.tasks, *self.protocol.tasks):
                task.cancel()

    return Client


async def _either(*asked: Awaitable[Any]) -> None:
    """Return when one of them is done; those that are not futures are given up then."""
    waiting = [asyncio.ensure_future(one) for one in asked]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one, given in zip(waiting, asked, strict=True):
            if one is not given:
                one.cancel()


def _drop(asked: Awaitable[Any]) -> None:
    """Give up what was never begun."""
    if asyncio.iscoroutine(asked):
        asked.close()
    elif isinstance(asked, asyncio.Future):
        asked.cancel()


# --- what is said


def _last(answer: Any) -> bytes:
    """Return the words with which an answer ended."""
    return bytes(answer.lines[-1]) if answer.lines else b""


def _told(lines: Sequence[bytes | bytearray]) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield each FETCH of an answer: its words, and its literal if it has one."""
    said, text = b"", None
    for line in lines:
        if isinstance(line, bytearray):
            text = bytes(line)
        elif re.match(rb"\d+ FETCH \(", line):
            if said:
                yield said, text
            said, text = line, None
        else:
            said += line
    if said:
        yield said, text


def _headers(raw: bytes) -> bytes:
    end = re.search(rb"\r?\n\r?\n", raw)
    return raw[: end.end()] if end else raw


def _internaldate(said: bytes) -> datetime | None:
    found = re.search(rb'INTERNALDATE "([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d:\d\d:\d\d [+-]\d{4})"', said)
    if found is None or (month := found[2].decode().title()) not in MONTHS:
        return None
    day, year, rest = (found[number].decode().strip() for number in (1, 3, 4))
    with suppress(ValueError):
        return datetime.strptime(f"{year}-{MONTHS.index(month) + 1}-{day} {rest}", "%Y-%m-%d %H:%M:%S %z")
    return None


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unquoted(name: bytes) -> bytes:
    return re.sub(rb"\\(.)", rb"\1", name[1:-1]) if name.startswith(b'"') else name


def _named(folder: str) -> str:
    """Return the name of a folder as a command has it: in modified UTF-7 (RFC 3501 5.1.3), quoted."""
    return _quoted(re.sub(r"&|[^\x20-\x7e]+", lambda found: f"&{_base64(found[0]) if found[0] != '&' else ''}-", folder))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")


def _decoded(name: bytes) -> str:
    """Return the name of a folder for people; as it is where it is no modified UTF-7."""
    text = name.decode("utf-8", "replace")
    with suppress(binascii.Error, ValueError):
        return re.sub(r"&([A-Za-z0-9+,]*)-", lambda found: _from_base64(found[1]) if found[1] else "&", text)
    return text


def _from_base64(text: str) -> str:
    padded = text.replace(",", "/") + "=" * (-len(text) % 4)
    return base64.b64decode(padded, validate=True).decode("utf-16-be")
