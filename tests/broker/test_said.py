"""Messages with what is beside their words, and what becomes of them afterwards: albums, edits, deletions, reactions, quotes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from broker import extras
from broker.domain import ConversationId, LineSettings, Person, to_us
from broker.errors import NotFound
from broker.events import (
    AnsweredElsewhere,
    AnsweredOutside,
    Changed,
    Codec,
    ContactDetails,
    Deleted,
    MessageChanged,
    Moved,
    Pressed,
    Reach,
    ReachChanged,
    Reacted,
    Told,
    Wrote,
)
from broker.extras import FILES_MAX, QUOTED_MAX, VERSIONS_MAX, Extra, Quote
from broker.inbound import Accepted, accept, accept_each, prepare, revive, said
from broker.ports import Bell, Raw, Tx
from broker.receiving import cursor_of
from routing import worker
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line, add_operator, load_house
from tests.support.messenger import Messenger, photos, pictures
from tests.support.store import MemoryStore

PHONE = "+79123456789"


class Inbox:
    """A line with two messengers, and what comes in by the first."""

    def __init__(self) -> None:
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)

        def build(tx: Tx) -> tuple[Messenger, Messenger]:
            line = add_line(tx)
            return Messenger(add_channel(tx, line, "one"), line), Messenger(add_channel(tx, line, "two"), line)

        self.one, self.two = self.store.write(build)

    def take(self, *raws: Raw, cursor: str | None = None) -> list[Accepted]:
        """Accept a delivery."""
        prepared = prepare(self.one, raws, LineSettings())
        return self.store.write(lambda tx: accept(tx, self.one.id, prepared, cursor))

    def hear(self, *whats: Any, key: str = "eve", person: Person | None = None) -> list[Accepted]:
        """Accept *whats*, said in the conversation *key*, as one delivery."""
        return self.take(*(self.one.brings(what, key, person=person) for what in whats))

    def messages(self) -> list[tuple[str, Extra]]:
        """Return the words of each message, and what is beside them."""
        found = self.store.rows("SELECT text, extra FROM messages ORDER BY conversation_id, seq")
        return [(text, extras.read(extra)) for text, extra in found]

    def message(self) -> tuple[str, Extra]:
        """Return the only one."""
        (found,) = self.messages()
        return found

    def events(self) -> list[Any]:
        """Return every event but the times, in the order of the inputs."""
        return [Codec.decode(row[0]) for row in self.store.rows("SELECT event FROM inputs WHERE event IS NOT NULL ORDER BY id")]

    def told(self, kind: str) -> list[Any]:
        """Return the bodies of the journal's rows of *kind*."""
        return [
            msgspec.json.decode(row[0]) for row in self.store.rows("SELECT body FROM journal WHERE kind = ? ORDER BY id", kind)
        ]

    def named(self, ref: str) -> int | None:
        """Return the seq of the message that is called *ref*."""
        found = self.store.write(lambda tx: said.named(tx, self.one.id, ref))
        return found.seq if found is not None else None

    def traces(self) -> tuple[Any, ...]:
        """Return everything that a payload may leave behind."""
        return (*map(self.count, ("inputs", "messages", "journal", "fetches")), self.messages())

    def count(self, table: str) -> int:
        """Return how many rows there are."""
        return int(self.store.one(f"SELECT count(*) FROM {table}"))  # noqa: S608  (our own words)


@pytest.fixture
def inbox() -> Inbox:
    """Return an inbox nobody has written to."""
    return Inbox()


def album(*captions: str, name: str = "a") -> list[Wrote]:
    """Return the payloads of an album: a photo each, `p1` with the name `m1` and so on."""
    return [
        Wrote(caption, ref=f"m{number}", extra=pictures(f"p{number}"), album=name) for number, caption in enumerate(captions, 1)
    ]


# --- albums


