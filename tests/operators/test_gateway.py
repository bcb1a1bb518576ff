"""The consoles' socket on a real server: who gets in, what they see, what they do, and what becomes of those who misbehave."""

from __future__ import annotations

import asyncio
import socket as sockets
import uuid
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import websockets

from broker.access.authorize import Actor
from broker.config import OperatorLimits, Settings
from broker.domain import OperatorId, PresenceState, Role, to_us
from broker.errors import StoreBusy
from broker.ports import LeadDraft
from broker.store.journal import Position
from crm_bridge.builtin import BuiltInCrm
from operators import contacts, lines, presence
from operators.feed import Feed
from operators.gateway import Gateway
from operators.sockets import UNAVAILABLE
from tests.operators.desk import Console, Desk, played

# --- the door


def test_without_a_login_the_door_stays_shut(tmp_path):
    """A socket without a valid login is refused before it opens."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        for token in ("", "nobody's"):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with desk.socket(ann, token=token):
                    pass
            assert refused.value.response.status_code == 401

    played(tmp_path, story)


@pytest.mark.parametrize("origin", [None, "null", "https://evil.example", "http://127.0.0.1:1", "https://127.0.0.1"])
def test_a_foreign_page_is_refused(tmp_path, origin):
    """A page of another site cannot open the socket with the operator's cookie; nor can one that does not say whose it is."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with desk.socket(ann, origin=origin):
                pass
        assert refused.value.response.status_code == 403

    played(tmp_path, story)


def test_an_operator_opens_so_many_sockets_and_no_more(tmp_path):
    """One account cannot take all sockets of the house; a closed one makes room."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann, presence=None), desk.console(ann, presence=None):
            with pytest.raises(websockets.InvalidStatus) as refused:
                async with desk.socket(ann):
                    pass
            assert refused.value.response.status_code == 429

    played(tmp_path, story, Settings(operator=OperatorLimits(sockets_per_operator=2)))


def test_who_says_no_hello_is_closed(tmp_path):
    """An opened socket that stays silent is closed with 4408."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.socket(ann) as console:
            assert 4408 == await console.close_code()
            assert "hello_first" == console.frames[-1]["code"]

    played(tmp_path, story, Settings(operator=OperatorLimits(hello_seconds=0.05)))


@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        '"hello"',
        "{}",
        '{"t":"nothing"}',
        '{"t":["do"]}',
        '{"t":"hello","extra":1}',
        '{"t":"open","session":7}',
        "[" * 5_000,
    ],
)
def test_a_frame_nobody_can_read_closes_its_socket_only(tmp_path, frame):
    """Bad JSON, an unknown tag, an unknown field, a wrong type: an error and 4400; a colleague's socket goes on."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        async with desk.console(bob, presence=None) as other, desk.console(ann, presence=None) as console:
            await console.socket.send(frame)
            assert 4400 == await console.close_code()
            assert "bad_frame" == console.frames[-1]["code"]
            await other.caught_up()

    played(tmp_path, story)


def test_bytes_and_second_hellos_are_bad_frames(tmp_path):
    """Frames are text, and hello is said once."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann, presence=None) as console:
            await console.socket.send(b"\x00")
            assert 4400 == await console.close_code()
        async with desk.console(ann, presence=None) as console:
            await console.send(t="hello")
            assert 4400 == await console.close_code()
        async with desk.socket(ann) as console:
            await console.send(t="ping")
            assert 4400 == await console.close_code()
            assert "hello_first" == console.frames[-1]["code"]

    played(tmp_path, story)


@pytest.mark.parametrize("frame", [{"t": "open"}, {"t": "older", "before": 5}, {"t": "pin", "on": True}, {"t": "typing"}])
def test_a_nul_in_a_sessions_id_is_a_bad_frame(tmp_path, frame):
    """No database keeps one in a text, and PostgreSQL is not even asked with one."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        for more in (frame, {"t": "do", "id": "x" * 8, "verb": "take"}):
            async with desk.console(ann, presence=None) as console:
                await console.send(**more, session="019aa000-0000-7000-8000-00000000000\0")
                assert 4400 == await console.close_code()

    played(tmp_path, story)


def test_a_frame_that_is_too_large_closes_with_1009(tmp_path):
    """More than 64 KiB in one frame is nobody's message."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann, presence=None) as console:
            await console.send(t="do", id="x" * 8, session=str(uuid.uuid4()), verb="reply", text="x" * 70_000)
            assert 1009 == await console.close_code()

    played(tmp_path, story)


def test_a_login_that_ends_closes_its_sockets(tmp_path):
    """Logging out, a new password, being switched off: the sockets of that login are closed with 4401 at once, others stay."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        token = await desk.log_in(ann)
        async with desk.socket(ann, token=token) as one, desk.socket(ann) as other:
            await one.hello()
            await other.hello()
            await desk.log_out(token)
            async with asyncio.timeout(1.0):
                assert 4401 == await one.close_code()
            await other.caught_up()

    played(tmp_path, story)


# --- the way of a session


def test_a_session_from_its_first_word_to_its_closing(tmp_path):
    """Offered, taken, answered, closed: the operator sees each step, and their counts and load with it."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            await desk.say("v1", "hello there", name="Vera")
            offered = (await console.card(status="offered"))["card"]
            session = offered["session"]
            assert offered["offered_until"] > 0
            assert ("Vera", "hello there", "contact", "Shop") == tuple(
                offered[key] for key in ("contact_name", "last_text", "last_who", "line_name")
            )
            await console.until(lambda u: u.get("counts") == {"mine": 1, "waiting": 0})
            take = await console.do(session, "take")
            active = (await console.card(status="active"))["card"]
            assert (ann, "Ann", None) == (active["operator"], active["operator_name"], active.get("offered_until"))
            await desk.say("v1", "are you there?")
            told = await console.said("are you there?")
            assert ("contact", "are you there?") == (told["message"]["who"], told["card"]["last_text"])
            reply = await console.do(session, "reply", text="  I am.  ")
            answered = await console.said("I am.")
            assert (reply, ann, "Ann") == tuple(answered["message"][key] for key in ("command", "operator", "name"))
            assert "unanswered" not in answered["card"]
            await console.do(session, "close", outcome="helped")
            closed = (await console.card(status="closed"))["card"]
            assert ("helped", take != reply) == (closed["outcome"], True)
            await console.until(lambda u: u.get("counts") == {"mine": 0, "waiting": 0})
        assert 25 in [update["load"] for update in console.updates if "load" in update]
        assert 0 == [update["load"] for update in console.updates if "load" in update][-1]
        assert [n + 1 for n in range(len([f for f in console.frames if f["t"] == "updates"]))] == [
            frame["n"] for frame in console.frames if frame["t"] == "updates"
        ]

    played(tmp_path, story)


