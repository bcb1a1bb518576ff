"""The house as it would be: `omniline what-if --change FILE` reads it by the checks of `apply`, and nothing is written.

[lines.shop]
operators = ["ann", "bob"]
settings = { distribution = "least_loaded", offer_seconds = 30 }

[operators.ann]
budget = 50                         # and hours, languages, skills, active
hours = { zone = "Europe/Moscow", week = { mon = ["09:00-18:00"] } }

[what_if]
add_operators = 2                   # seats at the end of the line's queue, always there: extra-1, extra-2
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from broker.complaints import unknown
from broker.domain import Directory, LineId, Operator, OperatorId, Role, base_language, pools_of
from broker.errors import BadInput, ConfigError
from broker.ports import Calendars
from operators import lines, people
from operators.applying import plan_of, tables_of

ADD_MAX = 1_000
EXTRA = "extra-"
_KEYS: dict[str, tuple[str, ...]] = {
    "lines": ("settings", "operators"),
    "operators": ("hours", "budget", "languages", "skills", "active"),
    "what_if": ("add_operators",),
}


@dataclass(frozen=True, slots=True)
class Supposed:
    """The settings as they would be, and the budgets."""

    directory: Directory
    budgets: Mapping[OperatorId, int]


def supposed(
    text: str,
    name: str,
    line: LineId,
    house: Directory,
    seats: Mapping[LineId, tuple[OperatorId, ...]],
    budgets: Mapping[OperatorId, int],
    calendars: Calendars,
) -> Supposed:
    """Return *house* with what *text*, the file *name*, changes; *line* has the seats that are added.

    *seats* are those of *house* with the people who are switched off. Raises ConfigError naming the place in *name*.
    """
    read = tables_of(text, name)
    _refuse_unknown(read, name)
    add = _added(read.pop("what_if", {}), name)
    plan = plan_of(read, name, {}, calendars)
    by_login = {person.login: person for person in house.operators.values()}
    by_slug = {one.slug: one for one in house.lines.values()}
    known_people, known_lines, limits, sitting = dict(house.operators), dict(house.lines), dict(budgets), dict(seats)
    for login, entry in plan.operators.items():
        if login not in by_login:
            raise ConfigError(
                f"{name}: operators.{login}: {unknown(login, by_login)}; what-if adds people by [what_if] add_operators"
            )
        person = by_login[login]
        limits[person.id] = entry.get("budget", limits.get(person.id, people.BUDGET))
        changes = {key: entry[key] for key in ("hours", "languages", "skills", "active") if key in entry}
        known_people[person.id] = replace(person, **changes)
    for slug, entry in plan.lines.items():
        where = f"{name}: lines.{slug}"
        if slug not in by_slug:
            raise ConfigError(f"{where}: {unknown(slug, by_slug)}")
        changed = by_slug[slug]
        try:
            settings = lines.settings_of(entry.get("settings", {}), calendars, changed.settings)
            if "operators" in entry:
                sitting[changed.id] = _queue(entry["operators"], by_login)
        except BadInput as error:
            raise ConfigError(f"{where}: {error}") from error
        known_lines[changed.id] = replace(changed, settings=settings)
    for extra in _extras(add, known_people, known_lines[line].settings.skills):
        known_people[extra.id] = extra
        limits[extra.id] = people.BUDGET
        sitting[line] = (*sitting.get(line, ()), extra.id)
    active = {id_: tuple(who for who in there if known_people[who].active) for id_, there in sitting.items()}
    return Supposed(Directory(known_lines, house.channels, known_people, active, pools_of(active)), limits)


def _refuse_unknown(read: dict[str, Any], name: str) -> None:
    """Refuse what changes nothing here, or what nobody knows."""
    for section, entries in read.items():
        if section not in _KEYS:
            raise ConfigError(f"{name}: {unknown(section, _KEYS)}")
        if not isinstance(entries, dict):
            raise ConfigError(f"{name}: {section} must be a table")
        tables = {"": entries} if section == "what_if" else entries
        for key, entry in tables.items():
            where = f"{name}: {section}.{key}".rstrip(".")
            for inner in entry if isinstance(entry, dict) else ():
                if inner not in _KEYS[section]:
                    raise ConfigError(f"{where}: {unknown(inner, _KEYS[section])}")


def _added(entry: dict[str, Any], name: str) -> int:
    add = entry.get("add_operators", 0)
    if not isinstance(add, int) or isinstance(add, bool) or not 0 <= add <= ADD_MAX:
        raise ConfigError(f"{name}: what_if: add_operators: a whole number from 0 to {ADD_MAX} is needed, not {add!r}")
    return add


def _queue(logins: list[str], known: Mapping[str, Operator]) -> tuple[OperatorId, ...]:
    queue = [people.login_of(login) for login in logins]
    try:
        lines.refuse_twice(queue)
    except BadInput as fault:
        raise BadInput(f"operators: {fault}") from None
    for login in queue:
        if login not in known:
            raise BadInput(f"operators: {unknown(login, known)}")
    return tuple(known[login].id for login in queue)


def _extras(count: int, known: Mapping[OperatorId, Operator], skills: tuple[str, ...]) -> list[Operator]:
    """Return people who are always on shift, have the line's *skills* and speak all that is spoken in the house."""
    taken = {person.login for person in known.values()}
    spoken = {spoken for one in known.values() for spoken in (*one.languages, base_language(one.language))}
    languages = tuple(sorted(spoken)) or ("en",)
    logins: list[str] = []
    number = 0
    while len(logins) < count:
        number += 1
        if f"{EXTRA}{number}" not in taken:
            logins.append(f"{EXTRA}{number}")
    return [Operator(OperatorId(one), one, one, Role.OPERATOR, "en", True, None, languages, skills) for one in logins]