@pytest.mark.parametrize("captions", [("look", "", ""), ("", "look", ""), ("", "", "look")])
def test_an_album_is_one_message(inbox: Inbox, captions: tuple[str, ...]):
    """However it comes in pieces, and whichever has the words: every file is asked for, and each piece's name means the message."""
    inbox.hear(*album(*captions))

    text, extra = inbox.message()
    assert ("look", ["p1", "p2", "p3"]) == (text, [file.ref for file in extra.files])
    assert [(1, 0, "p1"), (1, 1, "p2"), (1, 2, "p3")] == inbox.store.rows("SELECT seq, no, ref FROM fetches ORDER BY no")
    assert [1, 1, 1] == [inbox.named(ref) for ref in ("m1", "m2", "m3")]
    assert [{"what": "added"}] * 2 == inbox.told("changed")


def test_the_words_of_an_album_are_all_kept(inbox: Inbox):
    """One under the other, in the order in which they came."""
    inbox.hear(*album("one", "", "three"))

    assert "one\nthree" == inbox.message()[0]


def test_an_album_that_comes_in_two_deliveries_is_one_message(inbox: Inbox):
    """The rest may come after the first was stored; every piece is an input of its own, and only the first asks for an answer."""
    for one in album("", "", "look"):
        inbox.hear(one)

    text, extra = inbox.message()
    assert ("look", 3) == (text, len(extra.files))
    assert ["ContactMessage", "MessageChanged", "MessageChanged"] == [type(event).__name__ for event in inbox.events()]


def test_a_repeat_of_an_album_leaves_no_trace(inbox: Inbox):
    """All of it again, or one piece: the first piece is not taken for the next one."""
    raws = [inbox.one.brings(what) for what in album("look", "", "")]
    inbox.take(*raws)
    before = inbox.traces()

    again = [*inbox.take(*raws), *inbox.take(raws[0]), *inbox.take(raws[2])]

    assert [False] * 5 == [one.fresh for one in again]
    assert before == inbox.traces()


def test_albums_of_two_conversations_are_two(inbox: Inbox):
    """Their names are their conversation's own."""
    inbox.hear(Wrote("mine", ref="m1", extra=pictures("p1"), album="a"))
    inbox.hear(Wrote("yours", ref="m2", extra=pictures("p2"), album="a"), key="bob")

    assert ["mine", "yours"] == [text for text, _ in inbox.messages()]


@pytest.mark.parametrize("first", [FILES_MAX - 1, FILES_MAX, FILES_MAX + 3])
def test_what_is_too_much_for_one_message_is_told_as_a_number(inbox: Inbox, first: int):
    """At once or by the pieces that follow; none of it is asked for."""
    inbox.hear(
        Wrote("", ref="m1", extra=pictures(*(f"p{number}" for number in range(first))), album="a"),
        Wrote("", ref="m2", extra=pictures("q1", "q2", "q3"), album="a"),
    )

    extra = inbox.message()[1]
    assert (FILES_MAX, first + 3 - FILES_MAX) == (len(extra.files), extra.files_left_out)
    assert FILES_MAX == inbox.store.one("SELECT count(*) FROM fetches")


# --- edits


def test_an_edit_keeps_the_words_that_were_there(inbox: Inbox):
    """The message says the new ones, and what it said until when stands with it; screens are told."""
    inbox.hear(Wrote("helo", ref="m1"))
    inbox.clock.move(60)

    inbox.hear(Changed("m1", "hello"))

    now_ms = to_us(inbox.clock.now()) // 1000
    assert ("hello", Extra(versions=(extras.Version("helo", now_ms),), edited_ms=now_ms)) == inbox.message()
    assert [{"what": "edited"}] == inbox.told("changed")
    assert MessageChanged(inbox.clock.now(), 1, "edited") == inbox.events()[-1]


def test_of_many_edits_the_first_words_and_the_last_ones_stay(inbox: Inbox):
    """What was said first is never lost, however often it is worded anew."""
    inbox.hear(Wrote("0", ref="m1"))
    inbox.hear(*(Changed("m1", f"{number}") for number in range(1, VERSIONS_MAX + 6)))

    text, extra = inbox.message()
    assert (f"{VERSIONS_MAX + 5}", VERSIONS_MAX) == (text, len(extra.versions))
    assert ["0", "6", "7"] == [version.text for version in extra.versions[:3]]
    assert f"{VERSIONS_MAX + 4}" == extra.versions[-1].text


