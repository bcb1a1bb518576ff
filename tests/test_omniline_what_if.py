"""`omniline what-if` as people and programs call it: what it shows beside what happened, and what it refuses, with which words."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import omniline
from broker.domain import ConversationId, Weights
from broker.store.sqlite import connect, driver
from routing.comparison import Spread, compare
from routing.erlang import staffing
from routing.traffic import kept
from tests.crm_bridge.house import House
from tests.support.store import SqliteMemory

CUSTOMERS = 16
DAY = ("--from", "2026-03-02", "--to", "2026-03-02")
Said = tuple[int, str, str]


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a database of a Monday: from 12:00 UTC on somebody writes every 20 s; Ann, alone and with room for four, is asked.

    She takes each offer after 5 s and has each session for 150 s; so from the fifth on customers wait for her.
    """
    house = House(SqliteMemory)
    shop = house.line("shop", no_answer_seconds=60)
    desk = house.line("desk")
    site = house.channel(shop)
    house.operator("ann", shop)
    house.operator("zoe", desk)
    house.settle()
    ends: dict[str, int] = {}
    for second in range(0, 1_200, 5):
        for row in house.rows("sessions", status="active"):
            if ends.setdefault(row["id"], second + 145) <= second:
                house.end(row["conversation_id"], row["operator_id"])
        for offer in house.rows("offers", state="open"):
            house.take(ConversationId(house.row("sessions", id=offer["session_id"])["conversation_id"]), offer["operator_id"])
        house.settle()
        if second % 20 == 0 and second // 20 < CUSTOMERS:
            house.say(site, f"v{second}", "hello")
            house.settle()
        house.clock.move(timedelta(seconds=5))
    path = tmp_path_factory.mktemp("traffic") / "omniline.db"
    with closing(driver().connect(str(path))) as copy:
        house.store.connection.backup(copy)
    return path.read_bytes()


class Command:
    """Runs `omniline what-if` on a database of its own, in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "data" / "omniline.db"
        self.file = folder / "change.toml"
        self._capsys = capsys

    def __call__(self, change: str = "", *arguments: str, line: str = "shop", day: tuple[str, ...] = DAY) -> Said:
        """Return the exit status, and what was said to whom asked and as a complaint."""
        self.file.write_text(change)
        try:
            status = omniline.main(["what-if", "--line", line, *day, "--change", str(self.file), *arguments])
        except SystemExit as ended:
            status = int(str(ended.code))
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def json(self, change: str, *arguments: str) -> dict[str, Any]:
        """Return what a program is told."""
        status, out, err = self(change, "--json", *arguments)
        assert (0, 1, "") == (status, len(out.splitlines()), err)
        told: dict[str, Any] = json.loads(out)
        return told

    def sql(self, text: str) -> None:
        """Do behind the store's back what nobody should."""
        with closing(connect(self.path)) as connection:
            connection.execute(text)


