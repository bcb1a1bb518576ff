"""The contract of `Files`: bytes by content, whole or absent."""

from __future__ import annotations

import asyncio
import errno
import hashlib

import pytest

from broker.errors import NotFound, StoreBroken, StoreFull, TooLarge
from broker.files import PIECE_BYTES, LocalFiles


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


# --- a piece at a time


async def _pieces(*pieces):
    for piece in pieces:
        yield piece


async def _all_of(stream):
    return b"".join([piece async for piece in stream])


def _left(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_what_comes_in_pieces_is_the_same_file(files):
    """Its name and its size are those of the whole, however it was cut; empty pieces are nothing."""
    whole = asyncio.run(files.put(b"one two"))

    assert (whole, 7) == asyncio.run(files.put_from(_pieces(b"one", b"", b" two"), 7))
    assert b"one two" == asyncio.run(files.get(whole))


def test_nothing_in_pieces_is_the_empty_file(files):
    """No pieces at all, too."""
    assert (hashlib.sha256(b"").hexdigest(), 0) == asyncio.run(files.put_from(_pieces(), 0))


def test_one_byte_too_much_keeps_nothing(tmp_path):
    """What is above the limit is refused where it is reached, and what came before it is not kept."""
    with pytest.raises(TooLarge, match="7 bytes"):
        asyncio.run(LocalFiles(tmp_path).put_from(_pieces(b"one two", b"!"), 7))

    assert [] == _left(tmp_path)


def test_what_breaks_off_keeps_nothing(tmp_path):
    """Whatever its giver fails with comes through, and half a file is none."""

    async def broken():
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        asyncio.run(LocalFiles(tmp_path).put_from(broken(), 100))

    assert [] == _left(tmp_path)


def test_who_gives_up_keeps_nothing(tmp_path):
    """A task that is cancelled in the middle leaves no piece behind."""

    async def play():
        asked = asyncio.Event()

        async def slow():
            yield b"half"
            asked.set()
            await asyncio.get_running_loop().create_future()

        task = asyncio.create_task(LocalFiles(tmp_path).put_from(slow(), 100))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())
    assert [] == _left(tmp_path)


def test_a_disk_that_fills_up_refuses_the_pieces_and_keeps_none(tmp_path):
    """As it refuses a whole file; with room again the same is taken."""
    with pytest.raises(StoreFull):
        asyncio.run(LocalFiles(tmp_path, write=_full_after(5)).put_from(_pieces(b"more", b"than fits"), 100))

    assert [] == _left(tmp_path)
    assert 13 == asyncio.run(LocalFiles(tmp_path).put_from(_pieces(b"more", b"than fits"), 100))[1]


def test_pieces_of_many_at_once_do_not_mix(files):
    """Also of the same file."""

    async def all_at_once():
        bodies = [bytes([number % 4]) * 3 for number in range(8)]
        names = await asyncio.gather(*(files.put_from(_pieces(*(body[:1], body[1:])), 3) for body in bodies))
        return [(await files.get(sha256), size) for sha256, size in names]

    assert [(bytes([number % 4]) * 3, 3) for number in range(8)] == asyncio.run(all_at_once())


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [(0, None, b"0123456789"), (3, None, b"3456789"), (3, 5, b"34"), (0, 99, b"0123456789"), (10, None, b""), (5, 5, b"")],
)
def test_a_part_is_read(files, begin, end, expected):
    """From the first byte asked for up to the last, not included; what is behind the end is nothing."""
    sha256 = asyncio.run(files.put(b"0123456789"))

    assert expected == asyncio.run(_all_of(files.read(sha256, begin, end)))


def test_a_large_file_is_read_a_piece_at_a_time(files):
    """Nobody needs room for all of it."""
    body = bytes(range(256)) * 2_000
    sha256 = asyncio.run(files.put(body))

    async def read():
        return [piece async for piece in files.read(sha256, 1, len(body) - 1)]

    pieces = asyncio.run(read())
    assert body[1:-1] == b"".join(pieces)
    assert max(map(len, pieces)) <= PIECE_BYTES < len(body)


@pytest.mark.parametrize("name", ["0" * 64, "", "../../etc/passwd", "A" * 64])
def test_of_what_is_not_there_no_part_is_read(files, name):
    """As nothing is got of it."""
    with pytest.raises(NotFound):
        asyncio.run(_all_of(files.read(name)))


def test_what_came_in_pieces_is_nobody_elses_to_read(tmp_path):
    """As a whole file is not."""
    sha256, _ = asyncio.run(LocalFiles(tmp_path).put_from(_pieces(b"private"), 100))

    path = tmp_path / sha256[:2] / sha256
    assert (0o600, 0o700) == (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777)
