"""Locks of a shared database, taken by everybody in one order: pool or attendance, conversations by id, operators by id.

Whoever takes them so never waits in a circle. On a database of one's own (not `Tx.shared`) transactions come one after the other: there
these functions do nothing.

    the distributor     its pool, then operators; conversations only where nobody else has them (SKIP LOCKED), so it never waits for one;
                        then the presence of those it has chosen
    a worker            conversations where nobody else has them, then the operators whose budgets may change
    the timers          conversations where nobody else has them
    whoever enters, sends or accepts    conversations
    whoever opens their first console in a process, or closes the last    the operator's attendance
    whoever changes sounds, or a line that names some    the sounds; nothing is taken behind it
    whoever asks for a call from a site                  its number, then conversations
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import bindparam, func, select

from broker.domain import ConversationId, LineId, OperatorId
from broker.ports import Tx
from broker.store.sql import among, over_rows, postgresql_only
from broker.store.tables import budgets
from broker.store.tables import conversations as conversations_table

_POOL = postgresql_only(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("line"), 0))))
_ATTENDANCE = postgresql_only(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("operator"), 1))))
_SOUNDS = postgresql_only(select(func.pg_advisory_xact_lock(func.hashtextextended("sounds", 2))))
_NUMBER = postgresql_only(select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("number"), 3))))
_CONVERSATIONS = over_rows(
    select(conversations_table.c.id)
    .where(among(conversations_table.c.id))
    .order_by(conversations_table.c.id)
    .with_for_update(key_share=True),
    [conversations_table.c.id],
)
_FREE_CONVERSATIONS = over_rows(
    select(conversations_table.c.id)
    .where(among(conversations_table.c.id))
    .order_by(conversations_table.c.id)
    .with_for_update(skip_locked=True, key_share=True),
    [conversations_table.c.id],
)
_EXISTING = over_rows(select(conversations_table.c.id).where(among(conversations_table.c.id)), [conversations_table.c.id])
_OPERATORS = over_rows(
    select(budgets.c.operator_id)
    .where(among(budgets.c.operator_id))
    .order_by(budgets.c.operator_id)
    .with_for_update(key_share=True),
    [budgets.c.operator_id],
)


def pool(tx: Tx, lines: Iterable[LineId]) -> None:
    """Wait until nobody else distributes the pool of *lines*, and keep others from it until the commit."""
    if tx.shared:
        tx.one(_POOL, line=min(lines))


def attendance(tx: Tx, operator: OperatorId) -> None:
    """Wait until nobody else changes where *operator* has consoles open: two who each close one of two must see it."""
    if tx.shared:
        tx.one(_ATTENDANCE, operator=operator)


def sounds(tx: Tx) -> None:
    """Wait until nobody else changes sounds, or settings that name them."""
    if tx.shared:
        tx.one(_SOUNDS)


def number(tx: Tx, number: str) -> None:
    """Wait until nobody else asks for a call to *number*."""
    if tx.shared:
        tx.one(_NUMBER, number=number)


def conversations(tx: Tx, ids: Iterable[ConversationId]) -> None:
    """Lock the conversations of *ids*."""
    if tx.shared:
        tx.each(_CONVERSATIONS, [(id_,) for id_ in set(ids)])


def in_hand(tx: Tx, ids: Iterable[ConversationId]) -> set[str]:
    """Lock those conversations of *ids* that nobody has in hand, and return the others."""
    wanted = set(ids)
    if not tx.shared or not wanted:
        return set()
    free = {id_ for (id_,) in tx.each(_FREE_CONVERSATIONS, [(id_,) for id_ in wanted])}
    rest = wanted - free
    return {id_ for (id_,) in tx.each(_EXISTING, [(id_,) for id_ in rest])} if rest else set()


def operators(tx: Tx, ids: Iterable[OperatorId]) -> None:
    """Lock the budgets of the operators *ids*."""
    if tx.shared and (wanted := set(ids)):
        tx.each(_OPERATORS, [(id_,) for id_ in wanted])
