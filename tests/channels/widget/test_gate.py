"""The visitors' socket, by real sockets: what is acknowledged is stored, what is shown is shown once, what is bad is told."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import websockets
from sqlalchemy import update

from broker import inbound
from broker.domain import ContactId, LineSettings, Outside
from broker.events import Close, Note, Reply, Take
from broker.ports import Raw
from broker.store.sql import sql
from broker.store.tables import line_state
from channels.widget import gate
from channels.widget.adapter import Envelope, WidgetChannel, encode
from channels.widget.frames import Say
from channels.widget.limits import Limits
from channels.widget.tokens import VisitorTokens
from routing.applying import House
from routing.clockwork import keep_time
from tests.channels.widget.place import TOKEN_KEY, place
from tests.support.store import plain, set_full


def run(journey):
    """Run an async journey."""
    asyncio.run(journey)


async def operator_does(here, event, raw=b""):
    """Enter a deed of ann's in the one conversation."""
    conversation = await here.conversation()
    ann = next(iter(here.directory.operators))

    def work(tx):
        return inbound.enter(tx, "console", tx.new_id(), conversation, lambda at: event(at, ann, tx.new_id()), raw)

    await here.store.write(work)
    await here.decided()


def reply(at, ann, id_):
    return Reply(at=at, operator_id=ann, command=id_, message_id=id_)


def note(at, ann, id_):
    return Note(at=at, operator_id=ann, command=id_, message_id=id_)


def take(at, ann, id_):
    return Take(at=at, operator_id=ann, command=id_)


async def served(here, visitor):
    """Let *visitor* say something and ann take it, until all that is told of that is on its way; return their token."""
    token = (await visitor.hello())["token"]
    await visitor.say("hello")
    await visitor.next("message")
    await operator_does(here, take)
    await here.sent()
    return token


async def begun_elsewhere(here, token):
    """Let the visitor of *token* say hello in a tab that is in another process."""
    name = VisitorTokens(TOKEN_KEY).check(here.channel, token) or ""
    row = here.directory.channels[here.channel]
    raw = Raw(f"{name}:message-a", encode(Envelope(name, Say("message-a", "hello"))))
    prepared = inbound.prepare(WidgetChannel(row, lambda *_: None), [raw], LineSettings())
    await here.store.write(lambda tx: inbound.accept(tx, here.channel, prepared))


async def lost(here, *texts):
    """Let ann answer with *texts*, none of which reaches the gate."""
    here.speaker.cut = True
    for text in texts:
        await operator_does(here, reply, text)
        await here.sent()
    here.speaker.cut = False


def close(at, ann, id_):
    return Close(at=at, operator_id=ann, command=id_)