@pytest.fixture
def command(traffic: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return the command on a copy of the traffic."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMNILINE_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    made = Command(tmp_path, capsys)
    made.path.write_bytes(traffic)
    return made


def test_what_was_is_played_as_it_happened(command):
    """Where nobody hesitates the play of what was is what was, to the second, and it says so."""
    told = command.json("")

    assert told["happened"] == told["played"] == told["changed"]
    assert {"median": 80.0, "percentile_95": 230.0, "longest": 230.0} == told["happened"]["wait_seconds"]
    assert (CUSTOMERS, CUSTOMERS) == (told["happened"]["sessions"], told["happened"]["operators"]["ann"]["sessions"])
    assert {"median_seconds": 0.0, "percentile_95_seconds": 0.0, "missed_share": 0.0, "moved_share": 0.0} == told["distance"]
    assert "Nothing is changed for this line: the two plays are the same." in told["notes"]


def test_one_operator_more(command):
    """Nobody waits but for the answer, nobody is missed, and the work is shared."""
    told = command.json("[what_if]\nadd_operators = 1")
    changed = told["changed"]

    assert (5.0, 5.0, 0) == (changed["wait_seconds"]["median"], changed["wait_seconds"]["longest"], changed["missed"])
    assert told["happened"]["missed"] > 0
    assert {"ann": CUSTOMERS // 2, "extra-1": CUSTOMERS // 2} == {
        name: load["sessions"] for name, load in changed["operators"].items()
    }


def test_other_settings_hours_and_people(command):
    """All that may be changed is played: a budget, a weight, hours, a colleague of another line, somebody switched off."""
    assert 5.0 == command.json("[operators.ann]\nbudget = 400")["changed"]["wait_seconds"]["longest"]
    assert 5.0 == command.json("[lines.shop]\nsettings = { weights = { chat = 5 } }")["changed"]["wait_seconds"]["longest"]
    later = '[lines.shop.settings.hours]\nzone = "UTC"\nweek = { mon = ["12:05-20:00"] }'
    assert 15 == command.json(later)["changed"]["outside"]
    helped = command.json('[lines.shop]\noperators = ["ann", "zoe"]')["changed"]
    assert {"ann": 8, "zoe": 8} == {name: load["sessions"] for name, load in helped["operators"].items()}
    assert CUSTOMERS == command.json("[operators.ann]\nactive = false")["changed"]["never_taken"]


def test_shifts_that_somebody_did_not_have(command):
    """Zoe was not there: in the hours that she is given she is; and nowhere else."""
    command.sql("UPDATE presence SET state = 'offline'")
    shift = '[operators.zoe]\nhours = { zone = "UTC", week = { mon = ["12:00-12:01"] } }\n[lines.shop]\noperators = ["zoe"]'
    told = command.json(shift)

    assert 3 == told["changed"]["operators"]["zoe"]["sessions"]
    assert any(note.startswith("Who has other shifts is online in the hours") for note in told["notes"])


def test_how_busy_somebody_is(command):
    """What their sessions took of what their budget could bear while they were there: Ann from noon on, who is added all day."""
    took = CUSTOMERS * 150 * 25
    told = command.json("[what_if]\nadd_operators = 1")
    larger = command.json("[operators.ann]\nbudget = 400")

    assert told["happened"]["operators"]["ann"]["busy"] == pytest.approx(took / (100 * 12 * 3_600))
    assert told["changed"]["operators"]["ann"]["busy"] == pytest.approx(took / 2 / (100 * 12 * 3_600))
    assert told["changed"]["operators"]["extra-1"]["busy"] == pytest.approx(took / 2 / (100 * 24 * 3_600))
    assert larger["changed"]["operators"]["ann"]["busy"] == pytest.approx(took / (400 * 12 * 3_600))


def test_what_somebody_lets_run_out_is_theirs(command):
    """Ann answers after 5 s; where that is too late, each session's three rounds run out, and they are hers."""
    told = command.json("[lines.shop]\nsettings = { offer_seconds = 5 }")

    assert (0, 3 * CUSTOMERS) == tuple(told[play]["operators"]["ann"]["ran_out"] for play in ("happened", "changed"))


def test_the_wait_of_95_of_100():
    """Of forty who waited 1 to 40 s: the 20th is the middle one, and 38 do not exceed the 38th."""
    house = House()
    shop = house.line(weights=Weights(chat=1))
    site = house.channel(shop)
    ann = house.operator("ann", shop)
    house.settle()
    began = house.clock.now()
    customers = [house.say(site, f"v{number}", "hello") for number in range(40)]
    house.settle()
    for customer in customers:
        house.later(seconds=1)
        house.take(customer, ann)
        house.settle()
    was = house.do(kept)
    told = compare(house.do, was, was, shop, began, began + timedelta(hours=1))

    assert Spread(20.0, 38.0, 40.0) == told.happened.wait_seconds


def test_people_read_a_table(command):
    """Three columns beside each other, the operators, the distance, the staffing; never wider than a page of a terminal."""
    status, out, err = command("[what_if]\nadd_operators = 1", "--patience", "120")

    assert (0, "") == (status, err)
    assert 100 >= max(map(len, out.splitlines()))
    assert "what happened played as it was played as changed" in " ".join(out.split())
    for words in ("missed", "extra-1", "How far the play of what was is from what happened", "by Erlang A, patience 120 s:"):
        assert words in out


def test_staffing_without_patience_is_erlang_c(command):
    """It is said which formula, for which hour, and what it does not know."""
    told = command.json("")

    busiest, average = told["staffing"]
    assert ("the busiest hour, 2026-03-02 12:00 UTC", CUSTOMERS, 150.0, 4) == (
        busiest["hour"],
        busiest["arrivals"],
        busiest["handling_seconds"],
        busiest["at_once"],
    )
    assert average["arrivals"] == pytest.approx(CUSTOMERS / 24)
    assert any(note.startswith("It is Erlang C: nobody leaves") for note in told["notes"])


@pytest.mark.parametrize("patience", [None, 120.0])
@pytest.mark.parametrize(("budget", "at_once"), [(100, 4), (25, 1)])
def test_staffing_is_of_what_came(command, patience, budget, at_once):
    """The rows are Erlang's for the arrivals, the handling time, the budgets, the line's promise and the patience: 80 % in time."""
    command.sql(f"UPDATE budgets SET budget = {budget}")  # noqa: S608
    told = command.json("", *(("--patience", str(patience)) if patience else ()))

    shown = ("operators", "meets_target", "occupancy", "within", "mean_wait_seconds", "abandoned")
    for table, arrivals in zip(told["staffing"], (CUSTOMERS, CUSTOMERS / 24), strict=True):
        rows = staffing(arrivals, 150, answer_within_seconds=60, target=0.8, patience_seconds=patience, at_once=at_once, around=2)
        assert [{name: getattr(row, name) for name in shown} for row in rows] == table["rows"]


def test_the_same_seed_is_the_same_answer(command):
    """Byte for byte; and the seed is told."""
    change = "[what_if]\nadd_operators = 2"

    assert command(change, "--seed", "7") == command(change, "--seed", "7")
    assert 7 == command.json(change, "--seed", "7")["seed"]


def test_nothing_is_written(command, traffic):
    """Whatever is played, the database is the same to the byte."""
    command("[what_if]\nadd_operators = 3")

    assert traffic == command.path.read_bytes()


def test_what_changes_nothing_here_is_told(command):
    """Somebody of another line, and a setting that the play does not read: nobody need wonder."""
    told = command.json(
        "[operators.zoe]\nbudget = 10\n[operators.zoe.hours]\nzone = 'UTC'\n[lines.shop.settings]\nrating = false"
    )

    assert "Changed, and has no part in this line: zoe." in told["notes"]
    assert "Changed, and no part of the play: rating." in told["notes"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("[lines.shop]\nsettings = { offer_second = 5 }", "lines.shop: offer_second is not known; did you mean offer_seconds?"),
        ("[lines.shop]\nsettings = { offer_seconds = 1 }", "lines.shop: offer_seconds: '1' is not allowed"),
        ("[lines.shop]\nname = 'Shop'", "lines.shop: name is not known; known are operators, settings"),
        ("[lines.shpo]\nsettings = {}", "lines.shpo: shpo is not known; did you mean shop?"),
        ("[lines.shop]\noperators = ['ann', 'bob']", "lines.shop: operators: bob is not known"),
        ("[lines.shop]\noperators = ['ann', 'ann']", "lines.shop: operators: a person is named twice"),
        ("[operators.bob]\nbudget = 5", "operators.bob: bob is not known; known are ann, zoe; what-if adds people by [what_if]"),
        ("[operators.ann]\nrole = 'supervisor'", "operators.ann: role is not known"),
        ("[operators.ann]\nbudget = -1", "operators.ann: budget: between 0 and 1000000"),
        ("[operators.ann.hours]\nzone = 'Mars'", "operators.ann: hours.zone: no time zone 'Mars' is known"),
        ("[channels.site]\nkind = 'widget'", "channels is not known; known are lines, operators, what_if"),
        ("[what_if]\nadd_operator = 1", "what_if: add_operator is not known; did you mean add_operators?"),
        ("[what_if]\nadd_operators = -1", "what_if: add_operators: a whole number from 0 to 1000 is needed, not -1"),
        ("lines = 5", "lines must be a table"),
        ("[lines", "not TOML"),
    ],
)
def test_a_file_that_nobody_can_mean(command, change, says):
    """The file, the place and what would be right; the status is 2, and nothing was played."""
    status, out, err = command(change)

    assert (2, "") == (status, out)
    assert f"change.toml: {says}" in err


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"line": "shpo"}, "--line: shpo is not known; did you mean shop?"),
        (
            {"line": "desk"},
            "nobody wrote to desk between 2026-03-02T00:00:00+00:00 and 2026-03-03T00:00:00+00:00; take another time",
        ),
        ({"day": ("--from", "2026-03-03", "--to", "2026-03-04")}, "nobody wrote to shop between 2026-03-03T00:00:00+00:00"),
        ({"day": ("--from", "2026-03-02T12:00", "--to", "2026-03-03")}, "has no zone; write 2026-03-02T12:00Z for UTC"),
        ({"day": ("--from", "2026-03-03", "--to", "2026-03-02T12:00Z")}, "is not before --to 2026-03-02T12:00:00+00:00"),
        ({"day": ("--from", "0001-01-01", "--to", "0001-01-02")}, "nobody wrote to shop between 0001-01-01T00:00:00+00:00"),
        ({"day": ("--from", "9999-12-30", "--to", "9999-12-31")}, "nobody wrote to shop between 9999-12-30T00:00:00+00:00"),
        ({"day": ("--from", "2026-03-03")}, "the following arguments are required: --to"),
    ],
)
def test_a_time_or_line_that_nobody_can_mean(command: Callable[..., Said], asked: dict[str, Any], says: str) -> None:
    """The status is 2; the sentence says what to do."""
    status, out, err = command("", **asked)

    assert (2, "") == (status, out)
    assert says in err.splitlines()[-1]


@pytest.mark.parametrize("patience", ["0", "-5", "nan", "soon"])
def test_a_patience_that_nobody_has(command, patience):
    """It is a number of seconds, above nothing."""
    status, out, err = command("", f"--patience={patience}")

    assert (2, "") == (status, out)
    assert "patience" in err


def test_no_file_and_no_database(command, tmp_path):
    """Each is named."""
    assert (2, "") == command("", "--change", str(tmp_path / "none.toml"))[:2]
    command.path.unlink()
    status, _, err = command("")

    assert 2 == status
    assert "there is no database" in err
