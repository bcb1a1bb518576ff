"""Calls that people of the house have made: by a click, or promised for a time; what is refused, and what cards say of them."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest

from broker.domain import Role
from broker.events import CallEnded, CustomerNotReached, CustomerReached, RingAnswered, RingEnded
from broker.store import directory as directories
from operators import calling, cards, lines, screens, threads
from operators.cards import Watched
from operators.deeds import SENTENCES
from operators.frames import Talk
from operators.marks import stamp
from operators.news import Board
from tests.operators.shop import Shop, open_shop
from tests.operators.test_talks import CALLER, Screen, call, listen, refusal

WRITTEN = "8 (900) 123-45-67"
"""CALLER as people of its country write it."""


def wish(shop: Shop, who: str, path: str, id_: str | None = None, **body: Any) -> Any:
    """Ask for a call."""
    return shop.ask(who, "POST", path, json={"id": id_ or str(uuid.uuid4()), "number": CALLER, **body})


def codes(*answers: Any) -> list[tuple[int, str]]:
    """Return with what was refused."""
    return [(answer.status_code, answer.json()["code"]) for answer in answers]


def read_anew(shop: Shop, session: str) -> Watched:
    """Return the session as it is read when nothing is known of it."""
    watched = shop.site.write(lambda tx: cards.load(tx, session))
    assert watched is not None
    return watched


def talk_of(shop: Shop, session: str) -> Talk:
    """Return what its card says of the call, read anew."""
    talk = read_anew(shop, session).talk
    assert talk is not None
    return talk


def lifted(shop: Shop, session: str, who: str = "ann") -> None:
    """Have *who* lift their phone."""
    shop.hear(session, lambda at: RingAnswered(at=at, operator_id=shop.ids[who]))


@pytest.fixture
def phones(shop: Shop) -> Shop:
    """Return the shop with a number in its first line."""
    shop.telephone()
    shop.rows("""UPDATE lines SET settings = '{"region":"RU"}'""")
    return shop


def test_a_click_rings_the_phone_of_whoever_clicked(phones: Shop):
    """Whoever's turn it is; the number is dialled in the one form by which its owner is known."""
    phones.person("cat", Role.OPERATOR, 0)
    answer = wish(phones, "ann", "/calls", number=WRITTEN)

    assert (202, CALLER, phones.lines[0]) == (answer.status_code, answer.json()["number"], answer.json()["line_id"])
    session = phones.session_of(answer.json()["conversation_id"])
    assert [(phones.ids["ann"], "open")] == phones.rows("SELECT operator_id, state FROM offers WHERE session_id = ?", session)
    told = call(phones, "ann", session)
    assert (True, False, 0, CALLER) == (told["outgoing"], told["reached"], told["tries"], told["number"])
    assert [] == phones.get("cat", "/sessions?box=mine")["items"]


def test_a_call_that_is_wished_again_under_its_id_is_made_once(phones: Shop):
    """Though the phone rings by then; another wish under the same id is refused, and not done."""
    first, again = (wish(phones, "ann", "/calls", "one-and-the-same").json() for _ in range(2))
    assert first == again
    phones.go_on()
    assert first == wish(phones, "ann", "/calls", "one-and-the-same").json()

    other = [
        wish(phones, "ann", "/calls", "one-and-the-same", number="+79005550000"),
        wish(phones, "ann", "/callbacks", "one-and-the-same"),
    ]
    assert [(409, "id_used")] * 2 == codes(*other)
    assert [(1,)] == phones.rows("SELECT count(*) FROM calls")
    assert 202 == wish(phones, "sue", "/callbacks", "one-and-the-same").status_code  # ids are each operator's own
    header = phones.ask("sue", "POST", "/callbacks", headers={"Idempotency-Key": "in-the-header"}, json={"number": CALLER})
    assert (202, "in-the-header") == (header.status_code, header.json()["id"])


