"""Calls that we make, on a real Asterisk: the operator's phone first, then the customer's."""

from __future__ import annotations

from typing import Any

import pytest

from broker.events import Hold, Resume, Transfer
from tests.channels.phone.exchange import Telephone, loudness

pytestmark = [pytest.mark.asterisk, pytest.mark.xdist_group("asterisk")]
NEVER = {"zone": "UTC", "week": {}}
"""Hours that name no opening."""
CUSTOMER, BUSY, SILENT = "79000000103", "79000000104", "79000000102"
"""Numbers outside: one who answers, one whose phone is busy, one who does not lift it."""


def test_a_customer_is_called_back(play):
    """The operator's phone rings, then the customer's; the session knows who spoke with whom, and the talk is recorded."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        await house.wants(CUSTOMER)
        talks = await house.session(status="active", operator_id=ann, reached=True)
        assert (talks["outgoing"], talks["load"]) == (True, "call")
        await house.recorded(1)
        await house.puts_down(ann)
        closed = await house.session(status="closed")
        assert (closed["operator_id"], closed.get("outcome", "")) == (ann, "")
        row = await house.call_row(ended_us=True)
        assert (row["number"], row["operator_id"]) == (f"+{CUSTOMER}", ann)
        assert row["talk_us"] < row["talk_ended_us"] <= row["ended_us"]
        await house.silent()  # the recording is whole when its channel is gone
        assert loudness(house.folder / row["recording"], 900) > 0.05
        assert await house.rows("SELECT value FROM contact_points WHERE kind = 'phone'") == [(f"+{CUSTOMER}",)]
        await house.ended()
        await house.silent()

    play(story)


def test_a_click_on_a_number_calls_it_for_whoever_clicked(play):
    """Their phone alone is rung, whoever's turn it is."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "102")
        bob = await house.operator("bob", "101")
        await house.wants(CUSTOMER, by=bob, now=True)
        await house.session(status="active", operator_id=bob, reached=True)
        assert await house.offers() == [("bob", "taken")]
        await house.joined(2)
        await house.closes(bob)
        await house.session(status="closed", operator_id=bob)
        await house.ended()
        await house.silent()

    play(story)


@pytest.mark.parametrize("phone", ["104", "105", "199"])
def test_a_click_whose_own_phone_is_not_lifted_rings_nobody_elses(play, phone: str):
    """The call is over, and says that nobody was reached."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101")
        bob = await house.operator("bob", phone)
        await house.wants(CUSTOMER, by=bob, now=True)
        assert (await house.session(status="closed"))["outcome"] == "not_reached"
        assert [who for who, _ in await house.offers()] == ["bob"]
        await house.ended()
        await house.silent()

    play(story)


def test_who_has_no_phone_that_is_free_calls_nobody(play):
    """The click is answered at once, and nothing rings."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann")
        await house.wants(CUSTOMER, by=ann, now=True)
        assert (await house.session(status="closed"))["outcome"] == "not_reached"
        await house.ended()

    play(story)


def test_a_call_that_is_promised_waits_for_its_time(play):
    """Nobody is rung before, though somebody is free."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        await house.wants(CUSTOMER, seconds=5)
        waits = await house.session(status="queued")
        assert (waits["held_why"], waits.get("offered_to", [])) == ("promised", [])
        talks = await house.session(status="active", operator_id=ann, reached=True)
        assert talks["answered_at"] >= waits["promised_at"]
        await house.closes(ann)
        await house.ended()

    play(story)


@pytest.mark.parametrize("number", [BUSY, SILENT])
def test_a_customer_who_does_not_answer_is_called_again(play, number: str):
    """By whoever called before, as often as the line says; then the session says that they were not reached."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        await house.wants(number)
        again = await house.session(status="queued", tries=1)
        assert (again["held_why"], again["responsible_id"]) == ("promised", ann)
        assert await house.rows("SELECT reserved, calls FROM budgets") == [(0, 0)]
        await house.hurry()
        closed = await house.session(status="closed")
        assert (closed["outcome"], closed["tries"]) == ("not_reached", 2)
        await house.ended()
        await house.silent()

    play(story, calls={"callback_tries": 2, "customer_seconds": 5})


