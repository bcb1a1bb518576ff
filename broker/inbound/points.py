"""Ways to reach a person, made comparable: phones as E.164, e-mails in lower case. Pure.

`8 912 345-67-89`, `+7 912 3456789` and `79123456789` are one phone in a line whose region is RU.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

import phonenumbers

from broker.domain import NAME_MAX, Person, PointKind
from broker.errors import BadInput

# RFC 5321's limits, the mailbox forms that people use; a hostile text cannot make it backtrack: every class excludes the next sign.
_EMAIL = re.compile(
    r"(?<![\w.+-])([A-Za-z0-9][A-Za-z0-9._%+-]{0,63})@((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24})(?![\w-])"
)
_MANY_DIGITS = re.compile(r"(?:\d[\s().\-–]{0,3}){7,15}")
_MOST_POINTS = 5
_PHONE_TRIES = 20
_SCANNED = 8_000


_TELEPHONES = frozenset(
    {
        phonenumbers.PhoneNumberType.FIXED_LINE,
        phonenumbers.PhoneNumberType.MOBILE,
        phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE,
        phonenumbers.PhoneNumberType.VOIP,
    }
)


class Evidence(StrEnum):
    """How we know that a point is this person's; only what they or their provider told of them recognises a known contact."""

    IDENTITY = "identity"
    VOUCHED = "vouched"
    FORM = "form"
    MESSAGE = "message"


class Point(NamedTuple):
    """A way to reach a person: its kind, the comparable value, how it was written, and how we know."""

    kind: PointKind
    value: str
    written: str
    evidence: Evidence


def phone(written: str, region: str) -> str:
    """Return the E.164 form of *written*. Raises BadInput with the field `phone`."""
    text = written.strip()
    candidates = [(text, region)]
    if not text.startswith("+"):
        candidates.append(("+" + text, region))  # 79123456789 carries its country code without the sign
    for candidate, home in candidates:
        try:
            parsed = phonenumbers.parse(candidate, home)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed):
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    raise BadInput(
        f"“{text[:40]}” is not a phone number; write it with the country code, as +7 912 345-67-89",
        field="phone",
        code="bad_details",
    )


def is_costly(number: str) -> bool:
    """Return whether *number*, E.164, is no telephone's of a country: of a service, a satellite, or what else costs more than a call."""
    parsed = phonenumbers.parse(number)
    return phonenumbers.number_type(parsed) not in _TELEPHONES or phonenumbers.region_code_for_number(parsed) in (None, "001")


def is_of(number: str, region: str) -> bool:
    """Return whether *number*, E.164, is of *region*: many countries share a code, and some of them cost much."""
    return bool(phonenumbers.region_code_for_number(phonenumbers.parse(number)) == region)


def email(written: str) -> str:
    """Return the comparable form of *written*. Raises BadInput with the field `email`."""
    text = written.strip()
    if len(text) > 254 or not (found := _EMAIL.fullmatch(text)):
        raise BadInput(f"“{text[:60]}” is not an e-mail address; write it as name@example.com", field="email", code="bad_details")
    return f"{found[1]}@{found[2]}".lower()


def of_person(person: Person, region: str) -> list[Point]:
    """Return the points that *person* told of themselves, or their provider of them. Raises BadInput."""
    points = _vouched(person, region)
    points += [
        Point(PointKind.PHONE, phone(written, region), written.strip()[:NAME_MAX], Evidence.FORM) for written in person.phones
    ]
    points += [Point(PointKind.EMAIL, email(written), written.strip()[:NAME_MAX], Evidence.FORM) for written in person.emails]
    return points


def _vouched(person: Person, region: str) -> list[Point]:
    """Return the points that a provider vouches for; what it means by one that cannot be read is nothing."""
    points = []
    for kind, read, values in (
        # A provider leaves the sign out, and says the country code always.
        (PointKind.PHONE, lambda one: phone(one if one.startswith("+") else f"+{one}", region), person.vouched_phones),
        (PointKind.EMAIL, email, person.vouched_emails),
    ):
        for written in values:
            try:
                points.append(Point(kind, read(written), written.strip()[:NAME_MAX], Evidence.VOUCHED))
            except BadInput:
                continue
    return points


def in_text(text: str, region: str) -> list[Point]:
    """Return the phones and e-mails written in *text*, the first few, each once."""
    text = text[:_SCANNED]
    found: dict[tuple[PointKind, str], str] = {}
    if "@" in text:
        for match in _EMAIL.finditer(text):
            found.setdefault((PointKind.EMAIL, match[0].lower()), match[0])
            if len(found) >= _MOST_POINTS:
                break
    if _MANY_DIGITS.search(text):
        for number in phonenumbers.PhoneNumberMatcher(text, region, max_tries=_PHONE_TRIES):
            if len(found) >= _MOST_POINTS:
                break
            value = phonenumbers.format_number(number.number, phonenumbers.PhoneNumberFormat.E164)
            found.setdefault((PointKind.PHONE, value), number.raw_string)
    return [Point(kind, value, written[:NAME_MAX], Evidence.MESSAGE) for (kind, value), written in found.items()]