def test_an_edit_of_what_we_do_not_have_is_a_new_message(inbox: Inbox):
    """Marked as edited; it asks for an answer, and its name is known from now on."""
    inbox.hear(Changed("m7", "hello", pictures("p1")))
    at_ms = to_us(inbox.clock.now()) // 1000
    assert at_ms == inbox.message()[1].edited_ms
    inbox.hear(Changed("m7", "hello!"))

    text, extra = inbox.message()
    assert ("hello!", ["hello"], ["p1"]) == (text, [one.text for one in extra.versions], [file.ref for file in extra.files])
    assert ["ContactMessage", "MessageChanged"] == [type(event).__name__ for event in inbox.events()]


def test_an_edit_that_changes_nothing_leaves_no_trace(inbox: Inbox):
    """A link's preview has come, or a button: nobody said anything."""
    inbox.hear(Wrote("hello", ref="m1", extra=pictures("p1")))
    before = inbox.traces()

    (accepted,) = inbox.hear(Changed("m1", "hello", pictures("p1")))

    assert (None, False) == (accepted.conversation_id, accepted.fresh)
    assert before == inbox.traces()


def arrive(inbox: Inbox) -> None:
    """Let every file of the only message be here."""
    _, extra = inbox.message()
    here = tuple(
        msgspec.structs.replace(file, state=extras.FileState.READY, id=f"file-{file.ref}", ref="", origin=file.ref)
        for file in extra.files
    )
    kept = extras.written(msgspec.structs.replace(extra, files=here))
    inbox.store.change("UPDATE messages SET extra = ?", kept)
    inbox.store.change("DELETE FROM fetches")


def test_an_edit_of_the_words_leaves_the_files_that_are_here(inbox: Inbox):
    """The provider tells them again with every edit; they are the same, and are not fetched once more."""
    inbox.hear(Wrote("helo", ref="m1", extra=pictures("p1")))
    arrive(inbox)

    inbox.hear(Changed("m1", "hello", pictures("p1")))

    text, extra = inbox.message()
    assert ("hello", ["file-p1"]) == (text, [file.id for file in extra.files])
    assert 0 == inbox.store.one("SELECT count(*) FROM fetches")


@pytest.mark.parametrize("ref", ["m1", "m2"])
def test_an_edit_of_one_piece_of_an_album_leaves_the_other_files(inbox: Inbox, ref: str):
    """A provider tells the piece that was changed, and nothing of the others."""
    inbox.hear(*album("helo", "", ""))

    inbox.hear(Changed(ref, "hello", pictures(f"p{ref[1:]}")))

    assert {"p1", "p2", "p3"} == {file.ref for file in inbox.message()[1].files}


def test_an_edit_of_a_piece_without_words_leaves_those_of_the_album(inbox: Inbox):
    """They stand with another piece, of which nothing was said."""
    inbox.hear(*album("look", ""))

    inbox.hear(Changed("m2", "", pictures("p2")))

    assert "look" == inbox.message()[0]


def test_an_edit_may_bring_another_file(inbox: Inbox):
    """It is awaited in the place of the one that was there."""
    inbox.hear(Wrote("look", ref="m1", extra=pictures("p1")))

    inbox.hear(Changed("m1", "look", pictures("p2")))

    text, extra = inbox.message()
    assert ("look", ["p2"]) == (text, [file.ref for file in extra.files])
    assert ["p1", "p2"] == [row[0] for row in inbox.store.rows("SELECT ref FROM fetches ORDER BY ref")]


