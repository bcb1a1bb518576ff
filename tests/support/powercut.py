"""A disk that can lose power: what was written and not synced is gone, or half there, in any order.

`Disk` is a file system in memory behind an apsw VFS. A cut makes every later call fail; `after_power_returns` gives the disk as it is
found then: each file's last synced content, and of the writes after it any of their sectors. `ApswConnection` lets the shipped
`Writer` run on such a disk: as much of the DB-API as it uses. (kill -9 cannot show this: the kernel keeps what was written.)
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw

SECTOR = 512


class PowerLost(Exception):
    """The disk has no power."""


class _Content:
    """One file: what reads see, what is safe, and the writes in between."""

    def __init__(self, safe: bytes = b"") -> None:
        self.now = bytearray(safe)
        self.safe = bytearray(safe)
        self.since: list[tuple[int, bytes] | int] = []
        """Writes as (offset, bytes), truncations as a size."""

    def write(self, offset: int, data: bytes) -> None:
        _put(self.now, offset, data)
        self.since.append((offset, data))

    def truncate(self, size: int) -> None:
        del self.now[size:]
        self.since.append(size)

    def sync(self) -> None:
        for change in self.since:
            _apply(self.safe, change)
        self.since.clear()

    def after_cut(self, dice: random.Random) -> bytes:
        found = bytearray(self.safe)
        keep = dice.choice((0.0, 0.5, 0.9))
        for change in self.since:
            if isinstance(change, int):
                if dice.random() < keep:
                    _apply(found, change)
                continue
            offset, data = change
            for at in range(0, len(data), SECTOR):
                if dice.random() < keep:
                    _put(found, offset + at, data[at : at + SECTOR])
        return bytes(found)


def _apply(content: bytearray, change: tuple[int, bytes] | int) -> None:
    if isinstance(change, int):
        del content[change:]
    else:
        _put(content, *change)


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class Disk(apsw.VFS):
    """A file system in memory; *cut_at* is the number of the write or sync at which the power goes, 0: never."""

    _made = 0

    def __init__(self, files: Mapping[str, bytes] | None = None, cut_at: int = 0) -> None:
        Disk._made += 1
        self.vfs_name = f"disk-{Disk._made}"
        super().__init__(self.vfs_name, base="")
        self.files = {name: _Content(content) for name, content in (files or {}).items()}
        self.changes = 0
        self._cut_at = cut_at

    def change(self) -> None:
        """Count a change; the one at which the power goes does not happen."""
        self.changes += 1
        if self._cut_at and self.changes >= self._cut_at:
            raise PowerLost

    def after_power_returns(self, dice: random.Random) -> dict[str, bytes]:
        """Return what is found on the disk."""
        return {name: content.after_cut(dice) for name, content in self.files.items()}

    def images(self) -> dict[str, bytes]:
        """Return what is on the disk while the power is on."""
        return {name: bytes(content.now) for name, content in self.files.items()}

    def connect(self, synchronous: int) -> ApswConnection:
        """Open the database on this disk in WAL mode, alone, with *synchronous* as SQLite counts it (1 NORMAL, 2 FULL)."""
        connection = apsw.Connection("/omniline.db", vfs=self.vfs_name)
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", f"synchronous={synchronous}", "foreign_keys=1"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("PRAGMA wal_autocheckpoint=60").fetchall()  # a checkpoint, too, may be cut
        return ApswConnection(connection)

    def excepthook(self, *_: object) -> bool:
        """Say nothing: a disk without power fails in SQLite's every clean-up, and that is the point."""
        return True

    def let_go(self) -> None:
        """Let a connection that met the cut close itself; what it does to this disk nobody will see."""
        self._cut_at = 0

    # --- the VFS

    def xFullPathname(self, name: str) -> str:  # noqa: N802 - SQLite's name
        return name

    def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name or f"temp-{len(self.files)}"
        flags[1] = flags[0]
        return _File(self, self.files.setdefault(path, _Content()))

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        self.change()
        self.files.pop(name, None)

    def xAccess(self, name: str, flags: int) -> bool:  # noqa: N802
        return name in self.files


class _File:
    """An open file of a `Disk`."""

    def __init__(self, disk: Disk, content: _Content) -> None:
        self._disk = disk
        self._content = content

    def excepthook(self, *_: object) -> None:
        """See `Disk.excepthook`."""

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._content.now[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.change()
        self._content.write(offset, bytes(data))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self._disk.change()
        self._content.truncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.change()
        self._content.sync()

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._content.now)

    def xLock(self, level: int) -> None:  # noqa: N802
        pass

    def xUnlock(self, level: int) -> None:  # noqa: N802
        pass

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return SECTOR

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return 0

    def xClose(self) -> None:  # noqa: N802
        pass


class ApswConnection:
    """What the shipped `Writer` uses of a DB-API connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.raw = connection

    def cursor(self) -> ApswCursor:
        """Return a cursor."""
        return ApswCursor(self.raw)

    @property
    def in_transaction(self) -> bool:
        """Whether a BEGIN has not ended."""
        return bool(self.raw.in_transaction)


class ApswCursor:
    """What the shipped `SqliteTx` uses of a DB-API cursor."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.rowcount = -1

    def execute(self, text: str, values: Mapping[str, Any] | Sequence[Any] = ()) -> ApswCursor:
        """Execute to the end."""
        self._rows = self._connection.execute(text, values).fetchall()
        self.rowcount = self._connection.changes()
        return self

    def executemany(self, text: str, rows: Iterable[Mapping[str, Any]]) -> ApswCursor:
        """Execute once for each of *rows*."""
        for row in rows:
            self.execute(text, row)
        return self

    def fetchall(self) -> list[Any]:
        """Return the rows of the last statement."""
        rows, self._rows = self._rows, []
        return rows
