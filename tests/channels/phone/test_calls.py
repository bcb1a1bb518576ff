"""Calls from their ringing to their end, on a real Asterisk, with phones and callers that are SIPp."""

from __future__ import annotations

import asyncio
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from channels.phone import switchboard
from channels.phone.following import WAV_HEADER_BYTES
from tests.channels.phone.exchange import Line, Telephone, exchange, loudness, telephone
from tests.support.asterisk import Asterisk
from tests.support.store import plain

NEVER = {"zone": "UTC", "week": {}}
"""Hours that name no opening."""

pytestmark = [pytest.mark.asterisk, pytest.mark.xdist_group("asterisk")]


def test_a_call_rings_is_answered_and_its_talk_is_recorded(play):
    """The caller is known by their number, the recording has both sides from the answer on, and everything is free afterwards."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        caller = house.pbx.call("100", "caller.xml")
        talks = await house.session(status="active")
        assert (talks["operator_id"], talks["load"]) == (ann, "call")
        assert (await house.rows("SELECT calls, reserved FROM budgets"))[0] == (1, 50)
        await house.recorded(1)
        await house.leaves()
        assert await house.hung_up(caller) == 0
        closed = await house.session(status="closed")
        assert (closed["operator_id"], closed.get("outcome", "")) == (ann, "")
        await house.silent()  # the recording is whole when its channel is gone
        row = await house.call_row(ended_us=True)
        assert (row["number"], row["called"], row["operator_id"]) == ("+79001234567", "100", ann)
        assert row["talk_us"] < row["talk_ended_us"] <= row["ended_us"]
        assert await house.rows("SELECT value FROM contact_points WHERE kind = 'phone'") == [("+79001234567",)]
        recording = house.folder / row["recording"]
        assert (loudness(recording, 500) > 0.05, loudness(recording, 900) > 0.05, loudness(recording, 700) < 0.01) == (True,) * 3
        await house.ended()

    play(story, calls={"ring_seconds": 10})


def test_the_second_operator_answers_when_the_first_does_not(play):
    """After the line's time to ring; whoever let it ring is not asked again in the round."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "102")
        bob = await house.operator("bob", "103")
        caller = house.pbx.call("100", "caller-hangs-up.xml", "-d", "500")
        assert await house.hung_up(caller) == 0
        closed = await house.session(status="closed")
        assert (closed["operator_id"], closed.get("outcome", "")) == (bob, "")
        assert await house.offers() == [("ann", "ran_out"), ("bob", "taken")]
        await house.ended()

    play(story, distribution="strictly", calls={"ring_seconds": 5})


@pytest.mark.parametrize(("phone", "how"), [("104", "busy"), ("105", "declined"), ("199", "unreachable")])
def test_a_phone_that_says_no_costs_the_caller_no_time(play, phone: str, how: str):
    """Busy, the red button, or nobody there: the next phone rings at once."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", phone)
        await house.operator("bob", "101")
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="active")
        assert await house.offers() == [("ann", how), ("bob", "taken")]
        await house.joined()
        await house.says_goodbye(caller)

    play(story, distribution="strictly", calls={"ring_seconds": 60})


def test_everybody_is_rung_at_once_and_one_has_it(play):
    """The others' phones stop, and their offers are withdrawn."""

    async def story(house: Telephone) -> None:
        for login, phone in (("ann", "101"), ("bob", "103"), ("cat", "102")):
            await house.operator(login, phone)
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="active")
        ended = dict(await house.offers())
        assert sorted(ended.values()) == ["taken", "withdrawn", "withdrawn"]
        assert ended["cat"] == "withdrawn"
        await house.joined()
        await house.says_goodbye(caller)

    play(story, distribution="all_at_once")


