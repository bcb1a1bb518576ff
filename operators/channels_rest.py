"""REST of channels: connecting, testing, how they are; and of dead letters. `/api/v1/channels`, `/api/v1/dead-letters`.

A secret goes in and never comes out: an answer says of each whether there is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import structlog
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import bindparam, func, select, text

from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import ChannelId, LineId, LineSettings, from_us
from broker.errors import AccessLost, BadInput, Conflict, NotFound, Unavailable
from broker.inbound import prepare, revive
from broker.ports import Channel, ChannelKind, Raw, Tx
from broker.sealing import Sealer, opened
from broker.store import health
from broker.store.sql import sql
from broker.store.tables import outbox
from broker.web.wiring import May, StoreOf
from operators import dead_letters, lines, people
from operators.rest import Cursor, In, SettingsIn, Slug, Text, absent

log = structlog.get_logger(__name__)

PROBE_SECONDS = 20.0
WAITING_MAX = 10_000

_OPEN = (
    select(outbox.c.id)
    .where(text("outbox.state IN ('queued', 'sending')"), outbox.c.channel_id == bindparam("channel"))
    .limit(WAITING_MAX + 1)
    .subquery()
)
_WAITING = sql(select(func.count()).select_from(_OPEN))


class ChannelIn(In):
    line_id: UUID
    slug: Slug
    kind: Annotated[str, Field(min_length=1, max_length=40)]
    name: Text
    settings: SettingsIn = Field(default_factory=dict)


class ChannelChange(In):
    line_id: UUID = absent()
    name: Text = absent()
    active: bool = absent()
    settings: SettingsIn = absent()


class HealthOut(BaseModel):
    """How a channel is. *waiting*: it is asked again by itself; *refused*: somebody must act. Unknown while nobody has asked it yet."""

    state: Literal["unknown", "well", "waiting", "refused"]
    code: Annotated[str, Field(description="Why, as a word: token_revoked, other_receiver, …; empty: only *problem* says it.")]
    problem: str
    since: datetime | None
    heard_at: Annotated[datetime | None, Field(description="When its provider was last heard, to a minute.")]
    came_at: Annotated[datetime | None, Field(description="When a customer last wrote, to a minute.")]


class ChannelOut(BaseModel):
    """A channel; *version* grows with each change."""

    id: str
    line_id: str
    slug: str
    kind: str
    name: str
    active: bool
    version: int
    settings: Annotated[dict[str, Any], Field(description="Without its secrets.")]
    secrets: Annotated[dict[str, bool], Field(description="Whether there is one, by the names under which they are set.")]
    health: Annotated[HealthOut | None, Field(description="Null: nobody has to ask its provider for anything.")]


class ChannelDetail(ChannelOut):
    to_send: Annotated[int, Field(description=f"Messages that wait to be sent; {WAITING_MAX + 1}: more than can be counted.")]
    hook: Annotated[str, Field(description="Where its provider brings messages to; empty: `public_url` is not set.")]


class ChannelPage(BaseModel):
    items: list[ChannelOut]
    next_cursor: str | None


class ProbeIn(In):
    """Settings to be tried; of a channel that is there, what differs from now."""

    kind: Annotated[str, Field(min_length=1, max_length=40)]
    settings: SettingsIn = Field(default_factory=dict)
    channel_id: UUID | None = None


class ProbeOut(BaseModel):
    """What the provider says of the account. *warnings*: words for what will not work as it is."""

    name: str
    address: str
    warnings: list[str]


class DeadLetter(BaseModel):
    id: str
    origin: Annotated[str, Field(description="A channel's id, or console, timer, presence.")]
    external_id: str
    conversation_id: str | None
    at: datetime
    reason: str
    bytes: int
    replayable: Annotated[bool, Field(description="Nobody could read it: it can be read again, by a version that can.")]


class DeadLetterPage(BaseModel):
    items: list[DeadLetter]
    next_cursor: str | None


class Replayed(BaseModel):
    """What became of it. *conversation_id* null: it says nothing that concerns anybody here."""

    conversation_id: str | None


def routes(
    kinds: Mapping[str, ChannelKind],
    sealer: Sealer,
    channel: Callable[[ChannelId], Channel | None],
    settings_of: Callable[[Channel], LineSettings],
    public_url: str | None = None,
) -> list[APIRouter]:
    """Return the routes. *kinds* take and give sealed secrets; *channel* gives those that are switched on, *settings_of* their line's."""
    return [_channel_routes(kinds, public_url), _probe_routes(kinds, sealer), _dead_letter_routes(channel, settings_of)]


# --- channels


