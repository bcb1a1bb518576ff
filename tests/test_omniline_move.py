"""`omniline move`, in processes of their own on a real PostgreSQL: what visitors, operators and administrators see of it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from broker.store.sqlite import connect as connect_sqlite
from broker.store.tables import metadata
from tests.support import postgres
from tests.support.postgres import Server, wait_until
from tests.test_omniline import Command, Serving, command_in

PASSWORD = "a long word for the move"
WAITS = """
CREATE FUNCTION waits() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN WHILE NOT pg_try_advisory_xact_lock(1) LOOP PERFORM pg_sleep(0.02); END LOOP; RETURN NEW; END$$;
CREATE TRIGGER waits BEFORE INSERT ON operators EXECUTE FUNCTION waits();
"""
TAMPER = """
CREATE FUNCTION tamper() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.name := 'Mallory'; RETURN NEW; END$$;
CREATE TRIGGER tamper BEFORE INSERT ON operators FOR EACH ROW EXECUTE FUNCTION tamper();
"""


@pytest.fixture(scope="module")
def server() -> Server:
    """Return the server of this process of tests."""
    return postgres.server()


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """Return the name of a database with our tables, and nothing in them."""
    name = server.migrated()
    yield name
    server.drop(name)


@pytest.fixture
def url(server: Server, database: str) -> str:
    """Return its address."""
    return server.url(database)


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """Return the command line of a house of its own."""
    return command_in(tmp_path)


@pytest.fixture
def serving(command: Command) -> Iterator[Serving]:
    """Start `omniline serve --demo`; whatever becomes of the house, it stops when it is asked to, as a process that ended well."""
    started = Serving(command.environment)
    yield started
    if started.process.poll() is None:
        assert started.stop() == 0


def address(serving: Serving) -> str:
    """Return where it serves: `http://127.0.0.1:40123`."""
    return serving.said.splitlines()[0].rpartition(" on ")[2]


def rows(url: str, text: str) -> list[Any]:
    """Return what a plain query finds on PostgreSQL."""
    with psycopg.connect(url) as connection:
        return connection.execute(text.encode()).fetchall()


def nothing_there(url: str) -> bool:
    """Return whether no table of ours has a row."""
    return not any(rows(url, f"SELECT FROM {name} LIMIT 1") for name in metadata.tables)


def ready(base: str) -> int:
    """Return the status of /readyz."""
    return httpx.get(f"{base}/readyz", trust_env=False).status_code


Enter = Callable[[Any], Any]
"""Opens what is closed when the test is over."""


@pytest.fixture
def enter() -> Iterator[Enter]:
    """Return what opens sockets."""
    with contextlib.ExitStack() as opened:
        yield opened.enter_context


def listens(base: str) -> bool:
    """Return whether anybody can connect."""
    with contextlib.suppress(httpx.HTTPError):
        ready(base)
        return True
    return False


class Visitor:
    """A browser with the chat open."""

    def __init__(self, enter: Enter, base: str, token: str | None = None) -> None:
        self.socket: ClientConnection = enter(connect(f"ws{base.removeprefix('http')}/ws/visitor?line=shop", proxy=None))
        self.say("hello", **({"token": token} if token else {}))
        welcome = self.hear("welcome")
        self.token: str = welcome["token"]
        self.history: list[str] = [message.get("id", "") for message in welcome["history"]]

    def say(self, kind: str, **more: Any) -> None:
        """Send a frame."""
        self.socket.send(json.dumps({"t": kind, **more}))

    def hear(self, *kinds: str) -> dict[str, Any]:
        """Return the next frame of one of *kinds*."""
        while (frame := json.loads(self.socket.recv(30)))["t"] not in kinds:
            pass
        return frame  # type: ignore[no-any-return]

    def write(self, id_: str) -> dict[str, Any]:
        """Write a message and return the answer to it: an ack, or why not."""
        self.say("say", id=id_, text=f"this is {id_}")
        return self.hear("ack", "refused")


class Writing(threading.Thread):
    """A visitor who writes one message after the other, and keeps what became of each."""

    def __init__(self, enter: Enter, base: str) -> None:
        super().__init__(daemon=True)
        self.visitor = Visitor(enter, base)
        self.acknowledged: list[str] = []
        self.refused: dict[str, dict[str, Any]] = {}
        self.enough = threading.Event()

    def run(self) -> None:
        """Write until it is enough."""
        while not self.enough.wait(0.12):
            id_ = str(uuid.uuid4())
            answer = self.visitor.write(id_)
            if answer["t"] == "ack":
                self.acknowledged.append(id_)
            else:
                self.refused[id_] = answer


class Console:
    """An operator's console."""

    def __init__(self, enter: Enter, base: str, login: str) -> None:
        self.http: httpx.Client = enter(httpx.Client(base_url=base, trust_env=False))
        assert self.log_in(login).status_code == 200
        cookie = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        where = f"ws{base.removeprefix('http')}/ws/operator"
        self.socket: ClientConnection = enter(
            connect(where, proxy=None, origin=Origin(base), additional_headers={"Cookie": cookie})
        )
        self.socket.send('{"t": "hello"}')
        self.hear("snapshot")

    def log_in(self, login: str) -> httpx.Response:
        """Log in."""
        return self.http.post("/api/v1/login", json={"login": login, "password": PASSWORD})

    def hear(self, *kinds: str) -> dict[str, Any]:
        """Return the next frame of one of *kinds*."""
        while (frame := json.loads(self.socket.recv(30)))["t"] not in kinds:
            pass
        return frame  # type: ignore[no-any-return]


