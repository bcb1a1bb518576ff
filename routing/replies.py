"""What a line says by itself, in the contact's language. Pure.

A line's own text goes first, then the catalogue's, in the language asked for, its base language, the line's language, English. An
own text that is empty says nothing. Fields are `{contact.name}`, `{operator.name}`, `{line.name}`; an unknown field stays as it is
written, so a customer sees a brace rather than the system a fault. A field with nothing in it takes the comma before it along.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from broker.domain import LineSettings, Texts

CATALOGUE: dict[str, Texts] = {
    "welcome": {
        "en": "Hello! We have your message; somebody will answer you here in a moment.",
        "ru": "Здравствуйте! Мы получили ваше сообщение, сейчас вам ответят.",
    },
    "no_answer": {
        "en": "Everybody is busy just now. Your message is not lost: we will answer here as soon as somebody is free.",
        "ru": "Сейчас все заняты. Ваше сообщение не потеряется: мы ответим здесь, как только кто-нибудь освободится.",
    },
    "close": {
        "en": "Thank you for writing to us. If anything else comes up, write here again.",
        "ru": "Спасибо за обращение. Если появятся ещё вопросы, напишите сюда снова.",
    },
}

_FIELD = re.compile(r"(,? ?)\{([a-z]+\.[a-z]+)\}")


def text_of(reply: str, line: LineSettings, language: str) -> str:
    """Return the text of *reply* (welcome, no_answer, close) as the line says it in *language*; empty: say nothing."""
    own: Texts = getattr(line, f"{reply}_text")
    for texts in (own, CATALOGUE[reply]):
        for tag in (language, language.split("-", maxsplit=1)[0], line.language, "en"):
            if tag in texts:
                return texts[tag]
    return next(iter(own.values()), "")


def render(template: str, fields: Mapping[str, str]) -> str:
    """Return *template* with its fields filled in."""

    def fill(match: re.Match[str]) -> str:
        value = fields.get(match[2])
        if value is None:
            return match[0]
        return f"{match[1]}{value}" if value else ""

    return _FIELD.sub(fill, template).strip().removeprefix(",").lstrip()
