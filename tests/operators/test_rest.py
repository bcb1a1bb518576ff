"""REST of logins, people, lines, channels and seats: who may, what is answered, what rings."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.routing import APIRoute

from broker.domain import OperatorId, PresenceState, Role
from broker.ports import Bell
from broker.store.sql import insert_row
from broker.store.tables import inputs
from broker.web.wiring import listed, unlisted
from operators import people, presence
from operators.rest import routes
from tests.operators.conftest import CALENDARS, CHANNEL_ROUTES
from tests.support.site import PASSWORD

NOBODY = "01900000-0000-7000-8000-ffffffffffff"
ANYBODY = {"POST /api/v1/login", "POST /api/v1/logout"}
SUPERVISOR, ADMINISTRATOR, OPERATOR = Role.SUPERVISOR, Role.ADMINISTRATOR, Role.OPERATOR
EVERYBODY, ABOVE, ADMIN = set(Role), {SUPERVISOR, ADMINISTRATOR}, {ADMINISTRATOR}
ROLES = {
    "GET /api/v1/me": EVERYBODY,
    "POST /api/v1/password": EVERYBODY,
    "GET /api/v1/operators": ABOVE,
    "POST /api/v1/operators": ADMIN,
    "GET /api/v1/operators/{operator_id}": ABOVE,
    "PATCH /api/v1/operators/{operator_id}": ADMIN,
    "POST /api/v1/operators/{operator_id}/password": ADMIN,
    "GET /api/v1/lines": EVERYBODY,
    "POST /api/v1/lines": ADMIN,
    "GET /api/v1/lines/{line_id}": ABOVE,  # an operator: only of a line of theirs, and this is none
    "PATCH /api/v1/lines/{line_id}": ADMIN,
    "PUT /api/v1/lines/{line_id}/seats": ABOVE,
    "GET /api/v1/channels": ABOVE,
    "POST /api/v1/channels": ADMIN,
    "GET /api/v1/channels/{channel_id}": ABOVE,
    "PATCH /api/v1/channels/{channel_id}": ADMIN,
    "POST /api/v1/channels/probe": ADMIN,
    "GET /api/v1/dead-letters": ADMIN,
    "GET /api/v1/dead-letters/{letter_id}/raw": ADMIN,
    "POST /api/v1/dead-letters/{letter_id}/replay": ADMIN,
}


def _routes():
    return [route for router in [*routes(CALENDARS), *CHANNEL_ROUTES] for route in router.routes if isinstance(route, APIRoute)]


def _names():
    return [f"{method} {route.path}" for route in _routes() for method in sorted(route.methods)]


def _fill(path):
    return (
        path.replace("{operator_id}", NOBODY)
        .replace("{line_id}", NOBODY)
        .replace("{channel_id}", NOBODY)
        .replace("{letter_id}", NOBODY)
    )


def test_every_route_says_who_may():
    """A route that names neither an action nor a reason to be open does not pass; nor does one that the matrix forgot."""
    assert [] == unlisted(_routes())
    assert set(_names()) == ANYBODY | set(ROLES)
    assert all(len(listed(route)) == 1 for route in _routes())


@pytest.mark.parametrize("name", sorted(ROLES))
def test_a_stranger_is_told_to_log_in(office, name):
    """Without a login every listed route answers 401, whatever is sent."""
    method, path = name.split()

    assert office.ask(None, method, _fill(path), json={}).status_code == 401


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("name", sorted(ROLES))
def test_roles_reach_what_they_may_and_nothing_else(office, name, role):
    """403 exactly where the matrix says so; where it allows, something else is the matter (no such thing, an empty body)."""
    method, path = name.split()

    answer = office.ask(role, method, _fill(path), **({} if method == "GET" else {"json": {}}))

    assert (answer.status_code == 403) == (role not in ROLES[name]), answer.text


def test_login_gives_a_cookie_and_logout_takes_it(office):
    """Who logs in is known by the cookie; after logging out the same cookie is nobody's."""
    browser = office.site.browser()
    answer = office.site.log_in("operator", by=browser)
    cookie = answer.headers["set-cookie"]

    assert answer.json()["login"] == "operator"
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert office.site.ask("GET", "/api/v1/me", by=browser).json()["role"] == "operator"
    kept = dict(browser.cookies)
    assert office.site.ask("POST", "/api/v1/logout", by=browser).status_code == 204
    assert office.site.ask("GET", "/api/v1/me", headers={"cookie": f"omniline={kept['omniline']}"}).status_code == 401


