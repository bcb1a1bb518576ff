"""REST of calls: what is known of one, and who may hear it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broker.domain import Role
from broker.store.tables import calls
from tests.operators.shop import Shop
from tests.support.store import plain

SOUND = b"RIFF" + bytes(range(200))


@pytest.fixture
def call(shop: Shop, tmp_path: Path) -> str:
    """Return a session of ann's that is a call, with a recording of its talk."""
    session = shop.taken()

    def furnish(tx: Any) -> None:
        ((conversation, channel),) = plain(
            tx, "SELECT conversation_id, channel_id FROM sessions WHERE id = ?", session
        ).fetchall()
        row = {
            "conversation_id": conversation,
            "channel_id": channel,
            "number": "+79001234567",
            "called": "100",
            "came_us": 1_000_000,
            "talk_us": 5_000_000,
            "talk_ended_us": 65_000_000,
            "recording": f"{conversation}.wav",
        }
        marks = ", ".join("?" * len(row))
        plain(tx, f"INSERT INTO {calls.name} ({', '.join(row)}) VALUES ({marks})", *row.values())  # noqa: S608

    shop.site.write(furnish)
    folder = shop.site.settings.recordings
    folder.mkdir(parents=True, exist_ok=True)
    ((conversation,),) = shop.rows("SELECT conversation_id FROM calls")
    (folder / f"{conversation}.wav").write_bytes(SOUND)
    return session


def test_a_call_is_told(shop: Shop, call: str):
    """Its number, its times, and what can be heard of it."""
    told = shop.get("ann", f"/sessions/{call}/call")

    assert (told["number"], told["called"], told["recording"], told["voicemail"]) == ("+79001234567", "100", True, False)
    assert (told["talk_at"], told["talk_ended_at"]) == ("1970-01-01T00:00:05Z", "1970-01-01T00:01:05Z")
    assert (told["stars"], told["voicemail_seconds"], told["problem"]) == (0, 0, "")


def test_whoever_has_it_and_supervisors_hear_it(shop: Shop, call: str):
    """Whole, and by the part that a player asks for."""
    for who in ("ann", "sue"):
        heard = shop.ask(who, "GET", f"/sessions/{call}/call/recording")
        assert (heard.status_code, heard.headers["content-type"], heard.content) == (200, "audio/wav", SOUND)
    part = shop.ask("ann", "GET", f"/sessions/{call}/call/recording", headers={"Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, SOUND[4:10])


def test_a_colleague_knows_of_it_and_does_not_hear_it(shop: Shop, call: str):
    """They sit in the same line; somebody of another line does not know of it."""
    shop.person("cat", Role.OPERATOR, 0)
    told = shop.get("cat", f"/sessions/{call}/call")

    assert (told["number"], told["recording"]) == ("+79001234567", False)
    assert shop.ask("cat", "GET", f"/sessions/{call}/call/recording").status_code == 403
    for path in ("call", "call/recording"):
        assert shop.ask("bob", "GET", f"/sessions/{call}/{path}").status_code == 404


def test_what_is_not_there_is_told(shop: Shop, call: str):
    """No voicemail, a file that is gone, a name that leads elsewhere, a session that is no call."""
    assert shop.ask("ann", "GET", f"/sessions/{call}/call/voicemail").status_code == 404
    folder = shop.site.settings.recordings
    (folder.parent / "key").write_bytes(b"secret")
    shop.rows("UPDATE calls SET voicemail = '../key'")
    assert shop.ask("ann", "GET", f"/sessions/{call}/call/voicemail").status_code == 404
    for file in folder.iterdir():
        file.unlink()
    gone = shop.ask("ann", "GET", f"/sessions/{call}/call/recording")
    assert (gone.status_code, "folder of recordings" in gone.json()["detail"]) == (404, True)
    assert shop.ask("ann", "GET", f"/sessions/{shop.taken(key='v2')}/call").status_code == 404
