"""What hours may be: the shape that people write, its one canonical form, and a sentence for each fault."""

from __future__ import annotations

import json
import tomllib
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BadHours, BadInput
from broker.hours import (
    DATES_MAX,
    HOLIDAYS_MAX,
    INTERVALS_MAX,
    RANGE_DAYS_MAX,
    REASON_MAX,
    WEEKDAYS,
    Hours,
    Interval,
    OtherHours,
    hours_of,
    raw_of,
)

FULL = {
    "zone": "Europe/Moscow",
    "week": {"mon": ["09:00-13:00", "14:00-18:00"], "fri": ["22:00-06:00"]},
    "breaks": {"mon": ["11:00-11:15"]},
    "dates": [
        {"on": "2026-12-31", "open": ["10:00-15:00"], "reason": "New Year's Eve"},
        {"from": "2026-07-01", "to": "2026-07-14", "open": [], "reason": "leave"},
    ],
    "holidays": ["RU"],
}


def with_(**changes):
    """Return the raw hours of a zone with *changes*."""
    return {"zone": "Europe/Berlin", **changes}


def fault_of(raw) -> BadHours:
    """Return what `hours_of` says against *raw*."""
    with pytest.raises(BadHours) as caught:
        hours_of(raw)
    return caught.value


# --- what is read


def test_reads_the_documented_shape():
    """Each part of the module's example arrives, dates in the order of their days."""
    hours = hours_of(FULL)

    assert hours.zone == "Europe/Moscow"
    assert hours.week[0] == (Interval(540, 780), Interval(840, 1080))
    assert hours.week[4] == (Interval(1320, 1800),)
    assert hours.week[1] == ()
    assert hours.breaks[0] == (Interval(660, 675),)
    assert hours.dates == (
        OtherHours(date(2026, 7, 1), date(2026, 7, 14), reason="leave"),
        OtherHours(date(2026, 12, 31), date(2026, 12, 31), (Interval(600, 900),), "New Year's Eve"),
    )
    assert hours.holidays == ("RU",)


def test_toml_may_write_dates_without_quotes():
    """TOML's own dates are dates."""
    raw = tomllib.loads('zone = "UTC"\ndates = [{ on = 2026-12-31 }, { from = 2027-01-01, to = "2027-01-08" }]')

    assert [each.last for each in hours_of(raw).dates] == [date(2026, 12, 31), date(2027, 1, 8)]


def test_what_is_not_said_is_closed():
    """A zone alone is a calendar that never opens."""
    assert Hours("UTC") == hours_of({"zone": "UTC"})


@pytest.mark.parametrize(
    ("text", "interval", "canonical"),
    [
        ("09:00-18:00", Interval(540, 1080), "09:00-18:00"),
        ("9:00 - 18:00", Interval(540, 1080), "09:00-18:00"),
        ("00:00-24:00", Interval(0, 1440), "00:00-24:00"),
        ("10:00-24:00", Interval(600, 1440), "10:00-24:00"),
        ("10:00-00:00", Interval(600, 1440), "10:00-24:00"),
        ("22:00-06:00", Interval(1320, 1800), "22:00-06:00"),
        ("23:59-23:58", Interval(1439, 2878), "23:59-23:58"),
        ("00:00-00:01", Interval(0, 1), "00:00-00:01"),
    ],
)
def test_interval_text(text, interval, canonical):
    """An end at or before the start is the next day's; each interval is written in one way."""
    (read,) = hours_of(with_(week={"tue": [text]})).week[1]

    assert interval == read
    assert canonical == str(read)


def test_order_of_writing_means_nothing():
    """The same hours in another order are equal, and touching intervals stay two."""
    one = hours_of(with_(week={"mon": ["09:00-13:00", "13:00-18:00"]}, dates=[{"on": "2026-05-01"}, {"on": "2026-01-01"}]))
    other = hours_of(with_(dates=[{"on": "2026-01-01"}, {"on": "2026-05-01"}], week={"mon": ["13:00-18:00", "09:00-13:00"]}))

    assert one == other
    assert len(one.week[0]) == 2