def test_who_logs_out_is_not_there_any_more(office):
    """By the same request; with a login in another browser they stay."""
    me = office.site.write(lambda tx: people.id_of(tx, "operator"))
    first, second = office.site.browser(), office.site.browser()
    for browser in (first, second):
        office.site.log_in("operator", by=browser)
    office.site.write(lambda tx: presence.set_presence(tx, me, PresenceState.ONLINE))

    office.site.ask("POST", "/api/v1/logout", by=first)
    assert office.site.write(lambda tx: presence.state_of(tx, me)) is PresenceState.ONLINE
    for browser in (second, office.browsers[Role.OPERATOR]):
        office.site.ask("POST", "/api/v1/logout", by=browser)
    assert office.site.write(lambda tx: presence.state_of(tx, me)) is PresenceState.OFFLINE


def test_over_https_the_cookie_is_bound_to_the_host(office):
    """__Host-, Secure: no other host and no plain http can set or read it."""
    browser = office.site.browser("https://chat.example.com", "203.0.113.5")

    cookie = office.site.log_in("operator", by=browser).headers["set-cookie"]

    assert cookie.startswith("__Host-omniline=")
    assert "; Secure" in cookie
    assert "; Path=/;" in cookie
    assert office.site.ask("GET", "/api/v1/me", by=browser).status_code == 200


@pytest.mark.parametrize(("base", "peer"), [("http://chat.example.com", "203.0.113.5"), ("http://evil.example", "127.0.0.1")])
def test_plain_http_is_for_this_machine_alone(office, base, peer):
    """A stranger's address, or a foreign name that points here, gets a sentence about TLS and no login."""
    answer = office.site.log_in("operator", by=office.site.browser(base, peer))

    assert answer.status_code == 403
    assert "https" in answer.json()["detail"]
    assert "set-cookie" not in answer.headers


def test_wrong_password_and_unknown_login_sound_the_same(office):
    """Nobody learns from the answer which logins there are."""
    wrong = office.site.log_in("operator", "not the password")
    unknown = office.site.log_in("nobody", "not the password")

    assert wrong.status_code == unknown.status_code == 401
    assert wrong.json() == unknown.json()


def test_guessing_becomes_slow_for_known_and_unknown_alike(office):
    """After five wrong ones the sixth waits: 429 with Retry-After, even with the right password; then it opens."""
    for login in ("operator", "nobody"):
        answers = [office.site.log_in(login, "wrong password", by=office.site.browser()) for _ in range(7)]

        assert [401] * 6 + [429] == [answer.status_code for answer in answers]
        assert answers[-1].headers["retry-after"] == "1"
    assert office.site.log_in("operator").status_code == 429
    office.site.clock.move(1.0)
    assert office.site.log_in("operator").status_code == 200


def test_own_password_is_changed_with_the_present_one(office):
    """The other logins end and ring; this one stays; the new password opens and the old does not."""
    other = office.site.browser()
    office.site.log_in("operator", by=other)
    office.site.rung.clear()

    wrong = office.ask(OPERATOR, "POST", "/api/v1/password", json={"current": "something else", "new": "a good new one 1"})
    right = office.ask(OPERATOR, "POST", "/api/v1/password", json={"current": PASSWORD, "new": "a good new one 1"})

    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "current")
    assert right.status_code == 204
    assert office.ask(OPERATOR, "GET", "/api/v1/me").status_code == 200
    assert office.site.ask("GET", "/api/v1/me", by=other).status_code == 401
    assert (Bell.LOGINS, office.ids[OPERATOR]) in office.site.rung
    assert office.site.log_in("operator", by=office.site.browser()).status_code == 401
    assert office.site.log_in("operator", "a good new one 1", by=office.site.browser()).status_code == 200


@pytest.mark.parametrize("password", ["short", "aaaaaaaaaaaaaa", "operator12345", "x" * 129])
def test_a_weak_password_is_refused(office, password):
    """Too short, too plain, holding the login, or too long: refused with the field."""
    answer = office.ask(OPERATOR, "POST", "/api/v1/password", json={"current": PASSWORD, "new": password})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "new")


