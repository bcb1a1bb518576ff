"""The live board and the targets: what each line and person shows after a day's work, and who may look."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from broker.access.authorize import Actor
from broker.domain import LineId, PresenceState, Role
from broker.errors import NotFound
from broker.store import directory
from operators import contacts, lines, presence
from tests.operators.shop import Shop

DAY = 86_400


def board(shop: Shop) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the board's lines and people by name."""
    found = shop.get("sue", "/board")
    assert shop.site.clock.now().isoformat() == found["at"].replace("Z", "+00:00")
    return {one["name"]: one for one in found["lines"]}, {one["name"]: one for one in found["operators"]}


def test_supervisors_alone_look_at_the_board(shop):
    """An operator is told that they may not; everybody sees whom they can pass a session to."""
    assert 403 == shop.ask("ann", "GET", "/board").status_code
    assert [200, 200] == [shop.ask("sue", "GET", path).status_code for path in ("/board", "/targets")]
    assert 200 == shop.ask("ann", "GET", "/targets").status_code


def test_an_empty_house_has_an_empty_board(shop):
    """Zeros, and nobody waits since ever; supervisors without a seat are not on it."""
    found, people = board(shop)

    assert ["Bar", "Shop"] == list(found)
    for line in found.values():
        assert {"id", "name", "open", "opens_at", "oldest_waiting_since"} == {key for key, value in line.items() if value != 0}
        assert (True, None, None) == (line["open"], line["opens_at"], line["oldest_waiting_since"])
    assert ["Ann", "Bob"] == list(people)
    ann = people["Ann"]
    assert ("online", True, 0, 100, 0, 0) == tuple(
        ann[key] for key in ("presence", "on_shift", "load", "budget", "sessions", "offers")
    )


def test_the_board_says_what_waits_and_who_does_what(shop):
    """Sessions by their state, the oldest that waits, and each person's load, offers and refusals."""
    began = shop.site.clock.now().isoformat().replace("+00:00", "Z")
    for number in range(6):
        shop.say(number, f"v{number}", "hello")
        shop.site.clock.move(1)
    offered = [one["id"] for one in shop.get("ann", "/sessions?box=mine")["items"]]
    shop.do("ann", offered[0], "decline")
    shop.do("ann", offered[1], "take")
    shop.do("ann", offered[1], "snooze", until="2026-03-03T00:00:00Z")
    shop.do("ann", offered[2], "take")

    found, people = board(shop)
    line, ann = found["Shop"], people["Ann"]
    assert 6 == line["waiting"] + line["offered"] + line["active"] + line["snoozed"]
    assert (1, 1) == (line["active"], line["snoozed"])
    assert began == line["oldest_waiting_since"]
    assert (2, line["offered"], 1, 0) == (ann["sessions"], ann["offers"], ann["declined_24h"], ann["ran_out_24h"])
    assert 25 * (1 + ann["offers"]) == ann["load"]
    assert [0] * 4 == [found["Bar"][key] for key in ("waiting", "offered", "active", "snoozed")]


@pytest.mark.parametrize(("here", "offered"), [(PresenceState.ONLINE, 2), (PresenceState.AWAY, 0)])
def test_the_oldest_wait_is_that_of_who_came_first(shop, here, offered):
    """Of two who are offered, and of two whom nobody is offered, the earlier; once they are served it is the other's."""
    shop.site.write(lambda tx: presence.set_presence(tx, shop.ids["ann"], here))
    shop.say(1, "v1", "hello")
    first, began = shop.session(), shop.site.clock.now()
    shop.site.clock.move(60)
    shop.say(2, "v2", "hello")

    line = board(shop)[0]["Shop"]
    assert (offered, 2 - offered, _utc(began)) == (line["offered"], line["waiting"], line["oldest_waiting_since"])
    shop.do("sue", first, "take-over")
    assert _utc(began + timedelta(minutes=1)) == board(shop)[0]["Shop"]["oldest_waiting_since"]


