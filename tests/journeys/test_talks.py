"""Calls as the console shows them in a browser: the built page before a gateway that is played, for no telephone rings in a journey."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Route, WebSocketRoute

from tests.journeys.people import SEE_SECONDS, Watch, expect

pytestmark = pytest.mark.browser

STATIC = Path(__file__).parents[2] / "broker" / "web" / "static" / "console"
ORIGIN = "http://omniline.test"
SESSION = "01890a5d-ac96-774b-bcce-b30200000001"
REFUSED_CALL = re.compile(r"status of 409 .*/api/v1/call(s|backs)$")
OUR_CALL = "01890a5d-ac96-774b-bcce-b30200000009"
NOW = int(time.time() * 1000)
PEOPLE = {"ann": "Ann Lee", "bob": "Bob Marsh", "sue": "Sue Holt"}


def call(status: str = "active", operator: str = "ann", **talk: Any) -> dict[str, Any]:
    """Return the card of a call."""
    known = {"operator": operator, "operator_name": PEOPLE[operator]} if operator else {}
    names = {"line": "shop", "line_name": "Shop", "channel": "phone", "contact": "joe", "contact_name": "Joe Visitor"}
    about = {"number": "+79001234567"} | talk
    times = {"opened": NOW - 60_000, "changed": NOW}
    return {"session": SESSION, "conversation": "c1", "status": status, **names, **times, **known, "talk": about}


def our_call(status: str, **talk: Any) -> dict[str, Any]:
    """Return the card of a call that ann makes."""
    return call(status, "ann" if status == "active" else "", outgoing=True, promised=NOW, **talk) | {
        "session": OUR_CALL,
        "conversation": "c9",
        "opened": NOW,
    }


class Desk:
    """The console of one person, whose gateway says what a test has it say."""

    def __init__(
        self,
        context: BrowserContext,
        me: str,
        role: str,
        card: dict[str, Any],
        where: str,
        lines: tuple[str, ...],
        *,
        phone: bool,
    ) -> None:
        self.done: list[dict[str, Any]] = []
        """The deeds that have come, without their ids."""
        self.asked: list[tuple[str, dict[str, Any]]] = []
        """The calls that were asked for: where, and what for."""
        self.known: dict[str, Any] = {}
        """What is known of the call beside that."""
        self.refuses: dict[str, Any] | None = None
        """The problem that asking for one meets."""
        self.card = card
        self._calls_from = [{"id": line.lower(), "name": line} for line in lines]
        self._me = {
            "id": me,
            "login": me,
            "name": PEOPLE[me],
            "role": role,
            "language": "en",
            "presence": "online",
            "phone": phone,
        }
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
        if route.request.method == "POST":
            wish = route.request.post_data_json
            assert isinstance(wish, dict)
            self.asked.append((path, wish))
            if self.refuses is not None:
                route.fulfill(status=self.refuses["status"], json=self.refuses)
            else:
                route.fulfill(status=202, json={"id": "i", "conversation_id": "c9", "line_id": "shop", "number": "+79001234567"})
            return
        person = {"on_shift": True, "presence": "online", "load": 0, "budget": 100, "lines": ["shop"]}
        people = [{"id": id_, "name": name, "phone": id_ != "sue", **person} for id_, name in PEOPLE.items()]
        known = {"number": "+79001234567", "called": "100", "talk_at": None, "talk_ended_at": None, "stars": 0, "problem": ""}
        known |= {"came_at": "2026-01-01T00:00:00Z", "recording": False, "voicemail": False, "voicemail_seconds": 0}
        talk = self.card["talk"] or {}
        ours = {"outgoing": True, "reached": talk.get("reached", False)}
        if self.card["status"] == "active":
            ours["talk_at"] = datetime.fromtimestamp(talk.get("answered", NOW) / 1000, UTC).isoformat()
        answers: dict[str, Any] = {
            "/me": self._me,
            "/targets": {"lines": [], "operators": people},
            f"/sessions/{SESSION}/call": known | {"outgoing": False, "reached": False} | self.known,
            f"/sessions/{OUR_CALL}/call": known | ours,
            # Asked for by supervisors as soon as the session is closed.
            f"/sessions/{SESSION}/review": {
                "stars": 5,
                "comment": "",
                "by": "sue",
                "by_name": "Sue Holt",
                "at": "2026-01-01T00:00:00Z",
            },
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
                answer = {"t": "snapshot", "at": "m", "me": self._me, "now": NOW, "calls_from": self._calls_from, **lists}
            case "list":
                answer = {"t": "page", "box": frame["box"], "cards": [self.card]}
            case "open":
                earlier = [call("closed") | {"session": SESSION[:-1] + "2", "talk": None}]
                leads = [{"id": "l1", "title": "Altos", "stage": "new"}, {"id": "l2", "title": "Old", "stage": "junk"}]
                points = [{"kind": "phone", "value": "8 (900) 123-45-67", "number": "+79001234567", "evidence": "message"}]
                contact = {"id": "joe", "name": "Joe Visitor", "earlier": earlier, "leads": leads, "points": points}
                answer = {
                    "t": "thread",
                    "session": frame["session"],
                    "card": self.card,
                    "contact": contact,
                    "messages": [],
                    "more": False,
                }
            case "do":
                self.done.append({key: value for key, value in frame.items() if key not in ("t", "id")})
                answer = {"t": "accepted", "id": frame["id"]}
        if answer is not None:
            self._socket.send(json.dumps(answer))


@pytest.fixture
def sit(chromium: Browser):
    """Let somebody sit down before the console; no page may complain."""
    made: list[tuple[BrowserContext, Watch]] = []

    def sit_down(
        me: str,
        card: dict[str, Any],
        where: str = f"#/s/{SESSION}",
        role: str = "operator",
        width: int = 1440,
        lines: tuple[str, ...] = ("Shop",),
        *,
        phone: bool = True,
    ) -> Desk:
        context = chromium.new_context(viewport={"width": width, "height": 844}, locale="en-US")
        context.set_default_timeout(SEE_SECONDS * 1_000)
        watch = Watch(context)
        watch.excuse(REFUSED_CALL)
        made.append((context, watch))
        return Desk(context, me, role, card, where, lines, phone=phone)

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


@pytest.mark.parametrize("width", [390, 1440])
def test_a_click_on_a_number_calls_it(sit, width):
    """The call opens by itself; what is done in a talk waits until the customer has answered, and the focus stays where it was."""
    ann = sit("ann", call("closed", "ann") | {"channel": "widget", "talk": None}, width=width)

    if width < 1_000:
        ann.button("Show the contact").click()
    ann.page.get_by_role("button", name="Call +7 900 123-45-67").click()
    expect(ann.page.get_by_text("Your phone rings in a moment")).to_be_visible()
    ((path, wish),) = ann.asked
    assert ("/calls", "+79001234567", SESSION) == (path, wish["number"], wish["session_id"])
    ann.tell(our_call("offered") | {"offered_until": NOW + 600_000})
    expect(ann.main.get_by_text("lift it, and the customer is called")).to_be_visible()
    assert ann.page.url.endswith(OUR_CALL)
    ann.tell(our_call("active", answered=NOW))
    expect(ann.main.get_by_role("status").filter(has_text="The customer is being called…")).to_be_visible()
    expect(ann.main.get_by_role("region", name="Call", exact=True)).to_contain_text("Calling…")
    for name in ("Hold", "Ask a colleague…", "Transfer…"):
        expect(ann.button(name)).to_be_disabled()
    ann.button("Hold").focus()
    ann.page.keyboard.press("Enter")
    ann.page.keyboard.press("Alt+h")
    ann.tell(our_call("active", answered=NOW, reached=True))
    expect(ann.button("Hold")).to_be_enabled()
    expect(ann.button("Hold")).to_be_focused()
    assert [] == ann.done
    ann.tell(our_call("closed", tries=1) | {"outcome": "not_reached"})
    expect(ann.main.get_by_text("Not reached", exact=False).first).to_be_visible()
    assert ann.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_somebody_is_promised_a_call(sit):
    """In a while by a click, or at a time of one's own; who has said it is asked first unless they would not be."""
    ann = sit("ann", call("closed", "ann"))

    ann.button("Call back later…").click()
    question = ann.page.get_by_role("dialog", name="Call back +7 900 123-45-67")
    expect(question.get_by_role("checkbox", name="Ask me first")).to_be_checked()
    question.get_by_label("Another day and time").fill("2020-01-01T10:00")
    question.evaluate("dialog => dialog.querySelector('form').noValidate = true")
    question.get_by_role("button", name="Plan").click()
    expect(question.get_by_role("alert")).to_contain_text("within 30 days")
    ann.refuses = {"status": 409, "code": "banned", "detail": "the server's words"}
    question.get_by_role("button", name="In 15 minutes").click()
    expect(question.get_by_role("alert")).to_contain_text("This contact is banned.")
    ann.refuses = None
    question.get_by_role("checkbox", name="Ask me first").uncheck()
    question.get_by_role("button", name="In 1 hour").click()
    expect(question).to_have_count(0)
    (_, first), (path, wish) = ann.asked
    assert ("/callbacks", "+79001234567", SESSION, [True, False]) == (
        path,
        wish["number"],
        wish["session_id"],
        [first["mine"], wish["mine"]],
    )
    assert 3_500 < datetime.fromisoformat(wish["at"]).timestamp() - NOW / 1_000 < 3_700
    assert first["id"] != wish["id"]


