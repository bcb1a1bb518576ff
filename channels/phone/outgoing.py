"""Calls that we make: an operator's phone is rung first, and when it is lifted the customer's.

    Outgoing.run     rings the phones of those to whom such a call is offered, and stops them when it is not theirs any more
    Outgoing.called  the leg of the operator who has lifted theirs, from there until the customer answers

Once the customer has answered, theirs is the leg that is followed (following.py), as if they had called us; and it is joined to the
operator's, which waits (desk.py). What is rung is done once: the table of calls says so before it is done.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from broker.domain import OperatorId, Status
from broker.errors import BadInput, Rejected, SendError, StoreError, Unavailable
from broker.events import CustomerNotReached, RingEnded, TalkEnded
from broker.ports import Tx
from channels.phone import ledger
from channels.phone.fastagi import Leg
from channels.phone.ledger import Call, Stands
from channels.phone.office import DONE, RESULT, STAGE, SWEEP_SECONDS, Office, Watch, how_it_ended, outward

log = structlog.get_logger(__name__)

KNOWN_MAX = 10_000
CALLED, JOINED = "omniline-called", "omniline-joined"
"""Where the dialplan goes on: with an operator who has lifted the phone, with both when the customer has answered."""
_CALLING = "calling"
"""STAGE of the operator's leg: the customer is called."""
_REASONS = {"3": "ran_out", "5": "busy", "1": "declined"}
"""How an operator's phone ended, by the reason of OriginateResponse (AST_CONTROL_*); what is not here could not be reached."""