def _channel_routes(kinds: Mapping[str, ChannelKind], public_url: str | None) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["channels"])

    @router.get("/channels")
    async def list_channels(
        store: StoreOf, actor: Annotated[Actor, May(Action.READ_CHANNELS)], cursor: Cursor = None
    ) -> ChannelPage:
        """The channels of the lines you may see, by short name; a page may hold fewer than others."""

        def read(tx: Tx) -> ChannelPage:
            found, following = lines.channels_page(tx, cursor or "")
            known = health.of_all(tx)
            seen = [ChannelOut(**_told(kinds, one, known)) for one in found if actor.sees(one["line_id"])]
            return ChannelPage(items=seen, next_cursor=following)

        return await store.read(read)

    @router.post("/channels", status_code=201)
    async def add_channel(wanted: ChannelIn, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_CHANNELS)]) -> ChannelOut:
        """Connect a channel to a line."""
        name, settings = people.name_of(wanted.name), _kind_of(kinds, wanted.kind).check(wanted.settings)

        def work(tx: Tx) -> dict[str, Any]:
            id_ = lines.add_channel(tx, str(wanted.line_id), wanted.slug, wanted.kind, name, settings)
            return lines.find_channel(tx, id_)

        added = await store.write(work)
        log.info("channel_added", channel_id=added["id"], kind=wanted.kind, by=actor.operator_id)
        return ChannelOut(**_told(kinds, added, {}))

    @router.get("/channels/{channel_id}")
    async def read_channel(channel_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_CHANNELS)]) -> ChannelDetail:
        """One channel."""

        def read(tx: Tx) -> ChannelDetail:
            found = lines.find_channel(tx, str(channel_id))
            authorize(actor, Action.READ_CHANNELS, Thing(line_id=LineId(found["line_id"])))
            (waiting,) = tx.one(_WAITING, channel=found["id"]) or (0,)
            hook = f"{public_url.rstrip('/')}/hooks/{found['id']}" if public_url else ""
            return ChannelDetail(**_told(kinds, found, health.of_all(tx)), to_send=waiting, hook=hook)

        return await store.read(read)

    @router.patch("/channels/{channel_id}")
    async def change_channel(
        channel_id: UUID, wanted: ChannelChange, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_CHANNELS)]
    ) -> ChannelOut:
        """Change a channel; a change of nothing keeps its version."""
        changes = wanted.sent()
        if "name" in changes:
            changes["name"] = people.name_of(changes["name"])
        if "line_id" in changes:
            changes["line_id"] = str(changes["line_id"])

        def work(tx: Tx) -> dict[str, Any]:
            new = dict(changes)
            if "settings" in new:
                before = lines.find_channel(tx, str(channel_id))
                _refuse_elsewhere(_kind_of(kinds, before["kind"]), before["settings"], new["settings"])
                new["settings"] = _kind_of(kinds, before["kind"]).check(before["settings"] | new["settings"])
            lines.change_channel(tx, str(channel_id), new)
            return _told(kinds, lines.find_channel(tx, str(channel_id)), health.of_all(tx))

        changed = await store.write(work)
        log.info("channel_changed", channel_id=str(channel_id), what=sorted(changes), by=actor.operator_id)
        return ChannelOut(**changed)

    return router


def _probe_routes(kinds: Mapping[str, ChannelKind], sealer: Sealer) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["channels"])

    @router.post("/channels/probe")
    async def probe_channel(wanted: ProbeIn, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_CHANNELS)]) -> ProbeOut:
        """Ask the provider whether settings are right, and whose account they are; nothing is kept."""
        kind = _kind_of(kinds, wanted.kind)
        if kind.probe is None:
            raise BadInput(f"a channel of the kind {wanted.kind} has no provider that could be asked", field="kind")
        before: dict[str, Any] = {}
        if wanted.channel_id is not None:
            found = await store.read(lambda tx: lines.find_channel(tx, str(wanted.channel_id)))
            before = found["settings"] if found["kind"] == wanted.kind else {}
            _refuse_elsewhere(kind, before, wanted.settings)
        settings = opened(kind, kind.check(before | wanted.settings), sealer)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                probed = await kind.probe(settings)
        except AccessLost as error:
            secret = "token" if "token" in kind.secrets else next(iter(sorted(kind.secrets)), "")
            field = f"settings.{secret}".rstrip(".")
            raise BadInput(str(error), field=field, code=error.code) from None
        except (Unavailable, TimeoutError, OSError) as error:
            reason = str(error) or "it did not answer in time"
            raise BadInput(f"the provider cannot be reached: {reason}", field="settings", code="not_reached") from None
        return ProbeOut(name=probed.name, address=probed.address, warnings=list(probed.warnings))

    return router


