"""REST of the sounds that callers hear: `/api/v1/sounds`, for administrators.

A sound is sent as the WAV itself; settings of lines name it `our/NAME`. What is not as a telephone needs it is refused: a browser
converts before it sends, a program by the command that the refusal names.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field

from broker.access.authorize import Action, Actor
from broker.domain import OUR_SOUNDS, from_us
from broker.errors import Conflict
from broker.ports import Row, Tx
from broker.store import directory, locks
from broker.web.wiring import May, StoreOf
from operators import sounds

__all__ = ["routes"]

log = structlog.get_logger(__name__)
routes = APIRouter(prefix="/api/v1/sounds", tags=["sounds"])

Name = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
Administrator = Annotated[Actor, May(Action.CHANGE_SOUNDS)]


class SoundUse(BaseModel):
    """A setting that names a sound."""

    line_id: str
    line: str
    setting: Annotated[str, Field(description="Among the line's settings, such as `calls.greeting`.")]


class SoundOut(BaseModel):
    """A sound."""

    name: str
    ref: Annotated[str, Field(description="How settings name it.")]
    seconds: float
    music: Annotated[bool, Field(description="For `calls.music`; else a prompt.")]
    changed_at: datetime
    uses: list[SoundUse]


class SoundsOut(BaseModel):
    """All of them."""

    items: list[SoundOut]
    left: Annotated[int, Field(description="How many more there can be.")]
    music_left: Annotated[int, Field(description="How many of those may be music.")]


@routes.get("")
async def list_sounds(store: StoreOf, _: Administrator) -> SoundsOut:
    """The sounds, by name, and where they are used."""

    def read(tx: Tx) -> SoundsOut:
        uses = _uses(tx)
        left, music_left = sounds.room(tx)
        items = [_out(row, uses) for row in sounds.all_sounds(tx)]
        return SoundsOut(items=items, left=left, music_left=min(left, music_left))

    return await store.read(read)


@routes.put(
    "/{name}",
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "PCM, one channel, 16 bits, 8,000 Hz; a prompt of at most 100 seconds, music of at most ten minutes.",
            "content": {"audio/wav": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
    responses={201: {"model": SoundOut, "description": "It is new."}},
)
async def put_sound(
    name: Name,
    request: Request,
    response: Response,
    store: StoreOf,
    actor: Administrator,
    music: Annotated[bool, Query(description="It is music for who waits.")] = False,
    if_none_match: Annotated[Literal["*"] | None, Header(description="Only if there is none of that name.")] = None,
) -> SoundOut:
    """Add a sound, or have another heard under its name: from the next call on."""
    body = await request.body()
    kept, milliseconds = await asyncio.to_thread(sounds.read_wav, body, music=music)

    def work(tx: Tx) -> tuple[bool, SoundOut]:
        locks.sounds(tx)  # before it is looked who names it
        uses = _uses(tx)
        if (wrong := next((one for one in uses[name] if (one.setting == sounds.MUSIC_KEY) != music), None)) is not None:
            raise Conflict(
                f"{name} is {wrong.setting} of {wrong.line}: it cannot be {'music' if music else 'a prompt'} before that is changed",
                code="sound_used",
            )
        fresh = sounds.put(tx, name, kept, milliseconds, music=music, new=if_none_match is not None)
        return fresh, _out(sounds.find(tx, name), uses)

    fresh, sound = await store.write(work)
    log.info("sound_kept", sound=name, seconds=sound.seconds, music=sound.music, by=actor.operator_id)
    response.status_code = 201 if fresh else 200
    return sound


@routes.get("/{name}/audio", response_class=Response, responses={200: {"content": {"audio/wav": {}}}})
async def hear_sound(name: Name, store: StoreOf, _: Administrator) -> Response:
    """What is heard: WAV."""
    return Response(await store.read(lambda tx: sounds.wav(tx, name)), media_type="audio/wav")


@routes.delete("/{name}", status_code=204)
async def delete_sound(name: Name, store: StoreOf, actor: Administrator) -> None:
    """Delete a sound that no line names."""

    def work(tx: Tx) -> None:
        locks.sounds(tx)  # before it is looked who names it
        if uses := _uses(tx)[name]:
            where = ", ".join(f"{one.setting} of {one.line}" for one in uses)
            raise Conflict(f"callers hear {name}: {where}; change that first", code="sound_used")
        sounds.remove(tx, name)

    await store.write(work)
    log.info("sound_deleted", sound=name, by=actor.operator_id)


def _uses(tx: Tx) -> defaultdict[str, list[SoundUse]]:
    """Return by each name the settings that name it."""
    found: defaultdict[str, list[SoundUse]] = defaultdict(list)
    for line in directory.load(tx).lines.values():
        for key, name in sounds.used(line.settings):
            found[name].append(SoundUse(line_id=line.id, line=line.name, setting=key))
    return found


def _out(row: Row, uses: Mapping[str, list[SoundUse]]) -> SoundOut:
    name, milliseconds, music, changed_us = row
    return SoundOut(
        name=name,
        ref=OUR_SOUNDS + name,
        seconds=milliseconds / 1_000,
        music=bool(music),
        changed_at=from_us(changed_us),
        uses=uses.get(name, []),
    )
