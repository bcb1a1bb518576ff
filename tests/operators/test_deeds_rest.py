"""REST of what is done to sessions: each deed by who may and by who may not, many at once, pins and reviews."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from broker import inbound
from broker.access.authorize import Actor
from broker.domain import LineSettings, Role
from broker.errors import BadInput, Conflict, Forbidden, NotFound, StoreBusy
from operators import pins
from operators.deeds import PINS_MAX, SENTENCES
from operators.deeds_rest import problem
from tests.operators.shop import NOBODY, Shop
from tests.support.channels import wrote


def card(shop: Shop, session: str) -> tuple[str, str | None]:
    """Return a session's status and who holds it, by login."""
    found = shop.get("sue", f"/sessions/{session}")
    return found["status"], next((who for who, id_ in shop.ids.items() if id_ == found["operator_id"]), None)


def until(shop: Shop, **passed: float) -> str:
    """Return a moment that is still to come, as JSON has it."""
    return (shop.site.clock.now() + timedelta(**passed)).isoformat()


def refused(answer: Any) -> tuple[int, str]:
    """Return the status and the code of a problem."""
    return answer.status_code, answer.json()["code"]


def test_every_refusal_has_its_status():
    """Whatever a deed may be refused with is a problem of the right kind, and has words in both languages."""
    statuses: dict[type[Exception], set[str]] = {}
    for code, texts in SENTENCES.items():
        assert {"en", "ru"} <= set(texts)
        statuses.setdefault(type(problem(code, "ru")), set()).add(code)
        assert texts["ru"] == str(problem(code, "ru"))

    assert {"no_session"} == statuses.pop(NotFound)
    assert {"not_yours", "not_your_words", "not_your_line", "not_allowed", "not_invited", "own_review"} == statuses.pop(Forbidden)
    of_the_request = {
        "empty",
        "too_long",
        "nobody_named",
        "bad_number",
        "no_number",
        "no_colleague",
        "no_line",
        "bad_time",
        "past",
        "no_file",
        "no_files_here",
        "file_too_large",
        "no_phone_button",
    }
    assert of_the_request == statuses.pop(BadInput)
    assert {"unavailable"} == statuses.pop(StoreBusy)
    assert {"closed", "id_used", "taken", "too_late", "full", "open_already"} <= statuses.pop(Conflict)
    assert {} == statuses


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("transfer", {"line_id": NOBODY}),
        ("assign", {"line_id": NOBODY}),
        ("invite", {"operator_id": NOBODY}),
        ("join", {}),
        ("leave", {}),
        ("take-over", {}),
        ("spam", {}),
        ("snooze", {"until": "2026-03-03T00:00:00Z"}),
        ("start", {"text": "hello"}),
    ],
)
def test_a_foreign_line_does_not_exist_for_any_verb(shop, verb, body):
    """Who has nothing to do with a session is not told that it exists; what only supervisors may do is forbidden anyway."""
    shop.say(1, "v9", "secret", line=1)
    session = shop.session()

    answer = shop.do("ann", session, verb, **body)
    assert (403 if verb in ("assign", "take-over") else 404) == answer.status_code
    assert 404 == shop.do("sue", NOBODY, verb, **body).status_code


def test_a_session_is_passed_to_a_colleague_with_a_note(shop):
    """The colleague is offered it and told who passed it on; only its holder and supervisors may pass it."""
    shop.person("eve", Role.OPERATOR, 0)
    session = shop.taken()
    to_eve = {"operator_id": shop.ids["eve"], "text": "she wants a refund"}

    assert (403, "forbidden") == refused(shop.do("eve", session, "transfer", **to_eve))
    assert 202 == shop.do("ann", session, "transfer", **to_eve).status_code
    assert ("offered", None) == card(shop, session)
    (mine,) = shop.get("eve", "/sessions?box=mine")["items"]
    assert session == mine["id"]
    assert [session] == [one["id"] for one in shop.get("ann", "/sessions?box=mine")["items"]]
    shop.do("eve", session, "take")
    assert [] == shop.get("ann", "/sessions?box=mine")["items"]
    (note,) = (one for one in shop.get("eve", f"/sessions/{session}/messages")["items"] if one["kind"] == "note")
    assert ("she wants a refund", shop.ids["ann"]) == (note["text"], note["operator_id"])
    assert 202 == shop.do("eve", session, "take").status_code
    assert ("active", "eve") == card(shop, session)


