"""The switchboard: tells Asterisk what to do with each call, by what its session says.

    agi://…/{line}            a call: stored, then followed to its end
    agi://…/{line}/answered   an operator's phone was lifted
    agi://…/{line}/end        the exchange knows the call no more

A call's connection does not decide anything. It looks at the session and does what is true now:

    queued      greet once, play music, say the place in the queue
    offered     ring the phones of those to whom it is offered; how that ends is entered
    active      they talk: Asterisk is busy with it, and answers when they have hung up
    closed      voicemail, forward, or the end; after a talk the caller may rate it

So a process that is started again, or another one, goes on where the call stands. What has been done is in the table of calls
(ledger.py) before it is done, and on the channel itself (STAGE), which outlives us.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from broker import metrics
from broker.domain import ChannelId, Directory, Line, LineId, OperatorId, Status, UnansweredCalls
from broker.errors import BadInput, SendError, StoreError
from broker.events import CallEnded, CallRated, Event, RingAnswered, RingEnded, VoicemailLeft
from broker.inbound import accept, enter, prepare
from broker.ports import Bell, Channel, Store, Transport, Tx
from channels.phone import ledger
from channels.phone.adapter import KIND_NAME, PhoneChannel, came, raw_of, settings_of
from channels.phone.agi import Command
from channels.phone.fastagi import Leg
from channels.phone.ledger import Call, Look, Stands

log = structlog.get_logger(__name__)

T = TypeVar("T")

SWEEP_SECONDS = 5.0
"""A call looks at its session again after so long, whether a bell has rung or not."""
RING_AT_ONCE_SECONDS = 1.0
"""So long a caller is not answered: a phone that rings by then rings for them as if they had called it."""
STORE_RETRY_SECONDS = 0.5
TALK_SECONDS = 86_400.0
"""No talk is longer; Asterisk answers when it is over."""
SOUND_SECONDS = 120.0
"""No greeting is longer."""
RATE_SECONDS = 5
FORWARD_SECONDS = 60
VOICEMAIL_SILENCE_SECONDS = 4
WAV_HEADER_BYTES, WAV_BYTES_PER_SECOND = 44, 16_000
OUTWARD = "omniline-outward"
"""The dialplan's context that calls numbers outside."""
ANSWERED = "omniline-answered"
"""The one that a lifted phone goes through."""
RESULT, STAGE, TOLD = "BROKER_RESULT", "BROKER_STAGE", "BROKER_TOLD"
"""Variables of a channel: what the dialplan reads when we have ended, what we were at, and that we have kept what it told us."""
DONE, UNKNOWN, FAILED = "done", "unknown", "failed"
"""BROKER_RESULT. done: hang up. unknown: there is no such line here. failed: nothing could be stored. Empty: we have died; ask again."""
_RINGING, _WAITING, _FORWARDED = "ring", "wait", "forwarded"
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


class Asks(Protocol):
    """What the switchboard needs of the manager interface (ami.py)."""

    async def ask(self, action: str, seconds: float = ..., **keys: str | Sequence[str]) -> Sequence[Mapping[str, str]]:
        """Have *action* done. Raises SendError."""