def test_a_phone_may_be_a_number_outside(play):
    """It is dialled by way of the dialplan's own context, and known by its number."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "+79000000101")
        bob = await house.operator("bob", "+79000000102")
        caller = house.pbx.call("100", "caller.xml")
        talks = await house.session(status="active")
        assert talks["operator_id"] == ann
        assert bob
        await house.joined(2)
        await house.says_goodbye(caller)

    play(story, distribution="all_at_once")


def test_when_nobody_answers_the_caller_speaks_to_the_machine(play):
    """Their words are kept with the session, which is missed; they have sound in them."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "104")
        caller = house.pbx.call("100", "caller.xml")
        closed = await house.session(status="closed", outcome="voicemail")
        assert closed.get("operator_id") is None
        await house.recorded(1.5, "voicemail")
        await house.leaves()
        assert await house.hung_up(caller) == 0
        row = await house.call_row(ended_us=True)
        left = await house.until(lambda: _with_voicemail(house))
        assert left["voicemail_seconds"] >= 1
        assert loudness(house.folder / row["voicemail"], 500) > 0.05
        await house.ended()

    play(
        story, rounds=1, calls={"no_answer_seconds": 0, "ring_seconds": 5, "voicemail_greeting": "beep", "voicemail_seconds": 30}
    )


async def _with_voicemail(house: Telephone) -> Any:
    session = await house.session(status="closed")
    return session if session.get("voicemail_seconds") else None


def test_a_caller_who_hangs_up_while_it_rings_was_missed(play):
    """The phone stops, and whoever it rang for is free."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "102")
        caller = house.pbx.call("100", "caller-gives-up.xml", "-d", "800")
        missed = await house.session(status="closed")
        assert missed["outcome"] == "missed"
        assert await house.offers() == [("ann", "withdrawn")]
        assert await house.hung_up(caller) == 0
        await house.ended()

    play(story)


def test_a_caller_who_hangs_up_while_they_wait_was_missed(play):
    """They hear music: everybody talks."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101")
        first = house.pbx.call("100", "caller.xml")
        await house.session(status="active")
        await house.joined()
        second = house.pbx.call("100", "caller-hangs-up.xml", "-d", "500")
        assert await house.hung_up(second) == 0
        missed = await house.session(status="closed", outcome="missed")
        assert missed.get("operator_id") is None
        assert await house.offers() == [("ann", "taken")]
        await house.leaves(first=True)
        assert await house.hung_up(first) == 0
        await house.ended()

    play(story)


def test_who_waits_is_rung_for_as_soon_as_a_phone_is_free(play):
    """The next in the queue, whose session had waited."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        first = house.pbx.call("100", "caller.xml")
        await house.session(status="active")
        await house.joined()
        second = house.pbx.call("100", "caller.xml")
        waits = await house.session(status="queued")
        await house.leaves(first=True)
        assert await house.hung_up(first) == 0
        talks = await house.session(status="active", operator_id=ann)
        assert talks["id"] == waits["id"]
        await house.joined()
        await house.says_goodbye(second)
        assert await house.rows("SELECT count(*) FROM sessions") == [(2,)]

    play(story)


def test_an_operator_who_hangs_up_first_ends_the_call(play):
    """And the caller with it."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "106")
        caller = house.pbx.call("100", "caller.xml")
        closed = await house.session(status="closed")
        assert (closed["operator_id"], closed.get("outcome", "")) == (ann, "")
        assert await house.hung_up(caller) == 0
        await house.ended()

    play(story)


def test_a_number_of_no_line_of_ours_goes_on_in_the_dialplan(play):
    """The exchange is told so, and does what its fallback says; nothing is stored."""

    async def story(house: Telephone) -> None:
        caller = house.pbx.call("404", "caller.xml")
        assert await house.hung_up(caller) == 0
        assert await house.rows("SELECT count(*) FROM sessions") == [(0,)]

    play(story)


# --- what is taken from somebody while it rings


