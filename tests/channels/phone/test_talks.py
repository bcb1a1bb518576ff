"""What operators do with a talk, on a real Asterisk: pass it on, put it on hold, ask a colleague, listen to it."""

from __future__ import annotations

import wave
from typing import Any

import pytest

from broker.domain import MessageId, OperatorId, to_us
from broker.events import Consult, Hold, Listen, Note, Resume, Transfer
from tests.channels.phone.exchange import Telephone, loudness

pytestmark = [pytest.mark.asterisk, pytest.mark.xdist_group("asterisk")]


async def talks(house: Telephone) -> tuple[OperatorId, Any]:
    """Let somebody call, and Ann have them; return her and the caller, who stays until they are let go."""
    ann = await house.operator("ann", "101")
    caller = house.pbx.call("100", "caller.xml")
    await house.session(status="active", operator_id=ann)
    await house.joined()
    return ann, caller


# --- passed on


def test_a_talk_is_passed_on_to_a_colleague(play):
    """Ann's phone is put down, the caller hears music until Bob lifts his; it is one call with one recording."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        bob = await house.operator("bob", "103")
        began = (await house.call_row(talk_us=True))["talk_us"]
        await house.does(Transfer, ann, to_operator=bob)
        await house.session(status="active", operator_id=bob)
        await house.joined()
        assert await house.offers() == [("ann", "taken"), ("bob", "taken")]
        await house.recorded(2)
        await house.says_goodbye(caller)
        await house.silent()  # the recording is whole when its channel is gone
        row = await house.call_row(ended_us=True)
        assert (row["talk_us"], row["operator_id"]) == (began, bob)
        assert (await house.session(status="closed"))["operator_id"] == bob
        recording = house.folder / row["recording"]
        assert (loudness(recording, 500) > 0.05, loudness(recording, 900) > 0.05, loudness(recording, 440) < 0.01) == (True,) * 3

    play(story, distribution="strictly")


def test_a_phone_that_is_another_calls_by_now_is_not_put_down(play):
    """An exchange that was started again names channels anew: who has a name like that of an old talk is left in peace."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        bob = await house.operator("bob", "103")
        (channel,) = [row[0] for row in await house.rows("SELECT talk_leg FROM calls")]
        await house.console(f"dialplan set chanvar {channel} BROKER_CALL another")
        await house.does(Transfer, ann, to_operator=bob)
        await house.session(status="offered", offered_to=[bob])
        await house.does(Note, ann, message_id=MessageId("n1"))  # a bell more
        assert channel in await house.console("core show channels concise")
        await house.puts_down(ann)  # as without a manager interface: then it goes on
        await house.session(status="active", operator_id=bob)
        await house.closes(bob)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_a_colleague_who_does_not_lift_the_phone_leaves_it_to_whoever_passed_it_on(play):
    """The caller waits, and Ann's phone rings first: before Cat's, whose turn it would be."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        bob = await house.operator("bob", "105")
        await house.operator("cat", "103")
        await house.does(Transfer, ann, to_operator=bob)
        await house.session(status="active", operator_id=ann, offer_no=3)
        assert await house.offers() == [("ann", "taken"), ("bob", "declined"), ("ann", "taken")]
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story, distribution="evenly", responsible_first=False)


def test_a_talk_is_passed_on_to_a_queue(play):
    """Whoever had it is not the first to be asked."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        bob = await house.operator("bob", "103")
        await house.does(Transfer, ann, to_line=house.line)
        await house.session(status="active", operator_id=bob)
        await house.joined()
        await house.closes(bob)
        await house.hung_up(caller)
        await house.ended()

    play(story, distribution="strictly")