def test_when_no_operator_lifts_the_phone_the_next_one_is_rung(play):
    """Declined, busy, not there: as with any call. The customer hears nothing of it."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "105")
        await house.operator("bob", "199")
        cat = await house.operator("cat", "101")
        await house.wants(CUSTOMER)
        await house.session(status="active", operator_id=cat, reached=True)
        assert [(who, how) for who, how in await house.offers() if who == "cat"] == [("cat", "taken")]
        assert {how for who, how in await house.offers() if who != "cat"} <= {"declined", "busy", "unreachable"}
        await house.closes(cat)
        await house.ended()

    play(story, distribution="strictly")


def test_a_phone_that_is_not_to_call_any_more_stops(play):
    """The operator goes while it rings: the next one is rung."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "102")
        await house.wants(CUSTOMER)
        await house.call_row(rung=1)
        bob = await house.operator("bob", "101")
        await house.goes(ann)
        await house.session(status="active", operator_id=bob, reached=True)
        await house.closes(bob)
        await house.ended()
        await house.silent()

    play(story, distribution="strictly", calls={"ring_seconds": 100})


def test_a_call_that_we_have_made_is_worked_with_like_any_other(play):
    """On hold, spoken with again, passed on; and it may be the customer who hangs up."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        await house.wants("79000000106")
        await house.session(status="closed", operator_id=ann, reached=True)  # 106 hangs up by itself
        await house.ended()
        await house.wants(CUSTOMER)
        await house.session(status="active", operator_id=ann, reached=True)
        await house.joined(2)
        await house.does(Hold, ann)
        await house.apart()
        await house.does(Resume, ann)
        await house.call_row(parked=0)
        await house.joined(2)
        bob = await house.operator("bob", "107")
        async with house.handset("107") as phone:
            await house.does(Transfer, ann, to_operator=bob)
            await phone.lifted()
            await house.session(status="active", operator_id=bob)
            await house.joined(2)
            await house.closes(bob)
            await house.ended()
            await house.silent()

    play(story)


def test_nobody_answers_and_the_caller_is_called_back(play):
    """The line's rule: the call is over with a promise, and is kept."""

    async def story(house: Telephone) -> None:
        caller = house.pbx.call("100", "caller.xml")
        missed = await house.until(lambda: _with_outcome(house, "callback"))
        assert missed["elsewhere"] == "callback"
        assert await house.hung_up(caller) == 0
        waits = await house.session(status="queued")
        assert (waits["outgoing"], waits["held_why"]) == (True, "promised")
        ann = await house.operator("ann", "101")
        await house.hurry()
        await house.session(status="active", operator_id=ann, reached=True)
        await house.closes(ann)
        await house.ended()

    play(story, calls={"no_answer_does": "callback", "no_answer_seconds": 1})


async def _with_outcome(house: Telephone, outcome: str) -> Any:
    import msgspec

    rows = await house.rows("SELECT state FROM sessions WHERE outcome = ?", outcome)
    return msgspec.json.decode(rows[0][0]) if rows else None


def test_a_customer_whose_phone_rings_as_we_die_is_not_called_twice(play):
    """How it ended is read from Asterisk afterwards."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101")
        before = await house.logged("Called PJSIP/102")
        await house.wants(SILENT)
        await house.logs("Called PJSIP/102", before + 1)
        await house.restart()
        again = await house.session(status="queued", tries=1)
        assert (again["outgoing"], again["held_why"]) == (True, "promised")
        assert await house.logged("Called PJSIP/102") == before + 1
        await house.silent()

    play(story, calls={"customer_seconds": 5})


def test_we_are_started_again_while_a_customer_is_called(play):
    """The phones ring on, and whoever lifts one is served by whoever is there then."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "107")
        async with house.handset("107") as phone:
            await house.wants(CUSTOMER)
            rings = await phone.rung()
            await house.restart()
            await phone.lifts(rings)
            await house.session(status="active", operator_id=ann, reached=True)
            await house.joined(2)
            await house.restart()
            await house.closes(ann)
            await house.ended()
            await house.silent()

    play(story)
