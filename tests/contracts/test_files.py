"""The contract of `Files`: bytes by content, whole or absent."""

from __future__ import annotations

import asyncio
import errno
import hashlib

import pytest

from broker.errors import NotFound, StoreBroken, StoreFull
from broker.files import LocalFiles


@pytest.fixture
def files(tmp_path):
    """Return an empty place for files: every implementation is made here."""
    return LocalFiles(tmp_path)


def test_what_was_put_is_got(files):
    """The name is the sha256 of the bytes, in hex."""
    body = b"\0\xffbytes" * 10_000

    sha256 = asyncio.run(files.put(body))

    assert sha256 == hashlib.sha256(body).hexdigest()
    assert asyncio.run(files.get(sha256)) == body


def test_the_empty_file_is_a_file(files):
    """Nothing has a name, too."""
    assert asyncio.run(files.get(asyncio.run(files.put(b"")))) == b""


def test_the_same_bytes_have_one_name(files):
    """Putting again is no error and changes nothing; many at once too."""

    async def all_at_once():
        return await asyncio.gather(*(files.put(b"same") for _ in range(8)))

    assert {hashlib.sha256(b"same").hexdigest()} == set(asyncio.run(all_at_once()))


@pytest.mark.parametrize("name", ["0" * 64, "", "../../etc/passwd", "A" * 64, "0" * 63 + "/"])
def test_what_is_not_there_is_not_found(files, name):
    """A name that is none reaches no file, wherever it points."""
    with pytest.raises(NotFound):
        asyncio.run(files.get(name))


def _full_after(count):
    written = 0

    def write(descriptor, rest):
        nonlocal written
        if written >= count:
            raise OSError(errno.ENOSPC, "No space left on device")
        written += 1
        return 1

    return write


def test_a_full_disk_refuses_and_leaves_nothing(tmp_path):
    """No file, not even half of one; with room again the same put succeeds."""
    body = b"more than fits"
    full = LocalFiles(tmp_path, write=_full_after(5))

    with pytest.raises(StoreFull):
        asyncio.run(full.put(body))

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert asyncio.run(LocalFiles(tmp_path).get(asyncio.run(LocalFiles(tmp_path).put(body)))) == body


def test_a_damaged_file_is_not_given_out(tmp_path):
    """The disk's word is checked against the name."""
    files = LocalFiles(tmp_path)
    sha256 = asyncio.run(files.put(b"right"))
    (tmp_path / sha256[:2] / sha256).write_bytes(b"wrong")

    with pytest.raises(StoreBroken, match="damaged"):
        asyncio.run(files.get(sha256))


def test_nobody_else_can_read_them(tmp_path):
    """Files hold what customers sent: for the owner of the process alone."""
    sha256 = asyncio.run(LocalFiles(tmp_path).put(b"private"))

    path = tmp_path / sha256[:2] / sha256
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
