"""`omniline apply FILE.toml`: lines, channels, queues and people as a file. Applying it again changes nothing.

    [operators.ann]
    name = "Ann"
    role = "supervisor"                 # default: operator
    password_file = "secrets/ann"       # or password_env = "ANN_PASSWORD"; neither: one is generated and printed once
    languages = ["en", "ru"]
    skills = ["billing"]
    hours = { zone = "Europe/Moscow", week = { mon = ["09:00-18:00"] } }    # broker.hours; "always": none

    [lines.shop]
    name = "Shop"
    operators = ["ann", "bob"]          # the queue, in order
    settings = { distribution = "strictly", offer_seconds = 30 }

    [channels.shop]
    kind = "widget"
    line = "shop"
    settings = { allowed_origins = ["https://shop.example.com"] }

    [channels.shop-bot]
    kind = "telegram"
    line = "shop"
    settings = { token_file = "secrets/shop-bot" }    # or token_env = "SHOP_BOT_TOKEN": so with every secret of a channel

What the file does not name stays as it is: nothing is ever removed by it. `active = false` switches off.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from broker.access import passwords
from broker.complaints import unknown
from broker.domain import OperatorId, Role
from broker.errors import BadInput, ConfigError, NotFound
from broker.ports import Calendars, ChannelKind, Store, Tx
from operators import lines, people

_PERSON = ("name", "role", "language", "active", "budget", "hours", "languages", "skills", "phone")
_KEYS: dict[str, tuple[str, ...]] = {
    "operators": (*_PERSON, "password_file", "password_env"),
    "lines": ("name", "operators", "settings", "active"),
    "channels": ("name", "kind", "line", "settings", "active"),
}
FILE_MAX = 1_048_576
"""Bytes of a file: thousands of lines and people."""


Given = dict[str, tuple[str | None, str | None]]
"""What the file names elsewhere, or why it is not to be had: by a login the password, by `channels.SLUG.NAME` a channel's secret.