def test_a_reply_that_was_written_in_the_thread_shows_its_fate(tmp_path):
    """The thread on screen is told what becomes of each message; a list is not."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console, desk.console(ann, presence=None) as beside:
            session = await _taken(desk, console)
            await console.send(t="open", session=session)
            await console.next("thread", session=session)
            await console.do(session, "reply", text="on its way")
            message = (await console.said("on its way"))["message"]
            await console.until(lambda u: u.get("fate", {}).get("seq") == message["seq"] and u["fate"]["fate"] == "sent")
            await beside.said("on its way")
            await beside.caught_up()
            assert [] == [update for update in beside.updates if "fate" in update]

    played(tmp_path, story)


def test_a_rating_in_words_reaches_the_card(tmp_path):
    """It changes neither the session's status nor its operator, and the closed card waits for no answer because of it."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            session = await _taken(desk, console)
            await console.send(t="list", box="all")
            await console.next("page")
            await console.do(session, "reply", text="hi")
            await console.do(session, "close", outcome="helped")
            await console.card(status="closed")
            await desk.say("v1", "good")
            rated = (await console.card(rating="good"))["card"]

        assert (rated["status"], rated.get("unanswered")) == ("closed", None)

    played(tmp_path, story)


@pytest.mark.parametrize("looks_at", ["thread", "list"])
def test_what_is_committed_while_a_screen_is_read_reaches_it(tmp_path, looks_at: str):
    """A supervisor looks at another's session: what happens between the reading and its answer is told after it."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        sue = await desk.operator("sue", role=Role.SUPERVISOR)
        async with desk.console(ann) as console, desk.console(sue, presence=None) as looking:
            session = await _taken(desk, console)
            await looking.caught_up()

            async def say() -> None:
                await desk.say("v1", "are you there?")
                await console.said("are you there?")

            async def close() -> None:
                await console.do(session, "close", outcome="helped")
                await console.card(status="closed")

            if looks_at == "thread":
                desk.tight.meanwhile = f"{Gateway._open.__qualname__}.<locals>.read", say
                await looking.send(t="open", session=session)
                await looking.next("thread", session=session)
                await looking.said("are you there?")
            else:
                desk.tight.meanwhile = Gateway._list.__qualname__, close
                await looking.send(t="list", box="all")
                await looking.next("page")
                await looking.card(status="closed")

    played(tmp_path, story)


def test_the_thread_has_the_notes_and_what_came_before(tmp_path):
    """Opening shows the whole conversation, 100 messages at a time, and the person; a note is among them."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            session = await _taken(desk, console, page="https://shop.example/shoes", email="vera@example.com")
            for number in range(120):
                await desk.say("v1", f"line {number}")
            await console.said("line 119")
            await console.do(session, "note", text="patience")
            await console.said("patience")
            await console.send(t="open", session=session)
            thread = await console.next("thread", session=session)
            assert (100, True, "note") == (len(thread["messages"]), thread["more"], thread["messages"][-1]["kind"])
            assert {"kind": "email", "value": "vera@example.com", "evidence": "form"} in thread["contact"]["points"]
            assert "https://shop.example/shoes" == thread["contact"]["page"]
            await console.send(t="older", session=session, before=thread["messages"][0]["seq"])
            older = await console.next("older", session=session)
            assert "hello" == older["messages"][0]["text"]
            assert not older["more"]
            seqs = [message["seq"] for message in (*older["messages"], *thread["messages"])]
            assert sorted(set(seqs)) == seqs

    played(tmp_path, story)


def test_details_told_meanwhile_reach_the_open_thread_and_the_card(tmp_path):
    """A form filled in during the talk completes the contact beside the thread, and the card's name."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            session = await _taken(desk, console)
            await console.send(t="open", session=session)
            await console.next("thread", session=session)
            await desk.tell_details("v1", name="Vera Ivanova", email="vera@example.com")
            await console.card(contact_name="Vera Ivanova")
            told = await console.until(lambda u: "contact" in u)
            assert "Vera Ivanova" == told["contact"]["name"]
            assert ["vera@example.com"] == [point["value"] for point in told["contact"]["points"] if point["kind"] == "email"]

    played(tmp_path, story)


async def _leads_of(desk: Desk, v: str, line: str, responsible: str | None = None) -> str:
    """Make the lead of the customer *v*, as the CRM's reader does, and return its id."""
    ((contact,),) = await desk.rows("SELECT contact_id FROM conversations WHERE key = ?", v)
    draft = LeadDraft(
        external_id=f"contact:{contact}",
        contact_id=contact,
        session_id=None,
        line_id=line,
        title="Vera · Shop",
        source="Shop",
        source_details={},
        responsible_id=responsible,
    )
    return await BuiltInCrm(desk.store).put_lead(draft)


def test_a_new_lead_reaches_the_open_card_and_those_who_may_see_leads(tmp_path):
    """The card beside the thread shows the lead without being opened again; a console is told of leads that its operator may see."""

    async def story(desk: Desk) -> None:
        bar, channel = await desk.line_with_channel("bar")
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", bar)
        async with desk.console(ann) as console, desk.console(bob) as other:
            session = await _taken(desk, console)
            await console.send(t="open", session=session)
            thread = await console.next("thread", session=session)
            await desk.say("v9", "hello", channel)
            await other.card(contact_name="")
            lead = await _leads_of(desk, "v1", desk.line)
            await console.until(lambda u: u.get("lead") == lead)
            told = await console.until(lambda u: "contact" in u)
            theirs = await _leads_of(desk, "v9", bar)
            await other.until(lambda u: u.get("lead") == theirs)

            assert "leads" not in thread["contact"]
            assert [{"id": lead, "title": "Vera · Shop", "stage": "new"}] == told["contact"]["leads"]
            await console.caught_up()
            assert [lead] == [update["lead"] for update in console.updates if "lead" in update]
            assert [theirs] == [update["lead"] for update in other.updates if "lead" in update]

    played(tmp_path, story)


