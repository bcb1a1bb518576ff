"""What a caller hears before they wait, on a real Asterisk: the greeting, and a menu of keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.domain import CallMenu, CallSettings, KeyDoes, MenuKey, UnansweredCalls
from tests.channels.phone.exchange import Telephone

pytestmark = [pytest.mark.asterisk, pytest.mark.xdist_group("asterisk")]
NEVER = {"zone": "UTC", "week": {}}
"""Hours that name no opening."""
MENU = CallMenu(
    sound="beep",
    keys={
        "1": MenuKey(KeyDoes.LINE, line="desk"),
        "2": MenuKey(KeyDoes.OPERATOR, operator="bob"),
        "3": MenuKey(KeyDoes.CALLBACK),
        "4": MenuKey(KeyDoes.VOICEMAIL),
        "5": MenuKey(KeyDoes.LINE, line="nowhere"),
        "0": MenuKey(KeyDoes.QUEUE),
    },
    extensions=True,
    seconds=60,
    times=1,
)
"""Who is to press a key has the time for it; with # they say that it was their last."""
ONE_KEY = replace(MENU, extensions=False)
"""The first key is the last."""


async def calls_and_presses(house: Telephone, keys: str) -> None:
    """Let somebody call, who presses *keys* when they hear the menu."""
    await house.calls_and_hears("beep")
    await house.presses(keys)


async def hangs_up(house: Telephone) -> None:
    """Let everybody hang up, and prove that all is whole and free."""
    await house.console("channel request hangup all")
    await house.ended()
    await house.silent()


def test_no_phone_rings_while_the_greeting_is_heard(play):
    """Whoever is free has all of their time afterwards; the caller's waiting is counted from then, too."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        caller = house.pbx.call("100", "caller.xml")
        hears = await house.session(status="queued")
        assert (hears["held_why"], hears.get("offered_to", []), hears.get("answer_due")) == ("greeting", [], None)
        await house.session(status="active", operator_id=ann)
        assert await house.offers() == [("ann", "taken")]
        await house.joined()
        await house.says_goodbye(caller)

    play(story, calls={"greeting": "vm-intro", "ring_seconds": 5})


def test_a_key_leads_to_another_line(play):
    """The session is that line's from then on."""

    async def story(house: Telephone) -> None:
        desk = await house.second_line("desk", calls=CallSettings(no_answer_does=UnansweredCalls.WAIT))
        await calls_and_presses(house, "1")
        moved = await house.session(status="queued", line_id=desk)
        assert moved.get("held_why", "") == ""
        await hangs_up(house)
        assert (await house.session(status="closed"))["outcome"] == "missed"

    play(story, calls={"menu": ONE_KEY})


def test_the_key_that_ends_others_is_a_key_where_there_are_no_others(play):
    """It is no part of what it ends: alone it is itself."""

    async def story(house: Telephone) -> None:
        desk = await house.second_line("desk", calls=CallSettings(no_answer_does=UnansweredCalls.WAIT))
        await calls_and_presses(house, "#")
        await house.session(status="queued", line_id=desk)
        await hangs_up(house)

    play(story, calls={"menu": replace(ONE_KEY, keys={"#": MenuKey(KeyDoes.LINE, line="desk")})})


def test_a_key_leads_to_an_operator(play):
    """They are asked before whoever's turn it is."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101")
        bob = await house.operator("bob", "103")
        await calls_and_presses(house, "2#")
        await house.session(status="active", operator_id=bob)
        await hangs_up(house)

    play(story, distribution="strictly", calls={"menu": MENU})


@pytest.mark.parametrize(("keys", "seconds"), [("103#", 60), ("103", 4)])
def test_an_extension_leads_to_whose_phone_it_is(play, keys: str, seconds: int):
    """As do several digits, where the line lets them: behind #, or when no more of them come."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101")
        bob = await house.operator("bob", "103")
        await calls_and_presses(house, keys)
        await house.session(status="active", operator_id=bob)
        await hangs_up(house)

    play(story, distribution="strictly", calls={"menu": replace(MENU, seconds=seconds)})


def test_a_key_leads_to_the_machine(play):
    """Nobody is rung."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101")
        await calls_and_presses(house, "4#")
        closed = await house.session(status="closed")
        assert (closed["outcome"], closed["sent_because"]) == ("voicemail", "key")
        assert await house.offers() == []
        await hangs_up(house)

    play(story, calls={"menu": MENU, "voicemail_greeting": ""})


@pytest.mark.parametrize("keys", ["0#", "5#", "9#", "199#"])
def test_who_chooses_nothing_that_is_there_waits_in_the_line(play, keys: str):
    """A key without meaning, a line or an extension that is none."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        await calls_and_presses(house, keys)
        talks = await house.session(status="active", operator_id=ann)
        assert talks["line_id"] == house.line
        await hangs_up(house)

    play(story, calls={"menu": MENU})


def test_who_presses_no_key_hears_the_menu_again_and_waits_in_the_line(play):
    """As often as the line says."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        before = await house.has_played("beep")
        await house.calls_and_hears("beep")
        talks = await house.session(status="active", operator_id=ann)
        assert talks["line_id"] == house.line
        await hangs_up(house)
        assert await house.has_played("beep") == before + 2

    play(story, calls={"menu": replace(MENU, seconds=1, times=2)})


def test_a_caller_outside_the_hours_is_told_so(play):
    """And then hears whatever the line does with them."""

    async def story(house: Telephone) -> None:
        caller = house.pbx.call("100", "caller.xml")
        closed = await house.session(status="closed")
        assert (closed["outcome"], closed["sent_because"]) == ("hang_up", "outside")
        assert await house.hung_up(caller) == 0  # answered, and hung up behind the sound
        await house.played("vm-goodbye", 1)
        await house.ended()

    play(story, hours=NEVER, outside_calls="hang_up", calls={"outside_sound": "vm-goodbye"})


def test_a_caller_in_the_menu_outlives_us(play):
    """We are started again while they listen: they hear it again, and choose."""

    async def story(house: Telephone) -> None:
        desk = await house.second_line("desk", calls=CallSettings(no_answer_does=UnansweredCalls.WAIT))
        await house.calls_and_hears("beep")
        heard = await house.has_played("beep")
        await house.restart()
        await house.played("beep", heard + 1)
        await house.presses("1")
        await house.session(status="queued", line_id=desk)
        await hangs_up(house)

    play(story, calls={"menu": ONE_KEY})
