"""Sounds of ours that callers hear, prompts and music: transaction functions. Where one is used is what lines' settings say.

They are kept where all else is; whoever is beside Asterisk writes them into its folder (channels.phone.sounds).
"""

from __future__ import annotations

import hashlib
import io
import wave
from collections.abc import Iterator

from sqlalchemy import bindparam, delete, func, select, update

from broker.domain import MUSIC_MAX, OUR_SOUNDS, CallSettings, LineSettings, to_us
from broker.errors import BadInput, Conflict, NotFound
from broker.ports import Bell, Row, Tx
from broker.store import locks
from broker.store.sql import cols, insert_new, sql
from broker.store.tables import sounds

SOUNDS_MAX = 200
SECONDS_MAX, PROMPT_SECONDS_MAX = 600, 100
"""Of music, which the size of an upload bounds; and of a prompt, to the end of which the switchboard waits."""
_RATE, _WIDTH = 8_000, 2
_CONVERT = "convert it, as an example by: ffmpeg -i yours.mp3 -ar 8000 -ac 1 -c:a pcm_s16le sound.wav"

_ALL = sql(select(*cols(sounds, "slug milliseconds music changed_us")).order_by(sounds.c.slug).limit(SOUNDS_MAX))
_ONE = sql(select(*cols(sounds, "slug milliseconds music changed_us")).where(sounds.c.slug == bindparam("name")))
_WAV = sql(select(sounds.c.wav).where(sounds.c.slug == bindparam("name")))
_COUNT = sql(select(func.count()).select_from(sounds))
_PLACES = sql(select(sounds.c.music).where(sounds.c.music > 0))
_ADD = insert_new(sounds, "slug digest milliseconds music wav changed_us", "slug")
_CHANGE = sql(
    update(sounds)
    .values({name: bindparam("new_" + name) for name in "digest milliseconds music wav changed_us".split()})
    .where(sounds.c.slug == bindparam("name"))
)
_REMOVE = sql(delete(sounds).where(sounds.c.slug == bindparam("name")))


