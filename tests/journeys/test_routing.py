"""What operators and supervisors do with a dialogue, as they and the customer see it: passed on, joined, taken over, put by, banned."""

from __future__ import annotations

import re

import pytest

from tests.journeys.people import expect

pytestmark = pytest.mark.browser

PASSWORD = "a whistle in the dark"
NO_REVIEW = re.compile(r"Failed to load resource: .* 404 .*/review$")
"""A browser writes so when the console asks for a review that nobody has written yet."""


def _house(place, **settings):
    """Give the shop two operators, the first asked first; the administrator only supervises."""
    place.write("password", PASSWORD)
    wanted = "\n".join(f"{name} = {value}" for name, value in settings.items())
    house = f"""
[operators.ann]
name = "Ann"
password_file = "password"

[operators.bob]
name = "Bob"
password_file = "password"

[lines.shop]
name = "Shop"
operators = ["ann", "bob"]

[lines.shop.settings]
distribution = "strictly"
{wanted}
"""
    place.command("apply", str(place.write("house.toml", house)))


def _ask(people, place, text, name="Joe Visitor"):
    """Return a visitor who has asked something."""
    joe = people.visitor()
    joe.visit(place.address)
    joe.introduce(name, email=f"{name.partition(' ')[0].lower()}@example.com")
    joe.say(text)
    return joe


def _act(operator, action):
    """Choose from the menu of the dialogue that is open."""
    operator.page.get_by_role("button", name="More actions").click()
    operator.page.get_by_role("menuitem", name=action).click()


def _choose(operator, title, whom, note=""):
    """Answer the question *title*: to whom, and with what note."""
    question = operator.page.get_by_role("dialog", name=title)
    question.get_by_role("radio", name=whom).check()
    if note:
        question.get_by_label("Note").fill(note)
    question.locator("button[type=submit]").click()


def test_dialogue_is_passed_on_joined_and_taken_over(people, place):
    """A colleague gets the dialogue with a note that the customer never sees; who joins answers too; a supervisor takes it over.

    Why it went where it went stands beside it, in words, for everybody who may see it.
    """
    _house(place)
    ann = people.operator(login="ann", password=PASSWORD)
    bob = people.operator(login="bob", password=PASSWORD)
    boss = people.operator()
    joe = _ask(people, place, "Do you repair Altos?")
    ann.take()
    expect(ann.page.get_by_role("link", name="Board")).to_have_count(0)

    ann.page.keyboard.press("Alt+r")
    _choose(ann, "Transfer the dialogue", "Bob", note="He is a friend of the owner")
    expect(bob.rows).to_contain_text("From Ann")
    expect(ann.rows).to_contain_text("Passed on, not taken yet")
    bob.take()
    expect(bob.notes).to_have_text(["He is a friend of the owner"])
    bob.answer("We do.")
    expect(joe.answers).to_have_text(["We do."])

    _act(bob, "Invite a colleague…")
    _choose(bob, "Invite a colleague", "Ann")
    people_of = bob.page.get_by_role("list", name="People and rating")
    expect(people_of).to_contain_text("Ann · invited")
    expect(ann.rows).to_contain_text("Invited")
    ann.rows.get_by_role("link").click()
    ann.page.get_by_role("button", name="Join", exact=True).click()
    expect(ann.page.get_by_text("You joined; Bob has the dialogue.")).to_be_visible()
    ann.answer("It takes a week.")
    expect(joe.answers).to_have_text(["We do.", "It takes a week."])
    expect(people_of.locator("bdi")).to_have_text(["You", "Ann"])

    boss.list.get_by_role("link", name="All").click()
    boss.rows.get_by_role("link").click()
    _act(boss, "Take over")
    expect(boss.writing).to_be_editable()
    boss.answer("For you it is free.")
    expect(joe.answers).to_have_text(["We do.", "It takes a week.", "For you it is free."])
    expect(bob.rows).to_have_count(0)
    expect(boss.page.get_by_role("list", name="People and rating").locator("bdi")).to_have_text(["You", "Ann"])

    boss.page.keyboard.press("Alt+w")
    why = boss.page.get_by_role("complementary", name="Why me?")
    steps = why.locator(".decision")
    expect(steps.first).to_contain_text("Administrator")
    offered = steps.filter(has_text="Offered to Ann")
    expect(offered).to_contain_text("strictly in order")
    offered.get_by_text("2 seats considered").click()
    expect(offered.locator(".seat.chosen")).to_contain_text("Ann")
    expect(offered.locator(".seat:not(.chosen)")).to_contain_text("Bob")
    boss.page.get_by_label("Your settings").click()
    boss.page.get_by_label("Language").select_option("ru")
    expect(boss.page.locator(".decision", has_text="Диалог предложен: Ann.")).to_be_visible()
    boss.page.get_by_label("Язык").select_option("en")
    boss.page.keyboard.press("Escape")
    why.get_by_role("button", name="Hide the reasons").click()
    expect(why).to_be_hidden()

    boss.page.get_by_role("link", name="Board").click()
    shop = boss.page.get_by_role("table", name="Lines").get_by_role("row", name="Shop")
    expect(shop.locator("[data-name=Active]")).to_have_text("1")
    expect(shop.locator("[data-name=Waiting]")).to_have_text("0")
    expect(boss.page.get_by_role("table", name="People").get_by_role("row", name="Bob")).to_contain_text("0 of 100")

    joe.page.reload()
    expect(joe.answers).to_have_text(["We do.", "It takes a week.", "For you it is free."])
    expect(joe.page.get_by_text("friend of the owner")).to_have_count(0)