def test_a_phone_stops_when_its_operator_goes(play):
    """They log out while it rings: the next phone rings at once, and not when the time is over."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "102")
        await house.operator("bob", "101")
        caller = house.pbx.call("100", "caller.xml")
        await house.call_row(rung=1)
        await house.goes(ann)
        await house.session(status="active")
        assert await house.offers() == [("ann", "gone"), ("bob", "taken")]
        await house.joined()
        await house.says_goodbye(caller)

    play(story, distribution="strictly", calls={"ring_seconds": 100})


def test_of_phones_that_ring_together_one_stops_when_its_operator_declines(play):
    """The others ring on, and one of them is lifted."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "102")
        bob = await house.operator("bob", "107")
        async with house.handset("107") as phone:
            caller = house.pbx.call("100", "caller.xml")
            late = await phone.rung()
            await house.declines(ann)
            await house.session(status="offered", offered_to=[bob])
            await phone.lifts(late)
            await house.session(status="active", operator_id=bob)
            assert dict(await house.offers()) == {"ann": "declined", "bob": "taken"}
            await house.joined()
            await house.says_goodbye(caller)

    play(story, distribution="all_at_once", calls={"ring_seconds": 100})


def test_without_the_manager_interface_a_phone_rings_to_the_end_of_its_time(play):
    """Then the next one's turn has come: nothing is lost but time."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "102")
        await house.operator("bob", "101")
        caller = house.pbx.call("100", "caller.xml")
        await house.call_row(rung=1)
        await house.goes(ann)
        await house.session(status="active")
        assert await house.offers() == [("ann", "gone"), ("bob", "taken")]
        await house.joined()
        await house.says_goodbye(caller)

    play(story, managed=False, distribution="strictly", calls={"ring_seconds": 8})


# --- where else it may go


def test_outside_the_hours_the_caller_is_forwarded(play):
    """Nobody of the line is rung; the number is dialled by way of the dialplan's context."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101")
        caller = house.pbx.call("100", "caller-hangs-up.xml", "-d", "800")
        closed = await house.session(status="closed")
        assert closed["outcome"] == "forward"
        assert await house.hung_up(caller) == 0  # 103 answered, for a caller who waits for an answer is none of us
        assert await house.offers() == []
        await house.ended()

    play(story, hours=NEVER, outside_calls="forward", calls={"forward_to": "79000000103"})


def test_outside_the_hours_the_caller_may_speak_to_the_machine(play):
    """As when nobody answers."""

    async def story(house: Telephone) -> None:
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="closed", outcome="voicemail")
        await house.recorded(1.5, "voicemail")
        await house.leaves()
        assert await house.hung_up(caller) == 0
        assert (await house.until(lambda: _with_voicemail(house)))["voicemail_seconds"] >= 1
        await house.ended()

    play(story, hours=NEVER, outside_calls="voicemail", calls={"voicemail_greeting": "", "voicemail_seconds": 30})


def test_outside_the_hours_the_call_may_be_ended(play):
    """The session says that it was."""

    async def story(house: Telephone) -> None:
        caller = house.pbx.call("100", "caller-is-refused.xml")
        assert (await house.session(status="closed"))["outcome"] == "hang_up"
        assert await house.hung_up(caller) == 0
        await house.ended()

    play(story, hours=NEVER, outside_calls="hang_up")


def test_whose_customer_it_is_is_rung_first(play):
    """Though another stands before them in the queue: the caller is known by their number."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        bob = await house.operator("bob", "103")
        first = house.pbx.call("100", "caller-hangs-up.xml", "-d", "300")
        assert await house.hung_up(first) == 0
        await house.ended()
        assert (await house.session(status="closed"))["operator_id"] == ann
        await house.store.write(lambda tx: plain(tx, "UPDATE contacts SET responsible_id = ?", bob))
        second = house.pbx.call("100", "caller.xml")
        talks = await house.session(status="active", operator_id=bob)
        assert talks["contact_id"]
        assert await house.rows("SELECT count(*) FROM contacts") == [(1,)]
        await house.joined()
        await house.says_goodbye(second)

    play(story, distribution="strictly")


# --- one capacity


def test_who_talks_is_offered_no_chat_until_they_have_hung_up(play):
    """The chat waits, beside room for it, and it is told why; then it is theirs."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="active")
        await house.joined()
        await house.chat("eve")
        assert "load" not in await house.session(status="queued")
        await house.leaves()
        assert await house.hung_up(caller) == 0
        offered = await house.session(status="offered")
        assert offered["offered_to"] == [ann]

    play(story)


