"""What the chat on a site asks for: a rating by buttons at the end, and how to be reached while nobody is there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.journeys.people import expect

pytestmark = pytest.mark.browser


def test_dialogue_is_rated_by_a_button(people, place):
    """The question comes with two buttons in every tab, also to who comes back later; after the press it is thanked for and they go."""
    ann = people.operator()
    joe = people.visitor()
    joe.visit(place.address)
    joe.introduce("Joe Visitor", email="joe@example.com")
    joe.say("Does the Alto whistle in A?")
    ann.take()
    ann.answer("It does.")
    expect(joe.answers).to_have_text(["It does."])
    ann.close("answered")

    question = joe.from_line.filter(has_text="How did we do?")
    buttons = joe.log.locator("li.system button")
    expect(question).to_be_visible()
    expect(buttons).to_have_text(["Good", "Bad"])
    joe.page.reload()
    expect(buttons).to_have_text(["Good", "Bad"])
    joe.log.get_by_role("button", name="Good").click()

    expect(joe.from_line.last).to_have_text("Thank you, we have noted it.")
    expect(buttons).to_have_count(0)
    joe.page.reload()
    expect(joe.from_line.last).to_have_text("Thank you, we have noted it.")
    expect(buttons).to_have_count(0)


def _close_shop(place):
    """Let the shop be open on the day after tomorrow only, and ask for a way to be reached until then."""
    day = (datetime.now(UTC) + timedelta(days=2)).strftime("%a").lower()
    house = f"""
[lines.shop]
name = "Shop"
operators = ["admin"]

[lines.shop.settings]
outside = "form"

[lines.shop.settings.hours]
zone = "UTC"
week = {{ {day} = ["09:00-18:00"] }}
"""
    place.command("apply", str(place.write("house.toml", house)))


def test_closed_shop_says_when_it_opens_and_asks_how_to_reach_who_writes(people, place):
    """The form wants an e-mail or a phone, either will do; what is written after it waits for the opening."""
    _close_shop(place)
    ann = people.operator()
    joe = people.visitor()
    joe.visit(place.address)

    expect(joe.page.get_by_text("We open on ")).to_be_visible()
    expect(joe.page.get_by_role("button", name="Skip")).to_have_count(0)
    joe.introduce("Joe Visitor")
    email = joe.page.get_by_label("E-mail")
    expect(email).to_be_focused()  # the browser has said that it is needed
    joe.page.get_by_label("Phone").fill("+44 20 7946 0123")
    assert not email.evaluate("field => field.required")
    joe.page.get_by_role("button", name="Begin the chat").click()
    joe.say("Is the Bass in stock?")

    expect(joe.own).to_have_text(["Is the Bass in stock?"])
    expect(joe.from_line).to_contain_text("We are closed now. We open ")
    ann.list.get_by_role("link", name="Waiting 1").click()
    expect(ann.rows).to_contain_text("Is the Bass in stock?")