def test_what_cannot_be_called_is_refused_with_its_reason(phones: Shop):
    """Before anything rings, and in the asker's language."""
    phones.telephone(1)
    bad = [wish(phones, "ann", path, number="call me") for path in ("/calls", "/callbacks")]
    assert [(422, "bad_number")] * 2 == codes(*bad)
    assert ["number", "number"] == [answer.json()["errors"][0]["field"] for answer in bad]
    assert [(403, "forbidden")] == codes(wish(phones, "ann", "/calls", line_id=phones.lines[1]))
    assert 202 == wish(phones, "sue", "/callbacks", line_id=phones.lines[1]).status_code

    phones.rows("UPDATE channels SET active = 0 WHERE kind = 'phone' AND line_id = ?", phones.lines[1])
    assert [(422, "no_number")] == codes(wish(phones, "sue", "/calls", line_id=phones.lines[1]))
    assert [(409, "no_telephone")] == codes(wish(phones, "bob", "/calls"))
    phones.rows("UPDATE operators SET phone = '', language = 'ru' WHERE login = 'ann'")
    silent = [wish(phones, "ann", "/calls"), wish(phones, "ann", "/callbacks", mine=True)]
    assert [(409, "no_phone")] * 2 == codes(*silent)
    assert SENTENCES["no_phone"]["ru"] == silent[0].json()["detail"]
    assert 202 == wish(phones, "ann", "/callbacks").status_code  # somebody else may call


def test_who_talks_or_is_full_calls_nobody(phones: Shop):
    """They have one voice, and a budget."""
    session = phones.called()
    assert [(409, "on_phone")] == codes(wish(phones, "ann", "/calls"))
    later = (phones.site.clock.now() + timedelta(hours=1)).isoformat()
    assert 202 == wish(phones, "ann", "/callbacks", mine=True, at=later).status_code
    phones.hear(session, lambda at: RingEnded(at, (phones.ids["ann"],), 1, "declined"))
    assert ("closed", "not_reached") == tuple(phones.rows("SELECT status, outcome FROM sessions WHERE id = ?", session)[0])
    phones.rows("UPDATE budgets SET reserved = 100")
    assert [(409, "full")] == codes(wish(phones, "ann", "/calls"))


def test_a_banned_contact_is_not_called(phones: Shop):
    """Whether their card or their number is named."""
    session = phones.ring(CALLER)
    contact = phones.get("sue", f"/sessions/{session}")["contact_id"]
    phones.ask("sue", "PATCH", f"/contacts/{contact}", json={"banned": True})

    about = [{}, {"contact_id": contact, "number": "100"}, {"session_id": session, "number": "100"}]
    assert [(409, "banned")] * 3 == codes(*(wish(phones, "sue", "/calls", **one) for one in about))


def test_nobody_calls_about_what_they_may_not_see(phones: Shop):
    """Another line's session does not exist for them, nor does its contact."""
    phones.telephone(1)
    session = phones.taken()
    contact = phones.get("ann", f"/sessions/{session}")["contact_id"]

    for about in ({"session_id": session}, {"contact_id": contact}):
        assert 404 == wish(phones, "bob", "/callbacks", **about).status_code
        assert 202 == wish(phones, "ann", "/callbacks", **about).status_code


def test_a_call_comes_from_the_line_of_the_session_it_is_about(phones: Shop):
    """If that has a number and is one's own; else from the first of one's own by name."""
    phones.telephone(1)
    session = phones.taken()

    assert phones.lines[0] == wish(phones, "sue", "/callbacks", session_id=session).json()["line_id"]
    assert phones.lines[1] == wish(phones, "sue", "/callbacks").json()["line_id"]  # Bar before Shop
    phones.rows("UPDATE channels SET active = 0 WHERE kind = 'phone' AND line_id = ?", phones.lines[0])
    assert phones.lines[1] == wish(phones, "sue", "/callbacks", session_id=session).json()["line_id"]


def test_a_promised_call_waits_for_its_time(phones: Shop):
    """Between now and thirty days; whoever wants to make it themselves is asked first."""
    now = phones.site.clock.now()
    for at in (now - timedelta(seconds=1), now + timedelta(days=30, seconds=1)):
        assert [(422, "bad_time")] == codes(wish(phones, "ann", "/callbacks", at=at.isoformat()))
    assert 422 == wish(phones, "ann", "/callbacks", at="2026-03-03T00:00:00").status_code  # in which zone?
    due = now + timedelta(hours=2)
    answer = wish(phones, "ann", "/callbacks", "promise-1", at=due.isoformat(), mine=True, name="Joe")
    session = phones.session_of(answer.json()["conversation_id"])

    assert "queued" == phones.get("ann", f"/sessions/{session}")["status"]
    assert "Joe" == phones.get("ann", f"/sessions/{session}")["contact_name"]
    assert due.isoformat() == call(phones, "ann", session)["promised_at"].replace("Z", "+00:00")
    ((state,),) = phones.rows("SELECT state FROM sessions WHERE id = ?", session)
    assert phones.ids["ann"] == json.loads(state)["responsible_id"]
    assert [] == phones.get("sue", "/sessions?box=calls")["items"]  # it is not under way
    assert [session] == [one["id"] for one in phones.get("ann", "/sessions?box=waiting")["items"]]
    phones.site.clock.move(3 * 3_600)
    assert answer.json() == wish(phones, "ann", "/callbacks", "promise-1", at=due.isoformat(), mine=True).json()