def test_a_lead_that_was_missed_is_told_on_resuming(tmp_path):
    """A page of leads that was cut off while one was made learns of it with everything else."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            await _taken(desk, console)
            await console.caught_up()
            mark = console.at
        lead = await _leads_of(desk, "v1", desk.line)
        async with desk.socket(ann) as console:
            assert "resumed" == (await console.hello(resume=mark))["t"]
            await console.until(lambda u: u.get("lead") == lead)

    played(tmp_path, story)


def test_the_card_says_the_channel_in_words_and_never_its_id_of_a_person(tmp_path):
    """An identity is random letters to an operator: they are told which channel it is, once, however many browsers there were."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            session = await _taken(desk, console)
            await desk.tell_details("v1", email="vera@example.com")
            await desk.tell_details("v2", email="vera@example.com")
            await _decided(desk)
            await console.send(t="open", session=session)
            thread = await console.next("thread", session=session)
            channels = [point for point in thread["contact"]["points"] if point["kind"] == "channel"]
            ((kind, name),) = await desk.rows("SELECT kind, name FROM channels")

            assert [{"kind": "channel", "value": "", "evidence": "identity", "channel": kind, "channel_name": name}] == channels

    played(tmp_path, story)


def test_greetings_tell_the_servers_time(tmp_path):
    """Waiting times and deadlines are counted by one clock, whatever the console's says."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        before = to_us(desk.clock.now()) // 1000
        async with desk.socket(ann) as console:
            first = await console.hello()
            mark = console.at
        async with desk.socket(ann) as console:
            again = await console.hello(resume=mark)
        after = to_us(desk.clock.now()) // 1000

        assert ("snapshot", "resumed") == (first["t"], again["t"])
        assert before <= first["now"] <= again["now"] <= after

    played(tmp_path, story)


def test_a_deed_said_again_is_accepted_again_and_done_once(tmp_path):
    """A console that lost its connection before the answer says the deed again; the customer gets one message."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            session = await _taken(desk, console)
            reply = await console.do(session, "reply", text="once")
            await console.do(session, "reply", reply, text="once")
            await console.do(session, "close")
            await console.card(status="closed")
            await console.do(session, "reply", reply, text="once")
            ((count,),) = await desk.rows("SELECT count(*) FROM messages WHERE text = 'once'")
            assert 1 == count

    played(tmp_path, story)


def test_an_id_used_for_another_deed_is_refused(tmp_path):
    """Accepted it would be lost without a word: other words, another verb, another customer's session."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            session = await _taken(desk, console)
            other = await _taken(desk, console, visitor="v2")
            reply = await console.do(session, "reply", text="once")
            for deed in (
                {"session": session, "verb": "reply", "text": "twice"},
                {"session": session, "verb": "note", "text": "once"},
                {"session": other, "verb": "reply", "text": "once"},
            ):
                await console.send(t="do", id=reply, **deed)
                refused = await console.next("refused", id=reply)
                assert ("id_used", True) == (refused["code"], "id" in refused["text"])
            await console.do(session, "reply", reply, text="once")
            await desk.decided()
            ((count,),) = await desk.rows("SELECT count(*) FROM messages WHERE author = 'operator'")
            assert 1 == count

    played(tmp_path, story)


def test_what_the_engine_refuses_is_said_in_a_sentence_of_ones_language(tmp_path):
    """Two operators take at once: one has it, the other is told why not; words are measured before anything is stored."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        async with desk.console(ann) as one, desk.console(bob, presence="away") as other:
            session = await _taken(desk, one)
            await other.send(t="do", id="bob-takes-1", session=session, verb="take")
            refused = await other.next("refused", id="bob-takes-1")
            assert ("taken", True) == (refused["code"], bool(refused["text"]))
            for text, code in (("   ", "empty"), ("x" * 8_001, "too_long")):
                await one.send(t="do", id="words-" + code, session=session, verb="reply", text=text)
                assert code == (await one.next("refused", id="words-" + code))["code"]
            await one.send(t="do", id="nowhere-1", session=str(uuid.uuid4()), verb="take")
            assert "no_session" == (await one.next("refused", id="nowhere-1"))["code"]

    played(tmp_path, story)


def test_a_refusal_that_was_missed_is_told_when_the_deed_is_said_again(tmp_path):
    """Who was away while the engine refused their words learns it, however long they were away."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        async with desk.console(ann) as one:
            session = await _taken(desk, one)
            async with desk.console(bob, presence=None) as other:
                await other.send(t="do", id="bob-takes-1", session=session, verb="take")
                await other.next("refused", id="bob-takes-1")
            async with desk.console(bob, presence=None) as other:
                await other.do(session, "take", "bob-takes-1")
                assert "taken" == (await other.next("refused", id="bob-takes-1"))["code"]

    played(tmp_path, story)


def test_a_full_disk_refuses_and_says_when_to_come_back(tmp_path):
    """Nothing is accepted that is not stored; the same deed is accepted once there is room again."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            session = await _taken(desk, console)
            desk.tight.full = True
            await console.send(t="do", id="full-disk-1", session=session, verb="reply", text="kept")
            refused = await console.next("refused", id="full-disk-1")
            assert ("unavailable", True) == (refused["code"], refused["retry_after"] > 0)
            await console.send(t="presence", state="away")
            assert "unavailable" == (await console.next("error"))["code"]
            desk.tight.full = False
            await console.do(session, "reply", "full-disk-1", text="kept")
            await console.said("kept")

    played(tmp_path, story)


# --- who sees what


