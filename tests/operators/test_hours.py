"""Hours, languages and skills of lines and people, by every door: one spelling is kept, and what is wrong is named at its place."""

from __future__ import annotations

import pytest

from broker.domain import Role
from broker.errors import BadInput, ConfigError
from broker.ports import Bell
from operators import lines, people
from operators.applying import apply
from tests.operators.conftest import CALENDARS, KINDS

OPERATOR = Role.OPERATOR
LOOSE = {
    "zone": "Europe/Moscow",
    "week": {"tue": [], "mon": ["14:00 - 18:00", "9:00-13:00"]},
    "dates": [{"from": "2026-12-31", "to": "2026-12-31", "open": ["10:00-15:00"]}, {"on": "2026-03-08", "reason": "a holiday"}],
    "holidays": ["RU"],
}
KEPT = {
    "zone": "Europe/Moscow",
    "week": {"mon": ["09:00-13:00", "14:00-18:00"]},
    "breaks": {},
    "dates": [
        {"on": "2026-03-08", "open": [], "reason": "a holiday"},
        {"on": "2026-12-31", "open": ["10:00-15:00"], "reason": ""},
    ],
    "holidays": ["RU"],
}
BARE = {"zone": "UTC", "week": {}, "breaks": {}, "dates": [], "holidays": []}
WRONG = [
    (
        {"zone": "UTC", "week": {"mon": ["09:00-13:00", "12:00-18:00"]}},
        "week.mon",
        "09:00-13:00 and 12:00-18:00 overlap; join them, or end the first where the second begins",
    ),
    (
        {"zone": "UTC", "week": {"mon": ["09:00-13:00", 18]}},
        "week.mon[1]",
        "a number stands where text belongs; put it in quotes",
    ),
    (
        {"zone": "UTC", "week": {"sun": ["22:00-06:00"], "mon": ["05:00-09:00"]}},
        "week.sun",
        "22:00-06:00 runs into 05:00-09:00 of mon; end it where that begins, or earlier",
    ),
    ({"zone": "Europe/Moskow"}, "zone", "no time zone 'Europe/Moskow' is known; did you mean Europe/Moscow"),
    ({"week": {}}, "zone", 'no time zone is said; write one, such as "Europe/Moscow"'),
    (
        {"zone": "UTC", "dates": [{"on": "2026-02-30"}]},
        "dates[0].on",
        "there is no 2026-02-30 in the calendar; correct the day",
    ),
    (
        {"zone": "UTC", "dates": [{"from": "2026-07-14", "to": "2026-07-01"}]},
        "dates[0].to",
        "the range ends on 2026-07-01, before it begins on 2026-07-14; swap the two",
    ),
    ({"zone": "UTC", "holidays": ["RU", "XX"]}, "holidays[1]", "no country or region 'XX' is known;"),
    (
        {"zone": "UTC", "weeks": {}},
        "",
        "'weeks' is unknown here; known are zone, week, breaks, dates, holidays",
    ),
    ("all day", "", "text stands where a table belongs, with zone, week, breaks, dates, holidays"),
    (["09:00-18:00"], "", "a list stands where a table belongs, with zone, week, breaks, dates, holidays"),
]
"""Hours, the place below `hours`, and what is said of it."""


def _add_line(office, **settings):
    return office.admin("POST", "/api/v1/lines", json={"slug": "shop", "name": "Shop", "settings": settings})


def _seated(office):
    """Return the path of the operator, who sits in the line `shop`."""
    line = _add_line(office).json()
    office.admin("PUT", f"/api/v1/lines/{line['id']}/seats", json={"operators": [office.ids[OPERATOR]]})
    office.site.rung.clear()
    return line, f"/api/v1/operators/{office.ids[OPERATOR]}"


def _place(below):
    return "hours" + ("." if below else "") + below