def test_acknowledged_is_stored_and_answered(tmp_path):
    """A visitor writes, is acknowledged, is greeted, and reads the operator's answer with the operator's name."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.hello(page="https://shop.example.com/kettles", utm={"source": "ads"})
            ack = await visitor.say("hello")
            greeting = (await visitor.next("message"))["message"]
            await operator_does(here, take)
            await visitor.next("state", state="active", operator="Ann")
            await operator_does(here, reply, b"good day")
            answer = (await visitor.next("message"))["message"]

            assert ack["seq"] < greeting["seq"] < answer["seq"]
            assert ("system", "operator") == (greeting["who"], answer["who"])
            assert ("good day", "Ann") == (answer["text"], answer["name"])
            assert [("hello",)] == await here.rows("SELECT text FROM messages WHERE author = 'contact'")
            ((source,),) = await here.rows("SELECT source FROM sessions")
            assert {"page": "https://shop.example.com/kettles", "utm": {"source": "ads"}} == json.loads(source)

    run(journey())


def test_said_again_is_stored_once(tmp_path):
    """The same id again, even from another socket, is answered with the first place and stored once."""

    async def journey():
        async with place(tmp_path) as here:
            async with here.visitor() as visitor:
                token = (await visitor.hello())["token"]
                first = await visitor.say("hello", "message-1")
            async with here.visitor() as visitor:
                await visitor.hello(token=token)
                again = await visitor.say("hello", "message-1")

            assert first["seq"] == again["seq"]
            assert [(1,)] == await here.rows("SELECT count(*) FROM messages WHERE author = 'contact'")

    run(journey())


def test_history_is_resumed_where_it_was_left(tmp_path):
    """Who comes again sees what they missed and only that; who comes anew sees all of it, in order."""

    async def journey():
        async with place(tmp_path) as here:
            async with here.visitor() as visitor:
                token = (await visitor.hello())["token"]
                await visitor.say("one")
                seen = (await visitor.next("message"))["message"]["seq"]
            await operator_does(here, take)
            await operator_does(here, reply, b"while you were away")
            async with here.visitor() as visitor:
                missed = (await visitor.hello(token=token, since=seen))["history"]
                assert ["while you were away"] == [message["text"] for message in missed]
            async with here.visitor() as visitor:
                history = (await visitor.hello(token=token))["history"]
                assert sorted(m["seq"] for m in history) == [m["seq"] for m in history]
                assert ("one", "while you were away") == (history[0]["text"], history[-1]["text"])

    run(journey())


def test_what_another_process_could_not_tell_is_shown_before_what_it_tells_next(tmp_path):
    """By what the next word comes after the gate sees that some are missing: it is not shown first, and the others seconds later."""

    async def journey():
        async with place(tmp_path, apart=True) as here, here.visitor() as visitor:
            await served(here, visitor)
            await lost(here, b"one", b"two")
            await operator_does(here, reply, b"three")
            shown = [(await visitor.next("message"))["message"]["text"] for _ in range(3)]

            assert shown == ["one", "two", "three"]

    run(journey())


def test_what_is_lost_while_it_is_looked_what_was_lost_is_not_overtaken_either(tmp_path):
    """Of what comes while the history is read, what came before it may have been lost too."""

    async def journey():
        async with place(tmp_path, apart=True) as here, here.visitor() as visitor:
            await served(here, visitor)
            for unheard, heard in ((b"one", b"two"), (b"three", b"four")):
                await lost(here, unheard)
                here.answers.come.clear()
                await operator_does(here, reply, heard)
                await here.sent()
                await asyncio.wait_for(here.answers.waiting.wait(), 10)
            here.answers.come.set()
            shown = [(await visitor.next("message"))["message"]["text"] for _ in range(4)]

            assert shown == ["one", "two", "three", "four"]

    run(journey())


def test_a_conversation_begun_in_a_tab_of_another_process_is_known_by_its_first_word(tmp_path):
    """The tab here is told how its session stands, and from then on misses nothing."""

    async def journey():
        async with place(tmp_path, apart=True) as here, here.visitor() as visitor:
            await begun_elsewhere(here, (await visitor.hello())["token"])

            assert (await visitor.next("message"))["message"]["who"] == "system"
            assert (await visitor.next("state"))["state"] == "waiting"
            await operator_does(here, take)
            assert (await visitor.next("state"))["state"] == "active"

    run(journey())


def test_a_receipt_of_what_there_is_not_is_one_of_what_there_is(tmp_path):
    """Whoever counts upwards in them stores no more than who has read everything."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.hello()
            said = await visitor.say("hello")
            greeted = (await visitor.next("message"))["message"]["seq"]
            for upto in (said["seq"], 10**6, 10**6 + 1, 2**53):
                await visitor.send(t="seen", upto=upto)
            await visitor.send(t="ping")
            await visitor.next("pong")
            stored = await here.rows("SELECT external_id FROM inputs WHERE external_id LIKE '%seen:%' ORDER BY seq")

            assert [row[0].split("seen:")[1] for row in stored] == [f"{said['seq']}:0", f"{greeted}:0"]

    run(journey())


def test_a_conversation_begun_elsewhere_while_nothing_could_be_told_is_shown(tmp_path):
    """Not a word of it has come: when the way to the others is back, it is asked who has begun one."""

    async def journey():
        async with place(tmp_path, apart=True) as here, here.visitor() as visitor:
            token = (await visitor.hello())["token"]
            here.speaker.cut = True
            await begun_elsewhere(here, token)
            await here.sent()
            here.speaker.cut = False
            assert here.gate is not None
            here.gate._fall_behind()

            assert (await visitor.next("message"))["message"]["text"] == "hello"
            assert (await visitor.next("message"))["message"]["who"] == "system"

    run(journey())


def test_what_a_lost_bell_would_have_told_is_told_at_the_next_look(tmp_path):
    """How a session stands is looked at with what was not shown; who has heard it is not told again."""

    async def journey():
        async with place(tmp_path, apart=True) as here, here.visitor() as visitor:
            await visitor.hello()
            await visitor.say("hello")
            await operator_does(here, take)
            await visitor.next("state", state="active")
            await here.sent()
            await here.store.write(lambda tx: plain(tx, "UPDATE sessions SET status = 'closed'"))  # and nobody rings
            visitor.frames.clear()
            assert here.gate is not None
            for _ in range(2):
                await here.gate._catch_up()
                await asyncio.gather(*here.gate._telling.values())
            await visitor.send(t="ping")
            await visitor.next("pong")

            assert ["closed"] == [frame["state"] for frame in visitor.frames if frame["t"] == "state"]
            assert [] == [frame for frame in visitor.frames if frame["t"] == "hours"]

    run(journey())