def test_a_card_says_how_a_call_of_ours_stands(phones: Shop):
    """In the news as when it is read anew; each try and the customer's answer begin a time of their own."""
    board, sue = phones.site.write(Board.load), Screen(phones, "sue", Role.SUPERVISOR, lists_all=True)
    answer = wish(phones, "ann", "/callbacks")
    session = phones.session_of(answer.json()["conversation_id"])

    def stands() -> tuple[str, bool, int, int]:
        listen(phones, board, sue)
        talk, read = sue.talk(session), talk_of(phones, session)
        assert talk["outgoing"]
        assert (talk.get("reached", False), talk.get("tries", 0), talk["promised"]) == (read.reached, read.tries, read.promised)
        return sue.cards[session]["status"], talk.get("reached", False), talk.get("tries", 0), talk.get("answered", 0)

    began = cards.ms(phones.site.clock.now())
    assert ("offered", False, 0, 0) == stands()
    phones.site.clock.move(5)
    lifted(phones, session)
    assert ("active", False, 0, began + 5_000) == stands()
    assert "nobody_talks" == refusal(phones, "ann", session, "hold")
    assert "nobody_talks" == refusal(phones, "ann", session, "transfer", number="100")
    phones.site.clock.move(5)
    phones.hear(session, lambda at: CustomerNotReached(at=at, how="busy"))
    assert ("queued", False, 1, 0) == stands()
    assert sue.talk(session)["promised"] > began
    phones.site.clock.move(3_600)
    assert 202 == phones.do("ann", session, "take").status_code
    lifted(phones, session)
    assert ("active", False, 1, began + 3_610_000) == stands()
    phones.site.clock.move(5)
    phones.hear(session, lambda at: CustomerReached(at=at))
    assert ("active", True, 1, began + 3_615_000) == stands()
    phones.site.clock.move(5)
    assert 202 == phones.do("ann", session, "hold").status_code
    assert ("active", True, 1, began + 3_615_000) == stands()
    phones.hear(session, lambda at: CallEnded(at=at))
    assert ("closed", True, 1, began + 3_615_000) == stands()


def test_a_missed_call_says_when_its_caller_is_called_back(phones: Shop):
    """Until they are spoken with; a phone that they did not lift is no talk."""
    missed = phones.ring(CALLER)
    phones.hear(missed, lambda at: CallEnded(at=at))
    board, sue = phones.site.write(Board.load), Screen(phones, "sue", Role.SUPERVISOR, lists_all=True)
    board.learn(read_anew(phones, missed))
    phones.site.clock.move(1)
    due = phones.site.clock.now() + timedelta(hours=1)
    answer = wish(phones, "ann", "/callbacks", at=due.isoformat(), number=WRITTEN)
    back = phones.session_of(answer.json()["conversation_id"])

    listen(phones, board, sue)
    assert (True, cards.ms(due)) == (sue.talk(missed)["missed"], sue.talk(missed)["planned"])
    assert due.isoformat() == call(phones, "sue", missed)["planned_at"].replace("Z", "+00:00")
    phones.do("ann", back, "take")
    lifted(phones, back)
    listen(phones, board, sue)
    assert [missed] == [one["id"] for one in phones.get("sue", "/sessions?box=missed")["items"]]
    assert sue.talk(missed)["missed"]
    phones.do("sue", back, "close")
    listen(phones, board, sue)
    assert (True, None) == (sue.talk(missed)["missed"], sue.talk(missed).get("planned"))
    assert None is call(phones, "sue", missed)["planned_at"]

    again = phones.called("ann")
    lifted(phones, again)
    phones.rows("UPDATE calls SET uniqueid = 'theirs' WHERE outgoing = 1")
    phones.hear(again, lambda at: CustomerReached(at=at))
    listen(phones, board, sue)
    assert "missed" not in sue.talk(missed)
    assert [] == phones.get("sue", "/sessions?box=missed")["items"]


