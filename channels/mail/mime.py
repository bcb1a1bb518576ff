"""A whole letter out of its bytes, as people's programs send it: broken in every way that a program can break it.

The structure is walked here and not by the standard library, whose parser is quadratic on some letters and recurses without
bound on others. What is too much is left out and told: nothing here takes long, and nothing raises but BadInput for what is
no letter at all.

    read ── _headers ── _walk ─┬─ _leaf ──── a piece of the text, or a file
                               └─ _split ─── the parts of a multipart, each walked in its turn
"""

from __future__ import annotations

import re
from binascii import Error as NotEncoded
from binascii import a2b_qp, a2b_uu
from dataclasses import dataclass, field
from datetime import datetime
from html import escape

from broker.errors import BadInput
from channels.mail.bounces import bounce_of
from channels.mail.charsets import clean_line, clean_text, decode, text_of, unspoilt
from channels.mail.html import WORDS_CAP, to_text
from channels.mail.letters import Address, Calendar, File, Mail, Signs
from channels.mail.tnef import rtf_text, unpack
from channels.mail.words import (
    addresses,
    base64_bytes,
    decoded,
    file_name,
    first_address,
    first_id,
    ids,
    line,
    moment,
    parameters,
    plain,
)

SIZE = 40_000_000
PARTS = 1_000
DEPTH = 50
HEADERS_SIZE = 1_000_000
FIELDS = 2_000
PART_HEADERS_SIZE = 50_000
PART_FIELDS = 100
FIELD_SIZE = 100_000
FILE_NAMES_SIZE = 4_000
TEXT_SIZE = 2_000_000
"""Bytes of one part's text that are read as words."""
SEARCHED = 200_000_000
"""Bytes that are searched for boundaries in all: each level of nesting searches its own part of the letter again, and holds it."""
UU_LINES = 700_000
PROBLEMS = 20

