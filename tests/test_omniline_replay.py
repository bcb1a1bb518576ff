"""`omniline replay` as people and programs call it: what it prints, how it ends, and what it refuses, with which words."""

from __future__ import annotations

import io
import json
import re
import sys
from contextlib import closing
from pathlib import Path

import pytest

import omniline
from broker.store.sqlite import connect, driver
from routing.replaying import Written
from tests.crm_bridge.house import House
from tests.support.replay import unlike
from tests.support.store import SqliteMemory

CUSTOMERS = 30


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a database file in which Ann has taken one of many customers' sessions, on 2 March 2026 from 12:00 to 12:01 UTC."""
    house = House(SqliteMemory)
    shop = house.line()
    site, ann = house.channel(shop), house.operator("ann", shop)
    house.settle()
    first, *_ = [house.say(site, f"v{n}", "hello") for n in range(CUSTOMERS)]
    house.settle()
    house.later(seconds=30)
    house.take(first, ann)
    house.settle()
    path = tmp_path_factory.mktemp("traffic") / "omniline.db"
    with closing(driver().connect(str(path))) as copy:
        house.store.connection.backup(copy)
    return path.read_bytes()


class Command:
    """Runs `omniline replay` on a database of its own, in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "data" / "omniline.db"
        self._capsys = capsys

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Return the exit status, and what was said to whom asked and as a complaint."""
        try:
            status = omniline.main(["replay", *arguments])
        except SystemExit as ended:
            status = int(str(ended.code))
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def sql(self, text: str) -> list[tuple[str]]:
        """Do behind the store's back what nobody should."""
        with closing(connect(self.path)) as connection:
            return list(connection.execute(text).fetchall())


@pytest.fixture
def command(traffic, tmp_path, monkeypatch, capsys):
    """Return the command on a copy of the traffic."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMNILINE_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    made = Command(tmp_path, capsys)
    made.path.write_bytes(traffic)
    return made


def counts(said: str) -> dict[str, int]:
    """Return the numbers of the first line."""
    return {name.strip(): int(count) for name, count in re.findall(r"([a-z ]+): (\d+)", said.splitlines()[0])}


def test_the_same_is_one_line_and_status_0(command, traffic):
    """Nothing differs, and looking has changed nothing."""
    status, out, err = command()

    assert (0, 1, "") == (status, len(out.splitlines()), err)
    assert counts(out)["the same"] > CUSTOMERS
    assert counts(out)["different"] == 0
    assert [] == unlike(command.path)
    assert traffic == command.path.read_bytes()


def test_a_difference_is_shown_and_status_1(command):
    """One word changed behind the store's back: the row is named, and a diff shows it."""
    command.sql("""UPDATE journal SET body = replace(body, '"status":"active"', '"status":"queued"') WHERE kind = 'take'""")
    status, out, err = command()

    assert (1, 1, "") == (status, counts(out)["different"], err)
    assert "take, session " in out
    assert '-    "status": "queued",\n+    "status": "active",\n' in out
    assert 1 == len(unlike(command.path))


def test_many_differences_are_counted_and_the_first_are_shown(command):
    """A page of a terminal is enough to begin with; the line of counts has them all."""
    command.sql("UPDATE journal SET body = body || ' ' WHERE kind = 'contact_message'")
    status, out, _ = command()

    assert (1, CUSTOMERS) == (status, counts(out)["different"])
    assert omniline.REPLAY_SHOWN == out.count("comes out otherwise")
    assert f"and {CUSTOMERS - omniline.REPLAY_SHOWN} more; --json shows them all" == out.splitlines()[-1]


def test_json_has_them_all(command):
    """A line for each, with its diff, and the counts in the last."""
    command.sql("UPDATE journal SET body = body || ' ' WHERE kind = 'contact_message'")
    status, out, _ = command("--json")

    *differences, last = (json.loads(line) for line in out.splitlines())
    assert (1, CUSTOMERS, CUSTOMERS) == (status, len(differences), last["different"])
    assert {("contact_message", "comes out otherwise")} == {(one["kind"], one["reason"]) for one in differences}
    assert all(one["diff"].startswith("--- row ") for one in differences)


