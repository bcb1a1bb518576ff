"""What a line says by itself, and in which language."""

from __future__ import annotations

import pytest

from broker.domain import LineSettings
from routing.replies import CATALOGUE, render, text_of


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
