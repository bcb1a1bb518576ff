"""What callers hear, made in the console: an administrator uploads it, records it, has it used by a line, and deletes it."""

from __future__ import annotations

import io
import math
import os
import re
import wave
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, sync_playwright

from tests.journeys.conftest import FLAGS
from tests.journeys.people import Operator, expect

pytestmark = pytest.mark.browser

FAKE_MICROPHONE = (
    "--use-fake-device-for-media-stream",  # one that beeps
    "--use-fake-ui-for-media-stream",  # and whose use is allowed
)
UPLOADED_RATE = 44_100
TELEPHONE_RATE = 8_000
_NOT_ALLOWED = """() => {
  navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", "NotAllowedError") };
}"""
REFUSED_DELETE = re.compile(r"status of 409 .*/api/v1/sounds/welcome$")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser of the other journeys, with a microphone."""
    path = os.environ.get("OMNILINE_TEST_CHROMIUM")
    if not path:
        pytest.fail("OMNILINE_TEST_CHROMIUM names no browser; `make test` finds one, or: pytest -m 'not browser'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS, *FAKE_MICROPHONE])
        yield browser
        browser.close()


def stereo(*tones: int, seconds: float = 1.5) -> bytes:
    """Return a WAV as a studio makes it: two channels, 44,100 Hz, the same tones (Hz) on both."""
    kept = io.BytesIO()
    with wave.open(kept, "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(UPLOADED_RATE)
        for at in range(int(seconds * UPLOADED_RATE)):
            height = sum(math.sin(2 * math.pi * tone * at / UPLOADED_RATE) for tone in tones) / len(tones)
            file.writeframes(int(height * 20_000).to_bytes(2, "little", signed=True) * 2)
    return kept.getvalue()


class Heard:
    """A WAV as the server gives it."""

    def __init__(self, body: bytes) -> None:
        with wave.open(io.BytesIO(body)) as file:
            self.form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            frames = file.readframes(file.getnframes())
        self._samples = [int.from_bytes(frames[at : at + 2], "little", signed=True) for at in range(0, len(frames), 2)]

    @property
    def seconds(self) -> float:
        return len(self._samples) / TELEPHONE_RATE

    @property
    def peak(self) -> int:
        return max(map(abs, self._samples))

    def strength(self, tone: int) -> float:
        """Return how much of it is *tone* (Hz), 1 where it is nothing else."""
        turns = [2 * math.pi * tone * at / TELEPHONE_RATE for at in range(len(self._samples))]
        cosine = sum(sample * math.cos(turn) for sample, turn in zip(self._samples, turns, strict=True))
        sine = sum(sample * math.sin(turn) for sample, turn in zip(self._samples, turns, strict=True))
        power = sum(sample * sample for sample in self._samples)
        return math.sqrt(2 * (cosine * cosine + sine * sine) / (len(self._samples) * power))


class SoundPage:
    """The page of sounds before an administrator."""

    def __init__(self, operator: Operator, address: str) -> None:
        self.page = operator.page
        self.watch = operator.watch
        self._api = f"{address}/api/v1"
        self.page.get_by_role("navigation", name="Sections").get_by_role("link", name="Sounds").click()
        self.main = self.page.get_by_role("main")
        expect(self.main.get_by_role("heading", name="Sounds", exact=True)).to_be_visible()
        self.dialog = self.page.get_by_role("dialog")
        self.name = self.dialog.get_by_label("Name")

    def row(self, name: str) -> Locator:
        return self.main.locator(f'[data-sound="{name}"]')

    def add(self, file: str, body: bytes, kind: str = "audio/wav") -> None:
        """Open the dialog and choose a file in it."""
        self.main.get_by_role("button", name="Add a sound").click()
        self.dialog.locator("input[type=file]").set_input_files({"name": file, "mimeType": kind, "buffer": body})

    def converted(self) -> None:
        """See that there is something to be heard before it is saved."""
        expect(self.dialog.get_by_text("As callers will hear it")).to_be_visible()

    def save(self, button: str = "Save") -> None:
        self.dialog.get_by_role("button", name=button, exact=True).click()

    def heard(self, name: str) -> Heard:
        """Return what the server has under *name*."""
        answer = self.page.request.get(f"{self._api}/sounds/{name}/audio")
        assert answer.headers["content-type"] == "audio/wav"
        return Heard(answer.body())

    def set_calls(self, **settings: Any) -> None:
        """Change what the first line says of calls."""
        (line, *_) = self.page.request.get(f"{self._api}/lines").json()["items"]
        changed = self.page.request.patch(f"{self._api}/lines/{line['id']}", data={"settings": {"calls": settings}})
        assert changed.ok, changed.text()


@pytest.fixture
def sounds(people, place) -> SoundPage:
    """The page of sounds of the demo house, where there are none yet."""
    return SoundPage(people.operator(), place.address)


def test_what_is_uploaded_is_heard_as_a_telephone_plays_it(sounds):
    """Converted in the browser, without what a telephone cannot carry; listed, played, and named for a line's settings."""
    expect(sounds.main.get_by_text("No sounds yet")).to_be_visible()
    # Folded down by a bad conversion, 6,000 Hz would be heard as 2,000.
    sounds.add("Привет Shop.wav", stereo(440, 6_000))
    sounds.converted()
    expect(sounds.name).to_have_value("privet-shop")
    sounds.name.fill("welcome")
    sounds.save()
    expect(sounds.dialog).to_have_count(0)
    row = sounds.row("welcome")
    for words in ("our/welcome", "0:02", "Not used"):
        expect(row).to_contain_text(words)
    expect(row.get_by_role("button").first).to_be_focused()

    heard = sounds.heard("welcome")
    assert heard.form == (1, 2, TELEPHONE_RATE)
    assert heard.seconds == pytest.approx(1.5, abs=0.01)
    assert heard.strength(440) > 0.95
    assert heard.strength(2_000) < 0.02
    assert heard.peak < 32_000

    row.get_by_role("button", name="Play welcome").click()
    expect(row.get_by_role("button", name="Stop welcome")).to_be_visible()
    expect(row.get_by_role("button", name="Play welcome")).to_be_visible()  # it ends by itself