def test_what_a_new_tab_was_given_is_not_missed_by_the_other(tmp_path):
    """Its welcome has what was lost on the way to both: the tab that was there gets it too, before the next."""

    async def journey():
        async with place(tmp_path, apart=True) as here, here.visitor() as one:
            token = await served(here, one)
            await lost(here, b"lost")
            async with here.visitor() as other:
                assert "lost" in [message["text"] for message in (await other.hello(token=token))["history"]]
                await operator_does(here, reply, b"next")
                shown = [(await one.next("message"))["message"]["text"] for _ in range(2)]

                assert shown == ["lost", "next"]
                assert (await other.next("message"))["message"]["text"] == "next"

    run(journey())


def test_who_comes_again_is_not_shown_again_what_they_have(tmp_path):
    """When what was lost is looked for, it is looked for behind what they said they had."""

    async def journey():
        async with place(tmp_path, apart=True) as here:
            async with here.visitor() as visitor:
                token = (await visitor.hello())["token"]
                await visitor.say("hello")
                await operator_does(here, take)
                await operator_does(here, reply, b"good day")
                while (seen := (await visitor.next("message"))["message"])["text"] != "good day":
                    pass
            async with here.visitor() as visitor:
                await visitor.hello(token=token, since=seen["seq"])
                await lost(here, b"lost")
                await operator_does(here, reply, b"next")
                shown = [(await visitor.next("message"))["message"]["text"] for _ in range(2)]

                assert shown == ["lost", "next"]

    run(journey())


def test_note_never_reaches_the_visitor(tmp_path):
    """A note is neither pushed nor in any history, nor on a page of what is older."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            token = (await visitor.hello())["token"]
            await visitor.say("hello")
            await operator_does(here, take)
            await operator_does(here, note, b"he is rude")
            await operator_does(here, reply, b"good day")
            while (await visitor.next("message"))["message"]["text"] != "good day":
                pass
            async with here.visitor() as again:
                history = (await again.hello(token=token))["history"]
            await visitor.send(t="older", before=2**53)
            older = (await visitor.next("history"))["messages"]

            assert [("he is rude",)] == await here.rows("SELECT text FROM messages WHERE kind = 'note'")
            assert "rude" not in json.dumps([visitor.frames, history])
            assert history == older

    run(journey())


def test_other_tab_shows_what_this_one_said(tmp_path):
    """What a visitor writes in one tab appears in the other, once, at the same place."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as one:
            token = (await one.hello())["token"]
            async with here.visitor() as other:
                await other.hello(token=token)
                ack = await one.say("hello", "message-1")
                shown = (await other.next("message"))["message"]

                assert ("me", "hello", ack["seq"], "message-1") == (shown["who"], shown["text"], shown["seq"], shown["id"])

    run(journey())


def test_an_id_used_for_something_else_is_refused(tmp_path):
    """Acknowledged it would be lost without a word; and what was stored under it stays acknowledged."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.hello()
            await visitor.say("hello", "message-1")
            await visitor.send(t="details", id="details-1", name="Eve")
            await visitor.next("ack", id="details-1")
            for frame in (
                {"t": "say", "id": "message-1", "text": "other"},
                {"t": "say", "id": "details-1", "text": "hello"},
                {"t": "details", "id": "message-1", "name": "Eve"},
                {"t": "details", "id": "details-1", "name": "Eva"},
            ):
                await visitor.send(**frame)
                assert "id_used" == (await visitor.next("refused", id=frame["id"]))["code"]
            await visitor.say(" hello ", "message-1")
            await visitor.send(t="details", id="details-1", name="Eve")
            await visitor.next("ack", id="details-1")
            assert ["hello"] == await here.texts()

    run(journey())


def test_who_types_anothers_email_learns_nothing_of_them(tmp_path):
    """Neither their name in a text of the line nor which of their details are known; and they change nothing of them."""

    async def journey():
        settings = {"ask": ["name", "email", "phone"]}
        async with place(tmp_path, settings=settings) as here, here.visitor() as ann, here.visitor() as eve:
            await ann.hello()
            await ann.send(t="details", id="details-1", name="Ann Smith", email="ann@example.com", phone="+44 20 7946 0123")
            await ann.next("ack")
            token = (await eve.hello())["token"]
            await eve.send(t="details", id="details-1", email="ann@example.com")
            await eve.next("ack")
            await eve.say("hello")
            await eve.send(t="details", id="details-2", name="Mallory")
            await eve.next("ack")

            assert [("Ann Smith",)] == await here.rows("SELECT name FROM contacts WHERE merged_into IS NULL")
            async with here.visitor() as again:
                assert ["name", "email"] == (await again.hello(token=token))["known"]

    run(journey())


def test_numbers_no_conversation_reaches_are_unreadable(tmp_path):
    """A place in history beyond what a database can hold closes the socket as any bad frame does."""

    async def journey():
        async with place(tmp_path) as here:
            for frame in ({"t": "older", "before": 2**63}, {"t": "seen", "upto": 2**63}, {"t": "hello", "since": 2**63}):
                async with here.visitor() as visitor:
                    if frame["t"] != "hello":
                        await visitor.hello()
                        await visitor.say("hello")
                    await visitor.send(**frame)
                    assert (await visitor.next("error"))["code"] == "bad_frame"
                    assert await visitor.close_code() == 4400
            async with here.visitor() as visitor:
                await visitor.hello()
                await visitor.say("hello")
                await visitor.send(t="older", before=2**53)
                assert ["hello"] == [one["text"] for one in (await visitor.next("history"))["messages"] if one["who"] == "me"]

    run(journey())


def test_a_visitors_frame_has_a_limit_of_its_own(tmp_path):
    """The server takes frames as large as the largest of its gates; a visitor's are measured here, in bytes."""

    async def journey():
        async with place(tmp_path, limits=Limits(frame_bytes=1_000)) as here, here.visitor() as good, here.visitor() as bad:
            await good.hello()
            await good.say("x" * 900)
            await bad.hello()
            await bad.socket.send(json.dumps({"t": "say", "id": "message-1", "text": "я" * 400}, ensure_ascii=False))
            await bad.next("ack")
            await bad.socket.send(json.dumps({"t": "say", "id": "message-2", "text": "я" * 500}, ensure_ascii=False))
            assert (await bad.next("error"))["code"] == "too_big"
            assert await bad.close_code() == 1009

    run(journey())


