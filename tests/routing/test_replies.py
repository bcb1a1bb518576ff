"""What a line says by itself, and in which language."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from broker.domain import LineSettings, Rating
from routing.replies import CATALOGUE, opens_at_text, rating_in, render, text_of

MOSCOW = ZoneInfo("Europe/Moscow")
EVENING = datetime(2026, 3, 2, 20, 30, tzinfo=MOSCOW)
"""A Monday."""


@pytest.mark.parametrize("reply", CATALOGUE)
def test_the_catalogue_speaks_english_and_russian(reply: str):
    """Every text a line may say exists in both complete languages."""
    assert {"en", "ru"} <= {tag for tag, text in CATALOGUE[reply].items() if text}


def test_the_contacts_language_goes_first():
    """Then its base language, then the line's, then English."""
    line = LineSettings(language="ru", welcome_text={"en": "E", "ru": "R", "pt": "P", "pt-BR": "B"})

    assert [text_of("welcome", line, tag) for tag in ("pt-BR", "pt-PT", "ru", "ja", "")] == ["B", "P", "R", "R", "R"]


def test_english_when_there_is_nothing_nearer():
    """A language neither the line nor the catalogue knows gets English."""
    assert text_of("close", LineSettings(language="ja"), "ko") == CATALOGUE["close"]["en"]


def test_a_lines_own_text_goes_before_the_catalogue():
    """The administrator's words, even in another language than the contact's, when they wrote only those."""
    line = LineSettings(language="ru", welcome_text={"ru": "Наш привет"})

    assert text_of("welcome", line, "en-GB") == "Наш привет"


def test_an_own_text_in_a_strange_language_is_used_only_when_the_catalogue_has_none():
    """A line of English that wrote only Japanese is answered from the catalogue."""
    assert text_of("welcome", LineSettings(welcome_text={"ja": "J"}), "en") == CATALOGUE["welcome"]["en"]


def test_an_empty_own_text_says_nothing():
    """An administrator switches a text off by emptying it."""
    assert text_of("welcome", LineSettings(welcome_text={"en": ""}), "en") == ""


def test_fields_are_filled_in():
    """`{contact.name}` and the like; the ends are trimmed."""
    assert (
        render(" Hello {contact.name}, {line.name} here ", {"contact.name": "Eve", "line.name": "Shop"}) == "Hello Eve, Shop here"
    )


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Hello, {contact.name}!", "Hello!"),
        ("Hello {contact.name}, you are welcome", "Hello, you are welcome"),
        ("{contact.name}, hi", "hi"),
    ],
)
def test_who_gave_no_name_is_greeted_without(template: str, said: str):
    """No comma stands where a name would."""
    assert render(template, {"contact.name": ""}) == said


@pytest.mark.parametrize("text", ["{contact.phone}", "{}", "{contact}", "{contact.name", "{0}", "%s {contact.name!r}", "{a.b.c}"])
def test_an_unknown_field_stays_as_it_is_written(text: str):
    """A customer sees a brace rather than the system a fault."""
    assert render(text, {"contact.name": "Eve"}) == text


def test_a_value_is_not_a_template():
    """A contact who calls themselves `{line.name}` is called just that."""
    assert render("{contact.name}", {"contact.name": "{line.name}", "line.name": "Shop"}) == "{line.name}"


# --- when we open


@pytest.mark.parametrize("language", ["en", "en-GB", "ru", "ru-RU"])
def test_the_form_is_asked_for_with_the_lines_own_outside_text(language: str):
    """A line that wrote a text for outside the hours says it whichever way it keeps messages."""
    line = LineSettings(outside_text={"en": "Closed!", "ru": "Закрыто!"})

    assert text_of("outside_form", line, language) == text_of("outside", line, language) == line.outside_text[language[:2]]


