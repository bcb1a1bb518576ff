"""What every connection of a call needs: the store, who has which phone, and what can be asked of the exchange beside AGI.

    following.py   the caller's leg, from its first to its last moment
    desk.py        an operator's leg while their caller is on hold
    talks.py       what is done to a talk from outside: taken apart, ended, listened to

A process that goes on with a call that another has left knows what the table of calls says, and no more.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import structlog

from broker.domain import CallSettings, ChannelId, ConversationId, Directory, Line, LineId, OperatorId
from broker.errors import SendError, StoreError
from broker.events import Event, RingAnswered
from broker.inbound import enter, points
from broker.ports import Store, Tx
from channels.phone import ledger, sounds
from channels.phone.adapter import KIND_NAME
from channels.phone.fastagi import Leg
from channels.phone.ledger import Call, Look

if TYPE_CHECKING:
    from collections.abc import Iterator

log = structlog.get_logger(__name__)

T = TypeVar("T")

SWEEP_SECONDS = 5.0
"""A call looks at its session again after so long, whether a bell has rung or not."""
STORE_RETRY_SECONDS = 0.5
GONE_SECONDS = 5.0
TALK_SECONDS = 86_400.0
"""No talk is longer; Asterisk answers when it is over."""
OUTWARD = "omniline-outward"
"""The dialplan's context that calls numbers outside."""
RESULT, STAGE, TOLD = "BROKER_RESULT", "BROKER_STAGE", "BROKER_TOLD"
"""Variables of a channel: what the dialplan reads when we have ended, what we were at, and that we have kept what it told us."""
DONE, UNKNOWN, FAILED = "done", "unknown", "failed"
"""BROKER_RESULT. done: hang up. unknown: there is no such line here. failed: nothing could be stored. Empty: we have died; ask again."""
_CHANNEL_NUMBER = re.compile(r"-[0-9a-f]{8}$")
"""What Asterisk adds to an endpoint to name a channel."""
_ENDS = {"BUSY": "busy", "NOANSWER": "ran_out", "DONTCALL": "declined", "TORTURE": "declined"}
"""How a phone that was not lifted ended, by DIALSTATUS; what is not here could not be reached."""
_DECLINED = ("CHANUNAVAIL", "21")
"""DIALSTATUS and HANGUPCAUSE of a phone on which somebody pressed the red button."""


@dataclass(frozen=True, slots=True)
class Folders:
    """Where recordings are: *here*, as this process reads them, and *there*, as Asterisk writes them."""

    here: Path
    there: str
    sounds_there: str = ""
    """Where the sounds of ours are, as Asterisk reads them."""


class Asks(Protocol):
    """What is needed of the manager interface (ami.py)."""

    async def ask(self, action: str, seconds: float = ..., **keys: str | Sequence[str]) -> Sequence[Mapping[str, str]]:
        """Have *action* done. Raises SendError."""


