"""What the tests of mail rely on: that the servers they start are real ones, and fail as they are told to."""

from __future__ import annotations

import imaplib
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.mail import HOST, NEEDS_SERVERS, ROOT, START_SECONDS, MailServers, mail_servers
from tests.support.wire import Wire

pytestmark = NEEDS_SERVERS

ANN, BOB = "ann@example.test", "bob@example.test"
STARTING = """
import time
from tests.support.mail import mail_servers
with mail_servers() as mail:
    print(mail.folder, flush=True)
    time.sleep(60)
"""
LETTER = b"Subject: letter\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def servers() -> Iterator[MailServers]:
    """Return running servers with two mailboxes."""
    with mail_servers() as running:
        running.add_user(ANN, "a secret")
        running.add_user(BOB, "a word")
        yield running


@pytest.fixture(autouse=True)
def _empty(request: pytest.FixtureRequest) -> None:
    """Leave nothing of the test before."""
    servers: MailServers = request.getfixturevalue("servers")
    for user in (ANN, BOB):
        servers.remove(user, "INBOX")


def trusting(servers: MailServers) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=servers.ca_file)


@contextmanager
def submitting(servers: MailServers, port: int | None = None) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP("localhost", port or servers.smtp) as smtp:
        smtp.starttls(context=trusting(servers))
        smtp.login(BOB, "a word")
        yield smtp


@contextmanager
def looking(servers: MailServers, port: int | None = None) -> Iterator[imaplib.IMAP4_SSL]:
    imap = imaplib.IMAP4_SSL("localhost", port or servers.imaps, ssl_context=trusting(servers))
    imap.login(ANN, "a secret")
    imap.select()
    try:
        yield imap
    finally:
        imap.shutdown()


# --- a mail's way


def test_what_is_submitted_is_seen_within_a_second(servers: MailServers):
    """By SMTP with STARTTLS in, by LMTP on, by IMAP seen."""
    with submitting(servers) as smtp:
        smtp.sendmail(BOB, [ANN], LETTER)

    (got,) = servers.await_contents(ANN, 1, seconds=1)
    assert got.endswith(LETTER)


def test_what_is_delivered_past_smtp_is_there(servers: MailServers):
    """A test that needs no way in has none to wait for."""
    servers.deliver(LETTER, ANN)

    assert [True] == [raw.endswith(LETTER) for raw in servers.contents(ANN)]


def test_nobody_submits_without_a_login(servers: MailServers):
    """As with every provider."""
    with smtplib.SMTP("localhost", servers.smtp) as smtp:
        smtp.starttls(context=trusting(servers))
        smtp.ehlo()
        smtp.mail(BOB)

        assert 530 == smtp.rcpt(ANN)[0]


@pytest.mark.parametrize(
    ("recipient", "code"),
    [("tempfail", 451), ("permfail", 550), ("latefail", 554), ("datatemp", 452)],
)
def test_a_recipient_has_its_fate(servers: MailServers, recipient: str, code: int):
    """Refused for now or for good, before or after the mail."""
    with submitting(servers) as smtp:
        smtp.mail(BOB)
        first = smtp.rcpt(f"{recipient}7@example.test")[0]
        last = smtp.data(LETTER)[0] if first == 250 else first

    assert code == last


def test_a_late_failure_is_reported_by_mail(servers: MailServers):
    """A real report, with everything in it that reports have."""
    with submitting(servers) as smtp:
        smtp.sendmail(BOB, ["latebounce@example.test"], LETTER)

    (report,) = servers.await_contents(BOB, 1)
    assert b"Return-Path: <>" in report
    assert b"Content-Type: multipart/report; report-type=delivery-status" in report


def test_whom_nobody_knows_is_reported_by_mail(servers: MailServers):
    """As a late failure is: the server behind refuses."""
    with submitting(servers) as smtp:
        smtp.sendmail(BOB, ["nobody@example.test"], LETTER)

    (report,) = servers.await_contents(BOB, 1)
    assert b"User doesn't exist" in report


# --- certificates and logins


@pytest.mark.parametrize("host", [HOST, "localhost"])
def test_the_certificate_is_for_these_names(servers: MailServers, host: str):
    """Both servers show it."""
    for port in (servers.imaps, servers.smtps):
        assert ("subjectAltName", (("DNS", HOST), ("DNS", "localhost"))) in shown(servers, port, host).items()


def shown(servers: MailServers, port: int, host: str) -> dict[str, object]:
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        trusting(servers).wrap_socket(plain, server_hostname=host) as tls,
    ):
        return dict(tls.getpeercert() or {})


def test_the_certificate_is_for_no_other_name(servers: MailServers):
    """So a test can be refused for it."""
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shown(servers, servers.imaps, "other.example.test")


def test_one_port_offers_no_starttls(servers: MailServers):
    """Nor a login: passwords are not told in the open."""
    with smtplib.SMTP("localhost", servers.plain) as smtp:
        smtp.ehlo()

        assert (False, False) == (smtp.has_extn("starttls"), smtp.has_extn("auth"))