def test_a_person_is_added_with_a_password_shown_once(office):
    """The generated password is in the answer of the adding and nowhere else; it opens."""
    added = office.admin("POST", "/api/v1/operators", json={"login": "Ann", "name": " Ann  Lee ", "budget": 50})

    assert added.status_code == 201
    body = added.json()
    assert (body["login"], body["name"], body["budget"], body["load"], body["password_generated"]) == (
        "ann",
        "Ann Lee",
        50,
        0,
        True,
    )
    assert body["created_at"] == "2026-03-02T12:00:00Z"
    assert "password" not in office.admin("GET", f"/api/v1/operators/{body['id']}").json()
    assert office.site.log_in("ann", body["password"], by=office.site.browser()).status_code == 200
    assert office.admin("POST", "/api/v1/operators", json={"login": "ANN", "name": "x"}).status_code == 409


@pytest.mark.parametrize("change", [{"role": "supervisor"}, {"active": False}])
def test_another_role_or_none_ends_the_logins(office, change):
    """What a login was worth has changed: it ends at once, and live sockets are told."""
    office.site.rung.clear()

    answer = office.admin("PATCH", f"/api/v1/operators/{office.ids[OPERATOR]}", json=change)

    assert answer.status_code == 200
    assert change.items() <= answer.json().items()
    assert {(Bell.LOGINS, office.ids[OPERATOR]), (Bell.SETTINGS, "")} <= set(office.site.rung)
    assert office.ask(OPERATOR, "GET", "/api/v1/me").status_code == 401


def test_the_last_administrator_stays(office):
    """Nobody locks the house from the inside."""
    answer = office.admin("PATCH", f"/api/v1/operators/{office.ids[ADMINISTRATOR]}", json={"role": "operator"})

    assert answer.status_code == 409
    assert office.admin("GET", "/api/v1/me").status_code == 200


def test_a_reset_password_is_shown_once_and_ends_the_logins(office):
    """The person logs in with it, and the console knows that it was generated."""
    answer = office.admin("POST", f"/api/v1/operators/{office.ids[OPERATOR]}/password")

    assert answer.headers["cache-control"] == "no-store"
    assert office.ask(OPERATOR, "GET", "/api/v1/me").status_code == 401
    assert office.site.log_in("operator", answer.json()["password"]).json()["password_generated"] is True


def _line(office, slug="shop", **settings):
    return office.admin("POST", "/api/v1/lines", json={"slug": slug, "name": "Shop", "settings": settings}).json()


def test_a_line_keeps_its_version_until_something_changes(office):
    """The same settings again change nothing; other ones make the next version, mark the pool and ring."""
    line = _line(office, offer_seconds=30)
    path = f"/api/v1/lines/{line['id']}"
    office.site.rung.clear()

    same = office.admin("PATCH", path, json={"settings": {"offer_seconds": 30}}).json()
    assert (same["version"], office.site.rung) == (1, [])

    changed = office.admin("PATCH", path, json={"settings": {"rounds": 5}}).json()

    assert (changed["version"], changed["settings"]["rounds"], changed["settings"]["offer_seconds"]) == (2, 5, 30)
    assert {(Bell.SETTINGS, ""), (Bell.POOL, line["id"])} == set(office.site.rung)


def test_a_target_that_was_switched_off_later_hinders_no_other_change(office):
    """Who changes the welcome is not told about the line that nobody answers is sent on to; who names it again is."""
    desk = _line(office, "desk")
    shop = _line(office, "shop", no_answer_does="line", no_answer_line="desk")
    office.admin("PATCH", f"/api/v1/lines/{desk['id']}", json={"active": False})
    path = f"/api/v1/lines/{shop['id']}"

    assert office.admin("PATCH", path, json={"settings": {"welcome_text": {"en": "Hi"}}}).status_code == 200
    assert office.admin("PATCH", path, json={"settings": {"no_answer_line": "desk"}}).status_code == 422


def _menu(key: str, **does: Any) -> dict[str, Any]:
    return {"calls": {"menu": {"sound": "custom/menu", "keys": {key: does}}}}


