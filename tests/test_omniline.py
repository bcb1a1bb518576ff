"""The front door: what the command line refuses, and with which words; what every route must name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import httpx
import pytest

import omniline
from broker.domain import Directory, LineSettings
from broker.sealing import Sealer
from broker.store.migrations import HEAD
from broker.store.sqlite import connect
from broker.web.listening import open_port
from broker.web.wiring import unlisted
from channels.widget import demo
from crm_bridge.routes import routes as crm_routes
from operators.board_rest import routes as board_routes
from operators.channels_rest import routes as channel_routes
from operators.deeds_rest import routes as deed_routes
from operators.files_rest import routes as file_routes
from operators.rest import routes as people_routes
from operators.sessions_rest import routes as session_routes
from operators.why_rest import routes as why_routes
from routing.hours_rest import routes as hours_routes
from tests.support.store import on_disk


class Command:
    """Runs `omniline` in processes of its own, on a data folder of its own."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment
        self._folder = folder

    def __call__(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "omniline", *arguments]
        environment = self.environment | more
        return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60, check=False, cwd=self._folder)


def command_in(folder: Path) -> Command:
    """Return the command line of a house of its own in *folder*."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMNILINE_")}
    environment |= {
        "OMNILINE_DATA": str(folder / "data"),
        "OMNILINE_LISTEN": "127.0.0.1:0",
        "OMNILINE_ALLOW_UNSAFE_DISK": "true",
    }
    return Command(environment, folder)


@pytest.fixture
def command(tmp_path):
    """Return the command line of a house of its own."""
    return command_in(tmp_path)


class Serving:
    """A process that serves, and what it said at its start."""

    def __init__(
        self, environment: dict[str, str], arguments: Sequence[str] = ("serve", "--demo"), last: str = "demo shop"
    ) -> None:
        """*last* is in the last line that is waited for."""
        line = [sys.executable, "-m", "omniline", *arguments]
        self.process = subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self._output = self.process.stdout
        self.said = ""
        for line_said in self._output:
            self.said += line_said
            if last in line_said:
                break

    def stop(self) -> int:
        """Ask it to stop and return its exit status."""
        self.process.terminate()
        self._output.close()
        return self.process.wait(30)


@pytest.fixture
def serving(command):
    """Start `omniline serve --demo`; at the end it must stop when it is asked to, as a process that ended well."""
    started = Serving(command.environment)
    yield started
    assert started.stop() == 0


def test_first_start_says_everything_a_newcomer_needs(serving):
    """The first start prints the console with a password, the public chat and the demo shop."""
    for part in ("/console/", "login: admin", "password: ", "/chat/shop", "/demo/shop"):
        assert part in serving.said


def test_asked_to_stop_again_and_again_it_stops_in_order(command):
    """To the last moment of the process: whoever watches over it takes a status of a signal for a crash."""
    started = Serving(command.environment)

    while started.process.poll() is None:
        started.process.terminate()

    assert started.stop() == 0


def test_a_taken_port_is_refused_and_costs_no_password(command):
    """Who has it, and how to take another; the administrator is made by the start that can say their password."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = command("serve", "--demo", OMNILINE_LISTEN=f"127.0.0.1:{port}")
    started = Serving(command.environment)

    holder = f"process {os.getpid()} (" if Path("/proc/net/tcp").exists() else "another program"
    assert (1, "") == (refused.returncode, refused.stdout)
    assert refused.stderr.startswith(f"omniline: listen: 127.0.0.1:{port} is taken by {holder}")
    assert "OMNILINE_LISTEN=127.0.0.1:" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "password: " in started.said
    assert started.stop() == 0


def test_the_first_password_is_said_before_anything_else_can_fail(command, tmp_path):
    """It is kept nowhere: a start that fails later must have said it already, and says why in a sentence."""
    (tmp_path / "data" / "control.sock").mkdir(parents=True)
    failed = command("serve")

    assert failed.returncode == 1
    assert "login: admin" in failed.stdout
    assert "password: " in failed.stdout
    assert len(failed.stderr.splitlines()) == 1
    assert "control.sock cannot be made" in failed.stderr


