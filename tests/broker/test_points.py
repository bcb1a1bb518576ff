"""Phones and e-mails made comparable."""

from __future__ import annotations

import time

import pytest

from broker.domain import Person, PointKind
from broker.errors import BadInput
from broker.inbound.points import Evidence, Point, email, in_text, of_person, phone


@pytest.mark.parametrize(
    "written", ["8 912 345-67-89", "+7 912 3456789", "79123456789", "+7 (912) 345 67 89", "89123456789", " 912 345 67 89 "]
)
def test_one_phone_however_it_is_written(written: str):
    """In a line whose region is RU these are one phone."""
    assert phone(written, "RU") == "+79123456789"


@pytest.mark.parametrize(
    ("written", "region", "value"), [("020 7946 0958", "GB", "+442079460958"), ("+44 20 7946 0958", "RU", "+442079460958")]
)
def test_the_region_is_for_phones_without_a_country_code(written: str, region: str, value: str):
    """A phone with its country code needs no region."""
    assert phone(written, region) == value


@pytest.mark.parametrize("written", ["", "12", "call me", "+", "+7", "000000000000", "9" * 400, "+7 912 345-67-89 or so"])
def test_what_is_no_phone_is_refused_by_name(written: str):
    """BadInput names the field and shows how to write it, never a page of what was written."""
    with pytest.raises(BadInput, match="not a phone number") as error:
        phone(written, "RU")

    assert error.value.field == "phone"
    assert len(str(error.value)) < 200


@pytest.mark.parametrize(
    ("written", "value"), [(" Ann@Example.COM ", "ann@example.com"), ("a.b+c@mail.example.co.uk", "a.b+c@mail.example.co.uk")]
)
def test_e_mails_compare_in_lower_case(written: str, value: str):
    """One mailbox, however it is written."""
    assert email(written) == value


@pytest.mark.parametrize(
    "written",
    [
        "",
        "a",
        "@",
        "a@b",
        "a@b.c",
        "a b@example.com",
        "a@exa mple.com",
        "a@-example.com",
        "a@example.com, b@example.com",
        "a@" + "x" * 300 + ".com",
    ],
)
def test_what_is_no_e_mail_is_refused_by_name(written: str):
    """BadInput names the field."""
    with pytest.raises(BadInput, match="not an e-mail") as error:
        email(written)

    assert error.value.field == "email"


def test_what_a_person_told_is_evidence():
    """A form's points can recognise a contact; as written, they are kept for reading."""
    person = Person("v1", phones=("8 912 345-67-89",), emails=("Ann@Example.com",))

    assert of_person(person, "RU") == [
        Point(PointKind.PHONE, "+79123456789", "8 912 345-67-89", Evidence.FORM),
        Point(PointKind.EMAIL, "ann@example.com", "Ann@Example.com", Evidence.FORM),
    ]


def test_points_are_found_in_a_message():
    """Phones and e-mails in running text, each once, however often they are written."""
    text = "Call 8 912 345-67-89 or +79123456789, write Ann@Example.com (ann@example.com)."

    assert [(point.kind, point.value, point.evidence) for point in in_text(text, "RU")] == [
        (PointKind.EMAIL, "ann@example.com", Evidence.MESSAGE),
        (PointKind.PHONE, "+79123456789", Evidence.MESSAGE),
    ]


@pytest.mark.parametrize(
    "text", ["", "order 12345", "see you at 10:30 on 12.03", "@ann", "ann@localhost", "1 2 3 4 5 6", "price 1 000 000"]
)
def test_numbers_that_are_no_phones_are_left_alone(text: str):
    """An order's number is not a way to reach anybody."""
    assert in_text(text, "RU") == []


def test_a_message_gives_only_the_first_few():
    """A pasted address book does not fill the database."""
    assert len(in_text(" ".join(f"user{n}@example.com" for n in range(500)), "RU")) == 5


@pytest.mark.parametrize(
    "text",
    [
        "a@" * 4_000,
        "a." * 4_000 + "@",
        "a" * 8_000 + "@",
        "x@" + "a-" * 4_000,
        "@" * 8_000,
        "1-" * 4_000,
        "+7 912 " * 1_000,
        "(1" * 4_000,
        "9" * 8_000,
    ],
)
def test_a_hostile_text_is_searched_in_no_time(text: str):
    """Nobody's message can hold the receiver up: a tenth of a second is far above what any of these takes."""
    began = time.perf_counter()

    in_text(text, "RU")

    assert time.perf_counter() - began < 0.1