def test_a_call_that_is_missed_while_another_is_promised_says_so(phones: Shop):
    """Whoever sees it appear need not ask."""
    answer = wish(phones, "ann", "/callbacks", at=(phones.site.clock.now() + timedelta(hours=1)).isoformat())
    phones.session_of(answer.json()["conversation_id"])
    board, sue = phones.site.write(Board.load), Screen(phones, "sue", Role.SUPERVISOR, lists_all=True)
    phones.site.clock.move(1)
    missed = phones.ring(CALLER)
    listen(phones, board, sue)
    phones.hear(missed, lambda at: CallEnded(at=at))
    shown = talk_of(phones, missed)

    assert shown.missed
    assert shown.planned > 0


def test_a_call_of_ours_that_is_not_answered_is_neither_missed_nor_an_answer(phones: Shop):
    """The board counts it as neither; and whoever is to be called later is nobody who waits."""
    session = phones.called()
    phones.hear(session, lambda at: RingEnded(at, (phones.ids["ann"],), 1, "ran_out"))
    session = phones.called()
    lifted(phones, session)
    phones.hear(session, lambda at: CustomerNotReached(at=at, how="ran_out"))
    assert [("not_reached",)] * 2 == phones.rows("SELECT outcome FROM sessions")

    (shop_line,) = (line for line in phones.get("sue", "/board")["lines"] if line["id"] == phones.lines[0])
    assert (0, 0) == (shop_line["missed_24h"], shop_line["answered_24h"])
    wish(phones, "ann", "/callbacks", at=(phones.site.clock.now() + timedelta(hours=1)).isoformat())
    phones.go_on()
    (shop_line,) = (line for line in phones.get("sue", "/board")["lines"] if line["id"] == phones.lines[0])
    assert (1, None) == (shop_line["waiting"], shop_line["oldest_waiting_since"])
    assert [] == phones.get("sue", "/sessions?box=missed")["items"]


def test_a_console_knows_whether_and_from_where_it_can_call(phones: Shop):
    """From lines of one's own that have a number; it is told anew when that changes."""
    phones.telephone(1)
    ann = Screen(phones, "ann").actor

    def first() -> Any:
        known = phones.site.write(directories.load)
        calls_from = calling.calls_from(phones.site.parts.calls_out)
        return phones.site.write(lambda tx: screens.first(tx, ann, known, calls_from)), stamp(ann, known)

    shown, before = first()
    assert (True, [("Shop", phones.lines[0])]) == (shown.me.phone, [(line.name, line.id) for line in shown.calls_from])
    phones.rows("UPDATE operators SET phone = '' WHERE login = 'ann'")
    shown, silent = first()
    assert (False, True) == (shown.me.phone, silent != before)
    phones.site.write(lambda tx: lines.change_line(tx, phones.lines[0], active=False))
    shown, after = first()
    assert ((), True) == (shown.calls_from, after != silent)
    assert [("Bar", True)] == [(line["name"], line["calls"]) for line in phones.get("ann", "/targets")["lines"]]


def test_a_phone_of_a_contact_says_how_it_is_called(phones: Shop):
    """However it was written."""
    session = phones.ring(CALLER)
    contact = phones.get("sue", f"/sessions/{session}")["contact_id"]
    phones.rows("UPDATE contact_points SET written = ? WHERE kind = 'phone'", WRITTEN)
    known = phones.site.write(directories.load)
    shown = phones.site.write(lambda tx: threads.contact(tx, Screen(phones, "sue", Role.SUPERVISOR).actor, contact, known))
    assert [(WRITTEN, CALLER)] == [(point.value, point.number) for point in shown.points if point.kind == "phone"]


def test_without_a_telephone_nobody_is_called(tmp_path):
    """The extra is not installed: the answer says so."""
    shop = open_shop(tmp_path, with_telephone=False)
    try:
        assert [(409, "no_telephone")] * 2 == codes(wish(shop, "ann", "/calls"), wish(shop, "ann", "/callbacks"))
        assert not any(line["calls"] for line in shop.get("ann", "/targets")["lines"])
    finally:
        shop.site.close()
