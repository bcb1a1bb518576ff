"""Builders: lines, channels, people, seats, budgets and presence, written through the real tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from broker.domain import ChannelId, LineId, LineSettings, LoadKind, OperatorId, PresenceState, Role, to_us
from broker.ports import Tx
from broker.store import directory, processes
from broker.store.processes import Process
from broker.store.sql import insert_row, upsert
from broker.store.tables import budgets, channels, lines, operators, presence, seats
from routing.applying import House, mark_pool

_LINE = insert_row(lines, "id slug name version settings")
_CHANNEL = insert_row(channels, "id line_id slug kind name settings")
_OPERATOR = insert_row(operators, "id login name role password_hash active created_us changed_us")
_BUDGET = insert_row(budgets, "operator_id budget reserved")
_SEAT = insert_row(seats, "line_id operator_id position")
_PRESENCE = upsert(presence, "operator_id state since_us", "operator_id", "state since_us")


def add_line(tx: Tx, slug: str = "shop", settings: LineSettings | None = None, **changes: Any) -> LineId:
    """Add a line; *changes* are settings that differ from the defaults."""
    line = LineId(tx.new_id())
    body = msgspec.json.encode(settings or LineSettings(**changes)).decode()
    tx.run(_LINE, id=line, slug=slug, name=slug.title(), version=1, settings=body)
    return line


def add_channel(tx: Tx, line: LineId, slug: str = "page", kind: str = "fake") -> ChannelId:
    """Add a channel to *line*."""
    channel = ChannelId(tx.new_id())
    tx.run(_CHANNEL, id=channel, line_id=line, slug=slug, kind=kind, name=slug.title(), settings="{}")
    return channel


def add_operator(
    tx: Tx,
    login: str,
    seated_in: Sequence[LineId] = (),
    *,
    role: Role = Role.OPERATOR,
    budget: int = 100,
    state: PresenceState = PresenceState.ONLINE,
    active: bool = True,
    position: int = 1,
) -> OperatorId:
    """Add a person with a budget, a presence and a seat in each line of *seated_in* at *position*."""
    operator = OperatorId(tx.new_id())
    now_us = to_us(tx.now)
    tx.run(
        _OPERATOR,
        id=operator,
        login=login,
        name=login.title(),
        role=role.value,
        password_hash="",
        active=int(active),
        created_us=now_us,
        changed_us=now_us,
    )
    tx.run(_BUDGET, operator_id=operator, budget=budget, reserved=0)
    tx.run(_PRESENCE, operator_id=operator, state=state.value, since_us=now_us)
    for line in seated_in:
        tx.run(_SEAT, line_id=line, operator_id=operator, position=position)
    return operator


def set_presence(tx: Tx, operator: OperatorId, state: PresenceState, lines_of: Sequence[LineId]) -> None:
    """Write a presence as its input does: the row, and a mark on each line the operator sits in."""
    tx.run(_PRESENCE, operator_id=operator, state=state.value, since_us=to_us(tx.now))
    for line in lines_of:
        mark_pool(tx, line, f"presence {state.value}", seats=state is PresenceState.ONLINE)


def add_process(tx: Tx, process: str) -> None:
    """Let *process* be one of those that run: what nobody runs is sending is taken over by others."""
    processes.enter(tx, Process(process, "all", "here", 1, "1", 0, 0))


def load_house(tx: Tx, loads: dict[ChannelId, LoadKind] | None = None) -> House:
    """Return the house as the worker knows it."""
    return House(directory.load(tx), loads or {})
