"""The words of header fields: encoded words, parameters, addresses, message ids and dates, as people's programs write them.

Nothing here raises. All of it is linear in the length of a field, which the caller has bounded.
"""

from __future__ import annotations

import re
from binascii import Error as NotBase64
from binascii import a2b_base64, a2b_qp
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import unquote_to_bytes

from channels.mail.charsets import clean_line, codec_of, decode, text_of, unspoilt
from channels.mail.letters import Address

ADDRESSES = 1_000
"""So many addresses of one field are read."""
PARAMETERS = 100
IDS = 200
NAME_LENGTH = 200
"""Characters of a file's name."""

_WORD_BEGIN = re.compile(r"=\?([^?\s=]{0,80})\?([bBqQ])\?")
_WORD_END = re.compile(r"\?=(?![0-9A-Fa-f]{2})")
_BLANK = re.compile(r"[ \t\r\n]*\Z")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))

_PARAMETER = re.compile(r';[\s;]*+([^\s=;"]{1,80})\s*+=\s*+("(?:[^"\\]|\\.)*+"|[^;]*+)', re.DOTALL)
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,4}))?(\*)?\Z")

_TOKEN = re.compile(
    r'(?P<encoded>=\?[^?\s]{1,80}\?[bBqQ]\?[^?]*+\?=)|<(?P<angle>[^<>]*+)>|(?P<special>[,;:()<>"])|(?P<atom>(?:[^\s",;:<>()=]|=(?!\?))++|=)',
    re.DOTALL,
)
_QUOTED = re.compile(r'((?:[^"\\]|\\.)*+)"', re.DOTALL)
_PARENTHESIS = re.compile(r"[()]|\\.", re.DOTALL)
_ID = re.compile(r"<([^<>]{1,998})>")
_LOOSE_ID = re.compile(r"[^\s<>,;\"]{1,500}@[^\s<>,;\"]{1,500}")
_BARE_ADDRESS = re.compile(r"[^\s<>()\[\]\"',;:\\@]{1,100}@[^\s<>()\[\]\"',;:\\@]{1,255}")

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan янв gen ene sty яну tammi",
            "feb фев fév fev feb lut helmi",
            "mar мар mär mrz maa",
            "apr апр avr abr kwi",
            "may май мая mai maj mag",
            "jun июн juin jui giu cze юни",
            "jul июл juil lug lip юли",
            "aug авг aoû aou ago sie",
            "sep сен set wrz",
            "oct окт okt ott paź",
            "nov ноя lis ное",
            "dec дек dez déc dic gru",
        ),
        start=1,
    )
    for name in names.split()
}
_ZONES = {
    "ut": 0, "utc": 0, "gmt": 0, "z": 0, "est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420, "mdt": -360,
    "pst": -480, "pdt": -420, "msk": 180, "msd": 240, "cet": 60, "cest": 120, "eet": 120, "eest": 180, "bst": 60, "ist": 330,
    "jst": 540,
}  # fmt: skip
_CLOCK = r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,]\d+)?)?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
_ZONE = r"(?:\s*(?:(?P<sign>[+-])\s?(?P<zh>\d{1,2}):?(?P<zm>\d{2})?|\(?(?P<zone>[A-Za-z]{1,5})\b))?"
_DATES = (
    re.compile(
        r"(?P<day>\d{1,2})[\s.,-]+(?P<month>[^\W\d_]{3,12})\.?[\s,.-]+(?P<year>\d{2,4})(?:\s*г\.?)?[,\s]+(?:в\s+"
        r"|at\s+)?" + _CLOCK + _ZONE),
    re.compile(r"(?P<month>[^\W\d_]{3,12})\s+(?P<day>\d{1,2}),?\s+(?:(?P<year>\d{4}),?\s+)?(?:at\s+)?" + _CLOCK + _ZONE
               + r"(?:\s+(?P<late>\d{4}))?"),
    re.compile(r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})(?:[T\s]+" + _CLOCK + _ZONE + ")?"),
    re.compile(r"(?P<day>\d{1,2})[./-](?P<month>\d{1,2})[./-](?P<year>\d{4}),?\s+" + _CLOCK + _ZONE),
    re.compile(r"(?P<day>\d{1,2})[\s-]+(?P<month>[^\W\d_]{3,12})\.?[\s-]+(?P<year>\d{2,4})"),
)  # fmt: skip