def test_tracing_without_its_libraries_is_refused_and_holds_nothing(command, tmp_path):
    """In a sentence, before anything is opened: the process ends, and costs no password."""
    (tmp_path / "opentelemetry.py").touch()  # where the command looks first
    refused = command("serve", OMNILINE_TRACING__ENDPOINT="http://127.0.0.1:4318")

    assert (refused.returncode, refused.stdout) == (1, "")
    assert "pip install 'omniline[tracing]'" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "endpoint", ["localhost:4318", "grpc://collector:4317", "http://me:secret@collector:4318", "http://c/?a=1"]
)
def test_a_collector_that_cannot_be_is_refused(command, endpoint):
    """With an example, and without repeating what may be a secret."""
    refused = command("serve", OMNILINE_TRACING__ENDPOINT=endpoint)

    assert refused.returncode == 1
    assert "for example http://localhost:4318" in refused.stderr
    assert "secret" not in refused.stderr


def test_all_addresses_of_a_name_share_the_port():
    """A browser may try either of what localhost is: 127.0.0.1 and, where there is IPv6, ::1."""
    doors = open_port("localhost", 0)

    ports = {door.getsockname()[1] for door in doors}
    for door in doors:
        door.close()
    assert len(ports) == 1


def test_the_chat_of_a_line_has_a_page_and_no_other(serving):
    """The address that is printed opens; one that nobody was given is not found, and says so."""
    address = next(line.split()[-1] for line in serving.said.splitlines() if "public chat" in line)

    assert httpx.get(address).status_code == 200
    assert httpx.get(address + "s").status_code == 404


def test_second_serve_is_refused_and_names_the_first(serving, command):
    """One folder has one owner: the second is told the first one's pid and what to do."""
    refused = command("serve")

    assert refused.returncode == 1
    assert f"in use by process {serving.process.pid}" in refused.stderr


def test_commands_reach_the_running_process(serving, command):
    """People are added while it serves, and reconcile and replay read beside it."""
    added = command("user", "add", "ann", "--name", "Ann")
    again = command("user", "add", "ann")
    clean = command("reconcile")
    same = command("replay")

    assert added.stdout.startswith("added operator ann; password: ")
    assert again.returncode == 1
    assert "is taken" in again.stderr
    assert (0, "clean") == (clean.returncode, clean.stdout.splitlines()[-1])
    assert (0, "the same: ") == (same.returncode, same.stdout[:10])


def test_commands_work_alone(command, tmp_path):
    """Without a running process a command takes the lock itself; applying a file again changes nothing."""
    house = tmp_path / "house.toml"
    house.write_text(
        '[operators.ann]\nname = "Ann"\n[lines.shop]\noperators = ["ann"]\n[channels.shop]\nkind = "widget"\nline = "shop"\n'
    )

    assert "added line shop" in command("apply", str(house)).stdout
    assert command("apply", str(house)).stdout == "nothing to change\n"


def test_passwords_of_a_file_are_looked_for_where_the_command_was_given(serving, command, tmp_path):
    """In its variables and beside its file, whatever the running process may see; of who is there already nothing is needed."""
    house = tmp_path / "house.toml"
    house.write_text('[operators.ann]\npassword_env = "ANN_PASSWORD"\n[operators.bob]\npassword_file = "bob.txt"\n')
    (tmp_path / "bob.txt").write_text("correct horse battery\n")

    refused = command("apply", str(house))
    command.environment["ANN_PASSWORD"] = "staple correct horse"
    added = command("apply", str(house))
    (tmp_path / "bob.txt").unlink()

    assert (1, True) == (refused.returncode, "operators.ann: password_env ANN_PASSWORD is not set" in refused.stderr)
    assert added.stdout == "added operator ann\nadded operator bob\n"
    assert command("apply", str(house)).stdout == "nothing to change\n"


def test_a_file_that_nobody_can_mean_is_refused_by_the_running_process(serving, command, tmp_path):
    """Nested without end, or without an end itself: a sentence, and it serves on."""
    deep, endless, house = (tmp_path / name for name in ("deep.toml", "endless.toml", "house.toml"))
    deep.write_text("a = " + "[" * 5_000 + "]" * 5_000)
    endless.write_text("#" * 1_048_577)
    house.write_text("[lines.second]\n")

    refused = [command("apply", str(path)) for path in (deep, endless)]

    assert [1, 1] == [one.returncode for one in refused]
    assert "deep.toml: something in it is nested far too deep" in refused[0].stderr
    assert "endless.toml: is larger than 1 MB" in refused[1].stderr
    assert command("apply", str(house)).stdout == "added line second\n"


