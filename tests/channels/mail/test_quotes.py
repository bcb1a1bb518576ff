"""Answers are shown, quotes are folded, nothing is lost."""

from __future__ import annotations

from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.mail.quotes import fold

ANSWERS = {
    "gmail, russian": "Спасибо!\n\nпн, 2 дек. 2024 г. в 10:15, Иван Иванов <i@x.ru>:\n\n> Добрый день\n> Счёт\n",
    "gmail, english": "Спасибо!\n\nOn Mon, Dec 2, 2024 at 10:15 AM Ivan <i@x.ru> wrote:\n\n> Hello\n",
    "gmail, wrapped": "Спасибо!\n\nOn Mon, Dec 2, 2024 at 10:15 AM Ivan the Very Long\n<i@x.ru> wrote:\n\n> Hello\n",
    "gmail, a torn quote": "Спасибо!\n\n> " + "слово " * 12 + "\nконец\n> ещё\n",
    "yandex": 'Спасибо!\n\n02.12.2024, 10:15, "Поддержка" <s@x.ru>:\n> Добрый день\n',
    "yandex, no marks": 'Спасибо!\n\n02.12.2024, 10:15, "Поддержка" <s@x.ru>:\nДобрый день\n',
    "yandex, a head": 'Спасибо!\n\n----------------\nКому: ivan@x.ru;\nТема: Заявка;\n02.12.2024, 10:15, "S" <s@x.ru>:\nтекст\n',
    "mail.ru": "Спасибо!\n\nПонедельник, 2 декабря 2024, 10:15 +03:00 от Поддержка <s@x.ru>:\n>Добрый день\n>\n>Ещё\n",
    "outlook, english": "Спасибо!\n\nFrom: S <s@x.ru>\nSent: Monday, December 2, 2024\nTo: Ivan\nSubject: RE: x\n\nТекст\n",
    "outlook, russian": "Спасибо!\n"
    + "_" * 32
    + "\nОт: S <s@x.ru>\nОтправлено: 2 декабря 2024 г.\nКому: Ivan\nТема: x\n\nТекст\n",
    "outlook, bold": "Спасибо!\n\n*From:* S <s@x>\n*Sent:* Monday\n*To:* I\n*Subject:* x\n\ntext\n",
    "outlook express": "Спасибо!\n\n-----Исходное сообщение-----\nОт: a\nТекст\n",
    "iphone": "Спасибо!\n\n> 2 дек. 2024 г., в 10:15, Поддержка <s@x.ru> написал(а):\n> \n> Добрый день\n",
    "thunderbird": "Спасибо!\n\n02.12.2024 10:15, Поддержка пишет:\n> Добрый день\n",
    "bitrix": "Спасибо!\n\n----- Ответьте выше этой линии -----\nТекст\n",
    "german": "Спасибо!\n\nAm Mo., 2. Dez. 2024 um 10:15 Uhr schrieb Support <s@x.de>:\n> Hallo\n",
    "french": "Спасибо!\n\nLe lun. 2 déc. 2024 à 10:15, Support <s@x.fr> a écrit :\n\n> Bonjour\n",
    "polish": "Спасибо!\n\npon., 2 gru 2024 o 10:15 Support <s@x.pl> napisał(a):\n\n> Dzień dobry\n",
    "bulgarian": "Спасибо!\n\nНа пн, 2.12.2024 г. в 10:15 Support <s@x.bg> написа:\n\n> Здравейте\n",
    "spanish": "Спасибо!\n\nEl lun, 2 dic 2024 a las 10:15, Support (<s@x.es>) escribió:\n\n> Hola\n",
    "forwarded": "Спасибо!\n\n-------- Пересылаемое сообщение --------\n02.12.2024, 10:15, a@b\n\nтекст\n",
    "below the quote": "02.12.2024 10:15, Поддержка пишет:\n> Добрый день\n> Вопрос?\n\nСпасибо!\n",
    "below, signed": "On 12/2/24 10:15, Support wrote:\n> Hi\n\nСпасибо!\n\n-- \nIvan\n",
    "telephone": "Спасибо!\n\nОтправлено с iPhone\n",
    "signed": "Спасибо!\n\n-- \nИван\n+7 900 000-00-00\n",
    "marks alone": "Спасибо!\n\n> Добрый день\n",
}


@pytest.mark.parametrize("text", ANSWERS.values(), ids=ANSWERS.keys())
def test_only_the_answer_is_shown(text):
    """What programs add to it is folded."""
    assert fold(text).shown.strip() == "Спасибо!"


@pytest.mark.parametrize(
    "text",
    [
        "On 12/2/24 10:15, Support wrote:\n> Q1?\nA1\n> Q2?\nA2\n",
        "Привет\n> Q1?\nA1\n> Q2?\nA2\n",
        "On Monday he wrote:\nHello and this is my text\n",
        "Он написал:\nВсё сломалось 12.12.2024.\nЧто делать?\n",
        "От: меня\nКому: вам\nпросто список\n",
        "---------- Forwarded message ---------\nFrom: a <a@b>\nDate: x\nSubject: y\nTo: z\n\nтекст\n",
        "> a\n> b\n",
        "-- \nИван\n",
        "Счёт -- это важно\nещё строка\n",
    ],
)
def test_answers_between_quotes_and_texts_that_only_look_quoted_are_shown_whole(text):
    """So is a letter that has nothing but a quote."""
    assert fold(text).shown == text


LINES = st.sampled_from([
    "> q", ">", "-- ", "", "From: a@b", "Sent: x", "To: y", "Subject: z", "On 1 May 2024 a@b wrote:", "text", "\r", "\x0b",
    "____________", "Sent from my x", "пн, 2 дек. 2024 г. в 10:15, И <i@x.ru>:",
])  # fmt: skip


@given(st.one_of(st.text(), st.lists(LINES, max_size=30).map("\n".join)))
@settings(max_examples=1_500, deadline=None)
def test_nothing_is_ever_lost(text):
    """The parts hold each character once, and something is shown if there is anything to show."""
    folded = fold(text)

    assert sorted(folded.shown + folded.quoted + folded.signature) == sorted(text)
    assert bool(folded.shown.strip()) == bool(text.strip())


@pytest.mark.parametrize(
    "piece",
    [">", "> ", "On ", "On x wrote:\n", "От: ", "-", "_", "\n", "1.1.2024 ", "a@", "пн, ", "From: a\n", "-- \n", "> a\nb\n"],
)
def test_hostile_text_takes_no_time(piece):
    """A megabyte of anything."""
    begun = perf_counter()
    fold(piece * (1_000_000 // len(piece)))

    assert perf_counter() - begun < 2