def test_a_lines_hours_are_kept_in_one_spelling(office):
    """However they were written; what is read can be sent back, and is no change."""
    line = _add_line(office, hours=LOOSE).json()
    path = f"/api/v1/lines/{line['id']}"
    office.site.rung.clear()

    again = [office.admin("PATCH", path, json={"settings": {"hours": hours}}).json() for hours in (KEPT, LOOSE)]
    whole = office.admin("PATCH", path, json={"settings": line["settings"]}).json()

    assert line["settings"]["hours"] == KEPT
    assert [1, 1, 1] == [one["version"] for one in (*again, whole)]
    assert office.site.rung == []


def test_hours_are_replaced_whole(office):
    """Nothing of the hours before is left in the new ones; a change of something else leaves them; null is always open."""
    line = _add_line(office, hours=LOOSE).json()
    path = f"/api/v1/lines/{line['id']}"

    bare = office.admin("PATCH", path, json={"settings": {"hours": {"zone": "UTC"}}}).json()
    other = office.admin("PATCH", path, json={"settings": {"rounds": 5}}).json()
    always = office.admin("PATCH", path, json={"settings": {"hours": None}}).json()

    assert [bare["settings"]["hours"], other["settings"]["hours"], always["settings"]["hours"]] == [BARE, BARE, None]
    assert [bare["version"], other["version"], always["version"]] == [2, 3, 4]


@pytest.mark.parametrize(("hours", "below", "says"), WRONG)
def test_wrong_hours_are_named_by_every_door(office, tmp_path, hours, below, says):
    """The same sentence for a new line, a changed one, and a person's shifts, each at its own place; nothing is changed."""
    line, operator = _seated(office)
    detail = f"{_place(below)}: {says}"

    answers = [
        office.admin("POST", "/api/v1/lines", json={"slug": "new", "name": "New", "settings": {"hours": hours}}),
        office.admin("PATCH", f"/api/v1/lines/{line['id']}", json={"settings": {"hours": hours}}),
        office.admin("POST", "/api/v1/operators", json={"login": "new", "name": "New", "hours": hours}),
        office.admin("PATCH", operator, json={"hours": hours}),
    ]

    assert [(422, "bad_hours")] * 4 == [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert [detail] * 4 == [answer.json()["detail"][: len(detail)] for answer in answers]
    fields = [answer.json()["errors"][0]["field"] for answer in answers]
    assert ["settings." + _place(below)] * 2 + [_place(below)] * 2 == fields
    assert office.site.rung == []


def test_a_lines_skills_are_tags(office):
    """In small letters, without spaces around, each once, in the order they were written."""
    line = _add_line(office, skills=["  Returns ", "billing", "BILLING", "big  deals"]).json()

    assert line["settings"]["skills"] == ["returns", "billing", "big deals"]


@pytest.mark.parametrize(
    ("skills", "field", "says"),
    [
        ("billing", "skills", "skills: a list of texts is needed; write [...]"),
        (["billing", 1], "skills.1", "skills.1: text is needed; put it in quotes"),
        ([" "], "skills.0", "skills.0: a skill has 1 to 40 characters"),
        (["x" * 41], "skills.0", "skills.0: a skill has 1 to 40 characters"),
        ([str(n) for n in range(21)], "skills", "skills: 21 in this list, 20 are the most; take some out"),
    ],
)
def test_wrong_skills_are_named(office, skills, field, says):
    """The one that is wrong, and what is allowed."""
    answer = _add_line(office, skills=skills)

    assert (answer.status_code, answer.json()["detail"]) == (422, says)
    assert answer.json()["errors"][0]["field"] == f"settings.{field}"


def test_a_person_is_added_with_shifts_languages_and_skills(office):
    """As they are kept, in the answer, alone and in the list; without them there are none."""
    wanted = {"login": "ann", "name": "Ann", "hours": LOOSE, "languages": ["RU", "pt-BR", "ru"], "skills": ["Billing "]}
    made = office.admin("POST", "/api/v1/operators", json=wanted).json()
    listed = {one["login"]: one for one in office.admin("GET", "/api/v1/operators").json()["items"]}

    assert (made["hours"], made["languages"], made["skills"]) == (KEPT, ["ru", "pt"], ["billing"])
    assert {key: made[key] for key in listed["ann"]} == listed["ann"]
    assert office.admin("GET", f"/api/v1/operators/{made['id']}").json() == listed["ann"]
    assert (listed["operator"]["hours"], listed["operator"]["languages"], listed["operator"]["skills"]) == (None, [], [])


@pytest.mark.parametrize(("key", "value"), [("hours", KEPT), ("languages", ["en", "ru"]), ("skills", ["billing"])])
def test_a_change_of_a_person_is_told_once(office, key, value):
    """Settings ring and the person's pools are marked; the same again is no change, and the rest stays."""
    line, path = _seated(office)
    before = office.admin("GET", path).json()

    changed = office.admin("PATCH", path, json={key: value}).json()
    rung = set(office.site.rung)
    office.site.rung.clear()
    again = office.admin("PATCH", path, json={key: changed[key]}).json()

    assert changed == before | {key: value} == again
    assert {(Bell.SETTINGS, ""), (Bell.POOL, line["id"])} == rung
    assert office.site.rung == []


def test_a_person_without_shifts_again(office):
    """Null takes the shifts away."""
    _, path = _seated(office)
    office.admin("PATCH", path, json={"hours": KEPT})

    assert office.admin("PATCH", path, json={"hours": None}).json()["hours"] is None


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"languages": ["russian!"]}, "languages.0", "'russian!' is not a language tag; write one such as en or pt-BR"),
        ({"languages": "ru"}, "languages", "list"),
        ({"languages": ["ru", 7]}, "languages.1", "string"),
        ({"skills": ["x" * 41]}, "skills.0", "a skill has 1 to 40 characters"),
        ({"skills": [str(n) for n in range(21)]}, "skills", "at most 20"),
    ],
)
def test_a_persons_wrong_tags_are_named(office, change, field, says):
    """By the model or by us: the place is written the same way."""
    answer = office.admin("PATCH", f"/api/v1/operators/{office.ids[OPERATOR]}", json=change)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert says in answer.json()["detail"]


