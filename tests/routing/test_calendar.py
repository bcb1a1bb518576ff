"""The calendar by example: weeks, nights, clocks that change, holidays, dates of one's own, and what a month looks like."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.errors import BadHours, BadInput, NaiveTime
from broker.hours import WEEKDAYS, Hours, Interval, OtherHours, hours_of
from routing import calendar as calendar_module
from routing.calendar import PIECES_KEPT, SPANS_KEPT, Calendar, Why, check
from routing.public_holidays import codes, known, public_holidays
from tests.support.clock import MINUTE, NOON, SECOND

DAY = timedelta(days=1)
NO_HOLIDAYS = dict[tuple[str, int], dict[date, str]]()
ALL_WEEK = {name: ["00:00-24:00"] for name in WEEKDAYS}
OFFICE = {name: ["09:00-13:00", "14:00-18:00"] for name in WEEKDAYS[:5]}


def calendar(zone="Europe/Berlin", *, named=NO_HOLIDAYS, **raw) -> Calendar:
    """Return a calendar of raw hours; *named* are its holidays by (code, year)."""
    return Calendar(hours_of({"zone": zone, **raw}), lambda code, year: named.get((code, year), {}))


def utc(text: str) -> datetime:
    """Return the instant of a text such as 2026-03-29T01:00."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opened(from_: Calendar, start: str, end: str) -> list[str]:
    """Return the open times between two instants, each in short."""
    return [f"{a:%d %H:%M}-{b:%d %H:%M}" for a, b in from_.openings(utc(start), utc(end))]


# --- an ordinary week


def test_split_shift():
    """Open from the first minute of an interval up to the last, closed at noon and at the weekend."""
    office = calendar(week=OFFICE)

    assert opened(office, "2026-03-06T00:00", "2026-03-10T00:00") == [
        "06 08:00-06 12:00",
        "06 13:00-06 17:00",
        "09 08:00-09 12:00",
        "09 13:00-09 17:00",
    ]
    assert office.is_open(utc("2026-03-06T08:00"))
    assert not office.is_open(utc("2026-03-06T08:00") - SECOND)
    assert office.is_open(utc("2026-03-06T12:00") - timedelta(microseconds=1))
    assert not office.is_open(utc("2026-03-06T12:00"))


def test_next_opening_is_now_when_it_is_open():
    """An open calendar opens at the very instant asked for, in UTC, to the microsecond."""
    at = datetime(2026, 3, 6, 15, 0, 0, 7, tzinfo=timezone(timedelta(hours=5)))

    opening = calendar(week=OFFICE).next_opening(at)

    assert opening == at
    assert opening.tzinfo is UTC


def test_next_opening_over_a_weekend():
    """From Friday evening it is Monday morning."""
    assert calendar(week=OFFICE).next_opening(utc("2026-03-06T17:00")) == utc("2026-03-09T08:00")


def test_next_change_is_the_other_state():
    """Open: when it closes; closed: when it opens; at an edge: the next one."""
    office = calendar(week=OFFICE)

    assert office.next_change(utc("2026-03-06T09:30")) == utc("2026-03-06T12:00")
    assert office.next_change(utc("2026-03-06T12:00")) == utc("2026-03-06T13:00")
    assert office.next_change(utc("2026-03-06T17:00")) == utc("2026-03-09T08:00")


def test_touching_intervals_are_one_opening():
    """Shifts that hand over are no closing, within a day and over midnight."""
    shifts = calendar(week={name: ["08:00-20:00", "20:00-08:00"] for name in WEEKDAYS})

    assert shifts.openings(NOON, NOON + 7 * DAY) == ((NOON, NOON + 7 * DAY),)
    assert shifts.next_change(NOON) is None


def test_across_midnight():
    """A night belongs to the day on which it begins: Sunday's runs into Monday, Monday has none."""
    night = calendar(week={"sun": ["22:00-06:00"]})

    assert opened(night, "2026-03-07T00:00", "2026-03-12T00:00") == ["08 21:00-09 05:00"]
    assert night.next_opening(utc("2026-03-09T05:00")) == utc("2026-03-15T21:00")