def test_a_repeat_of_an_older_edit_changes_nothing(inbox: Inbox):
    """What was said since stays."""
    inbox.hear(Wrote("1", ref="m1"))
    older = inbox.one.brings(Changed("m1", "2"))
    inbox.take(older)
    inbox.hear(Changed("m1", "3"))
    before = inbox.traces()

    (again,) = inbox.take(older)

    assert (2, False) == (again.seq, again.fresh)
    assert before == inbox.traces()


# --- deletions and reactions


def test_what_was_taken_back_is_marked_and_stays(inbox: Inbox):
    """Operators have read it: its words stay; of several each is marked, once."""
    inbox.hear(Wrote("one", ref="m1"), Wrote("two", ref="m2"), Wrote("three", ref="m3"))
    inbox.hear(Deleted(("m1", "m3", "nothing")))
    first_ms = to_us(inbox.clock.now()) // 1000
    inbox.clock.move(60)

    (again,) = inbox.hear(Deleted(("m1",)))

    assert [("one", first_ms), ("two", 0), ("three", first_ms)] == [(text, extra.deleted_ms) for text, extra in inbox.messages()]
    assert ([{"what": "deleted"}] * 2, False) == (inbox.told("changed"), again.fresh)


def test_a_reaction_is_the_customers_whole_opinion(inbox: Inbox):
    """The last one counts; none takes it back, and the words are as they were."""
    inbox.hear(Wrote("hello", ref="m1"))
    inbox.hear(Reacted("m1", ("👍", "🎉")))
    liked = inbox.message()
    inbox.hear(Reacted("m1", ()))

    assert ("hello", Extra(reactions=("👍", "🎉"))) == liked
    assert ("hello", Extra()) == inbox.message()
    assert [{"what": "reacted"}] * 2 == inbox.told("changed")


def test_a_reaction_finds_its_message_wherever_it_is_said_to_be(inbox: Inbox):
    """A provider may not say in which topic of a chat it was: it is told in the conversation that the message is of."""
    (accepted,) = inbox.hear(Wrote("hello", ref="m1"), key="chat:7")

    (reacted,) = inbox.hear(Reacted("m1", ("👍",)), key="chat")

    assert (accepted.conversation_id, 2) == (reacted.conversation_id, reacted.seq)
    assert ("👍",) == inbox.message()[1].reactions


@pytest.mark.parametrize("what", [Deleted(("m7",)), Reacted("m7", ("👍",)), Reach("blocked"), Moved("adam")])
def test_what_concerns_nothing_that_we_have_is_let_go(inbox: Inbox, what: Any):
    """In a conversation that we never had; of a message, also in one that we have. Nothing begins by it."""
    before = inbox.traces()

    (stranger,) = inbox.hear(what)

    assert (None, None, False) == (stranger.conversation_id, stranger.dead, stranger.fresh)
    assert before == inbox.traces()
    assert 0 == inbox.store.one("SELECT count(*) FROM contacts")


@pytest.mark.parametrize("what", [Deleted(("m7",)), Reacted("m7", ("👍",)), Deleted(("b1",))])
def test_of_an_unknown_message_or_anothers_nothing_is_done(inbox: Inbox, what: Any):
    """Nobody takes back what somebody else has said."""
    inbox.hear(Wrote("hello", ref="m1"))
    inbox.hear(Wrote("mine", ref="b1"), key="bob")
    before = inbox.traces()

    (accepted,) = inbox.hear(what)

    assert not accepted.fresh
    assert before == inbox.traces()


# --- quotes and names


def test_an_answer_shows_what_it_answers(inbox: Inbox):
    """The message by its number and its beginning; what the customer picked of it, where the provider says so."""
    inbox.hear(Wrote("x" * (QUOTED_MAX + 1), ref="m1"))
    inbox.hear(Wrote("yes", ref="m2", answers="m1"))
    inbox.hear(Wrote("no", ref="m3", answers="m1", extra=Extra(quote=Quote(text="only this"))))

    assert [None, Quote(1, "x" * QUOTED_MAX), Quote(1, "only this")] == [extra.quote for _, extra in inbox.messages()]


