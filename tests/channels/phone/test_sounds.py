"""Sounds of ours beside Asterisk: written when they are new, never half, and forgotten when nobody can need them any more."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from broker.domain import Directory, OurSound
from broker.store import directory as directories
from channels.phone import sounds
from channels.phone.sounds import Shelf, classes, music_class, played
from operators import sounds as ours
from tests.support.clock import MovedClock
from tests.support.store import open_store

KNOWN = Directory(
    {}, {}, {}, {}, {}, {"welcome": OurSound("welcome", "0123456789abcdef", 500), "jazz": OurSound("jazz", "f" * 16, 500, 3)}
)
WAIT_SECONDS = 10.0


class Beside:
    """A store with sounds, and the folder of an Asterisk."""

    def __init__(self, folder: Path) -> None:
        self.clock = MovedClock()
        self.store = open_store(folder, clock=self.clock)
        self.folder = folder / "sounds"
        self.directory = Directory({}, {}, {}, {}, {})
        self.shelf = Shelf(self.store, self.clock, lambda: self.directory, self.folder)

    async def put(self, name: str, wav: bytes, *, music: bool = False) -> None:
        """Have callers hear *wav*."""
        await self.store.write(lambda tx: ours.put(tx, name, wav, 500, music=music))
        await self.changed()

    async def remove(self, name: str) -> None:
        """Take a sound away."""
        await self.store.write(lambda tx: ours.remove(tx, name))
        await self.changed()

    async def changed(self) -> None:
        """Tell of new settings, and wait until the folder is as they say."""
        self.directory = await self.store.read(directories.load)
        self.shelf.settings_changed(self.directory)
        async with asyncio.timeout(WAIT_SECONDS):
            await self.shelf.kept.wait()

    def heard(self, setting: str) -> bytes | None:
        """Return what Asterisk would play for a setting; None: nothing is there."""
        return self.bytes_at(self.path(setting))

    def path(self, setting: str) -> Path:
        """Return the file that Asterisk would play for a setting."""
        return Path(played(setting, self.directory, str(self.folder)) + ".wav")

    def bytes_at(self, path: Path) -> bytes | None:
        """Return what is in a file; None: it is not there."""
        return path.read_bytes() if path.is_file() else None

    def files(self) -> set[str]:
        """Return the files that there are."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}


def play(tmp_path: Path, story: Callable[[Beside], Awaitable[None]]) -> None:
    """Play a story."""

    async def run() -> None:
        beside = Beside(tmp_path)
        keeping = asyncio.create_task(beside.shelf.run())
        try:
            await story(beside)
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            await beside.store.close()

    asyncio.run(run())


def test_asterisks_own_names_are_left_as_they_are():
    """Ours become files of ours; one that is not known is nothing, and for music Asterisk's default."""
    names = ["", "vm-intro", "custom/welcome", "our/welcome", "our/jazz", "our/nothing"]
    assert [played(name, KNOWN, "/there") for name in names] == [
        "",
        "vm-intro",
        "custom/welcome",
        "/there/welcome-0123456789abcdef",
        "/there/music/3",
        "",
    ]
    assert [music_class(name, KNOWN) for name in ("slow", "our/jazz", "our/welcome", "our/nothing")] == [
        "slow",
        "omniline-3",
        "default",
        "default",
    ]


def test_there_is_a_class_for_each_place():
    """As Asterisk reads them."""
    text = classes("/there")
    assert text.count("[omniline-") == 9
    assert "[omniline-3]\nmode=playlist\nentry=/there/music/3\n" in text


def test_what_is_put_is_written_and_changed_whole(tmp_path: Path):
    """A prompt under a name of its own, music in its place; whoever plays the old prompt plays it to its end."""

    async def story(beside: Beside) -> None:
        await beside.put("welcome", b"one")
        await beside.put("jazz", b"music", music=True)
        assert (beside.heard("our/welcome"), beside.heard("our/jazz")) == (b"one", b"music")
        old = beside.path("our/welcome")
        await beside.put("welcome", b"two")
        await beside.put("jazz", b"more", music=True)
        assert (beside.heard("our/welcome"), beside.heard("our/jazz")) == (b"two", b"more")
        assert beside.bytes_at(old) == b"one"
        assert {oct(path.stat().st_mode & 0o777) for path in beside.folder.rglob("*.wav")} == {"0o644"}
        assert len(beside.files()) == 3  # nothing half is left

    play(tmp_path, story)


def test_what_nobody_knows_goes_after_an_hour(tmp_path: Path):
    """Not sooner: another process may still have settings that name it. What is not ours stays."""

    async def story(beside: Beside) -> None:
        await beside.put("welcome", b"one")
        (beside.folder / "notes.txt").write_text("mine")
        await beside.put("welcome", b"two")
        await beside.remove("welcome")
        assert len(beside.files()) == 3
        beside.clock.move(sounds.FORGET_SECONDS - 1)
        await beside.changed()
        assert len(beside.files()) == 3
        beside.clock.move(1)
        await beside.changed()
        assert beside.files() == {"notes.txt"}

    play(tmp_path, story)


def test_a_process_that_comes_later_writes_what_is_missing(tmp_path: Path):
    """And what was changed while it was away."""

    async def story(beside: Beside) -> None:
        await beside.put("welcome", b"one")
        await beside.put("jazz", b"music", music=True)
        for name in beside.files():
            (beside.folder / name).unlink()
        later = Shelf(beside.store, beside.clock, lambda: beside.directory, beside.folder)
        task = asyncio.create_task(later.run())
        async with asyncio.timeout(WAIT_SECONDS):
            await later.kept.wait()
        task.cancel()
        assert (beside.heard("our/welcome"), beside.heard("our/jazz")) == (b"one", b"music")

    play(tmp_path, story)


def test_a_folder_that_cannot_be_written_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The log says so; when it can be, all is there."""
    monkeypatch.setattr(sounds, "RETRY_SECONDS", 0.05)

    class Log:
        def __init__(self) -> None:
            self.said: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

        def __getattr__(self, _: str) -> Callable[..., None]:
            return lambda event, **how: self.said[event].set()

    async def story(beside: Beside) -> None:
        log = Log()
        monkeypatch.setattr(sounds, "log", log)
        beside.folder.write_text("no folder")
        await beside.store.write(lambda tx: ours.put(tx, "welcome", b"one", 500, music=False))
        beside.directory = await beside.store.read(directories.load)
        beside.shelf.settings_changed(beside.directory)
        async with asyncio.timeout(WAIT_SECONDS):
            await log.said["sounds_not_written"].wait()
        await asyncio.to_thread(beside.folder.unlink)
        async with asyncio.timeout(WAIT_SECONDS):
            await beside.shelf.kept.wait()
        assert beside.heard("our/welcome") == b"one"

    play(tmp_path, story)
