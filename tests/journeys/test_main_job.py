"""The main job, from the visitor's first word to the lead, as people see it."""

from __future__ import annotations

import pytest

from tests.journeys.people import expect

pytestmark = pytest.mark.browser


def test_question_is_offered_answered_read_and_becomes_a_lead(people, place):
    """What a visitor writes is offered to an operator; the answer is read; the closed dialogue is one lead with its transcript.

    A note stays among operators: neither the visitor nor the transcript has it. Who writes again soon finds the same dialogue and operator.
    """
    ann = people.operator()
    joe = people.visitor()
    joe.visit(place.address)
    joe.introduce("Joe Visitor", email="joe@example.com")
    joe.say("Does the Alto whistle in A?")

    expect(joe.own).to_have_text(["Does the Alto whistle in A?"])
    expect(joe.page.get_by_text("We have your message and will answer here")).to_be_visible()
    expect(ann.rows).to_have_count(1)
    expect(ann.rows).to_contain_text("Joe Visitor")
    expect(ann.rows).to_contain_text("Does the Alto whistle in A?")
    expect(ann.page).to_have_title("(1) Omniline")

    ann.take()
    ann.note("Asked the same last week")
    ann.answer("It does, at 440 Hz.")

    expect(joe.answers).to_have_text(["It does, at 440 Hz."])
    expect(joe.page.get_by_text("Administrator is with you")).to_be_visible()
    expect(ann.ours).to_have_text(["It does, at 440 Hz."])
    expect(ann.marks).to_have_attribute("data-fate", "read")
    expect(ann.notes).to_have_text(["Asked the same last week"])
    expect(ann.contact).to_contain_text("joe@example.com")
    expect(ann.contact).to_contain_text("The Kettle Shop")

    ann.close("answered")
    expect(ann.page.get_by_text("This dialogue is closed.")).to_be_visible()
    expect(joe.page.get_by_text("The conversation is closed. Write to open it again")).to_be_visible()

    ann.open_leads()
    lead = ann.page.get_by_role("button", name="Joe Visitor · Shop")
    expect(lead).to_have_count(1)
    lead.click()
    ann.await_transcript()
    details = ann.page.get_by_role("region", name="Details of Joe Visitor · Shop")
    expect(details).to_contain_text(f"{place.address}/demo/shop")
    said = details.locator(".transcript .said")
    expect(said.first).to_have_text("Does the Alto whistle in A?")
    expect(said.filter(has_text="It does, at 440 Hz.")).to_have_count(1)
    expect(said.filter(has_text="Asked the same last week")).to_have_count(0)

    expect(joe.page.get_by_text("Asked the same last week")).to_have_count(0)
    joe.say("And the Tenor?")
    expect(joe.page.get_by_text("Administrator is with you")).to_be_visible()
    details.get_by_role("link", name="Open the dialogue").click()
    expect(ann.theirs).to_have_text(["Does the Alto whistle in A?", "And the Tenor?"])
    ann.answer("In D.")
    expect(joe.answers).to_have_text(["It does, at 440 Hz.", "In D."])
    expect(ann.contact).to_contain_text("This is the first one.")


def test_two_tabs_of_a_visitor_show_one_dialogue_once(people, place):
    """Whatever tab a visitor writes in, every tab shows each message once, in one order, and the operator sees one customer."""
    ann = people.operator()
    joe = people.visitor()
    joe.visit(place.address)
    joe.introduce("Joe Visitor", email="joe@example.com")
    joe.say("From the first tab")
    expect(joe.from_line).to_have_count(1)

    again = type(joe)(joe.page.context.new_page(), joe.watch)
    # The open chat of the first tab opens in the second by itself.
    again.page.goto(f"{place.address}/demo/shop")
    expect(again.own).to_have_text(["From the first tab"])
    again.say("From the second tab")
    expect(joe.own).to_have_text(["From the first tab", "From the second tab"])
    joe.say("From the first again")

    said = ["From the first tab", "From the second tab", "From the first again"]
    expect(again.own).to_have_text(said)
    expect(joe.own).to_have_text(said)
    expect(ann.rows).to_have_count(1)
    ann.take()
    expect(ann.theirs).to_have_text(said)
    ann.answer("I see all three.")
    expect(joe.answers).to_have_text(["I see all three."])
    expect(again.answers).to_have_text(["I see all three."])


def test_contact_card_learns_what_the_customer_tells(people, place):
    """A phone written in the middle of a dialogue appears on the open contact card, and so does the lead that it makes."""
    ann = people.operator()
    joe = people.visitor()
    joe.visit(place.address)
    joe.introduce("Joe Visitor")
    joe.say("Is the Bass in stock?")
    ann.take()
    expect(ann.contact).to_contain_text("None yet.")

    joe.say("Please call me: +44 20 7946 0123")
    expect(ann.contact).to_contain_text("+44 20 7946 0123from a message")
    expect(ann.contact.get_by_role("link", name="Joe Visitor · Shop")).to_be_visible()


def test_page_of_leads_follows_what_happens(people, place):
    """A lead that is made while the page is open appears on it, and gets its transcript there; what was opened stays open."""
    ann = people.operator()
    bea = people.operator()
    bea.open_leads()
    expect(bea.page.get_by_text("No leads yet")).to_be_visible()
    joe = people.visitor()
    joe.visit(place.address)
    joe.introduce("Joe Visitor", email="joe@example.com")
    joe.say("Does the Alto whistle in A?")
    leads = bea.page.locator(".lead-head")
    expect(leads).to_have_count(1)
    leads.click()
    details = bea.page.get_by_role("region", name="Details of Joe Visitor · Shop")
    expect(details).to_contain_text("The transcript is attached when the dialogue is closed.")

    kim = people.visitor()
    kim.visit(place.address)
    kim.introduce("Kim", email="kim@example.com")
    kim.say("And the Tenor?")
    expect(leads).to_have_count(2)
    expect(details).to_contain_text("The transcript is attached when the dialogue is closed.")

    ann.page.get_by_role("listitem").filter(has_text="Joe Visitor").get_by_role("link").click()
    ann.answer("It does, at 440 Hz.")
    ann.close("answered")
    bea.await_transcript()
    expect(details.locator(".transcript .said").first).to_have_text("Does the Alto whistle in A?")
    expect(leads).to_have_count(2)


def test_stranger_without_an_address_is_answered_and_makes_no_lead(people, place):
    """Who skips the form is answered all the same; the operator is told to ask for an address, and no lead is made without one."""
    ann = people.operator()
    joe = people.visitor()
    joe.visit(place.address)
    joe.page.get_by_role("button", name="Skip").click()
    joe.say("Where is your shop?")
    ann.take()
    expect(ann.rows).to_contain_text("Unnamed")
    ann.answer("In Harbour Street.")
    expect(joe.answers).to_have_text(["In Harbour Street."])
    ann.close()
    expect(ann.page.get_by_text("This dialogue is closed.")).to_be_visible()
    expect(joe.page.get_by_text("The conversation is closed.")).to_be_visible()

    expect(ann.contact).to_contain_text("No phone or e-mail yet.")
    ann.open_leads()
    expect(ann.page.get_by_text("No leads yet")).to_be_visible()
