"""A visitor of a site asks to be called: what they are told, and what the operators see. No telephone rings: its exchange is not there."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.journeys.people import NO_ROAD, SEE_SECONDS, expect

pytestmark = pytest.mark.browser

RETURN_MS = 20_000
NUMBER = "8 912 345-67-89"
DIALLED = "+79123456789"
SOON = f"We will call you at {DIALLED} as soon as somebody is free."
FAILED = re.compile(r"Failed to load resource: net::ERR_FAILED .*/widget/view-.*\.js$")
"""What a browser writes when a part of the widget cannot be fetched."""

SHOP = """
[lines.shop]
name = "Shop"
operators = ["admin"]

[channels.shop]
kind = "widget"
line = "shop"
settings = { callback = true }

[channels.shop-phone]
kind = "phone"
line = "shop"
"""


@pytest.fixture
def settings():
    """A telephone whose exchange answers nobody: calls wait in the queue."""
    return """
[telephone]
listen = "127.0.0.1:0"
secret = "not a secret"
manager = "127.0.0.1:1"
manager_secret = "nor this"
"""


@pytest.fixture
def shop(place):
    """The demo shop, with a number to call from, whose visitors may ask to be called."""
    place.command("apply", str(place.write("house.toml", SHOP)))
    return place


class Asking:
    """What a visitor does and sees where they ask to be called."""

    def __init__(self, visitor) -> None:
        self.page = visitor.page
        self.view = self.page.locator(".callback")
        self.phone = self.view.get_by_label("Phone")
        self.name = self.view.get_by_label("Name")
        self.later = self.view.get_by_label("At a time")
        self.moment = self.view.get_by_label("Day and time")
        self.button = self.view.get_by_role("button", name="Call me")
        self.back = self.view.get_by_role("button", name="Back to the chat")
        self.promise = self.view.get_by_role("status")
        self.complaint = self.view.get_by_role("alert")
        self.telephone = self.page.get_by_role("button", name="Call me back")

    def open(self) -> Asking:
        """Press the telephone, and see where one writes."""
        self.telephone.click()
        expect(self.phone).to_be_focused()
        return self


def _calls(operator, place):
    """Return the calls that the console's server tells of: their standing."""
    answer = operator.page.request.get(f"{place.address}/api/v1/sessions")
    assert answer.status == 200
    return [item["status"] for item in answer.json()["items"] if item["channel"] == "phone"]


def _sees_calls(operator, place, wanted):
    """See that the calls stand so: what is promised is stored, and decided a moment later."""
    deadline = time.monotonic() + SEE_SECONDS
    while len(_calls(operator, place)) < len(wanted) and time.monotonic() < deadline:
        operator.page.wait_for_timeout(20)
    assert wanted == _calls(operator, place)


def test_visitor_is_promised_a_call(people, shop):
    """The promise has the number as it will be dialled; the call waits in the operators' queue, and the chat is as it was left."""
    ann = people.operator()
    joe = people.visitor()
    joe.visit(shop.address)
    joe.page.get_by_label("E-mail").fill("joe@example")
    asking = Asking(joe).open()
    asking.phone.fill(NUMBER)
    asking.name.fill("Joe Visitor")
    asking.button.click()

    expect(asking.promise).to_have_text(SOON)
    expect(asking.back).to_be_focused()
    ann.list.get_by_role("link", name="Waiting 1").click()
    expect(ann.rows).to_contain_text("Joe Visitor")
    expect(ann.rows).to_contain_text("To be called")
    _sees_calls(ann, shop, ["queued"])
    asking.back.press("Enter")
    expect(asking.view).to_have_count(0)
    expect(joe.page.get_by_label("E-mail")).to_have_value("joe@example")
    expect(joe.page.get_by_label("Name")).to_be_focused()


def test_number_that_cannot_be_called_is_told_beside_what_was_typed(people, shop):
    """Nothing is promised; the keyboard is where the number is, and a better one is called."""
    ann = people.operator()
    joe = people.visitor()
    joe.visit(shop.address)
    asking = Asking(joe).open()
    asking.phone.press("Enter")
    expect(asking.phone).to_be_focused()  # the browser has said that it is needed
    asking.phone.fill("12")
    asking.name.fill("Joe Visitor")
    asking.button.click()

    expect(asking.complaint).to_have_text("We cannot call this number. Please check it, or give another one.")
    expect(asking.phone).to_be_focused()
    expect(asking.phone).to_have_value("12")
    expect(asking.name).to_have_value("Joe Visitor")
    assert [] == _calls(ann, shop)
    asking.phone.fill(NUMBER)
    asking.phone.press("Enter")
    expect(asking.promise).to_have_text(SOON)
    expect(asking.complaint).to_have_count(0)


