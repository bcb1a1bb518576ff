"""Reports of letters that were not delivered, in the forms that mail servers have for them."""

from __future__ import annotations

import pytest

from channels.mail.mime import read

REPORT = """From: Mail Delivery System <MAILER-DAEMON@mx.x.ru>
To: support@x.ru
Subject: Undelivered Mail Returned to Sender
Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b
Content-Type: text/plain; charset=utf-8

It did not arrive.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.x.ru

Final-Recipient: rfc822; ann@y.ru
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 5.1.1 no such
 user

Final-Recipient: rfc822; bob@y.ru
Action: relayed
Status: 2.0.0
--b
Content-Type: text/rfc822-headers

From: support@x.ru
Message-ID: <t.abc.1@x.ru>
--b--
"""


@pytest.mark.parametrize(("action", "status"), [("failed", "5.1.1"), ("delayed", "4.4.1")])
def test_a_report_by_the_rules_tells_who_why_and_of_which_letter(action, status):
    """Only of those who got nothing."""
    bounce = read(REPORT.format(action=action, status=status).encode()).bounce

    assert bounce is not None
    assert [(one.address, one.action, one.status, one.diagnostic) for one in bounce.recipients] == [
        ("ann@y.ru", action, status, "550 5.1.1 no such user")
    ]
    assert bounce.original_message_id == "t.abc.1@x.ru"


def test_a_report_of_delivery_is_no_bounce():
    """All is well."""
    assert read(REPORT.format(action="delivered", status="2.0.0").encode()).bounce is None


def letter(sender: str, subject: str, text: str, more: str = "") -> bytes:
    """Return a letter in words."""
    return f"From: {sender}\nTo: support@x.ru\nSubject: {subject}\n{more}\n{text}".encode()


WORDS = {
    "exim": letter(
        "Mail Delivery System <Mailer-Daemon@mx>",
        "Mail delivery failed: returning message to sender",
        "A message that you sent could not be delivered to one or more of its recipients.\n\n  ann@y.ru\n    550 5.1.1 no such user\n"
        "\n------ This is a copy of the message ------\n\nMessage-ID: <1@x.ru>\nTo: bob@z.ru\n",
        "X-Failed-Recipients: ann@y.ru\n",
    ),
    "postfix": letter(
        "MAILER-DAEMON@mx (Mail Delivery System)",
        "Undelivered Mail Returned to Sender",
        "This is the mail system at host mx.\n\n<ann@y.ru>: host mx.y.ru said: 550 5.1.1 no such user\n\nMessage-ID: <1@x.ru>\n",
    ),
    "qmail": letter(
        "MAILER-DAEMON@mx",
        "failure notice",
        "Hi. This is the qmail-send program at mx.\n\n<ann@y.ru>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n"
        "--- Below this line is a copy of the message.\n\nMessage-ID: <1@x.ru>\n",
    ),
    "exchange": letter(
        "Microsoft Outlook <MicrosoftExchange329e@y.ru>",
        "Undeliverable: Hello",
        "Delivery has failed to these recipients or groups:\n\nann@y.ru<mailto:ann@y.ru>\nThe address was not found.\n\n"
        "Diagnostic information for administrators:\n#550 5.1.1 RESOLVER.ADR.RecipNotFound\n\n"
        "Original message headers:\n\nMessage-ID: <1@x.ru>\n",
    ),
    "exchange, russian": letter(
        "postmaster@y.ru",
        "Недоставлено: Заявка",
        "Сбой доставки следующим получателям или группам:\n\nann@y.ru\nАдрес не найден. 5.1.1\n\nMessage-ID: <1@x.ru>\n",
    ),
    "gmail": letter(
        "Mail Delivery Subsystem <mailer-daemon@googlemail.com>",
        "Delivery Status Notification (Failure)",
        "** Address not found **\n\nYour message wasn't delivered to ann@y.ru because the address couldn't be found.\n\n"
        "The response was:\n\n550 5.1.1 no such user\n\nMessage-ID: <1@x.ru>\n",
    ),
    "yandex": letter(
        "mailer-daemon@yandex.ru",
        "Недоставленное сообщение",
        "Это письмо отправлено почтовым сервером yandex.ru.\n\nК сожалению, Ваше письмо не может быть отправлено одному или"
        " нескольким адресатам.\n\n<ann@y.ru>: host mx.y.ru said: 550 5.1.1 no such user\n\nMessage-ID: <1@x.ru>\n",
    ),
    "mail.ru": letter(
        "mailer-daemon@corp.mail.ru",
        "Mail delivery failed: returning message to sender",
        "Это письмо создано автоматически. К сожалению, Ваше письмо не может быть доставлено одному или нескольким получателям:\n\n"
        "ann@y.ru\n550 5.1.1 нет такого\n\nMessage-ID: <1@x.ru>\n",
    ),
    "sendmail": letter(
        "Mail Delivery Subsystem <MAILER-DAEMON@mx>",
        "Returned mail: User unknown",
        "   ----- The following addresses had permanent fatal errors -----\n"
        "<ann@y.ru>\n    (reason: 550 5.1.1 no such user)\n\nMessage-ID: <1@x.ru>\n",
    ),
}


@pytest.mark.parametrize("raw", WORDS.values(), ids=WORDS.keys())
def test_a_report_in_words_tells_who_why_and_of_which_letter(raw):
    """In the words of each server."""
    bounce = read(raw).bounce

    assert bounce is not None
    assert [(one.address, one.action, one.status) for one in bounce.recipients] == [("ann@y.ru", "failed", "5.1.1")]
    assert bounce.original_message_id == "1@x.ru"


def test_a_warning_is_a_delay():
    """The server goes on trying."""
    bounce = read(
        letter(
            "Mailer-Daemon@mx",
            "Warning: message delayed 24 hours",
            "Your message to\n\n  ann@y.ru\n\nhas been delayed; attempts will continue.\n",
        )
    ).bounce

    assert bounce is not None
    assert [(one.address, one.action) for one in bounce.recipients] == [("ann@y.ru", "delayed")]


@pytest.mark.parametrize(
    "raw",
    [
        letter("Ann <ann@y.ru>", "Письмо не доставлено?", "Мне пришло: <bob@z.ru>: 550 5.1.1 user unknown. Что делать?"),
        letter(
            "Ann <ann@y.ru>", "Re: Undelivered Mail Returned to Sender", "It says the address could not be found: <b@z.ru>: 550"
        ),
        letter("noreply@shop.ru", "Delivery status", "Your order could not be delivered to the address bob@z.ru"),
        letter(
            "Ann <ann@y.ru>",
            "Out of office",
            "I am away. Delivery failed? Write to bob@z.ru",
            "Return-Path: <>\nAuto-Submitted: auto-replied\n",
        ),
        letter("postmaster@y.ru", "О настройке почты", "Добрый день, включите SPF для домена."),
    ],
)
def test_an_ordinary_letter_is_no_bounce(raw):
    """Even if it speaks of one."""
    assert read(raw).bounce is None
