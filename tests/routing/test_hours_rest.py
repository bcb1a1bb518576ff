"""What hours come to, over REST: now, a month, and hours that nobody has saved; who may ask."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import update

from broker.domain import Role
from broker.store.sql import sql
from broker.store.tables import operators
from broker.web.wiring import unlisted
from operators.rest import routes as people_routes
from routing.hours_rest import routes
from routing.public_holidays import WorldCalendars
from tests.support.site import Site

NOBODY = "01900000-0000-7000-8000-ffffffffffff"
NINE_TO_SIX = {"zone": "Europe/Moscow", "week": {"mon": ["09:00-18:00"], "fri": ["22:00-06:00"]}, "holidays": ["RU"]}
ALWAYS_OPEN: dict[str, Any] = {
    "always_open": True,
    "zone": None,
    "hours": None,
    "open_now": True,
    "opens_at": None,
    "closes_at": None,
    "month": None,
    "days": [],
}
ADMINISTRATOR, SUPERVISOR, OPERATOR = Role.ADMINISTRATOR, Role.SUPERVISOR, Role.OPERATOR


class Office:
    """A line `shop` in which the operator sits, and one logged-in person of each role. It is Monday, 15:00 in Moscow."""

    def __init__(self, folder):
        self.site = Site(folder, routes=[*people_routes(WorldCalendars()), routes])
        self.ids, self.browsers = {}, {}
        for role in Role:
            self.ids[role] = self.site.person(role.value, role)
            self.browsers[role] = self.site.browser()
            self.site.log_in(role.value, by=self.browsers[role])
        self.line = self.add_line("shop")
        self.ask("PUT", f"/lines/{self.line}/seats", json={"operators": [self.ids[OPERATOR]]})

    def ask(self, method, path, role=ADMINISTRATOR, **more):
        return self.site.ask(method, "/api/v1" + path, by=self.browsers[role] if role else None, **more)

    def add_line(self, slug):
        return self.ask("POST", "/lines", json={"slug": slug, "name": slug}).json()["id"]

    def line_hours(self, month=None):
        return self.ask("GET", f"/lines/{self.line}/hours", params={"month": month} if month else None).json()

    def preview(self, hours, month=None, role=ADMINISTRATOR):
        return self.ask("POST", "/hours/preview", role, json={"hours": hours}, params={"month": month} if month else None)


@pytest.fixture
def office(tmp_path):
    """Return an office."""
    made = Office(tmp_path)
    yield made
    made.site.close()


def _day(shown, number):
    return shown["days"][number - 1]


def test_every_route_names_who_may_ask():
    """A route without an action would be open by accident."""
    assert [] == unlisted(routes.routes)
    assert len([route for route in routes.routes if isinstance(route, APIRoute)]) == 3


def test_without_hours_it_is_always_open(office):
    """A line, a person and a preview say so, whatever the month."""
    asked = [office.ask("GET", path) for path in (f"/lines/{office.line}/hours", f"/operators/{office.ids[OPERATOR]}/hours")]

    assert [ALWAYS_OPEN] * 3 == [answer.json() for answer in (*asked, office.preview(None, "2026-12"))]


def test_an_open_line_says_until_when(office):
    """And its present month, by its own clock, in the spelling that its settings have."""
    settings = office.ask("PATCH", f"/lines/{office.line}", json={"settings": {"hours": NINE_TO_SIX}}).json()["settings"]

    shown = office.line_hours()

    assert shown["hours"] == settings["hours"]
    assert (shown["always_open"], shown["open_now"], shown["zone"], shown["month"]) == (False, True, "Europe/Moscow", "2026-03")
    assert (shown["opens_at"], shown["closes_at"]) == (None, "2026-03-02T15:00:00Z")
    assert len(shown["days"]) == 31
    assert _day(shown, 2) == {
        "day": "2026-03-02",
        "why": "week",
        "reason": "",
        "open": [
            {"start": "09:00", "end": "18:00", "starts_at": "2026-03-02T06:00:00Z", "ends_at": "2026-03-02T15:00:00Z"},
        ],
        "minutes": 540,
        "clock_shift_minutes": 0,
    }


def test_a_closed_line_says_when_it_opens(office):
    """The first opening after now; past the evening that is the night from Friday."""
    office.ask("PATCH", f"/lines/{office.line}", json={"settings": {"hours": NINE_TO_SIX}})
    office.site.clock.move(4 * 3600.0)

    shown = office.line_hours()

    assert (shown["open_now"], shown["opens_at"], shown["closes_at"]) == (False, "2026-03-06T19:00:00Z", None)


def test_a_night_is_shown_on_both_its_days(office):
    """Cut at midnight: the rest of Friday's night stands on Saturday, on which nothing begins."""
    shown = office.preview(NINE_TO_SIX, "2026-03").json()

    friday, saturday = _day(shown, 6), _day(shown, 7)
    assert [("22:00", "24:00")] == [(one["start"], one["end"]) for one in friday["open"]]
    assert [("00:00", "06:00")] == [(one["start"], one["end"]) for one in saturday["open"]]
    assert (friday["why"], saturday["why"], saturday["minutes"]) == ("week", "closed", 360)


