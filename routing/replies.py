"""What a line says by itself, in the contact's language. Pure.

A line's own text goes first, then the catalogue's, in the language asked for, its base language, the line's language, English. An
own text that is empty says nothing. Fields are broker.domain.REPLY_FIELDS; an unknown one stays as it is written, so a customer sees a
brace rather than the system a fault. A field with nothing in it takes the comma before it along; a sentence whose `{opens_at}` or
`{queue.position}` is not known is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from unicodedata import normalize

from broker.domain import LineSettings, Rating, Texts, base_language

CATALOGUE: dict[str, Texts] = {
    "welcome": {
        "en": "Hello! We have your message and will answer it here.",
        "ru": "Здравствуйте! Мы получили ваше сообщение и ответим здесь.",
    },
    "outside": {
        "en": "Hello! We are closed now. We open {opens_at}. Your message is kept, and we will answer it here.",
        "ru": "Здравствуйте! Сейчас мы не работаем. Откроемся {opens_at}. Ваше сообщение сохранено, мы ответим здесь.",
    },
    "outside_form": {
        "en": "Hello! We are closed now. We open {opens_at}. Please leave your name and your phone number or e-mail address, "
        "so that we can reach you.",
        "ru": "Здравствуйте! Сейчас мы не работаем. Откроемся {opens_at}. Оставьте, пожалуйста, имя и телефон или почту, "
        "чтобы мы могли с вами связаться.",
    },
    "no_answer": {
        "en": "Everybody is busy just now. Your message is not lost: we will answer here as soon as somebody is free.",
        "ru": "Сейчас все заняты. Ваше сообщение не потеряется: мы ответим здесь, как только кто-нибудь освободится.",
    },
    "auto_close": {
        "en": "Are you still there? If there is nothing more, we will close this conversation soon; write here at any time.",
        "ru": "Вы ещё здесь? Если вопросов больше нет, мы скоро закроем диалог; написать сюда можно в любое время.",
    },
    "rating": {
        "en": "Did we help you? Write 1 if yes, 0 if no.",
        "ru": "Мы вам помогли? Напишите 1, если да, и 0, если нет.",
    },
    "rating_buttons": {"en": "How did we do?", "ru": "Как мы справились?"},
    "rating_good": {"en": "Good", "ru": "Хорошо"},
    "rating_bad": {"en": "Bad", "ru": "Плохо"},
    "rating_thanks": {"en": "Thank you, we have noted it.", "ru": "Спасибо, мы это учтём."},
    "rating_late": {
        "en": "Thank you! The time to rate this conversation has passed; if something is wrong, just write to us.",
        "ru": "Спасибо! Время оценки этого диалога вышло; если что-то не так, просто напишите нам.",
    },
    "close": {
        "en": "Thank you for writing to us. If anything else comes up, write here again.",
        "ru": "Спасибо за обращение. Если появятся ещё вопросы, напишите сюда снова.",
    },
}

_FIELD = re.compile(r"(,? ?)\{([a-z]+\.[a-z]+|opens_at)\}")
_SENTENCE = re.compile(r"(?:\{[a-z]+\.[a-z]+\}|[^.!?])*(?:[.!?]|\Z)")  # a field's point ends none
OWN_TEXT = {"outside_form": "outside", "rating_buttons": "rating"}
"""Replies that share a line's own text with another."""


def text_of(reply: str, line: LineSettings, language: str) -> str:
    """Return the text of *reply* (a key of CATALOGUE) as the line says it in *language*; empty: say nothing."""
    own: Texts = getattr(line, f"{OWN_TEXT.get(reply, reply)}_text", {})
    for texts in (own, CATALOGUE[reply]):
        for tag in (language, base_language(language), line.language, "en"):
            if tag in texts:
                return texts[tag]
    return next(iter(own.values()), "")


_TONE = re.compile("[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]")
_GOOD = frozenset(("1", "+", "👍", "yes", "good", "да", "хорошо"))
_BAD = frozenset(("0", "-", "👎", "no", "bad", "нет", "плохо"))


def rating_in(text: str) -> Rating | None:
    """Return what *text* says when it is nothing but an answer to the question how it was; None: it says something else."""
    # As phones write them: full-width figures, and thumbs of every colour.
    word = _TONE.sub("", normalize("NFKC", text)).strip().rstrip(".!").lower()
    return Rating.GOOD if word in _GOOD else Rating.BAD if word in _BAD else None


def render(template: str, fields: Mapping[str, str]) -> str:
    """Return *template* with its fields filled in."""
    for name in ("opens_at", "queue.position"):
        if not fields.get(name, "-"):
            template = "".join(sentence for sentence in _SENTENCE.findall(template) if f"{{{name}}}" not in sentence)

    def fill(match: re.Match[str]) -> str:
        value = fields.get(match[2])
        if value is None:
            return match[0]
        return f"{match[1]}{value}" if value else ""

    return _FIELD.sub(fill, template).strip().removeprefix(",").lstrip()


_WEEKDAYS = {
    "en": ("on Monday", "on Tuesday", "on Wednesday", "on Thursday", "on Friday", "on Saturday", "on Sunday"),
    "ru": ("в понедельник", "во вторник", "в среду", "в четверг", "в пятницу", "в субботу", "в воскресенье"),
}
_MONTHS = {
    "en": "January February March April May June July August September October November December".split(),
    "ru": "января февраля марта апреля мая июня июля августа сентября октября ноября декабря".split(),
}
_NEAR = {"en": ("today at {time}", "tomorrow at {time}"), "ru": ("сегодня в {time}", "завтра в {time}")}
_WEEK = {"en": "{weekday} at {time}", "ru": "{weekday} в {time}"}
_FAR = {"en": "on {day} {month} at {time}", "ru": "{day} {month} в {time}"}
_FAR_YEAR = {"en": "on {day} {month} {year} at {time}", "ru": "{day} {month} {year} года в {time}"}


def opens_at_text(opens: datetime, now: datetime, language: str) -> str:
    """Return when we open as a customer reads it: today at 14:00, on Monday at 09:00. Both times stand in the line's own zone."""
    tag = base_language(language)
    tag = tag if tag in _NEAR else "en"
    days = (opens.date() - now.date()).days
    if days < len(_NEAR[tag]):
        form = _NEAR[tag][max(days, 0)]
    elif days < 7:
        form = _WEEK[tag]
    else:
        form = (_FAR if opens.year == now.year else _FAR_YEAR)[tag]
    return form.format(
        time=f"{opens:%H:%M}",
        weekday=_WEEKDAYS[tag][opens.weekday()],
        day=opens.day,
        month=_MONTHS[tag][opens.month - 1],
        year=opens.year,
    )