class Switchboard:
    """See the module; `handle` serves one connection of Asterisk's, `hear` takes what its manager interface tells."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        directory: Callable[[], Directory],
        channel: Callable[[ChannelId], Channel | None],
        folders: Folders,
        *,
        process_id: str,
    ) -> None:
        self._store = store
        self._transport = transport
        self._directory = directory
        self._channel = channel
        self._folders = folders
        self._process_id = process_id
        self.manager: Asks | None = None
        """By which phones are stopped that ring for nothing any more; without it they ring to the end of their time."""
        self._ringing: dict[str, set[str]] = {}
        """The channels of phones that ring, by the uniqueid of the call."""
        self._followed: dict[str, list[asyncio.Event]] = {}
        """Of the calls that are followed here: set when one of them looks different."""
        self._stop = transport.listen(Bell.SESSION, self._rung)

    def close(self) -> None:
        """Listen no more."""
        self._stop()

    def _rung(self, conversation: str) -> None:
        for changed in self._followed.get(conversation, ()):
            changed.set()

    def hear(self, event: Mapping[str, str]) -> None:
        """Take an event of the manager interface: which phones begin to ring, and which have ended."""
        uniqueid, phone = event.get("Uniqueid", ""), event.get("DestChannel", "")
        match event.get("Event"):
            case "DialBegin" if uniqueid and phone:
                self._ringing.setdefault(uniqueid, set()).add(phone)
            case "DialEnd":
                self._ringing.get(uniqueid, set()).discard(phone)
            case "Hangup":
                self._ringing.pop(uniqueid, None)

    async def forget(self) -> None:
        """Forget which phones ring: the manager interface was away, and has told nothing meanwhile."""
        self._ringing.clear()

    def follows(self, conversation: str) -> bool:
        """Return whether the call has a connection here: then the exchange knows it."""
        return conversation in self._followed

    async def stop_ringing(self, uniqueid: str, phones: Mapping[str, OperatorId], but: Sequence[OperatorId]) -> None:
        """Stop those of *phones* (what was dialled -> whose it is) that ring for the call *uniqueid*, but those of *but*."""
        for phone in sorted(self._ringing.get(uniqueid, ())):
            whose = phones.get(_dialled_as(phone))
            if whose is not None and whose not in but:
                await self.hang_up(phone)

    async def hang_up(self, phone: str) -> None:
        """End a channel of Asterisk's; without the manager interface nothing happens."""
        if self.manager is not None:
            try:
                await self.manager.ask("Hangup", Channel=phone, Cause="16")
            except SendError as error:
                log.warning("phone_not_stopped", phone=phone, problem=str(error))

    async def handle(self, leg: Leg) -> None:
        """Serve one connection."""
        slug, _, what = leg.header.path.partition("/")
        match what:
            case "answered":
                await self._answered(leg)
            case "end":
                await self._ended(leg)
            case "" if (channel := self._of(slug, leg.header.query.get("did", ""))) is not None:
                await self._call(leg, channel)
            case _:
                log.warning("call_to_unknown_line", path=leg.header.path)
                metrics.calls_total.labels("unknown").inc()
                await self._say_result(leg, UNKNOWN)

    def _of(self, slug: str, called: str) -> PhoneChannel | None:
        """Return the channel that a call to *slug*, a channel or a line, belongs to; of several that which has the number *called*."""
        directory = self._directory()
        rows = sorted(
            (row for row in directory.channels.values() if row.kind == KIND_NAME and row.active), key=lambda row: row.slug
        )
        found = [row for row in rows if row.slug == slug]
        if not found:
            of_line = [row for row in rows if directory.lines[row.line_id].slug == slug]
            bare = called.lstrip("+")
            found = [row for row in of_line if bare and bare in {one.lstrip("+") for one in settings_of(row).numbers}] or of_line
        for row in found:
            made = self._channel(row.id)
            if isinstance(made, PhoneChannel) and directory.lines[row.line_id].active:
                return made
        return None

    # --- a call

    async def _call(self, leg: Leg, channel: PhoneChannel) -> None:
        # First of all: whoever was here before us has left it, and nothing of the call is touched before that is known.
        stage = await leg.variable(STAGE)
        call = await self._begin(leg, channel)
        if call is None:
            await self._say_result(leg, FAILED)
            return
        metrics.calls_total.labels("again" if call.attempt > 1 else "new").inc()
        if call.ended_at is not None:
            await self._say_result(leg, DONE)
            return
        changed = asyncio.Event()
        followers = self._followed.setdefault(call.id, [])
        followers.append(changed)
        result = DONE
        try:
            with structlog.contextvars.bound_contextvars(conversation_id=call.id):
                result = await _Followed(self, leg, channel, call, changed).run(stage)
        finally:
            followers.remove(changed)
            if not followers:
                del self._followed[call.id]
            with suppress(StoreError):
                await self._store.write(partial(ledger.let_go, call=call))
        if not leg.hungup.is_set():
            await self._say_result(leg, result)

    async def _begin(self, leg: Leg, channel: PhoneChannel) -> Call | None:
        """Store the call, unless it has been; return it, or None when it cannot be stored."""
        header, line = leg.header, self.line_of(channel)
        called = header.query.get("did") or header["agi_extension"]
        try:
            told = came(
                header["agi_uniqueid"],
                header.query.get("cid") or header["agi_callerid"],
                header["agi_calleridname"],
                called,
                line.settings.region,
            )
        except BadInput as error:
            log.warning("call_refused", problem=str(error))
            return None
        prepared = prepare(channel, [raw_of(told)], line.settings)

        def work(tx: Tx) -> Call | None:
            # Both or neither: a call that nobody has would wait for ever.
            (accepted,) = accept(tx, channel.id, prepared)
            if accepted.conversation_id is None:
                log.error("call_unreadable", problem=accepted.dead)
                return None
            conversation, phone = accepted.conversation_id, header["agi_channel"][:200]
            return ledger.claim(tx, conversation, channel.id, told.number, told.called, self._process_id, phone)

        try:
            return await self.patiently(lambda: self._store.write(work), leg)
        except StoreError as error:
            log.error("call_not_stored", problem=str(error))
            return None

    def line_of(self, channel: PhoneChannel) -> Line:
        """Return the channel's line."""
        return self._directory().lines[channel.line_id]

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

    async def _say_result(self, leg: Leg, result: str) -> None:
        if not leg.closed:
            await leg.set_variable(RESULT, result)

    def enter(self, tx: Tx, call: Call, name: str, make: Callable[[datetime], Event]) -> bool:
        """Enter what has happened to the call; a second time under the same *name* it is nothing, and False."""
        return enter(tx, KIND_NAME, f"{call.id}:{name}", call.id, make).fresh

    def lifted(self, tx: Tx, call: Call, operator: OperatorId, offer_no: int) -> None:
        """Enter that *operator* has lifted the phone that rang for the offer; told a second time it is nothing."""
        if self.enter(tx, call, f"lifted:{offer_no}:{operator}", lambda at: RingAnswered(at, operator)):
            ledger.talk(tx, call.id, operator)

    def whose(self, tx: Tx, call: Call, offer_no: int, phone: str) -> OperatorId | None:
        """Return whose *phone*, a channel of Asterisk's, was lifted: of those to whom the call was offered."""
        offered = ledger.offered(tx, call.id, offer_no)
        phones = {_dialled_as(dialled): operator for operator, dialled in reversed(self.people(offered))}
        return phones.get(_dialled_as(phone)) or (offered[0] if len(offered) == 1 else None)

    def numbers(self) -> list[ChannelId]:
        """Return every number of the house, switched off ones too: calls may be under way."""
        return [row.id for row in self._directory().channels.values() if row.kind == KIND_NAME]

    # --- a phone was lifted

    async def _answered(self, leg: Leg) -> None:
        query, phone = leg.header.query, leg.header["agi_channel"]
        offer_no = int(offer) if (offer := query.get("offer", "")).isdecimal() else 0

        def work(tx: Tx) -> tuple[str, str]:
            call = ledger.find(tx, self.numbers(), query.get("call", ""))
            operator = self.whose(tx, call, offer_no, phone) if call is not None else None
            if call is None or operator is None or call.ended_at is not None:
                return "", ""
            self.lifted(tx, call, operator, offer_no)
            stands = ledger.look(tx, call.id).stands
            line = self.lines().get(stands.line_id) if stands is not None else None
            if line is None or not line.settings.calls.record:
                return call.id, ""
            ledger.keep_recording(tx, call.id, f"{call.id}.wav")
            return call.id, f"{call.id}.wav"

        call_id, recording = await self.patiently(lambda: self._store.write(work))
        if not call_id:
            log.error("nobody_knows_who_answered", phone=phone, call=query.get("call"))
        if recording and (await leg.app("MixMonitor", f"{self._folders.there}/{recording}")) < 0:
            log.error("recording_not_begun", conversation_id=call_id)
        await leg.set_variable(TOLD, "yes")

    # --- the exchange knows it no more

    async def _ended(self, leg: Leg) -> None:
        uniqueid = leg.header.query.get("call") or leg.header["agi_uniqueid"]
        call = await self.patiently(lambda: self._store.read(lambda tx: ledger.find(tx, self.numbers(), uniqueid)))
        if call is not None:
            missing = bool(call.recording) and await asyncio.to_thread(self._is_missing, call.recording)

            def over(tx: Tx) -> None:
                self.enter(tx, call, "ended", CallEnded)
                ledger.ended(tx, call.id)
                if missing:
                    words = f"the talk was not recorded: is there room in {self._folders.there}, and may Asterisk write there?"
                    ledger.keep_problem(tx, call.id, words)

            await self.patiently(lambda: self._store.write(over))
            if missing:
                log.error("talk_not_recorded", conversation_id=call.id, folder=self._folders.there)
        await leg.set_variable(TOLD, "yes")

    def _is_missing(self, name: str) -> bool:
        """Return whether the recording is not in its folder, or has no sound; where the folder is not ours to see, nobody knows."""
        try:
            return (self._folders.here / name).stat().st_size <= WAV_HEADER_BYTES
        except FileNotFoundError:
            return self._folders.here.is_dir()
        except OSError:
            return True

    # --- what following a call needs

    @property
    def folders(self) -> Folders:
        """Where recordings are."""
        return self._folders

    def people(self, who: Sequence[OperatorId]) -> list[tuple[OperatorId, str]]:
        """Return those of *who* that have a phone, and what is dialled for it."""
        operators = self._directory().operators
        return [(id_, _dialled(one.phone)) for id_ in who if (one := operators.get(id_)) is not None and one.phone]

    def lines(self) -> Mapping[LineId, Line]:
        """Return the lines as they are now."""
        return self._directory().lines

    def read(self, work: Callable[[Tx], T]) -> Awaitable[T]:
        """See `Store.read`."""
        return self._store.read(work)

    def write(self, work: Callable[[Tx], T]) -> Awaitable[T]:
        """See `Store.write`."""
        return self._store.write(work)


