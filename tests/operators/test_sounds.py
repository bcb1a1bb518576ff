"""Sounds that callers hear, over REST: kept as a telephone needs them, named by settings that know them, deleted when nobody does."""

import io
import math
import struct
import wave

import pytest

from broker.domain import MUSIC_MAX, SOUND_BYTES_MAX, Role
from operators import sounds

WAV = {"Content-Type": "audio/wav"}


def tone(seconds=0.5, rate=8_000, channels=1, width=2):
    """Return a WAV with a tone of 440 Hz."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        count = int(rate * seconds)
        one = [int(8_000 * math.sin(math.tau * 440 * n / rate)) for n in range(min(count, rate))]
        whole = (one * (count // max(1, len(one)) + 1))[:count]
        pack = {1: lambda n: bytes([128 + n // 256]), 2: lambda n: struct.pack("<h", n)}[width]
        file.writeframes(b"".join(pack(n) * channels for n in whole))
    return made.getvalue()


def put(office, name, body=None, **query):
    """Send a sound as an administrator, and return the answer."""
    return office.admin("PUT", f"/api/v1/sounds/{name}", content=tone() if body is None else body, headers=WAV, params=query)


def line(office, **calls):
    """Add a line with settings of its calls, and return the answer."""
    return office.admin("POST", "/api/v1/lines", json={"slug": "desk", "name": "Desk", "settings": {"calls": calls}})


def test_a_sound_is_kept_and_heard(office):
    """By its name, and how settings name it; put again it is another sound under that name."""
    added = put(office, "welcome", tone(2))
    assert (added.status_code, added.json()["ref"], added.json()["seconds"]) == (201, "our/welcome", 2.0)
    replaced = put(office, "welcome", tone(1))
    assert (replaced.status_code, replaced.json()["seconds"]) == (200, 1.0)

    heard = office.admin("GET", "/api/v1/sounds/welcome/audio")
    assert (heard.headers["content-type"], heard.content) == ("audio/wav", tone(1))
    (item,) = office.admin("GET", "/api/v1/sounds").json()["items"]
    assert (item["name"], item["music"], item["uses"]) == ("welcome", False, [])


def test_a_sound_that_is_to_be_new_takes_nobodys_place(office):
    """Two administrators think of the same name."""
    added = {**WAV, "If-None-Match": "*"}
    first, second = (office.admin("PUT", "/api/v1/sounds/welcome", content=tone(seconds), headers=added) for seconds in (1, 2))
    assert (first.status_code, second.status_code, second.json()["code"]) == (201, 409, "sound_taken")
    assert office.admin("GET", "/api/v1/sounds/welcome/audio").content == tone(1)


def test_what_is_beside_the_sound_in_the_file_is_not_kept(office):
    """A title, a picture, or what somebody has hidden there."""
    sound = tone()
    chunk = b"LIST" + struct.pack("<I", 8) + b"INFOhide"
    body = sound[:12] + chunk + sound[12:]
    body = body[:4] + struct.pack("<I", len(body) - 8) + body[8:]
    assert put(office, "welcome", body).status_code == 201
    assert office.admin("GET", "/api/v1/sounds/welcome/audio").content == sound


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no WAV"),
        (b"hello", "no WAV"),
        (tone()[:30], "no WAV"),
        (tone(rate=44_100), "44,100"),
        (tone(channels=2), "this has 2, 16"),
        (tone(width=1), "this has 1, 8"),
        (tone(0), "nothing to be heard"),
        (tone(101), "at most 100 seconds"),
    ],
    ids=["nothing", "a text", "half a head", "44,100 Hz", "two channels", "8 bits", "silence of no length", "too long a prompt"],
)
def test_what_a_telephone_cannot_play_is_refused(office, body, words):
    """With what is wrong and how to make it right; nothing is kept."""
    refused = put(office, "welcome", body)
    assert (refused.status_code, refused.json()["code"], words in refused.json()["detail"]) == (422, "bad_sound", True)
    assert office.admin("GET", "/api/v1/sounds").json()["items"] == []


def test_music_may_be_longer_than_a_prompt(office):
    """Up to ten minutes."""
    assert put(office, "jazz", tone(101), music="true").json()["music"] is True
    assert "longer than 10 minutes" in put(office, "blues", tone(601), music="true").json()["detail"]


def test_too_large_a_file_is_refused_before_it_has_come(office):
    """By what it announces."""
    refused = put(office, "welcome", b"\0" * (SOUND_BYTES_MAX + 1))
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")


def test_only_a_sound_may_be_sent_so(office):
    """Other types of bodies are refused here as everywhere, and sounds elsewhere."""
    for path, kind in (("/api/v1/sounds/welcome", "text/plain"), ("/api/v1/lines", "audio/wav")):
        refused = office.admin("PUT", path, content=tone(), headers={"Content-Type": kind})
        assert (refused.status_code, ("audio/wav" in refused.json()["detail"]) is ("sounds" in path)) == (415, True)


@pytest.mark.parametrize("name", ["-a", "A", "a_b", "x" * 41, "a%2Fb", "a%00b"])
def test_a_name_that_no_setting_can_have_is_refused(office, name):
    """It becomes part of a file's name."""
    assert put(office, name).status_code in (400, 404, 422)
    assert office.admin("GET", "/api/v1/sounds").json()["items"] == []


