"""Asking for a call that we make: stored like any that comes, as a conversation of its own, and made by outgoing.py when its time comes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from broker.domain import ChannelId, ConversationId, Directory, LineId, OperatorId, Source
from broker.errors import BadInput
from broker.inbound import accept, prepare
from broker.ports import Channel, Tx
from channels.phone import ledger
from channels.phone.adapter import KIND_NAME, PhoneChannel, as_told, raw_of_wanted, settings_of, wanted


def ask(
    tx: Tx,
    directory: Directory,
    channel: PhoneChannel,
    name: str,
    number: str,
    due: datetime,
    *,
    customer: str = "",
    by: OperatorId | None = None,
    now: bool = False,
    source: Source | None = None,
) -> ConversationId | None:
    """Enter a call that is to be made from *channel*; return its conversation, None: nobody can read it.

    *name* is its asker's own: asked under it again it is the same call. *customer* is the customer's name, as far as it is known, *source*
    where they asked for it. Raises BadInput for a number that cannot be called.
    """
    settings = directory.lines[channel.line_id].settings
    call = wanted(f"out-{tx.new_id()}", number, due, settings.region, name=customer, by=by, now=now, source=source)
    (accepted,) = accept(tx, channel.id, prepare(channel, [raw_of_wanted(call, name)], settings))
    if accepted.conversation_id is not None and accepted.fresh:
        ledger.begin_out(tx, accepted.conversation_id, channel.id, call.out)
    return accepted.conversation_id


class CallsOut:
    """What the console needs to have a customer called (`broker.web.wiring.CallsOut`)."""

    def __init__(self, directory: Callable[[], Directory], channel: Callable[[ChannelId], Channel | None]) -> None:
        self._directory = directory
        self._channel = channel

    def lines(self) -> frozenset[LineId]:
        """Return the lines from which can be called: those with a number."""
        directory = self._directory()
        return frozenset(
            row.line_id
            for row in directory.channels.values()
            if row.kind == KIND_NAME and row.active and directory.lines[row.line_id].active
        )

    def ask(
        self,
        tx: Tx,
        line_id: LineId,
        name: str,
        number: str,
        due: datetime,
        *,
        customer: str = "",
        by: OperatorId | None = None,
        now: bool = False,
        source: Source | None = None,
    ) -> ConversationId | None:
        """See `ask`; the line calls from its first number by name. Raises BadInput for a line that has none, and as `ask` does."""
        directory = self._directory()
        rows = (row for row in directory.channels.values() if row.kind == KIND_NAME and row.active and row.line_id == line_id)
        made = (self._channel(row.id) for row in sorted(rows, key=lambda row: row.slug))
        channel = next((one for one in made if isinstance(one, PhoneChannel)), None)
        if channel is None:
            raise BadInput("this line has no number to call from; choose another", field="line_id")
        return ask(tx, directory, channel, name, number, due, customer=customer, by=by, now=now, source=source)

    def asked(self, tx: Tx, number: str, since: datetime) -> tuple[int, int]:
        """See `broker.web.wiring.CallsOut`."""
        return ledger.asked_for(tx, number, since)

    def entered(self, tx: Tx, name: str) -> tuple[str, datetime, datetime] | None:
        """See `broker.web.wiring.CallsOut`."""
        return ledger.entered(tx, [row.id for row in self._directory().channels.values() if row.kind == KIND_NAME], name)

    def is_ours(self, number: str) -> bool:
        """See `broker.web.wiring.CallsOut`."""
        directory = self._directory()
        rows = (row for row in directory.channels.values() if row.kind == KIND_NAME)
        return any(
            as_told(written, directory.lines[row.line_id].settings.region) == number
            for row in rows
            for written in settings_of(row).numbers
        )


__all__ = ["CallsOut", "ask"]