Who is not in it gets a generated password.
"""


@dataclass(slots=True)
class _Plan:
    """The file after everything that needs no database."""

    operators: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, dict[str, Any]] = field(default_factory=dict)
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)


async def apply(store: Store, text: str, name: str, given: Given, kinds: Mapping[str, ChannelKind], calendars: Calendars) -> str:
    """Make the house as *text* says, all of it or nothing; return what changed. Raises ConfigError naming the place in *name*."""
    plan = parse(text, name, kinds, calendars, given)
    new_people = {login for login in plan.operators if not await store.read(lambda tx, who=login: _known(tx, who))}  # type: ignore[misc]
    secrets: dict[str, tuple[str, str, bool]] = {}
    for login in sorted(new_people):
        found, problem = given.get(login, (None, None))
        if problem is not None:
            raise ConfigError(problem)
        password = found or passwords.generate()
        passwords.check_new(password)
        secrets[login] = (password, await passwords.hash_password(password), found is None)
    try:
        changes = await store.write(lambda tx: _carry_out(tx, plan, secrets, calendars))
    except BadInput as error:
        raise ConfigError(f"{name}: {error}") from error
    return "\n".join(changes) if changes else "nothing to change"


def given_passwords(text: str, name: str, folder: Path) -> Given:
    """Return what the people of *text* are given as passwords, by login; files are looked for in *folder*. Raises ConfigError for no TOML.

    To be asked where the command was given: whoever carries it out may be another process, of another user, without these variables.
    A password that is not to be had is no error yet. It is needed for who is new, and the file may be gone when nobody is.
    """
    read = tables_of(text, name)
    people_of = read.get("operators")
    given = _given_secrets(read.get("channels"), name, folder)
    for login, entry in people_of.items() if isinstance(people_of, dict) else ():
        if not isinstance(entry, dict):
            continue
        where = f"{name}: operators.{login}"
        if found := _elsewhere(entry, "password", where, folder):
            given[login] = found
    return given


def _given_secrets(channels: object, name: str, folder: Path) -> Given:
    """Return the secrets of channels that stand elsewhere: every setting that ends in _env or _file may be one."""
    given: Given = {}
    for slug, entry in channels.items() if isinstance(channels, dict) else ():
        settings = entry.get("settings") if isinstance(entry, dict) else None
        if not isinstance(settings, dict):
            continue
        for key in settings:
            secret = key.removesuffix("_env").removesuffix("_file")
            if secret != key and (found := _elsewhere(settings, secret, f"{name}: channels.{slug}.settings", folder)):
                given[f"channels.{slug}.{secret}"] = found
    return given


def _elsewhere(entry: dict[str, Any], key: str, where: str, folder: Path) -> tuple[str | None, str | None] | None:
    """Return what *key*_env or *key*_file names, or why it is not to be had; None: neither is there."""
    if variable := entry.get(f"{key}_env"):
        found = os.environ.get(str(variable))
        return found or None, None if found else f"{where}: {key}_env {variable} is not set; export it or use {key}_file"
    if path := entry.get(f"{key}_file"):
        try:
            return (folder / str(path)).read_text(encoding="utf-8").rstrip("\r\n"), None
        except (OSError, UnicodeDecodeError) as error:
            return None, f"{where}: {key}_file {path} cannot be read ({error})"
    return None


def text_of(raw: bytes, name: str) -> str:
    """Return the text of the file *name*. Raises ConfigError when it is no text, or larger than FILE_MAX."""
    if len(raw) > FILE_MAX:
        raise ConfigError(f"{name}: is larger than 1 MB, which no house needs; is it the right file? If so, apply it in parts")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: cannot be read ({error})") from error


def parse(text: str, name: str, kinds: Mapping[str, ChannelKind], calendars: Calendars, given: Given | None = None) -> _Plan:
    """Return what *text* asks for. Raises ConfigError naming the place and the nearest known key."""
    return plan_of(tables_of(text, name), name, kinds, calendars, given)


def tables_of(text: str, name: str) -> dict[str, Any]:
    """Return the TOML of *text*. Raises ConfigError for what is none, or cannot be stored."""
    try:
        read = tomllib.loads(text)
        _refuse_unstorable(read, name)
    except ValueError as error:  # TOMLDecodeError, and Python's own on a number of thousands of digits
        raise ConfigError(f"{name}: not TOML ({error})") from error
    except RecursionError:
        raise ConfigError(f"{name}: something in it is nested far too deep; nothing here is deeper than five") from None
    return read


def plan_of(
    read: dict[str, Any], name: str, kinds: Mapping[str, ChannelKind], calendars: Calendars, given: Given | None = None
) -> _Plan:
    """Return what the tables *read* ask for. Raises ConfigError naming the place and the nearest known key."""
    plan = _Plan()
    checks = {
        "operators": lambda key, entry: _operator(key, entry, calendars),
        "lines": lambda key, entry: _line(key, entry, calendars),
        "channels": lambda key, entry: _channel(key, entry, kinds, given or {}),
    }
    for section, entries in read.items():
        if section not in _KEYS:
            raise ConfigError(f"{name}: {unknown(section, _KEYS)}")
        if not isinstance(entries, dict):
            raise ConfigError(f"{name}: {section} must be tables, as [{section}.name]")
        for key, entry in entries.items():
            where = f"{name}: {section}.{key}"
            if not isinstance(entry, dict):
                raise ConfigError(f"{where} must be a table, as [{section}.{key}]")
            for inner in entry:
                if inner not in _KEYS[section]:
                    raise ConfigError(f"{where}: {unknown(inner, _KEYS[section])}")
            try:
                getattr(plan, section)[key] = checks[section](key, entry)
            except BadInput as error:
                raise ConfigError(f"{where}: {error}") from error
    return plan


def _refuse_unstorable(value: object, name: str, place: str = "") -> None:
    """Refuse what TOML may say and no text can hold: a NUL. Raises ConfigError naming the key."""
    match value:
        case str() if "\0" in value:
            raise ConfigError(f"{name}: {place}: it holds a character that cannot be stored (\\u0000); take it out")
        case list():
            for one in value:
                _refuse_unstorable(one, name, place)
        case dict():
            for key, one in value.items():
                shown = str(key).replace("\0", "\\u0000")
                _refuse_unstorable(key, name, f"{place}.{shown}" if place else shown)
                _refuse_unstorable(one, name, f"{place}.{shown}" if place else shown)


def _operator(login: str, entry: dict[str, Any], calendars: Calendars) -> dict[str, Any]:
    if people.login_of(login) != login:
        raise BadInput("a login is written in small letters")
    _typed(entry, "name", str, login)
    for key in ("language", "password_file", "password_env"):
        _typed(entry, key, str, "")
    checked = people.as_kept(entry, calendars)
    role = _typed(entry, "role", str, Role.OPERATOR.value)
    if role not in set(Role):
        raise BadInput(f"role: {unknown(role, [one.value for one in Role])}")
    if "role" in entry:
        checked["role"] = Role(role)
    _typed(entry, "active", bool, True)
    budget = _typed(entry, "budget", int, people.BUDGET)
    if not 0 <= budget <= 1_000_000:
        raise BadInput("budget: between 0 and 1000000")
    return checked


def _line(slug: str, entry: dict[str, Any], calendars: Calendars) -> dict[str, Any]:
    lines.slug_of(slug)
    checked = dict(entry)
    if "name" in entry:
        checked["name"] = people.name_of(_typed(entry, "name", str, slug))
    queue = _typed(entry, "operators", list, [])
    if not all(isinstance(login, str) for login in queue):
        raise BadInput('operators: a list of logins, as ["ann", "bob"]')
    lines.settings_of(_typed(entry, "settings", dict, {}), calendars)
    _typed(entry, "active", bool, True)
    return checked


def _channel(slug: str, entry: dict[str, Any], kinds: Mapping[str, ChannelKind], given: Given) -> dict[str, Any]:
    lines.slug_of(slug)
    checked = dict(entry)
    kind = _typed(entry, "kind", str, "")
    if kind not in kinds:
        raise BadInput(f"kind: {unknown(kind, kinds)}" if kind else f"kind is missing; known are {', '.join(sorted(kinds))}")
    if "line" not in entry:
        raise BadInput("line is missing; name the line it belongs to")
    _typed(entry, "line", str, "")
    if "name" in entry:
        checked["name"] = people.name_of(_typed(entry, "name", str, slug))
    settings = dict(_typed(entry, "settings", dict, {}))
    for secret in kinds[kind].secrets:
        if settings.keys() & {f"{secret}_env", f"{secret}_file"}:
            settings.pop(f"{secret}_env", None)
            settings.pop(f"{secret}_file", None)
            found, problem = given.get(f"channels.{slug}.{secret}", (None, None))
            if problem is not None:
                raise ConfigError(problem)
            settings[secret] = found or ""
    full = kinds[kind].check(settings)
    checked["settings"] = {key: full[key] for key in settings}
    checked["defaults"] = full
    _typed(entry, "active", bool, True)
    return checked


_WORDS = {str: "text", bool: "true or false", int: "a whole number", list: "a list", dict: "a table"}


def _typed(entry: dict[str, Any], key: str, kind: type, default: Any) -> Any:
    value = entry.get(key, default)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadInput(f"{key}: {_WORDS[kind]} is needed, not {value!r}")
    return value


def _known(tx: Tx, login: str) -> bool:
    try:
        people.id_of(tx, login)
    except NotFound:
        return False
    return True


def _carry_out(tx: Tx, plan: _Plan, secrets: dict[str, tuple[str, str, bool]], calendars: Calendars) -> list[str]:
    changes: list[str] = []
    for login, entry in plan.operators.items():
        wanted: dict[str, Any] = {key: entry[key] for key in _PERSON if key in entry}
        if login in secrets:
            password, hashed, generated = secrets[login]
            role = entry.get("role", Role.OPERATOR)
            id_ = people.add(tx, login, entry.get("name", login), role, hashed, generated=generated)
            people.change(tx, id_, wanted)
            changes.append(f"added {role} {login}" + (f"; password: {password}" if generated else ""))
        elif people.change(tx, people.id_of(tx, login), wanted):
            changes.append(f"changed operator {login}")
    for slug, entry in plan.lines.items():
        changes += _make_line(tx, slug, entry, calendars)
    for slug, entry in plan.lines.items():
        _refuse_nowhere(tx, slug, entry.get("settings", {}))
    for slug, entry in plan.channels.items():
        changes += _make_channel(tx, slug, entry)
    return changes


def _refuse_nowhere(tx: Tx, slug: str, given: dict[str, Any]) -> None:
    # When all lines are there: one may send on to another that stands below it in the file.
    try:
        lines.refuse_nowhere(tx, slug, given)
    except BadInput as fault:
        raise BadInput(f"lines.{slug}.settings.{fault}") from None


def _make_line(tx: Tx, slug: str, entry: dict[str, Any], calendars: Calendars) -> list[str]:
    changes = []
    given = entry.get("settings", {})
    known = lines.line_by_slug(tx, slug)
    if known is None:
        line_id: str = lines.add_line(tx, slug, entry.get("name", slug), lines.settings_of(given, calendars))
        lines.change_line(tx, line_id, active=entry.get("active"))
        changes.append(f"added line {slug}")
    else:
        line_id = known["id"]
        settings = lines.settings_of(given, calendars, known["settings"])
        if lines.change_line(tx, line_id, name=entry.get("name"), settings=settings, active=entry.get("active")):
            changes.append(f"changed line {slug}")
    if "operators" in entry:
        queue: list[OperatorId] = [people.id_of(tx, people.login_of(login)) for login in entry["operators"]]
        if lines.set_seats(tx, line_id, queue):
            changes.append(f"seated {', '.join(entry['operators']) or 'nobody'} in line {slug}")
    return changes


def _make_channel(tx: Tx, slug: str, entry: dict[str, Any]) -> list[str]:
    line = lines.line_by_slug(tx, entry["line"])
    if line is None:
        raise BadInput(f"channels.{slug}: there is no line {entry['line']}; add [lines.{entry['line']}]")
    known = lines.channel_by_slug(tx, slug)
    if known is None:
        channel_id = lines.add_channel(tx, line["id"], slug, entry["kind"], entry.get("name", slug), entry["defaults"])
        lines.change_channel(tx, channel_id, {"active": entry.get("active", True)})
        return [f"added channel {slug}"]
    if known["kind"] != entry["kind"]:
        raise BadInput(
            f"channels.{slug}: is of the kind {known['kind']} and cannot become {entry['kind']}; give the new one another name"
        )
    wanted: dict[str, Any] = {key: entry[key] for key in ("name", "active") if key in entry}
    wanted |= {"line_id": line["id"], "settings": known["settings"] | entry["settings"]}
    return [f"changed channel {slug}"] if lines.change_channel(tx, known["id"], wanted) else []