def test_snoozed_dialogue_comes_back_by_the_customers_word(people, place):
    """A dialogue that was put by is out of the way until its time, a click, or the customer's next word."""
    _house(place)
    ann = people.operator(login="ann", password=PASSWORD)
    joe = _ask(people, place, "Is the Bass in stock?")
    ann.take()
    ann.answer("I will ask.")

    ann.page.keyboard.press("Alt+s")
    ann.page.get_by_role("dialog", name="Snooze until").get_by_role("button", name="In 1 hour").click()
    snoozed = ann.list.get_by_role("region", name="Snoozed")
    expect(snoozed.get_by_role("listitem")).to_contain_text("until ")
    expect(ann.page.get_by_text("Snoozed until ")).to_be_visible()
    expect(ann.page).to_have_title("Omniline")
    ann.page.get_by_role("button", name="Wake now").click()
    expect(snoozed).to_have_count(0)
    expect(ann.rows).to_contain_text("Active")

    _act(ann, "Snooze…")
    ann.page.get_by_role("dialog", name="Snooze until").get_by_role("button", name="Tomorrow morning").click()
    expect(snoozed.get_by_role("listitem")).to_have_count(1)
    joe.say("I can wait until Friday")
    expect(snoozed).to_have_count(0)
    expect(ann.theirs.last).to_have_text("I can wait until Friday")
    expect(ann.page).to_have_title("(1) Omniline")
    ann.answer("Friday it is.")
    expect(joe.answers).to_have_text(["I will ask.", "Friday it is."])