class Outgoing:
    """See the module."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._changed = asyncio.Event()
        self._known: set[str] = set()
        """Calls that we make, as far as this process has heard of them: a bell about one is worth a look at once."""
        self._rung: dict[str, tuple[Call, int, OperatorId, asyncio.Task[None]]] = {}
        """Phones that ring: the channel's name -> for what, the offer, whose."""

    def wanted(self, conversation: str) -> None:
        """Hear that a call is to be made."""
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()  # they are looked at all the same, some seconds later
        self._known.add(conversation)

    def rung(self, conversation: str) -> None:
        """Hear that a session may look different: most are none of ours."""
        if conversation in self._known:
            self._changed.set()

    async def run(self) -> None:
        """Go on until cancelled."""
        try:
            while True:
                self._changed.clear()
                try:
                    await self._look()
                except StoreError as error:
                    log.warning("call_waits_for_store", problem=str(error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(SWEEP_SECONDS):
                        await self._changed.wait()
        finally:
            tasks = [task for *_, task in self._rung.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self) -> None:
        """Look at every call that we make, and do what is due. Raises StoreError."""
        channels = self._office.numbers()
        if self._office.manager is None or not channels:
            return
        await self._stop()
        for call, key in await self._office.read(lambda tx: ledger.open_out(tx, channels)):
            self._known.add(call.id)
            look = await self._office.look(call.id)
            now = look.stands if look is not None else None
            if now is None:
                continue
            if now.status is Status.OFFERED and now.offer_no > call.rung:
                await self._ring(call, key, now)
            elif now.status is Status.CLOSED:
                await self._office.write(lambda tx, id_=call.id: ledger.ended(tx, id_))  # type: ignore[misc]
                self._known.discard(call.id)

    async def _ring(self, call: Call, key: str, now: Stands) -> None:
        office = self._office
        if not await office.write(lambda tx: ledger.ring(tx, call, now.offer_no)):
            return
        phones = office.people(now.offered_to)
        without = tuple(one for one in now.offered_to if one not in {id_ for id_, _ in phones})
        if without:
            await self._tell_end(call, now.offer_no, without, "unreachable", "phoneless")
        seconds = office.lines()[now.line_id].settings.calls.ring_seconds
        for number, (operator, phone) in enumerate(phones):
            name = f"{key}.{now.offer_no}.{number}"
            task = asyncio.get_running_loop().create_task(
                self._originate(call, key, name, now.offer_no, operator, phone, max(1, seconds - 1)), name="an operator's phone"
            )
            self._rung[name] = call, now.offer_no, operator, task
            task.add_done_callback(lambda _, name=name: self._rung.pop(name, None))  # type: ignore[misc]

    async def _originate(
        self, call: Call, key: str, name: str, offer_no: int, operator: OperatorId, phone: str, seconds: int
    ) -> None:
        """Ring an operator's phone, and enter how that ended, unless it was lifted."""
        office = self._office
        try:
            if office.manager is None:
                raise Unavailable("there is no manager interface")
            answers = await office.manager.ask(
                "Originate",
                seconds=seconds + 5.0,
                Channel=phone,
                Context=CALLED,
                Exten="s",
                Priority="1",
                Timeout=str(seconds * 1_000),
                CallerID=call.number,
                ChannelId=name,
                Async="true",
                Variable=[f"__BROKER_KEY={key}", f"__BROKER_OFFER={offer_no}", f"__BROKER_LINE={self._slug(call)}"],
            )
            told = answers[-1]
            if told.get("Response") != "Failure":
                return
            how = _REASONS.get(told.get("Reason", ""), "unreachable")
        except (Unavailable, Rejected, BadInput) as error:
            log.warning("phone_not_rung", conversation_id=call.id, problem=str(error))
            how = "unreachable"
        except SendError as error:
            log.warning("phone_rung_uncertain", conversation_id=call.id, problem=str(error))
            return  # it may ring; the offer runs out if it is not lifted
        await self._tell_end(call, offer_no, (operator,), how, f"rang:{operator}")

    def _slug(self, call: Call) -> str:
        return self._office.slug_of(call.channel_id)

    async def _tell_end(self, call: Call, offer_no: int, who: tuple[OperatorId, ...], how: str, which: str) -> None:
        try:
            await self._office.tell(call.id, f"{which}:{offer_no}", lambda at: RingEnded(at, who, offer_no, how))
        except StoreError as error:
            log.error("ringing_end_not_stored", conversation_id=call.id, problem=str(error))

    async def _stop(self) -> None:
        """Stop the phones that ring for a call and are not to any more."""
        for name, (call, offer_no, operator, _) in list(self._rung.items()):
            look = await self._office.look(call.id)
            now = look.stands if look is not None else None
            if now is None:
                continue
            rings = now.status is Status.OFFERED and now.offer_no == offer_no and operator in now.offered_to
            if not rings and not (now.status is Status.ACTIVE and now.operator_id == operator):
                await self._office.hang_up(name)

    # --- the phone was lifted

    async def called(self, leg: Leg) -> None:
        """Call the customer, for the operator whose leg this is."""
        office, query, phone = self._office, leg.header.query, leg.header["agi_channel"]
        key, offer_no = query.get("key", ""), int(told) if (told := query.get("offer", "")).isdecimal() else 0

        def lifted(tx: Tx) -> tuple[Call, OperatorId] | None:
            call = ledger.find(tx, office.numbers(), key)
            operator = office.whose(tx, call, offer_no, phone) if call is not None else None
            if call is None or operator is None or call.ended_at is not None:
                return None
            office.lifted(tx, call, operator, offer_no, phone)
            return (call, operator) if ledger.lifted_out(tx, call.id, operator, phone) else None

        found = await office.patiently(lambda: office.write(lifted), leg)
        if found is None:
            log.warning("nobody_to_call", phone=phone, call=key)
        else:
            with structlog.contextvars.bound_contextvars(conversation_id=found[0].id), office.watching(found[0].id) as changed:
                if await self._call_customer(leg, Watch(leg, changed), *found):
                    return  # the dialplan goes on with both
        if not leg.closed and not leg.hungup.is_set():
            await leg.set_variable(RESULT, DONE)

    async def _call_customer(self, leg: Leg, watch: Watch, call: Call, operator: OperatorId) -> bool:
        """Return whether the customer has answered."""
        office = self._office

        async def look_at_it() -> None:
            look = await office.look(call.id)
            now = look.stands if look is not None else None
            if now is not None and (now.status is Status.CLOSED or (now.status is Status.ACTIVE and now.operator_id != operator)):
                await office.hang_up(leg.header["agi_channel"])

        result = 0
        if await leg.variable(STAGE) != _CALLING:
            await leg.set_variable(STAGE, _CALLING)
            seconds = office.settings_of(call.channel_id).customer_seconds
            dials = leg.app("Dial", outward(call.number), seconds, f"G({JOINED}^s^1)", seconds=seconds + 30.0)
            result = await watch.during(dials, look_at_it)
        # (Else somebody who is gone had them called; how that ended Asterisk knows.)
        how = "gone" if result < 0 else await how_it_ended(leg)
        if how == "talked":
            self._known.discard(call.id)
            return True

        def ended(tx: Tx) -> None:
            ledger.not_reached(tx, call.id)
            name = f"tried:{leg.header['agi_uniqueid']}"
            if how == "gone":
                office.enter(tx, call.id, name, lambda at: TalkEnded(at, operator))
            else:
                office.enter(tx, call.id, name, lambda at: CustomerNotReached(at, how))

        await office.patiently(lambda: office.write(ended))
        return False


__all__ = ["Outgoing"]
