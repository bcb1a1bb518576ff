"""REST of what people do to sessions: deeds, alone and in bulk, pins and reviews. `/api/v1/sessions/…`.

A deed goes the same way as one from the console: 202 means that it is stored, and what comes of it shows in the session. Whatever
is refused at once is said in the asker's language, with the codes of operators.deeds.SENTENCES.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Header, Path
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from broker.access.authorize import Action, Actor
from broker.errors import BadInput, Conflict, Forbidden, NotFound, OmnilineError, StoreBusy, StoreError
from broker.ports import Store, Tx
from broker.web.wiring import May, PartsOf, StoreOf
from operators import deeds, pins, reviews
from operators.deeds import Refusal, sentence
from operators.reviews import Review

routes = APIRouter(prefix="/api/v1", tags=["sessions"])

BULK_MAX = 100

_FORBIDDEN = ("not_yours", "not_your_words", "not_your_line", "not_allowed", "not_invited", "own_review")
_FIELDS = {
    "empty": "text",
    "too_long": "text",
    "nobody_named": "operator_id",
    "bad_number": "number",
    "no_colleague": "operator_id",
    "no_line": "line_id",
    "no_number": "line_id",
    "bad_time": "at",
    "past": "until",
    "no_file": "files",
    "no_files_here": "files",
    "file_too_large": "files",
    "no_phone_button": "asks_phone",
}
"""The part of the request that must be another."""

Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[A-Za-z0-9_-]{8,64}$",
        description="Your own id of the deed: sent again, it is done once. Or send it as `id`.",
    ),
]
Seq = Annotated[int, Path(ge=1, le=2**53)]
DeedId = Annotated[str | None, Field(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
Outcome = Annotated[str, Field(max_length=100, description="A word for reports.")]


class _In(BaseModel):
    # A length, so that what is half a character is refused as text and not met where it is encoded.
    model_config = ConfigDict(extra="forbid", str_max_length=1_000_000)

    id: DeedId = None


class Words(_In):
    text: str


class Answer(_In):
    """What the customer is to read: words, files, or both."""

    text: str = ""
    files: Annotated[list[UUID], Field(max_length=10, description="Ids of files that you uploaded for the session.")] = []
    answers: Annotated[int, Field(ge=0, le=2**53, description="The seq of the message that it answers; 0: none.")] = 0
    asks_phone: Annotated[bool, Field(strict=True, description="With a button by which the customer tells their phone.")] = False


class Ending(_In):
    outcome: Outcome = ""


class Giving(_In):
    """To whom: a colleague or a line, one of them; the session's own line is back to its queue."""

    operator_id: UUID | None = None
    line_id: UUID | None = None
    text: Annotated[str, Field(description="A note to whoever is next.")] = ""


class Passing(Giving):
    """To whom: a colleague, a line or, with a call, a number outside: one of them."""

    number: Annotated[
        str, Field(max_length=40, description="2 to 20 digits, with a + in front or without; spaces, brackets and dashes go.")
    ] = ""


class Invitation(_In):
    operator_id: UUID


class Listening(_In):
    how: Annotated[deeds.How, Field(description="Who hears you: nobody, the operator, both; keys 4, 5 and 6 change it.")] = (
        "listen"
    )


class Spamming(_In):
    ban: Annotated[bool, Field(strict=True, description="What the contact writes from now on opens no session.")] = False


class Snoozing(_In):
    until: AwareDatetime


class Many(_In):
    """One deed for many sessions."""

    verb: Literal["close", "assign"]
    sessions: Annotated[list[UUID], Field(min_length=1, max_length=BULK_MAX)]
    outcome: Outcome = ""
    operator_id: UUID | None = None
    line_id: UUID | None = None


class DeedStored(BaseModel):
    """The deed is stored. *refused*: it was sent before, and has been decided against since."""

    id: str
    seq: int
    refused: str


class DeedAnswer(BaseModel):
    """What became of one session's; *code* and *text* say why it was not accepted, or was decided against since."""

    session_id: str
    accepted: bool
    code: str
    text: str


