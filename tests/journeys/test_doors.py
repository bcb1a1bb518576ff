"""The ways in and out: the public page, the login, the keyboard, and an offer that is declined."""

from __future__ import annotations

import re

import pytest

from tests.journeys.people import expect

pytestmark = pytest.mark.browser

REFUSED_LOGIN = re.compile(r"Failed to load resource: .* 401 .*/api/v1/login$")
NO_SUCH_PAGE = re.compile(r"Failed to load resource: .* 404 .*/chat/")
PASSWORD = "kettles whistle in tune"


def test_public_page_is_a_chat_of_its_own(people, place):
    """Whoever follows the link of the public page can write and is answered, without any shop around it."""
    ann = people.operator()
    joe = people.visitor()
    joe.page.goto(f"{place.address}/chat/shop")
    expect(joe.page).to_have_title("Shop")
    joe.introduce("Joe Visitor")
    joe.say("Hello from the link, my number is 8 912 345-67-89")

    expect(ann.rows).to_contain_text("Hello from the link")
    ann.take()
    expect(ann.contact).to_contain_text("8 912 345-67-89from a message")
    expect(ann.contact).to_contain_text(f"{place.address}/chat/shop")
    ann.answer("Hello back")
    expect(joe.answers).to_have_text(["Hello back"])
    joe.page.reload()
    expect(joe.own).to_have_text(["Hello from the link, my number is 8 912 345-67-89"])
    expect(joe.answers).to_have_text(["Hello back"])


def test_address_without_a_chat_says_so(people, place):
    """A link to a line that does not exist is answered by a sentence about what to do."""
    joe = people.visitor()
    joe.watch.excuse(NO_SUCH_PAGE)
    joe.page.goto(f"{place.address}/chat/nowhere")

    expect(joe.page.get_by_text("There is no chat at this address.")).to_be_visible()
    expect(joe.page.get_by_role("textbox")).to_have_count(0)


def test_wrong_password_is_told_and_changes_nothing(people, place):
    """A wrong password gets one sentence, says nothing about who exists, and the right one still works."""
    ann = people.stranger()
    ann.watch.excuse(REFUSED_LOGIN)
    ann.visit(place.address)
    problem = ann.page.get_by_role("alert")
    for login in ("admin", "nobody-here"):
        ann.log_in("not the password", login)
        expect(problem).to_have_text("The login or the password is wrong.")
        ann.page.get_by_label("Login").fill("")
    ann.log_in(place.password)
    ann.expect_ready()


def test_logging_out_closes_every_tab(people, place):
    """Who logs out is out: in this tab, in the other one, and after a reload; and may log in again."""
    ann = people.operator()
    other = type(ann)(ann.page.context.new_page(), ann.watch)
    other.visit(place.address)
    other.expect_ready()

    ann.page.get_by_label("Your settings").click()
    ann.page.get_by_role("button", name="Log out").click()
    expect(ann.page.get_by_role("heading", name="Log in")).to_be_visible()
    expect(other.page.get_by_text("You were logged out.")).to_be_visible()
    ann.page.reload()
    expect(ann.page.get_by_role("heading", name="Log in")).to_be_visible()
    assert 401 == ann.page.request.get(f"{place.address}/api/v1/leads").status
    ann.log_in(place.password)
    ann.expect_ready()


def test_keyboard_alone_does_the_work(people, place):
    """An operator who never touches a mouse logs in, takes what is offered, answers and closes."""
    ann = people.stranger()
    ann.visit(place.address)
    keys = ann.page.keyboard
    expect(ann.page.get_by_label("Login")).to_be_focused()
    keys.type("admin")
    keys.press("Tab")
    keys.type(place.password)
    keys.press("Enter")
    ann.expect_ready()

    joe = people.visitor()
    joe.visit(place.address)
    joe.introduce("Joe Visitor", email="joe@example.com")
    joe.say("Anybody there?")
    expect(ann.page.get_by_text("Alt+T takes, Alt+D declines.")).to_be_attached()
    keys.press("Alt+t")
    expect(ann.writing).to_be_focused()
    keys.type("Here I am.")
    keys.press("Enter")
    expect(joe.answers).to_have_text(["Here I am."])
    keys.press("Alt+c")
    expect(ann.page.get_by_role("dialog", name="Close the dialogue")).to_be_visible()
    keys.type("answered")
    keys.press("Enter")
    expect(ann.page.get_by_text("This dialogue is closed.")).to_be_visible()
    expect(joe.page.get_by_text("The conversation is closed.")).to_be_visible()
    keys.press("Escape")
    expect(ann.page.get_by_text("Choose a dialogue")).to_be_visible()


def _apply(place, *, operators, rounds):
    """Give the shop these operators, and so many rounds of offers."""
    place.write("password", PASSWORD)
    house = f"""
[operators.bob]
name = "Bob"
password_file = "password"

[lines.shop]
name = "Shop"
operators = {operators}

[lines.shop.settings]
rounds = {rounds}
"""
    place.command("apply", str(place.write("house.toml", house)))


def test_declined_offer_passes_to_a_colleague(people, place):
    """Who declines an offer passes it on: the other operator of the line gets it, and the first one has it no more."""
    _apply(place, operators=["admin", "bob"], rounds=2)
    admin = people.operator()
    bob = people.operator(login="bob", password=PASSWORD)
    joe = people.visitor()
    joe.visit(place.address)
    joe.introduce("Joe Visitor", email="joe@example.com")
    joe.say("Who will take this?")

    # Both are idle; whoever is so for longer is asked first.
    expect(admin.rows).to_contain_text("Offered")
    expect(bob.rows).to_have_count(0)
    admin.rows.get_by_role("button", name="Decline").click()
    expect(bob.rows.get_by_role("button", name="Take")).to_be_visible()
    expect(admin.page.get_by_text("No dialogues are yours now")).to_be_visible()
    bob.take()
    bob.answer("I will.")
    expect(joe.answers).to_have_text(["I will."])
    expect(joe.page.get_by_text("Bob is with you")).to_be_visible()


def test_offer_declined_by_all_waits_and_can_be_taken(people, place):
    """A customer whom everybody declined waits, in sight; an operator who has room after all takes them from there."""
    _apply(place, operators=["admin"], rounds=1)
    ann = people.operator()
    joe = people.visitor()
    joe.visit(place.address)
    joe.introduce("Joe Visitor", email="joe@example.com")
    joe.say("Nobody wants me")
    ann.rows.get_by_role("button", name="Decline").click()

    expect(ann.page.get_by_text("No dialogues are yours now")).to_be_visible()
    ann.list.get_by_role("link", name="Waiting 1").click()
    expect(ann.rows).to_contain_text("Nobody wants me")
    expect(joe.page.get_by_text("We have your message and will answer here")).to_be_visible()
    ann.rows.get_by_role("link").click()
    ann.page.get_by_role("main").get_by_role("button", name="Take").click()
    ann.answer("I do.")
    expect(joe.answers).to_have_text(["I do."])