def test_who_chats_is_rung(play):
    """There is room for both."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        await house.chat("eve")
        await house.session(status="offered")
        caller = house.pbx.call("100", "caller.xml")
        talks = await house.session(status="active")
        assert talks["operator_id"] == ann
        assert await house.rows("SELECT reserved, calls FROM budgets") == [(75, 1)]
        await house.joined()
        await house.leaves()
        assert await house.hung_up(caller) == 0

    play(story)


# --- after the talk


def test_a_caller_rates_the_talk_by_key(play):
    """When the operator has hung up; the session is closed by then, and gets it all the same."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "106")
        await house.console("channel originate Local/100@from-trunk/n extension four@presses-keys")

        async def rated() -> Any:
            session = await house.session(status="closed")
            return session if session.get("stars") else None

        session = await house.until(rated)
        assert (session["stars"], session["operator_id"]) == (4, ann)
        await house.ended()

    play(story, calls={"rating_sound": "beep"})


# --- who waits


def test_a_caller_hears_a_greeting_then_music_and_their_place(play):
    """What Asterisk has played to them is in its log."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101", online=False)
        before = await house.has_played("queue-youarenext")
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="queued")
        await house.played("queue-youarenext", before + 1)
        await house.says_goodbye(caller)
        log = house.pbx.log()
        order = [log.rfind(words) for words in ("Playing 'hello-world", "Started music on hold", "Playing 'queue-youarenext")]
        assert -1 not in order
        assert order[0] < order[2]

    play(story, calls={"greeting": "hello-world", "position_seconds": 1, "no_answer_does": "wait"})


# --- what is wrong with the world


def test_a_talk_that_cannot_be_recorded_goes_on_and_it_is_told(play, monkeypatch):
    """The folder is gone: nobody's talk hangs on that."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        shutil.rmtree(house.folder)
        house.folder.write_text("no folder")
        try:
            caller = house.pbx.call("100", "caller-hangs-up.xml", "-d", "600")
            assert await house.hung_up(caller) == 0
            row = await house.call_row(ended_us=True, problem=True)
            assert (row["operator_id"], "not recorded" in row["problem"]) == (ann, True)
            await house.ended()
        finally:
            house.folder.unlink()
            house.folder.mkdir()

    monkeypatch.setattr(switchboard, "WRITTEN_SECONDS", 0.5)
    play(story)


def test_a_short_talk_is_recorded_though_it_is_written_late(play, monkeypatch):
    """The exchange holds back what there is until the channel is gone: it is looked for again before anybody is told."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101")
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="active")
        await house.joined()
        await house.says_goodbye(caller)
        await house.silent()
        await house.looked()
        row = await house.call_row(ended_us=True)
        assert (row["problem"], (house.folder / row["recording"]).stat().st_size > WAV_HEADER_BYTES) == ("", True)

    monkeypatch.setattr(switchboard, "WRITTEN_SECONDS", 0.5)
    play(story)


@pytest.mark.parametrize(
    ("number", "name", "kept", "called"),
    [
        ("", "", "", ""),
        ("anonymous", "Anonymous", "", ""),
        ("8 (912) 345-67-89", "<b>Eve</b>", "+79123456789", "<b>Eve</b>"),
        ("101", 'Eve" <9>\\', "101", None),
        ("79123456789", "a,b&c(d)^e$f{g}h|i\\k", "+79123456789", None),
        ("79123456789", "${SHELL(id)}", "+79123456789", None),
    ],
)
def test_whoever_calls_under_whatever_name_is_served(play, number: str, name: str, kept: str, called: str | None):
    """A number that is none, a name that means something to a dialplan, to a page or to nobody."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "106")
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        (house.pbx.folder / "spool/outgoing").mkdir(exist_ok=True)
        made = house.pbx.folder / "spool/spoofed"
        made.write_text(
            f'Channel: Local/100@from-trunk/n\nCallerID: "{quoted}" <{number}>\nContext: presses-keys\nExtension: four\nPriority: 1\n'
        )
        made.rename(house.pbx.folder / "spool/outgoing/spoofed")
        closed = await house.session(status="closed")
        assert closed["operator_id"] == ann
        assert (await house.call_row(ended_us=True))["number"] == kept
        ((known,),) = await house.rows("SELECT name FROM contacts")
        assert called is None or known == called
        await house.ended()

    play(story)