def test_a_session_is_passed_to_a_line(shop):
    """It waits, or is offered, there: who sits there sees it now, who had it does no more."""
    session = shop.taken()

    assert 202 == shop.do("ann", session, "transfer", line_id=shop.lines[1]).status_code
    assert [session] == [one["id"] for one in shop.get("bob", "/sessions?box=mine")["items"]]
    assert 404 == shop.ask("ann", "GET", f"/sessions/{session}").status_code


@pytest.mark.parametrize("whom", [{}, {"operator_id": NOBODY, "line_id": NOBODY}])
def test_it_must_be_said_to_whom(shop, whom):
    """Neither a colleague nor a line, or both, is no place to pass a session to."""
    session = shop.taken()

    assert (422, "nobody_named") == refused(shop.do("ann", session, "transfer", **whom))
    assert (422, "nobody_named") == refused(shop.do("sue", session, "assign", **whom))
    assert 422 == shop.do("ann", session, "invite").status_code
    assert ("active", "ann") == card(shop, session)


def test_a_supervisor_assigns_and_takes_over(shop):
    """Nobody is asked; an operator may do neither."""
    shop.person("eve", Role.OPERATOR, 0)
    session = shop.taken()

    assert 403 == shop.do("ann", session, "assign", operator_id=shop.ids["eve"]).status_code
    assert 403 == shop.do("ann", session, "take-over").status_code
    assert 202 == shop.do("sue", session, "assign", operator_id=shop.ids["eve"]).status_code
    assert ("active", "eve") == card(shop, session)
    assert 202 == shop.do("sue", session, "take-over").status_code
    assert ("active", "sue") == card(shop, session)


def test_a_colleague_of_another_line_is_invited_joins_and_leaves(shop):
    """Invited they see the session, joined they answer, and when they have left there is no such session for them."""
    session = shop.taken()

    assert 404 == shop.do("bob", session, "join").status_code
    assert 202 == shop.do("ann", session, "invite", operator_id=shop.ids["bob"]).status_code
    assert [session] == [one["id"] for one in shop.get("bob", "/sessions?box=mine")["items"]]
    assert 202 == shop.do("bob", session, "join").status_code
    assert 202 == shop.do("bob", session, "reply", text="I know the answer").status_code
    assert "I know the answer" in [one["text"] for one in shop.get("ann", f"/sessions/{session}/messages")["items"]]
    assert 403 == shop.do("bob", session, "close").status_code
    assert 202 == shop.do("bob", session, "leave").status_code
    assert 404 == shop.ask("bob", "GET", f"/sessions/{session}").status_code
    assert [] == shop.get("bob", "/sessions?box=mine")["items"]
    assert ("active", "ann") == card(shop, session)


def test_spam_is_closed_and_a_ban_kept(shop):
    """The session ends without a word, and what the banned contact writes opens none."""
    session = shop.taken()
    said = len(shop.get("ann", f"/sessions/{session}/messages")["items"])

    assert 202 == shop.do("ann", session, "spam", ban=True).status_code
    closed = shop.get("sue", f"/sessions/{session}")
    assert ("closed", "spam") == (closed["status"], closed["outcome"])
    assert said == len(shop.get("ann", f"/sessions/{session}/messages")["items"])
    assert shop.get("sue", f"/contacts/{closed['contact_id']}")["banned"] is True
    shop.say(99, "v1", "buy now")
    assert session == shop.session()
    assert "closed" == shop.get("sue", f"/sessions/{session}")["status"]


def test_what_somebody_has_had_is_spam_only_to_them(shop):
    """Neither while it is passed to a colleague nor when it is closed may another of the line say so; the outcome and the contact stay."""
    shop.person("eve", Role.OPERATOR, 0)
    shop.person("zoe", Role.OPERATOR, 0)
    session = shop.taken()
    shop.do("ann", session, "transfer", operator_id=shop.ids["zoe"])
    again = shop.do("eve", session, "spam", key="spam-0001", ban=True)
    assert "not_yours" == (
        again.json()["refused"] or shop.do("eve", session, "spam", key="spam-0001", ban=True).json()["refused"]
    )
    shop.do("ann", session, "close", outcome="sold")
    shop.do("eve", session, "spam", key="spam-0002", ban=True)
    closed = shop.get("sue", f"/sessions/{session}")

    assert ("closed", "sold", shop.ids["ann"]) == (closed["status"], closed["outcome"], closed["operator_id"])
    assert shop.get("sue", f"/contacts/{closed['contact_id']}")["banned"] is False