def test_touching_is_not_overlapping():
    """A night may end exactly where the next day's first interval begins, also from Sunday to Monday."""
    days = {name: ["08:00-20:00", "20:00-08:00"] for name in WEEKDAYS}

    assert len(hours_of(with_(week=days, breaks=days)).week[6]) == 2


# --- there and back


def test_raw_of_is_canonical():
    """Every key, dates by their days, days in short where one will do; closed weekdays left out."""
    raw = raw_of(hours_of(FULL))

    assert {**FULL, "dates": FULL["dates"][::-1]} == raw  # type: ignore[index]
    assert raw == raw_of(hours_of(json.loads(json.dumps(raw))))


INTERVALS = st.integers(0, 1439).flatmap(lambda a: st.integers(a + 1, a + 1439).map(lambda b: Interval(a, b)))
DAYTIME = st.lists(st.integers(0, 1440), max_size=8, unique=True).map(
    lambda cuts: tuple(Interval(a, b) for a, b in zip(sorted(cuts)[::2], sorted(cuts)[1::2], strict=False))
)


@st.composite
def weeks(draw):
    """Draw a week: every day its daytime, or every other day an interval that may go past midnight."""
    if draw(st.booleans()):
        return draw(st.tuples(*[DAYTIME] * 7))
    return tuple((draw(INTERVALS),) if number in (1, 3, 5) else () for number in range(7))


@st.composite
def some_hours(draw) -> Hours:
    """Draw hours of any kind."""
    dates = []
    last = date(2026, 1, 1)
    for gap, length in draw(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 30)), max_size=5)):
        first = last + timedelta(gap)
        last = first + timedelta(length)
        intervals = draw(DAYTIME) if length else draw(st.tuples(INTERVALS))
        dates.append(OtherHours(first, last, intervals, draw(st.sampled_from(["", "отпуск", 'a "b"']))))
    codes = draw(st.sampled_from([(), ("RU",), ("DE-BY", "US"), ("BR-São Paulo Capital",)]))
    return Hours("Europe/Berlin", draw(weeks()), draw(weeks()), tuple(draw(st.permutations(dates))), codes)


@given(some_hours())
def test_raw_and_hours_are_inverse(hours):
    """What is written out is read back as the same hours, by way of JSON."""
    assert hours == hours_of(json.loads(json.dumps(raw_of(hours))))


@given(some_hours())
def test_hours_go_through_msgspec(hours):
    """Hours may be stored in a row or the journal as they are."""
    assert hours == msgspec.json.decode(msgspec.json.encode(hours), type=Hours)


# --- what is refused


