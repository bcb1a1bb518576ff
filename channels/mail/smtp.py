"""Submission of mail over SMTP, with an end that is known wherever it can be.

    Submission.send
      │  connect, TLS, login        Unavailable; AccessLost where an administrator must act
      │  MAIL, RCPT, DATA           Rejected (5xx) · Unavailable (4xx, cut, out of time): nothing was sent
      │  the mail                   Unavailable: a mail without its last line is none
      ▼  the last line
         the verdict                its words (2xx) · Rejected (5xx) · Unavailable (4xx) · Uncertain (cut, out of time, not understood)

    SendError
    └── Partly    of several recipients some have it and some do not; `outcomes` tells of each

The codes of AccessLost are login, certificate, tls, address and server.

A mail is never sent without TLS: what offers none is refused, however it is asked. One connection is kept for a while, and others wait
for it. This is the one module that imports aiosmtplib, and only where mail is sent.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from broker.errors import AccessLost, Forbidden, Rejected, SendError, Unavailable, Uncertain
from channels.mail.server import Password, Patience, Server, not_believed, not_reached, reach, words

IMPLICIT_TLS_PORT = 465
"""Here TLS begins with the first byte; elsewhere by STARTTLS."""
KEEP_SECONDS = 30.0
QUIT_SECONDS = 2.0
PIECE_BYTES = 65_536
_ENHANCED = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})\b")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


class Partly(SendError):
    """Recipients fared differently; *outcomes* has the server's words or the error of each, by address."""

    def __init__(self, text: str, outcomes: Mapping[str, str | SendError]) -> None:
        super().__init__(text)
        self.outcomes = outcomes