def test_what_is_passed_on_is_taken_back(shop):
    """Until the colleague takes it; the session tells who passed it on, who is in it, and what its customer said."""
    shop.person("eve", Role.OPERATOR, 0)
    session = shop.taken()
    shop.do("ann", session, "transfer", operator_id=shop.ids["eve"])
    passed = shop.get("ann", f"/sessions/{session}")
    shop.do("ann", session, "take")
    shop.do("ann", session, "invite", operator_id=shop.ids["eve"])
    shop.do("ann", session, "snooze", until=until(shop, hours=1))
    put_by = shop.get("ann", f"/sessions/{session}")

    assert ("offered", shop.ids["ann"], None) == (passed["status"], passed["passed_by"], passed["rating"])
    assert ("snoozed", None, [shop.ids["eve"]], []) == (
        put_by["status"],
        put_by["passed_by"],
        put_by["invited"],
        put_by["members"],
    )
    assert put_by["snoozed_until"] is not None


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("note", r'{"text": "\ud800"}'),
        ("reply", r'{"text": "a\udfff"}'),
        ("close", r'{"outcome": "\ud800"}'),
        ("spam", '{"ban": "yes"}'),
        ("transfer", rf'{{"text": "\ud800", "line_id": "{NOBODY}"}}'),
    ],
)
def test_what_is_no_text_or_no_yes_is_refused(shop, verb, body):
    """Half a character cannot be stored, and a word is not true or false."""
    headers = {"Idempotency-Key": "wrong-0001", "content-type": "application/json"}

    assert 422 == shop.ask("ann", "POST", f"/sessions/{shop.taken()}/{verb}", headers=headers, content=body).status_code


def test_a_nul_in_an_outcome_is_left_out(shop):
    """As in a text."""
    session = shop.taken()
    shop.do("ann", session, "close", outcome="so\x00ld")

    assert "sold" == shop.get("ann", f"/sessions/{session}")["outcome"]


def test_a_deed_for_a_session_that_was_followed_by_another_is_not_done_to_that(shop):
    """The customer has written again, which nobody has decided yet when a supervisor closes what was closed before."""
    session = shop.taken()
    shop.do("ann", session, "close")
    shop.site.clock.move(3_600)
    channel = shop.channels[0]
    prepared = inbound.prepare(channel, [wrote("77", "v1", "please help")], LineSettings())
    shop.site.write(lambda tx: inbound.accept(tx, channel.id, prepared))
    shop.do("sue", session, "spam", ban=True)
    latest = shop.get("sue", f"/sessions/{shop.session()}")

    assert session != latest["id"]
    assert ("active", "offered", "queued").count(latest["status"]) == 1
    assert shop.get("sue", f"/contacts/{latest['contact_id']}")["banned"] is False


def test_a_snoozed_session_waits_for_its_time(shop):
    """Put by by its holder, until a moment to come, with its zone; a past one, one too far, and one without a zone are refused."""
    session = shop.taken()

    for moment in (
        until(shop, seconds=-1),
        until(shop, days=367),
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+14:00",
    ):
        assert (422, "past") == refused(shop.do("ann", session, "snooze", until=moment))
    for unreadable in ("2027-01-01T00:00:00", "soon", None):
        assert 422 == shop.do("ann", session, "snooze", until=unreadable).status_code
    assert 403 == shop.do("sue", session, "snooze", until=until(shop, hours=1)).status_code
    assert 202 == shop.do("ann", session, "snooze", until=until(shop, hours=1)).status_code
    assert ("snoozed", "ann") == card(shop, session)