def test_number_that_waits_for_a_call_already_is_told(people, shop):
    """Two calls to one number wait at most; what is asked beyond that is refused, and the first two stay."""
    ann = people.operator()
    joe = people.visitor()
    joe.visit(shop.address)
    asking = Asking(joe).open()
    another = asking.view.get_by_role("button", name="Another number or time")
    asking.phone.fill(NUMBER)
    asking.button.click()
    another.click()
    expect(asking.phone).to_be_focused()
    expect(asking.phone).to_have_value(NUMBER)
    asking.button.click()
    another.click()
    asking.button.click()

    expect(asking.complaint).to_have_text("This number is waiting for our call already.")
    _sees_calls(ann, shop, ["queued", "queued"])


def _from_now(**away):
    """Return a moment by the clock of this machine, which is the browser's."""
    return datetime.now().astimezone() + timedelta(**away)


def test_call_at_a_time_of_their_own(people, shop):
    """The next full hour is proposed; of what is behind or beyond 30 days the browser says so before anything is sent."""
    joe = people.visitor()
    joe.visit(shop.address)
    asking = Asking(joe).open()
    asking.phone.fill(NUMBER)
    asking.later.check()
    proposed = asking.moment.input_value()
    assert proposed.endswith(":00")
    for days in (-1, 31):
        asking.moment.fill(_from_now(days=days).strftime("%Y-%m-%dT10:00"))
        asking.button.click()
        assert not asking.moment.evaluate("field => field.checkValidity()")
        expect(asking.button).to_be_enabled()
    tomorrow = _from_now(days=1)
    asking.moment.fill(tomorrow.strftime("%Y-%m-%dT14:30"))
    asking.button.click()

    said = f"We will call you at {DIALLED} on {tomorrow.strftime('%B')} {tomorrow.day}"
    expect(asking.promise).to_have_text(re.compile(rf"^{re.escape(said)}.* at 2:30.PM\.$"))


def _close(place):
    """Let the shop be open on the day after tomorrow only."""
    day = (datetime.now(UTC) + timedelta(days=2)).strftime("%a").lower()
    hours = f"""
[lines.shop.settings.hours]
zone = "UTC"
week = {{ {day} = ["09:00-18:00"] }}
"""
    place.command("apply", str(place.write("house.toml", SHOP + hours)))


def test_closed_shop_calls_when_it_opens(people, shop):
    """The choice says when that is, and so does the promise; a time before it is moved there, and that is said."""
    _close(shop)
    joe = people.visitor()
    joe.visit(shop.address)
    asking = Asking(joe).open()
    asking.phone.fill(NUMBER)
    opening = asking.view.get_by_label("When we open, on ")
    expect(opening).to_be_checked()
    asking.button.click()

    when = r"on \w+ \d+(, \d+)? at \d+:\d\d.[AP]M\."
    expect(asking.promise).to_have_text(re.compile(rf"^We will call you at {re.escape(DIALLED)} {when}$"))
    asking.view.get_by_role("button", name="Another number or time").click()
    asking.later.check()
    asking.moment.fill(_from_now(hours=2).strftime("%Y-%m-%dT%H:00"))
    asking.button.click()
    expect(asking.promise).to_have_text(re.compile(rf"^We are closed at the time you chose\. .* {when}$"))


def test_who_speaks_russian_is_spoken_to_in_russian(people, shop):
    """On the public page of the line, which has nothing to close; the refusal too is in the visitor's language."""
    joe = people.visitor()
    joe.page.goto(f"{shop.address}/chat/shop?lang=ru")
    joe.page.get_by_role("button", name="Перезвоните мне").click()
    phone = joe.page.get_by_label("Телефон")
    expect(phone).to_be_focused()
    phone.fill("12")
    ask = joe.page.get_by_role("button", name="Позвоните мне")
    ask.click()
    expect(joe.page.get_by_text("По этому номеру позвонить не получится.")).to_be_visible()
    phone.fill(NUMBER)
    ask.click()

    expect(joe.page.get_by_text(f"Позвоним вам по номеру {DIALLED}, как только кто-нибудь освободится.")).to_be_visible()
    joe.page.get_by_role("button", name="Вернуться в чат").click()
    expect(joe.page.get_by_role("textbox", name="Имя")).to_be_focused()


