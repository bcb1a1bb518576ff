"""winmail.dat: the form in which Outlook sends a letter to whom it takes for another Outlook (MS-OXTNEF, MS-OXRTFCP).

Nothing here raises: what cannot be read is left out, and the rest is kept.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from

from channels.mail.charsets import text_of
from channels.mail.words import file_name

FILES = 200
ATTRIBUTES = 20_000
PROPERTIES = 5_000
RTF_BYTES = 500_000
"""So much of a compressed RTF is unpacked."""

_SIGNATURE = 0x223E9F78
# The attributes, by the low half of their ids.
_BODY, _FILE_DATA, _FILE_TITLE, _FILE_BEGINS = 0x800C, 0x800F, 0x8010, 0x9002
_MESSAGE_PROPERTIES, _FILE_PROPERTIES, _CODE_PAGE = 0x9003, 0x9005, 0x9007
# The properties.
_WORDS, _RTF, _HTML, _INTERNET_CODE_PAGE = 0x1000, 0x1009, 0x1013, 0x3FDE
_DATA, _SHORT_NAME, _LONG_NAME, _MEDIA_TYPE, _CONTENT_ID, _SHOWN_NAME = 0x3701, 0x3704, 0x3707, 0x370E, 0x3712, 0x3001
_WIDTHS = {
    0x0002: 4,
    0x0003: 4,
    0x0004: 4,
    0x0005: 8,
    0x0006: 8,
    0x0007: 8,
    0x000A: 4,
    0x000B: 4,
    0x0014: 8,
    0x0040: 8,
    0x0048: 16,
}
_STRING, _UNICODE, _OBJECT, _BINARY, _MANY = 0x001E, 0x001F, 0x000D, 0x0102, 0x1000

# What the dictionary of compressed RTF begins with, by the specification.
_DICTIONARY = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans Serif"
    b"SymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


@dataclass(slots=True)
class Enclosed:
    """One file of the bundle; *media_type* and *content_id* are "" where it does not tell them."""

    name: str = ""
    content: bytes = b""
    media_type: str = ""
    content_id: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a winmail.dat held."""

    text: str = ""
    html: str = ""
    files: tuple[Enclosed, ...] = ()


def unpack(raw: bytes) -> Bundle:
    """Return what *raw* holds; an empty bundle if it is no winmail.dat."""
    if len(raw) < 6 or unpack_from("<I", raw)[0] != _SIGNATURE:
        return Bundle()
    charset = "cp1252"
    words = html = rtf = ""
    files: list[Enclosed] = []
    for name, data in _attributes(raw):
        if name == _CODE_PAGE and len(data) >= 4:
            charset = f"cp{unpack_from('<I', data)[0]}"
        elif name == _BODY:
            words = text_of(data, charset)
        elif name == _FILE_BEGINS:
            if len(files) >= FILES:
                break
            files.append(Enclosed())
        elif name == _FILE_TITLE and files:
            files[-1].name = files[-1].name or file_name(text_of(data, charset))
        elif name == _FILE_DATA and files:
            files[-1].content = data
        elif name == _FILE_PROPERTIES and files:
            _describe(files[-1], data, charset)
        elif name == _MESSAGE_PROPERTIES:
            properties = dict(_properties(data))
            if (page := properties.get(_INTERNET_CODE_PAGE)) and len(page[1]) >= 4:
                charset = f"cp{unpack_from('<I', page[1])[0]}"
            words = words or _string(properties.get(_WORDS), charset)
            html = html or _string(properties.get(_HTML), charset)
            rtf = rtf or unpacked_rtf(properties.get(_RTF, (0, b""))[1]).decode("latin-1")
    if rtf and not (words or html):
        if "\\fromhtml1" in rtf[:2000]:
            html = rtf_text(rtf, html=True)
        else:
            words = rtf_text(rtf)
    return Bundle(words.strip(), html, tuple(one for one in files if one.content or one.name))


def _attributes(raw: bytes) -> Iterator[tuple[int, bytes]]:
    at = 6
    for _ in range(ATTRIBUTES):
        if at + 9 > len(raw):
            return
        name, length = unpack_from("<II", raw, at + 1)
        at += 9
        if length > len(raw) - at:
            # Cut on its way: what is left of the last one is still a file.
            yield name & 0xFFFF, raw[at:]
            return
        yield name & 0xFFFF, raw[at : at + length]
        at += length + 2  # the checksum: who sends a wrong one is read all the same


def _properties(data: bytes) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """Yield the properties: id, and type with value; of a property with many values the first one."""
    try:
        count, at = min(unpack_from("<I", data)[0], PROPERTIES), 4
        for _ in range(count):
            kind, name = unpack_from("<HH", data, at)
            at += 4
            if name >= 0x8000:
                at += 16
                named, number = unpack_from("<II", data, at)
                at += 8 + ((number + 3) & ~3 if named else 0)
            many = bool(kind & _MANY)
            kind &= ~_MANY
            if kind in {_STRING, _UNICODE, _OBJECT, _BINARY} or many:
                values, at = unpack_from("<I", data, at)[0], at + 4
            else:
                values = 1
            first: bytes | None = None
            for _ in range(min(values, PROPERTIES)):
                if kind in _WIDTHS:
                    length = _WIDTHS[kind] if not many or kind != 0x0002 else 4
                elif kind in {_STRING, _UNICODE, _OBJECT, _BINARY}:
                    length, at = unpack_from("<I", data, at)[0], at + 4
                else:
                    return  # a type that has no known length: nothing behind it can be found
                first = data[at : at + length] if first is None else first
                at += (length + 3) & ~3
            yield name, (kind, first or b"")
    except struct.error:
        return