def test_a_line_that_is_not_mine_is_nowhere(tmp_path):
    """Neither list, nor thread, nor deed, nor a count tells of a session in a line without a seat; a supervisor sees it."""

    async def story(desk: Desk) -> None:
        bar, bar_channel = await desk.line_with_channel("bar")
        ann = await desk.operator("ann", desk.line)
        sue = await desk.operator("sue", role=Role.SUPERVISOR)
        assert bar != desk.line
        async with desk.console(ann, presence=None) as mine, desk.console(sue, presence=None) as all_of_it:
            await desk.say("v9", "secret", bar_channel)
            card = (await all_of_it.card(status="queued"))["card"]
            await all_of_it.until(lambda u: u.get("counts") == {"mine": 0, "waiting": 1})
            session = card["session"]
            await mine.send(t="open", session=session)
            assert "no_session" == (await mine.next("error"))["code"]
            await mine.send(t="older", session=session, before=100)
            assert "no_session" == (await mine.next("error"))["code"]
            await mine.send(t="do", id="not-mine-1", session=session, verb="note", text="x")
            assert "no_session" == (await mine.next("refused"))["code"]
            for box in ("mine", "waiting", "all"):
                await mine.send(t="list", box=box)
                assert () == tuple((await mine.next("page", box=box))["cards"])
            await mine.caught_up()
            assert not any("secret" in str(frame) or session in str(frame) for frame in mine.frames if frame["t"] == "updates")

    played(tmp_path, story)


def test_a_waiting_session_leaves_the_list_of_those_it_is_not_offered_to(tmp_path):
    """Each console of the line sees it wait; when somebody else has it, it is gone, and its messages are theirs alone."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        async with desk.console(bob, presence="away") as other, desk.console(ann, presence="away") as one:
            await desk.say("v1", "anybody?")
            session = (await other.card(status="queued"))["card"]["session"]
            await other.until(lambda u: u.get("counts") == {"mine": 0, "waiting": 1})
            await one.card(status="queued")
            await one.do(session, "take")
            await other.until(lambda u: u.get("gone") == session)
            await other.until(lambda u: u.get("counts") == {"mine": 0, "waiting": 0})
            await desk.say("v1", "for ann alone")
            await one.said("for ann alone")
            await other.caught_up()
            assert not any("for ann alone" in str(frame) for frame in other.frames)

    played(tmp_path, story)


def test_a_colleague_may_look_on_and_is_told_as_long_as_they_look(tmp_path):
    """Who has a colleague's thread on the screen gets its messages; after leaving it, none, and its card goes."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        async with desk.console(ann) as one, desk.console(bob, presence=None) as other:
            session = await _taken(desk, one)
            await other.send(t="open", session=session)
            await other.next("thread", session=session)
            await desk.say("v1", "first")
            await other.said("first")
            await other.send(t="leave")
            await other.until(lambda u: u.get("gone") == session)
            await desk.say("v1", "second")
            await one.said("second")
            await other.caught_up()
            assert not any("second" in str(frame) for frame in other.frames)

    played(tmp_path, story)


def test_the_list_of_all_is_kept_up_to_date_while_it_is_shown(tmp_path):
    """A supervisor who looks at everything sees each change of status, and no single message."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        sue = await desk.operator("sue", role=Role.SUPERVISOR)
        async with desk.console(ann) as one, desk.console(sue, presence=None) as all_of_it:
            session = await _taken(desk, one)
            await all_of_it.send(t="list", box="all")
            page = await all_of_it.next("page", box="all")
            assert [session] == [card["session"] for card in page["cards"]]
            await desk.say("v1", "not for lists")
            await one.said("not for lists")
            await one.do(session, "close")
            await all_of_it.card(session=session, status="closed")
            assert not any("message" in update for update in all_of_it.updates)

    played(tmp_path, story)


def test_calls_have_lists_and_deeds_of_their_own(tmp_path):
    """A list of calls is told of like that of all; what no telephone can dial is refused at once, what is no call by the engine."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        sue = await desk.operator("sue", role=Role.SUPERVISOR)
        async with desk.console(ann) as one, desk.console(sue, presence=None) as looks:
            for box in ("missed", "calls"):
                await looks.send(t="list", box=box)
                assert [] == (await looks.next("page", box=box))["cards"]
            session = await _taken(desk, one)
            assert "talk" not in (await looks.card(session=session, status="active"))["card"]
            await one.send(t="do", id="sent-away-1", session=session, verb="transfer", number="nobody")
            assert "bad_number" == (await one.next("refused", id="sent-away-1"))["code"]
            await one.do(session, "hold", id_="on-hold-1")
            assert "not_a_call" == (await one.next("refused", id="on-hold-1"))["code"]
            await looks.send(t="do", id="listens-1", session=session, verb="listen", how="whisper")
            assert "not_a_call" == (await looks.next("refused", id="listens-1"))["code"]

    played(tmp_path, story)


def test_a_new_seat_shows_its_line_at_once(tmp_path):
    """When an administrator seats an operator, a new snapshot has the line's waiting sessions; unseated, they are gone."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann")
        async with desk.console(ann, presence=None) as console:
            await desk.say("v1", "anybody?")
            await desk.decided()
            await desk.store.write(lambda tx: lines.set_seats(tx, desk.line, [ann]))
            snapshot = await console.next("snapshot")
            assert ["queued"] == [card["status"] for card in snapshot["waiting"]]
            if not snapshot["counts"]["waiting"]:  # counts are those of the news that have been read: they follow
                await console.until(lambda u: u.get("counts", {}).get("waiting") == 1)
            await desk.store.write(lambda tx: lines.set_seats(tx, desk.line, []))
            snapshot = await console.next("snapshot")
            assert ([], 0) == (snapshot["waiting"], snapshot["counts"]["waiting"])

    played(tmp_path, story)


def test_waiting_is_shown_by_priority_then_age_page_by_page(tmp_path):
    """The list goes on where the page ended, over lines, highest priority first; nothing twice, nothing missing."""

    async def story(desk: Desk) -> None:
        vip, vip_channel = await desk.line_with_channel("vip", priority=5)
        ann = await desk.operator("ann", desk.line, vip)
        for number in range(60):
            await desk.say(f"v{number}", f"number {number}")
            await desk.decided()  # they begin to wait when that has been decided
        await desk.say("king", "me first", vip_channel)
        await _rows_become(desk, "SELECT count(*) FROM sessions WHERE status = 'queued'", 61)
        async with desk.console(ann, presence=None) as console:
            await console.send(t="list", box="waiting")
            first = await console.next("page", box="waiting")
            await console.send(t="list", box="waiting", after=first["next"])
            second = await console.next("page", box="waiting")
            texts = [card["last_text"] for card in (*first["cards"], *second["cards"])]
            assert ["me first", *(f"number {number}" for number in range(60))] == texts
            assert (50, None) == (len(first["cards"]), second.get("next"))
            await console.send(t="list", box="waiting", after="nonsense")
            assert "bad_frame" == (await console.next("error"))["code"]

    played(tmp_path, story)


# --- presence


def test_presence_is_said_by_the_console_and_seen_by_everybody(tmp_path):
    """Connecting changes nothing by itself; online brings offers; colleagues see it."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        await desk.say("v1", "anybody?")
        async with desk.console(bob, presence=None) as other, desk.console(ann, presence=None) as one:
            assert [("offline",)] == await desk.rows("SELECT state FROM presence WHERE operator_id = ?", ann)
            await one.send(t="presence", state="online")
            told = await other.until(lambda u: "colleague" in u)
            assert {"id": ann, "name": "Ann", "presence": "online"} == told["colleague"]
            await one.card(status="offered")

    played(tmp_path, story)


