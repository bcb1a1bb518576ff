"""What operators say with more than words, and what they make of it afterwards: files, answers, other words, taking back."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import bindparam, update

from broker import inbound
from broker.domain import TEXT_MAX, Fate, LineSettings, Role
from broker.events import AnsweredOutside, Changed, Deleted, Wrote
from broker.extras import Attachment, Extra, FileKind, Place, SharedContact
from broker.store.sql import sql
from broker.store.tables import messages, outbox
from operators import cards
from tests.operators.desk import Desk, played
from tests.operators.shelf import Shelf, open_shelf
from tests.operators.shop import NOBODY
from tests.support.channels import PUSH
from tests.support.messenger import Messenger, pictures

_SENT = sql(update(outbox).values(state="sent"))
_FATE = sql(update(messages).values(fate=bindparam("became")).where(messages.c.seq == bindparam("number")))


@pytest.fixture
def shelf(tmp_path: Path) -> Any:
    """Return a shop that keeps files."""
    with open_shelf(tmp_path) as made:
        yield made


def taken(shelf: Shelf, key: str = "v1") -> str:
    """Return a session that ann has taken; its first message is the customer's."""
    shelf.bring(Wrote("hello", ref=f"{key}-1"), key)
    session = shelf.session()
    shelf.do("ann", session, "take")
    return session


def replied(shelf: Shelf, session: str, text: str = "hi", **more: Any) -> int:
    """Return the seq of what ann has replied."""
    answer = shelf.do("ann", session, "reply", text=text, **more)
    assert answer.status_code == 202, answer.text
    return int(shelf.messages(session)[-1]["seq"])


def reword(shelf: Shelf, session: str, seq: int, text: str = "new", who: str = "ann", key: str = "reword-1") -> tuple[int, str]:
    """Have *who* word a message anew; return the status and the code."""
    path = f"/sessions/{session}/messages/{seq}"
    answer = shelf.ask(who, "PATCH", path, json={"text": text}, headers={"Idempotency-Key": key})
    shelf.go_on()
    return answer.status_code, answer.json().get("code", "")


def sent(shelf: Shelf) -> None:
    """Let everything that waits have been sent."""
    shelf.site.write(lambda tx: tx.run(_SENT))


def take_back(shelf: Shelf, session: str, seq: int, who: str = "ann", key: str = "take-back-1") -> tuple[int, str]:
    """Have *who* take a message back."""
    answer = shelf.ask(who, "DELETE", f"/sessions/{session}/messages/{seq}", headers={"Idempotency-Key": key})
    shelf.go_on()
    return answer.status_code, answer.json().get("code", "")


def said(shelf: Shelf, session: str) -> int:
    """Return how many messages people have said."""
    return len([one for one in shelf.messages(session) if one["author"] != "system"])


def message(shelf: Shelf, session: str, seq: int) -> dict[str, Any]:
    """Return a message as operators see it."""
    (found,) = [one for one in shelf.messages(session) if one["seq"] == seq]
    return found


def picture() -> bytes:
    """Return a picture."""
    out = io.BytesIO()
    Image.new("RGB", (40, 20), "red").save(out, "PNG")
    return out.getvalue()


# --- replies with more than words


def test_a_reply_goes_with_files_an_answer_and_a_question(shelf: Shelf):
    """What was uploaded is there, what it answers is shown above it, and the customer is asked for their phone."""
    session = taken(shelf)
    file = shelf.uploaded(session, "a.png", picture())

    seq = replied(shelf, session, "look", files=[file], answers=1, asks_phone=True)

    extra = message(shelf, session, seq)["extra"]
    (shown,) = extra["files"]
    assert (file, "ready", "a.png", 40, 20, True) == tuple(
        shown[key] for key in ("id", "state", "name", "width", "height", "preview")
    )
    assert ({"seq": 1, "text": "hello"}, True) == (extra["quote"], extra["asks_phone"])
    assert [("send", seq)] == shelf.rows("SELECT does, seq FROM outbox WHERE seq = ?", seq)


def test_a_reply_may_be_files_alone(shelf: Shelf):
    """And nothing at all is no reply."""
    session = taken(shelf)
    file = shelf.uploaded(session)

    assert "" == message(shelf, session, replied(shelf, session, "", files=[file]))["text"]
    empty = shelf.do("ann", session, "reply", text=" ")
    assert (422, "empty") == (empty.status_code, empty.json()["code"])


