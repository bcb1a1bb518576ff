"""A mailbox on a real Dovecot, with everything that befalls a connection; and servers that speak as no Dovecot does."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from broker.errors import Forbidden
from channels.mail.imap import Fetched, Mailbox, MailboxLost, MailboxRefused
from channels.mail.server import Password, Patience, Server, Token
from tests.channels.mail.account import Account
from tests.support.asterisk import free_port
from tests.support.mail import NEEDS_SERVERS, MailServers
from tests.support.wire import Wire

pytestmark = NEEDS_SERVERS

PATIENT = Patience(connect_seconds=10, answer_seconds=10)
HASTY = Patience(connect_seconds=1, answer_seconds=1, bytes_a_second=1_000_000_000)
LONG = 30.0
MEGABYTE = 1_048_576
CYRILLIC = 'Обращения "и" жалобы & вопросы'


@asynccontextmanager
async def opened(server: Server, patience: Patience = PATIENT, folder: str = "INBOX") -> AsyncIterator[Mailbox]:
    mailbox = Mailbox(server, patience=patience)
    await mailbox.connect()
    try:
        await mailbox.select(folder)
        yield mailbox
    finally:
        await mailbox.close()


def letter(number: int = 1, text: bytes = b"hello") -> bytes:
    return b"From: someone@elsewhere.test\r\nSubject: letter %d\r\n\r\n%s\r\n" % (number, text)


async def fetched(mailbox: Mailbox, uid: int, size_max: int = 40 * MEGABYTE) -> Fetched:
    mail = await mailbox.fetch(uid, size_max)
    assert mail is not None
    return mail


def play(story: Callable[[], Awaitable[Any]]) -> Any:
    async def whole() -> Any:
        async with asyncio.timeout(LONG):
            return await story()

    return asyncio.run(whole())


# --- mails


def test_a_mail_is_fetched_to_the_byte(ann: Account):
    """What other programs of this kind lose, stars, brackets, lone dots, eight bits, comes as it is kept."""
    hostile = b"Subject: stars * * and ** (here\r\n\r\n* 5 FETCH (FLAGS\r\n)\r\n.\r\n{5}\r\nA1 OK no\r\n\xe5\xff\x00 \xd0\xbf\r\n"
    ann.servers.deliver(hostile, ann.user)

    async def story() -> Fetched:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            return await fetched(mailbox, 1)

    assert ann.servers.contents(ann.user) == [play(story).raw]


def test_a_mail_comes_with_its_day_and_size(ann: Account):
    """The server's own time, its flags and its length are told."""
    ann.servers.deliver(letter(), ann.user)

    async def story() -> Fetched:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            return await fetched(mailbox, 1)

    mail = play(story)
    assert mail.internaldate is not None
    assert abs(datetime.now(UTC) - mail.internaldate) < timedelta(minutes=5)
    assert (len(ann.servers.contents(ann.user)[0]), frozenset({r"\Recent"})) == (mail.size, mail.flags)


def test_fetching_marks_nothing(ann: Account):
    """A mail that was only fetched is as new to people as before."""
    ann.servers.deliver(letter(), ann.user)

    async def story() -> None:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            await fetched(mailbox, 1)

    play(story)
    assert r"\Seen" not in ann.servers.seen(ann.user)[0][1]


def test_marked_mail_is_read_for_everybody(ann: Account):
    """What was marked is marked on the server, and nothing else is."""
    for number in range(3):
        ann.servers.deliver(letter(number), ann.user)

    async def story() -> None:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            await mailbox.mark_seen([1, 3, 77])

    play(story)
    assert [True, False, True] == [r"\Seen" in flags for _, flags in ann.servers.seen(ann.user)]


def test_only_new_mail_is_told(ann: Account):
    """The last mail is not new again, though the server says so for want of newer ones."""
    for number in range(3):
        ann.servers.deliver(letter(number), ann.user)

    async def story() -> list[list[int]]:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            return [await mailbox.new_uids(after) for after in (0, 1, 3, 9)]

    assert [[1, 2, 3], [2, 3], [], []] == play(story)


def test_history_begins_on_a_day(ann: Account):
    """With a day only what came on it or later is told."""
    ann.servers.deliver(letter(), ann.user)

    async def story() -> list[list[int]]:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            today = date.today()  # noqa: DTZ011  # the server's own
            return [await mailbox.new_uids(0, today - timedelta(days=3)), await mailbox.new_uids(0, today + timedelta(days=3))]

    assert [[1], []] == play(story)