class DeedAnswers(BaseModel):
    items: list[DeedAnswer]


class ReviewIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stars: Annotated[int, Field(ge=1, le=5, strict=True)]
    comment: Annotated[str, Field(max_length=reviews.COMMENT_MAX)] = ""


# --- one's work


@routes.post("/sessions/{session_id}/take", status_code=202)
async def take(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.TAKE_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Take a session that is offered to you or waits in a line of yours."""
    return await _do(store, actor, session_id, "take", key, wanted)


@routes.post("/sessions/{session_id}/decline", status_code=202)
async def decline(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.TAKE_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Pass on what is offered to you."""
    return await _do(store, actor, session_id, "decline", key, wanted)


@routes.post("/sessions/{session_id}/reply", status_code=202)
async def reply(
    session_id: UUID, wanted: Answer, parts: PartsOf, actor: Annotated[Actor, May(Action.ANSWER_SESSION)], key: Key = None
) -> DeedStored:
    """Write to the customer; what waits, or is offered to you, is taken by it."""
    words = {
        "text": wanted.text,
        "files": tuple(map(str, wanted.files)),
        "answers": wanted.answers,
        "asks_phone": wanted.asks_phone,
    }
    return await _do(parts.store, actor, session_id, "reply", key, wanted, parts.kinds, **words)


@routes.patch("/sessions/{session_id}/messages/{seq}", status_code=202)
async def reword(
    session_id: UUID,
    seq: Seq,
    wanted: Words,
    parts: PartsOf,
    actor: Annotated[Actor, May(Action.ANSWER_SESSION)],
    key: Key = None,
) -> DeedStored:
    """Let what an operator sent say something else, here and where the customer reads it, if the channel can."""
    return await _do(parts.store, actor, session_id, "reword", key, wanted, parts.kinds, text=wanted.text, message=seq)


@routes.delete("/sessions/{session_id}/messages/{seq}", status_code=202)
async def take_back(
    session_id: UUID, seq: Seq, parts: PartsOf, actor: Annotated[Actor, May(Action.ANSWER_SESSION)], key: Key = None
) -> DeedStored:
    """Take back what an operator sent, where the customer reads it too, if the channel can."""
    return await _do(parts.store, actor, session_id, "take_back", key, None, parts.kinds, message=seq)


@routes.post("/sessions/{session_id}/note", status_code=202)
async def note(
    session_id: UUID, wanted: Words, store: StoreOf, actor: Annotated[Actor, May(Action.NOTE_SESSION)], key: Key = None
) -> DeedStored:
    """Write to colleagues only."""
    return await _do(store, actor, session_id, "note", key, wanted, text=wanted.text)


@routes.post("/sessions/{session_id}/start", status_code=202)
async def start(
    session_id: UUID, wanted: Words, store: StoreOf, actor: Annotated[Actor, May(Action.START_SESSION)], key: Key = None
) -> DeedStored:
    """Write first, in the conversation of its latest session, which is closed."""
    return await _do(store, actor, session_id, "start", key, wanted, text=wanted.text)


@routes.post("/sessions/{session_id}/snooze", status_code=202)
async def snooze(
    session_id: UUID, wanted: Snoozing, store: StoreOf, actor: Annotated[Actor, May(Action.SNOOZE_SESSION)], key: Key = None
) -> DeedStored:
    """Put it by until a moment, or until the customer writes."""
    return await _do(store, actor, session_id, "snooze", key, wanted, until=wanted.until)


@routes.post("/sessions/{session_id}/close", status_code=202)
async def close(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.CLOSE_SESSION)],
    wanted: Ending | None = None,
    key: Key = None,
) -> DeedStored:
    """End the session."""
    return await _do(store, actor, session_id, "close", key, wanted, outcome=wanted.outcome if wanted is not None else "")


@routes.post("/sessions/{session_id}/spam", status_code=202)
async def spam(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.MARK_SPAM)],
    wanted: Spamming | None = None,
    key: Key = None,
) -> DeedStored:
    """End the session without a word: it was no customer's."""
    return await _do(store, actor, session_id, "spam", key, wanted, ban=wanted is not None and wanted.ban)


