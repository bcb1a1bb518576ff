"""The switchboard: every connection of Asterisk's, and what its manager interface tells.

    agi://…/{line}             a call: stored, then followed to its end (following.py)
    agi://…/{line}/answered    an operator's phone was lifted
    agi://…/{line}/called      an operator's phone was lifted, by which we call a customer (outgoing.py)
    agi://…/{line}/parked      an operator whose caller is on hold (desk.py)
    agi://…/{line}/consulted   the phone of a colleague who is asked about a call was lifted
    agi://…/{line}/listening   a supervisor's phone was lifted, to hear a talk; /listened: and put down
    agi://…/{line}/end         the exchange knows the call no more

A connection does not decide anything. It looks at the session and does what is true now; so a process that is started again, or another
one, goes on where the call stands.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

import structlog

from broker import metrics
from broker.domain import ChannelId, ConversationId, Directory, Line, OperatorId, Status, UnansweredCalls
from broker.errors import BadInput, StoreError
from broker.events import CallEnded, ConsultAnswered, CustomerReached, ListenBegan, ListenEnded
from broker.inbound import accept, is_banned_at, prepare
from broker.ports import Bell, Channel, Store, Transport, Tx
from channels.phone import ledger
from channels.phone.adapter import KIND_NAME, PhoneChannel, came, raw_of, settings_of
from channels.phone.asking import ask
from channels.phone.desk import Desk
from channels.phone.fastagi import Leg
from channels.phone.following import WAV_HEADER_BYTES, Followed
from channels.phone.ledger import Call
from channels.phone.office import DONE, FAILED, RESULT, STAGE, TOLD, UNKNOWN, Asks, Folders, Office
from channels.phone.outgoing import Outgoing
from channels.phone.talks import Talks

log = structlog.get_logger(__name__)


WRITTEN_SECONDS = 10.0
"""So long after a call its recording may still be on its way into the folder."""


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
        self._directory = directory
        self._channel = channel
        self._process_id = process_id
        self._office = Office(store, directory, folders)
        self._talks = Talks(self._office)
        self._outgoing = Outgoing(self._office)
        self._tasks: set[asyncio.Task[None]] = set()
        self._stops = [transport.listen(Bell.SESSION, self._rung), transport.listen(Bell.CALL, self._outgoing.wanted)]

    @property
    def manager(self) -> Asks | None:
        """What AGI cannot do is asked of it; None: there is no manager interface."""
        return self._office.manager

    @manager.setter
    def manager(self, manager: Asks | None) -> None:
        self._office.manager = manager

    async def close(self) -> None:
        """Listen no more."""
        for stop in self._stops:
            stop()
        await self._talks.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def run(self) -> None:
        """Make the calls that are to be made, until cancelled."""
        await self._outgoing.run()

    def _rung(self, conversation: str) -> None:
        self._outgoing.rung(conversation)
        if not self._office.rung(conversation) and self._talks.knows(conversation):
            # It was answered, and whoever followed it is gone: while they talk the exchange has nothing to ask.
            self._begin_task(self._talks.put_right(ConversationId(conversation)))

    def _begin_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work, name="telephone")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def hear(self, event: Mapping[str, str]) -> None:
        """Take an event of the manager interface: which phones begin to ring, which have ended, and who has passed on a talk."""
        self._office.hear_phones(event)
        if event.get("Event") == "AttendedTransfer":
            self._begin_task(self._talks.moved(event))

    async def ready(self) -> None:
        """Begin anew with the manager interface, which was away and has told nothing meanwhile. Raises StoreError."""
        self._office.forget_phones()
        await self._talks.learn()

    def follows(self, conversation: str) -> bool:
        """Return whether the call has a connection here: then the exchange knows it."""
        return self._office.watched(conversation)

    def numbers(self) -> list[ChannelId]:
        """See `Office.numbers`."""
        return self._office.numbers()

    async def handle(self, leg: Leg) -> None:
        """Serve one connection."""
        slug, _, what = leg.header.path.partition("/")
        match what:
            case "answered":
                await self._answered(leg)
            case "called":
                await self._outgoing.called(leg)
            case "parked":
                await self._parked(leg, slug)
            case "consulted":
                await self._consulted(leg)
            case "listening" | "listened":
                await self._heard(leg, begins=what == "listening")
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
        result = DONE
        try:
            with structlog.contextvars.bound_contextvars(conversation_id=call.id), self._office.watching(call.id) as changed:
                result = await Followed(self._office, self._talks, leg, channel, call, changed, self.ask_back).run(stage)
        finally:
            with suppress(StoreError):
                await self._store.write(partial(ledger.let_go, call=call))
        if not leg.hungup.is_set():
            await self._say_result(leg, result)

    async def _begin(self, leg: Leg, channel: PhoneChannel) -> Call | None:
        """Store the call, unless it has been; return it, or None when it cannot be stored."""
        header, line = leg.header, self.line_of(channel)
        if key := header.query.get("key", ""):
            return await self._customer_answered(leg, key)
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
            return await self._office.patiently(lambda: self._store.write(work), leg)
        except StoreError as error:
            log.error("call_not_stored", problem=str(error))
            return None

    async def _customer_answered(self, leg: Leg, key: str) -> Call | None:
        """Return the call that we have made, whose customer's leg this is."""

        def work(tx: Tx) -> Call | None:
            call = ledger.find(tx, self._office.numbers(), key)
            if call is None:
                return None
            name = leg.header["agi_channel"][:200]
            if self._office.enter(tx, call.id, "reached", CustomerReached):
                ledger.reached(tx, call.id, leg.header["agi_uniqueid"])
            return ledger.claim(tx, call.id, call.channel_id, call.number, call.called, self._process_id, name)

        try:
            return await self._office.patiently(lambda: self._store.write(work), leg)
        except StoreError as error:
            log.error("call_not_stored", problem=str(error))
            return None

    def interrupted(self, tx: Tx, conversation: ConversationId) -> None:
        """Let the customer of a call that is lost be called back, by whoever spoke with them if they can."""
        look, call = ledger.look(tx, conversation), ledger.one(tx, conversation)
        if look is None or call is None or look.stands is None or look.stands.status is Status.CLOSED:
            return
        # A customer whom we have not reached is called again as it is; who has called again, or is to be called, is not called twice.
        if not look.legs.caller or not call.number.startswith("+") or ledger.has_another(tx, call):
            return
        if self._office.settings_of(call.channel_id).callback_lost:
            self.ask_back(tx, call, look.stands.operator_id if look.stands.status is Status.ACTIVE else None)

    def ask_back(self, tx: Tx, call: Call, by: OperatorId | None = None) -> None:
        """Let the caller of *call* be called back, first of all *by* somebody; asked a second time it is nothing."""
        channel = self._channel(call.channel_id)
        if isinstance(channel, PhoneChannel) and self._office.may_call(call.number) and not is_banned_at(tx, call.number):
            seconds = self.line_of(channel).settings.calls.callback_seconds
            with suppress(BadInput):
                ask(tx, self._directory(), channel, f"back:{call.id}", call.number, tx.now + timedelta(seconds=seconds), by=by)

    def line_of(self, channel: PhoneChannel) -> Line:
        """Return the channel's line."""
        return self._directory().lines[channel.line_id]

    async def _say_result(self, leg: Leg, result: str) -> None:
        if not leg.closed:
            await leg.set_variable(RESULT, result)

    # --- a phone was lifted

    async def _answered(self, leg: Leg) -> None:
        query, phone = leg.header.query, leg.header["agi_channel"]
        offer_no = int(offer) if (offer := query.get("offer", "")).isdecimal() else 0

        def work(tx: Tx) -> ConversationId | None:
            call = ledger.find(tx, self._office.numbers(), query.get("call", ""))
            operator = self._office.whose(tx, call, offer_no, phone) if call is not None else None
            if call is None or operator is None or call.ended_at is not None:
                return None
            self._office.lifted(tx, call, operator, offer_no, phone)
            look = ledger.look(tx, call.id)
            stands = look.stands if look is not None else None
            line = self._office.lines().get(stands.line_id) if stands is not None else None
            if line is not None and line.settings.calls.record:
                ledger.keep_recording(tx, call.id, f"{call.id}.wav")  # which the caller's leg writes (following.py)
            return call.id

        call_id = await self._office.patiently(lambda: self._store.write(work))
        if call_id is None:
            log.error("nobody_knows_who_answered", phone=phone, call=query.get("call"))
        else:
            self._talks.begins(call_id)
        await leg.set_variable(TOLD, "yes")

    # --- on hold, a colleague is asked, a supervisor listens

    async def _parked(self, leg: Leg, slug: str) -> None:
        call = await self._known(leg)
        if call is not None and call.ended_at is None:
            with structlog.contextvars.bound_contextvars(conversation_id=call.id), self._office.watching(call.id) as changed:
                await Desk(self._office, leg, slug, call.id, leg.header.query.get("call", ""), changed).run()
        if not leg.hungup.is_set():
            await self._say_result(leg, DONE)

    async def _known(self, leg: Leg) -> Call | None:
        uniqueid = leg.header.query.get("call", "")
        return await self._office.patiently(
            lambda: self._store.read(lambda tx: ledger.find(tx, self._office.numbers(), uniqueid))
        )

    async def _consulted(self, leg: Leg) -> None:
        call, phone = await self._known(leg), leg.header["agi_channel"]
        number = int(told) if (told := leg.header.query.get("no", "")).isdecimal() else 0

        def lifted(tx: Tx) -> None:
            look = ledger.look(tx, call.id) if call is not None else None
            now = look.stands if look is not None else None
            if call is None or now is None or now.consult_no != number or (me := now.consulted) is None:
                return
            ledger.asked(tx, call.id, number, phone)
            self._office.enter(tx, call.id, f"consulted:{number}", lambda at: ConsultAnswered(at, me))

        await self._office.patiently(lambda: self._store.write(lifted))
        await leg.set_variable(TOLD, "yes")

    async def _heard(self, leg: Leg, *, begins: bool) -> None:
        query = leg.header.query
        call, who = ConversationId(query.get("id", "")), OperatorId(query.get("who", ""))
        name = f"{'hears' if begins else 'heard'}:{leg.header['agi_uniqueid']}"

        def told(tx: Tx) -> None:
            if ledger.look(tx, call) is not None and who in self._directory().operators:
                self._office.enter(tx, call, name, lambda at: ListenBegan(at, who) if begins else ListenEnded(at, who))

        await self._office.patiently(lambda: self._store.write(told))
        await leg.set_variable(TOLD, "yes")

    # --- the exchange knows it no more

    async def _ended(self, leg: Leg) -> None:
        uniqueid = leg.header.query.get("call") or leg.header["agi_uniqueid"]
        call = await self._office.patiently(
            lambda: self._store.read(lambda tx: ledger.find(tx, self._office.numbers(), uniqueid))
        )
        if call is not None:
            if not call.recording:
                await asyncio.to_thread(self._forget_silence, f"{call.id}.wav")
            self._talks.ends(call.id)

            def over(tx: Tx) -> None:
                self._office.enter(tx, call.id, "ended", CallEnded)
                ledger.ended(tx, call.id)
                look = ledger.look(tx, call.id)
                if look is not None and look.stands is not None and look.stands.elsewhere == UnansweredCalls.CALLBACK:
                    self.ask_back(tx, call)

            await self._office.patiently(lambda: self._store.write(over))
            missing = bool(call.recording) and await asyncio.to_thread(self._is_missing, call.recording)
            if missing:
                self._begin_task(self._look_again(call))
        await leg.set_variable(TOLD, "yes")

    async def _look_again(self, call: Call) -> None:
        """Look for the recording once the exchange has written what it held back, which it does when the caller's channel is gone."""
        await asyncio.sleep(WRITTEN_SECONDS)
        there = self._office.folders.there
        if not await asyncio.to_thread(self._is_missing, call.recording):
            return
        log.error("talk_not_recorded", conversation_id=call.id, folder=there)
        words = f"the talk was not recorded: is there room in {there}, and may Asterisk write there?"
        with suppress(StoreError):  # it stands in the log
            await self._office.patiently(
                lambda: self._store.write(partial(ledger.keep_problem, conversation=call.id, words=words))
            )

    def _is_missing(self, name: str) -> bool:
        """Return whether the recording is not in its folder, or has no sound; where the folder is not ours to see, nobody knows."""
        try:
            return (self._office.folders.here / name).stat().st_size <= WAV_HEADER_BYTES
        except FileNotFoundError:
            return self._office.folders.here.is_dir()
        except OSError:
            return True

    def _forget_silence(self, name: str) -> None:
        """Take away the recording of a call that nobody has answered: the exchange begins one before it rings."""
        path = self._office.folders.here / name
        with suppress(OSError):
            if path.stat().st_size <= WAV_HEADER_BYTES:
                path.unlink()


__all__ = ["Folders", "Switchboard"]