def test_a_mail_that_has_gone_is_none(ann: Account):
    """Somebody may remove a mail between our looking and our fetching."""

    async def story() -> Fetched | None:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            return await mailbox.fetch(5, MEGABYTE)

    assert play(story) is None


def test_a_large_mail_comes_whole(ann: Account):
    """25 MB are fetched to the byte."""
    raw = letter(1, (b"x" * 998 + b"\r\n") * 25_000)
    ann.servers.deliver(raw, ann.user)

    async def story() -> Fetched:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            return await fetched(mailbox, 1)

    got = play(story).raw
    assert got is not None
    assert got.endswith(raw)


def test_of_too_large_a_mail_the_headers_come(ann: Account):
    """A mail above the limit is known by its headers and its size."""
    ann.servers.deliver(letter(1, b"x\r\n" * MEGABYTE), ann.user)

    async def story() -> Fetched:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            return await fetched(mailbox, 1, MEGABYTE)

    mail = play(story)
    assert mail.raw is None
    assert mail.size > 3 * MEGABYTE
    assert mail.headers.endswith(b"Subject: letter 1\r\n\r\n")


def test_sixty_mails_at_once_all_come_once(ann: Account):
    """A burst that comes while we wait, and fetch, and wait again, is got whole and without repeats."""

    async def story() -> list[bytes]:
        async def deliver(number: int) -> None:
            await asyncio.to_thread(ann.servers.deliver, letter(number), ann.user)

        got: list[bytes] = []
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            burst = [asyncio.ensure_future(deliver(number)) for number in range(60)]
            last = 0
            while len(got) < 60:
                for uid in await mailbox.new_uids(last):
                    got.append((await fetched(mailbox, uid)).raw or b"")
                    last = uid
                if len(got) < 60:
                    assert await mailbox.idle(LONG)
            await asyncio.gather(*burst)
        return got

    got = play(story)
    assert ann.servers.contents(ann.user) == got


# --- the wait


def test_the_wait_ends_when_mail_comes(ann: Account):
    """A mail ends the wait long before its time."""

    async def story() -> bool:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            await mailbox.new_uids(0)
            waiting = asyncio.ensure_future(mailbox.idle(LONG))
            await asyncio.to_thread(ann.servers.deliver, letter(), ann.user)
            return await waiting

    assert play(story)


def test_a_wait_in_vain_ends_by_the_clock(ann: Account):
    """Nothing came; the connection goes on to serve."""

    async def story() -> tuple[bool, list[int]]:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            return await mailbox.idle(0.01), await mailbox.new_uids(0)

    assert (False, []) == play(story)


def test_mail_that_was_told_is_no_news(ann: Account):
    """Who knows of a mail waits for the next one."""

    async def story() -> bool:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            await asyncio.to_thread(ann.servers.deliver, letter(), ann.user)
            assert await mailbox.idle(LONG)
            assert await mailbox.new_uids(0) == [1]
            return await mailbox.idle(0.01)

    assert not play(story)


def test_mail_that_comes_between_is_not_slept_over(ann: Account):
    """Its news rides on the answer to another command: the wait that follows ends at once."""
    ann.servers.deliver(letter(1), ann.user)

    async def story() -> list[int]:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            await mailbox.new_uids(0)
            await asyncio.to_thread(ann.servers.deliver, letter(2), ann.user)
            await fetched(mailbox, 1)
            assert await mailbox.idle(LONG)
            return await mailbox.new_uids(1)

    assert [2] == play(story)


def test_a_frozen_wait_is_lost(ann: Account):
    """Nobody ends a frozen connection; that the wait cannot be taken back shows it."""

    async def story() -> None:
        with Wire(ann.servers.imaps) as wire:
            async with opened(ann.server(wire.port), HASTY) as mailbox:
                wire.freeze()
                await mailbox.idle(0.01)

    with pytest.raises(MailboxLost, match="did not answer in time"):
        play(story)


def test_a_cut_ends_the_wait(ann: Account):
    """The wait does not last until its time when there is nothing to wait for."""

    async def story() -> None:
        with Wire(ann.servers.imaps) as wire:
            async with opened(ann.server(wire.port)) as mailbox:
                waiting = asyncio.ensure_future(mailbox.idle(LONG))
                await mailbox_is_waiting(waiting)
                wire.cut()
                await waiting

    with pytest.raises(MailboxLost, match="ended the connection"):
        play(story)