# --- with colleagues


@routes.post("/sessions/{session_id}/transfer", status_code=202)
async def transfer(
    session_id: UUID, wanted: Passing, store: StoreOf, actor: Annotated[Actor, May(Action.TRANSFER_SESSION)], key: Key = None
) -> DeedStored:
    """Pass it on: to a colleague, who is asked, to a line's queue, or with a call to a number outside."""
    return await _do(store, actor, session_id, "transfer", key, wanted, text=wanted.text, number=wanted.number, **_to(wanted))


@routes.post("/sessions/{session_id}/assign", status_code=202)
async def assign(
    session_id: UUID, wanted: Giving, store: StoreOf, actor: Annotated[Actor, May(Action.ASSIGN_SESSION)], key: Key = None
) -> DeedStored:
    """Give it to somebody without asking them."""
    return await _do(store, actor, session_id, "assign", key, wanted, text=wanted.text, **_to(wanted))


@routes.post("/sessions/{session_id}/invite", status_code=202)
async def invite(
    session_id: UUID, wanted: Invitation, store: StoreOf, actor: Annotated[Actor, May(Action.INVITE_COLLEAGUE)], key: Key = None
) -> DeedStored:
    """Ask a colleague to join, of whatever line they are."""
    return await _do(store, actor, session_id, "invite", key, wanted, operator=str(wanted.operator_id))