@pytest.mark.parametrize(
    ("raw", "field", "says"),
    [
        ({}, "zone", "no time zone is said; write one"),
        (with_(weak={}), None, "'weak' is unknown here; known are zone, week"),
        (with_(week={"monday": []}), "week", "'monday' is unknown here; known are mon, tue"),
        (with_(week={"mon": ["25:00-26:00"]}), "week.mon[0]", "there is no 25:00 on a clock"),
        (with_(week={"mon": ["09:00-18:60"]}), "week.mon[0]", "there is no 18:60 on a clock"),
        (with_(week={"mon": ["24:00-06:00"]}), "week.mon[0]", 'begins at 24:00; write it as "00:00-06:00" of the next day'),
        (with_(week={"mon": ["09:00-18:00", "9-18"]}), "week.mon[1]", "'9-18' is not an interval; write it as \"09:00-18:00\""),
        (with_(week={"mon": ["09:00-09:00"]}), "week.mon[0]", 'for the whole day write "00:00-24:00"'),
        (with_(week={"mon": ["14:00-18:00", "09:00-14:01"]}), "week.mon", "09:00-14:01 and 14:00-18:00 overlap; join them"),
        (with_(week={"mon": ["22:00-06:00"], "tue": ["05:59-12:00"]}), "week.mon", "22:00-06:00 runs into 05:59-12:00 of tue"),
        (with_(week={"sun": ["22:00-06:00"], "mon": ["05:00-12:00"]}), "week.sun", "22:00-06:00 runs into 05:00-12:00 of mon"),
        (with_(breaks={"wed": ["12:00-13:00", "12:30-13:30"]}), "breaks.wed", "12:00-13:00 and 12:30-13:30 overlap"),
        (with_(week={"mon": ["00:00-00:01"] * (INTERVALS_MAX + 1)}), "week.mon", "25 in this list, 24 are the most"),
        (with_(dates=[{"on": "2026-02-30"}]), "dates[0].on", "there is no 2026-02-30 in the calendar"),
        (with_(dates=[{"on": "20260228"}]), "dates[0].on", "'20260228' is not a date; write it as \"2026-12-31\""),
        (
            with_(dates=[{"from": "2026-03-02", "to": "2026-03-01"}]),
            "dates[0].to",
            "ends on 2026-03-01, before it begins on 2026-03-02",
        ),
        (with_(dates=[{"from": "2026-03-02"}]), "dates[0].to", 'a range needs "to" too'),
        (with_(dates=[{"to": "2026-03-02"}]), "dates[0].from", 'a range needs "from" too'),
        (with_(dates=[{"reason": "leave"}]), "dates[0]", 'say which days: either "on", or "from" and "to"'),
        (with_(dates=[{"on": "2026-03-02", "to": "2026-03-02"}]), "dates[0]", "say which days"),
        (
            with_(dates=[{"on": "2026-03-05"}, {"from": "2026-03-01", "to": "2026-03-05"}]),
            "dates[0]",
            "2026-03-05 is in dates[1] too",
        ),
        (with_(dates=[{"on": "2026-03-05"}, {"on": "2026-03-05"}]), "dates[1]", "2026-03-05 is in dates[0] too"),
        (
            with_(dates=[{"from": "2026-03-01", "to": "2026-03-02", "open": ["08:00-10:00", "22:00-09:00"]}]),
            "dates[0].open",
            "22:00-09:00 runs into 08:00-10:00 of the range's next day",
        ),
        (with_(dates=[{"on": "2026-03-05", "open": ["8"]}]), "dates[0].open[0]", "'8' is not an interval"),
        (
            with_(dates=[{"on": "2026-03-05", "reason": "x" * (REASON_MAX + 1)}]),
            "dates[0].reason",
            "201 characters, 200 are the most",
        ),
        (with_(dates=[{"on": "2026-03-05", "reason": "a\nb"}]), "dates[0].reason", "a line break or a control character"),
        (with_(dates=[{"on": "2026-03-05", "reason": "\ud800"}]), "dates[0].reason", "a control character"),
        (with_(dates=[{"from": "2020-01-01", "to": "2026-01-01"}]), "dates[0].to", f"2193 days, {RANGE_DAYS_MAX} are the most"),
        (with_(dates=[{"on": "2026-03-05"}] * (DATES_MAX + 1)), "dates", "1001 in this list, 1000 are the most"),
        (with_(holidays=["RU", "RU"]), "holidays[1]", "RU is there twice; take one out"),
        (with_(holidays=["Russia"]), "holidays[0]", "'Russia' is not a country or region; write a code such as RU, US or DE-BY"),
        (with_(holidays=["RU"] * (HOLIDAYS_MAX + 1)), "holidays", "21 in this list, 20 are the most"),
        ({"zone": "../etc"}, "zone", "'../etc' is not a time zone; write one such as Europe/Moscow"),
        ({"zone": "A" * 65}, "zone", "... is not a time zone"),
        ({"zone": None}, "zone", "nothing stands where text belongs; put it in quotes"),
        ([], None, "a list stands where a table belongs"),
        (with_(week=[]), "week", "a list stands where a table belongs"),
        (with_(week={"mon": "09:00-18:00"}), "week.mon", "text stands where a list belongs"),
        (with_(week={"mon": [9]}), "week.mon[0]", "a number stands where text belongs"),
        (with_(dates=[True]), "dates[0]", "true or false stands where a table belongs"),
        (with_(dates=[{"on": {}}]), "dates[0].on", "a table stands where text belongs"),
    ],
)
def test_fault_says_where_what_and_what_to_do(raw, field, says):
    """Each fault names its place, as text and as `field`, and the thing that is wrong."""
    fault = fault_of(raw)

    assert field == fault.field
    assert says in str(fault)
    assert str(fault).startswith(f"{field}: " if field else fault.what)


