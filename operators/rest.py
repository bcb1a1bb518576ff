"""REST of logins, people, lines and seats: `/api/v1`.

Each route names the action it needs (`May`); what concerns one line asks `authorize` again with it. In and out are different
models, and a key nobody knows is refused.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
import structlog
from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from broker.access import cookies, passwords
from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import LineId, LineSettings, OperatorId, Role, from_us
from broker.errors import BadInput, Forbidden
from broker.ports import Calendars, Tx
from broker.web.wiring import Anybody, May, PartsOf, StoreOf
from operators import lines, people, presence

log = structlog.get_logger(__name__)

NEEDS_TLS = (
    "logging in over plain http works only on the machine itself; from elsewhere use https: put a reverse proxy with a certificate "
    "in front, let it send X-Forwarded-Proto, and name its address in trusted_proxies (docs/security.md)"
)


def storable(settings: dict[str, Any]) -> dict[str, Any]:
    """Refuse what JSON may say and no text can hold: half a character, or a NUL. Raises ValueError."""
    try:
        whole = b"\\u0000" not in msgspec.json.encode(settings)
    except (UnicodeEncodeError, msgspec.MsgspecError):
        whole = False
    if not whole:
        raise ValueError("it holds a character that cannot be stored")
    return settings


Text = Annotated[str, Field(min_length=1, max_length=200)]
Password = Annotated[str, Field(min_length=1, max_length=1_000)]
Language = Annotated[str, Field(pattern=people.LANGUAGE, max_length=people.LANGUAGE_MAX)]
Budget = Annotated[int, Field(ge=0, le=1_000_000)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
Cursor = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="The `next_cursor` of the page before.")]
SettingsIn = Annotated[
    dict[str, Any],
    AfterValidator(storable),
    Field(description="Only what shall differ from now; see the settings in the answer."),
]
HoursIn = Annotated[
    Any,
    WithJsonSchema({"type": ["object", "null"]}),
    Field(description="Shifts, breaks and leave in the shape of docs/integrators.md, replaced whole; null: always on shift."),
]
Tags = Annotated[list[str], Field(max_length=people.TAGS_MAX)]
Languages = Annotated[Tags, Field(description="Those they can answer in, as `en`; none: that of their console.")]
Skills = Annotated[Tags, Field(description="What a line's `skills` may ask for.")]
Phone = Annotated[
    str,
    Field(max_length=100, description="Where calls ring: an endpoint, as `PJSIP/101`, or a number; empty: no calls for them."),
]


def absent() -> Any:
    """Return the default of a field that is changed only when it is sent."""
    return Field(default_factory=lambda: None)


class In(BaseModel):
    model_config = ConfigDict(extra="forbid")

    def sent(self) -> dict[str, Any]:
        """Return what the request named."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class Login(In):
    login: Annotated[str, Field(min_length=1, max_length=100)]
    password: Password


class PasswordChange(In):
    current: Password
    new: Password


class Me(BaseModel):
    """Who is logged in; *lines* null: every line."""

    id: str
    login: str
    name: str
    role: Role
    language: str
    password_generated: bool
    lines: list[str] | None


class OperatorIn(In):
    login: Annotated[str, Field(min_length=1, max_length=64)]
    name: Text
    role: Role = Role.OPERATOR
    language: Language = "en"
    budget: Budget = people.BUDGET
    hours: HoursIn = None
    languages: Languages = []
    skills: Skills = []
    phone: Phone = ""
    password: Annotated[Password | None, Field(description="Left out: one is generated and is in the answer, once.")] = None


class OperatorChange(In):
    name: Text = absent()
    role: Role = absent()
    active: bool = absent()
    language: Language = absent()
    budget: Budget = absent()
    hours: HoursIn = absent()
    languages: Languages = absent()
    skills: Skills = absent()
    phone: Phone = absent()


class OperatorOut(BaseModel):
    id: str
    login: str
    name: str
    role: Role
    language: str
    active: bool
    hours: Annotated[dict[str, Any] | None, Field(description="Null: always on shift.")]
    languages: list[str]
    skills: list[str]
    phone: str
    password_generated: bool
    budget: int
    load: Annotated[int, Field(description="What their open sessions take of the budget.")]
    created_at: datetime


class OperatorMade(OperatorOut):
    password: Annotated[
        str | None, Field(description="The generated password; it is not kept and cannot be asked for again.")
    ] = None


class OperatorPage(BaseModel):
    items: list[OperatorOut]
    next_cursor: str | None


class NewPassword(BaseModel):
    password: str


class LineIn(In):
    slug: Slug
    name: Text
    settings: SettingsIn = {}


class LineChange(In):
    name: Text = absent()
    active: bool = absent()
    settings: SettingsIn = absent()


class LineOut(BaseModel):
    """A line; *version* grows with each change."""

    id: str
    slug: str
    name: str
    active: bool
    version: int
    settings: LineSettings
    seats: Annotated[list[str], Field(description="Operators' ids in the order of the queue.")]