def test_files_stand_in_the_order_in_which_they_were_named_and_once(shelf: Shelf):
    """As the operator has put them."""
    session = taken(shelf)
    one, two = shelf.uploaded(session, "1.txt", b"1"), shelf.uploaded(session, "2.txt", b"2")

    extra = message(shelf, session, replied(shelf, session, files=[two, one, two]))["extra"]

    assert ["2.txt", "1.txt"] == [file["name"] for file in extra["files"]]


@pytest.mark.parametrize("which", ["another session's", "nobody's", "both"])
def test_a_file_of_another_customer_is_not_sent(shelf: Shelf, which: str):
    """Nor one that was never uploaded: nothing of the reply is done."""
    other = shelf.uploaded(taken(shelf, "v2"))
    session = taken(shelf)
    mine = shelf.uploaded(session)
    files = {"another session's": [other], "nobody's": [NOBODY], "both": [mine, other]}[which]

    answer = shelf.do("ann", session, "reply", text="look", files=files)

    assert (422, "no_file") == (answer.status_code, answer.json()["code"])
    assert ["files"] == [one["field"] for one in answer.json()["errors"]]
    assert 1 == said(shelf, session)


def test_a_reply_has_ten_files_at_most(shelf: Shelf):
    """More is no request of ours."""
    session = taken(shelf)

    assert 422 == shelf.do("ann", session, "reply", text="look", files=[NOBODY] * 11).status_code


def test_what_a_reply_answers_is_looked_for_in_its_conversation(shelf: Shelf):
    """What is not there is not shown, and the words go out."""
    session = taken(shelf)

    assert None is (message(shelf, session, replied(shelf, session, answers=99))["extra"] or {}).get("quote")


def test_a_reply_that_comes_again_is_sent_once(shelf: Shelf):
    """With the same files it is the same; with others its id was used for something else."""
    session = taken(shelf)
    one, two = shelf.uploaded(session, "1.txt", b"1"), shelf.uploaded(session, "2.txt", b"2")
    answers = [shelf.do("ann", session, "reply", "reply-12", text="look", files=[file]) for file in (one, one, two)]
    other = shelf.do("ann", session, "reply", "reply-12", text="look", files=[one], answers=1)

    assert [202, 202, 409, 409] == [answer.status_code for answer in (*answers, other)]
    assert 2 == said(shelf, session)


def test_names_that_a_provider_gives_are_shown_to_nobody(shelf: Shelf):
    """Some of them are keys."""
    shelf.bring(Wrote("", ref="m1", extra=Extra(files=(Attachment(FileKind.PHOTO, ref="secret-key"),))))

    answer = shelf.ask("sue", "GET", f"/sessions/{shelf.session()}/messages")

    (file,) = [file for one in answer.json()["items"] for file in (one["extra"] or {}).get("files", ())]
    assert ("photo", False) == (file["kind"], "secret-key" in answer.text)


def card_of(shelf: Shelf) -> tuple[str, str]:
    """Return what a list shows of the last message of the only session."""
    session = shelf.session()
    card = shelf.site.write(lambda tx: cards.load(tx, session))
    assert card is not None
    return card.last_text, card.last_what


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        (pictures("p1"), "photo"),
        (Extra(files=(Attachment(FileKind.VOICE, ref="v1"),)), "voice"),
        (Extra(place=Place(52.2, 21.0)), "place"),
        (Extra(shared=SharedContact("Vera", "+79123456789")), "contact"),
        (Extra(what="poll"), "poll"),
    ],
)
def test_a_card_says_what_a_message_without_words_is(shelf: Shelf, extra: Extra, what: str):
    """A list shows it in the place of words."""
    shelf.bring(Wrote("", extra=extra))

    assert ("", what) == card_of(shelf)


def test_a_card_shows_words_where_there_are_some(shelf: Shelf):
    """A picture with a caption is its caption."""
    shelf.bring(Wrote("look", extra=pictures("p1")))

    assert ("look", "") == card_of(shelf)


def test_a_list_over_rest_says_what_a_message_without_words_is(shelf: Shelf):
    """As the console's does."""
    shelf.bring(Wrote("", extra=pictures("p1")))
    (card,) = shelf.get("sue", "/sessions")["items"]

    assert "photo" == card.get("last_what")


