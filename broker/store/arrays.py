"""Lists as PostgreSQL reads arrays: one text that takes its type from the statement it stands in (`%s::text[]`).

psycopg's own dumper looks for the type of each list first, and escapes each text with a regular expression that calls back for every
quotation mark. Rows of ours are JSON for the most part: that took half of the time of a process that writes.
"""

from __future__ import annotations

from typing import Any

from psycopg import DataError
from psycopg.abc import Buffer
from psycopg.adapt import Dumper


class FlatListDumper(Dumper):
    """Dumps a list of text, bytes, whole numbers and None. Raises psycopg.DataError for anything else, and for a NUL in a text."""

    # No oid: the server takes it for what it is cast to, so a statement is prepared once, whatever is in its lists.

    def dump(self, obj: list[Any]) -> Buffer:
        return f"{{{','.join(map(_element, obj))}}}".encode()


def _element(value: object) -> str:
    if isinstance(value, str):
        if "\0" in value:
            raise DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes")
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if value is None:
        return "NULL"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(int(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return f'"\\\\x{value.hex()}"'
    raise DataError(f"a list for the database holds text, bytes, whole numbers and None, not {type(value).__name__}")
