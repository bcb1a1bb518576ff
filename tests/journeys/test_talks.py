"""A talk as the console shows it in a browser: the built page before a gateway that is played, for no telephone rings in a journey."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Route, WebSocketRoute

from tests.journeys.people import SEE_SECONDS, Watch, expect

pytestmark = pytest.mark.browser

STATIC = Path(__file__).parents[2] / "broker" / "web" / "static" / "console"
ORIGIN = "http://omniline.test"
SESSION = "01890a5d-ac96-774b-bcce-b30200000001"
NOW = int(time.time() * 1000)
PEOPLE = {"ann": "Ann Lee", "bob": "Bob Marsh", "sue": "Sue Holt"}


def call(status: str = "active", operator: str = "ann", **talk: Any) -> dict[str, Any]:
    """Return the card of a call."""
    known = {"operator": operator, "operator_name": PEOPLE[operator]} if operator else {}
    names = {"line": "shop", "line_name": "Shop", "channel": "phone", "contact": "joe", "contact_name": "Joe Visitor"}
    about = {"number": "+79001234567"} | talk
    times = {"opened": NOW - 60_000, "changed": NOW}
    return {"session": SESSION, "conversation": "c1", "status": status, **names, **times, **known, "talk": about}


class Desk:
    """The console of one person, whose gateway says what a test has it say."""

    def __init__(self, context: BrowserContext, me: str, role: str, card: dict[str, Any], where: str) -> None:
        self.done: list[dict[str, Any]] = []
        """The deeds that have come, without their ids."""
        self.card = card
        self._me = {"id": me, "login": me, "name": PEOPLE[me], "role": role, "language": "en", "presence": "online"}
        self._told = 0
        self._socket: WebSocketRoute | None = None
        self.page = context.new_page()
        self.page.route("**/console/**", self._static)
        self.page.route("**/api/v1/**", self._rest)
        self.page.route_web_socket("**/ws/operator", self._open)
        self.page.goto(f"{ORIGIN}/console/{where}")
        self.main = self.page.get_by_role("main")

    def tell(self, card: dict[str, Any]) -> None:
        """Say that the call stands so now."""
        self.card = card
        self._told += 1
        assert self._socket is not None
        self._socket.send(json.dumps({"t": "updates", "n": self._told, "at": "m", "list": [{"card": card}]}))

    def button(self, name: str) -> Any:
        """Return a button of the call that is open."""
        return self.main.get_by_role("button", name=name, exact=True)

    def did(self, **wanted: Any) -> None:
        """See that this was done since it was asked last, and nothing else."""
        deadline = time.monotonic() + SEE_SECONDS
        while not self.done and time.monotonic() < deadline:
            self.page.wait_for_timeout(20)
        assert [{"session": SESSION, **wanted}] == self.done
        self.done.clear()

    @staticmethod
    def _static(route: Route) -> None:
        path = STATIC / (route.request.url.partition("/console/")[2] or "index.html")
        route.fulfill(path=str(path)) if path.is_file() else route.fulfill(status=404)

    def _rest(self, route: Route) -> None:
        path = route.request.url.partition("/api/v1")[2]
        person = {"on_shift": True, "presence": "online", "load": 0, "budget": 100, "lines": ["shop"]}
        people = [{"id": id_, "name": name, "phone": id_ != "sue", **person} for id_, name in PEOPLE.items()]
        known = {"number": "+79001234567", "called": "100", "talk_at": None, "talk_ended_at": None, "stars": 0, "problem": ""}
        answers: dict[str, Any] = {
            "/me": self._me,
            "/targets": {"lines": [], "operators": people},
            f"/sessions/{SESSION}/call": known
            | {"came_at": "2026-01-01T00:00:00Z", "recording": False, "voicemail": False, "voicemail_seconds": 0},
        }
        route.fulfill(json=answers[path])

    def _open(self, socket: WebSocketRoute) -> None:
        self._socket = socket
        socket.on_message(self._hear)

    def _hear(self, text: str | bytes) -> None:
        frame = json.loads(text)
        assert self._socket is not None
        answer: dict[str, Any] | None = None
        match frame["t"]:
            case "hello":
                colleagues = [{"id": id_, "name": name, "presence": "online"} for id_, name in PEOPLE.items()]
                counts = {"mine": 1, "waiting": 0}
                lists = {"colleagues": colleagues, "counts": counts, "mine": [self.card], "waiting": []}
                answer = {"t": "snapshot", "at": "m", "me": self._me, "now": NOW, **lists}
            case "list":
                answer = {"t": "page", "box": frame["box"], "cards": [self.card]}
            case "open":
                earlier = [call("closed") | {"session": SESSION[:-1] + "2", "talk": None}]
                leads = [{"id": "l1", "title": "Altos", "stage": "new"}, {"id": "l2", "title": "Old", "stage": "junk"}]
                contact = {"id": "joe", "name": "Joe Visitor", "earlier": earlier, "leads": leads}
                answer = {"t": "thread", "session": SESSION, "card": self.card, "contact": contact, "messages": [], "more": False}
            case "do":
                self.done.append({key: value for key, value in frame.items() if key not in ("t", "id")})
                answer = {"t": "accepted", "id": frame["id"]}
        if answer is not None:
            self._socket.send(json.dumps(answer))


@pytest.fixture
def sit(chromium: Browser):
    """Let somebody sit down before the console; no page may complain."""
    made: list[tuple[BrowserContext, Watch]] = []

    def sit_down(me: str, card: dict[str, Any], where: str = f"#/s/{SESSION}", role: str = "operator", width: int = 1440) -> Desk:
        context = chromium.new_context(viewport={"width": width, "height": 844}, locale="en-US")
        context.set_default_timeout(SEE_SECONDS * 1_000)
        made.append((context, Watch(context)))
        return Desk(context, me, role, card, where)

    yield sit_down
    for context, _ in made:
        context.close()
    assert [] == [one for _, watch in made for one in watch.complaints()]


@pytest.mark.parametrize("width", [390, 1440])
def test_a_talk_is_held_and_a_colleague_is_asked_by_the_keyboard(sit, width):
    """The buttons keep their places, so the focus stays; what changes is said; a call is handed over when the colleague has lifted."""
    ann = sit("ann", call(answered=NOW - 5_000), width=width)

    ann.button("Hold").focus()
    ann.page.keyboard.press("Enter")
    ann.did(verb="hold")
    ann.tell(call(answered=NOW - 5_000, held=NOW))
    expect(ann.main.get_by_role("status").filter(has_text="On hold. The caller hears music.")).to_be_visible()
    expect(ann.button("Resume")).to_be_focused()
    ann.page.keyboard.press("Alt+h")
    ann.did(verb="resume")
    ann.button("Ask a colleague…").click()
    question = ann.page.get_by_role("dialog", name="Ask a colleague about the call")
    expect(question.get_by_role("radio")).to_have_count(1)  # whoever has a phone, but for oneself
    question.get_by_role("radio", name="Bob Marsh").check()
    question.get_by_role("button", name="Ask").click()
    ann.did(verb="consult", operator="bob")
    ann.tell(call(held=NOW, consulted="bob") | {"invited": ["bob"]})
    expect(ann.main.get_by_role("status").filter(has_text="Asking Bob Marsh…")).to_be_visible()
    expect(ann.button("Hand over")).to_be_focused()
    expect(ann.button("Hand over")).to_be_disabled()
    ann.page.keyboard.press("Enter")
    assert [] == ann.done
    ann.tell(call(held=NOW, consulted="bob", lifted=True) | {"invited": ["bob"]})
    expect(ann.button("Hand over")).to_be_enabled()
    ann.page.keyboard.press("Enter")
    ann.did(verb="transfer", operator="bob")
    assert ann.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_talk_is_sent_to_a_number_outside(sit):
    """Typed as people write numbers; what is none is said beside the field, which keeps the focus."""
    ann = sit("ann", call())

    ann.button("Transfer…").click()
    question = ann.page.get_by_role("dialog", name="Transfer the call")
    expect(question.get_by_role("radio", name="Sue Holt")).to_be_disabled()  # she has no phone
    number = question.get_by_label("Or a number outside")
    number.fill("call me")
    number.press("Enter")
    expect(question.get_by_role("alert")).to_contain_text("2 to 20 characters")
    expect(number).to_be_focused()
    number.fill("+7 (900) 111-22-33")
    number.press("Enter")
    ann.did(verb="transfer", number="+79001112233")


def test_who_is_asked_sees_by_whom_and_about_whom(sit):
    """The call opens by itself while their phone rings."""
    bob = sit("bob", call(held=NOW, consulted="bob") | {"invited": ["bob"]}, where="#/mine")

    expect(bob.main.get_by_role("status").filter(has_text="Ann Lee asks you about this call. Lift your phone.")).to_be_visible()
    expect(bob.main.get_by_text("Joe Visitor · +7 900 123-45-67")).to_be_visible()
    expect(bob.button("Join")).to_have_count(0)
    bob.tell(call(held=NOW, consulted="bob", lifted=True) | {"invited": ["bob"]})
    expect(bob.main.get_by_role("status").filter(has_text="You speak with Ann Lee about this call.")).to_be_visible()


def test_who_calls_is_seen_before_the_phone_is_lifted(sit):
    """Name, number, earlier sessions and open leads, on a phone's screen too."""
    ann = sit("ann", call("offered", "") | {"offered_until": NOW + 600_000}, where="#/mine", width=390)

    for words in ("Joe Visitor · +7 900 123-45-67", "1, the last"):
        expect(ann.main.get_by_text(words)).to_be_visible()
    expect(ann.main.locator(".brief div").filter(has_text="Open leads").locator("dd")).to_have_text("1")