def test_a_token_lets_into_both(servers: MailServers):
    """XOAUTH2, with a token that the servers check."""
    credential = f"user={ANN}\1auth=Bearer {servers.token(ANN)}\1\1"

    with imaplib.IMAP4_SSL("localhost", servers.imaps, ssl_context=trusting(servers)) as imap:
        imap.authenticate("XOAUTH2", lambda _: credential.encode())
    with smtplib.SMTP("localhost", servers.smtp) as smtp:
        smtp.starttls(context=trusting(servers))
        smtp.ehlo()

        assert 235 == smtp.auth("XOAUTH2", lambda _=None: credential)[0]


@pytest.mark.parametrize("spoil", [lambda token: token + "x", lambda _: "a.b.c"])
def test_a_wrong_token_lets_into_neither(servers: MailServers, spoil: Callable[[str], str]):
    """Whoever has none of the test's tokens stays outside."""
    credential = f"user={ANN}\1auth=Bearer {spoil(servers.token(ANN))}\1\1"

    with imaplib.IMAP4_SSL("localhost", servers.imaps, ssl_context=trusting(servers)) as imap, pytest.raises(imaplib.IMAP4.error):
        imap.authenticate("XOAUTH2", lambda challenge: b"" if challenge else credential.encode())
    with smtplib.SMTP("localhost", servers.smtp) as smtp:
        smtp.starttls(context=trusting(servers))
        smtp.ehlo()
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.auth("XOAUTH2", lambda _=None: credential)


def test_a_password_may_change(servers: MailServers):
    """The old one lets nobody in any more."""
    servers.add_user("carol@example.test", "old")
    servers.add_user("carol@example.test", "new")

    with imaplib.IMAP4("localhost", servers.imap) as imap:
        with pytest.raises(imaplib.IMAP4.error):
            imap.login("carol@example.test", "old")
        assert "OK" == imap.login("carol@example.test", "new")[0]


# --- what befalls a mailbox


def test_a_folder_has_a_name_in_any_letters(servers: MailServers):
    """As people name them."""
    servers.create_folder(ANN, 'Жалобы "и" вопросы & 1')

    assert [] == servers.contents(ANN, 'Жалобы "и" вопросы & 1')


def test_numbers_of_mails_may_lose_their_meaning(servers: MailServers):
    """As after a restore from a backup: IMAP shows another UIDVALIDITY."""
    new = servers.reset_uidvalidity(ANN)

    with looking(servers) as imap:
        assert ("UIDVALIDITY", [str(new).encode()]) == imap.response("UIDVALIDITY")


def test_who_is_kicked_is_out(servers: MailServers):
    """The connection ends; another may be made."""
    with looking(servers) as imap:
        imap.sock.settimeout(START_SECONDS)
        servers.kick(ANN)
        while imap.sock.recv(1_000):
            pass  # it may say goodbye
    with looking(servers) as imap:
        assert "OK" == imap.noop()[0]


def test_mail_outlives_the_server(servers: MailServers):
    """Dovecot stopped and started has what it had."""
    servers.deliver(LETTER, ANN)

    servers.stop_dovecot()
    with pytest.raises(OSError, match="refused"):
        servers.contents(ANN)
    servers.start_dovecot()

    assert 1 == len(servers.contents(ANN))


# --- the wire


def test_a_wire_carries_cuts_and_counts(servers: MailServers):
    """What it carries is whole; a cut is felt on both ends; a new connection is carried again."""
    with Wire(servers.imaps) as wire:
        with looking(servers, wire.port) as imap:
            wire.cut()
            with pytest.raises((imaplib.IMAP4.abort, OSError)):
                imap.noop()
        with looking(servers, wire.port) as imap:
            assert ("OK", 2) == (imap.noop()[0], wire.connections)


def test_a_frozen_wire_says_nothing_and_thaws(servers: MailServers):
    """What was held back comes later."""
    with Wire(servers.imaps) as wire, looking(servers, wire.port) as imap:
        imap.sock.settimeout(0.1)
        wire.freeze()
        imap.send(b"A1 NOOP\r\n")
        with pytest.raises(TimeoutError):
            imap.sock.recv(100)
        wire.thaw()
        imap.sock.settimeout(10)

        assert b"A1 OK" in imap.sock.recv(100)


# --- the end


def test_a_killed_test_leaves_no_server():
    """Whoever started them dies without a word: they end all the same."""
    with subprocess.Popen([sys.executable, "-c", STARTING], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = process.stdout.readline().strip()
        assert running(folder)
        process.send_signal(signal.SIGKILL)

    until = time.monotonic() + START_SECONDS
    while running(folder) and time.monotonic() < until:
        time.sleep(0.02)
    assert [] == running(folder)
    shutil.rmtree(folder)


def running(folder: str) -> list[int]:
    """Return the processes that were started for *folder*."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if folder.encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found
