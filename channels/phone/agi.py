"""AGI: what Asterisk says about a call and what it is told to do with it, as text. Pure.

    header    agi_network_script: shop?secret=…, agi_uniqueid: 1732771234.15, … and an empty line: who calls, and whom
    command   EXEC Dial "PJSIP/101,20"
    reply     200 result=0, or 510, 511, 520; a HANGUP of its own comes at any time

The words of actions and the errors are pystrix's. Its quoting is not: it escapes nothing, so that a caller's name with a line break
in it would be a second command. Nor is its reading, which takes no limits and does not know HANGUP.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from pystrix.agi.agi_core import (
    AGIDeadChannelError,
    AGIInvalidCommandError,
    AGINoResultError,
    AGIResultHangup,
    AGIUnknownError,
    AGIUsageError,
    _Action,
    _Response,
    _ValueData,
)

from broker.errors import BadInput

LINE_BYTES_MAX = 8_192
"""A longer line Asterisk takes for two."""
HEADER_BYTES_MAX = 65_536
HEADER_LINES_MAX = 200
COMMAND_BYTES_MAX = 8_000
HANGUP = "HANGUP"
TRYING = "100 "
"""How a line begins that is no reply yet."""

_REPLY = re.compile(r"(\d{3})([ -])(.*)", re.DOTALL)
_RESULT = re.compile(r"result=(\S*)(?:\s+\((.*?)\))?(?:\s+endpos=(-?\d+))?\s*", re.DOTALL)
_END_OF_USAGE = "520 End of proper usage."


class NoAgi(BadInput):
    """Whoever connected does not speak AGI, or more of it than anybody needs."""


@dataclass(frozen=True, slots=True)
class Header:
    """What Asterisk says at the beginning: the dialplan's address in parts, and what it knows of the channel."""

    path: str
    """Of `agi://host/shop/end?try=1`: shop/end."""
    query: Mapping[str, str]
    variables: Mapping[str, str]
    """agi_channel, agi_uniqueid, agi_callerid, agi_calleridname, agi_extension, …; whoever calls chose some of them."""

    def __getitem__(self, name: str) -> str:
        """Return the variable *name*; empty: Asterisk did not say it, or does not know."""
        value = self.variables.get(name, "")
        return "" if value == "unknown" else value


class HeaderReader:
    """Takes the header's lines as they come."""

    def __init__(self) -> None:
        self._variables: dict[str, str] = {}
        self._bytes = 0
        self._lines = 0

    def feed(self, line: bytes) -> Header | None:
        """Take a line with its end; return the header once it is whole. Raises NoAgi."""
        self._bytes += len(line)
        self._lines += 1
        if self._bytes > HEADER_BYTES_MAX or self._lines > HEADER_LINES_MAX:
            raise NoAgi("the header is too long")
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if text:
            name, colon, value = text.partition(":")
            if not colon or not name.startswith("agi_"):
                raise NoAgi("a line of the header is none of AGI's")
            if name in self._variables:
                raise NoAgi("the header says a name twice")  # the first or the last may be somebody else's
            self._variables[name] = value.strip()
            return None
        if "agi_channel" not in self._variables:
            raise NoAgi("the header names no channel")
        path, _, query = self._variables.get("agi_network_script", "").partition("?")
        try:
            fields = parse_qsl(query, keep_blank_values=True, max_num_fields=50)
        except ValueError:
            raise NoAgi("the address has too many fields") from None
        asked = dict(fields)
        if len(asked) < len(fields):
            # A dialplan that encodes no values lets whoever calls add fields of their own.
            raise NoAgi("the address says a field twice")
        return Header(path.strip("/"), asked, self._variables)


class Command(_Action):  # type: ignore[misc]  # pystrix has no types
    """An action whose arguments are quoted as Asterisk unquotes them."""

    def __init__(self, words: str, *arguments: object, check_hangup: bool = False) -> None:
        """*words* are the command's own. Raises BadInput for an argument that no quoting can carry."""
        super().__init__(words, *map(quoted, arguments))
        self.check_hangup = check_hangup


def quoted(argument: object) -> str:
    """Return *argument* as one argument of a command. Raises BadInput."""
    text = str(argument)
    if any(sign in text for sign in "\r\n\0"):
        raise BadInput("an argument of an AGI command has a line break in it", code="line_break")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def encoded(action: _Action) -> bytes:
    """Return *action* as the one line it must be. Raises BadInput."""
    line: str = action.command
    if any(sign in line[:-1] for sign in "\r\n\0"):
        raise BadInput("an AGI command has a line break in it", code="line_break")
    data = line.encode("utf-8", "replace")
    if len(data) > COMMAND_BYTES_MAX:
        raise BadInput(f"an AGI command has {len(data)} bytes; Asterisk would cut it at {LINE_BYTES_MAX}", code="too_long")
    return data


class ReplyReader:
    """Takes the lines that follow a command until they are its reply."""

    def __init__(self) -> None:
        self._usage: list[str] = []

    def feed(self, line: str, *, check_hangup: bool = False) -> _Response | None:
        """Take a line without its end; return the reply once it is whole. Raises what pystrix calls it: an AGIException."""
        if self._usage:
            self._misused(line)
            return None
        parts = _REPLY.fullmatch(line)
        if parts is None:
            raise AGIUnknownError(f"no reply of AGI's: {line[:100]!r}")
        code, rest = int(parts[1]), parts[3]
        match code:
            case 100:
                return None  # it goes on trying
            case 200:
                return _result(rest, check_hangup=check_hangup)
            case 510:
                raise AGIInvalidCommandError(line)
            case 511:
                raise AGIDeadChannelError(line)
            case 520 if parts[2] == "-":
                self._misused(line)
                return None
            case 520:
                raise AGIUsageError(line)
        raise AGIUnknownError(f"no reply of AGI's: {line[:100]!r}")

    def _misused(self, line: str) -> None:
        """Read the usage that Asterisk explains, many lines, to its end."""
        self._usage.append(line)
        if line.startswith(_END_OF_USAGE):
            raise AGIUsageError("\n".join(self._usage))
        if len(self._usage) > HEADER_LINES_MAX:
            raise AGIUnknownError("a usage that does not end")


def _result(rest: str, *, check_hangup: bool) -> _Response:
    found = _RESULT.fullmatch(rest)
    if found is None:
        raise AGINoResultError(f"a reply without a result: {rest[:100]!r}")
    items: dict[str, Any] = {"result": _ValueData(found[1], found[2] or "")}
    if found[3] is not None:
        items["endpos"] = _ValueData(found[3], "")
    if check_hangup and found[2] == "hangup":
        raise AGIResultHangup("the caller hung up", items)
    return _Response(items, 200, rest)
