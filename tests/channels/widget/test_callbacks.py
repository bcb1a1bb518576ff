"""Calls that visitors ask for, by real sockets: entered once, with who they are and where they looked, and no number that must not be."""

import asyncio
import json
import uuid
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from broker.domain import to_us
from broker.inbound import set_banned
from channels.widget.limits import Limits
from tests.channels.widget.place import place
from tests.support.store import plain, set_full

NUMBER = "+79123456789"
ON = {"callback": True}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def run(journey):
    """Run an async journey."""
    asyncio.run(journey)


async def asks(visitor, phone="8 912 345-67-89", *, kind="promised", id_=None, **more):
    """Let the visitor ask to be called, and return the answer, of that *kind*."""
    id_ = id_ or str(uuid.uuid4())
    await visitor.send(t="callback", id=id_, phone=phone, **more)
    return await visitor.next(kind, id=id_)


async def calls(here):
    """Return the numbers of the calls that are to be made, in their order."""
    return [number for (number,) in await here.rows("SELECT number FROM calls WHERE outgoing = 1 ORDER BY came_us")]


def ms(at):
    """Return a moment as frames have it."""
    return int(at.timestamp() * 1000)


def test_a_visitor_is_called_as_soon_as_somebody_can(tmp_path):
    """The call waits in the line's queue, with the page; by its number it is the same contact who writes in the chat."""

    async def journey():
        async with place(tmp_path, settings=ON) as here, here.visitor() as visitor:
            welcome = await visitor.hello(page="https://shop.example.com/kettles", utm={"source": "ads"})
            promised = await asks(visitor, name="Eve")
            assert (welcome["callback"], promised["phone"], "at" in promised) == (True, NUMBER, False)
            await visitor.say("or write here")
            await here.decided()

            assert await calls(here) == [NUMBER]
            rows = await here.rows("SELECT state, source, contact_id FROM sessions ORDER BY channel_id")
            (call,) = [one for one in (json.loads(row[0]) for row in rows) if one.get("load") == "call"]
            assert (call["outgoing"], call["status"], call.get("responsible_id")) == (True, "queued", None)
            assert {json.loads(source)["page"] for _, source, _ in rows} == {"https://shop.example.com/kettles"}
            assert len({contact for _, _, contact in rows}) == 1
            assert await here.rows("SELECT name FROM contacts") == [("Eve",)]

    run(journey())


def test_asked_again_under_its_id_it_is_one_call(tmp_path):
    """Also from another socket, as after a lost connection; under an id that was used otherwise it is refused."""

    async def journey():
        async with place(tmp_path, settings=ON) as here:
            async with here.visitor() as visitor:
                token = (await visitor.hello())["token"]
                first = await asks(visitor, id_="callback-1")
            async with here.visitor() as visitor:
                known = (await visitor.hello(token=token))["known"]
                again = await asks(visitor, id_="callback-1")
                other = await asks(visitor, "+7 912 345-67-80", id_="callback-1", kind="refused")
                await visitor.say("hello", "message-1")
                said = await asks(visitor, id_="message-1", kind="refused")
            assert (again, known) == (first, ["phone"])
            assert (other["code"], said["code"]) == ("id_used", "id_used")
            assert await calls(here) == [NUMBER]

    run(journey())


def test_what_was_promised_is_answered_as_it_was(tmp_path):
    """Though the time has come meanwhile, and nobody is to ask any more."""

    async def journey():
        async with place(tmp_path, settings=ON) as here, here.visitor() as visitor:
            await visitor.hello()
            at = ms(datetime.now(UTC) + timedelta(milliseconds=400))
            first = await asks(visitor, id_="callback-1", at=at)
            assert first["at"] == at
            row = here.directory.channels[here.channel]
            here.directory.channels[here.channel] = replace(row, settings=row.settings | {"callback": False})
            while ms(datetime.now(UTC)) <= at:
                await here.rows("SELECT 1")
            assert await asks(visitor, id_="callback-1", at=at) == first
            assert (await asks(visitor, kind="refused"))["code"] == "no_callback"

    run(journey())


def test_a_time_is_promised(tmp_path):
    """Nobody is rung before."""

    async def journey():
        async with place(tmp_path, settings=ON) as here, here.visitor() as visitor:
            await visitor.hello()
            at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
            promised = await asks(visitor, at=ms(at))
            await here.decided()
            assert promised["at"] == ms(at)
            ((state,),) = await here.rows("SELECT state FROM sessions")
            assert datetime.fromisoformat(json.loads(state)["promised_at"]) == at

    run(journey())