def test_a_closed_laptop_passes_everything_on_and_gives_it_back_its_presence(tmp_path):
    """After the grace its operator is away, and what they had is a colleague's; opened again, it is online without saying so."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        async with desk.console(bob, presence=None) as other:
            async with desk.console(ann) as one:
                held = await _taken(desk, one)
                await desk.say("v2", "and me?")
                offered = (await one.card(status="offered"))["card"]["session"]
                await other.send(t="presence", state="online")
                await other.until(lambda u: u.get("colleague", {}).get("id") == bob)
            await other.until(lambda u: u.get("colleague") == {"id": ann, "name": "Ann", "presence": "away"})
            mine = {(await other.until(lambda u: u.get("card", {}).get("offered_until")))["card"]["session"] for _ in range(2)}
            assert {held, offered} == mine
            async with desk.socket(ann) as console:
                await console.send(t="hello")
                assert "online" == (await console.next("snapshot"))["me"]["presence"]

    played(tmp_path, story, Settings(presence_grace_seconds=0.2))


def test_who_logs_out_is_offline_after_the_grace(tmp_path):
    """The end of the login closes the last console, and nobody who has vanished is made of them."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        token = await desk.log_in(ann)
        async with desk.console(bob, presence=None) as other:
            async with desk.socket(ann, token=token) as one:
                await one.hello()
                await one.send(t="presence", state="online")
                await other.until(lambda u: u.get("colleague", {}).get("presence") == "online")
                await desk.log_out(token)
                await one.close_code()
            told = await other.until(lambda u: u.get("colleague", {}).get("id") == ann)
            assert "offline" == told["colleague"]["presence"]

    played(tmp_path, story, Settings(presence_grace_seconds=0.2))


def test_coming_back_within_the_grace_cancels_it(tmp_path):
    """The timer is a row, and the console that comes back takes it away."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann):
            pass
        await _rows_become(desk, "SELECT count(*) FROM timers WHERE owner_kind = 'operator'", 1)
        async with desk.socket(ann) as console:
            snapshot = await console.hello()
            assert [(0,)] == await desk.rows("SELECT count(*) FROM timers WHERE owner_kind = 'operator'")
            assert "online" == snapshot["me"]["presence"]

    played(tmp_path, story)


def test_a_start_begins_the_grace_of_everybody_who_was_here(tmp_path):
    """After a crash nobody stays online for ever."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line, state=PresenceState.ONLINE)
        gateway = type(desk.gateway)(desk.parts, desk.transport, desk.directory)
        running = asyncio.create_task(gateway.run())
        await _rows_become(desk, "SELECT count(*) FROM timers WHERE owner_id = ?", 1, ann)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    played(tmp_path, story)


def test_who_was_in_a_process_that_died_has_their_grace(tmp_path):
    """Their console's row is all that is left of it, and its process is none that runs: any gateway sees to it."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line, state=PresenceState.ONLINE)
        await desk.store.write(lambda tx: presence.arrive(tx, OperatorId(ann), "dead"))
        await _rows_become(desk, "SELECT count(*) FROM consoles", 0)
        assert [(1,)] == await desk.rows("SELECT count(*) FROM timers WHERE owner_id = ?", ann)

    played(tmp_path, story)


# --- typing


def test_typing_goes_both_ways_and_not_to_oneself(tmp_path):
    """The customer's typing reaches who holds the session; the operator's reaches the channel and a colleague who looks on."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        async with desk.console(ann) as one, desk.console(bob, presence=None) as other:
            session = await _taken(desk, one)
            conversation = await _conversation(desk)
            words: list[bytes] = []
            stop = desk.transport.follow(f"typing:{conversation}", words.append)
            desk.transport.tell(f"typing:{conversation}", b'{"who":"contact"}')
            assert {"t": "typing", "conversation": conversation, "who": "contact"} == await one.next("typing")
            await other.send(t="open", session=session)
            await other.next("thread", session=session)
            await one.send(t="typing", session=session)
            heard = await other.next("typing")
            assert ("operator", "Ann") == (heard["who"], heard["name"])
            await one.caught_up()
            assert 1 == len([frame for frame in one.frames if frame["t"] == "typing"])
            assert b'"who":"operator"' in words[-1]
            stop()

    played(tmp_path, story)


# --- coming again, and being slow


