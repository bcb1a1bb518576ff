"""People of the house: adding them, changing them, their passwords. Transaction functions; hashing is done before."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import bindparam, select, update

from broker.access import logins
from broker.domain import NAME_MAX, LineId, OperatorId, Role, base_language, to_us
from broker.errors import BadHours, BadInput, Conflict, NotFound
from broker.hours import hours_of, raw_of
from broker.ports import Bell, Calendars, Tx
from broker.store.sql import cols, insert_new, insert_row, sql
from broker.store.tables import budgets, operators, pool_marks, seats
from operators import presence

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
# Known again by the name of its channel, which begins with it: no number by way of a trunk, and nothing that the dialplan takes elsewhere.
_ENDPOINT = re.compile(r"(?!Local/)[A-Za-z][A-Za-z0-9]{1,15}/[A-Za-z0-9_.-]{1,80}")
_NUMBER = re.compile(r"\+?[0-9]{2,20}")
_BETWEEN_DIGITS = re.compile(r"[ ().-]")
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing: with them a name can look like another."""
LANGUAGE = r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
LANGUAGE_MAX = 35
"""Characters."""
SKILL_MAX = 40
"""Characters."""
TAGS_MAX = 20
"""Skills of one line or person; languages of one person."""
ALWAYS = "always"
"""No hours, for a file: TOML has no null."""
BUDGET = 100

_encode = msgspec.json.Encoder(order="deterministic").encode
_COLUMNS = "id login name role language active hours languages skills phone password_generated created_us"
_ADD = insert_new(operators, "id login name role password_hash password_generated language created_us changed_us", "login")
_BUDGET = insert_row(budgets, "operator_id budget reserved")
_ONE = sql(
    select(*cols(operators, _COLUMNS), budgets.c.budget, budgets.c.reserved)
    .outerjoin(budgets, budgets.c.operator_id == operators.c.id)
    .where(operators.c.id == bindparam("operator"))
)
_ALL = sql(
    select(*cols(operators, _COLUMNS), budgets.c.budget, budgets.c.reserved)
    .outerjoin(budgets, budgets.c.operator_id == operators.c.id)
    .where(operators.c.login > bindparam("after"))
    .order_by(operators.c.login)
    .limit(101)
)
_BY_LOGIN = sql(select(operators.c.id).where(operators.c.login == bindparam("who")))
_CHANGE = sql(
    update(operators)
    .values(
        {name: bindparam("new_" + name) for name in "name role language active hours languages skills phone changed_us".split()}
    )
    .where(operators.c.id == bindparam("operator"))
)
_SET_BUDGET = sql(update(budgets).values(budget=bindparam("new_budget")).where(budgets.c.operator_id == bindparam("operator")))
_SET_PASSWORD = sql(
    update(operators)
    .values(password_hash=bindparam("new_hash"), password_generated=bindparam("generated"), changed_us=bindparam("now_us"))
    .where(operators.c.id == bindparam("operator"))
)
_LINES = sql(select(seats.c.line_id).where(seats.c.operator_id == bindparam("operator")))
_MARK = insert_row(pool_marks, "line_id reason seats at_us")
_ADMINISTRATORS = sql(
    select(operators.c.id)
    .where(operators.c.role == Role.ADMINISTRATOR.value, operators.c.active == 1, operators.c.id != bindparam("but"))
    .limit(1)
)


def login_of(written: str) -> str:
    """Return the login as it is kept. Raises BadInput."""
    login = written.strip().lower()
    if not _LOGIN.fullmatch(login):
        raise BadInput(
            f"“{written[:80]}” cannot be a login; use 1 to 64 of a-z, 0-9 and . _ @ + -, beginning with a letter or digit",
            field="login",
        )
    return login


def name_of(written: str, *, field: str = "name") -> str:
    """Return a name of anything as it is kept. Raises BadInput."""
    name = " ".join(_UNSEEN.sub("", written).split())
    if not name or len(name) > NAME_MAX:
        raise BadInput(f"a name has 1 to {NAME_MAX} characters", field=field)
    return name