class LinePage(BaseModel):
    items: list[LineOut]
    next_cursor: str | None


class Seats(In):
    operators: Annotated[list[UUID], Field(max_length=1_000)]


def routes(calendars: Calendars) -> list[APIRouter]:
    """Return the routes; *calendars* check hours and shifts."""
    return [
        _login_routes(),
        _operator_routes(calendars),
        _line_routes(calendars),
    ]


def _router(tag: str) -> APIRouter:
    return APIRouter(prefix="/api/v1", tags=[tag])


# --- logins


def _login_routes() -> APIRouter:
    router = _router("logins")

    @router.post("/login", dependencies=[Anybody("this is the door")])
    async def log_in(wanted: Login, request: Request, response: Response, parts: PartsOf) -> Me:
        """Log in; the answer sets the cookie. Over plain http only from the machine itself."""
        secure = parts.addresses.is_https(request.scope)
        if not secure and not parts.addresses.is_loopback(request.scope):
            raise Forbidden(NEEDS_TLS)
        token, actor = await parts.logins.log_in(
            wanted.login,
            wanted.password,
            address=parts.addresses.client(request.scope),
            agent=request.headers.get("user-agent", ""),
            instead_of=parts.token_of(request.scope),
        )
        response.headers["Set-Cookie"] = cookies.set_cookie(token, parts.logins.lasts, secure=secure)
        return _me(actor)

    @router.post("/logout", status_code=204, dependencies=[Anybody("ending a login that has ended is no error")])
    async def log_out(request: Request, parts: PartsOf) -> Response:
        """End this login and take the cookie away."""
        await parts.logins.log_out(parts.token_of(request.scope), presence.logged_out)
        secure = parts.addresses.is_https(request.scope)
        return Response(status_code=204, headers={"Set-Cookie": cookies.clear_cookie(secure=secure)})

    @router.get("/me")
    async def read_me(actor: Annotated[Actor, May(Action.READ_SELF)]) -> Me:
        """Who is logged in."""
        return _me(actor)

    @router.post("/password", status_code=204)
    async def change_password(
        wanted: PasswordChange, request: Request, parts: PartsOf, actor: Annotated[Actor, May(Action.CHANGE_OWN_PASSWORD)]
    ) -> None:
        """Choose a new password; every other login of this person ends."""
        passwords.check_new(wanted.new, actor.login, field="new")
        address = parts.addresses.client(request.scope)
        if not await parts.logins.confirm(actor.login, wanted.current, address=address):
            raise BadInput("this is not your present password", field="current", code="wrong_password")
        made = await parts.passwords.hash(wanted.new)
        keep = parts.token_of(request.scope) or ""
        await parts.store.write(lambda tx: people.set_password(tx, actor.operator_id, made, generated=False, keep=keep))

    return router


def _me(actor: Actor) -> Me:
    return Me(
        id=actor.operator_id,
        login=actor.login,
        name=actor.name,
        role=actor.role,
        language=actor.language,
        password_generated=actor.password_generated,
        lines=sorted(actor.lines) if actor.lines is not None else None,
    )


# --- people


def _operator_routes(calendars: Calendars) -> APIRouter:
    router = _router("operators")

    @router.get("/operators", dependencies=[May(Action.READ_OPERATORS)])
    async def list_operators(store: StoreOf, cursor: Cursor = None) -> OperatorPage:
        """Everybody of the house, by login."""
        found, following = await store.read(lambda tx: people.page(tx, cursor or ""))
        return OperatorPage(items=[_operator(one) for one in found], next_cursor=following)

    @router.post("/operators", status_code=201)
    async def add_operator(
        wanted: OperatorIn, parts: PartsOf, actor: Annotated[Actor, May(Action.CHANGE_OPERATORS)]
    ) -> OperatorMade:
        """Add a person."""
        login = people.login_of(wanted.login)
        kept = people.as_kept(wanted.model_dump(include={"name", "budget", "hours", "languages", "skills", "phone"}), calendars)
        generated = wanted.password is None
        password = wanted.password or passwords.generate()
        passwords.check_new(password, login)
        made = await parts.passwords.hash(password)

        def work(tx: Tx) -> dict[str, Any]:
            id_ = people.add(tx, login, kept["name"], wanted.role, made, generated=generated, language=wanted.language)
            people.change(tx, id_, kept)
            return people.find(tx, id_)

        added = await parts.store.write(work)
        log.info("operator_added", operator_id=added["id"], role=wanted.role.value, by=actor.operator_id)
        return OperatorMade(**_operator(added).model_dump(), password=password if generated else None)

    @router.get("/operators/{operator_id}", dependencies=[May(Action.READ_OPERATORS)])
    async def read_operator(operator_id: UUID, store: StoreOf) -> OperatorOut:
        """One person."""
        return _operator(await store.read(lambda tx: people.find(tx, str(operator_id))))

    @router.patch("/operators/{operator_id}")
    async def change_operator(
        operator_id: UUID, wanted: OperatorChange, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_OPERATORS)]
    ) -> OperatorOut:
        """Change a person; another role, or being switched off, ends their logins."""
        changes = people.as_kept(wanted.sent(), calendars)

        def work(tx: Tx) -> dict[str, Any]:
            people.change(tx, str(operator_id), changes)
            return people.find(tx, str(operator_id))

        changed = await store.write(work)
        log.info("operator_changed", operator_id=str(operator_id), what=sorted(changes), by=actor.operator_id)
        return _operator(changed)

    @router.post("/operators/{operator_id}/password")
    async def reset_password(
        operator_id: UUID, parts: PartsOf, actor: Annotated[Actor, May(Action.RESET_PASSWORDS)]
    ) -> NewPassword:
        """Give a person a generated password, shown once; all their logins end."""
        password = passwords.generate()
        made = await parts.passwords.hash(password)

        def work(tx: Tx) -> None:
            people.find(tx, str(operator_id))
            people.set_password(tx, OperatorId(str(operator_id)), made, generated=True)

        await parts.store.write(work)
        log.info("password_reset", operator_id=str(operator_id), by=actor.operator_id)
        return NewPassword(password=password)

    return router


