"""Files on a local disk, kept by what they are: `ab/ab12…` holds the bytes whose sha256 is ab12….

A file is whole or absent: written aside, synced, renamed to its name, and the folder synced before anybody is told.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import uuid_utils

from broker.errors import NotFound, StoreBroken, StoreFull

_NAME = re.compile(r"[0-9a-f]{64}")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Write = Callable[[int, memoryview], int]


class LocalFiles:
    """The `Files` socket on a folder of its own. *write* is the system's; a test gives one whose disk is full."""

    def __init__(self, folder: Path, *, write: Write = os.write) -> None:
        self._folder = folder
        self._write = write

    async def put(self, body: bytes) -> str:
        """See `Files.put`. Raises StoreFull, StoreBroken."""
        return await asyncio.to_thread(self._put, body)

    async def get(self, sha256: str) -> bytes:
        """See `Files.get`. Raises NotFound, and StoreBroken when the disk gives other bytes than it was given."""
        return await asyncio.to_thread(self._get, sha256)

    def _put(self, body: bytes) -> str:
        sha256 = hashlib.sha256(body).hexdigest()
        path = self._path(sha256)
        try:
            self._keep(path, body)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StoreFull("the disk is full: free some space; the file was not stored") from error
            raise StoreBroken(f"{path.parent} cannot be written ({error.strerror}); check the disk") from error
        return sha256

    def _keep(self, path: Path, body: bytes) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self._folder)
        if not path.exists():
            aside = path.with_name(f".{uuid_utils.uuid4()}.part")
            try:
                self._write_whole(aside, body)
                aside.replace(path)
            finally:
                with suppress(OSError):
                    aside.unlink(missing_ok=True)
        # Also for a file that was there: whoever renamed it may not have come to this line yet.
        _sync_folder(path.parent)

    def _write_whole(self, path: Path, body: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            rest = memoryview(body)
            while rest:
                rest = rest[self._write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _get(self, sha256: str) -> bytes:
        if not _NAME.fullmatch(sha256):
            raise NotFound("a file is named by the 64 hex digits of its sha256")
        try:
            body = self._path(sha256).read_bytes()
        except FileNotFoundError:
            raise NotFound(f"there is no file {sha256}") from None
        if hashlib.sha256(body).hexdigest() != sha256:
            raise StoreBroken(f"the file {sha256} is damaged; restore it from a backup")
        return body

    def _path(self, sha256: str) -> Path:
        return self._folder / sha256[:2] / sha256


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