def test_breaks_close_what_is_open():
    """A break cuts its interval in two, also where it runs past midnight; it opens nothing."""
    cut = calendar(
        week={"mon": ["09:00-17:00", "22:00-06:00"]}, breaks={"mon": ["12:00-12:15", "23:30-01:00"], "wed": ["12:00-13:00"]}
    )

    assert opened(cut, "2026-03-01T00:00", "2026-03-08T00:00") == [
        "02 08:00-02 11:00",
        "02 11:15-02 16:00",
        "02 21:00-02 22:30",
        "03 00:00-03 05:00",
    ]


def test_openings_are_cut_inside_a_second():
    """The ends asked for may lie anywhere, also both in one second; what is between them is exact."""
    always = calendar(week=ALL_WEEK)
    start, end = NOON + timedelta(microseconds=3), NOON + timedelta(microseconds=5)

    assert always.openings(start, end) == ((start, end),)
    assert always.openings(start, end + DAY) == ((start, end + DAY),)
    assert always.openings(end, start) == always.openings(start, start) == ()


# --- clocks that change


def test_gap_is_no_time():
    """Berlin has no 02:00-03:00 on 29 March 2026: what covers it is an hour shorter, what lies inside does not open."""
    assert opened(calendar(week={"sun": ["01:00-04:00"]}), "2026-03-29T00:00", "2026-03-30T00:00") == ["29 00:00-29 02:00"]
    inside = calendar(week={"sun": ["02:00-03:00"]})
    assert inside.next_opening(utc("2026-03-28T12:00")) == utc("2026-04-05T00:00")
    assert opened(calendar(week={"sun": ["02:30-03:30"]}), "2026-03-29T00:00", "2026-03-30T00:00") == ["29 01:00-29 01:30"]


def test_repeated_hour_counts_twice():
    """Berlin has 02:00-03:00 twice on 25 October 2026: what covers it is an hour longer, what ends inside opens again."""
    whole = calendar(week={"sun": ["01:00-04:00"]})
    half = calendar(week={"sun": ["01:00-02:30"]})

    assert opened(whole, "2026-10-24T12:00", "2026-10-26T00:00") == ["24 23:00-25 03:00"]
    assert opened(half, "2026-10-24T12:00", "2026-10-26T00:00") == ["24 23:00-25 00:30", "25 01:00-25 01:30"]
    assert half.next_opening(utc("2026-10-25T00:30")) == utc("2026-10-25T01:00")
    assert half.next_change(utc("2026-10-25T01:00")) == utc("2026-10-25T01:30")


def test_half_an_hour_of_lord_howe():
    """Where clocks go back by 30 minutes, 30 minutes are counted twice."""
    howe = calendar("Australia/Lord_Howe", week={"sun": ["01:30-02:00"]})

    assert opened(howe, "2026-04-04T00:00", "2026-04-06T00:00") == ["04 14:30-04 15:30"]


def test_casablanca_goes_back_for_ramadan():
    """Morocco's clock goes back for a month and forward again, by no yearly rule: 15 February and 22 March 2026."""
    nine = calendar("Africa/Casablanca", week={name: ["09:00-10:00"] for name in WEEKDAYS})

    assert opened(nine, "2026-02-14T00:00", "2026-02-16T00:00") == ["14 08:00-14 09:00", "15 09:00-15 10:00"]
    assert opened(nine, "2026-03-21T00:00", "2026-03-23T00:00") == ["21 09:00-21 10:00", "22 08:00-22 09:00"]


def test_nuuk_changes_on_the_evening_before():
    """Greenland's clock goes from 23:00 on Saturday to 00:00 on Sunday: the hour before midnight is missing."""
    nuuk = calendar("America/Nuuk", week={"sat": ["22:30-23:30"], "sun": ["00:00-01:00"]})

    assert opened(nuuk, "2026-03-28T12:00", "2026-03-29T12:00") == ["29 00:30-29 02:00"]


def test_day_that_a_zone_left_out():
    """Samoa had no 30 December 2011: a date on it never comes, and the night before goes on on the 31st's walls."""
    samoa = calendar(
        "Pacific/Apia", dates=[{"on": "2011-12-30", "open": ["09:00-18:00"]}, {"on": "2011-12-31", "open": ["09:00-10:00"]}]
    )

    assert opened(samoa, "2011-12-28T00:00", "2012-01-03T00:00") == ["30 19:00-30 20:00"]
    assert [day.shift for day in samoa.preview(2011, 12)][28:] == [0, 1440, 0]