def _operator(found: dict[str, Any]) -> OperatorOut:
    return OperatorOut(**found, created_at=from_us(found["created_us"]))


# --- lines and their seats


def _line_routes(calendars: Calendars) -> APIRouter:
    router = _router("lines")

    @router.get("/lines")
    async def list_lines(store: StoreOf, actor: Annotated[Actor, May(Action.READ_LINES)], cursor: Cursor = None) -> LinePage:
        """The lines you may see, by short name; a page may hold fewer than others."""
        found, following = await store.read(lambda tx: lines.lines_page(tx, cursor or ""))
        return LinePage(items=[LineOut(**one) for one in found if actor.sees(one["id"])], next_cursor=following)

    @router.post("/lines", status_code=201)
    async def add_line(wanted: LineIn, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_LINES)]) -> LineOut:
        """Add a line."""
        name, settings = people.name_of(wanted.name), lines.settings_of(wanted.settings, calendars)

        def work(tx: Tx) -> dict[str, Any]:
            id_ = lines.add_line(tx, wanted.slug, name, settings)
            lines.refuse_nowhere(tx, wanted.slug, wanted.settings)
            return lines.find_line(tx, id_)

        added = await store.write(work)
        log.info("line_added", line_id=added["id"], by=actor.operator_id)
        return LineOut(**added)

    @router.get("/lines/{line_id}")
    async def read_line(line_id: UUID, store: StoreOf, actor: Annotated[Actor, May(Action.READ_LINES)]) -> LineOut:
        """One line."""
        authorize(actor, Action.READ_LINES, _of(line_id))
        return LineOut(**await store.read(lambda tx: lines.find_line(tx, str(line_id))))

    @router.patch("/lines/{line_id}")
    async def change_line(
        line_id: UUID, wanted: LineChange, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_LINES)]
    ) -> LineOut:
        """Change a line; a change of nothing keeps its version."""
        changes = wanted.sent()
        if "name" in changes:
            changes["name"] = people.name_of(changes["name"])

        def work(tx: Tx) -> dict[str, Any]:
            new = dict(changes)
            if "settings" in new:
                before = lines.find_line(tx, str(line_id))["settings"]
                new["settings"] = lines.settings_of(new["settings"], calendars, before)
            lines.change_line(tx, str(line_id), **new)
            changed = lines.find_line(tx, str(line_id))
            lines.refuse_nowhere(tx, changed["slug"], changes.get("settings", {}))
            return changed

        changed = await store.write(work)
        log.info("line_changed", line_id=str(line_id), version=changed["version"], what=sorted(changes), by=actor.operator_id)
        return LineOut(**changed)

    @router.put("/lines/{line_id}/seats")
    async def set_seats(
        line_id: UUID, wanted: Seats, store: StoreOf, actor: Annotated[Actor, May(Action.CHANGE_SEATS)]
    ) -> LineOut:
        """Seat these operators in the line's queue, in this order."""
        authorize(actor, Action.CHANGE_SEATS, _of(line_id))
        seated = [OperatorId(str(one)) for one in wanted.operators]

        def work(tx: Tx) -> dict[str, Any]:
            lines.set_seats(tx, str(line_id), seated)
            return lines.find_line(tx, str(line_id))

        changed = await store.write(work)
        log.info("seats_changed", line_id=str(line_id), seats=len(seated), by=actor.operator_id)
        return LineOut(**changed)

    return router


def _of(line_id: UUID) -> Thing:
    return Thing(line_id=LineId(str(line_id)))