_LINE_END = re.compile(rb"\r\n|\n|\r")
_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*:(.*)\Z", re.DOTALL)
_GUESSED_BOUNDARY = re.compile(
    rb"(?:\A|\n)--([^\s]{1,100}(?: [^\s]{1,100})?)[ \t]*\r?\n(?=Content-[A-Za-z-]+:|\r?\n)", re.IGNORECASE
)
_CHARSET = re.compile(rb"charset\s*=\s*[\"']?([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
_UU_BEGIN = re.compile(rb"(?:\A|\n)begin(?:-base64)? [0-7]{3,4} ([^\r\n]{1,200})\r?\n")
_UU_END = re.compile(rb"\n(?:end|====)[ \t]*\r?(?:\n|\Z)")
_ENDINGS = {
    "image/jpeg": "jpg", "image/jpg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp", "image/bmp": "bmp",
    "image/tiff": "tif", "image/svg+xml": "svg", "image/heic": "heic", "application/pdf": "pdf", "application/zip": "zip",
    "application/msword": "doc", "application/vnd.ms-excel": "xls", "application/json": "json", "application/xml": "xml",
    "application/pgp-signature": "asc", "application/pgp-encrypted": "pgp", "application/pkcs7-signature": "p7s",
    "application/x-pkcs7-signature": "p7s", "application/pkcs7-mime": "p7m", "application/x-pkcs7-mime": "p7m",
    "application/ics": "ics", "application/rtf": "rtf", "application/ms-tnef": "dat", "text/calendar": "ics", "text/vcard": "vcf",
    "text/x-vcard": "vcf", "text/csv": "csv", "text/html": "html", "text/plain": "txt", "text/xml": "xml", "text/rtf": "rtf",
    "audio/mpeg": "mp3", "audio/ogg": "ogg", "audio/wav": "wav", "audio/x-wav": "wav", "video/mp4": "mp4",
    "message/rfc822": "eml", "message/delivery-status": "txt", "text/rfc822-headers": "txt", "message/disposition-notification": "txt",
}  # fmt: skip
_ENCODINGS = ("base64", "quoted-printable", "uuencode", "7bit", "8bit", "binary")
_TNEF = frozenset(["application/ms-tnef", "application/vnd.ms-tnef", "application/x-ms-tnef"])

Headers = dict[str, list[bytes]]


@dataclass(slots=True)
class _Part:
    """One part of the letter as it is walked."""

    headers: Headers
    body: bytes
    media_type: str
    parameters: dict[str, str]
    disposition: str
    name: str
    charset: str

    @property
    def content_id(self) -> str:
        found = self.headers.get("content-id") or [b""]
        return clean_line(line(found[0])).strip("<> ")[:500]


@dataclass(slots=True)
class _Piece:
    """Words of the letter: as text, as HTML, or as both."""

    text: str = ""
    html: str = ""


@dataclass(slots=True)
class _Walk:
    """What has been found so far, and what it may still cost."""

    hint: str = ""
    files: list[File] = field(default_factory=list)
    reports: list[bytes] = field(default_factory=list)
    originals: list[bytes] = field(default_factory=list)
    calendars: list[str] = field(default_factory=list)
    spare: list[_Part] = field(default_factory=list)
    """Texts with a name that are not attached: one of them is the letter's text if there is no other."""
    problems: list[str] = field(default_factory=list)
    parts: int = 0
    searched: int = 0
    words: int = 0
    cut: bool = False

    def problem(self, sentence: str) -> None:
        if len(self.problems) < PROBLEMS and sentence not in self.problems:
            self.problems.append(sentence)

    def too_much(self, sentence: str) -> None:
        self.cut = True
        self.problem(sentence)


def read(raw: bytes) -> Mail:
    """Return the letter that *raw* is. Raises BadInput for what is empty or only spaces."""
    if not raw.strip(b" \t\r\n\x00"):
        raise BadInput("the letter is empty")
    walk = _Walk()
    if len(raw) > SIZE:
        raw = raw[:SIZE]
        walk.too_much(f"The letter is longer than {SIZE} bytes; the rest was not read.")
    headers, body_at = _headers(raw, walk, whole=True)
    if not headers:
        walk.problem("The letter has no headers.")
        body_at = 0
    top = _part(headers, raw[body_at:], walk, "text/plain")
    walk.hint = top.charset or _named_charset(raw)
    pieces = _walk(top, walk, 0, whole=True)
    if not any(piece.text.strip() or piece.html.strip() for piece in pieces):
        pieces += _spare_text(walk)
    text, html = _joined(pieces)
    return _mail(headers, top, text, html, walk)


def _mail(headers: Headers, top: _Part, text: str, html: str, walk: _Walk) -> Mail:
    """Return the letter, its text and files being read."""
    hint = walk.hint

    def words(name: str) -> str:
        return line(headers[name][0], hint) if name in headers else ""

    def people(name: str) -> tuple[Address, ...]:
        # Some programs write a field of recipients several times.
        return tuple(one for value in headers.get(name, [])[:10] for one in addresses(plain(value, hint)))

    def first(name: str) -> Address:
        told = (first_address(plain(value, hint)) for value in headers.get(name, [])[:3])
        return next((one for one in told if one.address), None) or first_address(plain(headers.get(name, [b""])[0], hint))

    from_ = first("from")
    sender = first("sender") if "sender" in headers else None
    if not from_.address:
        if sender and sender.address:
            from_ = Address(from_.name or sender.name, sender.address)
        walk.problem("The letter does not say who sent it.")
    to, cc, bcc = people("to"), people("cc"), people("bcc")
    delivered = tuple(
        dict.fromkeys(
            one.address
            for name in ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to")
            for one in people(name)
            if "@" in one.address
        )
    )
    signs = _signs(headers, top)
    subject = unspoilt(words("subject"))
    return Mail(
        message_id=first_id(words("message-id")),
        in_reply_to=ids(words("in-reply-to")),
        references=ids(words("references")),
        date=_date(headers, walk),
        from_=from_,
        sender=sender,
        reply_to=people("reply-to"),
        to=to,
        cc=cc,
        bcc=bcc,
        delivered_to=delivered,
        subject=subject,
        text=text,
        html=html,
        files=tuple(walk.files),
        signs=signs,
        calendar=_calendar(walk.calendars[0]) if walk.calendars else None,
        bounce=bounce_of(
            signs=signs,
            sender=from_,
            subject=subject,
            text=text,
            reports=walk.reports,
            originals=walk.originals,
            own=[*(one.address for one in (*to, *cc)), *delivered],
        ),
        problems=tuple(walk.problems),
        cut=walk.cut,
    )


def _signs(headers: Headers, top: _Part) -> Signs:
    def word(*names: str) -> str:
        return next((line(headers[name][0])[:500].lower() for name in names if name in headers), "")

    path = headers.get("return-path")
    return Signs(
        auto_submitted=word("auto-submitted", "x-auto-submitted"),
        precedence=word("precedence", "x-precedence"),
        list_id=word("list-id", "x-list-id", "mailing-list"),
        list_unsubscribe=word("list-unsubscribe"),
        x_auto_response_suppress=word("x-auto-response-suppress"),
        x_autoreply=word("x-autoreply", "x-autorespond", "x-autoresponder", "x-auto-reply"),
        x_failed_recipients=word("x-failed-recipients"),
        return_path=None if path is None else first_address(plain(path[0])).address,
        report_type=top.parameters.get("report-type", "").lower()[:100]
        or ("delivery-status" if top.media_type == "multipart/report" else ""),
    )


def _date(headers: Headers, walk: _Walk) -> datetime | None:
    for value in headers.get("date", [])[:3]:
        if (at := moment(decoded(plain(value)))) is not None:
            return at
    if "date" in headers:
        walk.problem("The letter's date cannot be read.")
    for name in ("received", "delivery-date", "x-received"):
        for value in headers.get(name, [])[:3]:  # the topmost is the last server's, which is ours
            if (at := moment(plain(value).rsplit(";", 1)[-1].strip())) is not None:
                return at
    return None


# --- Headers ---


def _headers(raw: bytes, walk: _Walk, *, whole: bool = False) -> tuple[Headers, int]:
    """Return the header fields at the beginning of *raw*, names lower-case, and where the body begins."""
    start = 0
    if whole:
        while start < 1_000 and raw[start : start + 1] in {b"\r", b"\n", b" ", b"\t", b"\x00"}:
            start += 1
        if raw.startswith(b"\xef\xbb\xbf", start):
            start += 3
    elif raw[:1] == b"\n":
        return {}, 1
    elif raw[:2] == b"\r\n":
        return {}, 2
    size, most = (HEADERS_SIZE, FIELDS) if whole else (PART_HEADERS_SIZE, PART_FIELDS)
    stop, body_at = _end_of_headers(raw, start, min(len(raw), start + size))
    if stop < 0:
        stop = body_at = min(len(raw), start + size)
        if len(raw) > body_at:
            walk.too_much(f"The headers are longer than {size} bytes; the rest was not read.")
            found_at, body_at = _end_of_headers(raw, body_at, len(raw))
            body_at = body_at if found_at >= 0 else len(raw)
    fields: list[tuple[str, list[bytes]]] = []
    lines = _LINE_END.split(raw[start:stop])
    at = start
    for index, one in enumerate(lines):
        if one[:1] in {b" ", b"\t"} and fields:
            fields[-1][1].append(one)
        elif found := _FIELD.match(one):
            if len(fields) >= most:
                walk.too_much(f"There are more than {most} header fields; the rest were not read.")
                break
            fields.append((found[1].decode("ascii").lower(), [found[2]]))
        elif one.startswith((b"From ", b">From ")) or (not one.strip() and index == 0):
            pass  # a mailbox's line
        elif fields and _goes_on(lines, index):
            walk.problem("A line among the headers is no header.")
            fields[-1][1].append(b" " + one)
        elif one.strip():
            if fields:
                walk.problem("No empty line stands between the headers and the text.")
            body_at = at
            break
        at += len(one) + (2 if raw[at + len(one) : at + len(one) + 2] == b"\r\n" else 1)
    headers: Headers = {}
    for name, pieces in fields:
        value = b"\n".join(pieces) if len(pieces) > 1 else pieces[0]
        if len(value) > FIELD_SIZE:
            walk.too_much(f"A header is longer than {FIELD_SIZE} bytes; the rest of it was not read.")
            value = value[:FIELD_SIZE]
        headers.setdefault(name, []).append(value.replace(b"\n", b"").strip())
    return headers, body_at


def _end_of_headers(raw: bytes, start: int, stop: int) -> tuple[int, int]:
    """Return where the first empty line's own end begins and where it ends, -1 and -1 if there is none before *stop*."""
    best, end = -1, -1
    for needle in (b"\n\r\n", b"\n\n", b"\r\r"):
        at = raw.find(needle, start, stop if best < 0 else min(stop, best + len(needle)))
        if at >= 0 and (best < 0 or at < best):
            best, end = at, at + len(needle)
    if best > start and raw[best] == 0x0A and raw[best - 1] == 0x0D:
        best -= 1
    return best, end


def _goes_on(lines: list[bytes], index: int) -> bool:
    """Tell whether headers go on behind a line that is none: a value was broken without an indent."""
    return any(_FIELD.match(one) for one in lines[index + 1 : index + 3])


def _part(headers: Headers, body: bytes, walk: _Walk, default: str) -> _Part:
    """Return a part with its type, name and charset worked out."""
    told = headers.get("content-type", [b""])[0]
    disposed = headers.get("content-disposition", [b""])[0]
    media_type, values = parameters(plain(told[: FILE_NAMES_SIZE * 4], walk.hint)) if told else (default, {})
    disposition, names = parameters(plain(disposed[: FILE_NAMES_SIZE * 4], walk.hint)) if disposed else ("", {})
    name = file_name(names.get("filename") or names.get("name") or values.get("name") or values.get("filename") or "")
    media_type = re.split(r"[\s,\"']", media_type.strip("\"' "), maxsplit=1)[0]
    if not re.fullmatch(r"[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,120}", media_type):
        if told:
            walk.problem("A Content-Type cannot be read.")
        kinds = {"text": "text/plain", "html": "text/html", "multipart": "multipart/mixed"}
        media_type = kinds.get(media_type.strip("/"), "application/octet-stream" if name else default)
    charset = clean_line(values.get("charset", ""))[:60]
    return _Part(headers, body, media_type, values, re.split(r"\s", disposition + " ", maxsplit=1)[0], name, charset)


def _named_charset(raw: bytes) -> str:
    found = _CHARSET.search(raw, 0, 20_000)
    return found[1].decode("ascii") if found else ""


# --- Parts ---


def _walk(part: _Part, walk: _Walk, depth: int, *, whole: bool = False) -> list[_Piece]:
    """Return the words of *part*; its files, reports and calendars are noted in *walk*."""
    if not part.media_type.startswith("multipart/"):
        return _leaf(part, walk, depth, whole=whole)
    if depth >= DEPTH:
        walk.too_much(f"Parts are nested deeper than {DEPTH}; what is inside was not read.")
        return []
    bodies = _split(part, walk)
    if bodies is None:
        walk.problem("A letter of several parts has no boundary between them.")
        part.media_type = "text/plain"
        return _leaf(part, walk, depth, whole=whole)
    kind = part.media_type[10:]
    default = "message/rfc822" if kind == "digest" else "text/plain"
    told: list[tuple[_Part, list[_Piece]]] = []
    for body in bodies:
        if walk.parts >= PARTS:
            walk.too_much(f"The letter has more than {PARTS} parts; the rest were not read.")
            break
        walk.parts += 1
        headers, body_at = _headers(body, walk)
        child = _part(headers, body[body_at:], walk, default)
        told.append((child, _inside(kind, child, told, walk, depth)))
    if kind == "encrypted":
        walk.problem("The letter is encrypted.")
    if kind == "alternative":
        return _best([pieces for _, pieces in told])
    return [piece for _, pieces in told for piece in pieces]


def _inside(kind: str, child: _Part, before: list[tuple[_Part, list[_Piece]]], walk: _Walk, depth: int) -> list[_Piece]:
    """Return the words of a part inside a multipart of *kind*."""
    if (
        kind == "related"
        and child.content_id
        and any(pieces for _, pieces in before)
        and not child.media_type.startswith("multipart/")
    ):
        _keep(child, walk, inline=True)
        return []
    if kind == "alternative" and child.media_type in {"text/x-amp-html", "text/watch-html"}:
        return []
    if kind == "alternative" and child.media_type == "text/calendar" and not child.name:
        walk.calendars.append(text_of(_content(child, walk)[:TEXT_SIZE], child.charset or "utf-8", walk.hint))
        return []
    return _walk(child, walk, depth + 1)


def _best(alternatives: list[list[_Piece]]) -> list[_Piece]:
    """Return one piece for several forms of the same words: the last that is plain, and the last that is HTML."""
    pieces = [piece for form in alternatives for piece in form]
    if len([form for form in alternatives if form]) <= 1:
        return pieces
    texts = [[one for one in form if one.text.strip()] for form in alternatives]
    htmls = [[one for one in form if one.html.strip()] for form in alternatives]
    text = next((form for form in reversed(texts) if form and not any(one.html for one in form)), None)
    html = next((form for form in reversed(htmls) if form), [])
    if text is None:
        text = next((form for form in reversed(texts) if form), [])
    return [
        _Piece("\n".join(one.text for one in text), "\n".join(one.html or _as_html(one.text) for one in html)),
    ]


def _split(part: _Part, walk: _Walk) -> list[bytes] | None:
    """Return the bodies of a multipart, at most as many as may still be read; None if nothing parts them."""
    boundary = part.parameters.get("boundary", "").rstrip()[:400]
    body = part.body
    encoding = _encoding(part)
    if encoding in {"base64", "quoted-printable"} and boundary.encode("latin-1", "ignore") not in body:
        body = _content(part, walk)  # forbidden, and done
    walk.searched += len(body)
    if walk.searched > SEARCHED:
        walk.too_much("Parts are nested too often to be searched.")
        return []
    places = _places(body, boundary.encode("utf-8", "replace"), PARTS - walk.parts + 1) if boundary else []
    if not places and (guessed := _GUESSED_BOUNDARY.search(body, 0, 200_000)):
        walk.problem("The boundary between the parts is not the one that was told.")
        places = _places(body, guessed[1], PARTS - walk.parts + 1)
    if not places:
        return None
    bodies = []
    for index, (_, end, last) in enumerate(places):
        if last:
            break
        stop = places[index + 1][0] if index + 1 < len(places) else len(body)
        bodies.append(body[end:stop])
    if not bodies:  # only the last boundary is there
        bodies = [body[: places[0][0]]]
    elif not any(last for _, _, last in places) and len(places) <= PARTS - walk.parts:
        walk.problem("The letter was cut: its last boundary is missing.")
    return bodies


def _places(body: bytes, boundary: bytes, most: int) -> list[tuple[int, int, bool]]:
    """Return where the boundary stands: from the end of the part before it, to the next part's begin, and whether it is the last."""
    pattern = re.compile(rb"(?:\A|\r?\n|\r)--" + re.escape(boundary) + rb"(--)?[ \t]*+(?=\r|\n|\Z)")
    found: list[tuple[int, int, bool]] = []
    needle, at = b"--" + boundary, 0
    tries = 0
    while len(found) < most:
        at = body.find(needle, at)
        tries += 1
        if at < 0 or tries > 200_000:
            break
        begin = at
        if begin and body[begin - 1 : begin] == b"\n":
            begin -= 1
        if begin and body[begin - 1 : begin] == b"\r":
            begin -= 1
        if (begin < at or at == 0) and (place := pattern.match(body, begin)):
            end = place.end()
            end += 2 if body[end : end + 2] == b"\r\n" else 1
            found.append((begin, min(end, len(body)), place[1] is not None))
            if place[1]:
                break
            # The line end belongs to the next boundary too, when the part between has nothing.
        at += len(needle)
    return found


def _encoding(part: _Part) -> str:
    told = part.headers.get("content-transfer-encoding", [b""])[0][:100].decode("latin-1").lower()
    told = told.replace("-", "").replace("_", "").replace(" ", "")
    if "base64" in told:
        return "base64"
    if "quotedprintable" in told or told == "qp":
        return "quoted-printable"
    return "uuencode" if "uue" in told or told == "xuu" else ""


def _content(part: _Part, walk: _Walk) -> bytes:
    """Return the bytes of a part, decoded from the form in which they travelled."""
    encoding, body = _encoding(part), part.body
    if encoding == "quoted-printable":
        return a2b_qp(body)
    if encoding == "uuencode":
        files = _uuencoded(body)[1]
        return files[0][1] if files else body
    if encoding != "base64":
        return body
    sample = body[:2_000].strip()
    if (
        part.media_type.startswith("text/")
        and (b" " in sample or b"<" in sample)
        and len(re.findall(rb"[^A-Za-z0-9+/=\s]|\w \w", sample)) > 3
    ):
        walk.problem("A text says it is in Base64 and is not.")
        return body
    found = base64_bytes(body)
    if not found and body.strip():
        walk.problem("A part in Base64 cannot be read.")
    return found


def _uuencoded(body: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return *body* without the files that stand in it uuencoded, and those files."""
    rest: list[bytes] = []
    files: list[tuple[str, bytes]] = []
    at = 0
    while len(files) < 100 and (begin := _UU_BEGIN.search(body, max(0, at - 1))):
        end = _UU_END.search(body, begin.end() - 1)
        if end is None:
            break
        lines = body[begin.end() : end.start() + 1].split(b"\n", UU_LINES)[:UU_LINES]
        try:
            if b"begin-base64" in begin[0]:
                content = base64_bytes(b"".join(lines))
            else:
                content = b"".join(a2b_uu(one.rstrip(b"\r")) for one in lines if one.strip())
        except NotEncoded:
            break
        rest.append(body[at : begin.start()])
        files.append((file_name(plain(begin[1])), content))
        at = end.end()
    rest.append(body[at:])
    return b"\n".join(rest) if files else body, files


# --- What is in a part ---


def _leaf(part: _Part, walk: _Walk, depth: int, *, whole: bool) -> list[_Piece]:
    """Return the words of a part that has no parts; or keep it as a file."""
    kind = part.media_type
    if kind in {"message/delivery-status", "message/global-delivery-status"}:
        walk.reports.append(_content(part, walk))
        if part.name:
            _keep(part, walk, inline=False)
        return []
    if kind in {"text/rfc822-headers", "message/global-headers"}:
        walk.originals.append(_content(part, walk))
        if part.name:
            _keep(part, walk, inline=False)
        return []
    if kind in _TNEF or part.name.lower() == "winmail.dat":
        return _bundle(part, walk)
    if kind in {"message/rfc822", "message/global", "message/news"}:
        return _enclosed(part, walk, depth, whole=whole)
    attached = part.disposition == "attachment" or bool(part.name)
    if kind.startswith("text/") and kind not in {"text/calendar", "text/vcard", "text/x-vcard", "text/csv"}:
        if not attached or (whole and kind in {"text/plain", "text/html"}):
            if attached and part.disposition == "attachment":
                _keep(part, walk, inline=False)
            return [piece] if (piece := _piece(part, walk)).text or piece.html else []
        if kind in {"text/plain", "text/html"} and part.disposition != "attachment" and len(walk.spare) < 10:
            walk.spare.append(part)
    if kind in {"text/calendar", "application/ics"}:
        walk.calendars.append(text_of(_content(part, walk)[:TEXT_SIZE], part.charset or "utf-8", walk.hint))
    if not part.body.strip() and not part.name and part.disposition != "attachment":
        return []
    _keep(part, walk, inline=bool(part.content_id) and part.disposition != "attachment")
    return []


def _piece(part: _Part, walk: _Walk) -> _Piece:
    """Return the words of a text."""
    if len(part.body) > 8 * TEXT_SIZE:
        walk.too_much(f"A text is longer than {TEXT_SIZE} bytes; the rest of it was not read.")
        part.body = part.body[: 8 * TEXT_SIZE]
    raw = _content(part, walk)
    if b"\nbegin " in raw or raw.startswith(b"begin ") or b"\nbegin-base64 " in raw:
        raw, files = _uuencoded(raw)
        for name, content in files:
            walk.files.append(File(name or f"file-{len(walk.files) + 1}.bin", _by_name(name), content, "", False))
    if walk.words + len(raw) > 2 * TEXT_SIZE or len(raw) > TEXT_SIZE:
        walk.too_much(f"A text is longer than {TEXT_SIZE} bytes; the rest of it was not read.")
        raw = raw[: min(TEXT_SIZE, max(0, 2 * TEXT_SIZE - walk.words))]
    walk.words += len(raw)
    charset = part.charset
    is_html = part.media_type in {"text/html", "application/xhtml+xml"}
    beginning = raw[:300].lstrip().lower()
    if part.media_type == "text/plain" and beginning.startswith((b"<!doctype html", b"<html")):
        is_html = True
    if is_html and not charset:
        charset = _named_charset(raw[:4_000])
    text = text_of(raw, charset, walk.hint)
    if is_html:
        return _Piece(html=text)
    if part.media_type in {"text/enriched", "text/richtext"}:
        return _Piece(text=re.sub(r"<{1,2}/?[^<>\n]{0,100}>", lambda found: "<" if found[0] == "<<" else "", text))
    if part.media_type in {"text/rtf", "application/rtf"}:
        return _Piece(text=rtf_text(decode(raw, "iso-8859-1") if not raw.isascii() else raw.decode("ascii")))
    return _Piece(text=text)


def _keep(part: _Part, walk: _Walk, *, inline: bool) -> None:
    name = part.name or f"file-{len(walk.files) + 1}.{_ENDINGS.get(part.media_type, 'bin')}"
    walk.files.append(File(name, part.media_type, _content(part, walk), part.content_id, inline))


def _enclosed(part: _Part, walk: _Walk, depth: int, *, whole: bool) -> list[_Piece]:
    """Keep a letter inside the letter as a file; where it is all there is, its words are the words."""
    content = _content(part, walk).lstrip(b"\r\n")
    headers, body_at = _headers(content, walk)
    walk.originals.append(content[:body_at])
    subject = line(headers["subject"][0], walk.hint) if "subject" in headers else ""
    name = part.name or (file_name(subject)[:100].strip(" .") or f"file-{len(walk.files) + 1}") + ".eml"
    walk.files.append(File(name, part.media_type, content, part.content_id, False))
    if not whole or depth >= DEPTH:
        return []
    walk.parts += 1
    return _walk(_part(headers, content[body_at:], walk, "text/plain"), walk, depth + 1)


def _bundle(part: _Part, walk: _Walk) -> list[_Piece]:
    content = _content(part, walk)
    bundle = unpack(content)
    for one in bundle.files:
        name = one.name or f"file-{len(walk.files) + 1}.{_ENDINGS.get(one.media_type, 'bin')}"
        walk.files.append(File(name, one.media_type or _by_name(name), one.content, one.content_id, bool(one.content_id)))
    if not (bundle.files or bundle.text or bundle.html):
        walk.problem("A winmail.dat cannot be read.")
        walk.files.append(File(part.name or "winmail.dat", part.media_type, content, part.content_id, False))
    elif walk.words == 0:
        return [_Piece(bundle.text, bundle.html)]
    return []


def _by_name(name: str) -> str:
    ending = name.rpartition(".")[2].lower()
    return next((kind for kind, one in _ENDINGS.items() if one == ending), "application/octet-stream")


def _spare_text(walk: _Walk) -> list[_Piece]:
    """Return the words of the first text that has a name and was not attached: it stays a file too."""
    for part in walk.spare:
        piece = _piece(part, walk)
        if piece.text.strip() or piece.html.strip():
            return [piece]
    return []


def _joined(pieces: list[_Piece]) -> tuple[str, str]:
    """Return the words of all pieces in their order: as text, and as HTML if any of them is."""
    texts: list[str] = []
    htmls: list[str] = []
    some_html = any(piece.html.strip() for piece in pieces)
    left = WORDS_CAP
    for piece in pieces:
        text = piece.text
        if not text.strip() and piece.html:
            text = to_text(piece.html[:left])
            left = max(0, left - len(piece.html))
            if texts and _letters(text) == _letters(texts[-1]):  # two forms of one text, and nothing that says so
                text = ""
                if htmls:
                    htmls.pop()
        if text.strip():
            texts.append(text)
        if some_html and (piece.html or piece.text.strip()):
            htmls.append(piece.html or _as_html(piece.text))
    return clean_text("\n".join(texts) if len(texts) < 2 else "\n".join(text.rstrip("\n") for text in texts)), "\n".join(htmls)


def _letters(text: str) -> str:
    return re.sub(r"[\W_]+", "", text[: TEXT_SIZE // 10])


def _as_html(text: str) -> str:
    return f'<div style="white-space: pre-wrap">{escape(text)}</div>'


# --- Invitations ---

_CALENDAR_LINE = re.compile(r"([A-Za-z-]{1,40})((?:;[^:\"\n]{0,200}|;[^:\"\n=]{1,40}=\"[^\"\n]{0,300}\"){0,10}):(.*)\Z")


def _calendar(text: str) -> Calendar | None:
    """Return the first event of an iCalendar text, None if there is none."""
    found: dict[str, str] = {}
    inside = ""
    for one in re.sub(r"\n[ \t]", "", text[:200_000]).split("\n")[:5_000]:
        told = _CALENDAR_LINE.match(one.strip()[:4_000])
        if told is None:
            continue
        name, value = told[1].upper(), told[3].strip()
        if name == "BEGIN":
            inside = value.upper()
        elif name == "END":
            if value.upper() == "VEVENT":
                break
            inside = ""
        elif inside == "VEVENT" or name == "METHOD":
            if name == "ORGANIZER":
                value = re.sub(r"(?i)\Amailto:", "", value)
            found.setdefault(name, clean_line(re.sub(r"\\[nN]", " ", value).replace("\\,", ",").replace("\\;", ";"))[:500])
    if not found:
        return None
    return Calendar(
        found.get("METHOD", "").upper(),
        found.get("SUMMARY", ""),
        found.get("DTSTART", ""),
        found.get("DTEND", ""),
        found.get("ORGANIZER", ""),
    )