def test_a_quote_finds_its_message_in_its_own_conversation_alone(inbox: Inbox):
    """Words of one customer are shown in no other's conversation; what the provider itself gave stays."""
    inbox.hear(Wrote("my secret", ref="m1"))
    inbox.hear(Wrote("tell me", answers="m1"), Wrote("and", answers="m1", extra=Extra(quote=Quote(text="given"))), key="bob")

    assert [None, None, Quote(0, "given")] == [extra.quote for _, extra in inbox.messages()]


def test_plain_messages_have_their_names_however_they_are_stored(inbox: Inbox):
    """Many deliveries of nothing but words are stored together, and each message can be changed later."""
    inbox.hear(Wrote("1", ref="e1"))
    inbox.hear(Wrote("1", ref="b1"), key="bob")
    raws = [inbox.one.brings(Wrote("2", ref=f"{key[0]}2"), key) for key in ("eve", "bob")]
    deliveries = [(inbox.one.id, prepare(inbox.one, [raw], LineSettings())) for raw in raws]

    with inbox.store.executed() as executed:
        inbox.store.write(lambda tx: accept_each(tx, deliveries))

    assert [2, 2] == [inbox.named(ref) for ref in ("e2", "b2")]
    assert 1 == len([text for text in executed if "INTO inputs" in text])  # together, or nothing was tried here


def test_a_name_means_the_message_that_had_it_first(inbox: Inbox):
    """A provider that gives a name twice changes the meaning of none."""
    inbox.hear(Wrote("1", ref="m1"))
    inbox.hear(Wrote("2", ref="m1"))

    assert (1, 2) == (inbox.named("m1"), len(inbox.messages()))


# --- reach, moving


def test_who_takes_our_messages_no_more_is_marked_until_they_do(inbox: Inbox):
    """Told to screens each time it changes, and no more often."""
    inbox.hear(Wrote("hello"))
    seen = []
    for why in ("blocked", "blocked", "", ""):
        inbox.hear(Reach(why))
        seen.append(inbox.store.one("SELECT unreachable FROM conversations"))

    assert ["blocked", "blocked", "", ""] == seen
    assert ["blocked", ""] == [one["unreachable"] for one in inbox.told("contact") if "unreachable" in one]
    at = inbox.clock.now()
    assert [ReachChanged(at, reachable=False), ReachChanged(at, reachable=True)] == inbox.events()[1:]


def test_who_writes_is_reached_again(inbox: Inbox):
    """Also when their message comes with those of others, and is stored with them."""
    for key in ("eve", "bob"):
        inbox.hear(Wrote("hello"), Reach("blocked"), key=key)
    raws = [inbox.one.brings(Wrote("again"), key) for key in ("eve", "bob")]
    inbox.store.write(lambda tx: accept_each(tx, [(inbox.one.id, prepare(inbox.one, [raw], LineSettings())) for raw in raws]))

    assert [("",), ("",)] == inbox.store.rows("SELECT unreachable FROM conversations")


def test_screens_are_told_that_who_writes_is_reached_again(inbox: Inbox):
    """As they were told that the customer is not."""
    inbox.hear(Wrote("hello"), Reach("blocked"), Wrote("again"))

    assert ["blocked", ""] == [one["unreachable"] for one in inbox.told("contact") if "unreachable" in one]


def test_a_conversation_moves_to_its_new_name(inbox: Inbox):
    """What comes under it belongs to the same; under the old one another begins."""
    (accepted,) = inbox.hear(Wrote("hello", ref="m1"))
    inbox.hear(Moved("eve2"))
    (after,) = inbox.hear(Wrote("still me"), key="eve2", person=Person("eve"))

    assert accepted.conversation_id == after.conversation_id
    assert isinstance(inbox.events()[1], ContactDetails)