class Terminal(io.StringIO):
    """A standard error that somebody sits before."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("stream", "told"), [(Terminal, "\r10000 rows ...\x1b[K\r20000 rows ...\x1b[K\r\x1b[K"), (io.StringIO, "")]
)
def test_a_long_run_tells_a_terminal_how_far_it_is(monkeypatch, stream, told):
    """Who waits sees that it goes on, and nothing of it stays; a file or a pipe gets none of it."""
    stderr = stream()
    monkeypatch.setattr(sys, "stderr", stderr)
    rows = [Written(n, None, "message", None, 0, b"{}") for n in range(20_001)]

    assert rows == list(omniline._with_progress(rows))
    assert told == stderr.getvalue()


def test_another_engines_rows_are_said_and_are_no_difference(command):
    """After an update the old rows stay as they were decided."""
    command.sql("""UPDATE journal SET body = '{"engine":0}' WHERE kind = 'contact_message'""")
    status, out, _ = command()

    assert (0, 0, CUSTOMERS) == (status, counts(out)["different"], counts(out)["of another engine"])
    assert "(version 0; this is " in out
    assert 1 == len(unlike(command.path))


def test_a_session_alone(command):
    """What others' rows say is not asked."""
    ((taken,),) = command.sql("SELECT session_id FROM journal WHERE kind = 'take'")
    other = next(id_ for (id_,) in command.sql("SELECT id FROM sessions") if id_ != taken)
    command.sql("UPDATE journal SET body = body || ' ' WHERE kind = 'take'")

    assert 1 == command("--session", taken)[0]
    assert 0 == command("--session", other)[0]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ("--from 2026-03-02T12:00:30Z", 1),
        ("--from 2026-03-02T15:00:30+03:00 --to 2026-03-02T12:00:30.000001Z", 1),
        ("--to 2026-03-02T12:00:30Z", 0),
        ("--from 2026-03-02 --to 2026-03-02", 1),
        ("--from 2026-03-03", 0),
        ("--to 2026-03-01", 0),
    ],
)
def test_a_range_of_time(command, arguments, found):
    """From a moment on, before another; a day is one of UTC, and as the end it is meant whole."""
    command.sql("UPDATE journal SET body = body || ' ' WHERE kind = 'take'")

    assert found == command(*arguments.split())[0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--from yesterday", "argument --from: yesterday is no time; write a moment with its zone"),
        ("--to 2026-13-01", "argument --to: 2026-13-01 is no time"),
        ("--to 9999-12-32", "argument --to: 9999-12-32 is no time"),
        ("--from 2026-03-02T12:00", "has no zone; write 2026-03-02T12:00Z for UTC, or its offset (2026-03-02T12:00+03:00)"),
        ("--from 2026-03-03 --to 2026-03-02T12:00Z", "is not before --to 2026-03-02T12:00:00+00:00"),
        ("--from 2026-03-02T12:00Z --to 2026-03-02T15:00+03:00", "is not before --to"),
        ("--session nobody", "there is no session nobody; GET /api/v1/sessions lists"),
        ("--session x --from 2026-03-02", "leave out --from and --to, or --session"),
        ("--sesion x", "unrecognized arguments: --sesion"),
    ],
)
def test_what_nobody_can_mean_is_refused(command, arguments, says):
    """The status is 2, never that of a difference; the sentence says what to do."""
    status, out, err = command(*arguments.split())

    assert (2, "") == (status, out)
    assert says in err.splitlines()[-1]


def test_no_database_is_refused(command):
    """Nothing to replay is not "all the same"."""
    command.path.unlink()
    status, out, err = command()

    assert (2, "") == (status, out)
    assert "there is no database" in err


@pytest.mark.parametrize(
    ("done", "says"),
    [
        ("UPDATE alembic_version SET version_num = '9999', serves = '9998'", "newer Omniline"),
        ("DELETE FROM alembic_version", "is not of this version"),
    ],
)
def test_another_schema_is_refused(command, done, says):
    """What we do not know how to read is never called the same."""
    command.sql(done)
    status, out, err = command()

    assert (2, "", 1) == (status, out, len(err.splitlines()))
    assert says in err