def test_a_time_that_has_passed_on_its_way_is_now(tmp_path):
    """What was kept while there was no connection."""

    async def journey():
        async with place(tmp_path, settings=ON) as here, here.visitor() as visitor:
            await visitor.hello()
            assert "at" not in await asks(visitor, at=ms(datetime.now(UTC)) - 60_000)

    run(journey())


def test_outside_the_hours_the_opening_is_promised(tmp_path):
    """As soon as somebody can, and for a time at which nobody is there."""

    async def journey():
        tomorrow = (datetime.now(UTC) + timedelta(days=2)).replace(hour=9, minute=0, second=0, microsecond=0)
        hours = {"zone": "UTC", "week": {WEEKDAYS[tomorrow.weekday()]: ["09:00-10:00"]}}
        async with place(tmp_path, settings=ON, line={"hours": hours}) as here, here.visitor() as visitor:
            await visitor.hello()
            soon = await asks(visitor)
            late = await asks(visitor, "+79123456780", at=ms(tomorrow + timedelta(hours=5)))
            assert (soon["at"], late["at"]) == (ms(tomorrow), ms(tomorrow + timedelta(days=7)))

    run(journey())


@pytest.mark.parametrize(
    ("phone", "words"),
    [
        ("12", "is not a phone number"),
        ("call me", "is not a phone number"),
        ("\x00", "is not a phone number"),
        ("8 809 500 00 00", "number of a service"),
        ("8 800 555 35 35", "number of a service"),
        ("+44 20 7946 0018", "in another country"),
        ("+7 701 234 56 78", "in another country"),  # Kazakhstan has the code of Russia
        ("+7 495 123 45 67", "our own number"),
    ],
)
def test_a_number_that_is_not_to_be_called_is_told(tmp_path, phone, words):
    """Nothing is kept of it, and the socket stays."""

    async def journey():
        async with place(tmp_path, settings=ON) as here, here.visitor() as visitor:
            await visitor.hello()
            refused = await asks(visitor, phone, kind="refused")
            assert (refused["code"], words in refused["text"]) == ("bad_phone", True)
            await asks(visitor)
            assert await calls(here) == [NUMBER]

    run(journey())


@pytest.mark.parametrize("phone", ["+881 6 1234 5678", "+870 773 111 222", "+44 70 1234 5678", "+44 76 1234 5678"])
def test_what_costs_more_than_a_call_is_called_nowhere(tmp_path, phone):
    """Satellites, numbers that follow a person, pagers: also where other countries are called."""

    async def journey():
        async with place(tmp_path, settings=ON | {"callback_abroad": True}) as here, here.visitor() as visitor:
            await visitor.hello()
            assert (await asks(visitor, phone, kind="refused"))["code"] == "bad_phone"

    run(journey())


def test_what_is_refused_costs_nothing_of_the_chat(tmp_path):
    """However often somebody mistypes their number, they may write."""

    async def journey():
        limits = Limits(conversations_per_hour=1, burst=2)
        async with place(tmp_path, settings=ON, limits=limits) as here, here.visitor() as visitor:
            await visitor.hello()
            for _ in range(10):
                await asks(visitor, "12", kind="refused")
            await visitor.say("then in writing")

    run(journey())


def test_many_that_come_at_once_find_no_more_room(tmp_path):
    """Each knows of the others before it is stored."""

    async def journey():
        async with place(tmp_path, settings=ON, limits=Limits(callbacks_per_hour=2)) as here, AsyncExitStack() as stack:
            visitors = [await stack.enter_async_context(here.visitor()) for _ in range(8)]
            for visitor in visitors:
                await visitor.hello()
            for number, visitor in enumerate(visitors):
                await visitor.send(t="callback", id=f"callback-{number}", phone=f"+7912345678{number}")
            for visitor in visitors:
                await visitor.send(t="say", id="message-1", text="done")
                await visitor.next("ack")
            assert len(await calls(here)) == 2

    run(journey())


def test_other_countries_are_called_where_the_channel_says_so(tmp_path):
    """The line's region reads numbers without a country all the same."""

    async def journey():
        async with place(tmp_path, settings=ON | {"callback_abroad": True}) as here, here.visitor() as visitor:
            await visitor.hello()
            assert (await asks(visitor, "+44 20 7946 0018"))["phone"] == "+442079460018"
            assert (await asks(visitor))["phone"] == NUMBER

    run(journey())


def test_too_late_a_time_is_told(tmp_path):
    """A number that no calendar has, too."""

    async def journey():
        async with place(tmp_path, settings=ON) as here, here.visitor() as visitor:
            await visitor.hello()
            for at in (ms(datetime.now(UTC) + timedelta(days=31)), 2**53):
                assert (await asks(visitor, at=at, kind="refused"))["code"] == "bad_time"
            assert await calls(here) == []

    run(journey())