def plain(raw: bytes, hint: str = "") -> str:
    """Return the characters of a field's bytes, still encoded; *hint* is the charset of the letter's text."""
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    return decode(raw, "", hint)


def line(raw: bytes, hint: str = "") -> str:
    """Return a field's text as people read it: one line, decoded."""
    return clean_line(decoded(plain(raw, hint)))


def decoded(text: str) -> str:
    """Return *text* with its encoded words (RFC 2047) decoded, wherever they stand, and those that are torn."""
    if "=?" not in text:
        return text
    pieces: list[str] = []
    run: list[bytes] = []  # neighbours of one charset are joined before they are decoded: a letter may be torn between two
    run_charset, at = "", 0
    no_end = {"b": len(text) + 1, "q": len(text) + 1}  # from there on no word of that kind ends

    def flush() -> None:
        if run:
            pieces.append(unspoilt(text_of(b"".join(run), run_charset)))
            run.clear()

    while begin := _WORD_BEGIN.search(text, at):
        charset, kind = begin[1].split("*", 1)[0], begin[2].lower()
        found = None
        if begin.end() < no_end[kind]:
            found = _WORD_END.search(text, begin.end()) if kind == "q" else None
            end = found.start() if found else text.find("?=", begin.end())
            if end < 0:
                no_end[kind] = begin.end()
        else:
            end = -1
        following = text.find("=?", begin.end())
        if end < 0 or (0 <= following < end and _WORD_BEGIN.match(text, following)):
            # It never ends: it goes to the next one, or to the end of the text.
            end = following if following >= 0 else len(text)
            after = end
        else:
            after = end + 2
        between = text[at : begin.start()]
        if not (run and _BLANK.match(between)):
            flush()
            pieces.append(between)
        elif charset.lower() != run_charset.lower():
            flush()
        run_charset = charset
        run.append(_payload(text[begin.end() : end], kind))
        at = after
    flush()
    pieces.append(text[at:])
    return "".join(pieces)


