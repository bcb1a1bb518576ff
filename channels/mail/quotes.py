"""A letter's words without what was quoted: the answer is shown, the rest is folded, nothing is dropped.

The lines by which programs introduce a quote are known for Russian and English, and for German, French, Polish, Bulgarian,
Spanish and Italian. Where answers stand between quotes everything is shown: apart, neither would make sense.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

CAP = 200_000
"""Of so many characters the lines are looked at; what follows goes with the last of them."""
LINE_CAP = 400
"""A longer line introduces nothing."""
SIGNATURE_LINES = 15


@dataclass(frozen=True, slots=True)
class Folded:
    """The parts of a text; together they have each of its characters once. *shown* has words if the text has any."""

    shown: str
    quoted: str
    signature: str


_MONTH = (
    r"(?:янв|фев|мар|апр|ма[йя]|июн|июл|авг|сен|окт|ноя|дек|яну|юни|юли|ное|jan|feb|mar|apr|may|mai|jun|jul"
    r"|aug|sep|oct|okt|nov|dec|dez"
    r"|janv|févr|mars|avr|juin|juil|août|déc|sty|lut|kwi|maj|cze|lip|sie|wrz|paź|lis|gru|ene|abr|ago|dic|gen"
    r"|mag|giu|lug|set|ott)[^\W\d_]*"
)
_WHEN = re.compile(
    rf"\d{{1,2}}[./-]\d{{1,2}}[./-](?:\d{{4}}|\d\d\b)|\d{{4}}-\d\d-\d\d|\d{{1,2}}\.?\s+(?:de\s+)?{_MONTH}"
    rf"|{_MONTH}\s+\d{{1,2}}|\d{{1,2}}:\d\d", re.IGNORECASE)  # fmt: skip
_ADDRESS = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]{1,200}")
_WROTE = re.compile(
    r"(?:wrote|writes|said|пишет|писал(?:\(а\)|а)?|написал(?:\(а\)|а|и)?|писав|пише|написав|schrieb\b.{0,200}"
    r"|a\s+écrit|napisał(?:\(a\)|a)?"
    r"|pisze|написа|escribió|ha\s+scritto|escreveu|skrev|schreef)\s*[:：]\s*\Z",
    re.IGNORECASE,
)
# Gmail and Yandex in Russian say no verb: `пн, 2 дек. 2024 г. в 10:15, Иван <i@x.ru>:` and `02.12.2024, 10:15, "Иван" <i@x.ru>:`.
_NO_VERB = re.compile(
    rf"(?:[^\W\d_]{{2,12}}[.,]*\s+)?(?:\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|\d{{4}}-\d\d-\d\d"
    rf"|\d{{1,2}}\s+{_MONTH}\.?,?\s+\d{{4}}).{{0,200}}[<(]?\S+@\S+[>)]?\s*:\s*\Z",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"(?:On|Am|Le|El|Il|W dniu|Dnia|На|В|Em|Op|Den|Вы писали|You wrote|\d|[^\W\d_]{2,12}[.,])", re.IGNORECASE)
_RULED = re.compile(
    r"\s*[-_=*]{2,}\s*(?:Original Message|Original Appointment|Forwarded message|Forwarded by .{1,80}|Reply message|Reply above"
    r"|Исходное сообщение|Первоначальное сообщение|Пересылаемое сообщение|Пересланное сообщение|Перенаправленное сообщение"
    r"|Начало переадресованного сообщения|Конец пересылаемого сообщения|Ursprüngliche Nachricht"
    r"|Originalnachricht|Weitergeleitete Nachricht"
    r"|Message d['’]origine|Message transféré|Message original|Wiadomość oryginalna|Oryginalna wiadomość"
    r"|Treść przekazanej wiadomości"
    r"|Оригинално съобщение|Препратено съобщение|Mensaje original|Mensaje reenviado|Messaggio originale"
    r"|Исходно сообщение)\s*[-_=*]{0,}\s*\Z"
    r"|\s*(?:Begin forwarded message|Начало переадресованного сообщения|Начало пересылаемого сообщения)\s*:\s*\Z",
    re.IGNORECASE,
)
_FIELD = re.compile(
    r"\s*\*?(?P<name>From|Sent|Date|To|Cc|Subject|Reply-To|От|От кого|Отправлено|Дата|Кому|Копия|Тема|Когда"
    r"|Отправитель|Получатель|Von|Gesendet|Datum|An|Betreff"
    r"|De|Envoyé|À|Objet|Od|Wysłano|Do|DW|Temat|Data|Изпратено|До|Относно|Enviado(?: el)?|Para|Asunto|Da"
    r"|Inviato|A|Oggetto|Fecha)\s*:\s*\*?",
    re.IGNORECASE,
)
_OPENS = frozenset([*"from от von de od da отправитель кому date дата".split(), "от кого"])
_RULE = re.compile(r"\s*[_-]{8,}\s*\Z")
_ABOVE = re.compile(
    r"\s*(?:[-#=*~> ]*)(?:(?:please )?(?:reply|write|type your reply) above this line"
    r"|пожалуйста,? (?:отвечайте|пишите) выше этой (?:линии|строки|черты)"
    r"|ответьте выше этой линии|не удаляйте (?:эту|данную) строку|напишите (?:ваш )?ответ выше этой (?:линии|строки))",
    re.IGNORECASE,
)
_SENT_FROM = re.compile(
    r"(?:Sent from (?:my |Mail for |Outlook|Yahoo|Yandex|Proton|Samsung|Windows|the )|Get Outlook for "
    r"|Sent (?:via|with) |Отправлено (?:с|из|от|через|мобильн)"
    r"|Послано (?:с|из)|Надіслано (?:з|із)|Von meinem .{1,40} gesendet|Gesendet (?:von|mit) |Envoyé (?:de"
    r"|depuis) |Wysłan[eoy] z |Изпратен[оа] от "
    r"|Enviado (?:desde|do) |Inviato da(?:l)? )",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"[ \t]{0,3}(?:>|&gt;|[A-ZА-Я]{1,3}>)")
_DASHES = re.compile(r"[ \t\xa0]*(?:--|—|––)[ \t\xa0]*\Z")


def fold(text: str) -> Folded:
    """Return *text* in its parts; it takes time in proportion to its length."""
    if not text.strip():
        return Folded(text, "", "")
    lines = text[:CAP].splitlines(keepends=True)
    if len(text) > CAP:
        lines[-1] += text[CAP:]
    begin, end = _quote(lines)
    answer, after = lines[:begin], lines[end:]
    if any(_words(line) for line in answer):
        answer, signature = _signed(answer)
        after, below = _signed(after)
        if not any(_words(line) for line in answer + after):
            return Folded(text, "", "")
        return Folded("".join(answer + after), "".join(lines[begin:end]), "".join(signature + below))
    after, signature = _signed(after)
    if not any(_words(line) for line in after):
        return Folded(text, "", "")
    return Folded("".join(answer + after), "".join(lines[begin:end]), "".join(signature))


def _words(line: str) -> bool:
    return not line.isspace() and line != ""


def _quote(lines: list[str]) -> tuple[int, int]:
    """Return where the quote begins and ends; nothing, at the end, where there is none or it has answers in it."""
    nothing = (len(lines), len(lines))
    blocks = _blocks(lines)
    for index, line in enumerate(lines):
        if blocks and index >= blocks[0][0]:
            break
        if not (introduced := _introduces(lines, index, line)):
            continue
        kind, length = introduced
        following = index + length
        while following < len(lines) and not _words(lines[following]):
            following += 1
        if kind == "rest" or following >= len(lines):
            return index, len(lines)
        if not blocks or blocks[0][0] != following:
            # The quote has no marks of its own, and goes to the end.
            if kind == "sure":
                return index, len(lines)
            continue
        return nothing if len(blocks) > 1 else (index, blocks[0][1])
    if len(blocks) != 1:
        return nothing
    begin, end = blocks[0]
    return (begin, end) if end - begin < len(lines) else nothing


def _blocks(lines: list[str]) -> list[tuple[int, int]]:
    """Return where lines with quotation marks stand together, empty lines and lines that a program has wrapped between them."""
    blocks: list[tuple[int, int]] = []
    begin = last = -1
    for index, line in enumerate(lines):
        if _QUOTED.match(line):
            begin = index if begin < 0 else begin
            last = index
        elif begin >= 0 and _words(line) and not _wrapped(lines, index):
            blocks.append((begin, last + 1))
            begin = -1
    if begin >= 0:
        blocks.append((begin, last + 1))
    return blocks


def _wrapped(lines: list[str], index: int) -> bool:
    """Tell whether a line is the end of a quoted one that was too long for a program, in the middle of a quote."""
    return (
        len(lines[index]) < 40
        and len(lines[index - 1]) >= 60
        and bool(_QUOTED.match(lines[index - 1]))
        and index + 1 < len(lines)
        and bool(_QUOTED.match(lines[index + 1]))
    )


def _introduces(lines: list[str], index: int, line: str) -> tuple[str, int] | None:
    """Return what kind of quote line *index* introduces and in how many lines, or None.

    rest: all that follows is quoted. sure: so is what follows, unless it has marks. marked: only what has marks.
    """
    if len(line) > LINE_CAP or not _words(line):
        return None
    bare = line.strip().lstrip("*").rstrip("*")
    if _RULED.match(line) or _ABOVE.match(line):
        return "rest", 1
    if _RULE.match(line):
        return ("rest", 1) if _header(lines, index + 1, 2) else None
    if _FIELD.match(line) and _header(lines, index, 3):
        return "rest", 1
    if bare.endswith((":", "：")) or _BEGINS.match(bare):
        for length in (1, 2, 3):  # the line may have been wrapped
            piece = " ".join(one.strip() for one in lines[index : index + length])
            if len(piece) > LINE_CAP or (length > 1 and not _words(lines[min(index + length, len(lines)) - 1])):
                return None
            if not piece.endswith((":", "：")):
                continue
            if _NO_VERB.match(piece):
                return "sure", length
            if _WROTE.search(piece):
                told = _WHEN.search(piece), _ADDRESS.search(piece)
                if _BEGINS.match(piece) or all(told):
                    return ("sure" if all(told) or (told[0] and length == 1 and len(piece) < 160) else "marked"), length
                return "marked", length
            return None
    return None


def _header(lines: list[str], index: int, least: int) -> bool:
    """Tell whether a block of fields such as From, Sent, To begins at *index*, at least so many of them."""
    while index < len(lines) and not _words(lines[index]):
        index += 1
    names: set[str] = set()
    first = ""
    for line in lines[index : index + 14]:
        if len(line) > 4 * LINE_CAP:
            break
        if (found := _FIELD.match(line)) is None:
            if not _words(line) and (not names or len(names) >= least):
                break
            if not names:
                break
            continue
        name = found["name"].lower()
        first = first or name
        names.add(name)
    return first in _OPENS and len(names) >= least


def _signed(lines: list[str]) -> tuple[list[str], list[str]]:
    """Return *lines* without the signature at their end, and the signature."""
    last = len(lines)
    for index in range(max(0, len(lines) - 60), len(lines)):
        line = lines[index]
        if _DASHES.match(line.rstrip("\n")) and sum(map(_words, lines[index + 1 :])) <= SIGNATURE_LINES:
            return lines[:index], lines[index:]
        if len(line) < 160 and _SENT_FROM.match(line.strip()) and sum(map(_words, lines[index + 1 :])) <= 2:
            last = index
            break
    return lines[:last], lines[last:]