async def mailbox_is_waiting(waiting: asyncio.Future[bool]) -> None:
    """Let the wait begin."""
    done, _ = await asyncio.wait({waiting}, timeout=0.1)
    assert not done


def test_whom_the_server_kicks_is_lost_and_may_come_back(ann: Account):
    """A server that restarts says goodbye; a new connection finds what came meanwhile."""

    async def story() -> list[int]:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            waiting = asyncio.ensure_future(mailbox.idle(LONG))
            await mailbox_is_waiting(waiting)
            await asyncio.to_thread(ann.servers.kick, ann.user)
            with pytest.raises(MailboxLost):
                await waiting
            with pytest.raises(MailboxLost):
                await mailbox.new_uids(0)
        ann.servers.deliver(letter(), ann.user)
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            return await mailbox.new_uids(0)

    assert [1] == play(story)


def test_a_connection_out_of_time_is_used_no_more(ann: Account):
    """An answer that comes too late must not be taken for the next one's."""

    async def story() -> None:
        ann.servers.deliver(letter(), ann.user)
        with Wire(ann.servers.imaps) as wire:
            async with opened(ann.server(wire.port), HASTY) as mailbox:
                wire.freeze()
                with pytest.raises(MailboxLost):
                    await mailbox.fetch(1, MEGABYTE)
                wire.thaw()
                with pytest.raises(MailboxLost):
                    await mailbox.new_uids(0)

    play(story)


def test_a_mail_cut_in_the_middle_is_no_mail(ann: Account):
    """Half a text is never given for a whole one."""
    ann.servers.deliver(letter(1, b"x\r\n" * 2 * MEGABYTE), ann.user)

    async def story() -> None:
        with Wire(ann.servers.imaps) as wire:
            async with opened(ann.server(wire.port)) as mailbox:
                fetching = asyncio.ensure_future(mailbox.fetch(1, 40 * MEGABYTE))
                wire.cut_answers_at = MEGABYTE
                await fetching

    with pytest.raises(MailboxLost):
        play(story)


def test_a_mail_frozen_in_the_middle_is_given_up_soon(ann: Account):
    """What is large may take its time, but not in silence."""
    ann.servers.deliver(letter(1, b"x\r\n" * 2 * MEGABYTE), ann.user)

    async def story() -> None:
        with Wire(ann.servers.imaps) as wire:
            wire.freeze_answers_at = MEGABYTE
            async with opened(ann.server(wire.port), Patience(answer_seconds=1, bytes_a_second=1)) as mailbox:
                await mailbox.fetch(1, 40 * MEGABYTE)

    with pytest.raises(MailboxLost, match="in time"):
        play(story)


def test_a_large_mail_may_go_on_for_longer_than_an_answer(ann: Account):
    """A slow line is not a dead one."""
    ann.servers.deliver(letter(1, b"x\r\n" * 2 * MEGABYTE), ann.user)

    async def story() -> int:
        with Wire(ann.servers.imaps) as wire:
            wire.pause_seconds = 0.02
            async with opened(ann.server(wire.port), Patience(answer_seconds=1, bytes_a_second=MEGABYTE)) as mailbox:
                began = asyncio.get_running_loop().time()
                mail = await fetched(mailbox, 1)
                assert asyncio.get_running_loop().time() - began > 1
                return mail.size

    assert play(story) > 6 * MEGABYTE


def test_what_was_never_connected_is_lost(ann: Account):
    """There is nothing to ask."""
    with pytest.raises(MailboxLost, match="not been made"):
        play(Mailbox(ann.server(ann.servers.imaps)).folders)


def test_who_gives_up_waiting_ends_the_connection(ann: Account):
    """A cancelled command would leave its answer to the next."""

    async def story() -> None:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            waiting = asyncio.ensure_future(mailbox.idle(LONG))
            await mailbox_is_waiting(waiting)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            await mailbox.new_uids(0)

    with pytest.raises(MailboxLost, match="given up"):
        play(story)


# --- folders