class Office:
    """See the module. *folders* is where recordings are."""

    def __init__(self, store: Store, directory: Callable[[], Directory], folders: Folders) -> None:
        self._store = store
        self._directory = directory
        self.folders = folders
        self.manager: Asks | None = None
        """By which phones are stopped that ring for nothing any more; without it they ring to the end of their time."""
        self._ringing: dict[str, set[str]] = {}
        """The channels of phones that ring, by the uniqueid of the call that rings them."""
        self._rings: dict[str, asyncio.Event] = {}
        """Of the calls for which phones are rung here, by uniqueid: set when one begins to."""
        self._watched: dict[str, list[asyncio.Event]] = {}
        """Of the calls that have a connection here: set when one of them looks different."""

    # --- the store

    def read(self, work: Callable[[Tx], T]) -> Awaitable[T]:
        """See `Store.read`."""
        return self._store.read(work)

    def write(self, work: Callable[[Tx], T]) -> Awaitable[T]:
        """See `Store.write`."""
        return self._store.write(work)

    async def patiently(self, ask: Callable[[], Awaitable[T]], leg: Leg | None = None, tries: int = 10) -> T:
        """Ask the store until it answers, at most *tries* times, and of a *leg* for as long as its caller is there. Raises StoreError."""
        while True:
            try:
                return await ask()
            except StoreError as error:
                tries -= 1
                if not tries or (leg is not None and leg.hungup.is_set()):
                    raise
                log.warning("call_waits_for_store", problem=str(error))
                await asyncio.sleep(STORE_RETRY_SECONDS)

    async def look(self, call: ConversationId) -> Look | None:
        """Return how the call stands; None when that cannot be known now."""
        try:
            return await self.read(lambda tx: ledger.look(tx, call))
        except StoreError as error:
            log.warning("call_waits_for_store", problem=str(error))
            return None

    def enter(self, tx: Tx, call: ConversationId, name: str, make: Callable[[datetime], Event]) -> bool:
        """Enter what has happened to the call; a second time under the same *name* it is nothing, and False."""
        return enter(tx, KIND_NAME, f"{call}:{name}", call, make).fresh

    async def tell(self, call: ConversationId, name: str, make: Callable[[datetime], Event], leg: Leg | None = None) -> None:
        """Enter what has happened, in a transaction of its own. Raises StoreError."""
        await self.patiently(lambda: self.write(lambda tx: self.enter(tx, call, name, make)), leg)

    def lifted(self, tx: Tx, call: Call, operator: OperatorId, offer_no: int, phone: str) -> None:
        """Enter that *operator* has lifted the phone that rang for the offer; told a second time it is nothing."""
        if self.enter(tx, call.id, f"lifted:{offer_no}:{operator}", lambda at: RingAnswered(at, operator)):
            ledger.talk(tx, call.id, operator, phone)

    # --- whom we call

    def may_call(self, number: str) -> bool:
        """Return whether a caller may have themselves called back at *number*: anybody's exchange can say any number, and we pay."""
        return bool(number) and not (number.startswith("+") and points.is_costly(number))

    # --- what is heard

    def played(self, sound: str) -> str:
        """Return what Asterisk is to play for the *sound* of a setting; empty: there is none."""
        name = sounds.played(sound, self._directory(), self.folders.sounds_there)
        if sound and not name:
            log.error("sound_unknown", sound=sound)
        return name

    def music(self, settings: CallSettings) -> str:
        """Return the class of music on hold that a line's callers hear."""
        return sounds.music_class(settings.music, self._directory())

    # --- who has which phone

    def whose(self, tx: Tx, call: Call, offer_no: int, phone: str) -> OperatorId | None:
        """Return whose *phone*, a channel of Asterisk's, was lifted: of those to whom the call was offered."""
        offered = ledger.offered(tx, call.id, offer_no)
        phones = {dialled_as(dialled): operator for operator, dialled in reversed(self.people(offered))}
        return phones.get(dialled_as(phone)) or (offered[0] if len(offered) == 1 else None)

    def people(self, who: Sequence[OperatorId]) -> list[tuple[OperatorId, str]]:
        """Return those of *who* that have a phone, and what is dialled for it."""
        operators = self._directory().operators
        return [(id_, _dialled(one.phone)) for id_ in who if (one := operators.get(id_)) is not None and one.phone]

    def operator_at(self, phone: str) -> OperatorId | None:
        """Return whose *phone*, a channel or an endpoint of Asterisk's, is; None: nobody's."""
        known = dialled_as(phone)
        operators = self._directory().operators.values()
        return next((one.id for one in operators if one.active and one.phone and dialled_as(_dialled(one.phone)) == known), None)

    def numbers(self) -> list[ChannelId]:
        """Return every number of the house, switched off ones too: calls may be under way."""
        return [row.id for row in self._directory().channels.values() if row.kind == KIND_NAME]

    def slug_of(self, channel: ChannelId) -> str:
        """Return the short name of a number of the house."""
        return self._directory().channels[channel].slug

    def settings_of(self, channel: ChannelId) -> CallSettings:
        """Return what the line of a number of the house does with calls."""
        directory = self._directory()
        return directory.lines[directory.channels[channel].line_id].settings.calls

    def lines(self) -> Mapping[LineId, Line]:
        """Return the lines as they are now."""
        return self._directory().lines

    # --- the exchange, beside AGI

    async def stop_ringing(self, uniqueid: str, phones: Mapping[str, OperatorId], but: Sequence[OperatorId]) -> None:
        """Stop those of *phones* (what was dialled -> whose it is) that ring for the call *uniqueid*, but those of *but*."""
        for phone in sorted(self._ringing.get(uniqueid, ())):
            whose = phones.get(dialled_as(phone))
            if whose is not None and whose not in but:
                await self.hang_up(phone)

    async def hang_up(self, phone: str) -> None:
        """End a channel of Asterisk's; without the manager interface nothing happens."""
        if self.manager is not None and phone:
            try:
                await self.manager.ask("Hangup", Channel=phone, Cause="16")
            except SendError as error:
                log.warning("phone_not_stopped", phone=phone, problem=str(error))

    def hear_phones(self, event: Mapping[str, str]) -> None:
        """Take what the manager interface tells of phones that ring."""
        uniqueid, phone = event.get("Uniqueid", ""), event.get("DestChannel", "")
        match event.get("Event"):
            case "DialBegin" if uniqueid and phone:
                self._ringing.setdefault(uniqueid, set()).add(phone)
                if (changed := self._rings.get(uniqueid)) is not None:
                    changed.set()  # it may have been taken from whose phone that is before it rang
            case "DialEnd":
                self._ringing.get(uniqueid, set()).discard(phone)
            case "Hangup":
                self._ringing.pop(uniqueid, None)

    @contextmanager
    def ringing(self, uniqueid: str, changed: asyncio.Event) -> Iterator[None]:
        """Have *changed* set whenever a phone begins to ring for the call."""
        self._rings[uniqueid] = changed
        try:
            yield
        finally:
            if self._rings.get(uniqueid) is changed:  # else another connection has the call by now
                del self._rings[uniqueid]

    def forget_phones(self) -> None:
        """Forget which phones ring: the manager interface was away, and has told nothing meanwhile."""
        self._ringing.clear()

    # --- what changes

    @contextmanager
    def watching(self, call: ConversationId) -> Iterator[asyncio.Event]:
        """Return what is set whenever the call's session may look different."""
        changed = asyncio.Event()
        watchers = self._watched.setdefault(call, [])
        watchers.append(changed)
        try:
            yield changed
        finally:
            watchers.remove(changed)
            if not watchers:
                del self._watched[call]

    def rung(self, call: str) -> bool:
        """Tell whoever watches the call that it may look different; return whether anybody does."""
        watchers = self._watched.get(call, ())
        for changed in watchers:
            changed.set()
        return bool(watchers)

    def watched(self, call: str) -> bool:
        """Return whether the call has a connection here: then the exchange knows it."""
        return call in self._watched