def test_a_conversation_does_not_take_anothers_name(inbox: Inbox):
    """One that has begun under it stays, and both go on as they are."""
    first, other = inbox.hear(Wrote("hello")), inbox.hear(Wrote("hi"), key="bob")
    inbox.hear(Moved("bob"))

    assert [first[0].conversation_id] == [one.conversation_id for one in inbox.hear(Wrote("me"))]
    assert [other[0].conversation_id] == [one.conversation_id for one in inbox.hear(Wrote("me"), key="bob")]


# --- many in one delivery


@pytest.mark.parametrize("what", [Reacted("m1", ("👍",)), Changed("m1", "hello!")])
def test_what_is_said_of_a_topic_from_beside_it_holds_up_no_words_in_it(inbox: Inbox, what: Any):
    """A provider may name the chat for its topic: in one delivery, each input has a number of its own."""
    inbox.hear(Wrote("hello", ref="m1"), key="chat:7")
    inbox.hear(Wrote("hi", ref="m2"), key="chat")
    raws = [inbox.one.brings(what, "chat"), inbox.one.brings(Wrote("more"), "chat:7"), inbox.one.brings(Wrote("still"), "chat")]

    accepted = inbox.take(*raws)

    assert [2, 3, 2] == [one.seq for one in accepted]


def test_words_under_a_name_that_was_given_up_in_the_same_delivery_begin_anew(inbox: Inbox):
    """The conversation is called otherwise by then."""
    (first,) = inbox.hear(Wrote("hello"))

    raws = [inbox.one.brings(what) for what in (Wrote("1"), Moved("eve2"), Wrote("2"))]
    accepted = inbox.take(*raws, inbox.one.brings(Wrote("3"), "eve2", person=Person("eve")))

    assert [2, 3, 1, 4] == [one.seq for one in accepted]
    assert [True, True, False, True] == [one.conversation_id == first.conversation_id for one in accepted]


def test_one_delivery_is_stored_as_its_payloads_would_be_one_by_one(inbox: Inbox):
    """Words together, and whatever stands between them: the same numbers, the same texts, the same repeats."""

    def story(take: Any) -> Any:
        store = Inbox()
        say = store.one.brings
        first = say(Wrote("1", ref="m1"))
        raws = [
            first,
            say(Wrote("2", ref="m2")),
            say(Wrote("b", ref="b1"), "bob"),
            say(Changed("m2", "two")),
            say(Wrote("3", ref="m3")),
            first,
            say(Wrote("4", answers="m3")),
            say(Deleted(("m1", "b1"))),
            say(Reach("blocked")),
            say(Wrote("5", ref="m5")),
            say(Wrote("c"), "bob"),
            say(Wrote("6")),
            say(Reacted("m2", ("👍",))),
            say(Wrote("d"), "bob"),
            say(Wrote("e", answers="b1"), "bob"),
            say(Wrote("7")),
        ]
        accepted = take(store, raws)
        seqs = [(one.seq, one.fresh) for one in accepted]
        said_ = store.store.rows("SELECT seq, text, extra FROM messages ORDER BY text")
        return seqs, said_, store.store.rows("SELECT ref, seq FROM message_refs ORDER BY ref"), store.events()

    together = story(lambda store, raws: store.take(*raws))
    alone = story(lambda store, raws: [one for raw in raws for one in store.take(raw)])

    assert alone == together


# --- what our side says elsewhere


def test_what_our_side_says_in_the_providers_program_is_ours(inbox: Inbox):
    """It stands in the dialogue as sent, nothing is sent for it, and nobody is asked to answer it."""
    inbox.store.write(lambda tx: add_operator(tx, "ann", [inbox.one.line_id]))
    (accepted,) = inbox.hear(AnsweredOutside("we are open", ref="m1", extra=pictures("p1")))
    conversation = ConversationId(str(accepted.conversation_id))
    inbox.store.write(lambda tx: worker.step(tx, conversation, load_house(tx)))

    text, extra = inbox.message()
    assert ("we are open", True, ["p1"]) == (text, extra.elsewhere, [file.ref for file in extra.files])
    assert [("operator", "sent")] == inbox.store.rows("SELECT author, fate FROM messages")
    assert [AnsweredElsewhere] == [type(event) for event in inbox.events()]
    assert (0, 0) == (inbox.count("outbox"), inbox.count("sessions"))
    assert 1 == inbox.store.one("SELECT count(*) FROM journal WHERE kind = 'message' AND message_seq = 1")
    assert 1 == inbox.store.one("SELECT count(*) FROM fetches")


