"""The customer's rating, all the way: asked for after the closing as the channel can, pressed or written, decided by the worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import pytest

from broker.domain import Capabilities, ConversationId, LineSettings, LoadKind, MessageId
from broker.events import Close, Event, Reply, Take
from broker.inbound import Accepted, accept, enter, prepare
from broker.outbound import Sender
from broker.ports import Outbound, Raw, Tx
from routing import worker
from routing.applying import House
from routing.replies import CATALOGUE
from tests.support.channels import PUSH, PUSH_BUTTONS, STREAM_BUTTONS, FakeChannel, pressed, wrote
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line, add_operator, load_house
from tests.support.replay import differences, journalled
from tests.support.store import MemoryStore

T = TypeVar("T")
HOUR = 3_600


class Answered:
    """A store that answers at once, awaited."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def write_each(self, work: Callable[[Tx, Sequence[Any]], Sequence[T]], item: Any, /) -> T:
        return self._store.write(lambda tx: work(tx, (item,)))[0]


class Dialogue:
    """Eve's dialogue with ann over a channel of *capabilities*, with everything between them; it begins answered."""

    def __init__(self, capabilities: Capabilities = PUSH_BUTTONS, language: str = "", **settings: Any) -> None:
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)

        def build(tx: Tx) -> None:
            line = add_line(tx, **settings)
            self.channel = FakeChannel(add_channel(tx, line), line, capabilities)
            self.ann = add_operator(tx, "ann", [line])

        self.store.write(build)
        directory = self.store.write(load_house).directory
        can_press = frozenset({self.channel.id} if capabilities.buttons else ())
        self._house = House(directory, {self.channel.id: LoadKind.CHAT}, can_press)
        self._sender = Sender(
            Answered(self.store),  # type: ignore[arg-type]
            self.clock,
            lambda _: self.channel,
            lambda _channel, _operator: "Shop",
            owner="t",
            fence=1,
        )
        self._deeds = 0
        accepted = self.come(wrote("1", "eve", "hello", language=language))
        assert accepted.conversation_id is not None
        self.conversation: ConversationId = accepted.conversation_id
        self.go_on()
        self.do(Take)
        self.do(Reply, message_id=MessageId("answer"))

    def come(self, raw: Raw) -> Accepted:
        """Accept what the customer's side says."""
        prepared = prepare(self.channel, [raw], LineSettings())
        return self.store.write(lambda tx: accept(tx, self.channel.id, prepared))[0]

    def press(self, value: str, id_: str = "press-1") -> Accepted:
        """Press a button and let everything follow."""
        accepted = self.come(pressed(id_, "eve", value))
        self.go_on()
        return accepted

    def write(self, text: str, id_: str = "written-1") -> None:
        """Write and let everything follow."""
        self.come(wrote(id_, "eve", text))
        self.go_on()

    def do(self, deed: Any, **more: Any) -> None:
        """Let ann do it."""
        self._deeds += 1

        def make(at: datetime) -> Event:
            event: Event = deed(at=at, operator_id=self.ann, command=f"k{self._deeds}", **more)
            return event

        self.store.write(lambda tx: enter(tx, "console", f"k{self._deeds}", self.conversation, make, b"good day"))
        self.go_on()

    def go_on(self) -> None:
        """Decide what came and send what is to go."""
        (conversation,) = (ConversationId(row[0]) for row in self.store.rows("SELECT id FROM conversations"))
        while self.store.write(lambda tx: worker.step(tx, conversation, self._house)):
            pass
        while asyncio.run(self._sender.step(conversation)):
            pass

    def heard(self) -> list[Outbound]:
        """Return what the customer was told after the closing words."""
        texts = [sent.text for sent in self.channel.far.shown()]
        closing = next(at for at, text in enumerate(texts) if text in CATALOGUE["close"].values())
        return self.channel.far.shown()[closing + 1 :]

    def told(self) -> list[str]:
        """Return the texts of those."""
        return [sent.text for sent in self.heard()]

    def rating(self) -> str | None:
        """Return what the session says of itself."""
        return self.ratings()[-1]

    def ratings(self) -> list[str | None]:
        """Return what each session says, the first of them first."""
        states = self.store.rows("SELECT state FROM sessions ORDER BY id")
        return [msgspec.json.decode(state).get("rating") for (state,) in states]


def closed(capabilities: Capabilities = PUSH_BUTTONS, **more: Any) -> Dialogue:
    """Return a dialogue that ann has closed."""
    made = Dialogue(capabilities, **more)
    made.do(Close)
    return made


THANKS = CATALOGUE["rating_thanks"]["en"]
LATE = CATALOGUE["rating_late"]["en"]


@pytest.mark.parametrize(
    ("language", "question", "labels"),
    [("en", "How did we do?", ("Good", "Bad")), ("ru", "Как мы справились?", ("Хорошо", "Плохо"))],
)
def test_where_there_are_buttons_the_question_has_two(language: str, question: str, labels: tuple[str, str]):
    """In the contact's language; it asks nobody to write a figure."""
    (asked,) = closed(language=language).heard()

    assert (asked.text, [one.label for one in asked.buttons]) == (question, list(labels))


