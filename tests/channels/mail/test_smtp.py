"""Mail submitted to a real Exim, seen in a real Dovecot, with every fate a mail can have on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from broker.errors import AccessLost, Forbidden, Rejected, SendError, Unavailable, Uncertain
from channels.mail.server import Password, Patience, Server, Token
from channels.mail.smtp import Partly, Submission
from tests.channels.mail.account import Account
from tests.support.asterisk import free_port
from tests.support.mail import NEEDS_SERVERS
from tests.support.wire import Wire

pytestmark = NEEDS_SERVERS

PATIENT = Patience(connect_seconds=10, answer_seconds=10, verdict_seconds=10)
HASTY = Patience(connect_seconds=1, answer_seconds=1, verdict_seconds=0.5)
LONG = 30.0
MEGABYTE = 1_048_576


def letter(number: int = 1, text: bytes = b"hello") -> bytes:
    return b"From: us@example.test\r\nSubject: letter %d\r\n\r\n%s\r\n" % (number, text)


LARGE = letter(1, (b"x" * 998 + b"\r\n") * 25_000)
"""25 MB, which no buffers on the way hold."""


def play(server: Server, story: Callable[[Submission], Awaitable[Any]], patience: Patience = PATIENT, **how: Any) -> Any:
    async def whole() -> Any:
        submission = Submission(server, patience=patience, **how)
        async with asyncio.timeout(LONG):
            try:
                return await story(submission)
            finally:
                await submission.close()

    return asyncio.run(whole())


def sending(account: Account, recipient: str = "", raw: bytes | None = None) -> Callable[[Submission], Awaitable[str]]:
    return lambda submission: submission.send(account.user, recipient or account.user, letter() if raw is None else raw)


# --- what is taken


def test_a_mail_arrives(ann: Account):
    """What was sent is seen by IMAP, and the server's words come back."""
    said = play(ann.server(ann.servers.smtp), sending(ann))

    (got,) = ann.servers.await_contents(ann.user, 1, seconds=1)
    assert got.endswith(letter())
    assert said.startswith("OK id=")


def test_a_mail_arrives_as_it_is(ann: Account):
    """Lines that begin with dots, the line that would end it, and eight bits are no matter."""
    raw = letter(1, b".\r\n..\r\n.one\r\nRSET\r\n\xd0\xbf\xff\r\n\r\n")

    play(ann.server(ann.servers.smtp), sending(ann, raw=raw))

    (got,) = ann.servers.await_contents(ann.user, 1, seconds=1)
    assert got.endswith(raw)


def test_every_form_of_a_line_s_end_is_one(ann: Account):
    """A bare CR or LF could end a mail for one server and not for the next."""
    play(ann.server(ann.servers.smtp), sending(ann, raw=b"Subject: x\n\na\rb\n.\r\nc"))

    (got,) = ann.servers.await_contents(ann.user, 1, seconds=1)
    assert got.endswith(b"Subject: x\r\n\r\na\r\nb\r\n.\r\nc\r\n")


def test_a_large_mail_arrives(ann: Account):
    """25 MB pass."""
    play(ann.server(ann.servers.smtp), sending(ann, raw=LARGE))

    (got,) = ann.servers.await_contents(ann.user, 1)
    assert got.endswith(LARGE)


def test_tls_from_the_first_byte_will_do(ann: Account):
    """So it is at port 465."""
    play(ann.server(ann.servers.smtps), sending(ann), implicit_tls=True)

    assert 1 == len(ann.servers.await_contents(ann.user, 1))


def test_the_plus_part_of_an_address_stays(ann: Account):
    """By it an answer finds its conversation."""
    recipient = ann.user.replace("@", "+a1b2c3@")

    play(ann.server(ann.servers.smtp), sending(ann, recipient))

    assert f"Delivered-To: {recipient}".encode() in ann.servers.await_contents(ann.user, 1)[0]


def test_a_mail_of_nobody_is_sent(ann: Account):
    """What a machine answers must not be answered by a machine: its sender is empty."""
    play(ann.server(ann.servers.smtp), lambda submission: submission.send("", ann.user, letter()))

    assert b"Return-Path: <>" in ann.servers.await_contents(ann.user, 1)[0]


def test_sixty_mails_at_once_arrive_once_over_one_connection(ann: Account):
    """Who sends waits for who sent before."""

    async def burst(submission: Submission) -> None:
        await asyncio.gather(*(submission.send(ann.user, ann.user, letter(number)) for number in range(60)))

    with Wire(ann.servers.smtp) as wire:
        play(ann.server(wire.port), burst)

        got = ann.servers.await_contents(ann.user, 60)
        subjects = sorted(line for raw in got for line in raw.splitlines() if line.startswith(b"Subject: "))
        assert sorted(b"Subject: letter %d" % number for number in range(60)) == subjects
        assert 1 == wire.connections