def test_a_line_has_a_menu(office):
    """Every key may lead somewhere else."""
    _line(office, "desk")
    keys = {"1": {"does": "line", "line": "desk"}, "2": {"does": "operator", "operator": OPERATOR}, "*": {"does": "callback"}}
    settings = {"calls": {"menu": {"sound": "custom/menu", "keys": keys, "extensions": True}}}

    made = office.admin("POST", "/api/v1/lines", json={"slug": "shop", "name": "Shop", "settings": settings}).json()

    menu = made["settings"]["calls"]["menu"]
    assert (menu["keys"]["2"]["operator"], menu["keys"]["*"]["does"], menu["times"]) == (OPERATOR, "callback", 2)


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        ({"ofer_seconds": 30}, "settings.ofer_seconds", "offer_seconds"),
        ({"offer_seconds": 4}, "settings.offer_seconds", "greater than or equal to 5"),
        ({"distribution": "random"}, "settings.distribution", "evenly"),
        ({"welcome_text": {"en": "Hi", "ru": "{foo}"}}, "settings.welcome_text.ru", "{queue.position}"),
        ({"no_answer_does": "line"}, "settings.no_answer_line", "it is empty"),
        ({"no_answer_does": "line", "no_answer_line": "nowhere"}, "settings.no_answer_line", "there is no line nowhere"),
        ({"no_answer_does": "line", "no_answer_line": "shop"}, "settings.no_answer_line", "to itself"),
        ({"calls": {"outside_sound": "../secret"}}, "settings.calls.outside_sound", "a sound's name"),
        ({"calls": {"callback_sound": "a b"}}, "settings.calls.callback_sound", "a sound's name"),
        ({"calls": {"menu": {"sound": "a,b"}}}, "settings.calls.menu.sound", "a sound's name"),
        ({"calls": {"menu": {"keys": {"1": {"does": "queue"}}}}}, "settings.calls.menu.sound", "there is no menu"),
        ({"calls": {"menu": {"extensions": True}}}, "settings.calls.menu.sound", "there is no menu"),
        ({"calls": {"menu": {"sund": "x"}}}, "settings.calls.menu.sund", "sound"),
        (_menu("a", does="queue"), "settings.calls.menu.keys", "not a key"),
        (
            {"calls": {"menu": {"sound": "custom/menu", "keys": {"#": {"does": "queue"}}, "extensions": True}}},
            "settings.calls.menu.keys",
            "# ends an extension",
        ),
        (_menu("1", does="dance"), "settings.calls.menu.keys.1.does", "queue"),
        (_menu("1", does="queue", lne="x"), "settings.calls.menu.keys.1.lne", "line"),
        (_menu("1", does="line"), "settings.calls.menu.keys.1.line", "it is empty"),
        (_menu("1", does="line", line="nowhere"), "settings.calls.menu.keys.1.line", "there is no line nowhere"),
        (_menu("1", does="line", line="shop"), "settings.calls.menu.keys.1.line", "to itself"),
        (_menu("1", does="operator"), "settings.calls.menu.keys.1.operator", "it is empty"),
        (_menu("1", does="operator", operator="nobody"), "settings.calls.menu.keys.1.operator", "there is no operator nobody"),
        (_menu("1", does="forward"), "settings.calls.forward_to", "name the number"),
    ],
)
def test_a_wrong_setting_is_named(office, settings, field, says):
    """Unknown keys come with the nearest known one, wrong values with what is allowed."""
    answer = office.admin("POST", "/api/v1/lines", json={"slug": "shop", "name": "Shop", "settings": settings})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert says in answer.json()["detail"]


def test_a_key_nobody_knows_is_refused_with_the_nearest(office):
    """Mass assignment fails aloud: a body may hold only what its model has."""
    answer = office.admin("PATCH", f"/api/v1/operators/{office.ids[OPERATOR]}", json={"roel": "administrator"})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "roel")
    assert "role" in answer.json()["errors"][0]["detail"]


def test_seats_are_an_ordered_list(office):
    """The queue is as it was sent; whoever sits in it sees the line, and somebody unknown is refused."""
    line = _line(office)
    path = f"/api/v1/lines/{line['id']}"
    queue = [office.ids[SUPERVISOR], office.ids[OPERATOR]]
    assert office.ask(OPERATOR, "GET", "/api/v1/lines").json()["items"] == []

    seated = office.ask(SUPERVISOR, "PUT", f"{path}/seats", json={"operators": queue})

    assert seated.json()["seats"] == queue
    assert (Bell.POOL, line["id"]) in office.site.rung
    assert [one["slug"] for one in office.ask(OPERATOR, "GET", "/api/v1/lines").json()["items"]] == ["shop"]
    assert office.ask(OPERATOR, "GET", path).status_code == 200
    assert office.ask(OPERATOR, "GET", "/api/v1/me").json()["lines"] == [line["id"]]
    assert office.admin("PUT", f"{path}/seats", json={"operators": [NOBODY]}).status_code == 404
    assert office.admin("PUT", f"{path}/seats", json={"operators": [queue[0], queue[0]]}).status_code == 422