def test_a_sound_that_a_line_uses_is_not_deleted(sounds):
    """Where it is used is said in words, and why it cannot go; once no line names it, it can."""
    sounds.add("welcome.wav", stereo(440))
    sounds.converted()
    sounds.save()
    row = sounds.row("welcome")
    sounds.set_calls(greeting="our/welcome")
    sounds.page.reload()
    expect(row).to_contain_text(": greeting")
    row.get_by_role("button", name="Replace welcome").click()
    expect(sounds.dialog.get_by_role("radio", name="Music")).to_be_disabled()
    sounds.page.keyboard.press("Escape")
    row.get_by_role("button", name="Delete welcome").click()
    expect(sounds.page.get_by_role("dialog", name="“welcome” cannot be deleted")).to_contain_text("calls.greeting")
    sounds.dialog.get_by_role("button", name="Close").click()
    expect(row.get_by_role("button", name="Delete welcome")).to_be_focused()

    sounds.set_calls(greeting="")
    sounds.page.reload()
    expect(row).to_contain_text("Not used")
    row.get_by_role("button", name="Delete welcome").click()
    sounds.page.get_by_role("dialog", name="Delete “welcome”?").get_by_role("button", name="Delete").click()
    expect(row).to_have_count(0)
    expect(sounds.main.get_by_text("No sounds yet")).to_be_visible()
    expect(sounds.main.get_by_role("heading", name="Sounds", exact=True)).to_be_focused()


def test_a_line_that_began_to_use_it_meanwhile_keeps_it(sounds):
    """What the page did not know yet the server does, and then the page says it, too."""
    sounds.watch.excuse(REFUSED_DELETE)
    sounds.add("welcome.wav", stereo(440))
    sounds.converted()
    sounds.save()
    row = sounds.row("welcome")
    row.get_by_role("button", name="Delete welcome").click()
    sounds.set_calls(greeting="our/welcome")
    sounds.page.get_by_role("dialog", name="Delete “welcome”?").get_by_role("button", name="Delete").click()

    expect(sounds.page.get_by_role("dialog", name="“welcome” cannot be deleted")).to_contain_text("greeting")
    sounds.page.keyboard.press("Escape")
    expect(row).to_be_visible()


def test_what_is_spoken_is_recorded_heard_and_saved(sounds):
    """By the keyboard: begun, stopped, listened to; what is not saved yet does not go by one key."""
    sounds.main.get_by_role("button", name="Add a sound").click()
    sounds.dialog.get_by_role("radio", name="File").focus()
    sounds.page.keyboard.press("ArrowRight")
    sounds.page.keyboard.press("Tab")
    expect(sounds.dialog.get_by_role("button", name="Record")).to_be_focused()
    sounds.page.keyboard.press("Enter")
    expect(sounds.dialog.get_by_text("Recording", exact=True)).to_be_visible()
    expect(sounds.dialog.get_by_role("button", name="Stop")).to_be_focused()
    expect(sounds.dialog.get_by_text("0:02 / 1:40")).to_be_visible()  # the fake one beeps once a second
    sounds.page.keyboard.press("Enter")
    sounds.converted()
    expect(sounds.dialog.get_by_text("Nothing can be heard")).to_have_count(0)
    expect(sounds.dialog.get_by_role("button", name="Record again")).to_be_focused()

    sounds.page.keyboard.press("Escape")
    expect(sounds.dialog.get_by_text("The recording is not saved yet.")).to_be_visible()
    expect(sounds.dialog.get_by_role("button", name="Keep it")).to_be_focused()
    sounds.page.keyboard.press("Enter")
    sounds.save()
    expect(sounds.dialog.get_by_role("alert")).to_have_text("Give it a name.")
    expect(sounds.name).to_be_focused()
    sounds.page.keyboard.type("Two words")
    sounds.page.keyboard.press("Enter")
    sounds.dialog.get_by_role("button", name="Take two-words").click()
    sounds.dialog.get_by_role("radio", name="Music").check()
    sounds.page.keyboard.press("Enter")
    expect(sounds.main.get_by_role("region", name="Music")).to_contain_text("our/two-words")
    expect(sounds.main.get_by_text("Room for 8 more")).to_be_visible()

    heard = sounds.heard("two-words")
    assert heard.form == (1, 2, TELEPHONE_RATE)
    assert heard.seconds > 1.5
    assert heard.peak > 1_000