# --- holidays and dates of one's own


NEW_YEAR = {
    ("RU", 2026): {date(2026, 1, 1): "Новый год"},
    ("US", 2026): {date(2026, 1, 1): "New Year", date(2026, 1, 2): "Day Two"},
}


def test_public_holiday_is_closed():
    """The week does not hold on a holiday; the next day it does."""
    office = calendar(week=OFFICE, holidays=["RU"], named=NEW_YEAR)

    assert office.next_opening(utc("2025-12-31T17:00")) == utc("2026-01-02T08:00")


def test_any_of_several_countries_closes():
    """A holiday of one of the countries is enough; the first that has it gives the name."""
    office = calendar(week=OFFICE, holidays=["RU", "US"], named=NEW_YEAR)

    assert office.next_opening(utc("2025-12-31T17:00")) == utc("2026-01-05T08:00")
    assert [day.reason for day in office.preview(2026, 1)][:3] == ["Новый год", "Day Two", ""]


def test_own_date_goes_before_a_holiday():
    """Who opens on a holiday says so with a date."""
    office = calendar(week=OFFICE, holidays=["RU"], named=NEW_YEAR, dates=[{"on": "2026-01-01", "open": ["12:00-15:00"]}])

    assert opened(office, "2026-01-01T00:00", "2026-01-02T00:00") == ["01 11:00-01 14:00"]


def test_leave_is_a_range_without_hours():
    """Both ends are free; the night that began before the first day is worked to its end."""
    shifts = calendar(week={name: ["22:00-06:00"] for name in WEEKDAYS}, dates=[{"from": "2026-07-01", "to": "2026-07-14"}])

    assert shifts.next_change(utc("2026-06-30T21:00")) == utc("2026-07-01T04:00")
    assert shifts.next_opening(utc("2026-07-01T04:00")) == utc("2026-07-15T20:00")


def test_breaks_hold_on_dates_too():
    """A weekday's breaks cut other hours as they cut its own."""
    cut = calendar(breaks={"thu": ["12:00-13:00"]}, dates=[{"on": "2026-01-01", "open": ["10:00-15:00"]}])

    assert opened(cut, "2026-01-01T00:00", "2026-01-02T00:00") == ["01 09:00-01 11:00", "01 12:00-01 14:00"]


# --- never, and much later


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"dates": [{"on": "2026-01-01", "open": ["09:00-18:00"]}]},
        {"week": {"mon": ["09:00-10:00"]}, "breaks": {"mon": ["08:00-10:00"]}},
        {"dates": [{"on": "2030-03-31", "open": ["02:00-03:00"]}]},
    ],
    ids=["nothing", "in the past", "all of it a break", "in a gap"],
)
def test_never_opens(raw):
    """None, and None again for the next change."""
    closed = calendar(**raw)

    assert closed.next_opening(NOON) is None
    assert closed.next_change(NOON) is None
    assert closed.openings(NOON, NOON + 400 * DAY) == ()


@pytest.mark.parametrize("before", [{}, {"from": "2031-01-01", "to": "2034-12-31"}])
def test_opening_years_ahead(before):
    """A single date is found at any distance, behind other dates too."""
    dates = [*([before] if before else []), {"on": "2061-05-09", "open": ["23:00-01:00"], "reason": "the comet"}]

    assert calendar(dates=dates).next_opening(NOON) == utc("2061-05-09T21:00")


def test_end_of_a_night_in_the_far_west():
    """The last hours of a night whose beginning was a break are found, two UTC days after the date they belong to."""
    night = calendar("Pacific/Pago_Pago", breaks={"mon": ["23:00-22:00"]}, dates=[{"on": "2026-03-02", "open": ["23:30-23:00"]}])

    assert night.next_opening(utc("2026-03-02T06:00")) == utc("2026-03-04T09:00")


def test_long_leave_ends():
    """A week behind ten years of leave is found."""
    dates = [{"from": f"{year}-01-01", "to": f"{year + 4}-12-31"} for year in (2026, 2031)]

    assert calendar(week=OFFICE, dates=dates).next_opening(NOON) == utc("2036-01-01T08:00")


