"""What it takes to read a letter: the median of ordinary ones, and the worst of those that are made to hurt."""

from __future__ import annotations

import time
from base64 import b64encode
from email.header import Header
from email.message import EmailMessage

from channels.mail.mime import read
from tests.bench.measure import Report, median, progress
from tests.channels.mail.hostile import HOSTILE

ROUNDS = 3
LETTERS = 200
WORDS = "Здравствуйте! Когда будет готов мой заказ? Это уже не первый раз, и я жду ответа до пятницы. "


def run(report: Report) -> None:
    """Report `mail_parse_median_ms` and `mail_parse_worst_ms`."""
    ordinary = [letter(number) for number in range(LETTERS)]
    taken = [median([milliseconds(raw) for raw in ordinary]) for _ in range(ROUNDS)]
    report("mail_parse_median_ms", median(taken), "ms")
    worst = 0.0
    for name, make in HOSTILE.items():
        raw = make()
        took = median([milliseconds(raw) for _ in range(ROUNDS)])
        progress(f"   {name}: {took:,.0f} ms")
        worst = max(worst, took)
    report("mail_parse_worst_ms", worst, "ms")


def milliseconds(raw: bytes) -> float:
    """Return how long it takes to read *raw*."""
    begun = time.perf_counter()
    read(raw)
    return (time.perf_counter() - begun) * 1_000


def letter(number: int) -> bytes:
    """Return an ordinary letter: of four kinds, as people's programs write them."""
    match number % 4:
        case 0:
            head = (
                f"From: {Header('Анна Иванова', 'koi8-r').encode()} <ann{number}@example.com>\r\nTo: help@example.com\r\n"
                f"Subject: {Header('Вопрос о заказе', 'koi8-r').encode()}\r\nMessage-ID: <{number}@example.com>\r\n"
                "Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            )
            return head.encode() + (WORDS * 6).encode("koi8-r")
        case 1:
            return _made(number, html=True).as_bytes()
        case 2:
            return _made(number, html=True, attached=60_000).as_bytes()
    quoted = "\n".join(f"> {WORDS}" for _ in range(30))
    mail = _made(number)
    mail.set_content(f"{WORDS}\n\n12 марта 2026 г., 10:00, Служба поддержки <help@example.com> пишет:\n{quoted}\n")
    return mail.as_bytes()


def _made(number: int, *, html: bool = False, attached: int = 0) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"Анна Иванова <ann{number}@example.com>"
    mail["To"] = "help@example.com"
    mail["Subject"] = "Re: вопрос о заказе"
    mail["Message-ID"] = f"<{number}@example.com>"
    mail["References"] = " ".join(f"<{one}@example.com>" for one in range(number, number + 8))
    mail.set_content(WORDS * 6)
    if html:
        mail.add_alternative(f"<html><body>{f'<p>{WORDS}<b>!</b></p>' * 10}</body></html>", subtype="html")
    if attached:
        mail.add_attachment(
            b64encode(bytes(range(256))) * (attached // 344), maintype="application", subtype="pdf", filename="счёт.pdf"
        )
    return mail
