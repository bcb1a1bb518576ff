"""A caller's leg, followed: what is true of the session is done on the telephone, until the caller is gone.

    queued      greet once, play music, say the place in the queue
    offered     ring the phones of those to whom it is offered; how that ends is entered
    active      they talk: Asterisk is busy with it, and answers when they have hung up, or have been taken apart.
                On hold the caller hears music, until they are to be joined again: to the operator, or to a colleague who was asked
    closed      voicemail, forward, or the end; after a talk the caller may rate it

What has been done is in the table of calls before it is done, and on the channel itself (STAGE), which outlives us:

    ring:N      phones were rung for the offer N, one was lifted perhaps
    wait        nothing
    talk        caller and operator were joined after they had been taken apart
    held        they were taken apart, for the caller is on hold (set by the dialplan, to which both are sent)
    passed:X    the operator's phone has sent the caller to X (likewise)
    forwarded   a number outside was dialled
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from broker.domain import CallSettings, OperatorId, Status, UnansweredCalls
from broker.errors import StoreError
from broker.events import CallRated, CallReady, ForwardEnded, KeyPressed, RingEnded, TalkEnded, Transfer, VoicemailLeft
from broker.ports import Tx
from channels.phone import ledger
from channels.phone.adapter import PhoneChannel
from channels.phone.agi import Command
from channels.phone.fastagi import Leg
from channels.phone.ledger import Call, Legs, Stands
from channels.phone.office import (
    DONE,
    FAILED,
    STAGE,
    SWEEP_SECONDS,
    TALK_SECONDS,
    Office,
    Watch,
    dialled_as,
    how_it_ended,
    outward,
)
from channels.phone.talks import Talks

log = structlog.get_logger(__name__)

RING_AT_ONCE_SECONDS = 1.0
"""So long a caller is not answered: a phone that rings by then rings for them as if they had called it."""
SOUND_SECONDS = 120.0
"""No greeting is longer."""
EXTENSION_DIGITS_MAX = 6
GREETING, OUTSIDE = "greeting", "outside"
"""Of a session: why it is kept back (`held_why`), and why its call was sent elsewhere (`sent_because`); as routing has them."""
RATE_SECONDS = 5
FORWARD_SECONDS = 60
VOICEMAIL_SILENCE_SECONDS = 4
WAV_HEADER_BYTES, WAV_BYTES_PER_SECOND = 44, 16_000
ANSWERED = "omniline-answered"
"""The dialplan's context that a lifted phone goes through."""
_RINGING, _WAITING, _FORWARDED, _TALKING, _PASSED = "ring", "wait", "forwarded", "talk", "passed"
_RECORDS = "BROKER_RECORDS"
"""A variable of the caller's channel: yes while it is recorded."""
_PASSED_ON = "BLINDTRANSFER"
"""A variable that Asterisk sets on the channel of whoever is passed on by a phone."""
_NUMBER = re.compile(r"[+]?[0-9*#]{1,40}")
"""What a phone may have dialled to pass a caller on to a number outside."""


