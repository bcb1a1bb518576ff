"""Talks, worked on from outside: caller and operator are taken apart, an operator's phone is put down, a supervisor's rings to listen.

While they talk Asterisk does nothing that AGI could tell it: what a talk's session asks for is done by the manager interface. Each of
it is done once, by whichever process sees it first: the table of calls says so before it is done.

Phones may pass a talk on among themselves (an attended transfer): the manager interface tells, and the session follows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from broker.domain import ConversationId, OperatorId, Status, UnansweredCalls
from broker.errors import BadInput, Rejected, SendError, StoreError, Unavailable
from broker.events import HoldFailed, ListenEnded, TalkMoved
from broker.ports import Tx
from channels.phone import ledger
from channels.phone.ledger import Legs, Stands
from channels.phone.office import GONE_SECONDS, Office, dialled_as

log = structlog.get_logger(__name__)

LISTEN_SECONDS = 30
"""So long a supervisor's phone rings."""
HELD, PARKED, LISTENING = "held", "omniline-parked", "omniline-listening"
"""Where the dialplan goes on: with a caller on hold, with their operator, with a supervisor who has lifted the phone to listen."""
_SIDES = ("Transferee", "TransferTarget")
"""Of an AttendedTransfer: who is passed on, and to whom; which of them is our caller hangs on whom the phone has called first."""
_HOW = {"listen": "qdES", "whisper": "qdESw", "barge": "qdESB"}
"""ChanSpy's options. q: without a beep, d: keys 4, 5, 6 change between the three, E: it ends with the operator's channel, S: also when that
is gone before it begins."""