@pytest.mark.parametrize(
    "name", [CYRILLIC, "Отправленные", "R&D", 'say "no"', "back\\slash", "пробел в  имени", "& &- &AB", "😀"]
)
def test_any_name_of_a_folder_will_do(ann: Account, name: str):
    """Folders are listed, selected and written to by the names that people read."""
    ann.servers.create_folder(ann.user, name)

    async def story() -> tuple[list[str], list[bytes]]:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            found = await mailbox.folders()
            await mailbox.append(name, letter())
            await mailbox.select(name)
            return found, [(await fetched(mailbox, uid)).raw or b"" for uid in await mailbox.new_uids(0)]

    found, texts = play(story)
    assert ["INBOX", name] == sorted(found, key=lambda folder: folder != "INBOX")
    assert [letter()] == texts


def test_what_is_put_into_a_folder_is_read(ann: Account):
    """A copy of what an operator sent is not news to anybody."""
    ann.servers.create_folder(ann.user, "Sent")

    async def story() -> None:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            await mailbox.append("Sent", letter())

    play(story)
    assert [letter()] == ann.servers.contents(ann.user, "Sent")
    assert r"\Seen" in ann.servers.seen(ann.user, "Sent")[0][1]


def test_a_folder_that_is_not_there_is_refused(ann: Account):
    """The sentence names it, and the connection still serves."""

    async def story() -> list[int]:
        async with opened(ann.server(ann.servers.imaps)) as mailbox:
            with pytest.raises(MailboxRefused, match="“Жалобы”") as refused:
                await mailbox.select("Жалобы")
            with pytest.raises(MailboxRefused, match="“Жалобы”"):
                await mailbox.append("Жалобы", letter())
            assert refused.value.code == "folder"
            await mailbox.select("INBOX")
            return await mailbox.new_uids(0)

    assert [] == play(story)


def test_new_numbers_show_in_uidvalidity(ann: Account):
    """A server that has numbered its mails anew says so when the folder is selected."""
    ann.servers.deliver(letter(), ann.user)

    async def uidvalidity() -> int:
        mailbox = Mailbox(ann.server(ann.servers.imaps), patience=PATIENT)
        await mailbox.connect()
        selected = await mailbox.select("INBOX")
        await mailbox.close()
        assert (2, 1) == (selected.uidnext, selected.exists)
        return selected.uidvalidity

    before = play(uidvalidity)
    now = ann.servers.reset_uidvalidity(ann.user)

    assert now == play(uidvalidity) != before


# --- logging in


@pytest.mark.parametrize("secret", [Password("wrong"), Password("")])
def test_a_wrong_password_is_refused(ann: Account, secret: Password):
    """An administrator must act, and is told on what; the password is not told."""
    with pytest.raises(MailboxRefused, match="check user and password") as refused:
        play(Mailbox(ann.server(ann.servers.imaps, secret=secret), patience=PATIENT).connect)

    assert "login" == refused.value.code


def asking(text: str) -> Token:
    async def ask() -> str:
        return text

    return Token(ask)


def test_a_token_lets_in(ann: Account):
    """XOAUTH2 does instead of a password."""

    async def story() -> list[str]:
        async with opened(ann.server(ann.servers.imaps, secret=asking(ann.servers.token(ann.user)))) as mailbox:
            return await mailbox.folders()

    assert ["INBOX"] == play(story)


def test_an_expired_token_is_refused_at_once(ann: Account):
    """The server asks for a word before it refuses; it gets one."""
    token = asking(ann.servers.token(ann.user, seconds=-30))

    with pytest.raises(MailboxRefused, match="allow Omniline's access") as refused:
        play(Mailbox(ann.server(ann.servers.imaps, secret=token), patience=PATIENT).connect)

    assert "login" == refused.value.code


def test_a_certificate_for_another_name_is_refused(ann: Account):
    """Whoever shows it may be anybody."""
    with pytest.raises(MailboxRefused, match=r"other\.example\.test:\d+ showed a certificate .*set host") as refused:
        play(Mailbox(ann.server(ann.servers.imaps, host="other.example.test"), patience=PATIENT).connect)

    assert "certificate" == refused.value.code


def test_a_certificate_of_an_unknown_authority_is_refused(ann: Account):
    """A server of one's own wants ca_file, and the sentence says so."""
    with pytest.raises(MailboxRefused, match="ca_file") as refused:
        play(Mailbox(ann.server(ann.servers.imaps, trusted=False), patience=PATIENT).connect)

    assert "certificate" == refused.value.code


