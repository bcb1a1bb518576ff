"""An operator's leg while their caller is on hold: it waits until both are joined again, and rings a colleague who is asked.

The operator's phone is put down meanwhile: the caller goes to the colleague who has been asked, if they have lifted theirs, or back to
the queue. A colleague whose operator has gone waits here too, to be joined to the caller.
"""

from __future__ import annotations

import asyncio

import structlog

from broker.domain import ConversationId, OperatorId, Status
from broker.events import ConsultEnded, TalkEnded
from channels.phone import ledger
from channels.phone.fastagi import Leg
from channels.phone.ledger import Legs, Look, Stands
from channels.phone.office import TALK_SECONDS, Office, Watch, dialled_as, how_it_ended
from channels.phone.talks import PARKED

log = structlog.get_logger(__name__)

CONSULTED = "omniline-consulted"
"""The dialplan's context that a colleague's lifted phone goes through."""


class Desk:
    """The leg while this process looks after it."""

    def __init__(self, office: Office, leg: Leg, slug: str, call: ConversationId, uniqueid: str, changed: asyncio.Event) -> None:
        """*uniqueid* is what the exchange names the caller's channel."""
        self._office = office
        self._leg = leg
        self._slug = slug
        self._call = call
        self._uniqueid = uniqueid
        self._watch = Watch(leg, changed)
        self._mine = leg.header["agi_channel"]
        self._parked = 0
        """The hold during which this leg waits."""

    async def run(self) -> None:
        """Wait until the leg is joined to the caller, or has nothing more to wait for."""
        leg, watch = self._leg, self._watch
        while not leg.hungup.is_set():
            watch.changed.clear()
            look = await self._office.look(self._call)
            if look is None:
                await watch.wait()
                continue
            now, legs = look.stands, look.legs
            if now is None or legs.ended or now.status is not Status.ACTIVE:
                return
            if self._is_operator(now, legs):
                self._parked = legs.parked or self._parked
                if now.held and now.consulted is not None and now.consult_no > legs.consult_rung:
                    await self._ask(now, now.consulted)
                    continue
                if now.held and now.consulted is not None:
                    # They were rung, or about to be, by whoever was here before us; that is over, or this leg would be busy with it.
                    await self._tell_end(now.consult_no, now.consulted, await how_it_ended(leg))
            elif not self._is_colleague(now, legs):
                return
            await watch.wait()
        await self._put_down()

    def _is_operator(self, now: Stands, legs: Legs) -> bool:
        return self._mine == legs.talk and now.operator_id == legs.operator_id

    def _is_colleague(self, now: Stands, legs: Legs) -> bool:
        return self._mine == legs.consult and (now.consulted is not None or now.operator_id != legs.operator_id)

    async def _put_down(self) -> None:
        """Enter that the operator's phone was put down: not that the leg was joined to the caller, which ends us too."""
        office, call = self._office, self._call
        look = await office.look(call)
        now = look.stands if look is not None else None
        if look is None or now is None or not self._parked or look.legs.parked != self._parked:
            return
        if now.held and self._is_operator(now, look.legs) and (me := now.operator_id) is not None:
            await office.tell(call, f"down:{self._parked}", lambda at: TalkEnded(at, me))

    async def _ask(self, now: Stands, colleague: OperatorId) -> None:
        """Ring the colleague's phone, and wait until they have spoken, or have not lifted it."""
        office, leg, call, number = self._office, self._leg, self._call, now.consult_no
        if not await office.patiently(lambda: office.write(lambda tx: ledger.ask(tx, call, number)), leg):
            return
        phones = office.people((colleague,))
        how = "unreachable"
        if phones:
            lifted = "^".join((CONSULTED, self._slug, self._uniqueid, str(number)))
            seconds = office.lines()[now.line_id].settings.calls.ring_seconds
            # F: a colleague whose operator puts down the phone waits for the caller.
            options = f"gU({lifted})F({PARKED}^s^1)"

            async def look_at_it() -> None:
                look = await office.look(call)
                if look is not None and not _is_wanted(look, colleague):
                    await office.stop_ringing(leg.header["agi_uniqueid"], {dialled_as(phones[0][1]): colleague}, ())
                    await office.hang_up(look.legs.consult)

            dials = leg.app("Dial", phones[0][1], seconds, options, seconds=seconds + TALK_SECONDS)
            if await self._watch.during(dials, look_at_it) < 0:
                await self._watch.gone()  # the operator's phone was put down
                return
            how = await how_it_ended(leg)
        await self._tell_end(number, colleague, how)

    async def _tell_end(self, number: int, colleague: OperatorId, how: str) -> None:
        await self._office.tell(self._call, f"asked:{number}", lambda at: ConsultEnded(at, colleague, how), self._leg)


def _is_wanted(look: Look, colleague: OperatorId) -> bool:
    """Return whether the colleague is still asked, or has the call by now."""
    now = look.stands
    return now is not None and now.status is Status.ACTIVE and colleague in (now.consulted, now.operator_id)


__all__ = ["Desk"]
