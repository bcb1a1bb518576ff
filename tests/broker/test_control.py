"""The socket for commands: every request has an answer, whatever becomes of it, and none ends the process."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest
import structlog

from broker import control
from broker.errors import ConfigError, Conflict, OmnilineError


async def _handle(command, arguments, asker):
    match command:
        case "count":
            for number in range(arguments["upto"]):
                asker.tell(f"at {number}")
            return "counted"
        case "tell":
            return f"told {arguments['whom']}"
        case "refuse":
            raise Conflict("it is taken")
        case _:
            return command[10_000]


@pytest.fixture
def asked(tmp_path):
    """Return a function that has a listening process do some things, one after the other, in another thread."""

    def do(*requests):
        async def listening():
            server = await control.listen(tmp_path / "control.sock", _handle)
            async with server:
                return [await asyncio.to_thread(request, tmp_path / "control.sock") for request in requests]

        return asyncio.run(listening())

    return do


def _ask(command, **arguments):
    def ask(path):
        try:
            return control.ask(path, command, arguments)
        except OmnilineError as error:
            return error

    return ask


def _raw(line):
    def ask(path):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                return json.loads(answers.readline())

    return ask


def test_an_answer_and_a_refusal_come_back(asked):
    """What the process says is printed; why it refuses is raised with its words."""
    told, refused = asked(_ask("tell", whom="Ann"), _ask("refuse"))

    assert told == "told Ann"
    assert str(refused) == "it is taken"


def test_what_nobody_foresaw_is_answered_and_logged(asked):
    """Not silence, which reads as the end of the process: it serves on, and its log says where it went wrong."""
    with structlog.testing.capture_logs() as logs:
        failed, told = asked(_ask("break"), _ask("tell", whom="Ann"))

    assert "break failed in the running process (IndexError), which goes on" in str(failed)
    assert told == "told Ann"
    assert [("control_command_failed", "break", True)] == [(one["event"], one["command"], one["exc_info"]) for one in logs]


@pytest.mark.parametrize("line", [b"\n", b"no JSON\n", b"[1]\n", b"{}\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_what_cannot_be_read_is_answered(asked, line):
    """A program of another version, or of somebody else, learns that it was not understood."""
    answer, told = asked(_raw(line), _ask("tell", whom="Ann"))

    assert "cannot read this request" in answer["error"]
    assert told == "told Ann"


def test_a_request_beyond_all_measure_is_answered(asked):
    """The process hangs up while it is still being sent: the one who asks hears why all the same."""
    answer, told = asked(_ask("tell", whom="x" * 2 * control.LINE_MAX), _ask("tell", whom="Ann"))

    assert "cannot read this request" in str(answer)
    assert told == "told Ann"


def test_a_whole_house_passes_whatever_it_is_written_in(asked):
    """A file of the largest size grows when it is escaped for the way."""
    told = asked(_ask("tell", whom="\x01" * 1_048_576))

    assert [len("told ") + 1_048_576] == [len(one) for one in told]


def test_a_long_command_tells_how_far_it_has_come(asked):
    """Before its answer, in the order in which it was told."""
    heard: list[str] = []
    (told,) = asked(lambda path: control.ask(path, "count", {"upto": 3}, heard.append))

    assert (told, heard) == ("counted", ["at 0", "at 1", "at 2"])


def test_who_has_hung_up_is_gone(tmp_path):
    """Whoever stops a command that waits for its end has taken it back; telling them more hurts nobody."""
    gone = asyncio.Event()

    async def handle(command, arguments, asker):
        while not asker.gone:
            asker.tell("still at it")
            await asyncio.sleep(0.001)
        asker.tell("for nobody")
        gone.set()
        return "for nobody"

    async def body():
        async with await control.listen(tmp_path / "control.sock", handle):
            _, writer = await asyncio.open_unix_connection(control.address(tmp_path / "control.sock"))
            writer.write(b'{"command": "wait", "arguments": {}}\n')
            writer.close()
            await asyncio.wait_for(gone.wait(), 10)

    asyncio.run(body())


def test_nobody_listening_is_no_error(tmp_path):
    """Then the command does it alone."""
    assert control.ask(tmp_path / "control.sock", "tell", {}) is None


def test_where_there_can_be_no_socket_the_place_is_named(tmp_path):
    """Something else lies there."""
    (tmp_path / "control.sock").mkdir()

    with pytest.raises(ConfigError, match=r"control\.sock cannot be made"):
        asyncio.run(control.listen(tmp_path / "control.sock", _handle))
