"""Sounds of ours, as files for Asterisk: written into a folder that it reads, by every process that answers it.

    NAME-DIGEST.wav    a prompt: what is heard anew is another file, so that nobody hears the half of two
    music/N.wav        a piece of music, N its place: the class `omniline-N` of Asterisk's music on hold plays what stands there

What settings no longer know is deleted an hour later: another process may have settings that still do.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy import bindparam, select

from broker.domain import MUSIC_MAX, OUR_SOUNDS, Directory, OurSound
from broker.errors import StoreError
from broker.ports import Clock, Store
from broker.store.sql import sql
from broker.store.tables import sounds

log = structlog.get_logger(__name__)

MUSIC = "music"
CLASS = "omniline-"
DEFAULT_CLASS = "default"
RETRY_SECONDS = 10.0
FORGET_SECONDS = 3_600.0
_WAV = sql(select(sounds.c.wav).where(sounds.c.slug == bindparam("name"), sounds.c.digest == bindparam("digest")))
_PROMPT = re.compile(r"[a-z0-9-]{1,40}-[0-9a-f]{16}\.wav|\.new-\w+")
"""Files of ours: prompts, and what a process that died has left half."""


def played(name: str, directory: Directory, there: str) -> str:
    """Return what Asterisk is to play for the sound *name* of a setting; *there*: our folder as it sees it. Empty: nothing is known."""
    if not name.startswith(OUR_SOUNDS):
        return name
    sound = directory.sounds.get(name.removeprefix(OUR_SOUNDS))
    if sound is None:
        return ""
    return f"{there}/{MUSIC}/{sound.music}" if sound.music else f"{there}/{_stem(sound)}"


def music_class(name: str, directory: Directory) -> str:
    """Return the class of music on hold for *name* of a setting."""
    if not name.startswith(OUR_SOUNDS):
        return name
    sound = directory.sounds.get(name.removeprefix(OUR_SOUNDS))
    return f"{CLASS}{sound.music}" if sound is not None and sound.music else DEFAULT_CLASS


def classes(there: str) -> str:
    """Return the part of musiconhold.conf that lets Asterisk play our music from *there*."""
    return "\n".join(f"[{CLASS}{n}]\nmode=playlist\nentry={there}/{MUSIC}/{n}\n" for n in range(1, MUSIC_MAX + 1))


class Shelf:
    """Keeps the folder *here* as the settings say."""

    def __init__(self, store: Store, clock: Clock, directory: Callable[[], Directory], here: Path) -> None:
        self._store = store
        self._clock = clock
        self._directory = directory
        self._here = here
        self._changed = asyncio.Event()
        self._music: dict[int, str] = {}
        """The digests of the music that this process has written."""
        self._unknown: dict[str, float] = {}
        """Files that no setting knows, and since when."""
        self.kept = asyncio.Event()
        """Set while the folder is as the settings say."""

    def settings_changed(self, _: Directory) -> None:
        """Look again."""
        self.kept.clear()
        self._changed.set()

    async def run(self) -> None:
        """Write what is missing, whenever the settings change; until cancelled."""
        while True:
            self._changed.clear()
            try:
                await self._look()
                if not self._changed.is_set():
                    self.kept.set()
                wait = FORGET_SECONDS if self._unknown else None
            except (OSError, StoreError) as error:
                log.error(
                    "sounds_not_written", folder=str(self._here), problem=str(error), remedy=f"may we write into {self._here}?"
                )
                wait = RETRY_SECONDS
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _look(self) -> None:
        known = self._directory().sounds
        await asyncio.to_thread((self._here / MUSIC).mkdir, parents=True, exist_ok=True)
        there = set(await asyncio.to_thread(os.listdir, self._here))
        music = set(await asyncio.to_thread(os.listdir, self._here / MUSIC))
        for sound in known.values():
            if sound.music:
                if self._music.get(sound.music) != sound.digest or f"{sound.music}.wav" not in music:
                    self._music.pop(sound.music, None)
                    if await self._write(sound, self._here / MUSIC / f"{sound.music}.wav"):
                        self._music[sound.music] = sound.digest
            elif f"{_stem(sound)}.wav" not in there:
                await self._write(sound, self._here / f"{_stem(sound)}.wav")
        await self._forget(there - {f"{_stem(sound)}.wav" for sound in known.values() if not sound.music})

    async def _write(self, sound: OurSound, path: Path) -> bool:
        """Write a sound; return whether it is what it was."""
        row = await self._store.read(lambda tx: tx.one(_WAV, name=sound.name, digest=sound.digest))
        if row is None:
            return False  # changed meanwhile: the bell of that is on its way
        await asyncio.to_thread(_replace, path, bytes(row[0]))
        log.info("sound_written", sound=sound.name, file=str(path))
        return True

    async def _forget(self, unknown: set[str]) -> None:
        now = self._clock.monotonic()
        ours = {name for name in unknown if _PROMPT.fullmatch(name)}
        self._unknown = {name: self._unknown.get(name, now) for name in ours}
        for name in [name for name, since in self._unknown.items() if now - since >= FORGET_SECONDS]:
            await asyncio.to_thread((self._here / name).unlink, missing_ok=True)
            del self._unknown[name]


def _stem(sound: OurSound) -> str:
    return f"{sound.name}-{sound.digest}"


def _replace(path: Path, wav: bytes) -> None:
    """Write *path* so that whoever opens it has the old or the new, whole."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(wav)
        Path(name).chmod(0o644)  # what every caller may hear
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


__all__ = ["CLASS", "MUSIC", "Shelf", "classes", "music_class", "played"]