def test_a_channel_is_checked_by_its_kind(office):
    """The kind fills in its defaults and refuses what it does not know; a change of nothing keeps the version."""
    line = _line(office)
    wanted = {"line_id": line["id"], "slug": "site", "kind": "fake", "name": "Site"}
    made = office.admin("POST", "/api/v1/channels", json=wanted).json()
    path = f"/api/v1/channels/{made['id']}"

    assert (made["settings"], made["version"], made["active"]) == ({"colour": "red"}, 1, True)
    assert office.admin("PATCH", path, json={"settings": {"colour": "red"}}).json()["version"] == 1
    assert office.admin("PATCH", path, json={"settings": {"colour": "blue"}, "active": False}).json()["version"] == 2
    assert office.admin("PATCH", path, json={"settings": {"sound": 1}}).status_code == 422
    assert office.admin("POST", "/api/v1/channels", json=wanted).status_code == 409
    assert office.admin("POST", "/api/v1/channels", json={**wanted, "kind": "pigeon"}).status_code == 422
    assert [one["slug"] for one in office.ask(SUPERVISOR, "GET", "/api/v1/channels").json()["items"]] == ["site"]


@pytest.mark.parametrize("value", ["\\ud800", "\\u0000"])
def test_what_no_text_can_hold_is_refused(office, value):
    """Half a character or a NUL, however deep: a sentence, not an error of ours."""
    body = f'{{"slug": "shop", "name": "Shop", "settings": {{"welcome_text": {{"en": "{value}"}}}}}}'

    answer = office.admin("POST", "/api/v1/lines", content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "settings")


def test_a_name_cannot_pretend(office):
    """Characters that turn the direction of writing, and control characters, are taken out of names."""
    made = office.admin("POST", "/api/v1/lines", json={"slug": "shop", "name": "\u202eknab \u0000 Shop"}).json()

    assert made["name"] == "knab Shop"


def test_lists_come_in_pages(office):
    """A hundred at a time; the cursor of one page is the way to the next, and nobody is twice or missing."""
    office.site.write(lambda tx: [people.add(tx, f"p{n:03}", "P", OPERATOR, "", generated=False) for n in range(150)])

    first = office.admin("GET", "/api/v1/operators").json()
    second = office.admin("GET", "/api/v1/operators", params={"cursor": first["next_cursor"]}).json()

    logins = [one["login"] for page in (first, second) for one in page["items"]]
    assert logins == sorted(set(logins))
    assert (len(logins), len(first["items"]), second["next_cursor"]) == (153, 100, None)


def test_dead_letters_are_listed_without_their_content(office):
    """The newest first, with the reason; the raw itself may hold anybody's words and stays inside."""
    row = insert_row(inputs, "origin external_id id raw at_us dead")
    for number in (1, 2):
        office.site.write(
            lambda tx, n=number: tx.run(
                row, origin="fake", external_id=f"e{n}", id=tx.new_id(), raw=b"secret words", at_us=n * 1_000_000, dead="not JSON"
            )
        )

    answer = office.admin("GET", "/api/v1/dead-letters")

    assert [(one["external_id"], one["reason"], one["bytes"]) for one in answer.json()["items"]] == [
        ("e2", "not JSON", 12),
        ("e1", "not JSON", 12),
    ]
    assert "secret words" not in answer.text


def test_a_login_ends_by_idleness_and_at_its_end(office):
    """Eight hours without a request, or twenty-four in any case; being here is noted at most once a minute."""
    site = office.site
    for _ in range(3):
        site.clock.move(7 * 3600.0)
        assert office.ask(OPERATOR, "GET", "/api/v1/me").status_code == 200
    site.clock.move(3 * 3600.0)
    assert office.ask(OPERATOR, "GET", "/api/v1/me").status_code == 401

    assert site.log_in("operator", by=office.browsers[OPERATOR]).status_code == 200
    site.clock.move(8 * 3600.0)
    assert office.ask(OPERATOR, "GET", "/api/v1/me").status_code == 401


def test_a_switched_off_person_cannot_log_in(office):
    """The answer is the one of a wrong password."""
    office.admin("PATCH", f"/api/v1/operators/{OperatorId(office.ids[OPERATOR])}", json={"active": False})

    assert office.site.log_in("operator").status_code == 401