def read_wav(body: bytes, *, music: bool) -> tuple[bytes, int]:
    """Return the sound as it is kept, a WAV and nothing beside, and its length in milliseconds. Raises BadInput saying what to do."""
    try:
        with wave.open(io.BytesIO(body)) as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            frames = file.readframes(file.getnframes())
    except (wave.Error, EOFError, RuntimeError) as error:
        raise _bad(f"this is no WAV of plain samples ({str(error) or 'it ends too early'}); {_CONVERT}") from None
    if form != (1, _WIDTH, _RATE):
        channels, width, rate = form
        raise _bad(
            f"a telephone needs one channel, 16 bits and 8,000 Hz; this has {channels}, {width * 8} and {rate:,}: {_CONVERT}"
        )
    samples = len(frames) // _WIDTH
    if not samples:
        raise _bad("there is nothing to be heard in it")
    if not music and samples > PROMPT_SECONDS_MAX * _RATE:
        raise _bad(f"a prompt lasts at most {PROMPT_SECONDS_MAX} seconds; shorten it, or add it as music")
    if samples > SECONDS_MAX * _RATE:
        raise _bad(f"it lasts longer than {SECONDS_MAX // 60} minutes; shorten it")
    kept = io.BytesIO()
    with wave.open(kept, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(_WIDTH)
        file.setframerate(_RATE)
        file.writeframes(frames[: samples * _WIDTH])
    return kept.getvalue(), max(1, samples * 1_000 // _RATE)


def _bad(words: str) -> BadInput:
    return BadInput(words, field="sound", code="bad_sound")


def all_sounds(tx: Tx) -> list[Row]:
    """Return name, milliseconds, place as music and time of change of each, by name: there are at most SOUNDS_MAX."""
    return tx.all(_ALL)


def find(tx: Tx, name: str) -> Row:
    """Return the same of one. Raises NotFound."""
    row = tx.one(_ONE, name=name)
    if row is None:
        raise NotFound(f"there is no sound {name}")
    return row


def wav(tx: Tx, name: str) -> bytes:
    """Return what is heard. Raises NotFound."""
    row = tx.one(_WAV, name=name)
    if row is None:
        raise NotFound(f"there is no sound {name}")
    return bytes(row[0])


def put(tx: Tx, name: str, kept: bytes, milliseconds: int, *, music: bool, new: bool = False) -> bool:
    """Keep a sound under *name*; return whether it is new, which *new* demands.

    Raises Conflict: sound_taken, and sounds_full and music_full when there is no more room.
    """
    locks.sounds(tx)
    before = tx.one(_ONE, name=name)
    if new and before is not None:
        raise Conflict(f"there is a sound {name} already; take another name", code="sound_taken")
    place = before[2] if before is not None else 0
    if not music:
        place = 0
    elif not place:
        place = _free_place(tx)
    values = {
        "digest": hashlib.sha256(kept).hexdigest()[:16],
        "milliseconds": milliseconds,
        "music": place,
        "wav": kept,
        "changed_us": to_us(tx.now),
    }
    if before is None:
        if _count(tx) >= SOUNDS_MAX:
            raise Conflict(
                f"there are {SOUNDS_MAX} sounds, as many as there can be; delete one that nobody needs", code="sounds_full"
            )
        if not tx.run(_ADD, slug=name, **values):
            raise Conflict(f"somebody has just added {name}; look at it first", code="sound_taken")
    else:
        tx.run(_CHANGE, name=name, **{f"new_{key}": value for key, value in values.items()})
    tx.ring(Bell.SETTINGS)
    return before is None


def remove(tx: Tx, name: str) -> None:
    """Delete a sound. Raises NotFound."""
    locks.sounds(tx)
    if not tx.run(_REMOVE, name=name):
        raise NotFound(f"there is no sound {name}")
    tx.ring(Bell.SETTINGS)


def room(tx: Tx) -> tuple[int, int]:
    """Return how many sounds there can be more, and how many pieces of music."""
    return SOUNDS_MAX - _count(tx), MUSIC_MAX - len(tx.all(_PLACES))


def _count(tx: Tx) -> int:
    row = tx.one(_COUNT)
    assert row is not None
    return int(row[0])


def _free_place(tx: Tx) -> int:
    taken = {row[0] for row in tx.all(_PLACES)}
    place = next((number for number in range(1, MUSIC_MAX + 1) if number not in taken), None)
    if place is None:
        raise Conflict(
            f"there are {MUSIC_MAX} pieces of music, as many as there can be; delete one, or make it a prompt", code="music_full"
        )
    return place


MUSIC_KEY = "calls.music"
"""The setting that names music; the others name prompts."""


def used(settings: LineSettings) -> Iterator[tuple[str, str]]:
    """Yield where a line's settings name a sound of ours, and its name."""
    calls: CallSettings = settings.calls
    named = {
        "greeting": calls.greeting,
        "menu.sound": calls.menu.sound,
        "outside_sound": calls.outside_sound,
        "rating_sound": calls.rating_sound,
        "voicemail_greeting": calls.voicemail_greeting,
        "callback_sound": calls.callback_sound,
        "music": calls.music,
    }
    for key, value in named.items():
        if value.startswith(OUR_SOUNDS):
            yield f"calls.{key}", value.removeprefix(OUR_SOUNDS)


def refuse_unknown(tx: Tx, settings: LineSettings) -> None:
    """Refuse settings that name a sound of ours that is not there, or is of the other kind. Raises BadInput naming the key."""
    named = list(used(settings))
    if named:
        locks.sounds(tx)
    for key, name in named:
        row = tx.one(_ONE, name=name)
        if row is None:
            wrong = f"{key}: there is no sound {name}; add it in the console under Sounds, or name one of Asterisk's"
            raise BadInput(wrong, field=f"settings.{key}")
        if (key == MUSIC_KEY) != bool(row[2]):
            is_, be = ("music", "a prompt") if row[2] else ("a prompt", "music")
            raise BadInput(f"{key}: {name} is {is_}; add it as {be} under another name", field=f"settings.{key}")
