"""Recordings are deleted when their time is over, and no sooner."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from broker.domain import ChannelRow, ConversationId, LineSettings, to_us
from broker.inbound import accept, prepare
from broker.ports import Tx
from channels.phone import keeping, ledger
from channels.phone.adapter import KIND_NAME, PhoneChannel, came, raw_of
from channels.phone.keeping import Keeping
from tests.support import house
from tests.support.clock import MovedClock
from tests.support.store import open_store, plain

DAYS = 30


class Calls:
    """A store with calls, and the folder of their recordings."""

    def __init__(self, folder: Path) -> None:
        self.clock = MovedClock()
        self.store = open_store(folder, clock=self.clock)
        self.folder = folder / "recordings"
        self.folder.mkdir()
        self.number: PhoneChannel

    async def begin(self) -> None:
        """Make a line with a number."""

        def build(tx: Tx) -> PhoneChannel:
            line = house.add_line(tx)
            id_ = house.add_channel(tx, line, "number", KIND_NAME)
            return PhoneChannel(ChannelRow(id_, line, "number", KIND_NAME, "Number", {}, 1))

        self.number = await self.store.write(build)

    async def call(self, name: str, days_ago: float, *, voicemail: bool = False, ended: bool = True) -> ConversationId:
        """Add a call with a recording, or a message, that ended so long ago."""

        def add(tx: Tx) -> ConversationId:
            told = came(name, "+79001234567", "", "100", "RU")
            (accepted,) = accept(tx, self.number.id, prepare(self.number, [raw_of(told)], LineSettings()))
            conversation = accepted.conversation_id
            assert conversation is not None
            ledger.claim(tx, conversation, self.number.id, "+79001234567", "100", "p1", "PJSIP/trunk-1")
            (ledger.keep_voicemail if voicemail else ledger.keep_recording)(tx, conversation, f"{name}.wav")
            at = to_us(tx.now - timedelta(days=days_ago)) if ended else None
            plain(tx, "UPDATE calls SET ended_us = ? WHERE conversation_id = ?", at, conversation)
            return conversation

        (self.folder / f"{name}.wav").write_bytes(b"RIFF")
        return await self.store.write(add)

    async def left(self) -> dict[str, str]:
        """Return what the calls say there is to be heard, by their conversation's key."""
        rows: list[Any] = await self.store.read(
            lambda tx: plain(
                tx,
                "SELECT conversations.key, calls.recording || calls.voicemail FROM calls "
                "JOIN conversations ON conversations.id = calls.conversation_id",
            ).fetchall()
        )
        return {key: name for key, name in rows if name}

    def files(self) -> set[str]:
        """Return the files that there are."""
        return {path.name for path in self.folder.iterdir()}

    def keeping(self) -> Keeping:
        """Return the shipped keeping."""
        return Keeping(self.store, self.clock, self.folder, DAYS)


def play(tmp_path: Path, story: Any) -> None:
    """Play a story with calls."""

    async def run() -> None:
        calls = Calls(tmp_path)
        await calls.begin()
        try:
            await story(calls)
        finally:
            await calls.store.close()

    asyncio.run(run())


def test_what_is_older_is_deleted_and_what_is_not_is_kept(tmp_path: Path):
    """The talk and the message to the machine; a call that goes on is not old, however long ago it came."""

    async def story(calls: Calls) -> None:
        await calls.call("old", DAYS + 1)
        await calls.call("spoken", DAYS + 400, voicemail=True)
        await calls.call("young", DAYS - 1)
        await calls.call("talks", 0, ended=False)

        assert await calls.keeping().look() == 2
        assert await calls.left() == {"young": "young.wav", "talks": "talks.wav"}
        assert calls.files() == {"young.wav", "talks.wav"}
        assert await calls.keeping().look() == 0

    play(tmp_path, story)


def test_a_file_that_is_gone_already_is_no_fault(tmp_path: Path):
    """Somebody has deleted it, or we have died behind it."""

    async def story(calls: Calls) -> None:
        await calls.call("old", DAYS + 1)
        (calls.folder / "old.wav").unlink()

        assert await calls.keeping().look() == 1
        assert await calls.left() == {}

    play(tmp_path, story)


def test_many_are_deleted_part_by_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All of them in the end."""
    monkeypatch.setattr(keeping, "AT_ONCE", 2)

    async def story(calls: Calls) -> None:
        for number in range(5):
            await calls.call(f"c{number}", DAYS + 1 + number)

        assert await calls.keeping().look() == 5
        assert (await calls.left(), calls.files()) == ({}, set())

    play(tmp_path, story)


def test_what_cannot_be_deleted_is_said_and_still_known(tmp_path: Path):
    """A folder in its place, as an example: the row keeps its name, so that it is tried again."""

    async def story(calls: Calls) -> None:
        await calls.call("old", DAYS + 1)
        (calls.folder / "old.wav").unlink()
        (calls.folder / "old.wav").mkdir()

        assert await calls.keeping().look() == 0
        assert await calls.left() == {"old": "old.wav"}

    play(tmp_path, story)


def test_nothing_beside_the_folder_is_deleted(tmp_path: Path):
    """Whatever a name says."""

    async def story(calls: Calls) -> None:
        await calls.call("old", DAYS + 1)
        outside = tmp_path / "precious.wav"
        outside.write_bytes(b"RIFF")
        await calls.store.write(lambda tx: plain(tx, "UPDATE calls SET recording = ?", "../precious.wav"))

        await calls.keeping().look()
        assert outside.exists()

    play(tmp_path, story)
