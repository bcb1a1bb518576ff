"""REST of files: what customers sent, what operators upload for them, and pictures of contacts. `/api/v1/files` and others.

A file belongs to a conversation, and whoever may see one of its sessions may have it. What strangers sent is given as a download and is
never shown as it is: a page shows the preview that was made anew (broker.previews), and plays sound and video by elements that run nothing.
"""

from __future__ import annotations

import mimetypes
import re
from collections.abc import AsyncIterator
from typing import Annotated, NamedTuple
from urllib.parse import quote
from uuid import UUID

import structlog
from fastapi import APIRouter, Header, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import bindparam, select

from broker import previews
from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import FILE_BYTES_MAX, FileId, LineId
from broker.errors import Conflict, NotFound
from broker.extras import FileKind, cut
from broker.fetching import Kept, add_file, keep_preview
from broker.ports import Files, Tx
from broker.store.sql import cols, sql
from broker.store.tables import files, sessions
from broker.web.wiring import May, Parts, PartsOf
from operators import cards, threads
from operators.audience import may_see

log = structlog.get_logger(__name__)

routes = APIRouter(prefix="/api/v1", tags=["files"])

_FILE = sql(
    select(*cols(files, "id conversation_id sha256 name media_type size kind preview width height")).where(
        files.c.id == bindparam("file")
    )
)
_SESSIONS = sql(
    select(sessions.c.id)
    .where(sessions.c.conversation_id == bindparam("conversation"))
    .order_by(sessions.c.opened_us.desc())
    .limit(20)
)
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
PLAYED = frozenset(
    "audio/mpeg audio/ogg audio/mp4 audio/wav audio/webm audio/aac audio/flac video/mp4 video/webm video/ogg video/quicktime".split()
)
"""What elements of a page play; everything else is told as bytes of nothing in particular."""
_LOCKED = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, max-age=86400, immutable",
}
_EVERY_NAME = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f/\\]+"
)
"""What no name of a file holds: controls, marks of direction, signs nobody sees, ways to other folders."""

FileName = Annotated[str, Path(min_length=1, max_length=200, description="The file's name, with its ending.")]


class FileOut(BaseModel):
    """A file. *kind*: photo, video, voice, audio, animation, sticker or document; *width* and *height* are 0 where none are known."""

    id: str
    name: str
    media_type: str
    kind: FileKind
    size: int
    preview: bool
    width: int
    height: int


class _Row(NamedTuple):
    id: str
    conversation_id: str | None
    sha256: str
    name: str
    media_type: str
    size: int
    kind: str
    preview: str
    width: int
    height: int


@routes.post(
    "/sessions/{session_id}/files/{name}",
    status_code=201,
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": f"The file's bytes, at most {FILE_BYTES_MAX:,}.",
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def upload(
    session_id: UUID, name: FileName, request: Request, parts: PartsOf, actor: Annotated[Actor, May(Action.ANSWER_SESSION)]
) -> FileOut:
    """Upload a file for the customer of a session: it is sent by a reply that names it."""

    def allowed(tx: Tx) -> str:
        watched = threads.seen_session(tx, actor, str(session_id))
        where = watched.where
        ours = actor.operator_id in (*where.members, *where.invited, *where.offered_to) or where.operator_id is None
        authorize(actor, Action.ANSWER_SESSION, Thing(LineId(where.line_id), actor.operator_id if ours else where.operator_id))  # type: ignore[arg-type]
        return watched.conversation

    conversation_id = await parts.store.read(allowed)
    kept_in = _files(parts)
    sha256, size = await kept_in.put_from(request.stream(), FILE_BYTES_MAX)
    if not size:
        raise Conflict(f"“{name[:60]}” is empty; choose another file", code="empty_file")
    kept = await keep_preview(kept_in, Kept(sha256, size))
    called = file_name(name)
    media_type = mimetypes.guess_type(called)[0] or "application/octet-stream"
    kind = kind_of(media_type, pictured=bool(kept.preview))

    def work(tx: Tx) -> FileId:
        id_ = FileId(tx.new_id())
        add_file(tx, id_, kept, kind, called, media_type, conversation_id, actor.operator_id)
        return id_

    id_ = await parts.store.write(work)
    log.info("file_uploaded", file_id=id_, bytes=size, kind=kind.value, by=actor.operator_id)
    return FileOut(
        id=id_,
        name=called,
        media_type=media_type,
        kind=kind,
        size=size,
        preview=bool(kept.preview),
        width=kept.width,
        height=kept.height,
    )


@routes.get(
    "/files/{file_id}",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}, 206: {"description": "The part that was asked for."}, 416: {}},
)
async def download(
    file_id: UUID,
    parts: PartsOf,
    actor: Annotated[Actor, May(Action.READ_SESSIONS)],
    wanted: Annotated[str | None, Header(alias="Range", max_length=200)] = None,
) -> Response:
    """The file, as a download; a part of it by Range."""
    row = await parts.store.read(lambda tx: _seen(tx, actor, str(file_id)))
    headers = _LOCKED | {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file_name(row.name) if row.name else _nameless(row))}",
        "Accept-Ranges": "bytes",
    }
    media_type = row.media_type if row.media_type in PLAYED else "application/octet-stream"
    begin, end = 0, row.size
    status = 200
    if wanted is not None and (asked := _range(wanted, row.size)) is not None:
        begin, end = asked
        if begin >= row.size:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{row.size}"})
        status = 206
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{row.size}"
    headers["Content-Length"] = str(end - begin)
    body = await _begun(_files(parts).read(row.sha256, begin, end))
    return StreamingResponse(body, status, headers, media_type)