# --- other words


def test_what_was_sent_says_something_else(shelf: Shelf):
    """Here at once, with the words that were there; and it is asked for where it was sent, after what was sent before."""
    session = taken(shelf)
    seq = replied(shelf, session, "helo")
    sent(shelf)

    assert (202, "") == reword(shelf, session, seq, "  hello ")
    found = message(shelf, session, seq)
    assert ("hello", ["helo"]) == (found["text"], [one["text"] for one in found["extra"]["versions"]])
    ((does, target, after),) = shelf.rows("SELECT does, target_seq, seq FROM outbox WHERE does <> 'send'")
    assert ("reword", seq, True) == (does, target, after > seq)
    assert 2 == said(shelf, session)


def test_what_was_sent_is_taken_back(shelf: Shelf):
    """Its words stay for who must know what was said; it is asked for where it was sent."""
    session = taken(shelf)
    seq = replied(shelf, session, "helo")
    sent(shelf)

    assert (202, "") == take_back(shelf, session, seq)
    found = message(shelf, session, seq)
    assert ("helo", True) == (found["text"], found["extra"]["deleted_ms"] > 0)
    assert [("take_back", seq)] == shelf.rows("SELECT does, target_seq FROM outbox WHERE does <> 'send'")


def test_what_has_not_left_leaves_as_it_was_worded_last(shelf: Shelf):
    """Nothing is to be changed where nothing has come."""
    session = taken(shelf)
    seq = replied(shelf, session, "helo")

    assert (202, "") == reword(shelf, session, seq, "hello")
    assert "hello" == message(shelf, session, seq)["text"]
    assert [("send", seq, "queued")] == shelf.rows("SELECT does, seq, state FROM outbox WHERE seq > 2")


def test_what_has_not_left_never_leaves_when_it_is_taken_back(shelf: Shelf):
    """The customer sees nothing of it, and neither is it asked to be deleted where it is not."""
    session = taken(shelf)
    seq = replied(shelf, session, "a slip")

    assert (202, "") == take_back(shelf, session, seq)
    found = message(shelf, session, seq)
    assert ("cancelled", True) == (found["fate"], found["extra"]["deleted_ms"] > 0)
    assert [("send", seq, "cancelled")] == shelf.rows("SELECT does, seq, state FROM outbox WHERE seq > 2")


@pytest.mark.parametrize("fate", [Fate.FAILED, Fate.CANCELLED])
@pytest.mark.parametrize("change", [reword, take_back])
def test_what_was_never_sent_is_not_changed(shelf: Shelf, change: Any, fate: Fate):
    """It is said again instead."""
    session = taken(shelf)
    seq = replied(shelf, session)
    shelf.site.write(lambda tx: tx.run(_FATE, number=seq, became=fate.value))

    assert (409, "was_not_sent") == change(shelf, session, seq)


def test_a_colleague_changes_nothing_of_what_another_wrote(shelf: Shelf):
    """It would stand under the other's name; a supervisor may."""
    shelf.person("eve", Role.OPERATOR, 0)
    session = taken(shelf)
    seq = replied(shelf, session)
    assert 202 == shelf.do("sue", session, "assign", operator_id=shelf.ids["eve"]).status_code

    assert (403, "forbidden") == reword(shelf, session, seq, who="eve")
    assert (202, "") == reword(shelf, session, seq, who="sue", key="reword-2")
    changed = shelf.rows("SELECT body FROM journal WHERE kind = 'changed'")
    assert [shelf.ids["sue"]] == [json.loads(row[0])["by"] for row in changed]


def test_files_stay_when_the_words_change(shelf: Shelf):
    """And so does what it answers."""
    session = taken(shelf)
    seq = replied(shelf, session, "look", files=[shelf.uploaded(session)], answers=1)
    before = message(shelf, session, seq)["extra"]
    reword(shelf, session, seq)

    after = message(shelf, session, seq)["extra"]
    assert (before["files"], before["quote"]) == (after["files"], after["quote"])


def test_a_change_that_comes_again_is_done_once(shelf: Shelf):
    """As every deed; under the same id with other words it is something else."""
    session = taken(shelf)
    seq = replied(shelf, session, "helo")
    codes = [reword(shelf, session, seq, "hello"), reword(shelf, session, seq, "hello"), reword(shelf, session, seq, "bye")]
    (*_, other) = codes

    assert ([(202, ""), (202, "")], (409, "id_used")) == (codes[:2], other)
    assert 1 == len(message(shelf, session, seq)["extra"]["versions"])