def test_a_port_without_tls_is_refused(ann: Account):
    """No password is told where everybody hears it."""
    with pytest.raises(MailboxRefused, match="993") as refused:
        play(Mailbox(ann.server(ann.servers.imap), patience=PATIENT).connect)

    assert "tls" == refused.value.code


def test_where_nobody_listens_is_lost(ann: Account):
    """A server that is away may come back."""
    with pytest.raises(MailboxLost, match="could not be reached"):
        play(Mailbox(ann.server(free_port()), patience=PATIENT).connect)


def test_a_server_that_says_nothing_is_lost(ann: Account):
    """It takes the connection and is silent."""

    async def story() -> None:
        with Wire(ann.servers.imaps) as wire:
            wire.freeze()
            await Mailbox(ann.server(wire.port), patience=HASTY).connect()

    with pytest.raises(MailboxLost, match="in time"):
        play(story)


def test_where_nobody_may_connect_to_is_refused(ann: Account):
    """The rule says so in its own words, and nothing is connected to."""

    async def resolve(host: str, port: int) -> list[str]:
        raise Forbidden(f"{host} is an address of this house")

    with Wire(ann.servers.imaps) as wire:
        server = Server("10.0.0.1", wire.port, ann.user, Password(ann.password), resolve=resolve)
        with pytest.raises(MailboxRefused, match=r"10\.0\.0\.1 is an address of this house") as refused:
            play(Mailbox(server, patience=PATIENT).connect)

        assert ("address", 0) == (refused.value.code, wire.connections)


def test_the_next_address_is_tried(ann: Account):
    """Of a host with several addresses one is enough."""

    async def resolve(host: str, port: int) -> list[str]:
        return ["::1", "127.0.0.2", "127.0.0.1"]

    told = ann.server(ann.servers.imaps)
    server = Server(told.host, told.port, told.user, told.secret, told.ca_file, resolve)

    async def story() -> list[str]:
        async with opened(server) as mailbox:
            return await mailbox.folders()

    assert ["INBOX"] == play(story)


# --- servers that speak as no Dovecot does


@asynccontextmanager
async def speaking(servers: MailServers, answers: dict[str, str], greeting: str = "* OK here") -> AsyncIterator[int]:
    """Start a server that answers each command by its verb, unknown ones with OK; yield its port.

    In an answer @ is the tag; behind + it waits for a line, which % is then.
    """
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(servers.folder / "certificate.pem", servers.folder / "key.pem")
    known = {"CAPABILITY": "* CAPABILITY IMAP4rev1\r\n@ OK", "LOGOUT": "* BYE\r\n@ OK"} | answers

    serving = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        writer.write(f"{greeting}\r\n".encode())
        while line := (await reader.readline()).decode().split():
            verb = " ".join(line[1:3]) if line[1] == "UID" else line[1]
            answer = known.get(verb, "@ OK").replace("@", line[0])
            if answer.startswith("+"):
                asked, _, answer = answer.partition("\r\n")
                writer.write(f"{asked}\r\n".encode())
                answer = answer.replace("%", (await reader.readline()).decode().strip())
            writer.write(answer.encode() + b"\r\n")
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*filter(None, serving), return_exceptions=True)


SELECTED = {"SELECT": "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n@ OK"}


def told(
    ann: Account, answers: dict[str, str], story: Callable[[Mailbox], Awaitable[Any]], *, greeting: str = "* OK here"
) -> Any:
    async def whole() -> Any:
        async with speaking(ann.servers, SELECTED | answers, greeting) as port, opened(ann.server(port)) as mailbox:
            return await story(mailbox)

    return play(whole)


def test_thousands_of_folders_are_listed(ann: Account):
    """Answers of many lines are read as those of few."""
    names = [f"folder {number}" for number in range(5_000)]
    listed = "\r\n".join(f'* LIST () "/" "{name}"' for name in names)

    assert names == told(ann, {"LIST": f"{listed}\r\n@ OK"}, Mailbox.folders)


