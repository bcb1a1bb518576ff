"""AGI as text: headers, commands, replies; what is not AGI's is refused, and nothing a caller is named becomes a command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pystrix.agi.agi_core import (
    AGIDeadChannelError,
    AGIInvalidCommandError,
    AGINoResultError,
    AGIResultHangup,
    AGIUnknownError,
    AGIUsageError,
)

from broker.errors import BadInput
from channels.phone.agi import (
    COMMAND_BYTES_MAX,
    HEADER_LINES_MAX,
    Command,
    Header,
    HeaderReader,
    NoAgi,
    ReplyReader,
    encoded,
    quoted,
)

HEADER = (
    "agi_network: yes",
    "agi_network_script: shop?secret=s%20s&try=1&stage=",
    "agi_request: agi://127.0.0.1:4573/shop?secret=s%20s&try=1&stage=",
    "agi_channel: PJSIP/trunk-00000000",
    "agi_uniqueid: 1732771234.15",
    "agi_callerid: 79001234567",
    "agi_calleridname: unknown",
    "",
)


def read(*lines: str | bytes) -> Header | None:
    """Return what a reader makes of *lines*."""
    reader = HeaderReader()
    header = None
    for line in lines:
        header = reader.feed(line if isinstance(line, bytes) else line.encode() + b"\n")
    return header


# --- the header


def test_a_header_is_whole_with_its_empty_line():
    """Not before; then it is the dialplan's address in parts, and the channel's variables."""
    assert read(*HEADER[:-1]) is None

    header = read(*HEADER)

    assert header is not None
    assert header.path == "shop"
    assert header.query == {"secret": "s s", "try": "1", "stage": ""}
    assert header["agi_uniqueid"] == "1732771234.15"
    assert (header["agi_calleridname"], header["agi_dnid"]) == ("", "")


def test_a_header_with_bytes_that_are_no_text_is_read():
    """A caller's name may be anything; the call is served."""
    header = read(b"agi_channel: PJSIP/a-1\n", b"agi_calleridname: \xff\xfe:\xd0\n", b"\r\n")

    assert header is not None
    assert header["agi_calleridname"] == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}:\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    "lines",
    [
        [""],
        ["GET / HTTP/1.1"],
        ["agi_network: yes", ""],
        ["agi_channel: a", "Host: shop.example.com"],
        ["agi_channel"],
        ["agi_channel: a", *[f"agi_arg_{n}: a" for n in range(HEADER_LINES_MAX)]],
        ["agi_channel: a", *[f"agi_arg_{n}: {'a' * 8_000}" for n in range(9)]],
        ["agi_channel: a", f"agi_network_script: shop?{'&'.join('a=1' for _ in range(60))}", ""],
    ],
)
def test_what_is_no_header_is_refused(lines: list[str]):
    """Neither a web browser's request nor more than Asterisk ever says."""
    with pytest.raises(NoAgi):
        read(*lines)


@pytest.mark.parametrize("name", ["agi_channel", "agi_network_script", "agi_callerid"])
def test_a_name_that_is_said_twice_is_refused(name: str):
    """The first or the last could be somebody else's choice."""
    with pytest.raises(NoAgi):
        read(*HEADER[:-1], f"{name}: other", "")


# --- commands


