"""The census: which calls the exchange still knows. One that it knows no more, and whose end nobody has told, is lost.

    an exchange that crashed, a dialplan without our hangup handler, a broker that was away as the caller hung up: the session would
    wait or talk for ever, and its operator with it

A call must be missing twice in a row: its end may be on its way. Of several exchanges each has a name (systemname in asterisk.conf),
which begins what it names its calls: the one that is asked is asked for its own only.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection
from datetime import UTC, datetime

import structlog

from broker.domain import ChannelId, ConversationId
from broker.errors import Rejected, SendError, StoreError
from broker.events import CallEnded
from broker.inbound import enter
from broker.ports import Store, Tx
from channels.phone import ledger
from channels.phone.adapter import KIND_NAME
from channels.phone.office import Asks

log = structlog.get_logger(__name__)

EVERY_SECONDS = 15.0
QUARTER_SECONDS = 900


class Census:
    """Looks again and again; `look` is one time."""

    def __init__(
        self,
        store: Store,
        manager: Asks,
        channels: Callable[[], Collection[ChannelId]],
        interrupted: Callable[[Tx, ConversationId], None],
        follows: Callable[[ConversationId], bool] = lambda conversation: False,
    ) -> None:
        """*channels* are the numbers of the house, switched off ones too; *follows*: the call has a connection here, so it is known.

        *interrupted* does what is to be done for the customer of a call that the exchange has lost by dying itself.
        """
        self._store = store
        self._manager = manager
        self._channels = channels
        self._interrupted = interrupted
        self._follows = follows
        self._refused = False
        self._missing: frozenset[str] = frozenset()
        """Those that were missing at the last look."""

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                await self.look()
                self._refused = False
            except Rejected as error:
                if not self._refused:
                    remedy = "give its user the right `reporting` in manager.conf (write = call,originate,reporting)"
                    log.error("census_refused", problem=str(error), remedy=remedy)
                self._refused = True
            except SendError:
                self._missing = frozenset()  # nobody knows; that the manager is lost has been told
            except StoreError as error:
                log.warning("census_waits_for_store", problem=str(error))

    async def look(self) -> int:
        """Compare, end what was missing before and is still; return how many calls that were. Raises SendError, StoreError."""
        channels = self._channels()
        # Ours first: a call that comes meanwhile is in theirs and not in ours, and is nobody's business.
        ours = await self._store.read(lambda tx: ledger.open_calls(tx, channels))
        settings = (await self._manager.ask("CoreSettings"))[0]
        name = settings.get("SystemName", "")
        known = {one.get("Uniqueid", "") for one in await self._manager.ask("CoreShowChannels")}
        missing = frozenset(
            call for call, id_ in ours.items() if call not in known and _is_of(call, name) and not self._follows(id_)
        )
        lost = {call: ours[call] for call in missing & self._missing}
        started = await self._started() if lost else None
        self._missing = missing - lost.keys()
        for call, conversation in lost.items():
            log.warning("call_lost", conversation_id=conversation, call=call)
            died = started is not None and _came(call) <= started  # both are told in whole seconds
            await self._store.write(lambda tx, one=conversation, died=died: self._end(tx, one, died=died))  # type: ignore[misc]
        return len(lost)

    def _end(self, tx: Tx, conversation: ConversationId, *, died: bool) -> None:
        told = enter(tx, KIND_NAME, f"{conversation}:ended", conversation, lambda at: CallEnded(at, lost=True))
        # Else its end has been told meanwhile, and it has ended as calls do.
        if told.fresh and died:
            self._interrupted(tx, conversation)
        ledger.ended(tx, conversation)

    async def _started(self) -> float | None:
        """Return when the exchange was started, seconds since 1970 by its own clock, with which it names calls; None: that cannot be known.

        It tells the time of its start without a zone: the zone is what its clock is ahead of the world's, in quarters of an hour.
        """
        try:
            begun = (await self._manager.ask("CoreStatus"))[0]
            here = (await self._manager.ask("Getvar", Variable="STRFTIME()"))[0]
            world = (await self._manager.ask("Ping"))[0]
            start = datetime.fromisoformat(f"{begun['CoreStartupDate']}T{begun['CoreStartupTime']}+00:00").timestamp()
            local = datetime.strptime(here["Value"], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC).timestamp()
            ahead = round((local - float(world["Timestamp"])) / QUARTER_SECONDS) * QUARTER_SECONDS
        except (KeyError, ValueError, IndexError, Rejected) as error:
            log.warning("exchange_start_unknown", problem=str(error))
            return None
        return start - ahead


def _came(call: str) -> float:
    """Return when the exchange has named the call, seconds since 1970; what is no name of a call is of now."""
    begun = call.rpartition("-")[2].partition(".")[0]
    return float(begun) if begun.isdecimal() else math.inf


def _is_of(call: str, exchange: str) -> bool:
    """Return whether the *exchange* of that name has named the call."""
    named = call.rpartition("-")[0]
    return named == exchange
