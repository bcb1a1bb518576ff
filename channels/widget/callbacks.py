"""Calls that visitors ask for: whom we call, when, and the asking in one transaction with what they told of themselves.

A stranger writes the number, and we pay for the call: none that costs its caller more than others do, none in another country unless the
channel says so, and few that wait for one number, whoever asked for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from broker.domain import EPOCH, ChannelId, LineId, Source, to_us
from broker.errors import BadInput
from broker.inbound import Accepted, Prepared, accept, is_banned, is_banned_at, points
from broker.ports import Tx
from broker.store import locks
from broker.web.wiring import CallsOut

DAYS_MAX = 30
WAITING_MAX = 2
"""Calls to one number that wait or are under way: a customer may have changed their mind."""
DAY_MAX = 5
"""Calls to one number that were asked for within a day, whoever did and whatever became of them."""


class NoCall(Exception):
    """They are not called; *code* and *text* are those of `Refused`."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is to be entered."""

    name: str
    """Its asker's own: under it there is one."""
    number: str
    due: datetime
    customer: str = ""
    source: Source | None = None


class Callbacks:
    """Enters the calls that visitors ask for."""

    def __init__(self, out: CallsOut, opens: Callable[[LineId, datetime], datetime]) -> None:
        """*opens* returns when a line is open first, from a moment on."""
        self._out = out
        self._opens = opens

    def are_made_from(self, line_id: LineId) -> bool:
        """Return whether the line has a number to call from."""
        return line_id in self._out.lines()

    def before(self, tx: Tx, name: str) -> tuple[str, int] | None:
        """Return what was promised under *name*: the number, and when, epoch milliseconds, 0: as soon as somebody can; None: nothing."""
        found = self._out.entered(tx, name)
        if found is None:
            return None
        number, asked, due = found
        return number, to_us(due) // 1000 if due > asked else 0

    def number(self, written: str, region: str, *, abroad: bool) -> str:
        """Return the number to be dialled, E.164. Raises NoCall: bad_phone."""
        try:
            number = points.phone(written, region)
        except BadInput as problem:
            raise NoCall("bad_phone", str(problem)) from None
        if points.is_costly(number):
            raise NoCall("bad_phone", f"{number} is a number of a service, which we do not call; give one of your own")
        if not abroad and not points.is_of(number, region):
            raise NoCall("bad_phone", f"{number} is in another country, where we do not call; give another number")
        if self._out.is_ours(number):
            raise NoCall("bad_phone", f"{number} is our own number; give one of yours")
        return number

    def when(self, line_id: LineId, at_ms: int, now: datetime) -> tuple[datetime, bool]:
        """Return when they are called, and whether that is as soon as somebody can. Raises NoCall: bad_time."""
        wanted = EPOCH + timedelta(milliseconds=min(at_ms, to_us(now) // 1000 + 86_400_000 * (DAYS_MAX + 1))) if at_ms else now
        if wanted > now + timedelta(days=DAYS_MAX):
            raise NoCall("bad_time", f"we promise calls for the next {DAYS_MAX} days; choose an earlier time")
        # One that has passed while it was on its way is as good as now.
        due = self._opens(line_id, max(wanted, now)).astimezone(UTC)
        return due, due == now

    def enter(
        self, tx: Tx, asked: Prepared, channel_id: ChannelId, line_id: LineId, call: Call, *, may: bool = True
    ) -> tuple[Accepted, bool]:
        """Enter what a visitor has *asked*, and the *call*; return what is stored of it, and whether it is a call more, as they see it.

        *may*: whether it can be one. Asked again under its id it is the same call. Raises NoCall: bad_phone, no_callback, too_many_calls,
        called_already.
        """
        locks.number(tx, call.number)
        (accepted,) = accept(tx, channel_id, [asked])
        if accepted.dead is not None:
            raise NoCall("bad_phone", accepted.dead)
        if not accepted.fresh or accepted.conversation_id is None:
            return accepted, False
        if not may:
            raise NoCall("too_many_calls", "many calls were asked for from here; try it again later")
        # Who is banned sees a site like anybody's.
        if is_banned(tx, accepted.conversation_id) or is_banned_at(tx, call.number):
            return accepted, True
        waiting, today = self._out.asked(tx, call.number, tx.now - timedelta(days=1))
        if waiting >= WAITING_MAX or today >= DAY_MAX:
            raise NoCall("called_already", f"{call.number} will be called already, or was called today")
        try:
            self._out.ask(tx, line_id, call.name, call.number, call.due, customer=call.customer, source=call.source)
        except BadInput as problem:  # the line's number has been switched off meanwhile
            raise NoCall("no_callback", str(problem)) from None
        return accepted, True


__all__ = ["Call", "Callbacks", "NoCall"]