def test_a_button_names_the_session_that_it_asks_about():
    """A press of it in a later session is still about this one."""
    dialogue = closed()
    (asked,) = dialogue.heard()
    session = dialogue.store.one("SELECT id FROM sessions")

    assert [one.value for one in asked.buttons] == [f"good:{session}", f"bad:{session}"]


def test_a_button_of_an_earlier_session_rates_that_one():
    """Its window to reopen has passed and another has begun: the press is kept where it belongs, thanked for once, and disturbs nobody."""
    dialogue = closed(rating_hours=2)
    (asked,) = dialogue.heard()
    dialogue.clock.move(3600)
    dialogue.write("something else")
    dialogue.press(asked.buttons[0].value)
    dialogue.press(asked.buttons[0].value, "press-2")

    assert dialogue.store.rows("SELECT status FROM sessions ORDER BY id") == [("closed",), ("queued",)]
    assert dialogue.ratings() == ["good", None]
    assert dialogue.told().count(THANKS) == 1
    assert dialogue.store.one("SELECT session_id = (SELECT min(id) FROM sessions) FROM messages WHERE text = ?", THANKS)
    assert dialogue.store.one("SELECT session_id = (SELECT max(id) FROM sessions) FROM conversations")


@pytest.mark.parametrize("of", ["019aa000-0000-7000-8000-000000000000", "theirs"])
def test_a_button_of_somebody_elses_session_is_nothing(of: str):
    """Whatever id a press makes up: neither this session nor that one is rated."""
    dialogue = closed()
    sessions = 1
    if of == "theirs":
        sessions += 1
        dialogue.come(wrote("2", "joe", "hello"))
        other = dialogue.store.one("SELECT id FROM conversations WHERE id != ?", dialogue.conversation)
        dialogue.store.write(lambda tx: worker.step(tx, ConversationId(other), dialogue._house))
        of = dialogue.store.one("SELECT id FROM sessions WHERE conversation_id = ?", other)
    dialogue.come(pressed("press-1", "eve", f"good:{of}"))
    dialogue.store.write(lambda tx: worker.step(tx, dialogue.conversation, dialogue._house))

    assert [None] * sessions == dialogue.ratings()


def test_without_buttons_the_customer_is_asked_to_write():
    """In words as before, and nothing to press goes out."""
    (asked,) = closed(PUSH).heard()

    assert (asked.text, asked.buttons) == (CATALOGUE["rating"]["en"], ())


def test_a_lines_own_question_has_the_buttons():
    """The administrator's words, with ours to press."""
    (asked,) = closed(rating_text={"en": "Happy?"}).heard()

    assert (asked.text, len(asked.buttons)) == ("Happy?", 2)


@pytest.mark.parametrize("capabilities", [PUSH_BUTTONS, STREAM_BUTTONS])
def test_a_press_rates_the_session_and_is_thanked_for_once(capabilities: Capabilities):
    """The provider's repeat of it is nothing, and so is the same button pressed again; the journal replays."""
    dialogue = closed(capabilities)

    fresh = [dialogue.press("good").fresh, dialogue.press("good").fresh, dialogue.press("good", "press-2").fresh]

    assert (fresh, dialogue.rating()) == ([True, False, True], "good")
    assert dialogue.told()[1:] == [THANKS]
    assert differences(journalled(dialogue.store)) == []


def test_the_last_press_counts():
    """Who changes their mind is heard, and not thanked twice."""
    dialogue = closed()
    dialogue.press("good")
    dialogue.press("bad", "press-2")

    assert (dialogue.rating(), dialogue.told()[1:]) == ("bad", [THANKS])


@pytest.mark.parametrize(("word", "rating"), [("1", "good"), ("0", "bad"), ("Good", "good"), ("плохо", "bad")])
def test_words_are_understood_beside_buttons(word: str, rating: str):
    """A figure, or what the button says: some programs send a button's words."""
    dialogue = closed()
    dialogue.write(word)

    assert (dialogue.rating(), dialogue.told()[1:]) == (rating, [THANKS])


def test_a_late_press_is_answered_and_changes_nothing():
    """After the time for it the customer is told so; who rated in time hears nothing more."""
    late, changed = closed(rating_hours=1), closed(rating_hours=1)
    changed.press("good")
    for dialogue in (late, changed):
        dialogue.clock.move(2 * HOUR)
        dialogue.press("bad", "press-2")

    assert (late.rating(), late.told()[1:]) == (None, [LATE])
    assert (changed.rating(), changed.told()[1:]) == ("good", [THANKS])


def test_a_press_while_nobody_asks_is_nothing():
    """An old button, pressed in a session that goes on, or where the line asks for no rating."""
    for dialogue in (Dialogue(), closed(rating=False)):
        before = len(dialogue.channel.far.shown())

        assert dialogue.press("good").fresh
        assert (dialogue.rating(), len(dialogue.channel.far.shown())) == (None, before)


def test_a_press_that_says_nothing_we_know_stops_nobody():
    """It becomes a dead letter; the next press counts."""
    dialogue = closed()

    assert dialogue.press("wonderful").dead is not None
    assert dialogue.press("good", "press-2").dead is None
    assert (dialogue.rating(), dialogue.told()[1:]) == ("good", [THANKS])