def test_a_name_that_is_taken_is_replaced_only_by_who_says_so(sounds):
    """The other is named and may be replaced from there, or from its row."""
    sounds.add("welcome.wav", stereo(440))
    sounds.converted()
    sounds.save()
    expect(sounds.row("welcome")).to_be_visible()
    sounds.add("welcome.wav", stereo(600))
    sounds.converted()
    sounds.save()
    expect(sounds.dialog.get_by_role("alert")).to_contain_text("There is a sound “welcome” already.")
    sounds.dialog.get_by_role("button", name="replace it").click()
    expect(sounds.dialog.get_by_role("button", name="Replace", exact=True)).to_be_focused()
    sounds.save("Replace")
    expect(sounds.dialog).to_have_count(0)
    assert sounds.heard("welcome").strength(600) > 0.95

    sounds.row("welcome").get_by_role("button", name="Replace welcome").click()
    sounds.dialog.locator("input[type=file]").set_input_files({"name": "x.wav", "mimeType": "audio/wav", "buffer": stereo(800)})
    sounds.converted()
    sounds.save("Replace")
    expect(sounds.dialog).to_have_count(0)
    assert sounds.heard("welcome").strength(800) > 0.95
    expect(sounds.main.locator("[data-sound]")).to_have_count(1)


def test_what_is_no_sound_is_refused_with_a_sentence(sounds):
    """It says which file and what to do, nothing is sent, and the next choice is as good as the first."""
    sounds.add("notes.txt", b"buy milk", "text/plain")

    expect(sounds.dialog.get_by_role("alert")).to_contain_text("cannot play notes.txt")
    sounds.save()
    expect(sounds.dialog.get_by_role("alert")).to_have_count(1)
    sounds.dialog.locator("input[type=file]").set_input_files({"name": "e.wav", "mimeType": "audio/wav", "buffer": b""})
    expect(sounds.dialog.get_by_role("alert")).to_contain_text("e.wav is empty")
    silence = stereo(0, seconds=0.5)
    sounds.dialog.locator("input[type=file]").set_input_files({"name": "s.wav", "mimeType": "audio/wav", "buffer": silence})
    sounds.converted()
    expect(sounds.dialog.get_by_role("alert")).to_contain_text("Nothing can be heard in this file.")


def test_a_prompt_that_keeps_callers_too_long_may_be_music(sounds):
    """Its length is told before anything is sent, and the other kind is a click away."""
    sounds.add("long.wav", stereo(440, seconds=101))
    sounds.converted()
    expect(sounds.dialog.get_by_role("alert")).to_contain_text("This lasts 1:41, and a prompt may last 100 seconds")
    sounds.save()
    sounds.dialog.get_by_role("radio", name="Music").check()
    expect(sounds.dialog.get_by_role("alert")).to_have_count(0)
    sounds.save()
    expect(sounds.main.get_by_role("region", name="Music")).to_contain_text("1:41")


def test_a_microphone_that_is_not_given_is_told_what_to_do(sounds):
    """The sentence says where to allow it, and the button begins again."""
    sounds.main.get_by_role("button", name="Add a sound").click()
    sounds.page.evaluate(_NOT_ALLOWED)
    sounds.dialog.get_by_text("Microphone", exact=True).click()
    sounds.dialog.get_by_role("button", name="Record").click()

    expect(sounds.dialog.get_by_role("alert")).to_contain_text("does not let this page use the microphone")
    expect(sounds.dialog.get_by_role("button", name="Record")).to_be_focused()
    sounds.page.evaluate("delete navigator.mediaDevices.getUserMedia")
    sounds.page.keyboard.press("Enter")
    expect(sounds.dialog.get_by_text("Recording", exact=True)).to_be_visible()
    sounds.page.keyboard.press("Escape")  # asks first
    sounds.dialog.get_by_role("button", name="Discard it").click()
    expect(sounds.dialog).to_have_count(0)


def test_operators_have_no_such_page(people, place):
    """No link leads there, and its address says for whom it is."""
    password = re.search(r"password:? (\S+)", place.command("user", "add", "bob", "--name", "Bob", "--role", "operator"))
    assert password is not None
    bob = people.operator(login="bob", password=password[1])

    expect(bob.page.get_by_role("link", name="Leads")).to_be_visible()
    expect(bob.page.get_by_role("link", name="Sounds")).to_have_count(0)
    bob.page.goto(f"{place.address}/console/#/sounds")
    expect(bob.page.get_by_text("The sounds are for administrators.")).to_be_visible()