def _kind_of(kinds: Mapping[str, ChannelKind], word: str) -> ChannelKind:
    if word not in kinds:
        raise BadInput(f"there is no kind {word}; known are {', '.join(sorted(kinds))}", field="kind")
    return kinds[word]


def _refuse_elsewhere(kind: ChannelKind, before: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Refuse to send a kept secret to another place than it was given for: whoever sets one must know the other. Raises BadInput."""
    if not any(name in given and given[name] != (before.get(name) or "") for name in kind.sent_to):
        return
    for secret in sorted(kind.secrets):
        if before.get(secret) and not given.get(secret):
            where = " and ".join(sorted(kind.sent_to & given.keys()))
            raise BadInput(
                f"{where} is another: give the {secret} again, it would be sent there",
                field=f"settings.{secret}",
                code="secret_again",
            )


def _told(kinds: Mapping[str, ChannelKind], found: dict[str, Any], known: Mapping[ChannelId, health.Health]) -> dict[str, Any]:
    """Return a channel as it is told: without its secrets, and with how it is where a provider has to be asked."""
    kind = kinds.get(found["kind"])
    secrets = kind.secrets if kind is not None else frozenset()
    return found | {
        "settings": {name: value for name, value in found["settings"].items() if name not in secrets},
        "secrets": {name: bool(found["settings"].get(name)) for name in sorted(secrets)},
        "health": _health(known.get(found["id"])) if kind is not None and kind.probe is not None else None,
    }


def _health(found: health.Health | None) -> HealthOut:
    if found is None:
        return HealthOut(state="unknown", code="", problem="", since=None, heard_at=None, came_at=None)
    return HealthOut(
        state=found.state,  # type: ignore[arg-type]  # what broker.receiving writes
        code=found.code,
        problem=found.problem,
        since=from_us(found.since_us),
        heard_at=from_us(found.well_us) if found.well_us is not None else None,
        came_at=from_us(found.came_us) if found.came_us is not None else None,
    )


# --- dead letters


def _dead_letter_routes(
    channel: Callable[[ChannelId], Channel | None], settings_of: Callable[[Channel], LineSettings]
) -> APIRouter:
    router = APIRouter(prefix="/api/v1", tags=["operations"])

    @router.get("/dead-letters", dependencies=[May(Action.READ_DEAD_LETTERS)])
    async def list_dead_letters(store: StoreOf, cursor: Cursor = None) -> DeadLetterPage:
        """What came in and nobody could read or decide, the newest first."""
        found, following = await store.read(lambda tx: dead_letters.page(tx, cursor))
        return DeadLetterPage(items=[DeadLetter(**one) for one in found], next_cursor=following)

    @router.get(
        "/dead-letters/{letter_id}/raw",
        response_class=Response,
        responses={200: {"content": {"application/octet-stream": {}}}},
    )
    async def read_raw(letter_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_DEAD_LETTERS)]) -> Response:
        """What came in, as it came: a download."""
        letter = await store.read(lambda tx: dead_letters.find(tx, str(letter_id)))
        log.info("dead_letter_read", letter_id=str(letter_id), by=actor.operator_id)
        headers = {
            "Content-Disposition": f'attachment; filename="{letter_id}.raw"',
            "Content-Security-Policy": "default-src 'none'; sandbox",
        }
        return Response(letter.raw, headers=headers, media_type="application/octet-stream")

    @router.post("/dead-letters/{letter_id}/replay")
    async def replay(letter_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_DEAD_LETTERS)]) -> Replayed:
        """Read again what nobody could read: when a newer version can, it is stored as if it came just now."""
        letter = await store.read(lambda tx: dead_letters.find(tx, str(letter_id)))
        if not letter.replayable:
            raise Conflict("it could be read, and not decided: it stays as it is", code="not_replayable")
        one = channel(ChannelId(letter.origin))
        if one is None:
            raise NotFound("its channel is switched off, or not there any more; switch it on first")
        (prepared,) = prepare(one, [Raw(letter.external_id, letter.raw)], settings_of(one))
        if prepared.problem:
            raise BadInput(f"it still cannot be read: {prepared.problem}", code="still_unreadable")
        accepted = await store.write(lambda tx: revive(tx, one.id, prepared))
        if accepted.dead is not None:
            raise BadInput(f"it can be read, and has no place: {accepted.dead}", code="still_unreadable")
        log.info("dead_letter_replayed", letter_id=str(letter_id), by=actor.operator_id)
        return Replayed(conversation_id=accepted.conversation_id)

    return router