# --- the house as a file

HOUSE = """
[operators.ann]
languages = ["ru", "EN"]
skills = ["Billing"]
hours = { zone = "Europe/Moscow", dates = [{ from = 2026-07-01, to = 2026-07-14, reason = "leave" }] }

[lines.shop]
operators = ["ann"]
[lines.shop.settings]
skills = ["Billing"]
outside = "form"
[lines.shop.settings.hours]
zone = "Europe/Moscow"
week = { mon = ["9:00-18:00"] }
holidays = ["RU"]
dates = [{ on = 2026-12-31, open = ["10:00-15:00"] }, { on = "2026-03-07" }]
"""


def _apply(office, text):
    return office.site.do(apply(office.site.store, text, "house.toml", {}, KINDS, CALENDARS))


def _read(office):
    line = office.site.write(lambda tx: lines.line_by_slug(tx, "shop"))
    return line, office.site.write(lambda tx: people.find(tx, people.id_of(tx, "ann")))


def test_a_file_gives_hours_and_skills(office):
    """Dates may be TOML's own or text; what is kept is what REST would have kept."""
    _apply(office, HOUSE)

    line, ann = _read(office)
    assert line["settings"].hours == {
        "zone": "Europe/Moscow",
        "week": {"mon": ["09:00-18:00"]},
        "breaks": {},
        "dates": [
            {"on": "2026-03-07", "open": [], "reason": ""},
            {"on": "2026-12-31", "open": ["10:00-15:00"], "reason": ""},
        ],
        "holidays": ["RU"],
    }
    assert line["settings"].skills == ("billing",)
    leave = {"from": "2026-07-01", "to": "2026-07-14", "open": [], "reason": "leave"}
    assert ann["hours"] == {**BARE, "zone": "Europe/Moscow", "dates": [leave]}
    assert (ann["languages"], ann["skills"]) == (("ru", "en"), ("billing",))