def test_a_supervisor_listens_from_the_list_of_calls(sit):
    """Their phone rings; how they are heard is said, and who else listens."""
    sue = sit("sue", call(answered=NOW - 65_000), where="#/calls", role="supervisor")
    row = sue.page.get_by_role("region", name="Dialogues").get_by_role("listitem")

    expect(row).to_contain_text("+7 900 123-45-67")
    row.get_by_role("button", name="Whisper").click()
    sue.did(verb="listen", how="whisper")
    row.get_by_role("link").click()
    expect(sue.main.get_by_text("the keys 4, 5 and 6")).to_be_visible()
    sue.tell(call(listens="sue"))
    expect(sue.main.get_by_role("status").filter(has_text="lift it to hear the talk")).to_be_visible()
    sue.tell(call(listeners=["sue", "ann"]))
    expect(sue.main.get_by_role("status").filter(has_text="You hear this talk.")).to_be_visible()
    expect(sue.button("Listen")).to_have_count(0)
    sue.tell(call("closed", missed=False))
    expect(row).to_have_count(0)


def test_missed_calls_stand_marked_until_their_callers_are_spoken_with(sit):
    """In a list of their own, which says what it is for when it is empty."""
    ann = sit("ann", call("closed", "", missed=True), where="#/missed")
    rows = ann.page.get_by_role("region", name="Dialogues").get_by_role("listitem")

    expect(rows).to_contain_text("Missed")
    ann.tell(call("closed", ""))
    expect(rows).to_have_count(0)
    expect(ann.page.get_by_text("No missed calls")).to_be_visible()