# --- what is not


@pytest.mark.parametrize(
    ("recipient", "error", "code"),
    [
        ("tempfail@example.test", Unavailable, "451"),
        ("permfail@example.test", Rejected, "550"),
        ("latefail@example.test", Rejected, "554"),
        ("datatemp@example.test", Unavailable, "452"),
    ],
)
def test_a_refusal_is_for_good_or_for_now(ann: Account, recipient: str, error: type[SendError], code: str):
    """5xx is for good, 4xx is not; the server's words are told, and the connection serves the next mail."""

    async def story(submission: Submission) -> SendError:
        with pytest.raises(error, match=code) as refused:
            await submission.send(ann.user, recipient, letter(1))
        await submission.send(ann.user, ann.user, letter(2))
        return refused.value

    with Wire(ann.servers.smtp) as wire:
        told = play(ann.server(wire.port), story)

        assert (error, 1) == (told.__class__ if error is Rejected else Unavailable, wire.connections)
    assert 1 == len(ann.servers.await_contents(ann.user, 1))


def test_a_refusal_has_the_server_s_code(ann: Account):
    """The enhanced code says more than the number."""
    with pytest.raises(Rejected, match="the recipient's address") as refused:
        play(ann.server(ann.servers.smtp), sending(ann, "permfail@example.test"))

    assert "5.1.1" == refused.value.code


def test_what_fails_later_comes_back(ann: Account):
    """The server takes it, cannot hand it on, and reports it to the sender."""
    play(ann.server(ann.servers.smtp), sending(ann, "latebounce@example.test"))

    (report,) = ann.servers.await_contents(ann.user, 1)
    assert b"Action: failed\r\nFinal-Recipient: rfc822;latebounce@example.test\r\nStatus: 5.0.0" in report


@pytest.mark.parametrize(
    "address", ["", "ann", "ann@", "@example.test", "a b@example.test", "a@b.test\r\nRCPT TO:<c@d.test>", "<a@b.test>"]
)
def test_what_is_no_address_is_refused_here(ann: Account, address: str):
    """Nothing of it reaches the server."""
    if not address:
        address = "@"

    with Wire(ann.servers.smtp) as wire:
        with pytest.raises(Rejected, match="not an e-mail address"):
            play(ann.server(wire.port), sending(ann, address))

        assert 0 == wire.connections


def test_a_cyrillic_domain_is_written_in_latin(ann: Account):
    """A host that nobody knows is refused by its server, not by us."""
    play(ann.server(ann.servers.smtp), sending(ann, "latebounce@пример.рф"))

    assert b"latebounce@xn--e1afmkfd.xn--p1ai" in ann.servers.await_contents(ann.user, 1)[0]


def test_a_cyrillic_name_needs_a_server_that_takes_it(ann: Account):
    """Where none is taken that is said in words."""
    with pytest.raises(Rejected, match="Latin") as refused:
        play(ann.server(ann.servers.smtp), sending(ann, "анна@example.test"))

    assert "smtputf8" == refused.value.code
    with pytest.raises(Rejected, match="550") as refused:
        play(ann.server(ann.servers.smtps), sending(ann, "permfailанна@example.test"), implicit_tls=True)


def test_too_large_a_mail_is_refused_before_it_is_sent(ann: Account):
    """The server says how much it takes."""
    with pytest.raises(Rejected, match="52,428,800 at most") as refused:
        play(ann.server(ann.servers.smtp), sending(ann, raw=b"x" * 51 * MEGABYTE))

    assert "too_large" == refused.value.code


def test_some_recipients_may_get_it_and_some_not(ann: Account):
    """Each is told of by itself, and nobody gets it twice."""

    async def story(submission: Submission) -> str:
        return await submission.send_each(ann.user, [ann.user, "permfail@example.test", "tempfail@example.test"], letter())

    with pytest.raises(Partly, match="of 3 recipients 2") as partly:
        play(ann.server(ann.servers.smtp), story)

    first, second, third = partly.value.outcomes.values()
    assert isinstance(first, str)
    assert (Rejected, True) == (type(second), isinstance(third, Unavailable))
    assert 1 == len(ann.servers.await_contents(ann.user, 1))