@pytest.mark.parametrize(
    ("opens", "en", "ru"),
    [
        ((2026, 3, 2, 21, 0), "today at 21:00", "сегодня в 21:00"),
        ((2026, 3, 3, 0, 0), "tomorrow at 00:00", "завтра в 00:00"),
        ((2026, 3, 3, 23, 59), "tomorrow at 23:59", "завтра в 23:59"),
        ((2026, 3, 4, 9, 0), "on Wednesday at 09:00", "в среду в 09:00"),
        ((2026, 3, 5, 9, 0), "on Thursday at 09:00", "в четверг в 09:00"),
        ((2026, 3, 6, 9, 0), "on Friday at 09:00", "в пятницу в 09:00"),
        ((2026, 3, 7, 9, 0), "on Saturday at 09:00", "в субботу в 09:00"),
        ((2026, 3, 8, 9, 5), "on Sunday at 09:05", "в воскресенье в 09:05"),
        ((2026, 3, 9, 9, 0), "on 9 March at 09:00", "9 марта в 09:00"),
        ((2026, 12, 31, 9, 0), "on 31 December at 09:00", "31 декабря в 09:00"),
        ((2027, 1, 11, 9, 0), "on 11 January 2027 at 09:00", "11 января 2027 года в 09:00"),
    ],
)
def test_when_we_open_is_said_as_one_says_it(opens: tuple[int, int, int, int, int], en: str, ru: str):
    """Today, tomorrow, a weekday within the week, a date, a date of another year; an unknown language reads English."""
    at = datetime(*opens, tzinfo=MOSCOW)

    assert [opens_at_text(at, EVENING, tag) for tag in ("en", "en-GB", "ru", "ru-RU", "ja", "")] == [en, en, ru, ru, en, en]


def test_a_new_year_within_the_week_is_a_weekday():
    """Nearness goes before the year."""
    at, now = datetime(2027, 1, 2, 9, 0, tzinfo=MOSCOW), datetime(2026, 12, 30, 9, 0, tzinfo=MOSCOW)

    assert opens_at_text(at, now, "en") == "on Saturday at 09:00"


@pytest.mark.parametrize("reply", ["outside", "outside_form"])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_opening_stands_in_the_reply(reply: str, language: str):
    """And nothing of the field is left."""
    said = render(text_of(reply, LineSettings(), language), {"opens_at": "at dawn"})

    assert "at dawn" in said
    assert "{" not in said


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (CATALOGUE["outside"]["en"], "Hello! We are closed now. Your message is kept, and we will answer it here."),
        (CATALOGUE["outside"]["ru"], "Здравствуйте! Сейчас мы не работаем. Ваше сообщение сохранено, мы ответим здесь."),
        ("We open {opens_at}", ""),
        ("Closed. We open {opens_at}!", "Closed."),
        ("Closed. {opens_at} we open. Bye", "Closed. Bye"),
        ("Hello, {contact.name}. Dear {contact.name}, we open {opens_at}, says {line.name}. Bye.", "Hello, Eve. Bye."),
        ("Is {it} so? We open {opens_at}. {", "Is {it} so? {"),
    ],
)
def test_an_unknown_opening_leaves_its_sentence_out(template: str, said: str):
    """A line that never opens does not say when it does, and the rest of the text stands."""
    assert render(template, {"opens_at": "", "contact.name": "Eve", "line.name": "Shop"}) == said


def test_a_place_in_the_queue_is_told_while_there_is_one():
    """Of who waits; otherwise its sentence is left out, as that of an opening that is not known."""
    template = "Hello! You are number {queue.position} here. Bye."

    assert render(template, {"queue.position": "3"}) == "Hello! You are number 3 here. Bye."
    assert render(template, {"queue.position": ""}) == "Hello! Bye."


@pytest.mark.parametrize(("said", "good"), [("１", True), ("👍🏻", True), ("👍️", True), ("０", False), ("👎🏿", False)])
def test_a_rating_is_known_however_a_phone_writes_it(said: str, good: bool):
    """Full-width figures, and thumbs of every colour."""
    assert rating_in(said) is (Rating.GOOD if good else Rating.BAD)


def test_a_text_that_is_not_about_the_opening_needs_none():
    """Where no opening is given the field stays as it is written."""
    assert render("We open {opens_at}.", {}) == "We open {opens_at}."