def test_settings_name_sounds_that_are_there(office):
    """A prompt where a prompt is played, music where music is; Asterisk's own are not known here."""
    put(office, "welcome")
    put(office, "jazz", music="true")
    for calls, words in (
        ({"greeting": "our/nothing"}, "calls.greeting: there is no sound nothing"),
        ({"menu": {"sound": "our/nothing"}}, "calls.menu.sound: there is no sound nothing"),
        ({"music": "our/welcome"}, "calls.music: welcome is a prompt"),
        ({"greeting": "our/jazz"}, "calls.greeting: jazz is music"),
    ):
        refused = line(office, **calls)
        assert (refused.status_code, words in refused.json()["detail"]) == (422, True), refused.text
    assert line(office, greeting="our/welcome", music="our/jazz", rating_sound="custom/rate").status_code == 201


def test_a_sound_in_use_says_where_and_stays(office):
    """Nor can it become the other kind; when nothing names it any more it goes."""
    put(office, "welcome")
    put(office, "jazz", music="true")
    made = line(office, greeting="our/welcome", music="our/jazz").json()
    jazz, welcome = office.admin("GET", "/api/v1/sounds").json()["items"]
    assert welcome["uses"] == [{"line_id": made["id"], "line": "Desk", "setting": "calls.greeting"}]
    assert jazz["uses"][0]["setting"] == "calls.music"

    refused = office.admin("DELETE", "/api/v1/sounds/welcome")
    assert (refused.status_code, "calls.greeting of Desk" in refused.json()["detail"]) == (409, True)
    assert put(office, "welcome", music="true").status_code == 409
    assert put(office, "jazz").status_code == 409
    assert put(office, "welcome", tone(3)).status_code == 200
    office.admin("PATCH", f"/api/v1/lines/{made['id']}", json={"settings": {"calls": {"greeting": "", "music": "default"}}})
    assert [office.admin("DELETE", f"/api/v1/sounds/{name}").status_code for name in ("welcome", "jazz")] == [204, 204]
    assert [office.admin(how, path).status_code for how, path in GONE] == [404, 404]


GONE = [("DELETE", "/api/v1/sounds/welcome"), ("GET", "/api/v1/sounds/welcome/audio")]


def test_there_is_room_for_so_much(office, monkeypatch):
    """Music has as many places as Asterisk's configuration; one that is freed is another's."""
    for number in range(MUSIC_MAX):
        assert put(office, f"m{number}", music="true").status_code == 201
    refused = put(office, "more", music="true")
    assert (refused.status_code, "9 pieces of music" in refused.json()["detail"]) == (409, True)
    assert office.admin("GET", "/api/v1/sounds").json()["music_left"] == 0
    assert put(office, "m3").json()["music"] is False
    assert put(office, "more", music="true").status_code == 201
    monkeypatch.setattr(sounds, "SOUNDS_MAX", MUSIC_MAX + 1)
    refused = put(office, "last")
    assert (refused.status_code, "as many as there can be" in refused.json()["detail"]) == (409, True)


@pytest.mark.parametrize("role", [None, Role.OPERATOR, Role.SUPERVISOR])
def test_sounds_are_the_administrators(office, role):
    """Nobody else hears, changes or lists them."""
    put(office, "welcome")
    for method, path in (("GET", ""), ("PUT", "/welcome"), ("GET", "/welcome/audio"), ("DELETE", "/welcome")):
        more = {"content": tone(), "headers": WAV} if method == "PUT" else {}
        answer = office.ask(role, method, f"/api/v1/sounds{path}", **more)
        assert answer.status_code == (401 if role is None else 403)
