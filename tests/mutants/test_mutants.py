"""Planted faults: each takes one of the promises' reasons away, and the auditor of the simulation must see it.

A test that is green whatever the code does proves nothing; these show that ours can fail. Nothing of ours is patched: a mutant
is another part in the simulation's seams, another statement under the shipped function, or another schema.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import bindparam, literal_column, select, update

from broker.domain import ChannelId, ConversationId
from broker.errors import Rejected, StoreError, Unavailable, Uncertain
from broker.inbound import Prepared, accept
from broker.outbound import lease, mark
from broker.ports import Bell, Clock, Outbound, Row, Store, Tx
from broker.store.sql import cols, insert_row, sql, with_rows
from broker.store.tables import budgets, channel_cursors, inputs, outbox
from tests.simulation.world import Parts, Stuck, World
from tests.support.channels import AdapterBroken

SEEDS_MAX = 150
"""A mutant that survives this many histories is not caught."""

# The package's `accept` is the function; its module is wanted here for the statements it uses.
_accepting: Any = importlib.import_module("broker.inbound.accept")
_sending: Any = importlib.import_module("broker.outbound")
_applying: Any = importlib.import_module("routing.applying")


class Swapped:
    """A `Tx` that executes other statements in place of some."""

    def __init__(self, tx: Tx, others: Mapping[Any, Any]) -> None:
        self._tx = tx
        self._others = others
        self.now = tx.now
        self.shared = tx.shared

    def new_id(self) -> str:
        return self._tx.new_id()

    def one(self, statement: Any, /, **values: object) -> Row | None:
        return self._tx.one(self._others.get(statement, statement), **values)

    def all(self, statement: Any, /, **values: object) -> list[Row]:
        return self._tx.all(self._others.get(statement, statement), **values)

    def run(self, statement: Any, /, **values: object) -> int:
        return self._tx.run(self._others.get(statement, statement), **values)

    def each(self, statement: Any, rows: Sequence[Row], /) -> list[Row]:
        return self._tx.each(self._others.get(statement, statement), rows)

    def later(self, statement: Any, row: Row, /) -> None:
        self._tx.later(self._others.get(statement, statement), row)

    def settle(self) -> None:
        self._tx.settle()

    def ring(self, bell: Bell, key: str = "", /) -> None:
        self._tx.ring(bell, key)

    def count(self, do: Callable[[], None], /) -> None:
        self._tx.count(do)


def swapped(others: Mapping[Any, Any]) -> Callable[[Tx], Swapped]:
    """Return what makes a `Tx` execute *others*."""
    return lambda tx: Swapped(tx, others)


def caught(finding: str, parts: Parts) -> bool:
    """Return whether the auditor finds *finding* in one of the first histories of *parts*."""
    for seed in range(SEEDS_MAX):
        world = World(seed, parts)
        with suppress(Stuck):  # a mutant may also never come to rest: what it did is audited all the same
            world.run()
        if any(found.startswith(finding) for found in world.verdict()):
            return True
    return False


# --- in


def test_the_unmutated_house_passes():
    """The same histories, nothing replaced: the auditor is content, so what it finds below is the mutants' doing."""
    assert [World(seed, Parts()).run().verdict() for seed in range(20)] == [[]] * 20


def test_without_the_unique_key_of_inputs_a_repeat_is_stored_twice():
    """Dedupe is UNIQUE(origin, external_id) and nothing else: without it resent messages stand twice."""
    plain = insert_row(inputs, "id origin external_id conversation_id seq event raw at_us dead")

    keyless = """
        CREATE TABLE spare AS SELECT * FROM inputs;
        DROP TABLE inputs;
        ALTER TABLE spare RENAME TO inputs;
        CREATE UNIQUE INDEX uq_inputs_seq ON inputs (conversation_id, seq);
    """

    mutant = Parts(schema=keyless, tx=swapped({_accepting._INPUT: plain}))

    assert caught("DOUBLED", mutant)


def test_an_acknowledgement_before_the_commit_loses_messages():
    """Commit, then acknowledge: the other way round a crash in between loses what the sender believes stored."""
    assert caught("LOST", Parts(acknowledges_first=True))


_SEEN = sql(select(channel_cursors.c.cursor).where(channel_cursors.c.channel_id == bindparam("channel")))


def high_water(tx: Tx, channel_id: ChannelId, prepared: Sequence[Prepared], cursor: str | None = None) -> Any:
    """Take only what is above the highest external id seen: wrong, for a late update is legitimate."""
    row = tx.one(_SEEN, channel=channel_id)
    highest = row[0] if row else ""
    fresh = [one for one in prepared if one.raw.external_id > highest]
    return accept(tx, channel_id, fresh, max(highest, cursor or ""))


def test_a_high_water_mark_loses_what_comes_late():
    """Dedupe is membership, never `<= last`: updates come out of order."""
    assert caught("LOST", Parts(accept=high_water, accept_each=None))


# --- out