@given(st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"])))
def test_an_argument_is_read_as_it_was_written(text: str):
    """Asterisk takes away one backslash before each sign, and ends the argument at a bare quotation mark."""
    written = quoted(text)

    assert written[0] == written[-1] == '"'
    read, escaped = [], False
    for sign in written[1:-1]:
        if escaped or sign != "\\":
            assert escaped or sign != '"'
            read.append(sign)
            escaped = False
        else:
            escaped = True
    assert ("".join(read), escaped) == (text, False)


@pytest.mark.parametrize("sign", ["\n", "\r", "\0"])
def test_a_line_break_is_no_argument(sign: str):
    """It would end the command and begin another."""
    with pytest.raises(BadInput) as refused:
        Command("SET VARIABLE", "NAME", f"Ann{sign}EXEC System rm")

    assert refused.value.code == "line_break"
    with pytest.raises(BadInput):
        encoded(Command(f"EXEC{sign}Dial"))


def test_a_command_is_one_line():
    """Words, and arguments in quotation marks."""
    assert encoded(Command("EXEC Dial", 'PJSIP/101,20,U(a^"b")')) == b'EXEC Dial "PJSIP/101,20,U(a^\\"b\\")"\n'
    assert encoded(Command("ANSWER")) == b"ANSWER\n"


def test_a_command_that_asterisk_would_cut_is_refused():
    """What is behind the cut would be a command of its own."""
    spent = len(encoded(Command("SET VARIABLE", "A", "")))
    assert len(encoded(Command("SET VARIABLE", "A", "a" * (COMMAND_BYTES_MAX - spent)))) == COMMAND_BYTES_MAX

    with pytest.raises(BadInput) as refused:
        encoded(Command("SET VARIABLE", "A", "я" * (COMMAND_BYTES_MAX // 2)))

    assert refused.value.code == "too_long"


# --- replies


@pytest.mark.parametrize(
    ("line", "result", "data", "endpos"),
    [
        ("200 result=0", "0", "", None),
        ("200 result=-1", "-1", "", None),
        ("200 result= (timeout)", "", "timeout", None),
        ("200 result=1 (ANSWER)", "1", "ANSWER", None),
        ("200 result=1 (a (b) = c) d)", "1", "a (b) = c) d", None),
        ("200 result=1 ()", "1", "", None),
        ("200 result=52 endpos=3360", "52", "", "3360"),
        ("200 result=0 (timeout) endpos=32000", "0", "timeout", "32000"),
        ("200 result=-1 (randomerror) endpos=0", "-1", "randomerror", "0"),
    ],
)
def test_a_result_is_read_in_its_parts(line: str, result: str, data: str, endpos: str | None):
    """Number, words in brackets, position."""
    reply = ReplyReader().feed(line)

    assert reply is not None
    assert (reply.items["result"].value, reply.items["result"].data) == (result, data)
    assert (reply.items["endpos"].value if endpos is not None else None) == endpos


def test_asterisk_may_say_first_that_it_tries():
    """That is no reply yet."""
    reader = ReplyReader()

    assert reader.feed("100 result=0 Trying...") is None
    assert reader.feed("200 result=0") is not None


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("510 Invalid or unknown command", AGIInvalidCommandError),
        ("511 Command Not Permitted on a dead channel or intercept routine", AGIDeadChannelError),
        ("520 Invalid command syntax.", AGIUsageError),
        ("200 nothing", AGINoResultError),
        ("404 Not Found", AGIUnknownError),
        ("HTTP/1.1 200 OK", AGIUnknownError),
        ("", AGIUnknownError),
    ],
)
def test_what_asterisk_refuses_is_told_as_pystrix_calls_it(line: str, error: type[Exception]):
    """And what no Asterisk says is told as that."""
    with pytest.raises(error):
        ReplyReader().feed(line)


def test_a_usage_is_read_to_its_end():
    """Its lines are none of the next command's reply."""
    reader = ReplyReader()
    assert reader.feed("520-Invalid command syntax.  Proper usage follows:") is None
    assert reader.feed("Usage: GET DATA <file to be streamed> [timeout] [max digits]") is None

    with pytest.raises(AGIUsageError, match="GET DATA"):
        reader.feed("520 End of proper usage.")


def test_a_usage_without_end_is_given_up():
    """It would grow for ever."""
    reader = ReplyReader()
    reader.feed("520-Invalid command syntax.  Proper usage follows:")

    for _ in range(HEADER_LINES_MAX - 1):
        assert reader.feed("and so on") is None
    with pytest.raises(AGIUnknownError):
        reader.feed("and so on")


def test_a_hangup_in_a_result_is_one_where_it_cannot_be_a_value():
    """A variable may be called so; a prompt's result is."""
    assert ReplyReader().feed("200 result=1 (hangup)") is not None

    with pytest.raises(AGIResultHangup):
        ReplyReader().feed("200 result=-1 (hangup)", check_hangup=True)