def _payload(text: str, kind: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass")
    if kind == "q":
        return a2b_qp(raw.replace(b"_", b" ").replace(b"\r", b"").replace(b"\n", b""), header=False)
    return base64_bytes(raw)


def base64_bytes(raw: bytes) -> bytes:
    """Return what *raw* says in Base64, with whatever does not belong there left out."""
    pieces = raw.strip(b" \t\r\n=").split(b"=", 1_000) if b"=" in raw else [raw]
    found = []
    for piece in pieces:
        letters = piece.translate(None, _NOT_BASE64)
        if len(letters) % 4 == 1:
            letters = letters[:-1]
        try:
            found.append(a2b_base64(letters + b"=" * (-len(letters) % 4)))
        except NotBase64:  # cannot be: the length and the letters are right
            continue
    return b"".join(found)


def parameters(text: str) -> tuple[str, dict[str, str]]:
    """Return the value of a field like Content-Type, lower-case, and its parameters (RFC 2231), names lower-case.

    Encoded words in values are decoded too: half of the world's programs write file names so.
    """
    value = text.split(";", 1)[0].strip().lower()
    whole: dict[str, str] = {}
    torn: dict[str, dict[int, tuple[str, bool]]] = {}
    for count, found in enumerate(_PARAMETER.finditer(text, len(text.split(";", 1)[0]))):
        if count >= PARAMETERS:
            break
        section = _SECTION.match(found[1].lower())
        content = _unquoted(found[2])
        if section is None:
            continue
        name, number, encoded = section[1], section[2], section[3] is not None
        if number is None and not encoded:
            whole.setdefault(name, content)
        else:
            torn.setdefault(name, {}).setdefault(int(number or 0), (content, encoded))
    # A boundary is compared and not read: it stays as it is.
    values = {name: content if name == "boundary" else _named(content) for name, content in whole.items()}
    for name, sections in torn.items():
        values[name] = _joined(sections)
    return value, values


def _unquoted(value: str) -> str:
    value = value.strip()
    if not value.startswith('"'):
        return value
    return re.sub(r'\\(["\\])', r"\1", value[1:-1] if value.endswith('"') and len(value) > 1 else value[1:])


def _named(value: str) -> str:
    """Return a value that follows RFC 2045, or does what RFC 2231 forbids: encoded words, percent signs, raw bytes."""
    value = decoded(re.sub(r"[\r\n]+", "", value))
    if value.isascii() and re.search(r"%[89A-Fa-f][0-9A-Fa-f]", value):
        try:
            return unquote_to_bytes(re.sub(r"(?i)\Autf-?8''", "", value)).decode()
        except UnicodeDecodeError:
            return value
    return value


def _joined(sections: dict[int, tuple[str, bool]]) -> str:
    ordered = [sections[number] for number in sorted(sections)]
    first, encoded = ordered[0]
    charset = ""
    if encoded and first.count("'") >= 2:
        charset, _, first = first.split("'", 2)
        ordered[0] = (first, encoded)
    elif not any(escaped for _, escaped in ordered):
        return _named("".join(content for content, _ in ordered))
    raw = b"".join(unquote_to_bytes(content) if escaped else content.encode("utf-8", "replace") for content, escaped in ordered)
    return decoded(decode(raw, charset))


def file_name(value: str) -> str:
    """Return *value* as the name of a file that is only shown: one line, no folders, no marks that turn its direction."""
    name = clean_line(value)
    if re.match(r"(?:[A-Za-z]:)?[\\/]|\.\.?[\\/]", name):
        name = re.split(r"[\\/]", name)[-1]
    name = re.sub(r"[\\/\u200b-\u200d\u2060]", lambda found: "_" if found[0] in "\\/" else "", name).strip(" ")
    if len(name) > NAME_LENGTH:
        stem, dot, ending = name.rpartition(".")
        name = f"{stem[: NAME_LENGTH - len(ending) - 1]}.{ending}" if dot and len(ending) < 12 else name[:NAME_LENGTH]
    return "" if not name.strip(".") else name


def addresses(text: str) -> tuple[Address, ...]:
    """Return the addresses of a field such as To: groups are opened, comments are names where there is no other."""
    found = []
    for address in _entries(text):
        found.append(address)
        if len(found) >= ADDRESSES:
            break
    return tuple(found)


def first_address(text: str) -> Address:
    """Return who a field such as From names; its words are the name when there is no address in it."""
    best = Address("", "")
    for address in addresses(text):
        if "@" in address.address:
            return address
        if best == Address("", ""):
            best = address
    return best if best != Address("", "") else Address(clean_line(decoded(text)), "")


def _entries(text: str) -> Iterator[Address]:
    words: list[str] = []  # of the entry that is being read, decoded
    comments: list[str] = []
    angle: str | None = None
    at, closers, quotes = 0, text.count(")"), text.count('"')
    while token := _TOKEN.search(text, at):
        at = token.end()
        kind = token.lastgroup
        if kind == "encoded":
            words.append(token["encoded"])
        elif kind == "angle":
            if angle is None or "@" not in angle:
                angle = token["angle"]
        elif kind == "atom":
            words.append(token["atom"])
        elif token["special"] == '"':
            found = _QUOTED.match(text, at) if quotes else None
            if found is None:
                quotes = 0  # nor is any of those that follow closed
                continue
            words.append('"' + re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL))
            at = found.end()
        elif token["special"] == "(":
            end = _comment_end(text, at) if closers else -1
            if end < 0:
                closers = 0  # nothing closes any of those that follow
                continue
            comments.append(text[at : end - 1])
            at = end
        elif token["special"] == "<":
            # No bracket closes it: an address follows, or nothing.
            continue
        elif token["special"] == ":":
            if angle is None and not any("@" in word for word in words):
                words, comments = [], []  # what stood before was a group's name
        elif token["special"] in {",", ";"}:
            yield from _entry(words, comments, angle)
            words, comments, angle = [], [], None
    yield from _entry(words, comments, angle)


def _comment_end(text: str, at: int) -> int:
    depth = 1
    while depth:
        found = _PARENTHESIS.search(text, at)
        if found is None:
            return -1
        at = found.end()
        depth += 1 if found[0] == "(" else -1 if found[0] == ")" else 0
    return at