def test_any_number_is_called_by_the_keyboard(sit):
    """From a line of one's own; what is refused is said beside the field, and sent again it is the same call."""
    ann = sit("ann", call("closed", "ann"), where="#/mine", lines=("Shop", "Support"))

    expect(ann.page.get_by_role("button", name="New call")).to_be_visible()
    ann.page.keyboard.press("Alt+n")
    question = ann.page.get_by_role("dialog", name="New call")
    number = question.get_by_label("Number")
    expect(number).to_be_focused()
    number.fill("call me")
    number.press("Enter")
    expect(question.get_by_role("alert")).to_contain_text("2 to 20 characters")
    expect(number).to_be_focused()
    question.get_by_label("From the line").select_option("Support")
    number.fill("8 800 555-35-35")
    ann.refuses = {"status": 409, "code": "on_phone", "detail": "the server's words"}
    number.press("Enter")
    expect(question.get_by_role("alert")).to_contain_text("You are on a call already.")
    ann.refuses = None
    number.press("Enter")
    expect(question).to_have_count(0)
    (_, first), (path, wish) = ann.asked
    assert ("/calls", "8 800 555-35-35", "support") == (path, wish["number"], wish["line_id"])
    assert first == wish


def test_who_has_no_phone_is_told_so_and_without_a_telephone_nothing_is_offered(sit):
    """A button that cannot be pressed says why; others can call the customer all the same."""
    ann = sit("ann", call("closed", "ann"), phone=False)
    button = ann.page.get_by_role("button", name="Call +7 900 123-45-67")

    expect(button).to_be_disabled()
    button.click(force=True)
    expect(ann.page.get_by_text("No phone is set for you.")).to_be_visible()
    ann.button("Call back later…").click()
    question = ann.page.get_by_role("dialog")
    expect(question.get_by_role("checkbox", name="Ask me first")).to_be_disabled()
    question.get_by_role("button", name="In 1 hour").click()
    expect(question).to_have_count(0)
    assert [False] == [wish["mine"] for _, wish in ann.asked]

    bob = sit("bob", call("closed", "bob"), lines=())
    expect(bob.main.get_by_text("8 (900) 123-45-67")).to_be_visible()
    expect(bob.page.get_by_role("button", name="Call", exact=False)).to_have_count(0)
    bob.page.keyboard.press("Alt+n")
    expect(bob.page.get_by_role("dialog")).to_have_count(0)