def operator(command: Command, folder: Path) -> str:
    """Add an operator with PASSWORD; return the login."""
    (folder / "password").write_text(PASSWORD)
    added = command("user", "add", "ann", "--role", "supervisor", "--password-file", str(folder / "password"))
    assert added.returncode == 0, added.stderr
    return "ann"


def test_a_house_moves_under_load_and_nothing_that_was_acknowledged_is_missing(command, serving, enter, url, tmp_path):
    """What was acknowledged is there, the rest was refused and told when to come again; the old process stays so, also at a restart."""
    base = address(serving)
    console = Console(enter, base, operator(command, tmp_path))
    everybody = [Writing(enter, base) for _ in range(6)]
    for one in everybody:
        one.start()
    wait_until(lambda: all(len(one.acknowledged) >= 10 for one in everybody))

    moved = command("move", "--to", url)
    assert moved.returncode == 0, moved.stderr
    wait_until(lambda: all(one.refused for one in everybody))
    for one in everybody:
        one.enough.set()
        one.join(30)

    # Nothing is missing, and nothing is there that was refused.
    kept = {id_ for (id_,) in rows(url, "SELECT client_id FROM messages WHERE author = 'contact'")}
    acknowledged = {id_ for one in everybody for id_ in one.acknowledged}
    refused = {id_: frame for one in everybody for id_, frame in one.refused.items()}
    assert acknowledged == kept
    assert {("unavailable", 5.0)} == {(frame["code"], frame["retry_after"]) for frame in refused.values()}
    assert [] == rows(url, "SELECT id FROM outbox WHERE state = 'sending'")
    # Consoles and programs are told, too.
    console.socket.send('{"t": "presence", "state": "away"}')
    assert "unavailable" == console.hear("error")["code"]
    login = console.log_in("ann")
    assert (503, "10", "application/problem+json") == (
        login.status_code,
        login.headers["retry-after"],
        login.headers["content-type"],
    )
    assert "moving to another database" in login.json()["detail"]
    assert 503 == ready(base)
    assert 200 == httpx.get(f"{base}/healthz", trust_env=False).status_code
    assert "\nomniline_store_full 0.0\n" in httpx.get(f"{base}/metrics", trust_env=False).text
    # What the command tells.
    assert "messages" in moved.stdout
    assert f"export OMNILINE_DATABASE_URL='{url}'" in moved.stdout
    assert "omniline reconcile" in moved.stdout
    # Nobody goes on with the copy by mistake.
    assert "this house has moved to " + url in command("user", "add", "bob").stderr
    assert serving.stop() == 0
    # Nor did the old process write another row of its own.
    with closing(connect_sqlite(tmp_path / "data" / "omniline.db", read_only=True)) as old:
        left = {name: old.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in metadata.tables}  # noqa: S608
    there = {name: rows(url, f"SELECT count(*) FROM {name}")[0][0] for name in metadata.tables}  # noqa: S608
    assert there == left | {"consoles": 0, "leases": 0, "processes": 0, "secrets": 1}
    again = command("serve")
    assert (1, 1) == (again.returncode, len(again.stderr.splitlines()))
    assert (
        "set OMNILINE_DATABASE_URL to where it is, or, to give that up and go on with this copy, run: omniline move --back"
        in (again.stderr)
    )
    assert "the copy that was left" in command("reconcile").stderr
    # The new house: clean, and visitors find their conversations by their tokens.
    clean = command("reconcile", OMNILINE_DATABASE_URL=url)
    assert "clean" == clean.stdout.splitlines()[-1]
    with starting(command, OMNILINE_DATABASE_URL=url) as new:
        for one in everybody:
            back = Visitor(enter, new, one.visitor.token)
            assert set(one.acknowledged[-20:]) <= set(back.history)
            assert "ack" == back.write(str(uuid.uuid4()))["t"]
        Console(enter, new, "ann")