def test_applying_hours_again_changes_nothing(office):
    """Another spelling of the same is the same; what a file does not name stays."""
    _apply(office, HOUSE)
    before = _read(office)
    office.site.rung.clear()

    assert _apply(office, HOUSE) == "nothing to change"
    assert _apply(office, HOUSE.replace("9:00-18", "09:00 - 18")) == "nothing to change"
    assert _apply(office, "[operators.ann]\n[lines.shop]\nsettings = { rounds = 3 }") == "nothing to change"
    assert _read(office) == before
    assert office.site.rung == []


def test_a_file_can_take_hours_away(office):
    """TOML has no null, so there is a word for it."""
    _apply(office, HOUSE)

    told = _apply(office, '[operators.ann]\nhours = "always"\n[lines.shop]\nsettings = { hours = "always" }')

    line, ann = _read(office)
    assert told.splitlines() == ["changed operator ann", "changed line shop"]
    assert (line["settings"].hours, ann["hours"]) == (None, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '[lines.shop]\nsettings = { hours = { zone = "UTC", week = { mon = ["09:00-13:00", "12:00-18:00"] } } }',
            "lines.shop: hours.week.mon: 09:00-13:00 and 12:00-18:00 overlap; join them, or end the first where the second begins",
        ),
        (
            '[operators.ann]\nhours = { zone = "Moscow" }',
            "operators.ann: hours.zone: no time zone 'Moscow' is known; did you mean Europe/Moscow?",
        ),
        (
            '[operators.ann]\nhours = { zone = "UTC", dates = [{ on = 2026-12-31T10:00:00Z }] }',
            "operators.ann: hours.dates[0].on: a datetime stands where text belongs; put it in quotes",
        ),
        (
            '[operators.ann]\nhours = { zone = "UTC", week = { mon = [09:00:00] } }',
            "operators.ann: hours.week.mon[0]: a time stands where text belongs; put it in quotes",
        ),
        (
            '[operators.ann]\nlanguage = "englisch"',
            "operators.ann: language: 'englisch' is not a language tag; write one such as",
        ),
        ('[operators.ann]\nlanguages = ["e"]', "operators.ann: languages.0: 'e' is not a language tag; write one such as"),
        ('[operators.ann]\nskills = "billing"', "operators.ann: skills: a list of texts is needed; write [...]"),
        ("[lines.shop]\nsettings = { skills = [1] }", "lines.shop: skills.0: text is needed; put it in quotes"),
        ('[operators.ann]\nskils = ["billing"]', "operators.ann: skils is not known; did you mean skills?"),
    ],
)
def test_a_file_with_wrong_hours_is_refused_whole(office, text, says):
    """The file, the place, and what to write instead."""
    with pytest.raises(ConfigError) as refused:
        _apply(office, text)

    assert str(refused.value).startswith(f"house.toml: {says}")
    assert office.site.write(lambda tx: lines.line_by_slug(tx, "shop")) is None


def test_a_date_of_toml_that_does_not_exist_is_no_toml(office):
    """TOML itself refuses it; the text says where."""
    with pytest.raises(ConfigError, match=r"house\.toml: not TOML .*line 2"):
        _apply(office, '[operators.ann]\nhours = { zone = "UTC", dates = [{ on = 2026-02-30 }] }')


def test_a_wrong_setting_beside_hours_is_named(office):
    """Good hours do not hide it."""
    with pytest.raises(BadInput, match="outside: 'shut' is not allowed"):
        lines.settings_of({"hours": KEPT, "outside": "shut"}, CALENDARS)