class Submission:
    """The way out of one account."""

    def __init__(
        self,
        server: Server,
        *,
        greeting: str = "",
        patience: Patience | None = None,
        keep_seconds: float = KEEP_SECONDS,
        implicit_tls: bool | None = None,
    ) -> None:
        """*greeting* is the name we call ourselves; empty: the domain of the user. *implicit_tls* None: by the port."""
        self._server = server
        domain = greeting or server.user.rpartition("@")[2]
        self._greeting = domain if _HOST.fullmatch(domain) else "localhost"
        self._patience = patience or Patience()
        self._keep_seconds = keep_seconds
        self._implicit_tls = server.port == IMPLICIT_TLS_PORT if implicit_tls is None else implicit_tls
        self._lock = asyncio.Lock()
        self._smtp: Any = None
        self._retiring: asyncio.TimerHandle | None = None

    async def check(self) -> None:
        """Connect and log in, and send nothing. Raises Unavailable, AccessLost."""
        async with self._lock:
            await self._connected()
            self._keep()

    async def send(self, sender: str, recipient: str, raw: bytes) -> str:
        """Send the mail *raw* to one recipient, and return the words with which it was taken.

        *sender* is where failures are reported; empty: nowhere. Raises Rejected, Unavailable, AccessLost, Uncertain.
        """
        envelope = _envelope(sender, what="the sender's address"), _envelope(recipient, what="the recipient's address")
        body = _stuffed(raw)
        async with self._lock:
            try:
                smtp = await self._connected()
                await self._open(smtp, *envelope, body)
                said = await self._pass(smtp, body)
            except BaseException as error:
                # What a refusal leaves can go on; whoever was not heard out cannot.
                if not isinstance(error, Rejected | _Refusal):
                    self._cut()
                raise
            finally:
                self._keep()
        return said

    async def send_each(self, sender: str, recipients: Sequence[str], raw: bytes) -> str:
        """Send *raw* to each of *recipients* by itself, and return the last one's words.

        Raises Partly when they fare differently; else what send raises.
        """
        outcomes: dict[str, str | SendError] = {}
        for recipient in recipients:
            try:
                outcomes[recipient] = await self.send(sender, recipient, raw)
            except SendError as error:
                outcomes[recipient] = error
        if len({_kind(outcome) for outcome in outcomes.values()}) > 1:
            failed = [f"{recipient}: {outcome}" for recipient, outcome in outcomes.items() if isinstance(outcome, SendError)]
            raise Partly(f"of {len(outcomes)} recipients {len(failed)} may not have got it: {'; '.join(failed)}", outcomes)
        last = outcomes[recipients[-1]]
        if isinstance(last, SendError):
            raise last
        return last

    async def close(self) -> None:
        """End the connection, if one is kept."""
        async with self._lock:
            smtp = self._smtp
            if smtp is not None and smtp.is_connected:
                try:
                    await smtp.quit(timeout=QUIT_SECONDS)
                except (_library().SMTPException, OSError):
                    pass  # whatever it says, it has gone
            self._cut()

    # --- the connection

    async def _connected(self) -> Any:
        """Return a connection that is logged in and has no mail begun."""
        if self._retiring is not None:
            self._retiring.cancel()
        if self._smtp is not None:
            try:
                await self._smtp.rset()
            except (_library().SMTPException, OSError):
                self._cut()
            else:
                return self._smtp
        self._smtp = await self._connect()
        return self._smtp

    async def _connect(self) -> Any:
        server, seconds = self._server, self._patience.connect_seconds
        library = _library()
        try:
            tls = server.tls()
        except OSError as error:
            raise AccessLost(f"ca_file {server.ca_file} cannot be read: {words(str(error))}", code="certificate") from error
        try:
            reached = await reach(server, seconds)
        except Forbidden as error:
            raise AccessLost(str(error), code="address") from error
        except OSError as error:
            raise Unavailable(not_reached(server, error)) from error
        smtp = _client_class()(
            hostname=server.host,
            sock=reached,
            local_hostname=self._greeting,
            timeout=self._patience.answer_seconds,
            use_tls=self._implicit_tls,
            start_tls=False,  # we do it ourselves: what is refused must be told from what is lost
            tls_context=tls,
        )
        try:
            await smtp.connect()
            if not self._implicit_tls:
                await self._start_tls(smtp)
            await self._log_in(smtp)
        except BaseException as error:
            smtp.close()
            reached.close()
            if not isinstance(error, library.SMTPException | OSError):
                raise
            raise self._not_connected(error) from error
        return smtp

    async def _start_tls(self, smtp: Any) -> None:
        await smtp.ehlo()
        if not smtp.supports_extension("starttls"):
            raise AccessLost(
                f"{self._server.place} offers no STARTTLS, and without TLS nothing is sent; "
                f"use its port with TLS, as a rule 587 or {IMPLICIT_TLS_PORT}",
                code="tls",
            )
        await smtp.starttls()

    async def _log_in(self, smtp: Any) -> None:
        await smtp.ehlo()
        secret, user, place = self._server.secret, self._server.user, self._server.place
        wanted = ("plain", "login") if isinstance(secret, Password) else ("xoauth2",)
        method = next((one for one in wanted if one in smtp.server_auth_methods), None)
        if method is None:
            offered = ", ".join(smtp.server_auth_methods).upper() or "nothing"
            raise AccessLost(f"{place} lets nobody log in by {' or '.join(wanted).upper()}; it offers {offered}", code="server")
        log_in = {"plain": smtp.auth_plain, "login": smtp.auth_login, "xoauth2": smtp.auth_xoauth2}[method]
        told = secret.text if isinstance(secret, Password) else await secret.ask()
        try:
            await log_in(user, told)
        except _library().SMTPAuthenticationError as error:
            said = f"{error.code} {words(error.message)}"
            if error.code < 500:
                raise Unavailable(f"{place} lets nobody in just now ({said})") from error
            cure = (
                "check user and password; many providers want a password made for programs"
                if isinstance(secret, Password)
                else "allow Omniline's access to the account again"
            )
            raise AccessLost(f"{place} refused the login ({said}); {cure}", code="login") from error

    def _not_connected(self, error: Exception) -> Unavailable:
        cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
        if isinstance(cause, ssl.SSLCertVerificationError):
            return AccessLost(not_believed(self._server, cause), code="certificate")
        if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
            return AccessLost(f"{self._server.place} does not begin with TLS; use port 587, or another for STARTTLS", code="tls")
        if isinstance(cause, TimeoutError):
            return Unavailable(not_reached(self._server, cause))
        code = getattr(error, "code", None)
        said = f"{code} {words(str(getattr(error, 'message', '')))}" if code else words(str(error))
        return Unavailable(f"{self._server.place} could not be logged in to: {said}")

    def _keep(self) -> None:
        """Let the connection be there for the next mail, for a while."""
        if self._retiring is not None:
            self._retiring.cancel()
        self._retiring = None
        if self._smtp is not None:
            self._retiring = asyncio.get_running_loop().call_later(self._keep_seconds, self._retire)

    def _retire(self) -> None:
        if not self._lock.locked():
            self._cut()

    def _cut(self) -> None:
        if self._retiring is not None:
            self._retiring.cancel()
            self._retiring = None
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    # --- one mail

    async def _open(self, smtp: Any, sender: _Address, recipient: _Address, body: bytes) -> None:
        """Tell who sends, and to whom, up to the server's word to begin."""
        library = _library()
        options = []
        if "size" in smtp.esmtp_extensions:
            largest = smtp.esmtp_extensions["size"].strip()
            if largest.isdecimal() and 0 < int(largest) < len(body):
                raise Rejected(
                    f"the mail has {len(body):,} bytes, and {self._server.place} takes {int(largest):,} at most; "
                    "send what is attached in some other way",
                    code="too_large",
                )
            options.append(f"SIZE={len(body)}")
        if not body.isascii() and smtp.supports_extension("8bitmime"):
            options.append("BODY=8BITMIME")
        encoding = "ascii"
        if not (sender.isascii() and recipient.isascii()):
            if not smtp.supports_extension("smtputf8"):
                raise Rejected(
                    f"{self._server.place} takes no address with letters other than Latin before the @", code="smtputf8"
                )
            options.append("SMTPUTF8")
            encoding = "utf-8"
        try:
            await smtp.mail(sender, options=options, encoding=encoding)
            await smtp.rcpt(recipient, encoding=encoding)
            answer = await smtp.execute_command(b"DATA")
        except library.SMTPSenderRefused as error:
            raise self._refusal(error.code, error.message, "the sender's address") from error
        except library.SMTPRecipientRefused as error:
            raise self._refusal(error.code, error.message, "the recipient's address") from error
        except ValueError as error:
            raise Rejected("an address has characters that no mail server takes", code="address") from error
        except (library.SMTPException, OSError) as error:
            raise Unavailable(f"{self._server.place} was lost before anything was sent: {words(str(error))}") from error
        if answer.code != 354:
            raise self._refusal(answer.code, answer.message, "the mail before it was sent")

    async def _pass(self, smtp: Any, body: bytes) -> str:
        """Send the mail, and return the words of the verdict."""
        library, place = _library(), self._server.place
        protocol = smtp.protocol
        verdict = asyncio.ensure_future(protocol.read_response())
        try:
            for start in range(0, len(body), PIECE_BYTES):
                await self._pass_piece(protocol, verdict, body[start : start + PIECE_BYTES])
            try:
                protocol.write(b".\r\n")
            except library.SMTPServerDisconnected as error:
                raise Unavailable(f"{place} ended the connection before it had the whole mail") from error
            # From here on it may have the mail, whatever we hear of it.
            await asyncio.wait({verdict}, timeout=self._patience.verdict_seconds)
            if not verdict.done():
                raise Uncertain(f"{place} got the mail and did not say in time whether it takes it")
            try:
                code, said = verdict.result()
            except (library.SMTPException, OSError) as error:
                raise Uncertain(f"{place} got the mail, and the connection ended before its answer") from error
        finally:
            verdict.cancel()
            await asyncio.gather(verdict, return_exceptions=True)
        if 200 <= code < 300:
            return words(said)
        if code < 400:
            raise Uncertain(f"{place} answered the mail with {code} {words(said)}, which says neither yes nor no")
        raise self._refusal(code, said, "the mail")

    async def _pass_piece(self, protocol: Any, verdict: asyncio.Future[Any], piece: bytes) -> None:
        """Send a piece of the mail when there is room for it. A server that speaks or goes meanwhile takes nothing of it."""
        library, place = _library(), self._server.place
        try:
            protocol.write(piece)
        except library.SMTPServerDisconnected as error:
            raise Unavailable(f"{place} ended the connection before it had the whole mail") from error
        room = asyncio.ensure_future(protocol._drain_helper())  # as a StreamWriter waits for it
        await asyncio.wait({room, verdict}, timeout=self._patience.answer_seconds, return_when=asyncio.FIRST_COMPLETED)
        waited = not room.done()
        room.cancel()
        await asyncio.gather(room, return_exceptions=True)
        if verdict.done():
            try:
                code, said = verdict.result()
            except (library.SMTPException, OSError) as error:
                raise Unavailable(f"{place} ended the connection before it had the whole mail") from error
            raise Unavailable(f"{place} interrupted the mail: {code} {words(said)}")
        if waited:
            raise Unavailable(f"{place} took no more of the mail; the connection is too slow, or dead")

    def _refusal(self, code: int, said: str, what: str) -> SendError:
        told = f"{code} {words(said)}"
        place = self._server.place
        if code == 530:
            return AccessLost(f"{place} wants a login that it did not take ({told}); check user and password", code="login")
        if code >= 500:
            enhanced = _ENHANCED.match(said)
            return Rejected(f"{place} refused {what} ({told})", code=enhanced[1] if enhanced else str(code))
        return _Refusal(f"{place} does not take {what} just now ({told})")


