"""When lines are open and people on shift: a calendar's answer, for as long as it holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from broker.domain import Directory, Line, LineId, LineSettings, Operator, OperatorId, Role
from routing.openings import ALWAYS, BACKLOG, Openings
from routing.view import OPEN, HoursView
from tests.support.clock import NOON, SECOND

SHOP, ANN = LineId("shop"), OperatorId("ann")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri")
OFFICE: dict[str, Any] = {"zone": "Europe/Berlin", "week": dict.fromkeys(WEEKDAYS, ("09:00-18:00",))}
NINE, SIX = datetime(2026, 3, 2, 8, 0, tzinfo=UTC), datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
"""The opening and the closing of the Monday of NOON; Berlin is an hour ahead."""
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def openings(hours: dict[str, Any] | None = None, shifts: dict[str, Any] | None = None) -> Openings:
    """Return what one line and one operator with these hours say."""
    line = Line(SHOP, "shop", "Shop", 1, LineSettings(hours=hours))
    person = Operator(ANN, "ann", "Ann", Role.OPERATOR, "en", active=True, hours=shifts)
    return Openings(Directory({SHOP: line}, {}, {ANN: person}, {SHOP: (ANN,)}, {SHOP: (SHOP,)}))


def test_without_hours_it_is_always_open():
    """Lines and people whom nobody gave any; those whom nobody knows, too."""
    known = openings()

    for at in (NOON, NOON + 100 * DAY):
        assert known.of_line(SHOP, at) == known.of_operator(ANN, at) == known.of_line(LineId("nowhere"), at) == ALWAYS
    assert known.view(SHOP, NOON) == OPEN
    assert known.calendar(SHOP) is None


def test_an_open_line_says_since_when_and_until_when():
    """From its first instant to its last."""
    for at in (NINE, NOON, SIX - MICROSECOND):
        stretch = openings(OFFICE).of_line(SHOP, at)
        assert (stretch.open, stretch.since, stretch.until, stretch.opens_at) == (True, NINE, SIX, None)


def test_a_closed_line_says_when_it_opens():
    """The closing instant itself is closed."""
    for at in (SIX, SIX + 3 * SECOND, NINE + DAY - MICROSECOND):
        stretch = openings(OFFICE).of_line(SHOP, at)
        assert (stretch.open, stretch.since, stretch.until, stretch.opens_at) == (False, None, NINE + DAY, NINE + DAY)


def test_a_decision_sees_whether_and_when():
    """And nothing else of the calendar."""
    known = openings(OFFICE)

    assert known.view(SHOP, NOON) == HoursView(open=True)
    assert known.view(SHOP, SIX) == HoursView(open=False, opens_at=NINE + DAY)


def test_a_line_that_never_opens_says_so():
    """Neither an opening nor a change to wait for."""
    stretch = openings({"zone": "UTC"}).of_line(SHOP, NOON)

    assert (stretch.open, stretch.until, stretch.opens_at) == (False, None, None)


def test_an_opening_longer_ago_than_a_day_matters_no_more():
    """Round the clock from Monday on: paced on its first day, and as if it had always been open after it."""
    hours = {"zone": "UTC", "week": dict.fromkeys((*WEEKDAYS, "sat", "sun"), ("00:00-24:00",)), "dates": [{"on": "2026-03-01"}]}
    opened = datetime(2026, 3, 2, tzinfo=UTC)

    assert openings(hours).of_line(SHOP, opened).since == opened
    assert openings(hours).of_line(SHOP, opened + BACKLOG - MICROSECOND).since == opened
    assert openings(hours).of_line(SHOP, opened + BACKLOG).since is None


def test_hours_that_touch_are_one_opening():
    """Open over midnight: the morning's pace is not the evening's again."""
    hours = {"zone": "UTC", "week": {"mon": ["18:00-24:00"], "tue": ["00:00-06:00"]}}

    assert openings(hours).of_line(SHOP, datetime(2026, 3, 3, 5, 0, tzinfo=UTC)).since == NOON.replace(hour=18)


def test_a_shift_is_read_as_hours_are():
    """Breaks and leave with it."""
    leave = {"from": "2026-03-03", "to": "2026-03-05"}
    known = openings(shifts={**OFFICE, "breaks": {"mon": ["13:00-13:30"]}, "dates": [leave]})

    assert [known.of_operator(ANN, at).open for at in (NOON - SECOND, NOON, NOON + timedelta(minutes=30))] == [True, False, True]
    assert known.of_operator(ANN, SIX).until == NINE + 4 * DAY


def test_a_clock_that_was_set_back_is_answered_anew():
    """What was found out for noon does not hold for the morning before."""
    known = openings(OFFICE)

    assert known.of_line(SHOP, NOON).open
    assert not known.of_line(SHOP, NINE - SECOND).open
    assert known.of_line(SHOP, NINE - SECOND).until == NINE
    assert known.of_line(SHOP, NINE).open


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 14 * 24 * 60), min_size=1, max_size=20))
def test_what_is_remembered_is_what_is_true(minutes: list[int]):
    """Asked in any order, it answers as one who is asked for the first time."""
    known = openings(OFFICE)

    for at in (NOON + timedelta(minutes=each) for each in minutes):
        said, fresh = known.of_line(SHOP, at), openings(OFFICE).of_line(SHOP, at)
        assert (said.open, said.since, said.until, said.opens_at) == (fresh.open, fresh.since, fresh.until, fresh.opens_at)


@pytest.mark.parametrize("hours", [{"zone": "Mars/Olympus"}, {"zone": "UTC", "week": {"mon": ["25:00-26:00"]}}, {}])
def test_hours_that_cannot_be_read_are_always_open_and_the_log_says_so_once(hours: dict[str, Any]):
    """A line that silently never opens again would lose customers."""
    known = openings(hours)
    with capture_logs() as logs:
        said = [known.of_line(SHOP, NOON + minute * SECOND) for minute in range(3)]

    assert said == [ALWAYS] * 3
    assert [(log["event"], log["of"]) for log in logs] == [("hours_unreadable", SHOP)]


def test_holidays_that_nobody_knows_any_more_are_none_and_the_log_says_so_once():
    """An update of the package has dropped the code: the week holds, and a line open day and night does not fill the log."""
    known = openings({"zone": "UTC", "week": OFFICE["week"], "holidays": ["XX", "RU"]})
    with capture_logs() as logs:
        said = [known.of_line(SHOP, NOON + day * DAY).open for day in range(5)]
        again = openings({"zone": "UTC", "week": OFFICE["week"], "holidays": ["XX", "RU"]}).of_line(SHOP, NOON)

    assert said == [True] * 5
    assert again.open
    assert [(log["event"], log["codes"]) for log in logs] == [("holidays_unknown", ["XX"])]


def test_a_change_of_other_settings_reads_no_hours_again(monkeypatch: pytest.MonkeyPatch):
    """Each change makes a new directory; the same hours are the same calendar, whoever has them."""
    hours = {"zone": "Asia/Kathmandu", "week": OFFICE["week"]}
    openings(hours).of_line(SHOP, NOON)
    monkeypatch.setattr("routing.openings.hours_of", lambda raw: pytest.fail("these hours have been read"))

    assert openings(hours).of_line(SHOP, NOON).until is not None
