"""Whole letters, sound and broken and hostile."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BadInput
from channels.mail.bounces import bounce_of
from channels.mail.letters import Address, Calendar
from channels.mail.mime import DEPTH, PARTS, read
from channels.mail.quotes import fold
from channels.mail.robots import is_robot
from channels.mail.threading import tokens_in
from tests.channels.mail.hostile import HEAD, HOSTILE

PNG = b"\x89PNG\r\n\x1a\n"


def encoded(content: bytes) -> bytes:
    """Return *content* in Base64, in lines."""
    letters = b64encode(content)
    return b"\r\n".join(letters[at : at + 76] for at in range(0, len(letters), 76))


def parts(kind: str, *bodies: bytes, boundary: str = "bound") -> bytes:
    """Return the header and the body of a multipart."""
    mark = b"--" + boundary.encode()
    inside = b"".join(mark + b"\r\n" + body + b"\r\n" for body in bodies)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\r\n\r\n'.encode() + inside + mark + b"--\r\n"


PLAIN = "Content-Type: text/plain; charset=utf-8\r\n\r\nПривет".encode()
HTML = "Content-Type: text/html; charset=utf-8\r\n\r\n<p>Привет, <b>мир</b></p>".encode()
PICTURE = b"Content-Type: image/png; name=p.png\r\nContent-ID: <p@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n" + encoded(PNG)
PDF = (
    b"Content-Type: application/pdf\r\nContent-Disposition: attachment; filename*=utf-8''%D0%A1%D1%87.pdf\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded(b"%PDF-1")
)
INVITATION = (
    "Content-Type: text/calendar; method=REQUEST; charset=utf-8\r\n\r\nBEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\n"
    "SUMMARY:Встреча\\, важная\r\nDTSTART;TZID=Europe/Moscow:20241202T101500\r\nDTEND;TZID=Europe/Moscow:20241202T111500\r\n"
    'ORGANIZER;CN="Ann":mailto:ann@y.ru\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n'
).encode()
WHOLE = HEAD + parts(
    "mixed",
    parts("related", parts("alternative", PLAIN, HTML, boundary="inner"), PICTURE, boundary="mid"),
    PDF,
    b"Content-Type: message/rfc822\r\n\r\nSubject: old\r\n\r\nold text",
)


def test_the_headers_are_read():
    """Those of people, and those by which letters find one another."""
    mail = read(
        b"Message-ID: <1@y.ru>\r\nIn-Reply-To: <t.a.1@x.ru>\r\nReferences: <0@y.ru>\r\n <t.a.1@x.ru>\r\n"
        b"Date: Fri, 3 May 2024 12:00:00 +0000\r\nReply-To: r@y.ru\r\nCc: c@y.ru\r\nDelivered-To: s+t@x.ru\r\nX-Original-To: s@x.ru\r\n"
        + HEAD
        + b"\r\ntext"
    )

    assert (mail.message_id, mail.in_reply_to, mail.references) == ("1@y.ru", ("t.a.1@x.ru",), ("0@y.ru", "t.a.1@x.ru"))
    assert (mail.from_, mail.reply_to, mail.cc) == (
        Address("Иван", "ann@y.ru"),
        (Address("", "r@y.ru"),),
        (Address("", "c@y.ru"),),
    )
    assert (mail.to, mail.delivered_to) == ((Address("Support", "s@x.ru"), Address("", "b@x.ru")), ("s+t@x.ru", "s@x.ru"))
    assert (mail.date, mail.subject, mail.text, mail.problems) == (datetime(2024, 5, 3, 12, tzinfo=UTC), "x", "text", ())


def test_a_letter_of_many_parts_is_text_html_and_files():
    """In their order; a picture that the HTML shows is inline."""
    mail = read(WHOLE)

    assert (mail.text, mail.html) == ("Привет", "<p>Привет, <b>мир</b></p>")
    assert [(one.name, one.media_type, one.content, one.content_id, one.inline) for one in mail.files] == [
        ("p.png", "image/png", PNG, "p@x", True),
        ("Сч.pdf", "application/pdf", b"%PDF-1", "", False),
        ("old.eml", "message/rfc822", b"Subject: old\r\n\r\nold text", "", False),
    ]
    assert (mail.problems, mail.cut) == ((), False)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"])
def test_any_line_end_will_do(line_end):
    """Also that of a file that was saved."""
    mail = read(WHOLE.replace(PNG, b"").replace(b"\r\n", line_end))

    assert (mail.text, [one.name for one in mail.files]) == ("Привет", ["p.png", "Сч.pdf", "old.eml"])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (HEAD + "\r\nПривет".encode("cp1251"), "Привет"),
        (HEAD + "Content-Type: text/plain; charset=us-ascii\r\n\r\nПривет".encode("koi8-r"), "Привет"),
        (
            HEAD + b"Content-Type: text/plain; charset=windows-1251\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
            b"=CF=F0=\r\n=E8=E2=E5=F2",
            "Привет",
        ),
        (HEAD + b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded("Привет".encode()), "Привет"),
        (
            HEAD + b"Content-Transfer-Encoding: base64\r\n\r\nThis is not base64, it says so only.",
            "This is not base64, it says so only.",
        ),
        (HEAD + b"Content-Type: text\r\n\r\ntext", "text"),
        (HEAD + b"Content-Type: text/html\r\n\r\n<p>a</p><p>b</p>", "a\n\nb"),
        (HEAD + b"\r\n<!DOCTYPE html><p>a</p>", "a"),
        (HEAD + parts("mixed", PLAIN, PLAIN.replace("Привет".encode(), b"more")), "Привет\nmore"),
        (HEAD + parts("mixed", PLAIN).replace(b"--bound--", b""), "Привет"),
        (HEAD + parts("mixed", PLAIN).replace(b'boundary="bound"', b""), "Привет"),
        (HEAD + parts("mixed", PLAIN).replace(b'boundary="bound"', b'boundary="other"'), "Привет"),
        (HEAD + b"Content-Type: multipart/mixed; boundary=none\r\n\r\nno parts at all", "no parts at all"),
        (HEAD + parts("alternative", PLAIN.replace("Привет".encode(), b""), HTML), "Привет, мир"),
        (HEAD + b"no empty line above", "no empty line above"),
        (b"From ann Fri May 3\n" + HEAD + b"\r\ntext", "text"),
        (b"\r\n\r\n" + HEAD + b"\r\ntext", "text"),
        (b"only words, and no headers", "only words, and no headers"),
        (HEAD + b"Content-Type: text/plain; name=note.txt\r\n\r\ntext", "text"),
        (HEAD + b"Content-Type: message/rfc822\r\n\r\nSubject: y\r\n\r\ninner", "inner"),
        (HEAD + b"Content-Type: text/plain; charset=utf-8\r\n\r\na\x00b\r\nc", "ab\nc"),
    ],
)
def test_the_words_are_found(raw, text):
    """However the program that sent them was broken."""
    assert read(raw).text.strip() == text


def test_a_broken_header_line_is_joined_to_the_one_before():
    """A subject was cut into lines that are no headers."""
    mail = read(b"Subject: one\r\ntwo\r\nFrom: a@b.ru\r\n\r\ntext")

    assert (mail.subject, mail.from_.address, mail.text) == ("one two", "a@b.ru", "text")
    assert mail.problems == ("A line among the headers is no header.",)


def test_a_decoded_header_stays_one_line():
    """An encoded line end begins no header of its own."""
    assert read(b"Subject: =?utf-8?q?a=0D=0ABcc:_evil?=\r\n\r\nx").subject == "a Bcc: evil"


def test_an_invitation_is_told():
    """With its times as they stand, and as a file where it is one."""
    mail = read(HEAD + parts("alternative", PLAIN, INVITATION))

    assert mail.calendar == Calendar("REQUEST", "Встреча, важная", "20241202T101500", "20241202T111500", "ann@y.ru")


def test_uuencoded_files_are_taken_out_of_the_text():
    """As programs sent them before MIME."""
    mail = read(HEAD + b"\r\ntext\r\nbegin 644 a.txt\r\n#86)C\r\n`\r\nend\r\nmore")

    assert (mail.text.split(), [(one.name, one.content) for one in mail.files]) == (["text", "more"], [("a.txt", b"abc")])


@pytest.mark.parametrize("raw", [b"", b" \r\n\t", b"\x00\x00"])
def test_nothing_is_no_letter(raw):
    """There is nothing to show."""
    with pytest.raises(BadInput, match="empty"):
        read(raw)


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_letters_are_read_or_told_as_cut(make):
    """Forty megabytes of anything raise nothing; what was left out is told. How long it takes is measured by `make bench`."""
    mail = read(make())

    assert mail.problems or not mail.cut
    assert mail.text or mail.files or mail.subject or mail.from_.address or mail.problems


def test_what_is_too_much_is_told_as_cut():
    """Nothing is left out silently."""
    many = read(HEAD + b"Content-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\na\r\n" * (PARTS + 5))
    deep = read(
        HEAD
        + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(DEPTH + 5))
        + b"\r\nx"
    )

    assert (many.cut, many.text.count("a")) == (True, PARTS)
    assert (deep.cut, any("deeper" in problem for problem in deep.problems)) == (True, True)


SAMPLES = [
    WHOLE,
    HEAD + parts("alternative", PLAIN, INVITATION),
    HEAD + parts("report", PLAIN, b"Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed"),
]
PIECES = [
    *(b"\r\n", b"--bound", b"--inner--", b"=?utf-8?B?", b"\x00", b"\xff", b'"', b"(", b";", b"base64", b"<", b"charset=utf-7"),
    b"Content-Type: multipart/mixed; boundary=q\r\n\r\n",
]


def hold(raw: bytes) -> None:
    """Read *raw* and everything that is made of it."""
    try:
        mail = read(raw)
    except BadInput:
        return
    fold(mail.text)
    is_robot(mail)
    tokens_in(mail, "s@x.ru")
    told = repr((mail.subject, mail.text, mail.html, mail.from_, [one.name for one in mail.files]))
    assert "\\x00" not in told
    assert not any("\ud800" <= letter <= "\udfff" for letter in mail.text + mail.html + mail.subject)


@given(st.sampled_from(SAMPLES), st.integers(0, 2**32))
@settings(max_examples=2_500, deadline=None)
def test_a_letter_with_anything_changed_is_still_read(raw, seed):
    """Bytes lost, repeated, and put where they do not belong."""
    chance, changed = Random(seed), bytearray(raw)
    for _ in range(chance.randint(1, 8)):
        at, length = chance.randrange(len(changed)), chance.randint(0, 40)
        changed[at : at + length] = chance.choice([b"", chance.randbytes(4), *PIECES, bytes(changed[:length])]) or b"\n"
    hold(bytes(changed))


@given(st.binary(max_size=400))
@settings(max_examples=800, deadline=None)
def test_any_bytes_are_read(raw):
    """As a letter, or as the body of one."""
    hold(raw)
    hold(HEAD + b"Content-Type: text/html\r\n\r\n" + raw)


def test_a_bounce_is_looked_for_with_the_letters_own_addresses():
    """Whom the report itself was sent to has not failed."""
    mail = read(HEAD + b"\r\nx")

    assert bounce_of(signs=mail.signs, sender=mail.from_, subject="", text="", reports=(), originals=()) is None
