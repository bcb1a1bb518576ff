"""REST of sessions: bounded by what its asker may see, deeds done once, and the reasons of each offer."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute

from broker.domain import Directory, Role
from broker.web.wiring import listed, unlisted
from operators import board_rest, calls_rest, deeds_rest, sessions_rest, why_rest
from tests.operators.shop import NOBODY
from tests.support.store import plain


def _doubt(tx: Any, count: int) -> None:
    """Let *count* messages, all of one moment, be in doubt: copies of the one that was sent first."""
    for table in ("messages", "outbox"):
        found = plain(tx, f"SELECT * FROM {table} WHERE seq = (SELECT min(seq) FROM outbox)")  # noqa: S608
        names = [column[0] for column in found.description]
        (row,) = found.fetchall()
        for number in range(count):
            copy = dict(zip(names, row, strict=True)) | {"id": f"doubt-{(number * 7) % count:03}", "seq": 1_000 + number}
            copy |= {"message_id": copy["id"], "state": "unconfirmed", "created_us": 1} if table == "outbox" else {}
            marks = ", ".join("?" * len(copy))
            plain(tx, f"INSERT INTO {table} ({', '.join(copy)}) VALUES ({marks})", *copy.values())  # noqa: S608


def test_messages_in_doubt_of_one_microsecond_are_each_on_one_page(shop):
    """Rows of one transaction have one moment: a border between two pages may fall among them."""
    shop.say(1, "v1", "hello")
    assert 202 == shop.do("sue", shop.session(), "reply", text="good day").status_code
    shop.site.write(lambda tx: _doubt(tx, 205))
    found, cursor = [], ""
    while cursor is not None:
        page = shop.get("sue", f"/unconfirmed?cursor={cursor}" if cursor else "/unconfirmed")
        found += [one["message_id"] for one in page["items"]]
        cursor = page["next_cursor"]

    assert [f"doubt-{number:03}" for number in range(205)] == sorted(found)
    assert 422 == shop.ask("sue", "GET", "/unconfirmed?cursor=12").status_code


def test_every_route_says_who_may():
    """No route here is open to strangers, and each names one action."""
    house = Directory({}, {}, {}, {}, {})
    routers = (
        sessions_rest.routes,
        calls_rest.routes,
        deeds_rest.routes,
        why_rest.routes(lambda: house),
        board_rest.routes(lambda: house, lambda _operator, _now: True),
    )
    found = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    assert [] == unlisted(found)
    assert all(len(listed(route)) == 1 for route in found)


def test_a_session_by_rest_from_offer_to_closing(shop):
    """Listed, taken, answered, closed; its messages page by page; the reasons of its offer."""
    shop.say(1, "v1", "hello")
    session = shop.session()

    (mine,) = shop.get("ann", "/sessions?box=mine")["items"]
    assert ("offered", "hello", True) == (mine["status"], mine["last_text"], mine["offered_until"] is not None)
    assert 202 == shop.do("ann", session, "take").status_code
    assert 202 == shop.do("ann", session, "reply", text="good day").status_code
    assert 202 == shop.do("ann", session, "note", text="a regular").status_code
    assert 202 == shop.do("ann", session, "close", outcome="helped").status_code
    closed = shop.get("ann", f"/sessions/{session}")
    assert ("closed", "helped", "Ann") == (closed["status"], closed["outcome"], closed["operator_name"])
    said = shop.get("ann", f"/sessions/{session}/messages")
    assert ["hello", "good day", "a regular"] == [one["text"] for one in said["items"] if one["author"] != "system"]
    later = shop.get("ann", f"/sessions/{session}/messages?cursor={said['items'][-2]['seq']}")
    assert said["items"][-1:] == later["items"]
    offered = next(one for one in shop.get("ann", f"/sessions/{session}/routing")["decisions"] if one["kind"] == "offered")
    assert [(shop.ids["ann"], "taken")] == [(one["operator_id"], one["state"]) for one in offered["offers"]]
    assert [(shop.ids["ann"], "chosen")] == [(one["operator_id"], one["why"]) for one in offered["seats"]]


def test_a_deed_with_the_same_key_is_done_once(shop):
    """A program that got no answer sends it again and is given the same seq; one without a key is told to bring one."""
    shop.say(1, "v1", "hello")
    session = shop.session()
    shop.do("ann", session, "take")

    first, again = (shop.do("ann", session, "reply", key="my-own-key-1", text="once").json() for _ in range(2))
    assert first == again
    other = shop.ask("ann", "POST", f"/sessions/{session}/reply", json={"text": "once", "id": "my-own-key-1"})
    assert first == other.json()
    assert 422 == shop.ask("ann", "POST", f"/sessions/{session}/reply", json={"text": "no key"}).status_code
    refused = shop.do("ann", session, "reply", key="my-own-key-1", text="something else")
    assert (409, "id_used") == (refused.status_code, refused.json()["code"])
    texts = [one["text"] for one in shop.get("ann", f"/sessions/{session}/messages")["items"]]
    assert (1, 0) == (texts.count("once"), texts.count("something else"))


@pytest.mark.parametrize("number", ["+79001234567", ""])
def test_the_first_message_of_a_call_is_the_callers_number(shop, number):
    """Among a session's messages a call is told from words, also when its number is withheld."""
    shop.say(1, "v1", "hello")
    shop.site.write(lambda tx: plain(tx, "UPDATE messages SET kind = 'call', text = ? WHERE author = 'contact'", number))

    (call, *_) = shop.get("sue", f"/sessions/{shop.session()}/messages")["items"]
    assert ("call", "contact", number) == (call["kind"], call["author"], call["text"])