def test_spam_is_closed_without_a_word_and_a_ban_can_be_lifted(people, place):
    """Who is banned is answered by nobody, and is not told so; a supervisor lifts the ban, and the next word opens the dialogue again."""
    _house(place)
    ann = people.operator(login="ann", password=PASSWORD)
    boss = people.operator()
    boss.watch.excuse(NO_REVIEW)
    joe = _ask(people, place, "Buy my pills")
    ann.take()
    _act(ann, "Mark as spam…")
    question = ann.page.get_by_role("dialog", name="Mark as spam")
    question.get_by_label("Ban this contact").check()
    question.get_by_role("button", name="Mark as spam and ban").click()
    expect(ann.page.get_by_text("This dialogue is closed.")).to_be_visible()
    expect(joe.page.get_by_text("Thank you for writing to us")).to_have_count(0)
    joe.say("And my watches")
    expect(joe.own).to_have_text(["Buy my pills", "And my watches"])

    boss.list.get_by_role("link", name="All").click()
    boss.rows.get_by_role("link").click()
    expect(boss.contact).to_contain_text("Banned")
    boss.contact.get_by_role("button", name="Lift the ban").click()
    expect(boss.contact.get_by_text("Banned")).to_have_count(0)
    joe.say("I am sorry, where is my order?")
    expect(ann.rows).to_contain_text("where is my order?")
    expect(ann.writing).to_be_editable()


def test_supervisor_is_told_closes_many_reviews_and_writes_first(people, place):
    """A late answer is told at once; dialogues are closed together; a closed one is reviewed, pinned, and begun again by writing first."""
    _house(place, kpi_first_seconds=1)
    ann = people.operator(login="ann", password=PASSWORD)
    boss = people.operator()
    boss.watch.excuse(NO_REVIEW)
    joe = _ask(people, place, "Anybody there?")
    ann.take()
    alert = boss.page.get_by_role("link", name=re.compile("The first answer is late Joe Visitor"))
    expect(alert).to_be_visible()
    expect(ann.page.get_by_text("The first answer is late")).to_have_count(0)
    alert.click()
    expect(boss.theirs).to_have_text(["Anybody there?"])
    kim = _ask(people, place, "Hello?", name="Kim Caller")
    expect(ann.rows).to_have_count(2)
    ann.rows.filter(has_text="Kim Caller").get_by_role("button", name="Take").click()
    expect(ann.theirs).to_have_text(["Hello?"])

    boss.list.get_by_role("link", name="All").click()
    expect(boss.rows).to_have_count(2)
    boss.page.get_by_role("button", name="Select several").click()
    chosen = boss.page.get_by_role("toolbar", name="The selected dialogues")
    chosen.get_by_role("checkbox", name="All").check()
    chosen.get_by_role("button", name="Close…").click()
    boss.page.get_by_role("dialog", name="Close 2 dialogues").get_by_role("button", name="Close 2 dialogues").click()
    result = boss.page.get_by_role("dialog", name="Close 2 dialogues")
    expect(result).to_contain_text("Accepted for closing: 2 of 2.")
    result.get_by_role("button", name="Close", exact=True).click()
    for one in (joe, kim):
        expect(one.page.get_by_text("The conversation is closed.")).to_be_visible()
    chosen.get_by_role("button", name="Cancel").click()

    boss.rows.filter(has_text="Joe Visitor").get_by_role("link").click()
    boss.page.get_by_text("Review this dialogue").click()
    boss.page.get_by_role("radio", name="4 stars of 5").check(force=True)
    boss.page.get_by_label("Comment").fill("Friendly, but slow")
    boss.page.get_by_role("button", name="Save the review").click()
    expect(boss.page.get_by_text("Review by Administrator")).to_be_visible()
    boss.page.keyboard.press("Alt+p")
    expect(boss.page.get_by_role("list", name="People and rating")).to_contain_text("Pinned")
    boss.page.reload()
    boss.list.get_by_role("link", name="Mine").click()
    pinned = boss.list.get_by_role("region", name="Pinned")
    expect(pinned.get_by_role("listitem")).to_contain_text("Joe Visitor")

    pinned.get_by_role("link").click()
    boss.page.get_by_role("button", name="Write first").click()
    boss.answer("We are sorry for the wait.")
    expect(joe.answers).to_have_text(["We are sorry for the wait."])
    expect(boss.ours).to_have_text(["We are sorry for the wait."])
    expect(boss.page.get_by_role("main").get_by_role("button", name="Close", exact=True)).to_be_visible()