def test_holidays_and_dates_say_their_names(office):
    """Holidays in the language of who asks, where the package has it; an own date goes before a holiday."""
    own = {**NINE_TO_SIX, "dates": [{"on": "2026-03-09", "open": ["10:00-12:00"], "reason": "stocktaking"}]}

    holiday, date = _day(office.preview(NINE_TO_SIX, "2026-06").json(), 12), _day(office.preview(own, "2026-03").json(), 9)

    assert (holiday["why"], holiday["reason"], holiday["open"]) == ("holiday", "Russia Day", [])
    assert (date["why"], date["reason"], date["minutes"]) == ("date", "stocktaking", 120)


def test_a_day_whose_clock_moves_says_by_how_much(office):
    """Berlin, the last Sunday of March: an hour less between midnight and six."""
    shown = office.preview({"zone": "Europe/Berlin", "week": {"sun": ["00:00-06:00"]}}, "2026-03").json()

    assert (_day(shown, 29)["minutes"], _day(shown, 29)["clock_shift_minutes"]) == (300, 60)
    assert (_day(shown, 22)["minutes"], _day(shown, 22)["clock_shift_minutes"]) == (360, 0)


def test_hours_that_never_open_say_so(office):
    """Closed now and for good: nothing to wait for."""
    shown = office.preview({"zone": "UTC"}).json()

    assert (shown["open_now"], shown["opens_at"], shown["closes_at"]) == (False, None, None)


def test_the_months_clock_is_the_hours_own(office):
    """Where it is already the first of March while it is February here, March is shown."""
    office.site.clock.set(datetime(2026, 2, 28, 12, tzinfo=UTC))

    months = [office.preview({"zone": zone}).json()["month"] for zone in ("Pacific/Kiritimati", "UTC")]

    assert months == ["2026-03", "2026-02"]


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026-1", "december", "2026-12-01", "1969-12", "9999-01", "0000-01"])
def test_a_month_that_cannot_be_is_refused(office, month):
    """At its place, by every route."""
    office.ask("PATCH", f"/lines/{office.line}", json={"settings": {"hours": NINE_TO_SIX}})
    office.ask("PATCH", f"/operators/{office.ids[OPERATOR]}", json={"hours": NINE_TO_SIX})

    answers = [
        office.ask("GET", f"/lines/{office.line}/hours", params={"month": month}),
        office.ask("GET", f"/operators/{office.ids[OPERATOR]}/hours", params={"month": month}),
        office.preview(NINE_TO_SIX, month),
    ]

    assert [(422, "month")] * 3 == [(answer.status_code, answer.json()["errors"][0]["field"]) for answer in answers]


@pytest.mark.parametrize(
    ("hours", "field"),
    [
        ({"zone": "Europe/Moskow"}, "hours.zone"),
        ({"zone": "UTC", "week": {"mon": ["09:00-18:00", "17:00-19:00"]}}, "hours.week.mon"),
        ({"zone": "UTC", "holidays": ["XX"]}, "hours.holidays[0]"),
        (7, "hours"),
    ],
)
def test_a_preview_names_what_is_wrong(office, hours, field):
    """As saving would: the same place and the same sentence."""
    answer = office.preview(hours)
    saved = office.ask("PATCH", f"/operators/{office.ids[OPERATOR]}", json={"hours": hours})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert answer.json() == saved.json()


def test_a_preview_needs_hours(office):
    """A body without them is a mistake, not always open."""
    answer = office.ask("POST", "/hours/preview", json={})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "hours")


def test_shifts_are_shown_to_oneself_and_to_supervisors(office):
    """Leave is nobody else's business."""
    own, other = (f"/operators/{office.ids[role]}/hours" for role in (OPERATOR, SUPERVISOR))

    assert [200, 403] == [office.ask("GET", path, OPERATOR).status_code for path in (own, other)]
    assert [200, 200] == [office.ask("GET", path, SUPERVISOR).status_code for path in (own, other)]
    assert office.ask("GET", own, None).status_code == 401


def test_hours_are_shown_to_the_lines_own_people(office):
    """An operator of another line may not; saving hours, and trying them, is the administrator's."""
    other = office.add_line("other")

    seen = [office.ask("GET", f"/lines/{line}/hours", OPERATOR).status_code for line in (office.line, other)]
    tried = [office.preview(None, role=role).status_code for role in (OPERATOR, SUPERVISOR, ADMINISTRATOR)]

    assert ([200, 403], [403, 403, 200]) == (seen, tried)


def test_nobodys_hours_are_not_found(office):
    """Neither a line nor a person of that id."""
    answers = [office.ask("GET", f"/{kind}/{NOBODY}/hours") for kind in ("lines", "operators")]

    assert [404, 404] == [answer.status_code for answer in answers]


def test_hours_whose_zone_is_gone_say_so(office):
    """They were good when they were kept; the machine's zones are others now."""
    statement = sql(update(operators).values(hours='{"zone":"Mars/Base"}'))
    office.site.write(lambda tx: tx.run(statement))

    answer = office.ask("GET", f"/operators/{office.ids[OPERATOR]}/hours")

    assert (answer.status_code, answer.json()["code"]) == (409, "unreadable_hours")
    assert answer.json()["detail"].startswith("hours.zone: no time zone 'Mars/Base' is known;")