def test_recipients_who_fare_alike_are_one(ann: Account):
    """All got it, or none did for the same reason."""

    async def story(submission: Submission) -> str:
        with pytest.raises(Rejected):
            await submission.send_each(ann.user, ["permfail1@example.test", "permfail2@example.test"], letter())
        return await submission.send_each(ann.user, [ann.user, ann.user.replace("@", "+2@")], letter())

    play(ann.server(ann.servers.smtp), story)

    assert 2 == len(ann.servers.await_contents(ann.user, 2))


# --- a wire that breaks


def test_an_answer_lost_behind_the_mail_is_uncertain(ann: Account):
    """The server has it and said so to nobody."""
    with Wire(ann.servers.smtp) as wire:
        wire.cut_answer_after = MEGABYTE
        with pytest.raises(Uncertain, match="got the mail"):
            play(ann.server(wire.port), sending(ann, raw=LARGE))

    assert 1 == len(ann.servers.await_contents(ann.user, 1))


def test_a_verdict_that_does_not_come_is_uncertain(ann: Account):
    """The server has the mail and thinks about it for longer than we wait."""

    async def story(submission: Submission) -> None:
        with pytest.raises(Uncertain, match="did not say in time"):
            await submission.send(ann.user, "slow@example.test", letter(1))
        # What it says later is not for the next mail.
        async with asyncio.timeout(PATIENT.answer_seconds / 2):
            await submission.send(ann.user, ann.user, letter(2))

    play(ann.server(ann.servers.smtp), story, replace(PATIENT, verdict_seconds=0.5))

    (got,) = ann.servers.await_contents(ann.user, 1)
    assert got.endswith(letter(2))


def test_a_mail_cut_in_the_middle_was_not_sent(ann: Account):
    """Without its last line it is no mail, so it may be sent again."""
    with Wire(ann.servers.smtp) as wire:
        wire.cut_after = MEGABYTE

        async def story(submission: Submission) -> None:
            with pytest.raises(Unavailable, match="before it had the whole mail"):
                await submission.send(ann.user, ann.user, LARGE)
            wire.cut_after = None
            await submission.send(ann.user, ann.user, letter(2))

        play(ann.server(wire.port), story)

    (got,) = ann.servers.await_contents(ann.user, 1)
    assert got.endswith(letter(2))


def test_a_wire_frozen_in_the_middle_was_not_sent_over(ann: Account):
    """No more of the mail is taken; nobody waits for ever."""
    with Wire(ann.servers.smtp) as wire:
        wire.freeze_after = MEGABYTE
        with pytest.raises(Unavailable, match="took no more of the mail"):
            play(ann.server(wire.port), sending(ann, raw=LARGE), HASTY)


def test_a_kept_connection_that_has_gone_is_made_anew(ann: Account):
    """Servers end what is idle; the next mail does not fail of it."""
    with Wire(ann.servers.smtp) as wire:

        async def story(submission: Submission) -> None:
            await submission.send(ann.user, ann.user, letter(1))
            wire.cut()
            await submission.send(ann.user, ann.user, letter(2))

        play(ann.server(wire.port), story)

        assert 2 == len(ann.servers.await_contents(ann.user, 2))
        assert 2 == wire.connections


def test_a_kept_connection_that_is_frozen_is_made_anew(ann: Account):
    """That nobody is behind it is found out in time for the mail."""
    with Wire(ann.servers.smtp) as wire:

        async def story(submission: Submission) -> None:
            await submission.send(ann.user, ann.user, letter(1))
            wire.freeze()
            with pytest.raises(Unavailable, match="in time"):
                await submission.send(ann.user, ann.user, letter(2))
            wire.thaw()
            await submission.send(ann.user, ann.user, letter(3))

        play(ann.server(wire.port), story, HASTY)

    assert [letter(1), letter(3)] == [raw[-len(letter()) :] for raw in ann.servers.await_contents(ann.user, 2)]


def test_a_connection_is_not_kept_for_ever(ann: Account):
    """After a while without mail it is ended."""
    with Wire(ann.servers.smtp) as wire:

        async def story(submission: Submission) -> None:
            await submission.send(ann.user, ann.user, letter(1))
            await asyncio.to_thread(ann.servers.await_contents, ann.user, 1)
            await submission.send(ann.user, ann.user, letter(2))

        play(ann.server(wire.port), story, keep_seconds=0)

        assert 2 == wire.connections