def test_one_writes_first_to_a_known_contact(shop):
    """In the conversation of their closed session; while one is open, the sender learns it when they ask again."""
    session = shop.taken()
    assert 202 == shop.do("ann", session, "start", key="start-0001", text="too early").status_code
    again = shop.do("ann", session, "start", key="start-0001", text="too early").json()
    assert "open_already" == again["refused"]
    shop.do("ann", session, "close")
    shop.site.clock.move(601)

    assert 422 == shop.do("ann", session, "start", text=" ").status_code
    assert 202 == shop.do("ann", session, "start", text="is it working now?").status_code
    begun = shop.get("ann", "/sessions?box=mine")["items"]
    assert ["is it working now?"] == [one["last_text"] for one in begun]


# --- many at once


def many(shop: Shop, who: str, sessions: list[str], key: str = "bulk-0001", **body: Any) -> Any:
    """Have *who* do a deed to many sessions."""
    answer = shop.ask(who, "POST", "/sessions/bulk", headers={"Idempotency-Key": key}, json={"sessions": sessions, **body})
    shop.go_on()
    return answer


def test_many_sessions_are_closed_and_each_is_answered(shop):
    """Those that may not be are named with the reason; said again, nothing is done twice; named twice, it is one."""
    mine = [shop.taken(key=f"v{number}") for number in range(3)]
    shop.say(50, "v9", "of another line", line=1)
    foreign = shop.session()

    asked = [*mine, mine[0], foreign, NOBODY]
    answer = many(shop, "ann", asked, verb="close", outcome="tidied")
    assert 202 == answer.status_code
    items = answer.json()["items"]
    assert [*mine, foreign, NOBODY] == [one["session_id"] for one in items]
    assert [""] * 3 + ["no_session"] * 2 == [one["code"] for one in items]
    assert [True] * 3 + [False] * 2 == [one["accepted"] for one in items]
    assert all(bool(one["text"]) is not one["accepted"] for one in items)
    assert {("closed", "tidied")} == {
        (one["status"], one["outcome"]) for one in (shop.get("sue", f"/sessions/{session}") for session in mine)
    }
    assert items == many(shop, "ann", asked, verb="close", outcome="tidied").json()["items"]
    other = many(shop, "ann", mine[:1], verb="close", outcome="otherwise").json()["items"]
    assert [(False, "id_used")] == [(one["accepted"], one["code"]) for one in other]


def test_many_sessions_are_assigned_by_a_supervisor(shop):
    """What there is no room for is decided against afterwards, and said when it is asked again; an operator may not."""
    shop.person("eve", Role.OPERATOR, 0)
    sessions = [shop.taken("sue", f"v{number}") for number in range(4)]

    denied = many(shop, "ann", sessions, "bulk-0002", verb="assign", operator_id=shop.ids["eve"]).json()["items"]
    assert {(False, "not_allowed")} == {(one["accepted"], one["code"]) for one in denied}
    done = many(shop, "sue", sessions, verb="assign", operator_id=shop.ids["eve"]).json()["items"]
    assert {(True, "")} == {(one["accepted"], one["code"]) for one in done}
    assert {("active", "eve")} == {card(shop, session) for session in sessions}
    fifth = [shop.taken("sue", "v8")]
    many(shop, "sue", fifth, "bulk-0003", verb="assign", operator_id=shop.ids["eve"])
    (told,) = many(shop, "sue", fifth, "bulk-0003", verb="assign", operator_id=shop.ids["eve"]).json()["items"]
    assert (True, "colleague_full") == (told["accepted"], told["code"])
    assert ("active", "sue") == card(shop, fifth[0])


@pytest.mark.parametrize(
    "body",
    [
        {"verb": "close", "sessions": []},
        {"verb": "close", "sessions": [NOBODY] * 101},
        {"verb": "close", "sessions": ["nonsense"]},
        {"verb": "reply", "sessions": [NOBODY]},
        {"verb": "assign", "sessions": [NOBODY]},
        {"verb": "assign", "sessions": [NOBODY], "operator_id": NOBODY, "line_id": NOBODY},
        {"verb": "close", "sessions": [NOBODY], "unknown": 1},
    ],
)
def test_a_bulk_that_cannot_be_is_refused_as_a_whole(shop, body):
    """None, too many, no ids, another verb, nobody named."""
    assert 422 == shop.ask("sue", "POST", "/sessions/bulk", headers={"Idempotency-Key": "bulk-0001"}, json=body).status_code
    assert 422 == shop.ask("sue", "POST", "/sessions/bulk", json={"verb": "close", "sessions": [NOBODY]}).status_code