# --- we die, and are there again


def test_who_waits_is_kept_while_we_are_away(pbx, tmp_path: Path):
    """The broker goes with a caller waiting; whoever comes next finds the same session, and rings for it."""

    async def run() -> None:
        async with telephone(tmp_path, *pbx, calls={"no_answer_does": "wait"}) as house:
            caller = house.pbx.call("100", "caller.xml")
            first = await house.session(status="queued")
            await house.restart()
            ann = await house.operator("ann", "101")
            talks = await house.session(status="active")
            assert (talks["id"], talks["operator_id"]) == (first["id"], ann)
            assert (await house.call_row(attempt=True))["attempt"] >= 2
            await house.joined()
            await house.says_goodbye(caller)
            assert await house.rows("SELECT count(*) FROM sessions") == [(1,)]

    asyncio.run(run())


def test_a_talk_goes_on_while_we_are_away_and_rings_nobody_again(pbx, tmp_path: Path):
    """It ends while nobody listens; the next one learns from Asterisk how."""

    async def run() -> None:
        async with telephone(tmp_path, *pbx) as house:
            ann = await house.operator("ann", "101")
            caller = house.pbx.call("100", "caller.xml")
            await house.session(status="active")
            await house.joined()
            await house.fall_silent()
            await house.joined()
            await house.leaves()
            await house.answer()
            assert await house.hung_up(caller) == 0
            closed = await house.session(status="closed")
            assert (closed["operator_id"], closed.get("outcome", "")) == (ann, "")
            assert await house.offers() == [("ann", "taken")]
            await house.ended()

    asyncio.run(run())


def test_a_phone_that_rings_while_we_are_away_is_not_rung_again(pbx, tmp_path: Path):
    """The offer that was rung is over when we are back; the next operator's phone rings."""

    async def run() -> None:
        async with telephone(tmp_path, *pbx, distribution="strictly", calls={"ring_seconds": 6}) as house:
            await house.operator("ann", "102")
            await house.operator("bob", "101")
            caller = house.pbx.call("100", "caller.xml")
            await house.call_row(rung=True)
            await house.restart()
            await house.session(status="active")
            assert [who for who, _ in await house.offers()] == ["ann", "bob"]
            await house.joined()
            await house.says_goodbye(caller)

    asyncio.run(run())


# --- the exchange knows no more of it


def test_a_call_whose_end_nobody_told_is_found_missing(tmp_path: Path):
    """The exchange dies in the midst of a talk: a second look is sure of it, and its operator is free."""

    async def run(pbx: Asterisk, line: Line) -> None:
        async with telephone(tmp_path, pbx, line, calls={"callback_lost": False}) as house:
            ann = await house.operator("ann", "101")
            house.pbx.call("100", "caller.xml")
            await house.session(status="active")
            await house.joined()
            census = house.census()
            assert [await census.look() for _ in range(3)] == [0, 0, 0]
            await house.dies()
            assert [await census.look() for _ in range(3)] == [0, 1, 0]
            closed = await house.session(status="closed")
            assert (closed["operator_id"], closed["outcome"]) == (ann, "lost")
            await house.ended()

    with exchange() as (pbx, line):
        asyncio.run(run(pbx, line))


