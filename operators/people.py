"""People of the house: adding them, changing them, their passwords. Transaction functions; hashing is done before."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import bindparam, select, update

from broker.access import logins
from broker.domain import NAME_MAX, LineId, OperatorId, Role, to_us
from broker.errors import BadInput, Conflict, NotFound
from broker.ports import Bell, Tx
from broker.store.sql import cols, insert_new, insert_row, sql
from broker.store.tables import budgets, operators, pool_marks, seats

_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_UNSEEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of writing: with them a name can look like another."""
BUDGET = 100

_ADD = insert_new(operators, "id login name role password_hash password_generated language created_us changed_us", "login")
_BUDGET = insert_row(budgets, "operator_id budget reserved")
_ONE = sql(
    select(
        *cols(operators, "id login name role language active password_generated created_us"), budgets.c.budget, budgets.c.reserved
    )
    .outerjoin(budgets, budgets.c.operator_id == operators.c.id)
    .where(operators.c.id == bindparam("operator"))
)
_ALL = sql(
    select(
        *cols(operators, "id login name role language active password_generated created_us"), budgets.c.budget, budgets.c.reserved
    )
    .outerjoin(budgets, budgets.c.operator_id == operators.c.id)
    .where(operators.c.login > bindparam("after"))
    .order_by(operators.c.login)
    .limit(101)
)
_BY_LOGIN = sql(select(operators.c.id).where(operators.c.login == bindparam("who")))
_CHANGE = sql(
    update(operators)
    .values({name: bindparam("new_" + name) for name in "name role language active changed_us".split()})
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
    """Set what *changes* names of name, role, language, active, budget; False when nothing was new. Raises NotFound, Conflict."""
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
        new_changed_us=to_us(tx.now),
    )
    if after["budget"] != before["budget"]:
        tx.run(_SET_BUDGET, operator=operator_id, new_budget=after["budget"])
    if after["role"] != before["role"] or after["active"] != before["active"]:
        logins.end_others(tx, OperatorId(operator_id))
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
    id_, login, name, role, language, active, generated, created_us, budget, reserved = row
    return {
        "id": id_,
        "login": login,
        "name": name,
        "role": Role(role),
        "language": language,
        "active": bool(active),
        "password_generated": bool(generated),
        "created_us": created_us,
        "budget": budget if budget is not None else BUDGET,
        "load": reserved or 0,
    }