# --- pins


def pinned(shop: Shop, who: str) -> list[str]:
    """Return the pins of *who*."""
    return [session for (session,) in shop.rows("SELECT session_id FROM pins WHERE operator_id = ?", shop.ids[who])]


def test_a_pin_is_put_and_taken_away(shop):
    """Each may be said again; what one may not see cannot be pinned, and a pin of what one sees no more can be taken away."""
    session = shop.taken()

    assert [404, 404] == [
        shop.ask(who, "PUT", f"/sessions/{id_}/pin").status_code for who, id_ in (("bob", session), ("ann", NOBODY))
    ]
    assert [204, 204] == [shop.ask("ann", "PUT", f"/sessions/{session}/pin").status_code for _ in range(2)]
    assert ([session], []) == (pinned(shop, "ann"), pinned(shop, "sue"))
    shop.do("ann", session, "transfer", line_id=shop.lines[1])
    assert [204, 204] == [shop.ask("ann", "DELETE", f"/sessions/{session}/pin").status_code for _ in range(2)]
    assert [] == pinned(shop, "ann")


def test_there_is_a_last_pin(shop):
    """One more than the limit is refused and says what to do; the others stay."""
    settings = LineSettings()
    raws = [wrote(f"m{number}", f"v{number}", "hello") for number in range(PINS_MAX + 1)]
    prepared = inbound.prepare(shop.channels[0], raws, settings)
    shop.site.write(lambda tx: inbound.accept(tx, shop.channels[0].id, prepared))
    shop.go_on()
    *sessions, last = [row[0] for row in shop.rows("SELECT id FROM sessions")]
    sue = Actor(shop.ids["sue"], "sue", "Sue", Role.SUPERVISOR, "en", False, None)
    for one in sessions:
        shop.site.write(partial(pins.pin, actor=sue, session_id=one))

    assert (409, "too_many_pins") == refused(shop.ask("sue", "PUT", f"/sessions/{last}/pin"))
    assert 204 == shop.ask("sue", "PUT", f"/sessions/{sessions[0]}/pin").status_code
    assert sorted(sessions) == sorted(pinned(shop, "sue"))


# --- reviews


def test_a_review_is_written_and_replaced(shop):
    """By supervisors, of sessions that are not their own; the last word counts."""
    session = shop.taken()
    path = f"/sessions/{session}/review"

    assert 404 == shop.ask("sue", "GET", path).status_code
    for method, body in (("GET", None), ("PUT", {"stars": 5})):
        assert 403 == shop.ask("ann", method, path, json=body).status_code
    first = shop.ask("sue", "PUT", path, json={"stars": 5, "comment": " quick and kind "})
    assert (200, 5, "quick and kind", "Sue") == (
        first.status_code,
        *(first.json()[key] for key in ("stars", "comment", "by_name")),
    )
    assert shop.ids["sue"] == first.json()["by"]
    shop.site.clock.move(5)
    second = shop.ask("sue", "PUT", path, json={"stars": 2}).json()
    assert (2, "") == (second["stars"], second["comment"])
    assert second == shop.get("sue", path)
    assert first.json()["at"] < second["at"]
    assert 404 == shop.ask("sue", "PUT", f"/sessions/{NOBODY}/review", json={"stars": 5}).status_code


def test_ones_own_session_is_not_reviewed_by_oneself(shop):
    """Nor when it is closed."""
    session = shop.taken("sue")

    assert 403 == shop.ask("sue", "PUT", f"/sessions/{session}/review", json={"stars": 5}).status_code
    shop.do("sue", session, "close")
    assert 403 == shop.ask("sue", "PUT", f"/sessions/{session}/review", json={"stars": 5}).status_code
    assert 404 == shop.ask("sue", "GET", f"/sessions/{session}/review").status_code


@pytest.mark.parametrize(
    "body", [{}, {"stars": 0}, {"stars": 6}, {"stars": "5"}, {"stars": True}, {"stars": 3, "comment": "x" * 2_001}]
)
def test_a_review_has_one_to_five_stars(shop, body):
    """And a comment that is no essay."""
    assert 422 == shop.ask("sue", "PUT", f"/sessions/{shop.taken()}/review", json=body).status_code