@pytest.mark.parametrize("asked", ["serve", "reconcile"])
def test_database_of_a_newer_version_is_refused(command, tmp_path, asked):
    """A schema we do not know is not touched, and never called clean; the sentence says what to do."""
    (tmp_path / "data").mkdir()
    path = on_disk(tmp_path / "data")
    with closing(connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999', serves = '9998'")

    refused = command(asked)

    assert (1, "") == (refused.returncode, refused.stdout)
    assert "newer Omniline" in refused.stderr
    assert HEAD in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_an_old_sqlite_is_refused_with_what_brings_a_new_one(command, tmp_path):
    """It can corrupt the database; the sentence says which were found, and what to install."""
    for name in ("pysqlite3/__init__.py", "pysqlite3/dbapi2.py", "sqlite3.py"):
        (tmp_path / "old" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "old" / name).write_text("sqlite_version = '3.51.2'\nsqlite_version_info = (3, 51, 2)\n")

    refused = command("serve", PYTHONPATH=str(tmp_path / "old"))

    assert (1, "") == (refused.returncode, refused.stdout)
    assert "pip install 'pysqlite3" in refused.stderr
    assert "3.51.3 or newer is needed" in refused.stderr
    assert "pysqlite3.dbapi2 has 3.51.2; sqlite3 has 3.51.2" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("asked", ["serve", "reconcile", "user add ann"])
def test_a_file_that_is_no_database_is_refused(command, tmp_path, asked):
    """Somebody's mistake is told in a sentence, and the file is left as it is."""
    path = tmp_path / "data" / "omniline.db"
    path.parent.mkdir()
    path.write_bytes(b"garbage, and no database\n" * 1_000)

    refused = command(*asked.split())

    assert (1, "") == (refused.returncode, refused.stdout)
    assert "not a database" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert path.read_bytes() == b"garbage, and no database\n" * 1_000


def test_reconcile_refuses_a_database_without_our_tables(command, tmp_path):
    """An empty file is an empty database to SQLite: nothing in it is lost, and nothing is clean."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "omniline.db").touch()

    refused = command("reconcile")

    assert refused.returncode == 1
    assert f"schema none, this one reads {HEAD}" in refused.stderr


@pytest.mark.parametrize(
    ("variable", "says"),
    [
        ({"OMNILINE_LISTN": "x"}, "did you mean OMNILINE_LISTEN"),
        ({"OMNILINE_LISTEN": "nowhere"}, "listen"),
        ({"OMNILINE_LISTEN": "192.0.2.1:8080"}, "listen: 192.0.2.1:8080 cannot be opened (cannot assign requested address)"),
        ({"OMNILINE_LISTEN": "no..where:8080"}, "listen: no..where:8080 cannot be opened"),
        ({"OMNILINE_VISITOR__BURST": "-1"}, "visitor.burst"),
    ],
)
def test_wrong_settings_are_refused_by_name(command, variable, says):
    """A variable nobody knows, or with a value that cannot be, stops the start and is named."""
    refused = command("serve", **variable)

    assert refused.returncode == 1
    assert says.lower() in refused.stderr.lower().replace("__", ".").replace("omniline_", "OMNILINE_".lower())


def test_reconcile_without_a_database_says_where_it_looked(command):
    """Nothing to check is not "clean"."""
    refused = command("reconcile")

    assert refused.returncode == 1
    assert "there is no database" in refused.stderr


def test_our_package_names_are_ours_alone():
    """No other installed distribution has a module named as one of ours; the start-up check refuses it."""
    assert omniline.foreign_packages() == {}


SEALER = Sealer(lambda: bytes(64))


def test_every_route_names_who_may_ask():
    """A route without an action or a reason to be open would be open by accident."""
    house = Directory({}, {}, {}, {}, {})
    routers = [
        *people_routes(omniline.calendars()),
        *channel_routes(omniline.kinds(SEALER), SEALER, lambda _: None, lambda _: LineSettings()),
        file_routes,
        session_routes,
        deed_routes,
        why_routes(lambda: house),
        board_routes(lambda: house, lambda _operator, _now: True),
        hours_routes,
        crm_routes,
        demo.routes,
    ]

    assert [] == [route for router in routers for route in unlisted(router.routes)]