def test_a_talk_is_passed_on_to_a_number_outside(play):
    """As a session it is over; the call is known until its real end, and what is said there is not recorded."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        await house.does(Transfer, ann, to_number="79000000103")
        closed = await house.session(status="closed")
        assert (closed["outcome"], closed["operator_id"], closed["forward_to"]) == ("forward", ann, "79000000103")
        assert await house.rows("SELECT reserved, calls FROM budgets") == [(0, 0)]
        row = await house.call_row(talk_ended_us=True)
        assert row["ended_us"] is None
        await house.joined(2)

        async def spoken() -> bool:
            return bool(to_us(house.clock.now()) - row["talk_ended_us"] > 1_500_000)

        await house.until(spoken)
        await house.says_goodbye(caller)
        await house.silent()
        row = await house.call_row(ended_us=True)
        assert row["ended_us"] > row["talk_ended_us"]
        with wave.open(str(house.folder / row["recording"])) as recording:
            recorded = recording.getnframes() / recording.getframerate()
        assert recorded < (row["talk_ended_us"] - row["talk_us"]) / 1e6 + 0.5

    play(story)


def test_a_number_that_does_not_answer_sends_the_caller_back(play):
    """To whoever passed them on."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        await house.does(Transfer, ann, to_number="79000000104")
        again = await house.session(status="active", operator_id=ann, offer_no=2)
        assert (again["reopened"], again.get("forward_to", ""), again.get("outcome", "")) == (1, "", "")
        await house.joined()
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_a_phone_passes_its_caller_on_by_itself(play):
    """Its transfer key (REFER): to the number of a colleague, who has the session from then on."""

    async def story(house: Telephone) -> None:
        bob = await house.operator("bob", "103", online=False)
        ann = await house.operator("ann", "107")
        async with house.handset("107") as phone:
            caller = house.pbx.call("100", "caller.xml")
            talk = await phone.lifted()
            await house.session(status="active", operator_id=ann)
            await house.joined()
            await house.comes(bob)
            await phone.passes(talk, "103")
            await house.session(status="active", operator_id=bob)
            await house.joined()
            await house.says_goodbye(caller)
        assert await house.offers() == [("ann", "taken"), ("bob", "taken")]
        assert (await house.session(status="closed"))["operator_id"] == bob

    play(story)


def test_a_phone_that_passes_its_caller_on_to_nobody_leaves_them_in_the_queue(play):
    """For whoever did so first: nothing is lost by a wrong key."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "107")
        await house.operator("bob", "103", online=False)
        async with house.handset("107") as phone:
            caller = house.pbx.call("100", "caller.xml")
            talk = await phone.lifted()
            await house.session(status="active", operator_id=ann)
            await house.joined()
            await phone.passes(talk, "103")
            again = await phone.rung()
            assert (await house.session(status="offered", offer_no=2))["offered_to"] == [ann]
            await phone.lifts(again)
            await house.session(status="active", operator_id=ann, offer_no=2)
            await house.joined()
            await house.says_goodbye(caller)
        assert await house.offers() == [("ann", "taken"), ("ann", "taken")]

    play(story)


@pytest.mark.parametrize("to", ["103", "79000000103"])
def test_a_phone_passes_its_caller_on_after_speaking_with_whoever_is_next(play, to: str):
    """An attended transfer by the phone's own keys: the session follows, to a colleague, or to the end when it is a number outside."""

    async def story(house: Telephone) -> None:
        ann = await house.operator("ann", "108")
        wires = 0 if to == "103" else 1
        async with house.handset("108") as phone:
            caller = house.pbx.call("100", "caller.xml")
            first = await phone.lifted()
            await house.session(status="active", operator_id=ann)
            await house.joined()
            bob = await house.operator("bob", "103")
            second = await phone.calls(to)
            await house.joined(2 + wires)  # a phone that passes on before they speak passes on to nobody
            await phone.joins(first, second)
            if to == "103":
                await house.session(status="active", operator_id=bob)
                assert sorted(await house.rows("SELECT reserved, calls FROM budgets")) == [(0, 0), (50, 1)]
            else:
                closed = await house.session(status="closed")
                assert (closed["operator_id"], closed["outcome"], closed["elsewhere"]) == (ann, "forward", "away")
                assert closed["forward_to"] == to
                assert (await house.call_row())["ended_us"] is None
            await house.joined(1 + wires)
            spoken = to_us(house.clock.now()) - (await house.call_row())["talk_us"]
            await house.recorded(2 * spoken / 1e6 + 1)
            await house.puts_down(bob)  # or whoever has the phone of that number outside
            closed = await house.session(status="closed")
            assert closed["operator_id"] == (bob if to == "103" else ann)
            assert await house.hung_up(caller) == 0
            await house.ended()
        await house.silent()  # the recording is whole when its channel is gone
        row = await house.call_row(ended_us=True)
        assert row["ended_us"] - row["talk_us"] > 1_000_000
        assert loudness(house.folder / row["recording"], 900) > 0.05  # Bob's: Ann's phone has no sound

    play(story)


# --- on hold