def language_of(written: str, *, field: str = "language") -> str:
    """Return a language tag. Raises BadInput."""
    if len(written) > LANGUAGE_MAX or not re.fullmatch(LANGUAGE, written):
        raise BadInput(f"{field}: {written[:60]!r} is not a language tag; write one such as en or pt-BR", field=field)
    return written


def languages_of(raw: object) -> tuple[str, ...]:
    """Return the languages somebody can answer in, each once: in small letters and without region (of pt-BR: pt). Raises BadInput."""

    def base(written: str, field: str) -> str:
        return base_language(language_of(written.strip(), field=field))

    return _each_once(raw, "languages", base)


def skills_of(raw: object) -> tuple[str, ...]:
    """Return tags as they are kept and compared, each once: in small letters, without spaces around. Raises BadInput."""

    def tag(written: str, field: str) -> str:
        kept = " ".join(_UNSEEN.sub("", written).split()).lower()
        if not 1 <= len(kept) <= SKILL_MAX:
            raise BadInput(f"{field}: a skill has 1 to {SKILL_MAX} characters", field=field)
        return kept

    return _each_once(raw, "skills", tag)


def phone_of(raw: object) -> str:
    """Return where calls ring as it is kept: an endpoint, a number without spaces and brackets, or nothing. Raises BadInput."""
    if not isinstance(raw, str):
        raise BadInput("phone: text is needed; put it in quotes", field="phone")
    written = raw.strip()
    number = _BETWEEN_DIGITS.sub("", written)
    if not written or _ENDPOINT.fullmatch(written):
        return written
    if not _NUMBER.fullmatch(number):
        raise BadInput(
            f"phone: {written[:60]!r} is no phone; write an endpoint of the telephone exchange, such as PJSIP/101, or a number, "
            "such as +79001234567",
            field="phone",
        )
    return number


def _each_once(raw: object, field: str, read: Callable[[str, str], str]) -> tuple[str, ...]:
    if not isinstance(raw, list | tuple):
        raise BadInput(f"{field}: a list of texts is needed; write [...]", field=field)
    if len(raw) > TAGS_MAX:
        raise BadInput(f"{field}: {len(raw)} in this list, {TAGS_MAX} are the most; take some out", field=field)
    kept: dict[str, None] = {}
    for place, one in enumerate(raw):
        if not isinstance(one, str):
            raise BadInput(f"{field}.{place}: text is needed; put it in quotes", field=f"{field}.{place}")
        kept[read(one, f"{field}.{place}")] = None
    return tuple(kept)


def hours_kept(raw: object, calendars: Calendars) -> dict[str, object] | None:
    """Return hours or shifts in the one spelling they are kept in; None for None or ALWAYS. Raises BadHours at `hours`."""
    if raw is None or raw == ALWAYS:
        return None
    try:
        hours = hours_of(raw)
        calendars.check(hours)
    except BadHours as fault:
        raise fault.at("hours") from None
    return raw_of(hours)


def as_kept(given: dict[str, Any], calendars: Calendars) -> dict[str, Any]:
    """Return what *given* says of a person with name, language, languages, skills, phone and hours as they are kept. Raises BadInput."""
    read: dict[str, Callable[[Any], Any]] = {
        "name": name_of,
        "language": language_of,
        "languages": languages_of,
        "skills": skills_of,
        "phone": phone_of,
        "hours": lambda raw: hours_kept(raw, calendars),
    }
    return {key: read[key](value) if key in read else value for key, value in given.items()}


def add(tx: Tx, login: str, name: str, role: Role, password_hash: str, *, generated: bool, language: str = "en") -> OperatorId:
    """Add a person with a budget of 100. Raises Conflict when the login is taken."""
    id_ = OperatorId(tx.new_id())
    now_us = to_us(tx.now)
    added = tx.run(
        _ADD,
        id=id_,
        login=login,
        name=name,
        role=role.value,
        password_hash=password_hash,
        password_generated=int(generated),
        language=language,
        created_us=now_us,
        changed_us=now_us,
    )
    if not added:
        raise Conflict(f"the login {login} is taken; choose another, or: omniline user password {login}")
    tx.run(_BUDGET, operator_id=id_, budget=BUDGET, reserved=0)
    tx.ring(Bell.SETTINGS)
    return id_