def _utc(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def test_the_last_day_is_counted_and_no_more(shop):
    """Missed is closed without an answer, spam apart; after a day it is forgotten."""
    answered, missed, spam = (shop.taken(key=f"v{number}") for number in range(3))
    shop.do("ann", answered, "reply", text="good day")
    shop.do("ann", answered, "close")
    shop.do("ann", missed, "close")
    shop.do("ann", spam, "spam")

    line = board(shop)[0]["Shop"]
    assert (1, 1, 0) == (line["missed_24h"], line["answered_24h"], line["kpi_missed_24h"])
    shop.site.clock.move(DAY)
    shop.site.log_in("sue", by=shop.browsers["sue"])
    line = board(shop)[0]["Shop"]
    assert (0, 0) == (line["missed_24h"], line["answered_24h"])


def test_shifts_presence_and_seats_are_those_of_now(shop):
    """Who is not on shift or away is shown so; who lost their seat is not shown."""
    shop.off_shift.add(shop.ids["ann"])
    shop.site.write(lambda tx: presence.set_presence(tx, shop.ids["bob"], PresenceState.AWAY))

    people = board(shop)[1]
    assert [("online", False), ("away", True)] == [(people[who]["presence"], people[who]["on_shift"]) for who in ("Ann", "Bob")]
    shop.site.write(lambda tx: lines.set_seats(tx, shop.lines[0], []))
    assert ["Bob"] == list(board(shop)[1])


def test_a_line_that_is_off_is_shown_while_something_is_open_in_it(shop):
    """Nobody is forgotten in it; it is no target."""
    session = shop.taken()
    shop.site.write(lambda tx: lines.change_line(tx, shop.lines[0], active=False))

    assert ["Bar", "Shop"] == list(board(shop)[0])
    assert ["Bar"] == [one["name"] for one in shop.get("ann", "/targets")["lines"]]
    shop.do("ann", session, "close")
    assert ["Bar"] == list(board(shop)[0])


def test_targets_are_lines_and_people_to_whom_one_can_pass_a_session(shop):
    """Those with a seat, with their lines, and supervisors; an operator without a seat is none."""
    shop.person("eve", Role.OPERATOR)
    shop.person("tim", Role.OPERATOR, 0, 1)
    shop.off_shift.add(shop.ids["tim"])
    shop.taken()

    found = shop.get("bob", "/targets")
    assert [("Bar", True, None), ("Shop", True, None)] == [(one["name"], one["open"], one["opens_at"]) for one in found["lines"]]
    people = {one["name"]: one for one in found["operators"]}
    assert ["Ann", "Bob", "Sue", "Tim"] == list(people)
    assert sorted(shop.lines) == sorted(people["Tim"]["lines"])
    assert ([], "offline") == (people["Sue"]["lines"], people["Sue"]["presence"])
    assert [True, False] == [people[who]["on_shift"] for who in ("Ann", "Tim")]
    assert [(25, 100), (0, 100)] == [(people[who]["load"], people[who]["budget"]) for who in ("Ann", "Bob")]


# --- contacts


def contact_of(shop: Shop, who: str = "ann") -> str:
    """Return the contact of a session that *who* has."""
    return str(shop.get(who, f"/sessions/{shop.taken(who)}")["contact_id"])


def test_a_contact_is_changed_by_supervisors(shop):
    """Whose customer they are, whether they are banned and how soon they are served; what is not named stays."""
    path = f"/contacts/{contact_of(shop)}"

    assert 403 == shop.ask("ann", "PATCH", path, json={"banned": True}).status_code
    changed = shop.ask("sue", "PATCH", path, json={"responsible_id": shop.ids["bob"], "priority": -5}).json()
    assert (shop.ids["bob"], False, -5) == (changed["responsible_id"], changed["banned"], changed["priority"])
    changed = shop.ask("sue", "PATCH", path, json={"banned": True}).json()
    assert (shop.ids["bob"], True, -5) == (changed["responsible_id"], changed["banned"], changed["priority"])
    changed = shop.ask("sue", "PATCH", path, json={"responsible_id": None, "banned": False}).json()
    assert (None, False, -5) == (changed["responsible_id"], changed["banned"], changed["priority"])
    assert changed == shop.ask("sue", "PATCH", path, json={}).json() == shop.get("sue", path)
    told = shop.rows("SELECT body FROM journal WHERE kind = 'contact' AND conversation_id IS NULL ORDER BY id")
    changes = [["responsible", "priority"], ["banned"], ["responsible", "banned"]]
    assert changes == [json.loads(body)["changed"] for (body,) in told]


@pytest.mark.parametrize(
    "body",
    [
        {"priority": 101},
        {"priority": -101},
        {"priority": None},
        {"banned": None},
        {"banned": "perhaps"},
        {"responsible_id": "nobody"},
        {"responsible_id": "01900000-0000-7000-8000-ffffffffffff"},
        {"name": "another"},
    ],
)
def test_a_change_that_cannot_be_is_refused(shop, body):
    """Beyond the bounds, no such person, nothing that can be changed; nothing of it is done."""
    path = f"/contacts/{contact_of(shop)}"
    before = shop.get("sue", path)

    assert 422 == shop.ask("sue", "PATCH", path, json=body).status_code
    assert before == shop.get("sue", path)
    assert 404 == shop.ask("sue", "PATCH", "/contacts/01900000-0000-7000-8000-ffffffffffff", json={"banned": True}).status_code


def test_a_contact_is_changed_by_whoever_may_see_them(shop):
    """Of a supervisor of some lines: somebody who wrote to them; whoever wrote to another line alone is not there."""
    contact = contact_of(shop)
    house = shop.site.write(directory.load)

    def ban(line: LineId) -> None:
        actor = Actor(shop.ids["sue"], "sue", "Sue", Role.SUPERVISOR, "en", password_generated=False, lines=frozenset({line}))
        shop.site.write(lambda tx: contacts.change(tx, actor, contact, house, banned=True))

    with pytest.raises(NotFound):
        ban(shop.lines[1])
    assert not shop.get("sue", f"/contacts/{contact}")["banned"]
    ban(shop.lines[0])
    assert shop.get("sue", f"/contacts/{contact}")["banned"]


def test_a_banned_contact_is_let_in_again(shop):
    """While banned what they write opens nothing; afterwards it does."""
    session = shop.taken()
    path = f"/contacts/{shop.get('sue', f'/sessions/{session}')['contact_id']}"
    shop.do("ann", session, "close")
    shop.site.clock.move(601)
    shop.ask("sue", "PATCH", path, json={"banned": True})
    shop.say(2, "v1", "hello?")
    assert session == shop.session()
    shop.ask("sue", "PATCH", path, json={"banned": False})
    shop.say(3, "v1", "and now?")

    assert session != shop.session()
