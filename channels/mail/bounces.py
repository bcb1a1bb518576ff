"""Reports that a letter was not delivered: those of RFC 3464, and those that mail servers put in words of their own.

A report in words counts only when its sender is a mail server's program: people quote such texts when they ask for help.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from channels.mail.charsets import clean_line
from channels.mail.letters import Address, Bounce, Returned, Signs
from channels.mail.words import first_id, line

RECIPIENTS = 100
TEXT_CAP = 60_000
DIAGNOSTIC = 500

_ADDRESS = r"[A-Za-z0-9!#$%&*+/=?^_`{|}~.'-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}"
_DAEMON = re.compile(
    r"(?:mailer-?daemon|mail-?daemon|postmaster|mdaemon|mail[-_.]?(?:delivery|system|administrator)"
    r"|microsoftexchange\w*|mailerror|bounce[-+.\w]*"
    r"|double-?bounce|smtpd?|mmdf|uucp|maildelivery|)\Z",
    re.IGNORECASE,
)
_DAEMON_NAME = re.compile(
    r"mail(?:er)? ?(?:delivery|system|daemon)|mailer-daemon|postmaster|system administrator"
    r"|почтов\w+ (?:система|служба)|microsoft outlook",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"undeliver|non[- ]?delivery|not delivered|delivery (?:status|fail|notif|report|problem|error|delay"
    r"|incomplete|has)|failure notice|delivery.{0,20}failure"
    r"|returned (?:mail|to sender)|mail (?:delivery|could not|failure|system error)|message (?:delivery|status"
    r"|not|delayed|you sent)|failed mail"
    r"|could not (?:send|be delivered)|unable to deliver|undeliverable|bounce|warning: (?:message|could not)"
    r"|nondeliverable|user unknown|rejected"
    r"|недостав|не ?доставлен|сбой доставки|ошибка доставки|возврат|невозможно доставить|не удалось доставить|отчет о доставке"
    r"|unzustellbar|non remis|échec|rückläufer|devuelto|no se (?:ha )?(?:puede|podido)|niedostarczon|zwrot|недоставено",
    re.IGNORECASE,
)
_DECLARED = re.compile(
    r"(?:undeliver(?:able|ed)|(?:mail )?delivery (?:failure|failed|status notification)|returned mail"
    r"|mail (?:delivery failed|could not be delivered)"
    r"|failure notice|non-?delivery)\b",
    re.IGNORECASE,
)
_DELAYED = re.compile(
    r"delayed|will (?:continue|keep|be retried)|still (?:being )?(?:trying|retr)|warning (?:message )?only"
    r"|you do not need to resend"
    r"|not yet been delivered|has been delayed|temporar\w+ (?:problem|fail)\w*.{0,80}will|отложен|задерж"
    r"|попытки доставки (?:будут )?продолж",
    re.IGNORECASE | re.DOTALL,
)
_FATAL = re.compile(
    r"permanent|fatal|giving up|failed permanently|could not be delivered|undeliverable|not delivered"
    r"|user unknown|5\.\d{1,3}\.\d{1,3}|\b55\d\b",
    re.IGNORECASE,
)
_WORDS = re.compile(
    r"could ?n[o']?t be (?:delivered|reached|sent)|wasn't delivered|was not delivered|not (?:able"
    r"|possible) to (?:be )?deliver|unable to (?:be )?deliver|delivery .{0,60}(?:failed|failure|fail)"
    r"|failed (?:permanently|addresses)|permanent (?:fatal )?error|undeliverable|not be delivered"
    r"|did not reach|delivery attempt|user unknown|unknown user"
    r"|unknown or illegal|mailbox (?:unavailable|not found|full|is full|quota)|recipient.{0,40}(?:not found"
    r"|rejected|unknown|reached)|address.{0,40}(?:not found|failed|rejected|unknown|error)"
    r"|no such (?:user|mailbox|address)|returned (?:to sender|mail)|delayed|qmail-send|transcript of session"
    r"|couldn't be|cannot be (?:delivered|reached|sent)|not deliver"
    r"|не (?:может|могло) быть (?:доставлено|отправлено)|не (?:было |удалось )?достав|сбой доставки|не удалось"
    r"|недоставлен|не существует",
    re.IGNORECASE,
)
_COPY = re.compile(
    r"^[ \t>]*(?:-{2,}[ -]*(?:This is a copy|Below this line|Original message|The (?:header|body)"
    r"|Unsent message|Message (?:header|text|follows|contains)|Returned message|Enclosed is a copy|Copy of)"
    r"|-+ ?(?:Unsent|Returned|Original) (?:message|mail)|={3,} ?(?:Original|Returned)|Original message headers"
    r"|Исходное сообщение|Заголовки исходного|(?:Received|Return-Path|X-Received|DKIM-Signature|Message-ID): )",
    re.IGNORECASE | re.MULTILINE,
)
# In the order of trust: an address with its error behind it, one alone on a line or in brackets, one that words point at.
_NAMED = (
    re.compile(rf"^[ \t]*<({_ADDRESS})>[ \t]*(?:\([^)\n]{{0,200}}\)[ \t]*)?[:.]", re.MULTILINE),
    re.compile(
        rf"^[ \t]*(?:\.{{3}} while talking to .*\n(?:>>>.*\n)?(?:<<<.*\n)?)?5\d\d[ \t]+"
        rf"(?:\d\.\d{{1,3}}\.\d{{1,3}}[ \t]+)?<({_ADDRESS})>", re.MULTILINE),
    re.compile(
        rf"^[ \t]*(?:RCPT TO:|recipient:|recipient address:|failed recipient:|e-?mail:|user:"
        rf"|address:)[ \t]*<?({_ADDRESS})>?", re.IGNORECASE | re.MULTILINE),
    re.compile(
        rf"^[ \t*]*(?:[^\n<>()@]{{1,60}}[<(])?({_ADDRESS})[>)]?(?:<mailto:[^>\n]*>)?[ \t*]*(?:$|[:;,]|[ \t]+(?:on"
        rf"|\.\.\.|-|—|\()|[ \t]{{2,}})", re.MULTILINE),
    re.compile(rf"^[ \t]*<({_ADDRESS})>[ \t]*", re.MULTILINE),
    re.compile(
        rf"(?:deliver(?:ed)?(?: your message)? to|to|user|mailbox|address(?:es)?|recipient(?:\(s\)|s)?|for|адресату"
        rf"|получателю|адрес)(?!\w)[ \t]*:?[ \t\n]*[<\"'(]?({_ADDRESS})", re.IGNORECASE),
    re.compile(rf"<({_ADDRESS})>"),
    re.compile(rf"(?<![\w.+-])({_ADDRESS})"),
)  # fmt: skip
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
_CODE = re.compile(
    r"(?<![\d.#-])(?:[45][0-5]\d)[ -](?=\S)|#?(?<![\d.])5\.\d\.\d{1,3}(?![\d.])|(?i:unknown|quota|rejected"
    r"|denied|not found|disabled)"
)
_ORIGINAL = re.compile(r"^[ \t>]*Message-ID:[ \t\r\n]*(<[^<>\s]{1,400}>)", re.IGNORECASE | re.MULTILINE)
_FIELD = re.compile(rb"^([A-Za-z-]{1,40})[ \t]*:[ \t]*((?:.*)(?:\r?\n[ \t].*){0,40})", re.MULTILINE)


def bounce_of(
    *,
    signs: Signs,
    sender: Address,
    subject: str,
    text: str,
    reports: Sequence[bytes],
    originals: Sequence[bytes],
    own: Sequence[str] = (),
) -> Bounce | None:
    """Return what a letter reports as not delivered, None if it is no such report.

    *reports* are its parts of type message/delivery-status, *originals* the returned letters or their headers, *own* the
    addresses that it was sent to: those have not failed.
    """
    original = _original(originals, text)
    if reports:
        found, told = _reported(reports)
        if found:
            return Bounce(found, original)
        if told:  # it tells of delivery, relaying or expansion
            return None
    return _in_words(signs, sender, subject, text, original, {address.lower() for address in own}, report=bool(reports))


def _reported(reports: Sequence[bytes]) -> tuple[tuple[Returned, ...], bool]:
    """Return the recipients who got nothing, and whether there were any of whom something was told."""
    found: dict[str, Returned] = {}
    told = False
    for report in reports:
        for block in re.split(rb"\r?\n[ \t]*(?:\r?\n)+", report[:200_000])[: RECIPIENTS + 1]:
            fields: dict[bytes, str] = {}
            for name, value in _FIELD.findall(block):
                fields.setdefault(name.lower(), re.sub(r"\s+", " ", line(value)))
            # The original one is whom we wrote to: the final one may be the name of a mailbox behind it.
            address = _recipient(fields.get(b"original-recipient", ""))
            final = _recipient(fields.get(b"final-recipient", ""))
            address = address if "." in address.partition("@")[2] else final or address
            if not address:
                continue
            told = True
            status = _first(_STATUS, fields.get(b"status", ""))
            diagnostic = re.sub(r"\A\s*(?:smtp|x-\S+)\s*;\s*", "", fields.get(b"diagnostic-code", ""), flags=re.IGNORECASE)
            action = (fields.get(b"action", "").split() or [""])[0].lower().strip(";,.")
            if action not in {"failed", "delayed", "delivered", "relayed", "expanded"}:
                action = "delayed" if status.startswith("4") else "delivered" if status.startswith("2") else "failed"
            if action in {"failed", "delayed"}:
                found.setdefault(address.lower(), Returned(address, action, status, diagnostic[:DIAGNOSTIC]))
    return tuple(found.values()), told


def _recipient(value: str) -> str:
    address = value.rsplit(";", 1)[-1].strip().strip("<>\"' ")
    found = re.search(_ADDRESS, address)
    return found[0] if found else (address if "@" in address and " " not in address else "")


def _in_words(
    signs: Signs, sender: Address, subject: str, text: str, original: str, own: set[str], *, report: bool
) -> Bounce | None:
    local = sender.address.partition("@")[0]
    failed = re.findall(_ADDRESS, signs.x_failed_recipients)[:RECIPIENTS]
    daemon = bool(_DAEMON.match(local) or _DAEMON_NAME.search(sender.name))
    mailer = local.lower().replace("-", "") == "mailerdaemon"
    declared = bool(_DECLARED.match(subject)) and bool(_WORDS.search(text[:800]))
    if not (daemon or failed or report or declared or signs.return_path == ""):
        return None
    if not (daemon or failed or report) and (signs.list_id or signs.precedence == "list"):
        return None
    copy = _COPY.search(text[:TEXT_CAP], 1)
    body = text[: copy.start() if copy and text[: copy.start()].strip() else TEXT_CAP][:TEXT_CAP]
    spoken = bool(_WORDS.search(body))
    titled = bool(_SUBJECT.search(subject))
    # A null return path and words that anybody may use are not enough: an absence note has as much.
    if not (
        failed or report or mailer or declared or (daemon and (titled or (spoken and _CODE.search(body)))) or (titled and spoken)
    ):
        return None
    delayed = bool(_DELAYED.search(body) or re.search(r"delay|warning|отлож|задерж", subject, re.IGNORECASE)) and not (
        _FATAL.search(body) and not re.search(r"delay|warning|отлож|задерж", subject, re.IGNORECASE)
    )
    found: dict[str, Returned] = {}
    general = _first(_STATUS, body)
    for address, at in _recipients(body, failed, own | {sender.address.lower()}):
        if len(found) < RECIPIENTS and address.lower() not in found:
            diagnostic = _behind(body, at)
            status = _first(_STATUS, diagnostic) or general
            action = "delayed" if delayed or status.startswith("4") else "failed"
            found[address.lower()] = Returned(address, action, status, diagnostic)
    return Bounce(tuple(found.values()), original)


def _recipients(body: str, failed: Sequence[str], own: set[str]) -> list[tuple[str, int]]:
    if failed:
        return [(address, max(0, body.find(address)) + len(address)) for address in failed]
    for pattern in _NAMED:
        found = []
        for one in pattern.finditer(body):
            address = one[1].strip(".'")
            local, _, domain = address.partition("@")
            if address.lower() in own or _DAEMON.match(local) or domain.replace(".", "").isdigit():
                continue
            found.append((address, one.end(1)))
        if found:
            return found
    return []


def _behind(body: str, at: int) -> str:
    """Return the words that follow an address: the reason, as far as one paragraph goes."""
    rest = re.sub(r"\A>?<mailto:[^>\n]{0,300}>", "", body[at : at + 1_000]).lstrip('>:;.)*" \t\r\n')
    paragraph = re.split(r"\n[ \t]*\n", rest, maxsplit=1)[0]
    return clean_line(re.sub(r"\s+", " ", paragraph))[:DIAGNOSTIC]


def _original(originals: Sequence[bytes], text: str) -> str:
    for raw in originals:
        for name, value in _FIELD.findall(raw[:100_000]):
            if name.lower() == b"message-id":
                return first_id(line(value))
    found = _ORIGINAL.findall(text[:TEXT_CAP])
    return first_id(found[-1]) if found else ""


def _first(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.search(text)
    return found[1] if found else ""
