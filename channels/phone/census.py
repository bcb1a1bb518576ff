"""The census: which calls the exchange still knows. One that it knows no more, and whose end nobody has told, is lost.

    an exchange that crashed, a dialplan without our hangup handler, a broker that was away as the caller hung up: the session would
    wait or talk for ever, and its operator with it

A call must be missing twice in a row: its end may be on its way. Of several exchanges each has a name (systemname in asterisk.conf),
which begins what it names its calls: the one that is asked is asked for its own only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

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

        *interrupted* does for the customer of a lost call what is to be done, before its end is entered.
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
        self._missing = missing - lost.keys()
        for call, conversation in lost.items():
            log.warning("call_lost", conversation_id=conversation, call=call)
            await self._store.write(lambda tx, one=conversation: self._end(tx, one))  # type: ignore[misc]
        return len(lost)

    def _end(self, tx: Tx, conversation: ConversationId) -> None:
        self._interrupted(tx, conversation)
        enter(tx, KIND_NAME, f"{conversation}:ended", conversation, lambda at: CallEnded(at, lost=True))
        ledger.ended(tx, conversation)


def _is_of(call: str, exchange: str) -> bool:
    """Return whether the *exchange* of that name has named the call."""
    named = call.rpartition("-")[0]
    return named == exchange