def test_our_own_words_that_come_back_are_nothing_new(inbox: Inbox):
    """A provider tells us what we sent ourselves: we know the name of it."""
    (accepted,) = inbox.hear(Wrote("hello", ref="m1"))
    inbox.store.write(lambda tx: said.refer(tx, inbox.one.id, "sent-1", str(accepted.conversation_id), 1))
    before = inbox.traces()

    (echo,) = inbox.hear(AnsweredOutside("whatever", ref="sent-1"))

    assert (None, False) == (echo.conversation_id, echo.fresh)
    assert before == inbox.traces()


# --- who it is


def known(inbox: Inbox, **person: Any) -> str:
    """Return the contact of somebody whose phone is known."""
    inbox.hear(Told(), key="known", person=Person("known", name="Vera", **(person or {"vouched_phones": (PHONE,)})))
    return str(inbox.store.one("SELECT contact_id FROM conversations WHERE key = 'known'"))


@pytest.mark.parametrize(
    ("person", "claimed"),
    [
        (Person("eve", vouched_phones=(PHONE,)), 0),
        (Person("eve", vouched_phones=(PHONE[1:],)), 0),
        (Person("eve", phones=(PHONE,)), 1),
        (Person("eve", phones=(PHONE,), vouched_phones=(PHONE,)), 0),
    ],
)
def test_a_phone_recognises_whose_it_is(inbox: Inbox, person: Person, claimed: int):
    """One that providers vouch for, here and there, proves it; one that was typed only claims it."""
    contact = known(inbox)

    inbox.hear(Wrote("hello"), person=person)

    assert [(contact, claimed)] == inbox.store.rows("SELECT contact_id, claimed FROM conversations WHERE key = 'eve'")


def test_a_phone_that_somebody_typed_is_not_proved_to_be_theirs_by_its_owner(inbox: Inbox):
    """Whoever comes with it may be another than who typed it: nothing of that contact is shown to them."""
    contact = known(inbox, phones=(PHONE,))

    inbox.hear(Wrote("hello"), person=Person("eve", vouched_phones=(PHONE,)))

    assert [(contact, 1)] == inbox.store.rows("SELECT contact_id, claimed FROM conversations WHERE key = 'eve'")


def test_a_phone_that_is_vouched_for_later_moves_the_conversation(inbox: Inbox):
    """A stranger who has shown who they are is the contact that we know, without a doubt."""
    contact = known(inbox)
    inbox.hear(Wrote("hello"))
    inbox.hear(Wrote("this is me"), person=Person("eve", vouched_phones=(PHONE,)))

    assert [(contact, 0)] == inbox.store.rows("SELECT contact_id, claimed FROM conversations WHERE key = 'eve'")


def test_what_was_claimed_is_proved_by_a_phone_that_is_vouched_for(inbox: Inbox):
    """They typed it first; now their provider says that it is theirs."""
    known(inbox)
    inbox.hear(Wrote("hello"), person=Person("eve", phones=(PHONE,)))
    inbox.hear(Wrote("this is me"), person=Person("eve", vouched_phones=(PHONE,)))

    assert [(0,)] == inbox.store.rows("SELECT claimed FROM conversations WHERE key = 'eve'")


def test_a_provider_says_the_country_code_always(inbox: Inbox):
    """And leaves the sign out: its +49 51 234567 is no number of Moscow, however it looks there."""
    inbox.hear(Wrote("hello"), person=Person("eve", vouched_phones=("4951234567",)))

    assert [("+4951234567",)] == inbox.store.rows("SELECT value FROM contact_points WHERE kind = 'phone'")