def test_fault_is_bad_input():
    """Whoever answers bad requests answers these, with a code of their own."""
    fault = fault_of({})

    assert isinstance(fault, BadInput)
    assert fault.code == "bad_hours"


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (1440, 1500), (5, 5), (6, 5), (540, 540 + 1440), (0, 1441)])
def test_interval_that_cannot_be(start, end):
    """No interval is empty, as long as a day unless it is the whole day, or begins on another day."""
    with pytest.raises(BadHours):
        Interval(start, end)


def test_types_refuse_what_the_text_would_not_get_past():
    """Hours made by code obey the same rules as hours that were read."""
    nine = Interval(540, 600)

    with pytest.raises(BadHours, match=r"week\.tue: .* overlap"):
        Hours("UTC", week=((), (nine, Interval(599, 700)), (), (), (), (), ()))
    with pytest.raises(BadHours, match=r"week: a week of 1 days"):
        Hours("UTC", week=((nine,),))
    with pytest.raises(BadHours, match=r"dates: 1001 entries"):
        Hours("UTC", dates=tuple(OtherHours(date(2026, 1, 1), date(2026, 1, 1)) for _ in range(DATES_MAX + 1)))
    with pytest.raises(BadHours, match=r"holidays: 21 countries"):
        Hours("UTC", holidays=("RU",) * (HOLIDAYS_MAX + 1))
    with pytest.raises(BadHours, match=r"open: 25 intervals in one day"):
        OtherHours(date(2026, 1, 1), date(2026, 1, 1), tuple(Interval(2 * n, 2 * n + 1) for n in range(INTERVALS_MAX + 1)))


def json_like(leaves):
    """Return a strategy of JSON with *leaves*, its keys mostly those that hours have."""
    keys = (
        st.sampled_from(["zone", "week", "breaks", "dates", "holidays", "on", "from", "to", "open", "reason", *WEEKDAYS])
        | st.text()
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=6), max_leaves=30
    )


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(
        ["Europe/Berlin", "RU", "09:00-18:00", "22:00-06:00", "2026-02-30", "2026-03-01", "99:99-00:00", "0000-00-00"]
    )
)


@given(
    json_like(LEAVES)
    | st.fixed_dictionaries(
        {"zone": st.just("UTC")},
        optional={key: json_like(LEAVES) for key in ("week", "breaks", "dates", "holidays")},
    )
    | st.fixed_dictionaries(
        {"zone": st.just("UTC")},
        optional={
            "week": st.dictionaries(st.sampled_from(WEEKDAYS), st.lists(LEAVES)),
            "dates": st.lists(st.dictionaries(st.sampled_from(["on", "from", "to", "open", "reason"]), json_like(LEAVES))),
        },
    )
)
def test_any_json_is_hours_or_a_fault(raw):
    """Nothing that JSON can say ends in another error; what is taken can be written out and read again."""
    try:
        hours = hours_of(raw)
    except BadHours:
        return

    assert hours == hours_of(raw_of(hours))