def test_a_nul_is_left_out(tmp_path):
    """PostgreSQL can keep none in a text."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            nul = "x\0y"
            await visitor.hello(lang="e\0n", page=nul, title=nul, referrer=nul, utm={nul: nul})
            await visitor.send(t="details", id="details-1", name="An\0n", email="ann@example.com\0")
            await visitor.next("ack")
            await visitor.say("he\0llo")
            await visitor.send(t="press", id="press-01", value="go\0od")
            await visitor.next("refused")
            assert [("Ann", "en")] == await here.rows("SELECT name, language FROM contacts")
            assert ["hello"] == await here.texts()
            assert [("ann@example.com",)] == await here.rows("SELECT written FROM contact_points WHERE kind = 'email'")

    run(journey())


@pytest.mark.parametrize(
    "frame", ["{", "[]", '"x"', '{"t":"nothing"}', '{"t":"say","id":"12345678"}', '{"t":"ping","more":1}', "null"]
)
def test_unreadable_frame_closes_that_socket_alone(tmp_path, frame):
    """A frame that cannot be read is told and closes its socket; everybody else goes on."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as good, here.visitor() as bad:
            await good.hello()
            await bad.hello()
            await bad.socket.send(frame)
            assert (await bad.next("error"))["code"] == "bad_frame"
            assert await bad.close_code() == 4400
            assert (await good.say("still here"))["seq"] == 1

    run(journey())