def _describe(file: Enclosed, data: bytes, charset: str) -> None:
    properties = dict(_properties(data))
    for name in (_LONG_NAME, _SHOWN_NAME, _SHORT_NAME):
        if (told := file_name(_string(properties.get(name), charset))) and (name == _LONG_NAME or not file.name):
            file.name = told
            break
    file.media_type = _string(properties.get(_MEDIA_TYPE), charset).strip().lower()
    file.content_id = _string(properties.get(_CONTENT_ID), charset).strip("<> ")
    kind, content = properties.get(_DATA, (0, b""))
    if content and not file.content:
        file.content = content[16:] if kind == _OBJECT else content  # an object begins with the id of its interface
        if kind == _OBJECT and not file.media_type and file.content[:4] == b"\x78\x9f\x3e\x22":
            file.media_type = "application/ms-tnef"


def _string(value: tuple[int, bytes] | None, charset: str) -> str:
    if value is None:
        return ""
    kind, raw = value
    if kind == _UNICODE:
        return text_of(raw.decode("utf-16-le", "replace").encode(), "utf-8")
    return text_of(raw.rstrip(b"\x00"), charset)


def unpacked_rtf(raw: bytes) -> bytes:
    """Return compressed RTF unpacked, b"" if it is none."""
    if len(raw) < 16:
        return b""
    _, size, magic = unpack_from("<III", raw)
    if magic == 0x414C454D:
        return raw[16 : 16 + min(size, RTF_BYTES)]
    if magic != 0x75465A4C:
        return b""
    window = bytearray(4096)
    window[: len(_DICTIONARY)] = _DICTIONARY
    out, write, at, size = bytearray(), len(_DICTIONARY), 16, min(size, RTF_BYTES)
    while at < len(raw) and len(out) < size:
        control = raw[at]
        at += 1
        for bit in range(8):
            if control >> bit & 1:
                if at + 2 > len(raw):
                    return bytes(out)
                token = raw[at] << 8 | raw[at + 1]
                at += 2
                read = token >> 4
                if read == write:
                    return bytes(out)
                for _ in range((token & 15) + 2):
                    byte = window[read]
                    window[write] = byte
                    out.append(byte)
                    read, write = (read + 1) & 4095, (write + 1) & 4095
            else:
                if at >= len(raw):
                    return bytes(out)
                window[write] = raw[at]
                out.append(raw[at])
                write, at = (write + 1) & 4095, at + 1
    return bytes(out[:size])


_RTF_TOKEN = re.compile(r"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-fA-F]{2})|\\([^a-z])|([{}])|([^\\{}]+)")
_UNSHOWN = frozenset(
    "fonttbl colortbl stylesheet info pict object header footer headerl headerr footerl footerr listtable listoverridetable"
    " rsidtbl generator themedata colorschememapping datastore latentstyles xmlnstbl mhtmltag nonshppict".split()
)
_SPELT = {"par": "\n", "line": "\n", "sect": "\n", "row": "\n", "tab": "\t", "cell": "\t", "emdash": "—", "endash": "–", "bullet": "•",
          "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "emspace": " ", "enspace": " "}  # fmt: skip


def rtf_text(rtf: str, *, html: bool = False) -> str:  # noqa: PLR0915 - an arm for each kind of token
    """Return the words of *rtf*, whose characters are its bytes; with *html*, the HTML that was packed into it."""
    out: list[str] = []
    pending = bytearray()  # bytes of the code page, decoded together: a letter may have two
    charset = "cp1252"
    shown, marked, skip = True, False, 0  # what is to be seen now; inside an htmltag group; characters that repeat a \u
    stack: list[tuple[bool, bool]] = []
    stripped = False  # between \htmlrtf and \htmlrtf0
    starred = False

    def flush() -> None:
        if pending:
            out.append(text_of(bytes(pending), charset))
            pending.clear()

    for found in _RTF_TOKEN.finditer(rtf[:RTF_BYTES]):
        word, number, byte, sign, brace, plain = found.groups()
        visible = shown and not stripped
        if brace == "{":
            stack.append((shown, marked))
            starred = False
        elif brace == "}":
            flush()
            shown, marked = stack.pop() if stack else (True, False)
        elif plain is not None:
            plain = plain.replace("\r", "").replace("\n", "")
            if skip and plain:
                dropped = min(skip, len(plain))
                plain, skip = plain[dropped:], skip - dropped
            if visible and plain:
                flush()
                out.append(text_of(plain.encode("latin-1"), charset) if not plain.isascii() else plain)
        elif byte is not None:
            if skip:
                skip -= 1
            elif visible:
                pending.append(int(byte, 16))
        elif sign is not None:
            if sign == "*":
                starred = True
            elif visible and sign in "{}\\":
                flush()
                out.append(sign)
            elif visible and sign == "~":
                flush()
                out.append(" ")
            elif visible and sign in "\r\n":
                flush()
                out.append("\n")
        elif word == "u" and number:
            if visible:
                flush()
                code = int(number) & 0xFFFF
                out.append(chr(code))
            skip = 1
        elif word == "ansicpg" and number:
            charset = f"cp{number}"
        elif word == "htmlrtf":
            flush()
            stripped = html and number != "0"
        elif word == "htmltag":
            shown, marked, starred = html, True, False
        elif word in _UNSHOWN or starred:
            flush()
            shown, starred = False, False
        elif word in _SPELT:
            if visible:
                flush()
                out.append(_SPELT[word])
            skip = 0
    flush()
    # Halves of a character beyond the first plane stand apart in \u.
    text = "".join(out).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text_of(text.encode(), "utf-8").strip()