def test_names_of_folders_come_in_every_form(ann: Account):
    """Bare, quoted, with stars, as a literal, in 8 bits where no UTF-7 is; and what only holds others is left out."""
    listed = [
        '* LIST (\\HasNoChildren) "/" INBOX',
        '* LIST () NIL "a* b \\"c\\" \\\\d"',
        '* LIST (\\Noselect \\HasChildren) "." "only a shelf"',
        '* LIST (\\Sent) "/" {6}\r\nin "it',
        '* LIST () "/" "&BB4EQgQ,BEAEMAQyBDsENQQ9BD0ESwQ1-"',
        '* LIST () "/" "broken &!!- name"',
        '* LIST () "/" "восемь"',
    ]

    names = told(ann, {"LIST": "\r\n".join([*listed, "@ OK"])}, Mailbox.folders)

    assert ["INBOX", 'a* b "c" \\d', 'in "it', "Отправленные", "broken &!!- name", "восемь"] == names


def test_the_folder_of_sent_mail_is_known_by_its_use(ann: Account):
    """Its name is in any language; its use is not."""
    listed = '* LIST () "/" INBOX\r\n* LIST (\\HasNoChildren \\Sent) "/" "&BB4-"\r\n@ OK'

    assert "О" == told(ann, {"LIST": listed}, Mailbox.sent_folder)


def test_news_of_other_mails_is_not_taken_for_ours(ann: Account):
    """Another program marks mails while we fetch one."""
    answers = {
        "UID FETCH": "* 1 FETCH (UID 3 FLAGS (\\Seen))\r\n* 2 FETCH (UID 4 RFC822.SIZE 5 FLAGS () BODY[] {5}\r\nMINE!)\r\n"
        "* 3 FETCH (FLAGS (\\Seen) UID 5)\r\n@ OK"
    }

    assert b"MINE!" == told(ann, answers, lambda mailbox: fetched(mailbox, 4)).raw


def test_a_number_behind_the_text_will_do(ann: Account):
    """The order of what is told of a mail is the server's affair."""
    answers = {"UID FETCH": "* 2 FETCH (RFC822.SIZE 5 BODY[] {5}\r\nMINE! UID 4)\r\n@ OK"}

    assert b"MINE!" == told(ann, answers, lambda mailbox: fetched(mailbox, 4)).raw


def test_a_server_that_cannot_push_is_asked(ann: Account):
    """Without IDLE the end of the wait asks for news."""
    assert told(ann, {"NOOP": "* 4 EXISTS\r\n@ OK"}, lambda mailbox: mailbox.idle(0.01))


def test_a_password_waits_for_the_server_s_word_where_it_must(ann: Account):
    """Without SASL-IR the credential follows the server's word to go on."""
    answers = {"CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n@ OK", "AUTHENTICATE": "+\r\n@ NO heard %"}

    credential = base64.b64encode(f"\0{ann.user}\0{ann.password}".encode()).decode()

    with pytest.raises(MailboxRefused) as refused:
        told(ann, answers, Mailbox.folders)

    assert f"heard {credential}" in str(refused.value)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("[AUTHENTICATIONFAILED] no", MailboxRefused),
        ("[UNAVAILABLE] the directory is away", MailboxLost),
        ("Too many simultaneous connections", MailboxLost),
    ],
)
def test_a_login_that_may_do_later_is_no_refusal(ann: Account, said: str, error: type[Exception]):
    """Only what an administrator can mend is told to one."""
    with pytest.raises(error):
        told(ann, {"LOGIN": f"@ NO {said}"}, Mailbox.folders)


def test_a_goodbye_for_a_greeting_is_lost_at_once(ann: Account):
    """A full server says so, and nobody waits for more."""
    with pytest.raises(MailboxLost, match="ended the connection"):
        told(ann, {}, Mailbox.folders, greeting="* BYE too many of you")


def test_an_endless_answer_ends_the_connection(ann: Account):
    """What nobody asked for fills no memory."""
    flood = f"* LIST () NIL {'x' * 1_000}\r\n" * 17_000

    with pytest.raises(MailboxLost):
        told(ann, {"LIST": flood + "@ OK"}, Mailbox.folders)


def test_a_folder_without_lasting_numbers_is_refused(ann: Account):
    """Without UIDVALIDITY nobody could say what was read already."""
    with pytest.raises(MailboxRefused, match="UIDVALIDITY"):
        told(ann, {"SELECT": "* 3 EXISTS\r\n@ OK"}, Mailbox.folders)


def test_what_makes_no_sense_is_lost(ann: Account):
    """A server that answers what was not asked is left."""
    with pytest.raises(MailboxLost):
        told(ann, {"LIST": "ZZ99 OK who asked?"}, Mailbox.folders)