@contextlib.contextmanager
def starting(command: Command, **more: str) -> Iterator[str]:
    """Start `omniline serve` and yield where it serves."""
    started = Serving(command.environment | more)
    try:
        yield address(started)
    finally:
        assert started.stop() == 0


def test_a_move_that_fails_lets_the_house_go_on(command, serving, enter, server, database, url):
    """By itself: visitors are answered and routed again, and nothing of it stands on the new database."""
    base = address(serving)
    server.run(TAMPER, database)
    visitor = Visitor(enter, base)
    assert "ack" == visitor.write(str(uuid.uuid4()))["t"]
    assert "waiting" == visitor.hear("state")["state"]

    failed = command("move", "--to", url)
    other = Visitor(enter, base)

    assert (1, "") == (failed.returncode, failed.stdout)
    assert failed.stderr.startswith("omniline: operators: 1 rows were written and 1 stand there, with the hash ")
    assert nothing_there(url)
    assert 200 == ready(base)
    for one in (visitor, other):
        assert "ack" == one.write(str(uuid.uuid4()))["t"]
    # The loops run again: somebody has decided what the new one wrote.
    assert "waiting" == other.hear("state")["state"]


def test_whoever_gives_the_move_up_lets_the_house_go_on(command, serving, enter, server, database, url):
    """Ctrl-C in the middle; while it is under way a second one is refused."""
    base = address(serving)
    server.run(WAITS, database)
    with moving(command, url) as (asking, _):
        wait_until(lambda: ready(base) == 503)
        second = command("move", "--to", url)
        asking.send_signal(signal.SIGINT)
        assert asking.wait(30) == 130
    wait_until(lambda: ready(base) == 200)

    assert "a move is under way already" in second.stderr
    assert nothing_there(url)
    assert "ack" == Visitor(enter, base).write(str(uuid.uuid4()))["t"]