def test_what_cannot_be_taken_is_refused_by_name(tmp_path):
    """Nothing, too much, and a phone that is none: each is refused with its reason, and the socket stays."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.hello()
            for code, frame in (
                ("empty", {"t": "say", "id": "message-1", "text": " \n "}),
                ("too_long", {"t": "say", "id": "message-2", "text": "x" * 8_001}),
                ("bad_details", {"t": "details", "id": "message-3", "phone": "12"}),
                ("bad_details", {"t": "details", "id": "message-4"}),
            ):
                await visitor.send(**frame)
                assert (code, frame["id"]) == ((refused := await visitor.next("refused"))["code"], refused["id"])
            await visitor.say("x" * 8_000)

    run(journey())


def test_flood_is_told_when_to_come_back(tmp_path):
    """Past the burst a message is refused with the seconds to wait; a visitor who goes on is closed."""

    async def journey():
        limits = Limits(messages_per_second=0.01, burst=2, frames_burst=1_000)
        async with place(tmp_path, limits=limits) as here, here.visitor() as visitor:
            await visitor.hello()
            await visitor.say("one")
            await visitor.say("two")
            for number in range(130):
                await visitor.send(t="say", id=f"message-{number}", text="three")
            refused = await visitor.next("refused")
            assert ("too_many", True) == (refused["code"], 0 < refused["retry_after"] <= 100)
            assert await visitor.close_code() == 4429

    run(journey())


def test_coming_again_does_not_fill_the_bucket(tmp_path):
    """Reconnecting gives no new burst."""

    async def journey():
        async with place(tmp_path, limits=Limits(messages_per_second=0.01, burst=1)) as here:
            async with here.visitor() as visitor:
                token = (await visitor.hello())["token"]
                await visitor.say("one")
            async with here.visitor() as visitor:
                await visitor.hello(token=token)
                await visitor.send(t="say", id="message-2", text="two")
                assert (await visitor.next("refused"))["code"] == "too_many"

    run(journey())


def test_new_conversations_of_an_address_are_bounded(tmp_path):
    """One address begins so many conversations an hour; one that was begun goes on."""

    async def journey():
        async with place(tmp_path, limits=Limits(conversations_per_hour=1)) as here, here.visitor() as one, here.visitor() as two:
            await one.hello()
            await two.hello()
            await one.say("mine")
            await two.send(t="say", id="message-1", text="mine too")
            assert (await two.next("refused"))["retry_after"] > 3_000
            await one.say("more")

    run(journey())


def test_address_with_too_many_sockets_is_told(tmp_path):
    """The socket past the limit is told why and closed; another address is welcome."""

    async def journey():
        async with place(tmp_path, limits=Limits(sockets_per_address=1)) as here, here.visitor() as one:
            await one.hello()
            async with here.visitor() as two:
                assert (await two.next("error"))["code"] == "too_many"
                assert await two.close_code() == 4429

    run(journey())


def test_silence_is_not_waited_for(tmp_path):
    """Who says no hello is closed."""

    async def journey():
        async with place(tmp_path, limits=Limits(hello_seconds=0.05)) as here, here.visitor() as visitor:
            assert (await visitor.next("error"))["code"] == "hello_first"
            assert await visitor.close_code() == 4408

    run(journey())


def test_unknown_line_and_foreign_page_are_turned_away(tmp_path):
    """A line that is not there is told so; a page of another site gets no socket at all, one that is allowed does."""

    async def journey():
        async with place(tmp_path, settings={"allowed_origins": ["https://shop.example.com"]}) as here:
            async with here.visitor(line="nowhere") as visitor:
                assert (await visitor.next("error"))["code"] == "no_line"
                assert await visitor.close_code() == 4404
            for foreign in ("https://evil.example.com", "http://shop.example.com", "https://shop.example.com:8443", "null"):
                with pytest.raises(websockets.InvalidStatus) as refused:
                    async with here.visitor(origin=foreign):
                        pytest.fail(f"{foreign} was let in")
                assert refused.value.response.status_code == 403
            for own in ("https://shop.example.com", f"http://127.0.0.1:{here.port}"):
                async with here.visitor(origin=own) as visitor:
                    await visitor.hello()

    run(journey())


def test_forged_token_is_refused(tmp_path):
    """A token that is not ours closes the socket and shows nothing."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.send(t="hello", token="A" * 22 + "." + "B" * 22)
            assert (await visitor.next("error"))["code"] == "bad_token"
            assert await visitor.close_code() == 4401

    run(journey())


def test_required_details_come_first(tmp_path):
    """A line that wants to know who writes says which fields are missing, and takes the message afterwards."""

    async def journey():
        async with place(tmp_path, settings={"ask": ["name", "email"], "required": ["email"]}) as here, here.visitor() as visitor:
            assert (await visitor.hello())["required"] == ["email"]
            await visitor.send(t="say", id="message-1", text="hello")
            assert (await visitor.next("refused"))["code"] == "details_required"
            await visitor.send(t="details", id="message-2", email="ann@example.com")
            await visitor.next("ack")
            await visitor.say("hello", "message-1")

    run(journey())


def test_full_disk_refuses_and_recovers(tmp_path):
    """While the disk is full a message is refused with a time to come back; with room again the same message is taken."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.hello()
            await visitor.say("before")

            await here.store.write(lambda tx: set_full(tx, True))
            number = 0
            while True:
                number += 1
                await visitor.send(t="say", id=f"message-{number}", text="x" * 4_000)
                frame = json.loads(await visitor.socket.recv())
                if frame["t"] == "refused":
                    break
            assert ("full", True) == (frame["code"], frame["retry_after"] > 0)

            await here.store.write(lambda tx: set_full(tx, False))
            assert (await visitor.say("x" * 4_000, frame["id"]))["seq"] > 1

    run(journey())


def test_slow_reader_is_cut_and_nobody_waits(tmp_path):
    """A visitor who reads nothing is cut when their queue is full; the sender has not waited for them."""

    async def journey():
        fast = Limits(queue_bytes=20_000, messages_per_second=1_000, burst=1_000, frames_per_second=1_000, frames_burst=10_000)
        async with place(tmp_path, limits=fast) as here, here.visitor() as one:
            token = (await one.hello())["token"]
            await one.say("hello")
            slow = await websockets.connect(
                f"ws://127.0.0.1:{here.port}/ws/visitor?line=shop", max_queue=1, compression=None, ping_interval=None
            )
            await slow.send(json.dumps({"t": "hello", "token": token}))
            while json.loads(await slow.recv())["t"] != "welcome":
                pass
            assert sockets_of(here) == 2
            slow.transport.pause_reading()
            number = 0
            while sockets_of(here) == 2:
                number += 1
                await one.say("y" * 8_000, f"message-{number:08d}")
                assert number < 5_000
            slow.transport.resume_reading()
            await slow.close()

    def sockets_of(here):
        (visitor,) = here.gate._visitors.values()
        return len(visitor.sockets)

    run(journey())


# --- what comes in together


def _say(number: int, text: str = "") -> dict[str, Any]:
    return {"t": "say", "id": f"message-{number:04d}", "text": text or f"text {number}"}


def test_messages_sent_in_one_go_are_stored_in_their_order(tmp_path):
    """A widget that comes back sends all it kept at once: each is acknowledged by its own number, in its order."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.hello()
            await visitor.say("first")
            await visitor.send_all([_say(number) for number in range(30)])
            acks = [await visitor.next("ack") for _ in range(30)]
            assert [ack["id"] for ack in acks] == [f"message-{number:04d}" for number in range(30)]
            assert [ack["seq"] for ack in acks] == sorted(ack["seq"] for ack in acks)
            assert await here.texts() == ["first", *(f"text {number}" for number in range(30))]

    run(journey())