def test_request_without_a_connection_goes_out_with_the_next_one(people, shop, road):
    """It is under way until then, over a closed panel too; the server has it once."""
    ann = people.operator()
    joe = people.visitor()
    joe.watch.excuse(NO_ROAD)
    way = road()
    joe.visit(way.address)
    asking = Asking(joe).open()
    way.cut()
    expect(joe.banner).to_be_visible()
    asking.phone.fill(NUMBER)
    asking.button.click()

    sending = asking.view.get_by_role("button", name="Sending…")
    expect(sending).to_be_disabled()
    expect(asking.phone).not_to_be_editable()
    sending.click(force=True)
    joe.page.keyboard.press("Escape")
    expect(asking.view).to_have_count(0)
    joe.page.get_by_role("button", name="Chat", exact=True).click()
    expect(sending).to_be_visible()
    assert [] == _calls(ann, shop)
    way.mend()
    joe.hurry()
    expect(asking.promise).to_have_text(SOON, timeout=RETURN_MS)
    _sees_calls(ann, shop, ["queued"])


def _lose_a_promise(page):
    """Break the visitor's connection at the first promise, which does not arrive; return the list in which it will be."""
    lost: list[str] = []

    def opened(socket):
        server = socket.connect_to_server()

        def heard(text):
            if lost or '"promised"' not in text:
                socket.send(text)
                return
            lost.append(text)
            socket.close(code=1012)

        server.on_message(heard)

    page.route_web_socket(re.compile("/ws/visitor"), opened)
    return lost


def test_promise_that_was_lost_is_given_again(people, shop):
    """The request was stored, and goes out again under its id: one promise is seen, and there is one call."""
    ann = people.operator()
    joe = people.visitor()
    lost = _lose_a_promise(joe.page)
    joe.visit(shop.address)
    asking = Asking(joe).open()
    asking.phone.fill(NUMBER)
    asking.button.click()

    expect(asking.promise).to_have_text(SOON, timeout=RETURN_MS)
    assert 1 == len(lost)
    _sees_calls(ann, shop, ["queued"])


def test_part_that_cannot_be_fetched_is_fetched_at_the_next_press(people, shop):
    """The chat stays, and says so."""
    joe = people.visitor()
    joe.watch.excuse(FAILED)
    joe.page.route("**/widget/view-*.js", lambda route: route.abort())
    joe.visit(shop.address)
    asking = Asking(joe)
    asking.telephone.click()

    expect(joe.page.get_by_text("That did not load. Please try again.")).to_be_visible()
    expect(joe.page.get_by_label("E-mail")).to_be_visible()
    joe.page.unroute("**/widget/view-*.js")
    asking.open()
    expect(joe.page.get_by_text("That did not load. Please try again.")).to_have_count(0)


def test_what_is_said_meanwhile_waits_to_be_read(people, shop):
    """Behind the view nobody reads: the way back says how much there is, and it is read there."""
    ann = people.operator()
    joe = people.visitor()
    joe.visit(shop.address)
    joe.introduce("Joe Visitor", email="joe@example.com")
    joe.say("Does the Alto whistle in A?")
    ann.take()
    asking = Asking(joe).open()
    expect(asking.name).to_have_count(0)  # they have told it
    ann.answer("It does.")

    expect(asking.back).to_have_text("Back to the chat Unread: 1")
    expect(ann.marks.last).to_have_attribute("data-fate", "delivered")
    asking.back.click()
    expect(joe.answers).to_have_text(["It does."])
    expect(joe.writing).to_be_focused()
    expect(ann.marks.last).to_have_attribute("data-fate", "read")


def test_nobody_is_asked_where_nobody_calls(people, place):
    """Without `callback` in the channel's settings there is no such button."""
    joe = people.visitor()
    joe.visit(place.address)

    expect(joe.page.get_by_label("E-mail")).to_be_visible()
    expect(Asking(joe).telephone).to_have_count(0)