@pytest.mark.parametrize(
    "closed", [{"on": "2044-02-29"}, {"from": "2044-02-29", "to": "2044-04-30"}], ids=["a day", "two months"]
)
def test_closing_years_ahead(closed):
    """Round the clock closes on the first of the dates that say so, after the night from the day before."""
    always = calendar(week={name: ["08:00-20:00", "20:00-08:00"] for name in WEEKDAYS}, dates=[closed])

    assert always.next_change(NOON) == utc("2044-02-29T07:00")


def test_round_the_clock_never_changes():
    """Always open says so; a public holiday, where there is one, is its next closing."""
    assert calendar(week=ALL_WEEK).next_change(NOON) is None
    holidays = {("XX", 2027): {date(2027, 12, 25): "Christmas"}}
    assert calendar(week=ALL_WEEK, holidays=["RU"], named=NEW_YEAR).next_change(NOON) is None
    assert calendar(week=ALL_WEEK, holidays=["XX"], named=holidays).next_change(NOON) == utc("2027-12-24T23:00")


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)], ids=["first", "last"])
def test_ends_of_time_are_answered(at):
    """The first and the last datetime there is raise nothing."""
    office = calendar(week=OFFICE, holidays=["RU"], named=NEW_YEAR, dates=[{"on": "0001-01-01"}, {"on": "9999-12-31"}])

    assert not office.is_open(at)
    assert office.next_opening(at) in (None, utc("0001-01-02T08:06:32"))
    assert office.openings(at, at) == ()


# --- what is refused


@pytest.mark.parametrize(
    "ask",
    [
        lambda asked, at: asked.is_open(at),
        lambda asked, at: asked.next_opening(at),
        lambda asked, at: asked.next_change(at),
        lambda asked, at: asked.openings(at, NOON),
        lambda asked, at: asked.openings(NOON, at),
    ],
    ids=["is_open", "next_opening", "next_change", "start", "end"],
)
def test_naive_time_is_refused(ask):
    """A datetime without a zone is nobody's noon."""
    with pytest.raises(NaiveTime, match="has no zone; pass an aware datetime"):
        ask(calendar(week=OFFICE), NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("zone", "says"),
    [
        ("Europe/Moskow", "zone: no time zone 'Europe/Moskow' is known; did you mean Europe/Moscow"),
        ("moscow", "did you mean Europe/Moscow?"),
        ("localtime", "write one such as Europe/Moscow"),
        ("Europe", "no time zone 'Europe' is known"),
    ],
)
def test_unknown_zone_is_refused_with_the_nearest(zone, says):
    """Both the check and the calendar itself say which zone, and which was meant."""
    hours = Hours(zone)

    for refuse in (lambda: check(hours, frozenset), lambda: Calendar(hours, public_holidays)):
        with pytest.raises(BadHours) as caught:
            refuse()
        assert says in str(caught.value)
        assert caught.value.field == "zone"


def test_unknown_country_is_refused_with_the_nearest():
    """The place in the list, the code, and the codes that look like it."""
    with pytest.raises(BadHours) as caught:
        check(Hours("UTC", holidays=("RU", "DE-BAY")), codes)

    assert str(caught.value) == "holidays[1]: no country or region 'DE-BAY' is known; did you mean DE-BY?"
    assert caught.value.field == "holidays[1]"


def test_known_hours_pass_the_check():
    """What exists is not refused, and without holidays nobody asks for their codes."""
    check(Hours("Asia/Kathmandu", holidays=("RU", "DE-BY", "US")), codes)
    check(Hours("Asia/Kathmandu"), lambda: pytest.fail("there is no code to look for"))


# --- a month


def test_preview_of_a_month():
    """A line a day: what decided, its name, the walls and minutes."""
    office = calendar(
        "Europe/Moscow",
        week=OFFICE,
        holidays=["RU"],
        named=NEW_YEAR,
        dates=[{"on": "2026-01-03", "open": ["10:00-12:30"], "reason": "sale"}],
    )

    days = office.preview(2026, 1)

    assert len(days) == 31
    assert [(day.why, day.reason, day.minutes) for day in days[:5]] == [
        (Why.HOLIDAY, "Новый год", 0),
        (Why.WEEK, "", 480),
        (Why.DATE, "sale", 150),
        (Why.CLOSED, "", 0),
        (Why.WEEK, "", 480),
    ]
    (sale,) = days[2].stretches
    assert (sale.start, sale.end, sale.start_wall, sale.end_wall) == (
        utc("2026-01-03T07:00"),
        utc("2026-01-03T09:30"),
        "10:00",
        "12:30",
    )
    assert days[0].day == date(2026, 1, 1)