@pytest.mark.parametrize("talks", [True, False])
def test_whose_call_was_interrupted_is_called_back(tmp_path: Path, talks: bool):
    """A while later: first of all by whoever spoke with them; who waited, by anybody."""

    async def run(pbx: Asterisk, line: Line) -> None:
        async with telephone(tmp_path, pbx, line, calls={"callback_seconds": 600, "no_answer_does": "wait"}) as house:
            ann = await house.operator("ann", "101", online=talks)
            house.pbx.call("100", "caller.xml")
            if talks:
                await house.session(status="active", operator_id=ann)
                await house.joined()
            else:
                await house.session(status="queued")
                await house.answered()
            census = house.census()
            await house.dies()
            assert [await census.look() for _ in range(3)] == [0, 1, 0]
            back = await house.session(status="queued", outgoing=True)
            assert (back["line_id"], back.get("responsible_id"), back["held_why"]) == (
                house.line,
                ann if talks else None,
                "promised",
            )
            wait = datetime.fromisoformat(back["promised_at"]) - datetime.now(UTC)
            assert timedelta(minutes=9) < wait <= timedelta(minutes=10)
            assert await house.rows("SELECT number FROM calls WHERE outgoing = 1") == [("+79001234567",)]

    with exchange() as (pbx, line):
        asyncio.run(run(pbx, line))


def test_who_has_called_again_is_not_called_back(tmp_path: Path):
    """Neither while they wait again, nor for each time that they were cut off."""

    async def run(pbx: Asterisk, line: Line) -> None:
        async with telephone(tmp_path, pbx, line, calls={"no_answer_does": "wait"}) as house:
            await house.operator("ann", "101", online=False)
            census = house.census()
            house.pbx.call("100", "caller.xml")
            await house.session(status="queued")
            await house.answered()
            await house.dies()
            assert await census.look() == 0
            house.pbx.call("100", "caller.xml")
            await house.session(status="queued")
            await house.answered()
            assert [await census.look() for _ in range(2)] == [1, 0]
            assert await house.rows("SELECT 1 FROM calls WHERE outgoing = 1") == []

    with exchange() as (pbx, line):
        asyncio.run(run(pbx, line))


def test_whose_end_was_only_not_told_is_not_called_back(pbx, tmp_path: Path):
    """The exchange lives: it has not cut anybody off."""

    async def run() -> None:
        async with telephone(tmp_path, *pbx, calls={"no_answer_does": "wait"}) as house:
            await house.operator("ann", "101", online=False)
            caller = house.pbx.call("100", "caller.xml")
            await house.session(status="queued")
            await house.answered()
            unknown = f"{int(time.time())}.99999"
            await house.store.write(lambda tx: plain(tx, "UPDATE conversations SET key = ?", unknown))
            census = house.census()
            assert [await census.look() for _ in range(3)] == [0, 1, 0]
            assert (await house.session(status="closed"))["outcome"] == "missed"
            assert await house.hung_up(caller) == 0
            assert await house.rows("SELECT 1 FROM calls WHERE outgoing = 1") == []

    asyncio.run(run())


def test_calls_of_another_exchange_are_not_counted(pbx, tmp_path: Path):
    """What it names its calls begins with its name, and this one has none."""

    async def run() -> None:
        async with telephone(tmp_path, *pbx, calls={"no_answer_does": "wait"}) as house:
            caller = house.pbx.call("100", "caller.xml")
            await house.session(status="queued")
            await house.answered()
            await house.store.write(lambda tx: plain(tx, "UPDATE conversations SET key = 'north-1732771234.15'"))
            assert [await house.census().look() for _ in range(3)] == [0, 0, 0]
            await house.store.write(lambda tx: plain(tx, "UPDATE conversations SET key = '1732771234.15'"))
            census = house.census()
            assert [await census.look() for _ in range(2)] == [0, 1]
            assert await house.hung_up(caller) == 0

    asyncio.run(run())


# --- what a review has found, and is repaired