@contextlib.contextmanager
def moving(command: Command, url: str) -> Iterator[tuple[subprocess.Popen[str], Callable[[], object]]]:
    """Have a move begun that comes no further than to people; yield the command, and what lets the move go on, as the end does."""
    line = [sys.executable, "-m", "omniline", "move", "--to", url]
    with (
        psycopg.connect(url, autocommit=True) as held,
        subprocess.Popen(line, env=command.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking,
    ):
        held.execute("SELECT pg_advisory_lock(1)")
        try:
            yield asking, lambda: held.execute("SELECT pg_advisory_unlock_all()")
        finally:
            asking.kill()


def test_a_process_that_is_stopped_in_the_middle_has_moved_nothing(command, serving, enter, server, database, url):
    """It stops when it is asked to, and starts again on what it had."""
    base = address(serving)
    server.run(WAITS, database)
    with moving(command, url) as (asking, go_on):
        wait_until(lambda: ready(base) == 503)
        serving.process.terminate()
        wait_until(lambda: not listens(base))
        go_on()
        _, complaint = asking.communicate(timeout=30)
        # Asked once: another signal would meet a process that has taken its ears off already.
        serving.process.wait(30)
        assert serving.stop() == 0

    assert "the move was given up; nothing was moved" in complaint or "ended before it answered" in complaint
    assert nothing_there(url)
    with starting(command) as again:
        assert "ack" == Visitor(enter, again).write(str(uuid.uuid4()))["t"]


def test_without_a_process_the_command_moves_the_house_itself(command, serving, enter, url, tmp_path):
    """Afterwards it is refused to start until somebody gives the copy up; then it goes on with what it had."""
    visitor = Visitor(enter, address(serving))
    assert "ack" == visitor.write(str(uuid.uuid4()))["t"]
    serving.stop()
    (tmp_path / "data" / "files" / "ab").mkdir()
    (tmp_path / "data" / "files" / "ab" / "ab12").write_bytes(b"a file")
    sealing_key = tmp_path / "data" / "keys" / "channels.key"
    sealing_key.write_bytes(b"s" * 64)
    sealing_key.chmod(0o600)

    moved = command("move", "--to", url)
    again = command("move", "--to", url)
    refused = command("serve")
    back = command("move", "--back")
    twice = command("move", "--back")

    assert moved.returncode == 0, moved.stderr
    assert "1 files lie in " in moved.stdout
    assert [(1,)] == rows(url, "SELECT count(*) FROM messages WHERE author = 'contact'")
    # What was sealed can be opened there.
    assert b"s" * 64 == bytes(rows(url, "SELECT value FROM secrets WHERE name = 'channels'")[0][0])
    assert all("this house has moved to " + url in one.stderr for one in (again, refused))
    assert 0 == back.returncode
    assert f"whatever {url} has accepted since is not in it" in back.stdout
    assert (1, True) == (twice.returncode, "is not the copy that a move left" in twice.stderr)
    with starting(command) as new:
        assert visitor.token == Visitor(enter, new, visitor.token).token
    assert "rows already, in " in command("move", "--to", url).stderr


def test_a_running_process_goes_on_when_the_copy_is_given_up(command, serving, enter, url):
    """It need not be started anew; what it refused comes again and is taken."""
    base = address(serving)
    visitor = Visitor(enter, base)
    assert command("move", "--to", url).returncode == 0
    id_ = str(uuid.uuid4())
    assert "refused" == visitor.write(id_)["t"]

    assert "The house is in " in command("move", "--back").stdout
    assert "ack" == visitor.write(id_)["t"]
    assert "waiting" == visitor.hear("state")["state"]
    assert 200 == ready(base)
    assert "added" in command("user", "add", "bob").stdout


def test_a_mark_that_cannot_be_read_is_still_a_mark(command, tmp_path):
    """Somebody was told that this copy is left."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "moved.json").write_bytes(b"\xff{")

    assert "this house has moved to another database" in command("serve").stderr


def test_a_folder_that_cannot_be_marked_is_not_left(command, url, tmp_path):
    """Found out before anything is carried: a full disk, say."""
    assert command("migrate").returncode == 0
    (tmp_path / "data" / "moved.json.part").mkdir()
    failed = command("move", "--to", url)

    assert failed.returncode == 1
    assert "cannot be written (Is a directory); nothing was moved" in failed.stderr
    assert nothing_there(url)
    assert "added" in command("user", "add", "bob").stdout


def test_no_password_is_shown(command, serving, server, database, tmp_path):
    """Given in a file or in the address, it is in nothing that is printed, kept or said in the log."""
    (tmp_path / "secret").write_text("hush hush\n")
    plain = server.url(database)
    moved = command("move", "--to", f"{plain}?sslpassword=hush", "--password-file", str(tmp_path / "secret"))

    assert moved.returncode == 0, moved.stderr
    assert plain in moved.stdout
    assert "hush" not in moved.stdout + moved.stderr
    assert "hush" not in (tmp_path / "data" / "moved.json").read_text() + command("serve").stderr


@pytest.mark.parametrize(
    ("arguments", "variables", "status", "says"),
    [
        (["--to", "mysql://nowhere"], {}, 2, "write the address as postgresql://"),
        ([], {}, 2, "one of the arguments --to --back is required"),
        (["--to", "postgresql://nowhere"], {}, 1, "there is no database in"),
        (["--back"], {}, 1, "there is no database in"),
        (["--to", "postgresql://nowhere"], {"OMNILINE_DATABASE_URL": "postgresql://elsewhere"}, 1, "this house is on PostgreSQL"),
    ],
)
def test_what_cannot_be_moved_is_refused(command, arguments, variables, status, says):
    """In a sentence; nothing is made of nothing."""
    refused = command("move", *arguments, **variables)

    assert (status, "") == (refused.returncode, refused.stdout)
    assert says in refused.stderr