def test_what_was_sent_before_a_sudden_end_is_kept(tmp_path):
    """Messages, then nonsense, in one go: the messages are stored and acknowledged, then the socket is closed for the nonsense."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.hello()
            await visitor.say("first")
            await visitor.send_all([_say(1), _say(2), {"t": "no such frame"}])
            assert [(await visitor.next("ack"))["id"] for _ in range(2)] == ["message-0001", "message-0002"]
            assert await visitor.close_code() == 4400
            assert await here.texts() == ["first", "text 1", "text 2"]

    run(journey())


def test_one_message_that_is_refused_does_not_hold_its_neighbours(tmp_path):
    """Among many sent in one go an empty one is refused by its id; the others are stored, a repeat answers as the first did."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.hello()
            await visitor.say("first")
            await visitor.send_all([_say(1), _say(2, " "), _say(3), _say(1)])
            refused = await visitor.next("refused")
            acks = [await visitor.next("ack") for _ in range(3)]
            assert (refused["id"], refused["code"]) == ("message-0002", "empty")
            assert [ack["id"] for ack in acks] == ["message-0001", "message-0003", "message-0001"]
            assert acks[0]["seq"] == acks[2]["seq"]
            assert await here.texts() == ["first", "text 1", "text 3"]

    run(journey())


def test_nothing_overtakes_a_message_that_came_too_fast(tmp_path):
    """What was sent behind a refused message is refused too until that one comes again: the order is the visitor's."""

    async def journey():
        async with place(tmp_path, limits=Limits(messages_per_second=20, burst=3)) as here, here.visitor() as visitor:
            await visitor.hello()
            waiting = [_say(number) for number in range(12)]
            await visitor.send_all(waiting)
            stored: list[str] = []
            while len(stored) < 12:
                answers = [await visitor.answer() for _ in waiting]
                stored += [answer["id"] for answer in answers if answer["t"] == "ack"]
                waiting = waiting[sum(answer["t"] == "ack" for answer in answers) :]
                if waiting:
                    # What the server asks of it: the first one again as soon as it may, the others behind it.
                    await asyncio.sleep(next(answer["retry_after"] for answer in answers if answer["t"] == "refused"))
                    await visitor.send_all(waiting)
            assert await here.texts() == [f"text {number}" for number in range(12)]

    run(journey())


def test_a_refused_message_that_never_comes_again_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    """A visitor who took a message back can go on: after a while the next ones pass without it."""
    monkeypatch.setattr(gate, "HELD_SECONDS", 0.05)

    async def journey():
        async with place(tmp_path, limits=Limits(messages_per_second=50, burst=1)) as here, here.visitor() as visitor:
            await visitor.hello()
            await visitor.send_all([_say(1), _say(2)])
            assert (await visitor.next("refused"))["id"] == "message-0002"
            await asyncio.sleep(gate.SOONEST_SECONDS + gate.HELD_SECONDS)
            await visitor.send(**_say(3))
            await visitor.next("ack", id="message-0003")
            assert await here.texts() == ["text 1", "text 3"]

    run(journey())


# --- the rating


async def answered_and_closed(here, visitor):
    """Let ann answer the visitor and close; return the visitor's token and the question how it was."""
    token = (await visitor.hello())["token"]
    await visitor.say("hello")
    await operator_does(here, take)
    await operator_does(here, reply, b"good day")
    await operator_does(here, close)
    while not (question := (await visitor.next("message"))["message"]).get("buttons"):
        pass
    return token, question