def find(tx: Tx, operator_id: str) -> dict[str, Any]:
    """Return one person. Raises NotFound."""
    row = tx.one(_ONE, operator=operator_id)
    if row is None:
        raise NotFound(f"there is no person {operator_id}")
    return _as_dict(row)


def page(tx: Tx, after: str) -> tuple[list[dict[str, Any]], str | None]:
    """Return the people after the login *after*, and where the next page begins."""
    rows = tx.all(_ALL, after=after)
    people = [_as_dict(row) for row in rows[:100]]
    return people, people[-1]["login"] if len(rows) > 100 else None


def id_of(tx: Tx, login: str) -> OperatorId:
    """Return the person with *login*. Raises NotFound."""
    row = tx.one(_BY_LOGIN, who=login)
    if row is None:
        raise NotFound(f"there is no person with the login {login}; add one: omniline user add {login}")
    return OperatorId(row[0])


def change(tx: Tx, operator_id: str, changes: dict[str, Any]) -> bool:
    """Set what *changes* names of name, role, language, active, budget, hours, languages, skills, phone, all as they are kept.

    False when nothing was new. Raises NotFound, Conflict.
    """
    before = find(tx, operator_id)
    after = before | changes
    if after == before:
        return False
    leaves_office = (
        before["role"] == Role.ADMINISTRATOR
        and before["active"]
        and not (after["role"] == Role.ADMINISTRATOR and after["active"])
    )
    if leaves_office and tx.one(_ADMINISTRATORS, but=operator_id) is None:
        raise Conflict("this is the last administrator; make somebody else one first")
    tx.run(
        _CHANGE,
        operator=operator_id,
        new_name=after["name"],
        new_role=str(after["role"]),
        new_language=after["language"],
        new_active=int(after["active"]),
        new_hours=_encode(after["hours"]).decode() if after["hours"] is not None else None,
        new_languages=_encode(after["languages"]).decode(),
        new_skills=_encode(after["skills"]).decode(),
        new_phone=after["phone"],
        new_changed_us=to_us(tx.now),
    )
    if after["budget"] != before["budget"]:
        tx.run(_SET_BUDGET, operator=operator_id, new_budget=after["budget"])
    if after["role"] != before["role"] or after["active"] != before["active"]:
        logins.end_others(tx, OperatorId(operator_id))
    if before["active"] and not after["active"]:
        presence.switch_off(tx, OperatorId(operator_id))
    for (line,) in tx.all(_LINES, operator=operator_id):
        mark_pool(tx, line, "a person changed")
    tx.ring(Bell.SETTINGS)
    return True


def set_password(tx: Tx, operator_id: OperatorId, password_hash: str, *, generated: bool, keep: str = "") -> None:
    """Give the person a new password and end their logins, but the one of the token *keep*."""
    tx.run(_SET_PASSWORD, operator=operator_id, new_hash=password_hash, generated=int(generated), now_us=to_us(tx.now))
    logins.end_others(tx, operator_id, keep)


def mark_pool(tx: Tx, line_id: LineId | str, reason: str) -> None:
    """Ask for the line's pool to be distributed: a seat may have been added or freed."""
    tx.run(_MARK, line_id=line_id, reason=reason, seats=1, at_us=to_us(tx.now))
    tx.ring(Bell.POOL, line_id)


def _as_dict(row: tuple[Any, ...]) -> dict[str, Any]:
    id_, login, name, role, language, active, hours, languages, skills, phone, generated, created_us, budget, reserved = row
    return {
        "id": id_,
        "login": login,
        "name": name,
        "role": Role(role),
        "language": language,
        "active": bool(active),
        "hours": msgspec.json.decode(hours) if hours is not None else None,
        "languages": tuple(msgspec.json.decode(languages)),
        "skills": tuple(msgspec.json.decode(skills)),
        "phone": phone,
        "password_generated": bool(generated),
        "created_us": created_us,
        "budget": budget if budget is not None else BUDGET,
        "load": reserved or 0,
    }