class _Followed:
    """A call while this process tells Asterisk what to do with it."""

    def __init__(self, board: Switchboard, leg: Leg, channel: PhoneChannel, call: Call, changed: asyncio.Event) -> None:
        self._board = board
        self._leg = leg
        self._channel = channel
        self._call = call
        self._changed = changed
        self._answered = leg.header.query.get("try", "0") not in ("", "0")
        """The caller has been answered, and hears music: the dialplan does so before it asks again."""
        self._greeted = self._answered
        self._plays = False
        self._said_at = 0.0
        self._waited = False

    async def run(self, stage: str) -> str:
        """Follow the session until the call has nothing more to wait for, or its caller is gone; return what the dialplan is to do.

        *stage* is what whoever was here before us was at; empty: nobody was.
        """
        if await self._take_up(stage):
            return DONE
        leg = self._leg
        while not leg.hungup.is_set():
            self._changed.clear()
            look = await self._look()
            now = look.stands if look is not None else None
            if now is None:
                if look is not None and look.decided:
                    return FAILED  # somebody who is banned, or nobody could decide it: nobody will ever answer
                await self._wait(SWEEP_SECONDS)
                continue
            match now.status:
                case Status.QUEUED:
                    await self._queued(now)
                case Status.OFFERED if now.offer_no > self._call.rung and look is not None:
                    await self._ring(now, look.now)
                case Status.OFFERED:
                    await self._wait(SWEEP_SECONDS)  # it has rung: what became of it is being decided
                case Status.ACTIVE:
                    # Nobody talks on this leg any more, or we would not be here.
                    await self._over()
                    await self._wait(SWEEP_SECONDS)
                case _:
                    await self._elsewhere(now)
                    return DONE
        return DONE

    async def _look(self) -> Look | None:
        try:
            return await self._board.read(partial(ledger.look, conversation=self._call.id))
        except StoreError as error:
            log.warning("call_waits_for_store", problem=str(error))
            return None

    async def _wait(self, seconds: float) -> None:
        """Wait until the session looks different, the caller is gone, or for *seconds*."""
        waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(self._leg.hungup.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def _take_up(self, left: str) -> bool:
        """Learn how what went on without us has ended: phones that rang, a talk. Return whether the call is over with it."""
        stage, _, offer = left.partition(":")
        if stage == _FORWARDED:
            return True
        if stage == _RINGING and offer.isdecimal():
            look = await self._look()
            stands = look.stands if look is not None else None
            await self._rang(int(offer), stands.offered_to if stands is not None and stands.offer_no == int(offer) else ())
        return False

    async def _over(self, phone: str = "", offer_no: int = 0) -> None:
        """Enter that the talk is over, and who talked: whoever's *phone* was lifted for the offer."""
        call = self._call

        def over(tx: Tx) -> None:
            # Nobody may have been here to be told who it was.
            if phone and (operator := self._board.whose(tx, call, offer_no, phone)) is not None:
                self._board.lifted(tx, call, operator, offer_no)
            self._board.enter(tx, call, "ended", CallEnded)
            ledger.talk_ended(tx, call.id)

        await self._board.patiently(lambda: self._board.write(over), self._leg)

    # --- it waits

    async def _queued(self, now: Stands) -> None:
        settings = self._board.lines()[now.line_id].settings.calls
        if not self._greeted:
            if not settings.greeting and not self._waited:
                self._waited = True
                await self._wait(RING_AT_ONCE_SECONDS)
                return
            self._greeted = True
            await self._answer()
            if settings.greeting:
                await self._play(settings.greeting)
                return  # it may have been offered meanwhile
        if not self._plays:
            await self._answer()
            await self._leg.command("SET MUSIC", "on", settings.music)
            self._plays = True
            self._said_at = asyncio.get_running_loop().time()
        if not settings.position_seconds:
            await self._wait(SWEEP_SECONDS)
            return
        left = self._said_at + settings.position_seconds - asyncio.get_running_loop().time()
        if left > 0:
            await self._wait(min(left, SWEEP_SECONDS))
            return
        self._said_at = asyncio.get_running_loop().time()
        await self._say_position()

    async def _say_position(self) -> None:
        try:
            place = await self._board.read(partial(ledger.position, conversation=self._call.id))
        except StoreError:
            return
        if not place:
            return
        await self._silence()
        if place == 1:
            await self._play("queue-youarenext")
        else:
            await self._play("queue-thereare")
            await self._leg.command("SAY NUMBER", place, "", seconds=SOUND_SECONDS)
            await self._play("queue-callswaiting")

    async def _answer(self) -> None:
        if not self._answered:
            await self._leg.command("ANSWER")
            self._answered = True

    async def _play(self, sound: str) -> None:
        """Play a sound; one that is not there is told once and costs the caller nothing."""
        await self._silence()
        if await self._leg.command("STREAM FILE", sound, "", seconds=SOUND_SECONDS) == "-1" and not self._leg.hungup.is_set():
            log.error("sound_not_played", sound=sound)

    async def _silence(self) -> None:
        if self._plays:
            await self._leg.command("SET MUSIC", "off")
            self._plays = False

    # --- it rings

    async def _ring(self, now: Stands, at: datetime) -> None:
        board, call, leg = self._board, self._call, self._leg
        phones = board.people(now.offered_to)
        without = tuple(one for one in now.offered_to if one not in {id_ for id_, _ in phones})
        mine = await board.patiently(lambda: board.write(partial(ledger.ring, call=call, offer_no=now.offer_no)), leg)
        if not mine:
            await self._wait(SWEEP_SECONDS)  # another connection has the call: ours ends with it
            return
        self._call = replace(call, rung=now.offer_no)
        if without:
            await self._enter_end(now.offer_no, without, "unreachable", "phoneless")
        if not phones:
            return
        left = (now.offered_until - at).total_seconds() if now.offered_until is not None else 0.0
        # It ends before the offer does: what its phones said is known then, and nobody lifts one that is to be stopped.
        seconds = max(1, math.floor(left - 0.5))
        await leg.set_variable(STAGE, f"{_RINGING}:{now.offer_no}")
        settings = board.lines()[now.line_id].settings.calls
        lifted = "^".join((ANSWERED, self._channel.slug, leg.header["agi_uniqueid"], str(now.offer_no)))
        music = f"m({settings.music})" if self._answered else ""
        dialled = "&".join(one for _, one in phones)
        await self._until_lifted(
            now.offer_no,
            {_dialled_as(one): id_ for id_, one in reversed(phones)},
            leg.app("Dial", dialled, seconds, f"gU({lifted}){music}", seconds=seconds + TALK_SECONDS),
        )
        self._plays = False  # Dial's own music has ended with it
        if not leg.closed:
            await self._rang(now.offer_no, now.offered_to)

    async def _until_lifted(self, offer_no: int, phones: Mapping[str, OperatorId], dials: Coroutine[Any, Any, int]) -> None:
        """Wait until *dials* has ended; meanwhile stop the phones of those from whom the offer is taken, and a talk that is closed."""
        board, leg = self._board, self._leg
        dial = asyncio.get_running_loop().create_task(dials)
        try:
            while not dial.done():
                look = await self._look()
                now = look.stands if look is not None else None
                if now is not None and now.status is Status.CLOSED:
                    await board.hang_up(leg.header["agi_channel"])
                elif now is not None and now.status is not Status.ACTIVE and not dial.done():
                    rings = now.status is Status.OFFERED and now.offer_no == offer_no
                    await board.stop_ringing(leg.header["agi_uniqueid"], phones, now.offered_to if rings else ())
                changed = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait({dial, changed}, timeout=SWEEP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                self._changed.clear()
            await dial
        finally:
            dial.cancel()

    async def _rang(self, offer_no: int, offered_to: Sequence[OperatorId]) -> None:
        """Enter how phones that rang have ended: a talk, or nobody has lifted one."""
        leg = self._leg
        status, cause = await leg.variable("DIALSTATUS"), await leg.variable("HANGUPCAUSE")
        if status == "ANSWER":
            self._answered = True
            await self._over(await leg.variable("DIALEDPEERNAME"), offer_no)
        elif offered_to and not leg.hungup.is_set():
            # (A caller who hangs up ends all of it: the exchange says so by a connection of its own.)
            how = "declined" if (status, cause) == _DECLINED else _ENDS.get(status, "unreachable")
            await self._enter_end(offer_no, tuple(offered_to), how)
        await leg.set_variable(STAGE, _WAITING)

    async def _enter_end(self, offer_no: int, who: tuple[OperatorId, ...], how: str, which: str = "rang") -> None:
        board, call = self._board, self._call
        name = f"{which}:{offer_no}"
        await board.patiently(
            lambda: board.write(lambda tx: board.enter(tx, call, name, lambda at: RingEnded(at, who, offer_no, how))), self._leg
        )

    # --- it ends

    async def _elsewhere(self, now: Stands) -> None:
        settings = self._board.lines()[now.line_id].settings.calls
        match now.elsewhere:
            case UnansweredCalls.VOICEMAIL:
                await self._voicemail(settings.voicemail_greeting, settings.voicemail_seconds)
            case UnansweredCalls.FORWARD if settings.forward_to:
                await self._silence()
                await self._leg.set_variable(STAGE, _FORWARDED)
                number = f"Local/{settings.forward_to}@{OUTWARD}/n"
                await self._leg.app("Dial", number, FORWARD_SECONDS, "g", seconds=FORWARD_SECONDS + TALK_SECONDS)
            case "" if now.operator_id is not None and settings.rating_sound:
                await self._rate(settings.rating_sound)
            case _:
                await self._silence()

    async def _voicemail(self, greeting: str, seconds_max: int) -> None:
        board, call, leg = self._board, self._call, self._leg
        if call.voicemail and (size := await asyncio.to_thread(_size, board.folders.here / call.voicemail)) > WAV_HEADER_BYTES:
            # They have spoken already, to whoever was here before us.
            await self._left((size - WAV_HEADER_BYTES) // WAV_BYTES_PER_SECOND)
            return
        await self._answer()
        if greeting:
            await self._play(greeting)
        name = f"{call.id}.voicemail"
        await self._silence()
        # The row first: whatever happens while they speak, the file is found.
        await board.patiently(lambda: board.write(partial(ledger.keep_voicemail, conversation=call.id, name=f"{name}.wav")), leg)
        record = Command(
            "RECORD FILE",
            f"{board.folders.there}/{name}",
            "wav",
            "#",
            seconds_max * 1_000,
            "BEEP",
            f"s={VOICEMAIL_SILENCE_SECONDS}",
        )
        reply = await leg.execute(record, seconds_max + SOUND_SECONDS)
        samples = int(reply.items["endpos"].value) if "endpos" in reply.items else 0
        if samples <= 0:
            log.error("voicemail_not_recorded", folder=board.folders.there)
            words = f"what the caller said could not be recorded; may Asterisk write into {board.folders.there}?"
            await board.write(partial(ledger.keep_problem, conversation=call.id, words=words))
            return
        await self._left(round(samples / 8_000))

    async def _left(self, seconds: int) -> None:
        """Enter that the caller has spoken to the machine."""
        board, call = self._board, self._call
        spoken = max(1, seconds)

        def left(tx: Tx) -> None:
            board.enter(tx, call, "voicemail", lambda at: VoicemailLeft(at, spoken))

        await board.patiently(lambda: board.write(left))

    async def _rate(self, sound: str) -> None:
        """Ask for a key from 1 to 5, once."""
        board, call, leg = self._board, self._call, self._leg
        key = await leg.command("GET DATA", sound, RATE_SECONDS * 1_000, 1, seconds=SOUND_SECONDS)
        if key in ("1", "2", "3", "4", "5"):

            def rated(tx: Tx) -> None:
                board.enter(tx, call, "rated", lambda at: CallRated(at, int(key)))

            await board.patiently(lambda: board.write(rated), leg)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _dialled_as(phone: str) -> str:
    """Return what a phone is known by, dialled or as Asterisk names its channel: `pjsip/101` of PJSIP/101-00000002."""
    known = phone.partition("@")[0] if phone.startswith("Local/") else _CHANNEL_NUMBER.sub("", phone)
    return known.lower()


def _dialled(phone: str) -> str:
    """Return what Dial takes for a phone: an endpoint as it is, a number by way of the dialplan's context for outside."""
    return phone if "/" in phone else f"Local/{phone}@{OUTWARD}/n"


__all__ = ["Folders", "Switchboard"]