def test_preview_cuts_at_midnight():
    """A night is shown on both of its days, and its minutes are counted where they fall."""
    monday, tuesday = calendar(week={"mon": ["22:00-06:00"]}).preview(2026, 3)[1:3]

    assert [(each.start_wall, each.end_wall) for each in monday.stretches] == [("22:00", "24:00")]
    assert [(each.start_wall, each.end_wall) for each in tuesday.stretches] == [("00:00", "06:00")]
    assert (monday.minutes, monday.why, tuesday.minutes, tuesday.why) == (120, Why.WEEK, 360, Why.CLOSED)


def test_preview_shows_where_the_clock_changes():
    """The day of a change says by how much, and its minutes are those that pass."""
    always = calendar(week=ALL_WEEK)
    spring, autumn = always.preview(2026, 3)[28], always.preview(2026, 10)[24]

    assert (spring.shift, spring.minutes) == (60, 23 * 60)
    assert (autumn.shift, autumn.minutes) == (-60, 25 * 60)
    assert [(each.start_wall, each.end_wall) for each in autumn.stretches] == [("00:00", "24:00")]
    assert sum(abs(day.shift) for month in range(1, 13) for day in always.preview(2026, month)) == 120


def test_preview_of_a_repeated_half_hour():
    """An interval that ends inside the repeated hour is shown twice, with the walls that people will see."""
    (day,) = [day for day in calendar(week={"sun": ["01:00-02:30"]}).preview(2026, 10) if day.shift]

    assert [(each.start_wall, each.end_wall) for each in day.stretches] == [("01:00", "02:30"), ("02:00", "02:30")]


@pytest.mark.parametrize(("year", "month"), [(2026, 0), (2026, 13), (1969, 12), (9999, 1)])
def test_preview_refuses_what_is_no_month(year, month):
    """A month that nobody can look at is bad input."""
    with pytest.raises(BadInput, match="there is no month"):
        calendar().preview(year, month)


# --- what is remembered


def test_what_is_remembered_is_bounded():
    """Whoever asks for all the days of a century is answered, and leaves no more than the stated number behind."""
    office = calendar(week=OFFICE)

    office.openings(NOON, NOON + 36_525 * DAY)

    assert len(office._spans) <= SPANS_KEPT
    assert calendar_module._pieces.cache_info().maxsize == PIECES_KEPT


# --- always

ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "America/Nuuk",
        "Asia/Gaza",
        "America/Havana",
        "Pacific/Chatham",
    ]
)
INSTANTS = st.integers(0, 18 * 365 * 86_400).map(lambda seconds: utc("2020-01-01") + seconds * SECOND)
DAYTIME = st.lists(st.integers(0, 48), max_size=6, unique=True).map(
    lambda cuts: tuple(Interval(30 * a, 30 * b) for a, b in zip(sorted(cuts)[::2], sorted(cuts)[1::2], strict=False))
)
NIGHT = st.tuples(st.integers(0, 1439), st.integers(1, 1439)).map(lambda each: (Interval(each[0], each[0] + each[1]),))
WEEKS = st.one_of(st.tuples(*[DAYTIME] * 7), st.tuples(*[st.just(()), NIGHT] * 3, st.just(())))


@st.composite
def calendars(draw, around: datetime) -> Calendar:
    """Draw a calendar with dates and holidays near *around*."""
    first = around.date() + timedelta(draw(st.integers(-3, 3)))
    other = OtherHours(first, first + timedelta(draw(st.integers(0, 9))), draw(DAYTIME | st.just(())))
    far = OtherHours(first + timedelta(900), first + timedelta(900), draw(DAYTIME))
    holidays = {first + timedelta(draw(st.integers(-5, 20))): "a holiday" for _ in range(2)}
    hours = Hours(draw(ZONES), draw(WEEKS), draw(WEEKS), draw(st.sampled_from([(), (other,), (other, far)])), ("XX",))
    return Calendar(hours, lambda _, year: {day: name for day, name in holidays.items() if day.year == year})