def test_what_a_provider_vouches_for_and_nobody_can_read_is_nothing(inbox: Inbox):
    """The message is taken all the same."""
    (accepted,) = inbox.hear(Wrote("hello"), person=Person("eve", vouched_phones=("12",), vouched_emails=("nobody",)))

    assert (1, None) == (accepted.seq, accepted.dead)
    assert [("channel",)] == inbox.store.rows("SELECT kind FROM contact_points")


def test_who_is_new_is_asked_about_once(inbox: Inbox):
    """The provider may know their name: asked when the conversation begins, and not with each message."""
    for _ in range(2):
        inbox.hear(Wrote("hello"), person=Person("eve", profile="id-7"))

    assert [(None, "id-7")] == inbox.store.rows("SELECT seq, ref FROM fetches")
    assert (Bell.FETCH, "") in inbox.store.rung


# --- what says nothing, and what nobody could read


def test_what_concerns_nobody_is_stored_nowhere_and_confirmed(inbox: Inbox):
    """Or a provider would give it again for ever."""
    inbox.one.means["7"] = None
    before = inbox.traces()

    (accepted,) = inbox.take(Raw("7", b"ping"), cursor="8")

    assert (None, None, False) == (accepted.conversation_id, accepted.dead, accepted.fresh)
    assert before == inbox.traces()
    assert "8" == inbox.store.write(lambda tx: cursor_of(tx, inbox.one.id))


def test_a_dead_letter_that_can_be_read_becomes_a_message_once(inbox: Inbox):
    """Read again by a version that knows it; then it is a letter no more, and nobody revives it twice."""
    raw = Raw("7", b"new")
    (dead,) = inbox.take(raw)
    inbox.one.means["7"] = inbox.one.means[inbox.one.brings(Wrote("hello", ref="m1")).external_id]
    (one,) = prepare(inbox.one, [raw], LineSettings())

    revived = inbox.store.write(lambda tx: revive(tx, inbox.one.id, one))

    assert (True, True, 1) == (bool(dead.dead), revived.fresh, revived.seq)
    assert ("hello", Extra()) == inbox.message()
    assert [(None,)] == inbox.store.rows("SELECT dead FROM inputs")
    with pytest.raises(NotFound):
        inbox.store.write(lambda tx: revive(tx, inbox.one.id, one))
    assert [False] == [again.fresh for again in inbox.take(raw)]


def test_what_was_read_is_not_revived(inbox: Inbox):
    """An input that is none of the dead stays what it is."""
    raw = inbox.one.brings(Wrote("hello"))
    inbox.take(raw)
    (one,) = prepare(inbox.one, [raw], LineSettings())

    with pytest.raises(NotFound):
        inbox.store.write(lambda tx: revive(tx, inbox.one.id, one))

    assert 1 == inbox.store.one("SELECT count(*) FROM inputs")


def test_a_press_where_nothing_was_said_is_a_dead_letter(inbox: Inbox):
    """No button of ours can have been there."""
    (accepted,) = inbox.hear(Pressed("good"))

    assert (None, True) == (accepted.conversation_id, bool(accepted.dead))


# --- limits


def test_names_and_texts_beside_a_message_are_cut_and_can_be_stored(inbox: Inbox):
    """They are a stranger's: no NUL, no half of a character, no length without an end."""
    ugly = "\ud800\x00" + "n" * 10_000
    file = msgspec.structs.replace(next(photos("p1")), name=ugly, media_type=ugly, size=-1, seconds=10**12, width=-5)
    inbox.hear(Wrote("", extra=Extra(files=(file,), forwarded_from=ugly, author=ugly, reactions=(ugly,) * 20)))

    extra = inbox.message()[1]
    (kept,) = extra.files
    assert (0, 10**9, 0) == (kept.size, kept.seconds, kept.width)
    assert max(map(len, (kept.name, kept.media_type, extra.forwarded_from, extra.author, *extra.reactions))) <= 200
    assert 10 == len(extra.reactions)
    assert "\x00" not in kept.name