class Watch:
    """Waits on a leg for what changes about its call."""

    __slots__ = ("changed", "leg")

    def __init__(self, leg: Leg, changed: asyncio.Event) -> None:
        self.leg = leg
        self.changed = changed
        leg.wake(changed)

    async def wait(self, seconds: float = SWEEP_SECONDS) -> None:
        """Wait until the session looks different, the leg is hung up, or for *seconds*."""
        # Hundreds of callers wait at a time: no task for each.
        if not self.leg.hungup.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.changed.wait()

    async def gone(self) -> bool:
        """Wait until Asterisk says that the leg is hung up, or taken elsewhere, which it does behind an answer; False: it does not."""
        with suppress(TimeoutError):
            async with asyncio.timeout(GONE_SECONDS):
                await self.leg.hungup.wait()
        return self.leg.hungup.is_set()

    async def during(self, dials: Awaitable[T], look: Callable[[], Awaitable[None]]) -> T:
        """Wait until *dials* has ended, and have a *look* whenever the session may look different until then."""
        dial = asyncio.ensure_future(dials)
        try:
            while not dial.done():
                self.changed.clear()
                await look()
                changed = asyncio.ensure_future(self.changed.wait())
                await asyncio.wait({dial, changed}, timeout=SWEEP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
            return await dial
        finally:
            dial.cancel()


async def how_it_ended(leg: Leg) -> str:
    """Return how what the leg has dialled ended: talked, or as of RingEnded."""
    status, cause = await leg.variable("DIALSTATUS"), await leg.variable("HANGUPCAUSE")
    if status == "ANSWER":
        return "talked"
    return "declined" if (status, cause) == _DECLINED else _ENDS.get(status, "unreachable")


def dialled_as(phone: str) -> str:
    """Return what a phone is known by, dialled or as Asterisk names its channel: `pjsip/101` of PJSIP/101-00000002."""
    known = phone.partition("@")[0] if phone.startswith("Local/") else _CHANNEL_NUMBER.sub("", phone)
    return known.lower()


def _dialled(phone: str) -> str:
    """Return what Dial takes for a phone: an endpoint as it is, a number by way of the dialplan's context for outside."""
    return phone if "/" in phone else outward(phone)


def outward(number: str) -> str:
    """Return what Dial takes for a number outside."""
    return f"Local/{number}@{OUTWARD}/n"


__all__ = ["Asks", "Folders", "Office", "Watch", "dialled_as", "how_it_ended", "outward"]