class _Refusal(Unavailable):
    """A 4xx, after which the connection is as good as before."""


def _kind(outcome: str | SendError) -> type:
    """Return what became of a mail, as far as the difference matters to who sends it."""
    kinds: tuple[type, ...] = (str, Rejected, Unavailable, Uncertain)
    return next(kind for kind in kinds if isinstance(outcome, kind))


_Address = str
"""Of an envelope: without anything around it, its domain in ASCII."""


def _envelope(address: str, *, what: str) -> _Address:
    """Return an address as the envelope has it. Raises Rejected."""
    if not address:
        return address
    local, at, domain = address.rpartition("@")
    try:
        if not (at and local and domain) or re.search(r"[\x00-\x20\x7f<>]", address):
            raise ValueError("not an address")
        return f"{local}@{domain if domain.isascii() else domain.encode('idna').decode()}"
    except ValueError as error:  # UnicodeError is one
        raise Rejected(f"{what} is not an e-mail address", code="address") from error


def _stuffed(raw: bytes) -> bytes:
    """Return the mail as DATA carries it (RFC 5321 4.5.2), without the line that ends it."""
    lines = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    stuffed = lines.replace(b"\n.", b"\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def _library() -> Any:
    import aiosmtplib

    return aiosmtplib


@cache
def _client_class() -> Any:
    library: Any = _library()
    client: Any = library.SMTP

    class Client(client):  # type: ignore[misc]  # the library is loaded when it is needed
        """The library's client, which ends a connection without a word: who is frozen would not take one, and TLS waits for the answer."""

        def close(self) -> None:
            if self.transport is not None:
                self.transport.abort()
            super().close()

    return Client
