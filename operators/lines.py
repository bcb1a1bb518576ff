"""Lines, channels and seats: transaction functions. A change that changes nothing leaves the version as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import bindparam, delete, select, update

from broker.complaints import complaints, keys_of, unknown
from broker.domain import (
    REPLY_FIELDS,
    CallSettings,
    ChannelId,
    KeyDoes,
    LineId,
    LineSettings,
    NoAnswer,
    OperatorId,
    OutsideCalls,
    UnansweredCalls,
)
from broker.errors import BadInput, Conflict, NotFound
from broker.ports import Bell, Calendars, Tx
from broker.store.sql import cols, insert_new, insert_row, sql
from broker.store.tables import channels, lines, operators, seats
from operators.people import hours_kept, mark_pool, skills_of
from operators.sounds import refuse_unknown as refuse_unknown_sounds

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_SETTINGS = TypeAdapter(LineSettings)
_SOUND = re.compile(r"(?:[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*)?")
_MUSIC = re.compile(r"(?:our/)?[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"(?:\+?[0-9]{2,20})?")
_FIELD = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)*)\}")
_encode = msgspec.json.Encoder(order="deterministic").encode

_LINE_COLUMNS = "id slug name version settings active"
_LINE = sql(select(*cols(lines, _LINE_COLUMNS)).where(lines.c.id == bindparam("line")))
_LINE_BY_SLUG = sql(select(*cols(lines, _LINE_COLUMNS)).where(lines.c.slug == bindparam("slug_is")))
_LINES = sql(select(*cols(lines, _LINE_COLUMNS)).where(lines.c.slug > bindparam("after")).order_by(lines.c.slug).limit(101))
_ADD_LINE = insert_new(lines, "id slug name version settings", "slug")
_CHANGE_LINE = sql(
    update(lines)
    .values({name: bindparam("new_" + name) for name in "name version settings active".split()})
    .where(lines.c.id == bindparam("line"))
)
_CHANNEL_COLUMNS = "id line_id slug kind name settings active version"
_CHANNEL = sql(select(*cols(channels, _CHANNEL_COLUMNS)).where(channels.c.id == bindparam("channel")))
_CHANNEL_BY_SLUG = sql(select(*cols(channels, _CHANNEL_COLUMNS)).where(channels.c.slug == bindparam("slug_is")))
_CHANNELS = sql(
    select(*cols(channels, _CHANNEL_COLUMNS)).where(channels.c.slug > bindparam("after")).order_by(channels.c.slug).limit(101)
)
_ADD_CHANNEL = insert_new(channels, "id line_id slug kind name settings", "slug")
_CHANGE_CHANNEL = sql(
    update(channels)
    .values({name: bindparam("new_" + name) for name in "line_id name settings active version".split()})
    .where(channels.c.id == bindparam("channel"))
)
_SEATS = sql(select(seats.c.operator_id).where(seats.c.line_id == bindparam("line")).order_by(seats.c.position))
_UNSEAT = sql(delete(seats).where(seats.c.line_id == bindparam("line")))
_SEAT = insert_row(seats, "line_id operator_id position")
_LOGIN = sql(select(operators.c.id).where(operators.c.login == bindparam("login")))
_KEYS = frozenset("0123456789*#")
_PERSON = sql(select(operators.c.id).where(operators.c.id == bindparam("operator")))


def slug_of(written: str) -> str:
    """Return the short name as it stands in addresses. Raises BadInput."""
    if not _SLUG.fullmatch(written):
        raise BadInput(f"“{written[:60]}” cannot be a short name; use 1 to 40 of a-z, 0-9 and -", field="slug")
    return written


def settings_of(given: dict[str, Any], calendars: Calendars, base: LineSettings | None = None) -> LineSettings:
    """Return *base* (default: the product's defaults) with *given* over it. Raises BadInput naming the key."""
    _refuse_unknown(given, LineSettings, "settings")
    given = _as_kept(given, calendars)
    merged = msgspec.to_builtins(base if base is not None else LineSettings())
    for key, value in given.items():
        # Weights and calls have settings of their own: naming one leaves the others. A text by language, or the hours, are replaced whole.
        whole = key not in ("weights", "calls") or not isinstance(value, dict)
        merged[key] = value if whole else merged[key] | value
    try:
        settings = _SETTINGS.validate_python(merged)
    except ValidationError as error:
        key, wrong = complaints(error.errors(), LineSettings)[0]
        raise BadInput(f"{key}: {wrong}", field=f"settings.{key}") from None
    _refuse_unknown_fields(settings, given)
    _refuse_unplayable(settings.calls)
    chosen = [one.does for one in settings.calls.menu.keys.values()]
    if OutsideCalls.FORWARD in (settings.outside_calls, settings.calls.no_answer_does, *chosen) and not settings.calls.forward_to:
        raise BadInput("calls.forward_to: name the number to which calls are forwarded", field="settings.calls.forward_to")
    return settings


def _refuse_unplayable(calls: CallSettings) -> None:
    """Refuse names that the telephone exchange cannot have, and a number that nobody can call. Raises BadInput naming the key."""
    for key, form, wanted in (
        ("greeting", _SOUND, "a sound's name, such as custom/welcome: letters, digits, - and _, without its ending"),
        ("voicemail_greeting", _SOUND, "a sound's name, such as vm-intro: letters, digits, - and _, without its ending"),
        ("rating_sound", _SOUND, "a sound's name, such as custom/rate: letters, digits, - and _, without its ending"),
        ("callback_sound", _SOUND, "a sound's name, such as custom/called-back: letters, digits, - and _, without its ending"),
        ("outside_sound", _SOUND, "a sound's name, such as custom/closed: letters, digits, - and _, without its ending"),
        ("music", _MUSIC, "the name of a class of music on hold, such as default"),
        ("forward_to", _NUMBER, "a number of digits, with or without a + before them"),
    ):
        value = getattr(calls, key)
        if not form.fullmatch(value):
            raise BadInput(f"calls.{key}: {value[:60]!r} is not {wanted}", field=f"settings.calls.{key}")

    menu = calls.menu
    if not _SOUND.fullmatch(menu.sound):
        wrong = f"calls.menu.sound: {menu.sound[:60]!r} is not a sound's name, such as custom/menu"
        raise BadInput(wrong, field="settings.calls.menu.sound")
    if (menu.keys or menu.extensions) and not menu.sound:
        wrong = "calls.menu.sound: name the sound that says which key does what; without it there is no menu"
        raise BadInput(wrong, field="settings.calls.menu.sound")
    if bad := next((key for key in menu.keys if key not in _KEYS), None):
        raise BadInput(f"calls.menu.keys: {bad!r} is not a key; there are 0 to 9, * and #", field="settings.calls.menu.keys")
    if menu.extensions and "#" in menu.keys:
        wrong = "calls.menu.keys: # ends an extension that is dialled; take another key, or switch extensions off"
        raise BadInput(wrong, field="settings.calls.menu.keys")


def _refuse_unknown_fields(settings: LineSettings, given: dict[str, Any]) -> None:
    """Refuse a text that names what we cannot fill in: a customer would read the braces. Raises BadInput naming the text."""
    for key in given:
        if not key.endswith("_text"):
            continue
        for language, text in getattr(settings, key).items():
            for name in _FIELD.findall(text):
                if name not in REPLY_FIELDS:
                    known = ", ".join(f"{{{one}}}" for one in REPLY_FIELDS)
                    raise BadInput(
                        f"{key}: the text in {language} names {{{name}}}, which nobody can fill in; there are {known}",
                        field=f"settings.{key}.{language}",
                    )


def refuse_nowhere(tx: Tx, slug: str, given: dict[str, Any]) -> None:
    """Refuse *given* settings by which a line sends on what nobody answers to a line that is not there, or to itself, or plays what is not.

    To be asked when all lines are there. A target that was switched off later is no reason to refuse other changes. Raises BadInput.
    """
    line = line_by_slug(tx, slug) if given.keys() & {"no_answer_does", "no_answer_line", "calls"} else None
    if line is None:
        return
    settings = line["settings"]
    if settings.no_answer_does is NoAnswer.LINE and given.keys() & {"no_answer_does", "no_answer_line"}:
        _refuse_onward(tx, slug, settings.no_answer_line, "no_answer_line")
    if "calls" not in given:
        return
    refuse_unknown_sounds(tx, settings)
    if settings.calls.no_answer_does is UnansweredCalls.LINE:
        _refuse_onward(tx, slug, settings.calls.no_answer_line, "calls.no_answer_line")
    for key, one in settings.calls.menu.keys.items():
        if one.does is KeyDoes.LINE:
            _refuse_onward(tx, slug, one.line, f"calls.menu.keys.{key}.line")
        if one.does is KeyDoes.OPERATOR and (not one.operator or tx.one(_LOGIN, login=one.operator) is None):
            place = f"calls.menu.keys.{key}.operator"
            what = f"there is no operator {one.operator}" if one.operator else "it is empty"
            raise BadInput(f"{place}: {what}; write the login of whoever is called by the key {key}", field=f"settings.{place}")


def _refuse_onward(tx: Tx, slug: str, onward: str, key: str) -> None:
    if onward == slug:
        raise BadInput(f"{key}: the line {slug} cannot send on to itself", field=f"settings.{key}")
    target = line_by_slug(tx, onward) if onward else None
    if target is None or not target["active"]:
        what = f"there is no line {onward}, or it is switched off" if onward else "it is empty"
        raise BadInput(f"{key}: {what}; name the line to which {slug} sends on", field=f"settings.{key}")


def _as_kept(given: dict[str, Any], calendars: Calendars) -> dict[str, Any]:
    """Return *given* with hours and skills in the one spelling they are kept in. Raises BadInput naming the place."""
    kept = dict(given)
    try:
        if "hours" in given:
            kept["hours"] = hours_kept(given["hours"], calendars)
        if "skills" in given:
            kept["skills"] = skills_of(given["skills"])
    except BadInput as fault:
        raise BadInput(str(fault), field=f"settings.{fault.field}", code=fault.code) from None
    return kept


def _refuse_unknown(given: dict[str, Any], model: object, above: str) -> None:
    known = keys_of(model)
    for key, value in given.items():
        if key not in known:
            raise BadInput(unknown(key, known), field=f"{above}.{key}")
        if not isinstance(value, dict):
            continue
        if keys_of(known[key]):
            _refuse_unknown(value, known[key], f"{above}.{key}")
        elif each := keys_of((get_args(known[key]) or (None,))[-1]):
            # A setting for each key of the menu, as an example: what is written under each has keys of its own.
            for name, inner in value.items():
                if bad := next((one for one in inner if one not in each), None) if isinstance(inner, dict) else None:
                    raise BadInput(unknown(bad, each), field=f"{above}.{key}.{name}.{bad}")


def add_line(tx: Tx, slug: str, name: str, settings: LineSettings) -> LineId:
    """Add a line. Raises Conflict when the short name is taken."""
    id_ = LineId(tx.new_id())
    if not tx.run(_ADD_LINE, id=id_, slug=slug, name=name, version=1, settings=_encode(settings).decode()):
        raise Conflict(f"there is a line {slug} already")
    tx.ring(Bell.SETTINGS)
    return id_


def change_line(
    tx: Tx, line_id: str, *, name: str | None = None, settings: LineSettings | None = None, active: bool | None = None
) -> bool:
    """Change a line; its version grows. False when nothing was new. Raises NotFound."""
    before = find_line(tx, line_id)
    new_name = before["name"] if name is None else name
    new_settings = before["settings"] if settings is None else settings
    new_active = before["active"] if active is None else active
    if (new_name, new_settings, new_active) == (before["name"], before["settings"], before["active"]):
        return False
    tx.run(
        _CHANGE_LINE,
        line=line_id,
        new_name=new_name,
        new_version=before["version"] + 1,
        new_settings=_encode(new_settings).decode(),
        new_active=int(new_active),
    )
    mark_pool(tx, line_id, "settings changed")
    tx.ring(Bell.SETTINGS)
    return True


def find_line(tx: Tx, line_id: str) -> dict[str, Any]:
    """Return one line. Raises NotFound."""
    row = tx.one(_LINE, line=line_id)
    if row is None:
        raise NotFound(f"there is no line {line_id}")
    return _line(tx, row)


def line_by_slug(tx: Tx, slug: str) -> dict[str, Any] | None:
    """Return the line with the short name *slug*."""
    row = tx.one(_LINE_BY_SLUG, slug_is=slug)
    return _line(tx, row) if row else None


def lines_page(tx: Tx, after: str) -> tuple[list[dict[str, Any]], str | None]:
    """Return the lines after the short name *after*, and where the next page begins."""
    rows = tx.all(_LINES, after=after)
    found = [_line(tx, row) for row in rows[:100]]
    return found, found[-1]["slug"] if len(rows) > 100 else None


def add_channel(tx: Tx, line_id: str, slug: str, kind: str, name: str, settings: dict[str, Any]) -> ChannelId:
    """Add a channel to a line. Raises NotFound, Conflict."""
    find_line(tx, line_id)
    id_ = ChannelId(tx.new_id())
    if not tx.run(_ADD_CHANNEL, id=id_, line_id=line_id, slug=slug, kind=kind, name=name, settings=_encode(settings).decode()):
        raise Conflict(f"there is a channel {slug} already")
    tx.ring(Bell.SETTINGS)
    return id_


def change_channel(tx: Tx, channel_id: str, changes: dict[str, Any]) -> bool:
    """Set what *changes* names of line_id, name, settings, active; False when nothing was new. Raises NotFound."""
    row = tx.one(_CHANNEL, channel=channel_id)
    if row is None:
        raise NotFound(f"there is no channel {channel_id}")
    before = _channel(row)
    after = before | changes
    if after == before:
        return False
    find_line(tx, after["line_id"])
    tx.run(
        _CHANGE_CHANNEL,
        channel=channel_id,
        new_line_id=after["line_id"],
        new_name=after["name"],
        new_settings=_encode(after["settings"]).decode(),
        new_active=int(after["active"]),
        new_version=before["version"] + 1,
    )
    tx.ring(Bell.SETTINGS)
    return True


def find_channel(tx: Tx, channel_id: str) -> dict[str, Any]:
    """Return one channel. Raises NotFound."""
    row = tx.one(_CHANNEL, channel=channel_id)
    if row is None:
        raise NotFound(f"there is no channel {channel_id}")
    return _channel(row)


def channel_by_slug(tx: Tx, slug: str) -> dict[str, Any] | None:
    """Return the channel with the short name *slug*."""
    row = tx.one(_CHANNEL_BY_SLUG, slug_is=slug)
    return _channel(row) if row else None


def channels_page(tx: Tx, after: str) -> tuple[list[dict[str, Any]], str | None]:
    """Return the channels after the short name *after*, and where the next page begins."""
    rows = tx.all(_CHANNELS, after=after)
    found = [_channel(row) for row in rows[:100]]
    return found, found[-1]["slug"] if len(rows) > 100 else None


def refuse_twice(people: Sequence[str]) -> None:
    """Refuse a queue in which somebody stands twice. Raises BadInput."""
    if len(set(people)) != len(people):
        raise BadInput("a person is named twice; a line has one seat for each", field="operators")


def set_seats(tx: Tx, line_id: str, people: Sequence[OperatorId]) -> bool:
    """Seat *people* in the line, in this order; False when they sit so already. Raises NotFound, BadInput."""
    find_line(tx, line_id)
    refuse_twice(people)
    if [row[0] for row in tx.all(_SEATS, line=line_id)] == list(people):
        return False
    for person in people:
        if tx.one(_PERSON, operator=person) is None:
            raise NotFound(f"there is no person {person}")
    tx.run(_UNSEAT, line=line_id)
    for position, person in enumerate(people, start=1):
        tx.run(_SEAT, line_id=line_id, operator_id=person, position=position)
    mark_pool(tx, line_id, "seats changed")
    tx.ring(Bell.SETTINGS)
    return True


def _line(tx: Tx, row: tuple[Any, ...]) -> dict[str, Any]:
    id_, slug, name, version, settings, active = row
    return {
        "id": id_,
        "slug": slug,
        "name": name,
        "version": version,
        "settings": msgspec.json.decode(settings, type=LineSettings),
        "active": bool(active),
        "seats": [seat for (seat,) in tx.all(_SEATS, line=id_)],
    }


def _channel(row: tuple[Any, ...]) -> dict[str, Any]:
    id_, line_id, slug, kind, name, settings, active, version = row
    return {
        "id": id_,
        "line_id": line_id,
        "slug": slug,
        "kind": kind,
        "name": name,
        "settings": msgspec.json.decode(settings),
        "active": bool(active),
        "version": version,
    }