def test_who_comes_again_is_told_what_was_missed_and_nothing_twice(tmp_path):
    """With the mark of the last update, the missed messages come as updates; nothing is lost between."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            session = await _taken(desk, console)
            await desk.say("v1", "seen")
            await console.said("seen")
            await console.caught_up()
            mark = console.at
        await desk.say("v1", "missed")
        await _decided(desk)
        async with desk.socket(ann) as console:
            resumed = await console.hello(resume=mark)
            assert ("resumed", mark) == (resumed["t"], resumed["at"])
            told = await console.said("missed")
            assert session == told["card"]["session"]
            await console.until(lambda u: "load" in u)
            await desk.say("v1", "live")
            await console.said("live")
            texts = [update["message"]["text"] for update in console.updates if "message" in update]
            assert ["missed", "live"] == texts

    played(tmp_path, story)


@pytest.mark.parametrize("resumes", [False, True])
def test_nothing_is_told_before_the_greeting(tmp_path, resumes):
    """News that come while a console is being greeted follow the snapshot, or the word that it resumes; none is lost."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann, presence=None) as other, desk.socket(ann) as console:
            mark = other.at
            desk.tight.slow = asyncio.Event()
            await console.send(t="hello", **({"resume": mark} if resumes else {}))
            await desk.tight.asked.wait()
            await desk.say("v1", "hello")
            await other.card(status="queued")
            desk.tight.slow.set()
            first = await console.recv()
            assert ("resumed" if resumes else "snapshot") == first["t"]
            if resumes:
                await console.card(status="queued")
            else:
                assert ["queued"] == [card["status"] for card in first["waiting"]]

    played(tmp_path, story)


BUSY = Position(10**12, 10**12, tuple(range(10**12, 10**12 + 200))).text()
"""A position on a server with two hundred transactions under way."""


@pytest.mark.parametrize("mark", ["", "1", "0.0", "99999999.abcdef01", "x.y", "-1.x", "٣.x", f"{BUSY}.abcdef01"])
def test_a_mark_that_is_not_ours_gets_a_snapshot(tmp_path, mark):
    """A mark of another database, of other settings, or no mark at all begins anew."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.socket(ann) as console:
            assert "snapshot" == (await console.hello(resume=mark))["t"]

    played(tmp_path, story)


def test_who_missed_too_much_gets_a_snapshot(tmp_path):
    """More than a thousand rows are not replayed: the first screen says it in one frame."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann, presence=None) as console:
            mark = console.at
        for number in range(501):
            await desk.say(f"v{number % 7}", f"number {number}")
            await desk.tell_details(f"v{number % 7}", name=f"Name {number}")
        await _decided(desk)
        async with desk.socket(ann) as console:
            snapshot = await console.hello(resume=mark)
            assert ("snapshot", 7) == (snapshot["t"], snapshot["counts"]["waiting"])

    played(tmp_path, story)


def test_a_console_that_reads_nothing_is_cut_and_the_others_go_on(tmp_path):
    """Its share of memory is bounded, the gateway does not wait for it, and in time its connection is gone."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line, budget=1_000)
        token = await desk.log_in(ann)
        async with desk.console(ann) as console:
            await _taken(desk, console)
            deaf = await asyncio.to_thread(_deaf_console, desk.port, token)
            with closing(deaf):
                while desk.gateway.sockets < 2:
                    await console.caught_up()
                # The system's own buffers take some megabytes first.
                for number in range(800):
                    await desk.say("v1", f"{number} " + "x" * 7_900)
                    if number % 5 == 0:  # news that come together are no more than may wait for a console
                        await console.said(f"{number} " + "x" * 7_900)
                async with asyncio.timeout(10):
                    while desk.gateway.sockets > 1:
                        await console.caught_up()

    played(tmp_path, story, Settings(operator=OperatorLimits(queue_bytes=65_536, stall_seconds=2.0)))


def test_who_sends_too_fast_is_read_more_slowly(tmp_path):
    """A flood is not read faster than the limit; nothing of it is lost, and nobody else is slower for it."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann, presence=None) as console:
            began = asyncio.get_running_loop().time()
            for _ in range(30):
                await console.send(t="ping")
            for _ in range(30):
                await console.next("pong")
            assert asyncio.get_running_loop().time() - began > 0.15

    played(tmp_path, story, Settings(operator=OperatorLimits(frames_per_second=100, frames_burst=10)))


# --- what several stories need


async def _taken(desk: Desk, console: Console, visitor: str = "v1", **more: Any) -> str:
    """Have the customer *visitor* write and *console*, which is online, take the session; return it."""
    await desk.say(visitor, "hello", **more)
    session = str((await console.card(status="offered"))["card"]["session"])
    await console.do(session, "take")
    await console.card(status="active")
    return session


async def _conversation(desk: Desk) -> str:
    ((id_,),) = await desk.rows("SELECT id FROM conversations")
    return str(id_)


async def _rows_become(desk: Desk, query: str, count: int, *values: object) -> None:
    async with asyncio.timeout(20):
        while [(count,)] != await desk.rows(query, *values):
            pass


async def _decided(desk: Desk) -> None:
    await _rows_become(desk, "SELECT count(*) FROM conversations WHERE input_seq > worked_seq", 0)