@routes.get("/files/{file_id}/preview", response_class=Response, responses={200: {"content": {previews.MEDIA_TYPE: {}}}})
async def preview(file_id: UUID, parts: PartsOf, actor: Annotated[Actor, May(Action.READ_SESSIONS)]) -> Response:
    """A picture of the file, made anew from it."""
    row = await parts.store.read(lambda tx: _seen(tx, actor, str(file_id)))
    if not row.preview:
        raise NotFound("there is no picture of this file")
    return Response(await _files(parts).get(row.preview), headers=_LOCKED, media_type=previews.MEDIA_TYPE)


@routes.get("/contacts/{contact_id}/avatar", response_class=Response, responses={200: {"content": {previews.MEDIA_TYPE: {}}}})
async def avatar(contact_id: UUID, parts: PartsOf, actor: Annotated[Actor, May(Action.READ_CONTACTS)]) -> Response:
    """The contact's picture, as their channel has it."""
    found = await parts.store.read(lambda tx: threads.seen_contact(tx, actor, str(contact_id)))
    if not found.avatar:
        raise NotFound("there is no picture of this contact")
    body = await _files(parts).get(found.avatar)
    return Response(body, headers=_LOCKED | {"Cache-Control": "private, max-age=300"}, media_type=previews.MEDIA_TYPE)


def file_name(written: str) -> str:
    """Return *written* as the name of a file: one line, no way out of its folder, nothing invisible."""
    return cut(_EVERY_NAME.sub("_", written.strip().lstrip("."))) or "file"


def kind_of(media_type: str, *, pictured: bool) -> FileKind:
    """Return what a file is to a person that an operator sends."""
    if pictured and media_type in ("image/jpeg", "image/png", "image/webp"):
        return FileKind.PHOTO
    if media_type == "image/gif":
        return FileKind.ANIMATION
    if media_type in ("video/mp4", "video/quicktime"):
        return FileKind.VIDEO
    if media_type in ("audio/mpeg", "audio/mp4", "audio/x-m4a"):
        return FileKind.AUDIO
    return FileKind.DOCUMENT


def _seen(tx: Tx, actor: Actor, file_id: str) -> _Row:
    """Return the file. Raises NotFound also for one of a conversation of which *actor* may see nothing."""
    row = tx.one(_FILE, file=file_id)
    if row is not None and row[1] is not None:
        known = cards.load_all(tx, (id_ for (id_,) in tx.all(_SESSIONS, conversation=row[1])))
        if any(may_see(actor, one.where) for one in known):
            return _Row(*row)
    raise NotFound("there is no such file among those you may see")


def _files(parts: Parts) -> Files:
    if parts.files is None:
        raise NotFound("this process keeps no files")
    return parts.files


def _nameless(row: _Row) -> str:
    return f"{row.kind}{mimetypes.guess_extension(row.media_type) or ''}"


def _range(wanted: str, size: int) -> tuple[int, int] | None:
    """Return which bytes are asked for, the last one not included; None: all of them, for what was asked is nothing we know."""
    found = _RANGE.fullmatch(wanted.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return max(0, size - int(found[2])), size
    begin = int(found[1])
    end = min(size, int(found[2]) + 1) if found[2] else size
    return (begin, end) if begin < end or begin >= size else None


async def _begun(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return *pieces* after the first is there: a file that is gone is told before the answer has begun."""
    first = await anext(pieces, b"")

    async def whole() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return whole()