@pytest.mark.parametrize(("text", "code"), [("  ", "empty"), ("x" * 8_001, "too_long")])
def test_words_are_measured(shop, text, code):
    """Nothing, and more than a message holds, are refused with their field."""
    shop.say(1, "v1", "hello")

    answer = shop.do("ann", shop.session(), "reply", text=text)
    assert (422, code) == (answer.status_code, answer.json()["code"])


def test_a_foreign_line_does_not_exist(shop):
    """Sessions, messages, reasons, contacts and deeds of another's line answer 404, and no list has them; a supervisor has all."""
    shop.say(1, "v9", "secret", line=1)
    session = shop.session()
    contact = shop.get("sue", f"/sessions/{session}")["contact_id"]

    for path in (f"/sessions/{session}", f"/sessions/{session}/messages", f"/sessions/{session}/routing", f"/contacts/{contact}"):
        assert 404 == shop.ask("ann", "GET", path).status_code
        assert 404 == shop.ask("ann", "GET", path.replace(session, NOBODY).replace(contact, NOBODY)).status_code
        assert 200 == shop.ask("sue", "GET", path).status_code
        assert 200 == shop.ask("bob", "GET", path).status_code
    for verb, body in (("take", {}), ("decline", {}), ("reply", {"text": "x"}), ("note", {"text": "x"}), ("close", {})):
        assert 404 == shop.do("ann", session, verb, **body).status_code
    for query in ("", "?box=mine", "?box=waiting", f"?line={shop.lines[1]}", f"?contact={contact}", "?status=offered"):
        assert [] == shop.get("ann", f"/sessions{query}")["items"]


def test_another_operators_session_is_seen_and_not_answered(shop):
    """Who sits in the line may read and note it; answering and closing it is its holder's, closing also a supervisor's."""
    shop.say(1, "v1", "hello")
    session = shop.session()
    shop.do("ann", session, "take")
    shop.person("eve", Role.OPERATOR, 0)

    assert 403 == shop.do("eve", session, "reply", text="mine?").status_code
    assert 403 == shop.do("eve", session, "close").status_code
    assert 202 == shop.do("eve", session, "note", text="I know her").status_code
    assert 202 == shop.do("sue", session, "close").status_code
    assert "closed" == shop.get("eve", f"/sessions/{session}")["status"]


def test_lists_are_narrowed_and_paged(shop):
    """By line, status and contact; the pages of a list hold everything once, the latest opened first."""
    for number in range(60):
        shop.site.clock.move(1)
        shop.say(number, f"v{number}", f"number {number}", line=number % 2)

    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = shop.get("sue", f"/sessions?cursor={cursor}" if cursor else "/sessions")
        seen += [one["last_text"] for one in page["items"]]
        cursor = page["next_cursor"]
    assert [f"number {number}" for number in reversed(range(60))] == seen
    mine = shop.get("ann", "/sessions")["items"]
    assert [f"number {number}" for number in range(58, -1, -2)] == [one["last_text"] for one in mine]
    offered = shop.get("sue", f"/sessions?status=offered&line={shop.lines[0]}")["items"]
    assert {("offered", shop.lines[0])} == {(one["status"], one["line_id"]) for one in offered}
    assert 4 == len(offered)
    one = mine[0]
    assert [one["id"]] == [other["id"] for other in shop.get("ann", f"/sessions?contact={one['contact_id']}")["items"]]
    waiting = shop.get("ann", "/sessions?box=waiting")["items"]
    assert [f"number {number}" for number in range(8, 60, 2)] == [other["last_text"] for other in waiting]
    assert 422 == shop.ask("ann", "GET", "/sessions?cursor=nonsense").status_code


def test_a_closed_session_takes_no_more_deeds_of_its_own(shop):
    """When the conversation has gone on in another session, a deed for the old one is not done to the new one."""
    shop.say(1, "v1", "hello")
    old = shop.session()
    shop.do("ann", old, "take")
    shop.do("ann", old, "close")
    shop.site.clock.move(601)
    shop.say(2, "v1", "hello again")

    assert old != shop.session()
    assert 409 == shop.do("ann", old, "note", text="about the old one").status_code
    assert "hello" == shop.get("ann", f"/sessions/{old}")["last_text"]