def test_rating_is_asked_by_buttons_and_pressed_once(tmp_path):
    """The question has two, for whoever comes meanwhile too; a press is acknowledged, said again is the same, and thanked for."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor, here.visitor() as other:
            token, question = await answered_and_closed(here, visitor)
            assert ["Good", "Bad"] == [one["label"] for one in question["buttons"]]
            assert question == (await other.hello(token=token))["history"][-1]

            value = question["buttons"][0]["value"]
            await visitor.send(t="press", id="press-01", value=value)
            ack = await visitor.next("ack", id="press-01")
            thanks = (await visitor.next("message"))["message"]
            await other.send(t="press", id="press-01", value=value)
            again = await other.next("ack", id="press-01")
            await here.decided()

            assert (ack["seq"], "system", None) == (again["seq"], thanks["who"], thanks.get("buttons"))
            ((state,),) = await here.rows("SELECT state FROM sessions")
            assert "good" == json.loads(state)["rating"]
            async with here.visitor() as later:
                history = (await later.hello(token=token))["history"]
            assert [thanks["text"]] == [message["text"] for message in history if message["seq"] > question["seq"]]
            assert not any(message.get("buttons") for message in history)

    run(journey())


def test_press_of_no_button_is_refused_by_name(tmp_path):
    """Where nothing was said, of a value that no button has, and under an id used for another; the socket stays and nothing is kept."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            await visitor.hello()
            await visitor.send(t="press", id="press-01", value="good")
            assert (await visitor.next("refused", id="press-01"))["code"] == "no_button"
            await visitor.say("hello", "message-1")
            for wrong in ("wonderful", "good:of-what", "good:019aa000-0000-7000-8000-00000000000x"):
                await visitor.send(t="press", id="press-02", value=wrong)
                assert (await visitor.next("refused", id="press-02"))["code"] == "no_button"
            await visitor.send(t="press", id="message-1", value="good")
            assert (await visitor.next("refused", id="message-1"))["code"] == "id_used"

            assert [(1,)] == await here.rows("SELECT count(*) FROM inputs")
            assert [(1,)] == await here.rows("SELECT count(*) FROM contacts")

    run(journey())


# --- outside the hours


def week(*days_from_now):
    """Return hours in UTC that are open on these days, counted from today."""
    days = [(datetime.now(UTC) + timedelta(days=days)).strftime("%a").lower() for days in days_from_now]
    return {"zone": "UTC", "week": {day: ["00:00-24:00"] for day in days}}


SHUT = week(2)
"""Closed now, and for a day more at least."""
OPEN = week(*range(7))
CLOSE_SILENTLY = sql(update(line_state).values(open=0))


async def change_hours(here, hours, outside=Outside.FORM):
    """Change the line's settings and let the timekeeper see to it."""
    line = here.directory.lines[here.line]
    here.directory.lines[here.line] = type(line)(
        line.id, line.slug, line.name, line.version + 1, LineSettings(hours=hours, outside=outside)
    )
    routing = House(here.directory)
    await here.store.write(lambda tx: keep_time(tx, routing))


async def says(visitor, text, id_):
    """Say *text* and return the answer: an ack or a refusal."""
    await visitor.send(t="say", id=id_, text=text)
    return await visitor.answer()


def test_closed_line_with_a_form_asks_how_to_reach_whoever_begins(tmp_path):
    """By an e-mail or a phone, a name alone is not enough; with it the message is kept, waits, and is not asked the same again."""

    async def journey():
        line = {"hours": SHUT, "outside": Outside.FORM}
        async with place(tmp_path, line=line, settings={"ask": []}) as here, here.visitor() as visitor:
            welcome = await visitor.hello()
            assert (welcome["ask"], welcome["required"], welcome["reach"]) == (["name", "email", "phone"], [], True)
            assert 0 < welcome["opens_at"] - datetime.now(UTC).timestamp() * 1_000 <= 2 * 86_400_000

            assert (await says(visitor, "hello", "message-1"))["code"] == "details_required"
            await visitor.send(t="details", id="details-1", name="Eve")
            assert (await visitor.answer())["t"] == "ack"
            assert (await says(visitor, "hello", "message-1"))["code"] == "details_required"
            await visitor.send(t="details", id="details-2", phone="+44 20 7946 0123")
            assert (await visitor.answer())["t"] == "ack"
            assert (await says(visitor, "hello", "message-1"))["t"] == "ack"

            told = (await visitor.next("message"))["message"]["text"]
            assert "We open" in told
            assert "phone number" not in told
            assert ["hello"] == await here.texts()
            assert [("queued",)] == await here.rows("SELECT status FROM sessions")
            assert (await says(visitor, "are you there?", "message-2"))["t"] == "ack"

    run(journey())


def test_required_way_to_be_reached_stays_required_at_night(tmp_path):
    """A channel that always wants the phone is not content with an e-mail because the line is closed."""

    async def journey():
        line = {"hours": SHUT, "outside": Outside.FORM}
        settings = {"ask": ["phone"], "required": ["phone"]}
        async with place(tmp_path, line=line, settings=settings) as here, here.visitor() as visitor:
            welcome = await visitor.hello()
            assert (welcome["required"], welcome.get("reach", False)) == (["phone"], False)
            await visitor.send(t="details", id="details-1", email="eve@example.com")
            await visitor.next("ack")
            assert (await says(visitor, "hello", "message-1"))["code"] == "details_required"

    run(journey())