def test_a_caller_is_put_on_hold_and_spoken_with_again(play):
    """Both are taken apart, and joined again; the session is the operator's all the time."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        for _ in range(2):
            await house.does(Hold, ann)
            await house.session(status="active", held=True)
            await house.apart()
            assert await house.rows("SELECT reserved, calls FROM budgets") == [(50, 1)]
            await house.does(Resume, ann)
            await house.call_row(parked=0)
            await house.joined()
        await house.says_goodbye(caller)
        assert (await house.session(status="closed")).get("outcome", "") == ""
        await house.silent()  # the recording is whole when its channel is gone
        row = await house.call_row(ended_us=True)
        assert loudness(house.folder / row["recording"], 440) < 0.01  # the music is not part of the talk

    play(story)


def test_an_operator_who_puts_down_the_phone_while_the_caller_is_on_hold_loses_nobody(play):
    """The caller waits again, for that operator first."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        await house.operator("bob", "103")
        await house.does(Hold, ann)
        await house.apart()
        await house.puts_down(ann)
        await house.session(status="active", operator_id=ann, offer_no=2)
        await house.joined()
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_a_caller_who_hangs_up_on_hold_frees_the_operator(play):
    """Their phone is put down too."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        await house.does(Hold, ann)
        await house.apart()
        await house.says_goodbye(caller)
        await house.silent()
        assert (await house.session(status="closed"))["operator_id"] == ann

    play(story)


def test_without_the_manager_interface_nobody_is_put_on_hold(play):
    """They talk on; the call says why, in words for an administrator."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        await house.does(Hold, ann)
        row = await house.call_row(problem=True)
        assert "could not be put on hold" in row["problem"]
        assert "held" not in await house.session(status="active")
        await house.says_goodbye(caller)

    play(story, managed=False)


# --- a colleague is asked


async def asks(house: Telephone, bob: str = "103") -> tuple[OperatorId, OperatorId, Any]:
    """Let Ann, who talks, ask Bob; return both and the caller."""
    ann, caller = await talks(house)
    colleague = await house.operator("bob", bob)
    await house.does(Consult, ann, colleague=colleague)
    return ann, colleague, caller


async def consults(house: Telephone) -> None:
    """Wait until the operator speaks with the colleague, while the caller waits."""
    await house.session(status="active", consult_lifted=True)
    await house.joined(beside=1)


def test_a_call_is_given_to_a_colleague_who_was_asked(play):
    """Ann speaks with Bob while the caller hears music; then Bob speaks with the caller, and Ann's phone is free."""

    async def story(house: Telephone) -> None:
        ann, bob, caller = await asks(house)
        await consults(house)
        assert sorted(await house.rows("SELECT reserved, calls FROM budgets")) == [(50, 1), (50, 1)]
        await house.does(Transfer, ann, to_operator=bob)
        await house.session(status="active", operator_id=bob)
        await house.joined()
        assert (await house.call_row(operator_id=bob))["parked"] == 0
        await house.closes(bob)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_putting_down_the_phone_gives_the_call_to_whom_one_has_asked(play):
    """As on any telephone."""

    async def story(house: Telephone) -> None:
        ann, bob, caller = await asks(house)
        await consults(house)
        await house.puts_down(ann)
        await house.session(status="active", operator_id=bob)
        await house.joined()
        await house.closes(bob)
        await house.hung_up(caller)
        await house.ended()

    play(story)


@pytest.mark.parametrize("phone", ["104", "105", "199"])
def test_a_colleague_who_cannot_be_asked_costs_no_time(play, phone: str):
    """Ann and the caller are joined again at once."""

    async def story(house: Telephone) -> None:
        ann, _, caller = await asks(house, phone)
        await house.session(status="active", operator_id=ann, consult_no=1, held=None)
        await house.call_row(parked=0)
        await house.joined()
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_who_speaks_with_a_colleague_goes_back_to_the_caller(play):
    """By their console: the colleague's phone is put down."""

    async def story(house: Telephone) -> None:
        ann, bob, caller = await asks(house)
        await consults(house)
        await house.does(Resume, ann)
        await house.call_row(parked=0)
        await house.joined()
        await house.session(status="active", operator_id=ann)
        assert sorted(await house.rows("SELECT reserved, calls FROM budgets")) == [(0, 0), (50, 1)]
        assert bob
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_a_colleague_is_not_rung_for_a_caller_who_has_gone(play):
    """Their phone stops."""

    async def story(house: Telephone) -> None:
        _, _, caller = await asks(house, "102")
        await house.says_goodbye(caller)
        await house.silent()

    play(story, calls={"ring_seconds": 60})