def test_who_gives_up_sending_leaves_no_half_mail(ann: Account):
    """The next mail goes over a connection of its own."""
    with Wire(ann.servers.smtp) as wire:

        async def story(submission: Submission) -> None:
            wire.freeze_after = MEGABYTE
            sent = asyncio.ensure_future(submission.send(ann.user, ann.user, LARGE))
            await asyncio.to_thread(wire.frozen.wait, LONG)
            sent.cancel()
            await asyncio.gather(sent, return_exceptions=True)
            wire.freeze_after = None
            wire.thaw()
            async with asyncio.timeout(PATIENT.answer_seconds / 2):
                await submission.send(ann.user, ann.user, letter(2))

        play(ann.server(wire.port), story)

    (got,) = ann.servers.await_contents(ann.user, 1)
    assert got.endswith(letter(2))


# --- the account


def refused(server: Server, **how: Any) -> AccessLost:
    """Return why the account cannot be used; nothing is sent."""
    with pytest.raises(AccessLost) as error:
        play(server, Submission.check, **how)
    return error.value


def asking(text: str) -> Token:
    async def ask() -> str:
        return text

    return Token(ask)


def test_a_wrong_password_is_refused(ann: Account):
    """An administrator must act, and is told on what; the mail waits."""
    error = refused(ann.server(ann.servers.smtp, secret=Password("wrong")))

    assert "login" == error.code
    assert "check user and password" in str(error)


def test_a_token_lets_in(ann: Account):
    """XOAUTH2 does instead of a password."""
    server = ann.server(ann.servers.smtp, secret=asking(ann.servers.token(ann.user)))

    play(server, sending(ann))

    assert 1 == len(ann.servers.await_contents(ann.user, 1))


def test_a_wrong_token_is_refused(ann: Account):
    """Access was taken back: it must be given again."""
    error = refused(ann.server(ann.servers.smtp, secret=asking("no.such.token")))

    assert ("login", True) == (error.code, "allow Omniline's access" in str(error))


@pytest.mark.parametrize("implicit", [True, False])
def test_a_certificate_for_another_name_is_refused(ann: Account, implicit: bool):
    """Whoever shows it may be anybody."""
    port = ann.servers.smtps if implicit else ann.servers.smtp

    error = refused(ann.server(port, host="other.example.test"), implicit_tls=implicit)

    assert ("certificate", True) == (error.code, "set host to the name in its certificate" in str(error))


def test_a_certificate_of_an_unknown_authority_is_refused(ann: Account):
    """A server of one's own wants ca_file, and the sentence says so."""
    error = refused(ann.server(ann.servers.smtp, trusted=False))

    assert ("certificate", True) == (error.code, "ca_file" in str(error))


def test_without_starttls_nothing_is_sent(ann: Account):
    """Somebody on the way may have taken the offer out: there is no going back to plain text."""
    error = refused(ann.server(ann.servers.plain))

    assert ("tls", True) == (error.code, "offers no STARTTLS" in str(error))


def test_tls_at_a_port_of_starttls_is_refused(ann: Account):
    """The sentence says which port is meant."""
    error = refused(ann.server(ann.servers.smtp), implicit_tls=True)

    assert ("tls", True) == (error.code, "587" in str(error))


def test_a_file_of_authorities_that_is_not_there_is_told(ann: Account):
    """It is named."""
    server = ann.server(ann.servers.smtp)
    missing = ann.servers.folder / "missing.pem"

    error = refused(Server(server.host, server.port, server.user, server.secret, missing, server.resolve))

    assert ("certificate", True) == (error.code, str(missing) in str(error))


def test_where_nobody_may_connect_to_is_refused(ann: Account):
    """The rule says so in its own words."""

    async def resolve(host: str, port: int) -> list[str]:
        raise Forbidden(f"{host} is an address of this house")

    error = refused(Server("10.0.0.1", 25, ann.user, Password(ann.password), resolve=resolve))

    assert ("address", "10.0.0.1 is an address of this house") == (error.code, str(error))


def test_where_nobody_listens_nothing_was_sent(ann: Account):
    """A server that is away may come back."""
    with pytest.raises(Unavailable, match="could not be reached"):
        play(ann.server(free_port()), sending(ann))


def test_a_server_that_says_nothing_got_nothing(ann: Account):
    """It takes the connection and is silent."""
    with Wire(ann.servers.smtp) as wire:
        wire.freeze()
        with pytest.raises(Unavailable, match="in time"):
            play(ann.server(wire.port), sending(ann), HASTY)


def test_an_account_is_tried_without_a_mail(ann: Account):
    """A form for an account can say at once whether it is right."""
    play(ann.server(ann.servers.smtp), Submission.check)

    assert [] == ann.servers.contents(ann.user)
