"""Callers hear the sounds of ours, on a real Asterisk: told by the tone of each in what they hear."""

from __future__ import annotations

import asyncio
import io
import math
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from broker.domain import CallMenu, KeyDoes, MenuKey
from channels.phone.sounds import Shelf
from operators import sounds
from tests.channels.phone.exchange import Telephone, loudness

pytestmark = [pytest.mark.asterisk, pytest.mark.xdist_group("asterisk")]
TONES = {"welcome": 700, "choose": 1_100, "jazz": 1_500, "other": 1_900}
LOUD = 0.02
"""Of one tone in all that was heard: it is there; silence and other tones are far below."""


def _tone(hertz: int) -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(b"".join(struct.pack("<h", int(9_000 * math.sin(math.tau * hertz * n / 8_000))) for n in range(8_000)))
    return made.getvalue()


async def put(house: Telephone, *names: str) -> None:
    """Upload sounds, each with a tone of its own; jazz is music."""

    def work(tx: Any) -> None:
        for name in names:
            kept, milliseconds = sounds.read_wav(_tone(TONES[name]), music=name == "jazz")
            sounds.put(tx, name, kept, milliseconds, music=name == "jazz")

    await house.store.write(work)
    await house.directory.refresh()


@asynccontextmanager
async def shelf(house: Telephone) -> AsyncIterator[Shelf]:
    """Write the sounds beside the exchange, as the shipped process does."""
    made = Shelf(house.store, house.clock, house.directory, house.sounds)
    house.directory.on_change(made.settings_changed)
    task = asyncio.create_task(made.run())
    try:
        await made.kept.wait()
        yield made
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def listens(house: Telephone) -> None:
    """Let somebody call who keeps what they hear."""
    await house.console("channel originate Local/100@from-trunk/n extension hears@presses-keys")


async def heard(house: Telephone, seconds: float) -> set[str]:
    """Wait until so much was heard, let the caller be gone, and return which tones were among it."""
    path = house.pbx.folder / "heard.wav"

    async def look() -> bool:
        return bool(path.exists() and path.stat().st_size >= 16_000 * seconds)

    await house.until(look)
    await house.console("channel request hangup all")
    await house.ended()
    await house.silent()
    found = {name for name, hertz in TONES.items() if loudness(path, hertz) > LOUD}
    path.unlink()
    return found


def test_a_caller_hears_a_prompt_a_menu_and_music_of_ours(play):
    """In this order; nobody is there, so the music goes on for as long as they wait."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101", online=False)
        await put(house, "welcome", "choose", "jazz")
        async with shelf(house):
            await listens(house)
            assert await heard(house, 8) == {"welcome", "choose", "jazz"}

    menu = CallMenu("our/choose", {"1": MenuKey(KeyDoes.VOICEMAIL)}, seconds=1, times=1)
    play(
        story,
        calls={"greeting": "our/welcome", "menu": menu, "music": "our/jazz", "no_answer_does": "wait", "position_seconds": 0},
    )


def test_what_is_changed_is_heard_by_the_next_caller(play):
    """Also music, which Asterisk has known by its place from its start."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101", online=False)
        await put(house, "welcome", "jazz")
        async with shelf(house) as kept:
            await listens(house)
            assert await heard(house, 4) == {"welcome", "jazz"}
            TONES["welcome"], TONES["jazz"], TONES["other"] = 1_900, 700, 1_500
            try:
                await put(house, "welcome", "jazz")
                await kept.kept.wait()
                await listens(house)
                assert await heard(house, 4) == {"welcome", "jazz"}
            finally:
                TONES["welcome"], TONES["jazz"], TONES["other"] = 700, 1_500, 1_900

    play(story, calls={"greeting": "our/welcome", "music": "our/jazz", "no_answer_does": "wait", "position_seconds": 0})


@pytest.mark.parametrize("menu", [CallMenu(), CallMenu("our/nothing", {"1": MenuKey(KeyDoes.VOICEMAIL)}, seconds=1, times=1)])
def test_a_sound_that_is_not_there_costs_the_caller_nothing(play, menu: CallMenu):
    """It was deleted, or its file has not come yet: they wait as if there were none, with music of Asterisk's."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        await put(house, "welcome")  # known, and written by nobody
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="active", operator_id=ann)
        await house.joined()
        await house.says_goodbye(caller)

    play(story, calls={"greeting": "our/welcome", "music": "our/nothing", "menu": menu})


def test_a_menu_whose_sound_asterisk_does_not_have_is_none(play):
    """No loop, and no caller who waits for it."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="active", operator_id=ann)
        await house.joined()
        await house.says_goodbye(caller)

    play(story, calls={"menu": CallMenu("custom/nothing", {"1": MenuKey(KeyDoes.VOICEMAIL)}, seconds=1, times=2)})