def test_closing_does_not_ask_who_is_in_the_middle_of_it(tmp_path):
    """Whoever waits or is being answered goes on writing; the others are told what is asked for now, and when we open."""

    async def journey():
        line = {"hours": OPEN, "outside": Outside.FORM}
        async with place(tmp_path, line=line) as here, here.visitor() as visitor, here.visitor() as other:
            assert "opens_at" not in await visitor.hello()
            await other.hello()
            await visitor.say("hello")
            await visitor.next("state", state="waiting")

            await change_hours(here, SHUT)

            hours = await other.next("hours")
            assert (hours["ask"], hours["reach"], hours["opens_at"] > 0) == (["name", "email", "phone"], True, True)
            assert hours == await visitor.next("hours")
            assert (await says(visitor, "and another thing", "message-2"))["t"] == "ack"
            assert (await says(other, "hello", "message-1"))["code"] == "details_required"

    run(journey())


def test_opening_is_told_and_asks_no_more(tmp_path):
    """Who sits before the form when we open may begin as on any day."""

    async def journey():
        line = {"hours": SHUT, "outside": Outside.FORM}
        async with place(tmp_path, line=line, settings={"ask": ["name"]}) as here, here.visitor() as visitor:
            await visitor.hello()

            await change_hours(here, OPEN)

            assert await visitor.next("hours") == {"t": "hours", "ask": ["name"]}
            assert (await says(visitor, "hello", "message-1"))["t"] == "ack"

    run(journey())


def test_closing_that_nobody_heard_of_is_told_with_the_refusal(tmp_path):
    """A bell may be lost: whoever writes is refused with what the form must ask for, and told before."""

    async def journey():
        async with place(tmp_path, line={"hours": OPEN, "outside": Outside.FORM}) as here, here.visitor() as visitor:
            await visitor.hello()
            await here.store.write(lambda tx: tx.run(CLOSE_SILENTLY))

            await visitor.send(t="say", id="message-1", text="hello")
            assert await visitor.next("hours") == {"t": "hours", "ask": ["name", "email", "phone"], "reach": True}
            assert (await visitor.next("refused", id="message-1"))["code"] == "details_required"

    run(journey())


@pytest.mark.parametrize("outside", [Outside.KEEP, Outside.REPLY])
def test_closed_line_without_a_form_says_when_it_opens_and_takes_what_is_written(tmp_path, outside):
    """The form is the usual one."""

    async def journey():
        line = {"hours": SHUT, "outside": outside}
        async with place(tmp_path, line=line, settings={"ask": ["name"]}) as here, here.visitor() as visitor:
            welcome = await visitor.hello()
            assert (welcome["ask"], welcome.get("reach", False), welcome["opens_at"] > 0) == (["name"], False, True)
            await visitor.say("hello")
            assert ["hello"] == await here.texts()

    run(journey())


# --- a banned contact


def test_what_a_banned_contact_writes_is_kept_and_nobody_answers(tmp_path):
    """Their chat works like anybody's: acknowledged, in the history of every tab, and no error; it opens no session."""

    async def journey():
        async with place(tmp_path) as here, here.visitor() as visitor:
            token = (await visitor.hello())["token"]
            await visitor.say("buy my pills")
            await operator_does(here, take)
            await operator_does(here, close)
            await visitor.next("state", state="closed")
            ((contact,),) = await here.rows("SELECT id FROM contacts")
            await here.store.write(lambda tx: inbound.set_banned(tx, ContactId(contact), banned=True))
            before = await here.rows("SELECT count(*) FROM sessions")

            async with here.visitor() as other:
                await other.hello(token=token)
                assert (await says(visitor, "cheap pills", "message-2"))["t"] == "ack"
                assert (await says(visitor, "last chance", "message-3"))["t"] == "ack"
                await here.decided()
                while (await other.next("message"))["message"]["text"] != "last chance":
                    pass
                await visitor.send(t="ping")
                await visitor.next("pong")

            seen = [frame["t"] for frame in visitor.frames]
            assert not {"refused", "error"} & set(seen)
            assert before == await here.rows("SELECT count(*) FROM sessions")
            assert ["closed"] == [status for (status,) in await here.rows("SELECT status FROM sessions")]
            assert ["buy my pills", "cheap pills", "last chance"] == await here.texts()
            async with here.visitor() as again:
                welcome = await again.hello(token=token)
            assert (welcome["state"], welcome["history"][-1]["text"]) == ("closed", "last chance")

    run(journey())