@routes.post("/sessions/{session_id}/join", status_code=202)
async def join(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.JOIN_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Read along and write too: as somebody invited, or as a supervisor."""
    return await _do(store, actor, session_id, "join", key, wanted)


@routes.post("/sessions/{session_id}/leave", status_code=202)
async def leave(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.JOIN_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Join no longer, or do not accept the invitation."""
    return await _do(store, actor, session_id, "leave", key, wanted)


@routes.post("/sessions/{session_id}/take-over", status_code=202)
async def take_over(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.TAKE_OVER_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Take it from whoever has it."""
    return await _do(store, actor, session_id, "take_over", key, wanted)


# --- in the midst of a talk


@routes.post("/sessions/{session_id}/hold", status_code=202)
async def hold(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.ANSWER_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Let the caller hear music for a while."""
    return await _do(store, actor, session_id, "hold", key, wanted)


@routes.post("/sessions/{session_id}/resume", status_code=202)
async def resume(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.ANSWER_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Speak with the caller again, and no longer with a colleague about the call."""
    return await _do(store, actor, session_id, "resume", key, wanted)


@routes.post("/sessions/{session_id}/settle", status_code=202)
async def settle(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.NOTE_SESSION)],
    wanted: _In | None = None,
    key: Key = None,
) -> DeedStored:
    """Say that a call that nobody answered has been seen to: it leaves the missed ones."""
    return await _do(store, actor, session_id, "settle", key, wanted)


@routes.post("/sessions/{session_id}/consult", status_code=202)
async def consult(
    session_id: UUID, wanted: Invitation, store: StoreOf, actor: Annotated[Actor, May(Action.TRANSFER_SESSION)], key: Key = None
) -> DeedStored:
    """Call a colleague about the call; the caller hears music meanwhile. To `transfer` to them once they have lifted hands it over."""
    return await _do(store, actor, session_id, "consult", key, wanted, operator=str(wanted.operator_id))


@routes.post("/sessions/{session_id}/listen", status_code=202)
async def listen(
    session_id: UUID,
    store: StoreOf,
    actor: Annotated[Actor, May(Action.LISTEN_TO_TALK)],
    wanted: Listening | None = None,
    key: Key = None,
) -> DeedStored:
    """Let your own phone ring, by which you hear the talk."""
    return await _do(store, actor, session_id, "listen", key, wanted, how=wanted.how if wanted is not None else "listen")


# --- many at once


@routes.post("/sessions/bulk", status_code=202)
async def do_many(
    wanted: Many, store: StoreOf, actor: Annotated[Actor, May(Action.CLOSE_SESSION)], key: Key = None
) -> DeedAnswers:
    """Close or assign many sessions; each is answered for itself, and sent again under the same id each is done once."""
    id_ = id_of(key, wanted.id)
    operator, line = _to(wanted).values()
    try:
        made = [
            # No deed of one session alone has such an id.
            deeds.deed(f"{id_}:{one}", str(one), wanted.verb, outcome=wanted.outcome, operator=operator, line=line)
            for one in dict.fromkeys(wanted.sessions)
        ]
    except Refusal as refusal:
        raise problem(refusal.code, actor.language) from None
    return DeedAnswers(items=list(await asyncio.gather(*(_answer(store, actor, one) for one in made))))


async def _answer(store: Store, actor: Actor, deed: deeds.Deed) -> DeedAnswer:
    try:
        code, accepted = (await deeds.do(store, actor, deed)).refused, True
    except Refusal as refusal:
        code, accepted = refusal.code, False
    except StoreError:
        code, accepted = "unavailable", False
    return DeedAnswer(session_id=deed.session, accepted=accepted, code=code, text=sentence(code, actor.language) if code else "")


async def _do(
    store: Store,
    actor: Actor,
    session_id: UUID,
    verb: deeds.Verb,
    key: str | None,
    wanted: _In | None,
    kinds: deeds.Kinds | None = None,
    /,
    **words: Any,
) -> DeedStored:
    id_ = id_of(key, wanted.id if wanted is not None else None)
    try:
        stored = await deeds.do(store, actor, deeds.deed(id_, str(session_id), verb, **words), kinds)
    except Refusal as refusal:
        raise problem(refusal.code, actor.language) from None
    return DeedStored(id=id_, seq=stored.seq, refused=stored.refused)


def id_of(key: str | None, written: str | None) -> str:
    """Return the asker's own id of a deed, from the header or else from the body. Raises BadInput."""
    id_ = key or written
    if id_ is None:
        raise BadInput("send your own id of the deed: the header Idempotency-Key, or `id`", field="id")
    return id_


def _to(wanted: Giving | Many) -> dict[str, str]:
    return {"operator": str(wanted.operator_id or ""), "line": str(wanted.line_id or "")}


def problem(code: str, language: str) -> OmnilineError:
    """Return the error that says *code*, one of operators.deeds.SENTENCES, to somebody of *language*."""
    text = sentence(code, language)
    if code == "no_session":
        return NotFound(text)
    if code in _FORBIDDEN:
        return Forbidden(text)
    if code in _FIELDS:
        return BadInput(text, field=_FIELDS[code], code=code)
    if code == "unavailable":
        return StoreBusy(text)
    return Conflict(text, code=code)


# --- pins


@routes.put("/sessions/{session_id}/pin", status_code=204)
async def pin(session_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.PIN_SESSION)]) -> None:
    """Keep a session at hand; at most 100, and nobody else sees it."""
    try:
        await store.write(lambda tx: pins.pin(tx, actor, str(session_id)))
    except Refusal as refusal:
        raise problem(refusal.code, actor.language) from None


@routes.delete("/sessions/{session_id}/pin", status_code=204)
async def unpin(session_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.PIN_SESSION)]) -> None:
    """Keep it no more."""
    await store.write(lambda tx: pins.unpin(tx, actor, str(session_id)))


# --- reviews


@routes.get("/sessions/{session_id}/review")
async def read_review(session_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.REVIEW_SESSION)]) -> Review:
    """What a supervisor thinks of it."""
    return await store.read(lambda tx: reviews.find(tx, actor, str(session_id)))


@routes.put("/sessions/{session_id}/review")
async def write_review(
    session_id: UUID, wanted: ReviewIn, store: StoreOf, actor: Annotated[Actor, May(Action.REVIEW_SESSION)]
) -> Review:
    """Say what you think of it, in place of what was said before; never of your own."""

    def write(tx: Tx) -> Review:
        return reviews.put(tx, actor, str(session_id), wanted.stars, wanted.comment)

    try:
        return await store.write(write)
    except Refusal as refusal:
        raise problem(refusal.code, actor.language) from None