class Followed:
    """A call while this process tells Asterisk what to do with it."""

    def __init__(
        self,
        office: Office,
        talks: Talks,
        leg: Leg,
        channel: PhoneChannel,
        call: Call,
        changed: asyncio.Event,
        ask_back: Callable[[Tx, Call], None],
    ) -> None:
        self._ask_back = ask_back
        self._name = leg.header.query.get("key") or leg.header["agi_uniqueid"]
        """What the call is named by."""
        self._office = office
        self._talks = talks
        self._leg = leg
        self._channel = channel
        self._call = call
        self._watch = Watch(leg, changed)
        self._answered = leg.header.query.get("try", "0") not in ("", "0") or call.talk_at is not None
        """The caller has been answered, and hears music: the dialplan does so before it asks again."""
        self._greeted = self._answered
        """They have heard the greeting."""
        self._plays = False
        self._said_at = 0.0
        self._waited = False
        self._told_outside = False
        self._records: bool | None = None
        """Whether the caller's leg is recorded; None: whoever was here before us knows."""
        self._ended = 0
        """How many talks have ended on this connection."""

    async def run(self, stage: str) -> str:
        """Follow the session until the call has nothing more to wait for, or its caller is gone; return what the dialplan is to do.

        *stage* is what whoever was here before us was at; empty: nobody was.
        """
        if await self._take_up(stage):
            return DONE
        leg, watch = self._leg, self._watch
        while not leg.hungup.is_set():
            watch.changed.clear()
            look = await self._office.look(self._call.id)
            now = look.stands if look is not None else None
            if look is None or now is None:
                if look is not None and look.decided:
                    return FAILED  # somebody who is banned, or nobody could decide it: nobody will ever answer
                await watch.wait()
                continue
            match now.status:
                case Status.QUEUED:
                    await self._queued(now)
                case Status.OFFERED if now.offer_no > self._call.rung:
                    await self._ring(now, look.now)
                case Status.OFFERED:
                    await watch.wait()  # it has rung: what became of it is being decided
                case Status.ACTIVE:
                    await self._active(now, look.legs)
                case _ if await self._elsewhere(now):
                    return DONE
                case _:
                    await watch.wait()  # the number outside did not answer: what becomes of the caller is being decided
        return DONE

    async def _take_up(self, left: str) -> bool:
        """Learn how what went on without us has ended: phones that rang, a talk. Return whether the call is over with it."""
        stage, _, more = left.partition(":")
        if stage == _FORWARDED:
            return not await self._forwarded()
        if stage == _RINGING and more.isdecimal():
            look = await self._office.look(self._call.id)
            stands = look.stands if look is not None else None
            await self._rang(int(more), stands.offered_to if stands is not None and stands.offer_no == int(more) else ())
        if stage == _PASSED:
            await self._passed(more)
        return False

    # --- they talk

    async def _active(self, now: Stands, legs: Legs) -> None:
        if not legs.parked:
            # Nobody talks on this leg any more, or we would not be here.
            await self._over(now.operator_id)
            await self._watch.wait()
        elif now.held:
            if not self._plays:
                await self._music(now)
            await self._watch.wait()
            if not self._watch.changed.is_set() and (me := now.operator_id) is not None and await self._talks.is_gone(legs.talk):
                # Their phone was put down before it came to wait (desk.py), or while nobody was here to be told.
                await self._office.tell(self._call.id, f"down:{legs.parked}", lambda at: TalkEnded(at, me), self._leg)
        else:
            await self._join(now, legs)

    async def _over(self, operator: OperatorId | None, *, missing: bool = False) -> None:
        """Enter that the talk with *operator* is over; *missing*: it could not go on."""
        if operator is None:
            return
        # (Phones may have passed it on to another: then this one's end is nothing, and the other's is told next.)
        call, name = self._call, f"talked:{self._call.attempt}:{self._ended}:{operator}"

        def over(tx: Tx) -> None:
            self._office.enter(tx, call.id, name, lambda at: TalkEnded(at, operator, missing))
            ledger.talk_ended(tx, call.id)

        await self._office.patiently(lambda: self._office.write(over), self._leg)

    async def _join(self, now: Stands, legs: Legs) -> None:
        """Let the caller, who was on hold, speak with the operator again, or with the colleague to whom the call was given."""
        leg, office = self._leg, self._office
        phone = legs.talk if now.operator_id == legs.operator_id else legs.consult
        records = office.lines()[now.line_id].settings.calls.record

        def join(tx: Tx) -> None:
            ledger.join(tx, self._call.id, now.operator_id, phone)
            if records:
                ledger.keep_recording(tx, self._call.id, f"{self._call.id}.wav")

        await office.patiently(lambda: office.write(join), leg)
        await self._silence()
        await self._record(record=records)
        await leg.set_variable(STAGE, _TALKING)
        await self._watch.during(
            leg.app("Bridge", phone, seconds=TALK_SECONDS), partial(self._talks.put_right, self._call.id, joined=True)
        )
        if await self._was_taken():
            return
        missing = await leg.variable("BRIDGERESULT") != "SUCCESS"
        self._ended += 1
        await self._over(now.operator_id, missing=missing)
        await leg.set_variable(STAGE, _WAITING)

    async def _was_taken(self) -> bool:
        """Return whether this connection is over with the talk.

        The caller is gone, which the exchange tells by a connection of its own; or was taken from the operator: put on hold, or passed on
        by the operator's phone. Then the exchange asks about them anew.
        """
        leg = self._leg
        if leg.hungup.is_set():
            return True
        look = await self._office.look(self._call.id)
        if not await leg.variable(_PASSED_ON) and (look is None or not look.legs.parked):
            return False
        return await self._watch.gone()

    async def _passed(self, dialled: str) -> None:
        """Enter that the operator's phone has passed the caller on, to what was *dialled* on it."""
        call, office = self._call, self._office
        await self._leg.set_variable(_PASSED_ON, "")
        look = await office.look(call.id)
        now = look.stands if look is not None else None
        if now is None or now.operator_id is None or now.status is not Status.ACTIVE:
            return
        me, colleague = now.operator_id, office.operator_at(f"PJSIP/{dialled}") or office.operator_at(outward(dialled))
        line = next((one.id for one in office.lines().values() if one.slug == dialled and one.active), None)
        where: dict[str, Any] = {}  # nobody's: the caller waits again, for the operator first
        if colleague is not None:
            where = {"to_operator": colleague}
        elif line is not None:
            where = {"to_line": line}
        elif _NUMBER.fullmatch(dialled):
            where = {"to_number": dialled}

        def passed(tx: Tx) -> None:
            name = f"passed:{call.attempt}"
            office.enter(
                tx, call.id, name, lambda at: Transfer(at=at, operator_id=me, command=f"phone:{name}", by_phone=True, **where)
            )
            ledger.talk_ended(tx, call.id)

        await office.patiently(lambda: office.write(passed), self._leg)

    # --- it waits

    async def _queued(self, now: Stands) -> None:
        settings = self._office.lines()[now.line_id].settings.calls
        if now.held_why == GREETING:
            await self._greet(settings)
            return
        if not self._answered and not self._waited:
            self._waited = True
            await self._watch.wait(RING_AT_ONCE_SECONDS)
            return
        if not self._plays:
            await self._music(now)
        if not settings.position_seconds:
            await self._watch.wait(SWEEP_SECONDS)
            return
        left = self._said_at + settings.position_seconds - asyncio.get_running_loop().time()
        if left > 0:
            await self._watch.wait(min(left, SWEEP_SECONDS))
            return
        self._said_at = asyncio.get_running_loop().time()
        await self._say_position()

    async def _greet(self, settings: CallSettings) -> None:
        """Play what is to be heard before the caller waits, and enter what they choose."""
        await self._answer()
        leg, menu, office = self._leg, settings.menu, self._office
        if settings.greeting and not self._greeted:
            await self._play(settings.greeting)
        self._greeted = True
        keys = ""
        for _ in range(menu.times if menu.sound else 0):
            await self._silence()
            most = EXTENSION_DIGITS_MAX if menu.extensions else 1
            keys = await self._keys(menu.sound, menu.seconds, most)
            if leg.hungup.is_set():
                return
            if keys:
                break
        colleague = office.operator_at(f"PJSIP/{keys}") if menu.extensions and len(keys) > 1 else None
        name = f"greeted:{self._call.attempt}"
        if colleague is not None:
            await office.tell(self._call.id, name, lambda at: KeyPressed(at, "", colleague), leg)
        elif keys in menu.keys:
            await office.tell(self._call.id, name, lambda at: KeyPressed(at, keys), leg)
        else:
            await office.tell(self._call.id, name, CallReady, leg)
        await self._watch.wait()

    async def _music(self, now: Stands) -> None:
        await self._answer()
        await self._leg.command("SET MUSIC", "on", self._office.music(self._office.lines()[now.line_id].settings.calls))
        self._plays = True
        self._said_at = asyncio.get_running_loop().time()

    async def _say_position(self) -> None:
        try:
            place = await self._office.read(partial(ledger.position, conversation=self._call.id))
        except StoreError:
            return
        if not place:
            return
        await self._silence()
        if place == 1:
            await self._play("queue-youarenext")
            return
        await self._play("queue-thereare")
        if not await self._is_wanted():
            await self._leg.command("SAY NUMBER", place, "", seconds=SOUND_SECONDS)
        if not await self._is_wanted():
            await self._play("queue-callswaiting")

    async def _is_wanted(self) -> bool:
        """Return whether something else is to be done with the caller by now: a phone is to ring, and what they are told can wait."""
        if not self._watch.changed.is_set():
            return False
        look = await self._office.look(self._call.id)
        return look is not None and look.stands is not None and look.stands.status is not Status.QUEUED

    async def _answer(self) -> None:
        if not self._answered:
            await self._leg.command("ANSWER")
            self._answered = True

    async def _play(self, sound: str) -> None:
        """Play a sound; one that is not there is told once and costs the caller nothing."""
        await self._silence()
        name = self._office.played(sound)
        if name and await self._leg.command("STREAM FILE", name, "", seconds=SOUND_SECONDS) == "-1":
            self._not_played(sound)

    async def _keys(self, sound: str, wait_seconds: int, most: int) -> str:
        """Play a sound and return the keys that are pressed until `#` or the end of the waiting; none as well when it is not there."""
        name = self._office.played(sound)
        if not name:
            return ""
        reply = await self._leg.execute(Command("GET DATA", name, wait_seconds * 1_000, most), SOUND_SECONDS)
        told = reply.items["result"]
        keys: str = told.value
        if keys == "-1":
            self._not_played(sound)
            return ""
        # It ends what was pressed before and is no part of it: nothing, before the time was over, is it alone.
        return keys or ("" if told.data == "timeout" else "#")

    def _not_played(self, sound: str) -> None:
        if not self._leg.hungup.is_set():
            log.error("sound_not_played", sound=sound)

    async def _silence(self) -> None:
        if self._plays:
            await self._leg.command("SET MUSIC", "off")
            self._plays = False

    # --- it rings

    async def _ring(self, now: Stands, at: datetime) -> None:
        office, call, leg = self._office, self._call, self._leg
        phones = office.people(now.offered_to)
        without = tuple(one for one in now.offered_to if one not in {id_ for id_, _ in phones})
        mine = await office.patiently(lambda: office.write(partial(ledger.ring, call=call, offer_no=now.offer_no)), leg)
        if not mine:
            await self._watch.wait()  # another connection has the call: ours ends with it
            return
        self._call = replace(call, rung=now.offer_no)
        if without:
            await self._enter_end(now.offer_no, without, "unreachable", "phoneless")
        if not phones:
            return
        left = (now.offered_until - at).total_seconds() if now.offered_until is not None else 0.0
        # It ends before the offer does: what its phones said is known then, and nobody lifts one that is to be stopped.
        seconds = max(1, math.floor(left - 0.5))
        settings = office.lines()[now.line_id].settings.calls
        await self._record(record=settings.record)
        # What an earlier ringing has left is not to be taken for this one's end.
        await leg.set_variable("DIALSTATUS", "")
        await leg.set_variable(STAGE, f"{_RINGING}:{now.offer_no}")
        lifted = "^".join((ANSWERED, self._channel.slug, self._name, str(now.offer_no)))
        music = f"m({office.music(settings)})" if self._answered else ""
        dialled = "&".join(one for _, one in phones)
        await self._until_lifted(
            now.offer_no,
            {dialled_as(one): id_ for id_, one in reversed(phones)},
            leg.app("Dial", dialled, seconds, f"gU({lifted}){music}", seconds=seconds + TALK_SECONDS),
        )
        self._plays = False  # Dial's own music has ended with it
        if not leg.closed:
            await self._rang(now.offer_no, now.offered_to)

    async def _record(self, *, record: bool) -> None:
        """Have the caller's leg recorded whenever it speaks with somebody, or not any more."""
        leg, name = self._leg, f"{self._call.id}.wav"
        if self._records is None:
            self._records = bool(await leg.variable(_RECORDS))
        if record == self._records:
            return
        if not record or self._call.attempt > 1:
            await leg.app("StopMixMonitor")  # also one that whoever was here before us has begun without saying so
        # What was said before stays: a second file of that name would take its place. (b: while it is joined to somebody, a: append)
        if record and await leg.app("MixMonitor", f"{self._office.folders.there}/{name}", "ab") < 0:
            log.error("recording_not_begun", conversation_id=self._call.id)
            return
        self._records = record
        await leg.set_variable(_RECORDS, "yes" if record else "")

    async def _until_lifted(self, offer_no: int, phones: Mapping[str, OperatorId], dials: Coroutine[Any, Any, int]) -> None:
        """Wait until *dials* has ended; meanwhile stop the phones of those from whom the offer is taken, and do to a talk what is due."""
        office, leg = self._office, self._leg

        async def look_at_it() -> None:
            look = await office.look(self._call.id)
            now = look.stands if look is not None else None
            if look is None or now is None:
                return
            if look.legs.talks:
                await self._talks.put_right(self._call.id, joined=True)
            elif now.status is Status.CLOSED:
                await office.hang_up(leg.header["agi_channel"])
            elif now.status is not Status.ACTIVE:
                rings = now.status is Status.OFFERED and now.offer_no == offer_no
                await office.stop_ringing(leg.header["agi_uniqueid"], phones, now.offered_to if rings else ())

        with office.ringing(leg.header["agi_uniqueid"], self._watch.changed):
            await self._watch.during(dials, look_at_it)

    async def _rang(self, offer_no: int, offered_to: Sequence[OperatorId]) -> None:
        """Enter how phones that rang have ended: a talk, or nobody has lifted one."""
        leg, office, call = self._leg, self._office, self._call
        how = await how_it_ended(leg)
        if how == "talked":
            self._answered = self._greeted = True
            phone = await leg.variable("DIALEDPEERNAME")

            def lifted(tx: Tx) -> OperatorId | None:
                # Nobody may have been here to be told who it was.
                known = ledger.look(tx, call.id)
                if known is None or known.legs.ended:
                    return None
                operator = office.whose(tx, call, offer_no, phone)
                if operator is not None:
                    office.lifted(tx, call, operator, offer_no, phone)
                return operator

            operator = await office.patiently(lambda: office.write(lifted), leg)
            if await self._was_taken():
                return
            self._ended += 1
            await self._over(operator)
        elif offered_to and not leg.hungup.is_set():
            # (A caller who hangs up ends all of it: likewise.)
            await self._enter_end(offer_no, tuple(offered_to), how)
        await leg.set_variable(STAGE, _WAITING)

    async def _enter_end(self, offer_no: int, who: tuple[OperatorId, ...], how: str, which: str = "rang") -> None:
        name = f"{which}:{offer_no}"
        await self._office.tell(self._call.id, name, lambda at: RingEnded(at, who, offer_no, how), self._leg)

    # --- it ends

    async def _elsewhere(self, now: Stands) -> bool:
        """Do what is left to do with a call whose session is closed; return whether that was all."""
        settings = self._office.lines()[now.line_id].settings.calls
        number = now.forward_to or settings.forward_to
        if now.sent_because == OUTSIDE and settings.outside_sound and not self._told_outside:
            self._told_outside = True
            await self._answer()
            await self._play(settings.outside_sound)
        match now.elsewhere:
            case UnansweredCalls.FORWARD if number:
                await self._silence()
                await self._record(record=False)
                await self._office.patiently(
                    lambda: self._office.write(lambda tx: ledger.taken_away(tx, self._call.id)), self._leg
                )
                await self._leg.set_variable(STAGE, _FORWARDED)
                music = f"m({self._office.music(settings)})" if self._answered else ""
                await self._leg.app("Dial", outward(number), FORWARD_SECONDS, f"g{music}", seconds=FORWARD_SECONDS + TALK_SECONDS)
                return not await self._forwarded()
            case UnansweredCalls.CALLBACK if self._office.may_call(self._call.number):
                await self._office.patiently(lambda: self._office.write(lambda tx: self._ask_back(tx, self._call)), self._leg)
                await self._answer()
                if settings.callback_sound:
                    await self._play(settings.callback_sound)
            case UnansweredCalls.VOICEMAIL | UnansweredCalls.CALLBACK:
                await self._voicemail(settings.voicemail_greeting, settings.voicemail_seconds)
            case "" if now.operator_id is not None and settings.rating_sound:
                await self._rate(settings.rating_sound)
            case _:
                await self._silence()
        return True

    async def _forwarded(self) -> bool:
        """Learn how a number outside that was dialled has ended; return whether the caller is still to be helped: it did not answer."""
        leg, call = self._leg, self._call
        how = await how_it_ended(leg)
        await leg.set_variable(STAGE, _WAITING)
        if how == "talked" or leg.hungup.is_set():
            return False
        self._ended += 1
        name = f"forwarded:{call.attempt}:{self._ended}"

        def ended(tx: Tx) -> None:
            look = ledger.look(tx, call.id)
            if look is not None and not look.legs.ended:  # else the caller is gone, too
                self._office.enter(tx, call.id, name, lambda at: ForwardEnded(at, how))

        await self._office.patiently(lambda: self._office.write(ended), leg)
        return True

    async def _voicemail(self, greeting: str, seconds_max: int) -> None:
        office, call, leg = self._office, self._call, self._leg
        if call.voicemail and (size := await asyncio.to_thread(_size, office.folders.here / call.voicemail)) > WAV_HEADER_BYTES:
            # They have spoken already, to whoever was here before us.
            await self._left((size - WAV_HEADER_BYTES) // WAV_BYTES_PER_SECOND)
            return
        await self._answer()
        if greeting:
            await self._play(greeting)
        name = f"{call.id}.voicemail"
        await self._silence()
        # The row first: whatever happens while they speak, the file is found.
        await office.patiently(
            lambda: office.write(partial(ledger.keep_voicemail, conversation=call.id, name=f"{name}.wav")), leg
        )
        record = Command(
            "RECORD FILE",
            f"{office.folders.there}/{name}",
            "wav",
            "#",
            seconds_max * 1_000,
            "BEEP",
            f"s={VOICEMAIL_SILENCE_SECONDS}",
        )
        reply = await leg.execute(record, seconds_max + SOUND_SECONDS)
        samples = int(reply.items["endpos"].value) if "endpos" in reply.items else 0
        if samples <= 0:
            log.error("voicemail_not_recorded", folder=office.folders.there)
            words = f"what the caller said could not be recorded; may Asterisk write into {office.folders.there}?"
            await office.write(partial(ledger.keep_problem, conversation=call.id, words=words))
            return
        await self._left(round(samples / 8_000))

    async def _left(self, seconds: int) -> None:
        """Enter that the caller has spoken to the machine."""
        office, call = self._office, self._call
        spoken = max(1, seconds)

        def left(tx: Tx) -> None:
            office.enter(tx, call.id, "voicemail", lambda at: VoicemailLeft(at, spoken))

        await office.patiently(lambda: office.write(left))

    async def _rate(self, sound: str) -> None:
        """Ask for a key from 1 to 5, once."""
        office, call = self._office, self._call
        key = await self._keys(sound, RATE_SECONDS, 1)
        if key in ("1", "2", "3", "4", "5"):

            def rated(tx: Tx) -> None:
                office.enter(tx, call.id, "rated", lambda at: CallRated(at, int(key)))

            await office.patiently(lambda: office.write(rated), self._leg)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


__all__ = ["Followed"]