@settings(deadline=None)
@given(st.data(), INSTANTS)
def test_next_opening_is_the_first(data, at):
    """It is open then, and at no time between."""
    any_ = data.draw(calendars(at))

    opening = any_.next_opening(at)

    if opening is None:
        assert any_.openings(at, at + 1_000 * DAY) == ()
    else:
        assert opening >= at
        assert any_.is_open(opening)
        assert any_.openings(at, opening) == ()


@settings(deadline=None)
@given(st.data(), INSTANTS)
def test_next_change_is_the_first(data, at):
    """The state is the same up to there, and the other one there."""
    any_ = data.draw(calendars(at))
    is_open = any_.is_open(at)

    change = any_.next_change(at)
    until = at + 1_000 * DAY if change is None else change

    assert any_.openings(at, until) == (((at, until),) if is_open else ())
    if change is not None:
        assert change > at
        assert any_.is_open(change) != is_open


@settings(deadline=None)
@given(st.data(), INSTANTS)
def test_openings_are_what_is_open(data, at):
    """Openings are apart, in order, cut at the ends, and `is_open` agrees on both sides of each edge."""
    any_ = data.draw(calendars(at))
    end = at + 5 * DAY

    openings = any_.openings(at, end)

    edges = [edge for opening in openings for edge in opening]
    assert edges == sorted(set(edges))
    assert all(at <= edge <= end for edge in edges)
    for start, stop in openings:
        assert any_.is_open(start)
        assert any_.is_open(stop - SECOND)
        assert start == at or not any_.is_open(start - SECOND)
        assert stop == end or not any_.is_open(stop)


@settings(deadline=None)
@given(st.data(), INSTANTS)
def test_openings_split_anywhere(data, at):
    """Two neighbouring ranges have between them what the whole range has."""
    any_ = data.draw(calendars(at))
    middle, end = at + data.draw(st.integers(0, 7_000)) * MINUTE, at + 7_000 * MINUTE

    def total(spans):
        return sum((b - a for a, b in spans), timedelta())

    assert total(any_.openings(at, end)) == total(any_.openings(at, middle)) + total(any_.openings(middle, end))


@settings(deadline=None)
@given(st.data(), INSTANTS)
def test_preview_is_the_openings_of_the_month(data, at):
    """A month's minutes are those of the openings, and its days are as long as its clocks say."""
    any_ = data.draw(calendars(at))
    days = any_.preview(at.year, at.month)
    stretches = [each for day in days for each in day.stretches]

    assert sum(day.minutes for day in days) * MINUTE == sum((each.end - each.start for each in stretches), timedelta())
    for each in stretches:
        assert any_.openings(each.start, each.end) == ((each.start, each.end),)


# --- the package


def test_public_holidays_are_the_package_s():
    """Countries and regions by code: Germany's unity everywhere, Corpus Christi in Bavaria alone."""
    assert date(2026, 10, 3) in public_holidays("DE", 2026)
    assert date(2026, 6, 4) in public_holidays("DE-BY", 2026)
    assert date(2026, 6, 4) not in public_holidays("DE", 2026)


def test_names_are_in_a_language_not_the_machine_s(monkeypatch):
    """The country's own language unless another is asked for and known; never that of the environment."""
    monkeypatch.setenv("LANGUAGE", "th")
    day = date(2027, 6, 12)

    assert public_holidays("RU", 2027)[day] == "День России"
    assert public_holidays("RU", 2027, "en")[day] == "Russia Day"
    assert public_holidays("RU", 2027, "xx")[day] == "День России"


def test_codes_are_countries_and_regions():
    """What is known is listed; what is not is refused by name."""
    assert {"RU", "US", "DE", "DE-BY", "PH", "BG", "PL"} <= codes()
    assert known("DE-BY")
    assert not known("DEU")
    with pytest.raises(BadHours, match="'DEU' is not a country or region"):
        public_holidays("DEU", 2026)


@pytest.mark.parametrize("year", [1, 1990, 2026, 2037, 2101, 9999])
def test_no_code_and_year_raises(year):
    """Every country answers for every year, if only with nothing, and with days of that year."""
    for code in sorted(codes()):
        if "-" not in code:
            assert all(day.year == year for day in public_holidays(code, year))