class LeaselessSender:
    """Reads the lowest queued row, sends, then marks it: nothing is committed before the first byte leaves."""

    def __init__(self, store: Store, clock: Clock, channel: Callable[[ChannelId], Any], sender_name: Any, **kept: Any) -> None:
        self._store = store
        self._clock = clock
        self._channel = channel
        self._fence = kept["fence"]

    async def step(self, conversation_id: ConversationId) -> bool:
        def look(tx: Tx) -> Row | None:
            return tx.one(_LOWEST, conversation=conversation_id)

        row = await self._store.read(look)
        if row is None:
            return False
        _, channel_id, message_id, token, seq, text, key = row
        channel = self._channel(channel_id)
        state = "sent"
        try:
            await channel.send(Outbound(conversation_id, key, message_id, token, seq, text, "", from_operator=False, at_ms=0))
        except (Rejected, Uncertain, TimeoutError, AdapterBroken):
            state = "failed"
        except Unavailable:
            return False

        def end(tx: Tx) -> None:
            leased = lease(tx, conversation_id, "", self._fence, 0.0)
            if leased is not None and leased.row == token:
                mark(tx, leased, state)

        with suppress(StoreError):
            await self._store.write(end)
        return True


_LOWEST = sql(
    select(
        outbox.c.conversation_id,
        outbox.c.channel_id,
        outbox.c.message_id,
        outbox.c.id,
        outbox.c.seq,
        _sending.messages.c.text,
        _sending.conversations.c.key,
    )
    .join_from(outbox, _sending.messages, _sending.messages.c.id == outbox.c.message_id)
    .join(_sending.conversations, _sending.conversations.c.id == outbox.c.conversation_id)
    .where(outbox.c.conversation_id == bindparam("conversation"), outbox.c.state == "queued")
    .order_by(outbox.c.seq)
    .limit(1)
)


def test_a_send_without_a_committed_lease_is_repeated_after_a_crash():
    """`sending` is on the disk before the first byte leaves: otherwise nobody knows afterwards that it left."""
    assert caught("DOUBLED", Parts(sender=LeaselessSender))


def test_without_the_guard_in_flight_answers_overtake_one_another():
    """One in flight per conversation, the lowest first: two at once arrive in any order."""
    any_due = with_rows(
        "conversation_id owner fence now_us until_us",
        cols(outbox, "conversation_id owner fence due_us lease_us"),
        "UPDATE outbox SET state = 'sending', attempt = outbox.attempt + 1, owner = asked.owner, fence = asked.fence, "
        "lease_us = asked.until_us "
        "FROM (SELECT new.*, (SELECT other.id FROM outbox AS other WHERE other.conversation_id = new.conversation_id"
        " AND other.state = 'queued' AND other.due_us <= new.now_us ORDER BY other.seq LIMIT 1) AS lowest FROM new) AS asked "
        "WHERE outbox.id = asked.lowest "
        "RETURNING outbox.conversation_id, outbox.id, outbox.seq, outbox.channel_id, outbox.message_id, outbox.attempt, "
        "outbox.created_us, outbox.buttons, 1, 0, outbox.does, outbox.target_seq",  # another waits behind it, and nothing went before
    )

    mutant = Parts(schema="DROP INDEX uq_outbox_in_flight", tx=swapped({_sending._LEASE: any_due}))

    assert caught("REORDERED", mutant)


def test_a_blind_retry_doubles_what_was_in_doubt():
    """After `Uncertain` or a crash only an idempotent channel may send again: elsewhere the customer reads it twice."""
    assert caught("DOUBLED", Parts(idempotent=lambda really: True))


def test_a_recovery_that_forgets_the_fence_leaves_messages_under_way_for_ever():
    """What a dead process was sending is settled at the next start, or nobody ever does."""
    assert caught("STUCK", Parts(recover=lambda tx, fence, idempotent: 0))


# --- inside


def test_an_unconditional_reservation_exceeds_a_budget():
    """The budget is guarded by the UPDATE itself; here the view is blind to what is reserved, and only that guard stands."""
    unguarded = sql(
        update(budgets)
        .values(reserved=budgets.c.reserved + bindparam("weight"))
        .where(budgets.c.operator_id == bindparam("operator"))
    )
    blind = sql(
        select(
            _applying.operators.c.active,
            _applying.operators.c.role,
            _applying.seats.c.line_id,
            _applying.presence.c.state,
            literal_column("1000"),
            literal_column("0"),
            literal_column("0"),  # no call
        )
        .select_from(_applying.operators)
        .outerjoin(
            _applying.seats,
            (_applying.seats.c.operator_id == _applying.operators.c.id) & (_applying.seats.c.line_id == bindparam("line")),
        )
        .outerjoin(_applying.presence, _applying.presence.c.operator_id == _applying.operators.c.id)
        .where(_applying.operators.c.id == bindparam("operator"))
    )

    assert caught("BROKEN", Parts(tx=swapped({_applying._RESERVE: unguarded, _applying._OPERATOR: blind})))


def test_without_sweeps_a_lost_bell_is_a_lost_message():
    """Bells may be lost at any moment; what they announced is found by the sweep."""
    assert caught("STUCK", Parts(sweeps=False))


def test_a_release_that_is_forgotten_leaves_a_budget_taken():
    """Reserved is the sum of the weights of open offers and active sessions, after every history."""
    nothing = sql(
        update(budgets)
        .values(reserved=budgets.c.reserved + bindparam("weight") * 0)
        .where(budgets.c.operator_id == bindparam("operator"))
    )

    assert caught("BROKEN", Parts(tx=swapped({_applying._RELEASE: nothing})))