def _entry(words: list[str], comments: list[str], angle: str | None) -> Iterator[Address]:
    if angle is not None:
        address = _bare(decoded(angle))
        name = _name(words)
        if "@" not in address and (inside := _BARE_ADDRESS.search(name)) and not address:
            address = inside[0]
        yield from _told(name or _comment(comments), address)
        return
    if not words:
        return
    spelt = [index for index, word in enumerate(words) if "@" in word and not word.startswith(("=?", '"'))]
    if spelt:
        index = spelt[-1]
        word, first, last = words[index], index, index + 1
        if word.startswith("@") and index:  # a quoted local part, or a space before the sign
            first = index - 1
            word = words[first] + ('"' if words[first].startswith('"') else "") + word
        if word.endswith("@") and last < len(words):
            word, last = word + words[last], last + 1
        yield from _told(_name(words[:first] + words[last:]) or _comment(comments), _bare(word))
        return
    name = _name(words)
    if (inside := _BARE_ADDRESS.search(name)) is not None:  # all of it was inside one encoded word, or in quotes
        rest = (name[: inside.start()] + name[inside.end() :]).strip(" <>()\"'")
        yield from _told(rest, inside[0])
    elif len(words) == 1 and not words[0].startswith(("=?", '"')):
        yield from _told(_comment(comments), words[0])
    else:
        yield Address(name, "")


def _told(name: str, address: str) -> Iterator[Address]:
    address = clean_line(address)
    if name or address:
        yield Address(name, address)


def _comment(comments: list[str]) -> str:
    return clean_line(decoded(" ".join(comments).replace("\\", ""))).strip("'\" ")


def _name(words: list[str]) -> str:
    """Return the words of a name as one line; a word that begins with a quotation mark stood in quotes."""
    text = " ".join(word.removeprefix('"') for word in words)
    name = clean_line(decoded(text)).strip()
    for mark in ('"', "'"):
        if len(name) > 1 and name[0] == name[-1] == mark:
            name = name[1:-1].strip()
    return name


def _bare(text: str) -> str:
    """Return an address without a route, `mailto:`, spaces and controls."""
    address = clean_line(text) if '"' in text else re.sub(r"\s+", "", clean_line(text))
    if address.lower().startswith("mailto:"):
        address = address[7:]
    if address.startswith("@") and ":" in address:
        address = address.rsplit(":", 1)[1]
    return address.strip("<>,;")[:320]


def ids(text: str) -> tuple[str, ...]:
    """Return the message ids of a field, in their order, without angle brackets; the last ones when there are too many."""
    found = [re.sub(r"\s+", "", one) for one in _ID.findall(text)] or _LOOSE_ID.findall(text)
    return tuple(dict.fromkeys(clean_line(one) for one in found if one.strip()))[-IDS:]


def first_id(text: str) -> str:
    """Return the message id that a field such as Message-ID gives, without angle brackets; its text if there are none."""
    found = ids(text)
    return found[0] if found else clean_line(text).strip("<> ")[:998]


def moment(text: str) -> datetime | None:
    """Return the moment that *text* tells, with its zone (UTC where it tells none); None if it tells none."""
    text = text[:200]
    for pattern in _DATES:
        for found in pattern.finditer(text):
            if (at := _moment(found.groupdict())) is not None:
                return at
    return None


def _moment(told: dict[str, str | None]) -> datetime | None:
    month = told["month"] or ""
    number = int(month) if month.isdecimal() else _month(month)
    year = int(told.get("year") or told.get("late") or 0)
    if year < 100:
        year += 2000 if year < 70 else 1900
    elif year < 200:  # the year 2000 was 100 to some programs
        year += 1900
    hour = int(told.get("hour") or 0)
    if (half := (told.get("half") or "").lower()) and hour <= 12:
        hour = hour % 12 + (12 if half == "p" else 0)
    try:
        # A second of 60 and an hour of 24 are written: both are the next moment.
        at = datetime(year, number, int(told["day"] or 0), tzinfo=UTC) + timedelta(
            hours=min(hour, 24), minutes=int(told.get("minute") or 0), seconds=int(told.get("second") or 0)
        )
        zone = timezone(timedelta(minutes=_offset(told)))
        return at.replace(tzinfo=zone) if 1970 <= at.year <= 2200 else None
    except (ValueError, OverflowError):
        return None


def _month(word: str) -> int:
    word = word.lower()
    for length in (5, 4, 3):
        if word[:length] in _MONTHS:
            return _MONTHS[word[:length]]
    return 0


def _offset(told: dict[str, str | None]) -> int:
    if hours := told.get("zh"):
        minutes = int(hours) * 60 + int(told.get("zm") or 0)
        if minutes >= 24 * 60:
            return 0
        return -minutes if told.get("sign") == "-" else minutes
    return _ZONES.get((told.get("zone") or "").lower(), 0)


def known_charset(values: Iterable[str]) -> str:
    """Return the first of *values* that names a charset, "" if none does."""
    return next((value for value in values if codec_of(value)), "")