# --- a supervisor listens


@pytest.mark.parametrize("how", ["listen", "whisper", "barge"])
def test_a_supervisor_hears_a_talk(play, how: str):
    """Their phone rings; while they have it lifted the session names them, and the talk goes on whatever they do."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        olga = await house.supervisor("olga", "103")
        await house.does(Listen, olga, how=how)
        await house.session(status="active", operator_id=ann, listeners=[olga])
        await house.puts_down(olga)
        await house.session(status="active", operator_id=ann, listeners=None)
        await house.joined()
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()
        await house.silent()

    play(story)


def test_listening_ends_with_the_talk(play):
    """The supervisor's phone is put down."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        olga = await house.supervisor("olga", "103")
        await house.does(Listen, olga)
        await house.session(status="active", operator_id=ann, listeners=[olga])
        await house.says_goodbye(caller)
        await house.silent()

    play(story)


def test_a_supervisor_who_does_not_lift_the_phone_hears_nothing(play):
    """The wish is forgotten, and may be had again."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        olga = await house.supervisor("olga", "104")
        await house.does(Listen, olga)
        await house.session(status="active", operator_id=ann, listen_no=1, listens=None)
        await house.does(Listen, olga)
        await house.session(status="active", operator_id=ann, listen_no=2, listens=None)
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story)


# --- the process that followed the talk is gone


def test_a_talk_that_nobody_follows_is_passed_on_all_the_same(play):
    """We are started again while they talk: the exchange has nothing to ask, and is told by its manager interface."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        bob = await house.operator("bob", "103")
        await house.restart()
        await house.does(Transfer, ann, to_operator=bob)
        await house.session(status="active", operator_id=bob)
        await house.joined()
        await house.closes(bob)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_a_caller_who_was_on_hold_and_passed_on_is_put_on_hold_again(play):
    """By whoever has them then; and passed on once more."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        bob = await house.operator("bob", "103")
        await house.does(Hold, ann)
        await house.apart()
        await house.does(Transfer, ann, to_operator=bob)
        await house.session(status="active", operator_id=bob)
        await house.joined()
        assert (await house.call_row(operator_id=bob))["parked"] == 0
        await house.does(Hold, bob)
        await house.apart()
        await house.does(Resume, bob)
        await house.call_row(parked=0)
        await house.joined()
        await house.does(Transfer, bob, to_operator=ann)
        await house.session(status="active", operator_id=ann)
        await house.joined()
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_a_phone_that_is_put_down_on_hold_while_we_are_away(play):
    """Nobody was told: the caller is asked after at the next look."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        await house.does(Hold, ann)
        await house.apart()
        await house.fall_silent()
        await house.puts_down(ann)
        await house.answer()
        await house.session(status="active", operator_id=ann, offer_no=2)
        await house.joined()
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_a_colleague_who_was_asked_before_we_died(play):
    """They speak on; when they put down the phone the operator is with the caller again."""

    async def story(house: Telephone) -> None:
        ann, bob, caller = await asks(house)
        await consults(house)
        await house.restart()
        await house.puts_down(bob)
        await house.session(status="active", operator_id=ann, held=None, consulted=None)
        await house.call_row(parked=0)
        await house.joined()
        assert sorted(await house.rows("SELECT reserved, calls FROM budgets")) == [(0, 0), (50, 1)]
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_what_was_wanted_while_we_were_away_is_done(play):
    """No bell rings for it any more."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        bob = await house.operator("bob", "103")
        await house.fall_silent()
        await house.does(Transfer, ann, to_operator=bob)
        await house.session(status="offered", offered_to=[bob])
        await house.answer()
        await house.session(status="active", operator_id=bob, offer_no=2)
        await house.closes(bob)
        await house.hung_up(caller)
        await house.ended()

    play(story)


def test_a_caller_on_hold_outlives_us(play):
    """Both ask again, and are joined when the operator wants it."""

    async def story(house: Telephone) -> None:
        ann, caller = await talks(house)
        await house.does(Hold, ann)
        await house.apart()
        await house.restart()
        await house.does(Resume, ann)
        await house.call_row(parked=0)
        await house.joined()
        await house.closes(ann)
        await house.hung_up(caller)
        await house.ended()

    play(story)