@pytest.mark.parametrize(("settings", "telephone"), [({}, True), (ON, False)])
def test_where_nobody_is_called_nobody_is_asked(tmp_path, settings, telephone):
    """The channel does not say so, or there is no telephone: the welcome says so, and who asks anyhow is told."""

    async def journey():
        async with place(tmp_path, settings=settings, telephone=telephone) as here, here.visitor() as visitor:
            assert "callback" not in await visitor.hello()
            assert (await asks(visitor, kind="refused"))["code"] == "no_callback"
            assert await here.rows("SELECT 1 FROM calls") == []

    run(journey())


def test_calls_of_an_address_are_bounded(tmp_path):
    """What was promised is answered again all the same; nothing is kept of what was refused."""

    async def journey():
        async with (
            place(tmp_path, settings=ON, limits=Limits(callbacks_per_hour=1)) as here,
            here.visitor() as one,
            here.visitor() as two,
            here.visitor(host="127.0.0.2") as elsewhere,
        ):
            for visitor in (one, two, elsewhere):
                await visitor.hello()
            first = await asks(one, id_="callback-1")
            refused = await asks(two, "+79123456780", kind="refused")
            assert (refused["code"], refused["retry_after"] > 3_000) == ("too_many_calls", True)
            assert await asks(one, id_="callback-1") == first
            await asks(elsewhere, "+79123456781")
            assert await calls(here) == [NUMBER, "+79123456781"]
            assert await here.rows("SELECT value FROM contact_points WHERE value = '+79123456780'") == []

    run(journey())


def test_few_calls_wait_for_one_number(tmp_path):
    """Whoever asked for them; a call that is over makes room."""

    async def journey():
        async with (
            place(tmp_path, settings=ON, limits=Limits(callbacks_per_hour=100)) as here,
            here.visitor() as one,
            here.visitor() as two,
        ):
            await one.hello()
            await two.hello()
            await asks(one)
            await asks(two)
            assert (await asks(two, kind="refused"))["code"] == "called_already"
            await here.store.write(lambda tx: plain(tx, "UPDATE calls SET ended_us = ?", to_us(tx.now)))
            await asks(two)
            assert await calls(here) == [NUMBER] * 3
            for _ in range(2):
                await here.store.write(lambda tx: plain(tx, "UPDATE calls SET ended_us = ?", to_us(tx.now)))
                await asks(one)
            await here.store.write(lambda tx: plain(tx, "UPDATE calls SET ended_us = ?", to_us(tx.now)))
            # Nobody's phone rings all day because somebody wishes so.
            assert (await asks(one, kind="refused"))["code"] == "called_already"
            await here.store.write(lambda tx: plain(tx, "UPDATE calls SET came_us = came_us - 86400000000"))
            await asks(one)

    run(journey())


@pytest.mark.parametrize("whose", ["number", "chat"])
def test_who_is_banned_is_promised_and_not_called(tmp_path, whose):
    """They see a site like anybody's: known by their number, or by what they wrote in the chat."""

    async def journey():
        async with place(tmp_path, settings=ON) as here, here.visitor() as visitor, here.visitor() as other:
            await visitor.hello()
            await other.hello()
            if whose == "number":
                await asks(other)
            else:
                await visitor.say("spam")
            await here.decided()
            ((contact,),) = await here.rows("SELECT id FROM contacts")
            before = await calls(here)
            await here.store.write(lambda tx: set_banned(tx, contact, banned=True))
            assert (await asks(visitor))["phone"] == NUMBER
            assert await calls(here) == before

    run(journey())


def test_a_full_store_is_told(tmp_path):
    """They ask again in a moment."""

    async def journey():
        async with place(tmp_path, settings=ON) as here, here.visitor() as visitor:
            await visitor.hello()
            await here.store.write(lambda tx: set_full(tx, True))
            number = 0
            for length in (4_000, 10):  # what there is room for yet
                kind = "ack"
                while kind == "ack":
                    number += 1
                    kind = (await visitor.send_and_hear(t="say", id=f"message-{number}", text="x" * length))["t"]
            refused = await asks(visitor, kind="refused", name="x" * 200, id_="callback-1")
            assert (refused["code"], refused["retry_after"]) == ("full", 5.0)
            await here.store.write(lambda tx: set_full(tx, False))
            await asks(visitor, name="x" * 200, id_="callback-1")

    run(journey())
