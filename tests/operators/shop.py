"""A shop with two lines, its people and their browsers: routes asked as somebody, and everything decided that follows."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from broker import inbound
from broker.config import Settings
from broker.domain import ChannelId, Directory, LineId, LoadKind, OperatorId, PresenceState, Role, to_us
from broker.events import Event, RingAnswered
from broker.ports import Tx
from broker.store import directory as directories
from broker.store.sql import insert_row
from broker.store.tables import calls, seats
from channels.phone.adapter import KIND_NAME, PhoneChannel
from channels.phone.asking import CallsOut
from operators import presence
from operators.board_rest import routes as board_routes
from operators.calls_rest import routes as call_routes
from operators.deeds_rest import routes as deed_routes
from operators.rest import routes as people_routes
from operators.sessions_rest import routes as session_routes
from operators.why_rest import routes as why_routes
from routing import distributor, worker
from routing.applying import House
from routing.distributor import marked
from routing.public_holidays import WorldCalendars
from tests.support import house
from tests.support.channels import FakeChannel, wrote
from tests.support.site import Site
from tests.support.store import plain, read_once

NOBODY = "01900000-0000-7000-8000-ffffffffffff"
_SEAT = insert_row(seats, "line_id operator_id position")
_CALL = insert_row(calls, "conversation_id channel_id number called came_us")


@dataclass
class Shop:
    """A site with two lines; ann sits in the first, bob in the second, sue supervises."""

    site: Site
    off_shift: set[OperatorId] = field(default_factory=set)
    lines: list[LineId] = field(default_factory=list)
    channels: list[FakeChannel] = field(default_factory=list)
    phones: dict[ChannelId, PhoneChannel] = field(default_factory=dict)
    """Numbers from which can be called."""
    ids: dict[str, OperatorId] = field(default_factory=dict)
    browsers: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    load: LoadKind = LoadKind.CHAT
    """What comes by its channels."""
    _rung: int = 0

    def ask(self, who: str, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask as *who*."""
        return self.site.ask(method, f"/api/v1{path}", by=self.browsers[who], **more)

    def get(self, who: str, path: str) -> Any:
        """Return what *who* is answered with 200."""
        answer = self.ask(who, "GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def do(self, who: str, session: str, verb: str, key: str | None = None, **body: Any) -> httpx.Response:
        """Have *who* do a deed, and everything that follows from it."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        answer = self.ask(who, "POST", f"/sessions/{session}/{verb}", headers=headers, json=body)
        self.go_on()
        return answer

    def person(self, who: str, role: Role = Role.OPERATOR, *lines: int) -> OperatorId:
        """Add somebody who is logged in and online, with seats in *lines*."""
        self.ids[who] = self.site.person(who, role)
        self.browsers[who] = self.site.browser()
        assert self.site.log_in(who, by=self.browsers[who]).status_code == 200
        for line in lines:
            self.site.write(partial(_seat_down, operator=self.ids[who], line=self.lines[line]))
        return self.ids[who]

    def taken(self, by: str = "ann", key: str = "v1") -> str:
        """Return a session that a customer has opened in the first line and *by* has taken; a supervisor takes it over."""
        self.say(sum(ord(letter) for letter in key), key, "hello")
        session = self.session()
        self.do(by, session, "take-over" if by == "sue" else "take")
        assert self.get(by, f"/sessions/{session}")["operator_id"] == self.ids[by]
        return session

    def say(self, number: int, key: str, text: str, line: int = 0) -> None:
        """Have a customer write."""
        channel = self.channels[line]
        settings = self.site.write(directories.load).lines[channel.line_id].settings
        prepared = inbound.prepare(channel, [wrote(str(number), key, text)], settings)
        self.site.write(lambda tx: inbound.accept(tx, channel.id, prepared))
        self.go_on()

    def ring(self, number: str, line: int = 0) -> str:
        """Return a session that somebody has opened by calling from *number*; from now on all come by telephone, and everybody has one."""
        self.load = LoadKind.CALL
        self.rows("UPDATE operators SET phone = 'PJSIP/' || login")
        self._rung += 1
        channel = self.channels[line]
        raw = wrote(f"call-{self._rung}", f"{number}-{self._rung}", number, phone=number)
        settings = self.site.write(directories.load).lines[channel.line_id].settings
        prepared = inbound.prepare(channel, [raw], settings)

        def call(tx: Tx) -> None:
            (accepted,) = inbound.accept(tx, channel.id, prepared)
            tx.run(
                _CALL,
                conversation_id=accepted.conversation_id,
                channel_id=channel.id,
                number=number,
                called="100",
                came_us=to_us(tx.now),
            )

        self.site.write(call)
        self.go_on()
        return self.session()

    def telephone(self, line: int = 0) -> None:
        """Give a line a number, and everybody a phone."""
        channel = self.site.write(lambda tx: house.add_channel(tx, self.lines[line], f"number-{line}", KIND_NAME))
        row = self.site.write(directories.load).channels[channel]
        self.phones[channel] = PhoneChannel(row)
        self.rows("UPDATE operators SET phone = 'PJSIP/' || login")

    def called(self, who: str = "ann", number: str = "+79001234567", **more: Any) -> str:
        """Return the session of a call that *who* has made by a click, and for which their phone rings."""
        answer = self.ask(who, "POST", "/calls", json={"id": str(uuid.uuid4()), "number": number, **more})
        assert answer.status_code == 202, answer.text
        return self.session_of(answer.json()["conversation_id"])

    def session_of(self, conversation: str) -> str:
        """Return the session of a conversation, when everything is decided."""
        self.go_on()
        ((session,),) = self.rows("SELECT session_id FROM conversations WHERE id = ?", conversation)
        return str(session)

    def hear(self, session: str, make: Callable[[datetime], Event]) -> None:
        """Have the telephone say something of a call, and everything that follows from it."""
        ((conversation,),) = self.rows("SELECT conversation_id FROM sessions WHERE id = ?", session)
        self._rung += 1
        self.site.write(lambda tx: inbound.enter(tx, "phone", f"said-{self._rung}", conversation, make))
        self.go_on()

    def talked(self, number: str = "+79001234567", by: str = "ann") -> str:
        """Return a call in which *by* talks."""
        session = self.ring(number)
        self.hear(session, lambda at: RingAnswered(at=at, operator_id=self.ids[by]))
        assert self.get(by, f"/sessions/{session}")["operator_id"] == self.ids[by]
        return session

    def go_on(self) -> None:
        """Decide and distribute what there is."""
        loads = {channel.id: self.load for channel in self.channels} | dict.fromkeys(self.phones, LoadKind.CALL)
        known = House(self.site.write(directories.load), loads)
        # Each in a transaction of its own, as the loops have it.
        while (found := self.site.write(inbound.undecided)) or (lines := self.site.write(marked)):
            for conversation in found:
                self.site.write(lambda tx, one=conversation: worker.step(tx, one, known))  # type: ignore[misc]
            for line in [] if found else lines:
                self.site.write(lambda tx, one=line: distributor.step(tx, one, known))  # type: ignore[misc]

    def rows(self, text: str, *values: object) -> list[Any]:
        """Return what a plain query finds, for asserting."""
        return self.site.write(lambda tx: _found(tx, text, *values))

    def session(self, who: str = "sue") -> str:
        """Return the latest opened session."""
        return str(self.get(who, "/sessions")["items"][0]["id"])


def _found(tx: Tx, text: str, *values: object) -> list[Any]:
    cursor = plain(tx, text, *values)
    return list(cursor.fetchall()) if cursor.description is not None else []


def _open_line(tx: Tx, slug: str) -> tuple[LineId, ChannelId]:
    line = house.add_line(tx, slug)
    return line, house.add_channel(tx, line, slug)


def _seat_down(tx: Tx, operator: OperatorId, line: LineId) -> None:
    tx.run(_SEAT, line_id=line, operator_id=operator, position=1)
    presence.set_presence(tx, operator, PresenceState.ONLINE)


def open_shop(folder: Path, *, with_telephone: bool = True) -> Shop:
    """Return a shop that is open; with a telephone its lines have no numbers yet."""
    off_shift: set[OperatorId] = set()
    sites: list[Site] = []

    def settings() -> Directory:
        return read_once(sites[0].store, directories.load)

    routes = [
        session_routes,
        call_routes,
        deed_routes,
        why_routes(settings),
        board_routes(settings, lambda operator, _: operator not in off_shift),
        *people_routes(WorldCalendars()),
    ]
    phones: dict[ChannelId, PhoneChannel] = {}
    calls_out = CallsOut(settings, phones.get) if with_telephone else None
    sites.append(Site(folder, routes=routes, settings=Settings(data=folder), calls_out=calls_out))
    made = Shop(sites[0], off_shift, phones=phones)
    for slug in ("shop", "bar"):
        line, channel = made.site.write(partial(_open_line, slug=slug))
        made.lines.append(line)
        made.channels.append(FakeChannel(channel, line))
    made.person("ann", Role.OPERATOR, 0)
    made.person("bob", Role.OPERATOR, 1)
    made.person("sue", Role.SUPERVISOR)
    return made