class Talks:
    """See the module."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._known: set[ConversationId] = set()
        """Calls that were answered, as far as this process knows of them."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._parting: dict[ConversationId, float] = {}
        """Since when a caller on hold is seen joined still."""

    async def close(self) -> None:
        """Let go of phones that are being rung."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def learn(self) -> None:
        """Learn which calls there are that were answered before: whoever looked after them may be gone. Raises StoreError."""
        channels = self._office.numbers()
        talks = await self._office.read(lambda tx: ledger.talking(tx, channels))
        self._known |= set(talks)
        for call in talks:
            # What was wanted meanwhile rings no bell any more.
            await self.put_right(call)

    def begins(self, call: ConversationId) -> None:
        """Look after the call from now on."""
        self._known.add(call)

    def ends(self, call: ConversationId) -> None:
        """Look after it no more."""
        self._known.discard(call)
        self._parting.pop(call, None)

    def knows(self, call: str) -> bool:
        """Return whether the call is looked after here."""
        return call in self._known

    async def put_right(self, call: ConversationId, *, joined: bool = False) -> None:
        """Do to the talk what its session asks for and has not been done. *joined*: caller and operator are, as their leg knows."""
        with structlog.contextvars.bound_contextvars(conversation_id=call):
            await self._put_right(call, joined=joined)

    async def _put_right(self, call: ConversationId, *, joined: bool) -> None:
        look = await self._office.look(call)
        now = look.stands if look is not None else None
        if look is None or now is None:
            return
        legs = look.legs
        if legs.ended:
            self.ends(call)
        elif now.status is Status.ACTIVE:
            if not now.held or not legs.parked:
                self._parting.pop(call, None)
            if now.held and now.operator_id == legs.operator_id and (not legs.parked or (joined and self._is_late(call))):
                await self._part(call, legs)
            if now.listens is not None and now.listen_no > legs.listened:
                # It lasts for as long as the phone rings.
                task = asyncio.get_running_loop().create_task(self._let_hear(call, now, legs), name="a supervisor's phone")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        elif now.status is Status.CLOSED and not now.elsewhere:
            if legs.talks:
                await self._office.hang_up(legs.caller)
        elif (
            # (Who has just lifted the phone talks before that is decided.)
            legs.talks
            and look.decided
            and (now.status is not Status.CLOSED or now.elsewhere == UnansweredCalls.FORWARD)
            and await self._is_of_call(legs)
        ):
            # It was passed on: the caller stays.
            await self._office.hang_up(legs.talk)

    def _is_late(self, call: ConversationId) -> bool:
        """Return whether those who are joined still should have been taken apart for a while: whoever was to do it is gone."""
        now = asyncio.get_running_loop().time()
        return now - self._parting.setdefault(call, now) > GONE_SECONDS

    async def is_gone(self, phone: str) -> bool:
        """Return whether the exchange says that there is no such channel; when it cannot be asked nobody knows."""
        manager = self._office.manager
        if manager is None:
            return False
        try:
            await manager.ask("Getvar", Channel=phone, Variable="BROKER_CALL")
        except Rejected:
            return True
        except (SendError, BadInput):
            pass
        return False

    async def _is_of_call(self, legs: Legs) -> bool:
        """Return whether the operator's channel is this call's still: an exchange that was started again gives its name to another's."""
        manager = self._office.manager
        if manager is None or not legs.talk:
            return False
        try:
            (answer,) = await manager.ask("Getvar", Channel=legs.talk, Variable="BROKER_CALL")
        except SendError as error:
            log.warning("phone_not_stopped", phone=legs.talk, problem=str(error))
            return False
        # (Whoever has the call by a transfer of phones among themselves has no such variable.)
        return answer.get("Value", "") in ("", legs.name)

    async def _part(self, call: ConversationId, legs: Legs) -> None:
        """Let the caller hear music and the operator wait."""
        office = self._office
        try:
            if not await office.write(lambda tx: ledger.park(tx, call)) and not legs.parked:
                return
            self._parting.pop(call, None)
            if office.manager is None or not legs.talk:
                raise Unavailable("there is no manager interface")
            if not await self._is_of_call(legs):
                raise Unavailable("the exchange knows the call no more")
            await office.manager.ask(
                "Redirect",
                Channel=legs.caller,
                Context="omniline",
                Exten=HELD,
                Priority="1",
                ExtraChannel=legs.talk,
                ExtraContext=PARKED,
                ExtraExten="s",
                ExtraPriority="1",
            )
        except (Unavailable, Rejected, BadInput) as error:
            log.error("call_not_put_on_hold", conversation_id=call, problem=str(error))
            words = f"the call could not be put on hold: {error}"

            def failed(tx: Tx) -> None:
                ledger.unpark(tx, call)
                ledger.keep_problem(tx, call, words)
                office.enter(tx, call, f"hold:{tx.new_id()}", HoldFailed)

            await office.patiently(lambda: office.write(failed))
        except (SendError, StoreError) as error:
            log.warning("call_on_hold_uncertain", conversation_id=call, problem=str(error))

    async def _let_hear(self, call: ConversationId, now: Stands, legs: Legs) -> None:
        """Ring the phone of whoever wants to hear the talk."""
        office, who, number = self._office, now.listens, now.listen_no
        assert who is not None
        try:
            if not await office.write(lambda tx: ledger.listen(tx, call, number)):
                return
            phones = office.people((who,))
            if office.manager is None or not phones or not await self._is_of_call(legs):
                raise Unavailable("there is no manager interface, or no phone to ring")
            answers = await office.manager.ask(
                "Originate",
                Channel=phones[0][1],
                Context=LISTENING,
                Exten="s",
                Priority="1",
                Timeout=str(LISTEN_SECONDS * 1_000),
                Async="true",
                Variable=[
                    f"BROKER_HEARD={legs.talk}",
                    f"BROKER_HOW={_HOW.get(now.listens_how, _HOW['listen'])}",
                    f"BROKER_ID={call}",
                    f"BROKER_WHO={who}",
                ],
                seconds=LISTEN_SECONDS + 5.0,
            )
            if answers[-1].get("Response") == "Failure":
                raise Rejected("the phone was not lifted")
        except (SendError, BadInput) as error:
            log.warning("listening_not_begun", conversation_id=call, problem=str(error))
            await office.tell(call, f"unheard:{number}", lambda at: ListenEnded(at, who))
        except StoreError as error:
            log.warning("call_waits_for_store", problem=str(error))

    async def moved(self, event: Mapping[str, str]) -> None:
        """Take an AttendedTransfer: whoever speaks with our caller now has the call."""
        if event.get("Result") not in (None, "Success"):
            return
        told = [[event.get(f"{side}{what}", "") for what in ("Uniqueid", "Channel", "CallerIDNum")] for side in _SIDES]
        office = self._office

        # Every process that listens hears of it.
        name = f"moved:{event.get('OrigTransfererUniqueid', '')}:{event.get('SecondTransfererUniqueid', '')}"

        def follow(tx: Tx) -> None:
            for (uniqueid, *_), (_, phone, number) in (told, told[::-1]):
                call = ledger.find(tx, office.numbers(), uniqueid) if uniqueid and phone else None
                if call is None and uniqueid:
                    call = ledger.find_out(tx, office.numbers(), uniqueid)
                if call is not None and call.ended_at is None:
                    self._follow(tx, call.id, name, phone, number)
                    return

        try:
            await office.patiently(lambda: office.write(follow))
        except StoreError as error:
            log.error("passing_on_not_stored", problem=str(error))

    def _follow(self, tx: Tx, call: ConversationId, name: str, phone: str, number: str) -> None:
        operator: OperatorId | None = self._office.operator_at(phone)
        outside = dialled_as(phone).partition("/")[2] if phone.startswith("Local/") else number
        number = "" if operator is not None else "".join(sign for sign in outside if sign in "+*#0123456789")[:40]
        if self._office.enter(tx, call, name, lambda at: TalkMoved(at, operator, number)):
            ledger.join(tx, call, operator, phone)


__all__ = ["Talks"]