def test_what_was_taken_back_is_not_changed_any_more(shelf: Shelf):
    """Neither in its words, nor once more."""
    session = taken(shelf)
    seq = replied(shelf, session)
    take_back(shelf, session, seq)

    assert (409, "taken_back") == reword(shelf, session, seq)
    assert (409, "taken_back") == take_back(shelf, session, seq, key="take-back-2")


def test_of_two_who_take_a_message_back_and_change_it_the_first_is_heard(shelf: Shelf):
    """Both were accepted before either was decided: what was taken back stays so."""
    session = taken(shelf)
    seq = replied(shelf, session, "hi")
    sent(shelf)
    path = f"/sessions/{session}/messages/{seq}"
    shelf.ask("ann", "DELETE", path, headers={"Idempotency-Key": "deed-0001"})
    second = shelf.ask("ann", "PATCH", path, json={"text": "new"}, headers={"Idempotency-Key": "deed-0002"})
    shelf.go_on()

    # Refused at once, or let go when its turn comes.
    assert second.status_code in (202, 409)
    assert "hi" == message(shelf, session, seq)["text"]
    assert ["take_back"] == [row[0] for row in shelf.rows("SELECT does FROM outbox WHERE does <> 'send'")]


@pytest.mark.parametrize("change", [reword, take_back])
def test_only_what_an_operator_wrote_from_here_is_changed(shelf: Shelf, change: Any):
    """Not the customer's words, nor the line's own, nor what was written in the provider's program, nor what is not there."""
    session = taken(shelf)
    shelf.bring(AnsweredOutside("we are open", ref="out-1"))

    seqs = {(one["author"], (one["extra"] or {}).get("elsewhere", False)): one["seq"] for one in shelf.messages(session)}
    of = [seqs["contact", False], seqs["system", False], seqs["operator", True], 99]

    assert [(409, "not_ours")] * 4 == [change(shelf, session, seq) for seq in of]


@pytest.mark.parametrize("change", [reword, take_back])
def test_a_note_is_not_changed(shelf: Shelf, change: Any):
    """It never left; it is what colleagues were told."""
    session = taken(shelf)
    shelf.do("ann", session, "note", text="a liar")
    seq = int(shelf.messages(session)[-1]["seq"])

    assert (409, "not_ours") == change(shelf, session, seq)
    assert [] == shelf.rows("SELECT does FROM outbox WHERE does <> 'send'")


@pytest.mark.parametrize("change", [reword, take_back])
def test_who_may_not_answer_changes_nothing(shelf: Shelf, change: Any):
    """Of a foreign line there is no session; a colleague who looks on may not."""
    shelf.person("eve", Role.OPERATOR, 0)
    session = taken(shelf)
    seq = replied(shelf, session)

    assert [404, 403] == [change(shelf, session, seq, who=who)[0] for who in ("bob", "eve")]
    assert "hi" == message(shelf, session, seq)["text"]


def test_a_message_of_another_conversation_is_not_reached_by_its_number(shelf: Shelf):
    """A number is its conversation's own."""
    other = taken(shelf, "v2")
    replied(shelf, other, "one")
    theirs = replied(shelf, other, "two")
    session = taken(shelf)

    assert (409, "not_ours") == reword(shelf, session, theirs)
    assert "two" == message(shelf, other, theirs)["text"]


@pytest.mark.parametrize(("text", "code"), [("  ", "empty"), ("x" * (TEXT_MAX + 1), "too_long")])
def test_other_words_are_words(shelf: Shelf, text: str, code: str):
    """Some, and no more than a message has."""
    session = taken(shelf)

    assert (422, code) == reword(shelf, session, replied(shelf, session), text)


# --- what the channel cannot