def _deaf_console(port: int, token: str) -> sockets.socket:
    """Open a socket that says hello and reads nothing more."""
    connection = sockets.create_connection(("127.0.0.1", port))
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    connection.sendall(
        f"GET /ws/operator HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\nCookie: omniline={token}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert b" 101 " in connection.recv(1_024)
    hello = b'{"t":"hello"}'
    connection.sendall(bytes([0x81, 0x80 | len(hello), 0, 0, 0, 0]) + hello)
    return connection


# --- colleagues, supervisors, pins


def test_a_colleague_without_a_seat_is_invited_joins_and_leaves(tmp_path):
    """Invited they have it on their screen, joined they write and hear who is writing; when they leave it is gone, and its news with it."""

    async def story(desk: Desk) -> None:
        bar, _ = await desk.line_with_channel("bar")
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", bar)
        async with desk.console(ann) as at_ann, desk.console(bob) as at_bob:
            await desk.say("v1", "hello")
            session = (await at_ann.card(status="offered"))["card"]["session"]
            await at_ann.do(session, "take")
            await at_ann.card(status="active")
            assert session not in [update.get("card", {}).get("session") for update in at_bob.updates]
            await at_ann.do(session, "invite", operator=bob)
            invited = await at_bob.card(session=session, invited=[bob])
            assert ("Ann", "hello") == (invited["card"]["operator_name"], invited["card"]["last_text"])
            assert 1 == (await at_bob.until(lambda u: "counts" in u))["counts"]["mine"]
            async with desk.console(bob, presence=None) as again:
                (shown,) = again.frames[0]["mine"]
                assert [bob] == shown["invited"]
            await at_bob.do(session, "join")
            await at_bob.card(session=session, members=[bob])
            await at_ann.send(t="typing", session=session)
            await at_bob.next("typing", who="operator")
            await desk.say("v1", "is somebody there?")
            await at_bob.said("is somebody there?")
            await at_bob.do(session, "reply", text="two of us")
            assert "Bob" == (await at_ann.said("two of us"))["message"]["name"]
            await at_bob.do(session, "leave")
            assert session == (await at_bob.until(lambda u: u.get("gone")))["gone"]
            await desk.say("v1", "thank you")
            await at_ann.said("thank you")
            await at_bob.caught_up()
            assert "thank you" not in [update.get("message", {}).get("text") for update in at_bob.updates]
            await at_bob.send(t="open", session=session)
            await at_bob.next("error", code="no_session")

    played(tmp_path, story)


def test_who_has_left_hears_no_more_typing_in_the_thread_they_had_open(tmp_path):
    """The thread may stand on their screen; what happens in it is theirs no more."""

    async def story(desk: Desk) -> None:
        bar, _ = await desk.line_with_channel("bar")
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", bar)
        async with desk.console(ann) as at_ann, desk.console(bob) as at_bob:
            await desk.say("v1", "hello")
            session = (await at_ann.card(status="offered"))["card"]["session"]
            await at_ann.do(session, "take")
            await at_ann.do(session, "invite", operator=bob)
            await at_bob.card(session=session)
            await at_bob.send(t="open", session=session)
            await at_bob.next("thread")
            await at_bob.do(session, "leave")
            await at_bob.until(lambda u: u.get("gone") == session)
            await at_ann.send(t="typing", session=session)
            await at_ann.caught_up()
            await at_bob.caught_up()
            assert "typing" not in [frame["t"] for frame in at_bob.frames]

    played(tmp_path, story)


def test_a_session_is_passed_on_and_its_card_says_by_whom(tmp_path):
    """To a colleague, who is offered it with the note; declined, it is again with whoever passed it on."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as at_ann:
            await desk.say("v1", "hello")
            session = (await at_ann.card(status="offered"))["card"]["session"]
            await at_ann.do(session, "take")
            await at_ann.card(status="active")
            bob = await desk.operator("bob", desk.line)
            async with desk.console(bob) as at_bob:
                await at_ann.do(session, "transfer", operator=bob, text="for you")
                offered = (await at_bob.card(status="offered", session=session))["card"]
                assert (ann, True) == (offered["passed_by"], offered["offered_until"] > 0)
                await at_bob.do(session, "decline")
                await at_ann.card(status="active", operator=ann)
                snoozed_until = to_us(desk.clock.now()) // 1000 + 3_600_000
                await at_ann.do(session, "snooze", until=snoozed_until)
                await at_ann.card(status="snoozed", snoozed_until=snoozed_until)
                await at_ann.do(session, "snooze", until=snoozed_until + 1_000)
                await at_ann.card(status="snoozed", snoozed_until=snoozed_until + 1_000)

    played(tmp_path, story)


def test_a_deed_for_supervisors_is_refused_to_operators(tmp_path):
    """Over the socket as over REST, in a sentence."""

    async def story(desk: Desk) -> None:
        ann, sue = await desk.operator("ann", desk.line), await desk.operator("sue", role=Role.SUPERVISOR)
        async with desk.console(ann) as at_ann, desk.console(sue) as at_sue:
            await desk.say("v1", "hello")
            session = (await at_ann.card(status="offered"))["card"]["session"]
            await at_ann.send(t="do", id="deed-take-over", session=session, verb="take_over")
            refused = await at_ann.next("refused", id="deed-take-over")
            assert ("not_allowed", True) == (refused["code"], bool(refused["text"]))
            await at_sue.do(session, "take_over")
            await at_sue.card(status="active", operator=sue)
            await at_ann.until(lambda u: u.get("gone") == session)

    played(tmp_path, story)


def test_supervisors_are_told_that_nobody_can_be_asked(tmp_path):
    """The alert names session, line and contact; operators get none; who was away is told on resuming."""

    async def story(desk: Desk) -> None:
        ann, sue = await desk.operator("ann", desk.line), await desk.operator("sue", role=Role.SUPERVISOR)
        async with desk.console(ann, "away") as at_ann, desk.console(sue, presence=None) as at_sue:
            mark = at_sue.at
            await desk.say("v1", "hello", name="Vera")
            alert = (await at_sue.until(lambda u: u.get("alert")))["alert"]
            card = await at_ann.card(status="queued")
            assert {"session": card["card"]["session"], "what": "nobody", "line_name": "Shop", "contact_name": "Vera"} == alert
            await desk.decided()
            await at_ann.caught_up()
            assert [] == [update for update in at_ann.updates if "alert" in update]
            async with desk.socket(sue) as again:
                assert "resumed" == (await again.hello(resume=mark))["t"]
                assert alert == (await again.until(lambda u: u.get("alert")))["alert"]

    played(tmp_path, story)


def test_pins_are_on_every_screen_of_their_operator_and_on_no_other(tmp_path):
    """Put and taken away by a frame, told to the operator's other consoles, there in a snapshot and on resuming."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        async with desk.console(ann) as console, desk.console(ann, presence=None) as other, desk.console(bob, None) as at_bob:
            await desk.say("v1", "hello")
            session = (await console.card(status="offered"))["card"]["session"]
            mark = other.at
            await console.send(t="pin", session=session, on=True)
            for each in (console, other):
                assert [session] == (await each.until(lambda u: "pins" in u))["pins"]
            async with desk.socket(ann) as again:
                assert [session] == (await again.hello())["pins"]
            async with desk.socket(ann) as again:
                await again.hello(resume=mark)
                assert [session] == (await again.until(lambda u: "pins" in u))["pins"]
            await console.send(t="pin", session=session, on=False)
            assert [] == (await other.until(lambda u: "pins" in u))["pins"]
            await console.send(t="pin", session=str(uuid.uuid4()), on=True)
            await console.next("error", code="no_session")
            await at_bob.caught_up()
            assert [] == [update for update in at_bob.updates if "pins" in update]

    played(tmp_path, story)


def test_consoles_begin_anew_when_a_standby_lacks_what_they_have_seen(tmp_path):
    """It gives the numbers of the rows it lacks to others: who went on from the old ones would see none of those."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as at_ann:
            await at_ann.caught_up()
            board = desk.gateway._feed.board
            assert board is not None

            async def taken_over() -> None:
                board.at = replace(board.at, last=board.at.last + 50)
                raise StoreBusy("the database does not answer")

            desk.tight.meanwhile = Feed._read_on.__qualname__, taken_over
            await desk.say("v1", "hello")
            assert UNAVAILABLE == await at_ann.close_code()
        async with desk.console(ann, None) as again:
            await desk.say("v1", "anybody there?")
            await again.card(last_text="anybody there?")

    played(tmp_path, story)


def test_a_pinned_session_stays_on_the_screen_whoever_has_it(tmp_path):
    """Its card comes with the pin and says what is new; with the thread left, and with the session closed, it is not taken away."""

    async def story(desk: Desk) -> None:
        ann, bob = await desk.operator("ann", desk.line), await desk.operator("bob", desk.line)
        async with desk.console(bob) as at_bob, desk.console(ann, "away") as at_ann:
            await desk.say("v1", "hello")
            session = (await at_bob.card(status="offered"))["card"]["session"]
            await at_bob.do(session, "take")
            await at_bob.card(status="active")
            await at_ann.caught_up()
            before = len(at_ann.updates)
            await at_ann.send(t="pin", session=session, on=True)
            assert [session] == (await at_ann.until(lambda u: "pins" in u))["pins"]
            assert [("active", bob)] == [
                (u["card"]["status"], u["card"]["operator"]) for u in at_ann.updates[before:] if "card" in u
            ]
            await desk.say("v1", "are you there?")
            await at_ann.card(session=session, last_text="are you there?")
            await at_ann.send(t="open", session=session)
            await at_ann.next("thread")
            await at_ann.send(t="leave")
            await at_bob.do(session, "close", outcome="helped")
            await at_ann.card(session=session, status="closed", outcome="helped")
            await at_ann.caught_up()
            assert [] == [update for update in at_ann.updates[before:] if "gone" in update]

    played(tmp_path, story)


def test_a_session_that_has_been_quiet_for_long_is_still_theirs_when_they_leave_its_thread(tmp_path):
    """The gateway keeps the latest news in memory and no more: what it has let go of it asks the store for."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as at_ann:
            await desk.say("v1", "hello")
            session = (await at_ann.card(status="offered"))["card"]["session"]
            await at_ann.do(session, "take")
            await at_ann.card(status="active")
            await at_ann.send(t="open", session=session)
            await at_ann.next("thread")
            board = desk.gateway._feed.board
            assert board is not None
            board.kept = 1
            await desk.say("v2", "good morning")
            await at_ann.card(last_text="good morning")
            assert session not in board.sessions
            await at_ann.send(t="leave")
            await at_ann.caught_up()
            assert [] == [update for update in at_ann.updates if "gone" in update]

    played(tmp_path, story)


def test_a_snapshot_has_the_cards_of_pins_but_for_what_one_may_see_no_more(tmp_path):
    """A closed session, and one that went to a foreign line: both stay pinned, and only the first has a card."""

    async def story(desk: Desk) -> None:
        ann, sue = await desk.operator("ann", desk.line), await desk.operator("sue", role=Role.SUPERVISOR)
        bar, _ = await desk.line_with_channel("bar")
        async with desk.console(sue) as at_sue, desk.console(ann, "away") as at_ann:
            sessions = []
            for key in ("v1", "v2"):
                await desk.say(key, "hello")
                card = await at_ann.until(lambda u: "card" in u and u["card"]["session"] not in sessions)
                sessions.append(card["card"]["session"])
                await at_ann.send(t="pin", session=sessions[-1], on=True)
                await at_ann.until(lambda u: "pins" in u)
            closed, foreign = sessions
            async with desk.socket(ann) as again:
                # What is in a list is not said twice.
                assert [] == (await again.hello()).get("pinned", [])
            mark = at_ann.at
            for session, verb, more in ((closed, "take_over", {}), (closed, "close", {}), (foreign, "assign", {"line": bar})):
                await at_sue.do(session, verb, **more)
                await desk.decided()
            await at_ann.card(session=closed, status="closed")
            await at_ann.until(lambda u: u.get("gone") == foreign)
            async with desk.socket(ann) as again:
                first = await again.hello()
                assert sessions == first["pins"]
                assert [(closed, "closed", sue)] == [(c["session"], c["status"], c["operator"]) for c in first["pinned"]]
            async with desk.socket(ann) as again:
                await again.hello(resume=mark)
                await again.card(session=closed, status="closed")
                await again.caught_up()
                assert [foreign] == [update["gone"] for update in again.updates if "gone" in update]

    played(tmp_path, story)


def test_a_change_of_the_contact_reaches_the_open_thread(tmp_path):
    """By a supervisor, or by an operator who bans them."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        sue = await desk.operator("sue", role=Role.SUPERVISOR)
        supervisor = Actor(sue, "sue", "Sue", Role.SUPERVISOR, "en", False, None)
        async with desk.console(ann) as console:
            await desk.say("v1", "hello")
            session = (await console.card(status="offered"))["card"]["session"]
            await console.send(t="open", session=session)
            contact = (await console.next("thread"))["contact"]["id"]
            await desk.store.write(
                lambda tx: contacts.change(tx, supervisor, contact, desk.directory(), responsible_id=ann, priority=7)
            )
            changed = (await console.until(lambda u: "contact" in u))["contact"]
            assert ("Ann", 7) == (changed["responsible_name"], changed["priority"])
            await console.do(session, "spam", ban=True)
            assert (await console.until(lambda u: "contact" in u))["contact"]["banned"] is True

    played(tmp_path, story)
