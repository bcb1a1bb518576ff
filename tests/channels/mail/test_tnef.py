"""winmail.dat, made here as Outlook makes it."""

from __future__ import annotations

from struct import pack

from hypothesis import given, settings
from hypothesis import strategies as st

from channels.mail.tnef import rtf_text, unpack, unpacked_rtf


def attribute(name: int, data: bytes, level: int = 2) -> bytes:
    """Return one attribute of the bundle."""
    return pack("<BII", level, name, len(data)) + data + pack("<H", sum(data) & 0xFFFF)


def binary(name: int, data: bytes, kind: int = 0x0102) -> bytes:
    """Return one property that is a string or a file."""
    return pack("<HHII", kind, name, 1, len(data)) + data + b"\0" * (-len(data) % 4)


def number(name: int, value: int) -> bytes:
    """Return one property that is a number."""
    return pack("<HHI", 3, name, value)


def named(data: bytes) -> bytes:
    """Return a property that has a name of its own instead of an id."""
    word = "раз".encode("utf-16-le") + b"\0\0"
    return (
        pack("<HH", 0x001E, 0x8001)
        + b"g" * 16
        + pack("<II", 1, len(word))
        + word
        + pack("<II", 1, len(data))
        + data
        + b"\0" * (-len(data) % 4)
    )


def compressed(rtf: bytes) -> bytes:
    """Return *rtf*, which begins as all do, compressed: its beginning is in the dictionary, the rest is spelt."""
    beginning = b"{\\rtf1\\ansi"
    assert rtf.startswith(beginning)
    rest = rtf[len(beginning) :]
    body = bytes([1]) + pack(">H", 0 << 4 | len(beginning) - 2) + rest[:7]
    for at in range(7, len(rest), 8):
        body += b"\0" + rest[at : at + 8]
    return pack("<III", len(body) + 12, len(rtf), 0x75465A4C) + b"\0\0\0\0" + body


RTF = rb"{\rtf1\ansi\ansicpg1251{\fonttbl{\f0 Arial;}}\pard \'cf\'f0\'e8\'e2\'e5\'f2 \b \u1084?\u1080?\u1088?\b0\par {\*\secret x}\{ok\}}"
FILE = (
    attribute(0x00069002, b"\0" * 14)
    + attribute(0x00018010, "Счет.pdf".encode("cp1251") + b"\0")
    + attribute(0x0006800F, b"%PDF-1")
    + attribute(
        0x00069005,
        pack("<I", 4)
        + number(0x3705, 1)
        + named(b"skip")
        + binary(0x3707, "Счёт №5.pdf".encode("utf-16-le") + b"\0\0", 0x001F)
        + binary(0x3712, b"<a@b>\0", 0x001E),
    )
)
HEAD = pack("<IH", 0x223E9F78, 1) + attribute(0x00069007, pack("<II", 1251, 0), 1)


def test_files_have_their_long_names():
    """In the letters of the sender's code page, or in Unicode."""
    bundle = unpack(
        HEAD
        + FILE
        + attribute(0x00069002, b"")
        + attribute(0x00018010, "Счет.doc".encode("cp1251"))
        + attribute(0x0006800F, b"d")
    )

    assert [(one.name, one.content, one.content_id) for one in bundle.files] == [
        ("Счёт №5.pdf", b"%PDF-1", "a@b"),
        ("Счет.doc", b"d", ""),
    ]


def test_words_are_read_from_compressed_rtf():
    """Without the fonts, and without what its writer did not see."""
    bundle = unpack(HEAD + attribute(0x00069003, pack("<I", 1) + binary(0x1009, compressed(RTF)), 1))

    assert bundle.text == "Привет мир\n{ok}"


def test_html_inside_rtf_is_html():
    """As Outlook wraps it."""
    rtf = r"{\rtf1\ansi\fromhtml1{\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 Hi \htmlrtf\par}\htmlrtf0{\*\htmltag72 </p>}}"

    assert rtf_text(rtf, html=True) == "<p>Hi </p>"


def test_a_body_is_told_as_it_is():
    """Text where there is text, HTML where there is HTML."""
    html = pack("<I", 2) + number(0x3FDE, 1251) + binary(0x1013, "<p>Привет</p>".encode("cp1251"))

    assert unpack(HEAD + attribute(0x0002800C, "Привет".encode("cp1251") + b"\0", 1)).text == "Привет"
    assert unpack(HEAD + attribute(0x00069003, html, 1)).html == "<p>Привет</p>"


def test_a_bundle_cut_on_its_way_gives_what_is_left():
    """The file is shorter, and is there."""
    assert unpack((HEAD + FILE)[: len(HEAD) + 60]).files[0].name == "Счет.pdf"


@given(st.binary(max_size=300), st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=700, deadline=None)
def test_nothing_raises(noise, place, byte):
    """Whatever the bytes."""
    whole = bytearray(HEAD + FILE + attribute(0x00069003, pack("<I", 1) + binary(0x1009, compressed(RTF)), 1))
    whole[place % len(whole)] = byte
    unpack(bytes(whole))
    unpack(HEAD + noise)
    unpacked_rtf(pack("<III", 99, 99, 0x75465A4C) + noise)
    rtf_text(noise.decode("latin-1"))