def test_a_promised_call_says_when_and_is_made_sooner_by_a_click(sit):
    """It waits among those who wait, marked as ours; how often it was tried is said."""
    promised = call("queued", "", outgoing=True, promised=NOW + 25 * 60_000 + 30_000, tries=2)
    ann = sit("ann", promised, where="#/waiting")
    row = ann.page.get_by_role("region", name="Dialogues").get_by_role("listitem")

    expect(row.get_by_role("img", name="Outgoing call")).to_be_visible()
    for words in ("To be called", "in 25 min", "called 2 times, not reached"):
        expect(row).to_contain_text(words)
    row.get_by_role("button", name="Call now").click()
    ann.did(verb="take")


def test_a_talk_that_was_not_recorded_is_told_to_who_looks_at_it(sit):
    """It turns out some seconds after the talk, when the session has no more news."""
    ann = sit("ann", call())
    panel = ann.page.get_by_role("region", name="Call", exact=True)
    expect(panel).to_be_visible()
    times = {"talk_at": "2026-01-01T00:00:00Z", "talk_ended_at": datetime.now(UTC).isoformat()}
    ann.known = times
    ann.tell(call("closed") | {"closed": NOW})
    expect(panel).to_contain_text("Talked")
    ann.known = times | {"problem": "the talk was not recorded"}
    expect(panel).to_contain_text("the talk was not recorded")


def test_a_missed_call_is_done_with_from_its_list(sit):
    """Also one whose caller withheld their number, whom nobody can call back."""
    ann = sit("ann", call("closed", "", missed=True, number=""), where="#/missed")
    row = ann.page.get_by_role("region", name="Dialogues").get_by_role("listitem")
    expect(row.get_by_role("button", name="Call")).to_have_count(0)
    row.get_by_role("button", name="Done").click()
    ann.did(verb="settle")
    ann.tell(call("closed", "", number=""))
    expect(ann.page.get_by_text("No missed calls")).to_be_visible()


def test_a_missed_call_is_called_back_from_its_list(sit):
    """Unless somebody has promised to: then it says when."""
    ann = sit("ann", call("closed", "", missed=True), where="#/missed")
    row = ann.page.get_by_role("region", name="Dialogues").get_by_role("listitem")

    row.get_by_role("button", name="Call +7 900 123-45-67").click()
    expect(ann.page.get_by_text("Your phone rings in a moment")).to_be_visible()
    assert [("/calls", SESSION)] == [(path, wish["session_id"]) for path, wish in ann.asked]
    ann.tell(call("closed", "", missed=True, planned=NOW + 3_600_000))
    expect(row).to_contain_text("Call back planned:")
    ann.tell(call("closed", "", missed=True, planned=NOW - 1_000))
    expect(row).to_contain_text("Being called back")
