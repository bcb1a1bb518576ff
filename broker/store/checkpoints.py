"""Moving what was committed from SQLite's log into the database file, beside the writer instead of in its way.

A checkpoint of the size we want takes a tenth of a second: in the writer's thread everybody would wait for it. So a thread of its own
does it on its own connection while commits go on; when it is done, the writer moves the few pages that came meanwhile, and the next
commit begins the log anew. Without that last step a busy log would only grow.

    commit, commit, … log is long ──► keeper: checkpoint, fsync ──► commit, commit ──► writer: the rest ──► commit at the log's beginning

SQLite syncs the database file only with the last page of the log, in the writer's thread, and by then the keeper's pages would all
wait for it (30 to 45 ms each time). So the keeper syncs what it has moved. That is for speed alone: SQLite's own sync still follows.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

PAGES = 16_000
"""A log this long is moved: 64 MB. Shorter ones are moved more often, and the same pages again and again."""
LATER_PAGES = 4_000
"""How much longer it gets before the next try, when somebody still read its beginning."""
LOOK_AFTER = 500
"""Transactions between two looks at its length."""
SAFETY_PAGES = 4 * PAGES
"""At this length the writer moves it whatever the keeper does."""


class Keeper:
    """Keeps the log of one database short; `committed` is the writer's, the rest happens in the keeper's own thread."""

    def __init__(self, writing: Any, path: Path, connect: Callable[[Path], Any]) -> None:
        """*writing* is the writer's connection to the database at *path*; *connect* opens another one."""
        writing.execute(f"PRAGMA wal_autocheckpoint={SAFETY_PAGES}")
        self._cursor = writing.cursor()
        self._connection = connect(path)
        self._file = path.open("rb", buffering=0)
        self._asked = threading.Event()
        self._moved = threading.Event()
        self._ended = False
        self._since = 0
        self._at = PAGES
        self._thread = threading.Thread(target=self._run, name="store-keeper", daemon=True)
        self._thread.start()

    def committed(self, transactions: int) -> None:
        """Look at the log after a commit of so many *transactions*; between two of the writer's transactions only."""
        self._since += transactions
        if self._moved.is_set():
            self._moved.clear()
            self._checkpoint(self._cursor, "PASSIVE")
        elif self._since < LOOK_AFTER or self._asked.is_set():
            return
        self._since = 0
        length = self._checkpoint(self._cursor, "NOOP")
        if length < PAGES:
            self._at = PAGES
        elif length >= self._at:
            self._at = length + LATER_PAGES
            self._asked.set()

    def close(self) -> None:
        """End the thread, then its connection. Last of all that use the file: closing a file frees this process's locks on it."""
        self._ended = True
        self._asked.set()
        self._thread.join()
        with suppress(Exception):
            self._connection.close()
        self._file.close()

    def _run(self) -> None:
        cursor = self._connection.cursor()
        while not self._ended:
            self._asked.wait()
            self._checkpoint(cursor, "PASSIVE")
            with suppress(OSError):  # SQLite's own sync meets the same fault, and tells the writer
                os.fsync(self._file.fileno())
            self._moved.set()
            self._asked.clear()

    @staticmethod
    def _checkpoint(cursor: Any, mode: str) -> int:
        """Do it and return how many pages the log has; an error here is the next commit's to meet and to tell."""
        try:
            row = cursor.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()[0]
        except Exception:
            return 0
        return int(row[1])