def test_what_the_channel_cannot_is_refused_before_it_is_tried(shelf: Shelf):
    """And says what to do instead; afterwards it could only fail."""
    session = taken(shelf)
    seq = replied(shelf, session)
    sent(shelf)
    file = shelf.uploaded(session)
    can = shelf.site.parts.kinds
    assert isinstance(can, dict)
    can["fake"] = PUSH

    wishes: list[dict[str, Any]] = [{"files": [file]}, {"text": "your phone?", "asks_phone": True}]
    answers = [shelf.do("ann", session, "reply", **wish) for wish in wishes]
    assert [(422, "no_files_here"), (422, "no_phone_button")] == [(one.status_code, one.json()["code"]) for one in answers]
    assert [(409, "stays_said")] * 2 == [change(shelf, session, seq) for change in (reword, take_back)]
    can["fake"] = replace(PUSH, files_max=2)
    large = shelf.do("ann", session, "reply", files=[file])
    assert (422, "file_too_large") == (large.status_code, large.json()["code"])
    can["fake"] = replace(PUSH, files_max=1_000, asks_phone=True, edits=True, deletes=True)
    assert [202, 202] == [shelf.do("ann", session, "reply", **wish).status_code for wish in wishes]
    assert (202, "") == reword(shelf, session, seq, key="reword-9")


# --- on screens


def test_a_message_that_has_changed_reaches_the_open_thread(tmp_path):
    """By an operator, or by the customer: the same message says something else, and nobody is asked to answer it."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        messenger = Messenger(desk.channel, desk.line)
        desk.channels[desk.channel] = messenger

        async def hear(what: Any) -> None:
            prepared = inbound.prepare(messenger, [messenger.brings(what, "v1")], LineSettings())
            await desk.store.write(lambda tx: inbound.accept(tx, messenger.id, prepared))

        async with desk.console(ann) as console:
            await hear(Wrote("helo", ref="m1"))
            session = (await console.card(status="offered"))["card"]["session"]
            await console.send(t="open", session=session)
            await console.do(session, "take")
            await console.do(session, "reply", text="yes", answers=1)
            ours = (await console.said("yes"))["message"]
            assert {"seq": 1, "text": "helo"} == ours["extra"]["quote"]
            answered = (await console.until(lambda u: u.get("card", {}).get("last_text") == "yes" or "fate" in u)) or {}
            assert answered

            await hear(Changed("m1", "hello"))
            edited = await console.said("hello")
            assert (1, ["helo"]) == (edited["message"]["seq"], [one["text"] for one in edited["message"]["extra"]["versions"]])
            await console.do(session, "reword", message=ours["seq"], text="yes!")
            reworded = await console.said("yes!")
            assert ours["seq"] == reworded["message"]["seq"]
            await hear(Deleted(("m1",)))
            deleted = await console.until(lambda u: u.get("message", {}).get("extra", {}).get("deleted_ms"))
            assert (1, "hello") == (deleted["message"]["seq"], deleted["message"]["text"])
            await console.caught_up()
            ((unanswered,),) = await desk.rows("SELECT count(*) FROM sessions WHERE state LIKE '%unanswered_since\":\"%'")
            ((events,),) = await desk.rows("SELECT count(*) FROM inputs WHERE event LIKE '%\"contact_message\"%'")
            assert (0, 1) == (unanswered, events)

    played(tmp_path, story)


def test_the_card_of_a_changed_message_stays_in_its_place(tmp_path):
    """An older message that changes is not the last one; the last one shows its new words, and is still the same."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        messenger = Messenger(desk.channel, desk.line)
        desk.channels[desk.channel] = messenger

        async def hear(what: Any) -> None:
            prepared = inbound.prepare(messenger, [messenger.brings(what, "v1")], LineSettings())
            await desk.store.write(lambda tx: inbound.accept(tx, messenger.id, prepared))

        async with desk.console(ann) as console:
            await hear(Wrote("one", ref="m1"))
            session = (await console.card(status="offered"))["card"]["session"]
            await console.send(t="open", session=session)
            await console.do(session, "take")
            await hear(Wrote("", ref="m2", extra=pictures("p1")))
            before = (await console.card(last_what="photo"))["card"]

            await hear(Changed("m1", "ONE"))
            older = await console.said("ONE")
            await hear(Changed("m2", "TWO"))
            last = await console.said("TWO")
            await console.caught_up()

            assert before["last_seq"] == older.get("card", before)["last_seq"]
            assert "photo" == older.get("card", before)["last_what"]
            assert ("TWO", before["last_seq"], "") == (
                last["card"]["last_text"],
                last["card"]["last_seq"],
                last["card"].get("last_what", ""),
            )

    played(tmp_path, story)