def test_of_two_numbers_of_a_line_each_call_ends_as_its_own(play):
    """The exchange tells the end without saying which number was called: the call is found by its own name."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        await house.number("a-first", ["999"])
        await house.number("number", ["100"])
        caller = house.pbx.call("100", "caller.xml")
        talks = await house.session(status="active")
        assert talks["operator_id"] == ann
        await house.joined()
        assert await house.rows(
            "SELECT channels.slug FROM conversations JOIN channels ON channels.id = conversations.channel_id"
        ) == [("number",)]
        await house.store.write(lambda tx: plain(tx, "UPDATE channels SET active = 0 WHERE slug = 'number'"))
        await house.directory.refresh()
        await house.says_goodbye(caller)

    play(story)


def test_who_is_banned_is_not_left_in_silence(play):
    """No session is opened for them, and nobody will ever answer: the dialplan's fallback does."""

    async def story(house: Telephone) -> None:
        first = house.pbx.call("100", "caller-hangs-up.xml", "-d", "600")
        assert await house.hung_up(first) == 0
        await house.ended()
        await house.store.write(lambda tx: plain(tx, "UPDATE contacts SET banned_us = 1"))
        second = house.pbx.call("100", "caller.xml")
        assert await house.hung_up(second) == 0
        assert await house.rows("SELECT count(*) FROM sessions") == [(1,)]

    play(story, calls={"no_answer_does": "wait"})


def test_a_forwarded_call_is_forwarded_once(pbx, tmp_path: Path):
    """We die while they talk elsewhere: who asks next is told that it is over with that."""

    async def run() -> None:
        settings: dict[str, Any] = {"hours": NEVER, "outside_calls": "forward", "calls": {"forward_to": "79000000103"}}
        async with telephone(tmp_path, *pbx, **settings) as house:
            before = await house.logged("Called Local/79000000103")
            caller = house.pbx.call("100", "caller.xml")
            await house.session(status="closed", outcome="forward")
            await house.joined(2)
            await house.restart()
            await house.put_down("PJSIP/103")
            await house.call_row(attempt=2)
            assert await house.hung_up(caller) == 0
            await house.ended()
            assert await house.logged("Called Local/79000000103") == before + 1

    asyncio.run(run())


def test_what_was_said_to_the_machine_is_not_recorded_over(pbx, tmp_path: Path):
    """We die as it has been said: who asks next keeps it, and asks for nothing more."""

    async def run() -> None:
        calls = {"no_answer_seconds": 0, "voicemail_greeting": "", "voicemail_seconds": 30}
        async with telephone(tmp_path, *pbx, calls=calls) as house:
            caller = house.pbx.call("100", "caller.xml")
            row = await house.call_row(voicemail=True)
            await house.recorded(1, "voicemail")
            await house.restart()
            left = await house.until(lambda: _with_voicemail(house))
            assert left["voicemail_seconds"] >= 1
            assert await house.hung_up(caller) == 0
            await house.ended()
            assert loudness(house.folder / row["voicemail"], 500) > 0.05

    asyncio.run(run())


def test_an_end_that_the_store_refuses_is_told_again(play):
    """It is busy for a moment: nothing of the call stays open."""

    async def story(house: Telephone) -> None:
        await house.operator("ann", "101")
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="active")
        await house.joined()
        house.refuse_writes(3)
        await house.says_goodbye(caller)

    play(story)


def test_a_talk_that_is_closed_in_the_console_ends(play):
    """Whoever has the session closes it: the caller is hung up, and the operator is free for the next."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "101")
        caller = house.pbx.call("100", "caller.xml")
        await house.session(status="active")
        await house.joined()
        await house.closes(ann)
        assert await house.hung_up(caller) == 0
        await house.ended()

    play(story)


def test_whose_phone_it_is_is_asked_of_those_who_were_rung(play):
    """Another one had this phone before, and has it in the house's records still."""

    async def story(house: Telephone) -> None:
        await house.operator("aaa", "101", online=False)
        ann = await house.operator("ann", "101")
        bob = await house.operator("bob", "102")
        caller = house.pbx.call("100", "caller-hangs-up.xml", "-d", "600")
        assert await house.hung_up(caller) == 0
        await house.ended()
        assert (await house.session(status="closed"))["operator_id"] == ann
        assert (await house.call_row(ended_us=True))["operator_id"] == ann
        assert bob

    play(story, distribution="all_at_once")
