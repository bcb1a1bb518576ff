"""Files on a local disk, kept by what they are: `ab/ab12…` holds the bytes whose sha256 is ab12….

A file is whole or absent: written aside, synced, renamed to its name, and the folder synced before anybody is told.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import uuid_utils

from broker.errors import NotFound, StoreBroken, StoreFull, TooLarge

_NAME = re.compile(r"[0-9a-f]{64}")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
Write = Callable[[int, memoryview], int]
PIECE_BYTES = 262_144
"""What is read at a time."""


class LocalFiles:
    """The `Files` socket on a folder of its own. *write* is the system's; a test gives one whose disk is full."""

    def __init__(self, folder: Path, *, write: Write = os.write) -> None:
        self._folder = folder
        self._write = write

    async def put(self, body: bytes) -> str:
        """See `Files.put`. Raises StoreFull, StoreBroken."""
        return await asyncio.to_thread(self._put, body)

    async def put_from(self, chunks: AsyncIterator[bytes], most: int) -> tuple[str, int]:
        """See `Files.put_from`. Raises TooLarge, StoreFull, StoreBroken, and what *chunks* raises; then nothing is kept."""
        aside = await asyncio.to_thread(self._begin)
        try:
            digest, size = hashlib.sha256(), 0
            async for chunk in chunks:
                size += len(chunk)
                if size > most:
                    raise TooLarge(f"it is larger than {most:,} bytes")
                digest.update(chunk)
                await asyncio.to_thread(self._append, aside, chunk)
            sha256 = digest.hexdigest()
            await asyncio.to_thread(self._finish, aside, sha256)
            return sha256, size
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()  # or whoever gives them is waited for by the collector
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    async def read(self, sha256: str, begin: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `Files.read`; what the disk gives is not compared with its name, for a piece says nothing of the whole."""
        path = self._named(sha256)
        while end is None or begin < end:
            most = PIECE_BYTES if end is None else min(PIECE_BYTES, end - begin)
            piece = await asyncio.to_thread(self._piece, path, begin, most)
            if not piece:
                return
            yield piece
            begin += len(piece)

    async def get(self, sha256: str) -> bytes:
        """See `Files.get`. Raises NotFound, and StoreBroken when the disk gives other bytes than it was given."""
        return await asyncio.to_thread(self._get, sha256)

    def _put(self, body: bytes) -> str:
        sha256 = hashlib.sha256(body).hexdigest()
        path = self._path(sha256)
        with self._told():
            self._keep(path, body)
        return sha256

    def _begin(self) -> Path:
        with self._told():
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            aside = self._folder / f".{uuid_utils.uuid4()}.part"
            self._write_whole(aside, b"")
        return aside

    def _append(self, aside: Path, chunk: bytes) -> None:
        with self._told():
            descriptor = os.open(aside, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            try:
                self._write_all(descriptor, chunk)
            finally:
                os.close(descriptor)

    def _finish(self, aside: Path, sha256: str) -> None:
        path = self._path(sha256)
        with self._told():
            descriptor = os.open(aside, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._make_room(path)
            aside.replace(path)
            _sync_folder(path.parent)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what the disk refuses in our own errors."""
        try:
            yield
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise StoreFull("the disk is full: free some space; the file was not stored") from error
            raise StoreBroken(f"{self._folder} cannot be written ({error.strerror}); check the disk") from error

    def _make_room(self, path: Path) -> None:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_folder(self._folder)

    def _keep(self, path: Path, body: bytes) -> None:
        self._make_room(path)
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
            self._write_all(descriptor, body)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _write_all(self, descriptor: int, body: bytes) -> None:
        rest = memoryview(body)
        while rest:
            rest = rest[self._write(descriptor, rest) :]

    def _piece(self, path: Path, begin: int, most: int) -> bytes:
        try:
            with path.open("rb") as file:
                file.seek(begin)
                return file.read(most)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(f"there is no file {path.name}") from None
        except OSError as error:
            raise StoreBroken(f"{self._folder} cannot be read ({error.strerror}); check the disk") from error

    def _named(self, sha256: str) -> Path:
        if not _NAME.fullmatch(sha256):
            raise NotFound("a file is named by the 64 hex digits of its sha256")
        return self._path(sha256)

    def _get(self, sha256: str) -> bytes:
        path = self._named(sha256)
        try:
            body = path.read_bytes()
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
