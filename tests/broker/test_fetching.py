"""What is asked of providers after a message is stored: its files and who wrote it, again and again, and never in its way."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from PIL import Image

from broker import extras, fetching
from broker.domain import ConversationId, FileId, LineSettings, Person, to_us
from broker.errors import LeaseLost, Rejected, StoreBusy, StoreFull, Unavailable
from broker.events import Changed, Wrote
from broker.extras import Attachment, Extra, FileKind, FileState
from broker.fetching import Asked, Fetcher, Kept, add_file
from broker.files import LocalFiles
from broker.inbound import accept, prepare
from broker.leases import free
from broker.ports import Bell, Channel, Profile, Tx
from broker.transport.memory import MemoryTransport
from tests.support.channels import FakeChannel
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line
from tests.support.messenger import Messenger
from tests.support.store import MemoryStore

T = TypeVar("T")
_ROWS = "SELECT id, channel_id, conversation_id, seq, no, ref, attempt, created_us FROM fetches ORDER BY id"


class Answered:
    """A store that answers at once, awaited; *refusals*: how many of the next writes it refuses."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.refusals = 0

    async def write(self, work: Callable[[Tx], T], /) -> T:
        """See `Store.write`."""
        if self.refusals:
            self.refusals -= 1
            raise StoreBusy("another has it")
        return self._store.write(work)

    async def write_each(self, work: Callable[[Tx, Sequence[Any]], Sequence[T]], item: Any, /) -> T:
        """See `Store.write_each`."""
        return self._store.write(lambda tx: work(tx, (item,)))[0]

    async def read(self, work: Callable[[Tx], T], /) -> T:
        """See `Store.read`."""
        return self._store.read(work)


class FullFiles(LocalFiles):
    """A disk without room."""

    async def put_from(self, chunks: Any, most: int) -> tuple[str, int]:
        """Raise StoreFull."""
        raise StoreFull("the disk is full")


class Desk:
    """A line with a messenger, and the fetcher of its files."""

    def __init__(self, folder: Path) -> None:
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)
        self.answered = Answered(self.store)
        self.transport = MemoryTransport()
        self.files = LocalFiles(folder)
        self.channel: Channel | None = None
        self.one = self.store.write(self._build)
        self.channel = self.one
        self.fence: Callable[[Tx], None] = free
        self.within: Callable[[Awaitable[None], float], Awaitable[None]] = asyncio.wait_for

    @staticmethod
    def _build(tx: Tx) -> Messenger:
        line = add_line(tx)
        return Messenger(add_channel(tx, line), line)

    def hear(self, what: Any, person: Person | None = None) -> ConversationId:
        """Accept *what*, said by eve."""
        prepared = prepare(self.one, [self.one.brings(what, person=person)], LineSettings())
        (accepted,) = self.store.write(lambda tx: accept(tx, self.one.id, prepared))
        return ConversationId(str(accepted.conversation_id))

    def fetcher(self, **more: Any) -> Fetcher:
        """Return the shipped fetcher."""
        return Fetcher(
            self.answered,
            self.transport,
            more.pop("files", self.files),
            lambda _: self.channel,
            self._fenced,
            within=self.within,
            **more,
        )

    def _fenced(self, tx: Tx) -> None:
        self.fence(tx)

    def asked(self) -> list[Asked]:
        """Return what is to be asked for."""
        return [Asked(*row) for row in self.store.rows(_ROWS)]

    def step(self, asked: Asked | None = None, **more: Any) -> None:
        """Ask once for what is first to be asked for."""
        asyncio.run(self.fetcher(**more).step(asked or self.asked()[0]))

    def extra(self) -> Extra:
        """Return what the only message has beside its words."""
        return extras.read(self.store.one("SELECT extra FROM messages"))

    def file(self) -> Attachment:
        """Return its only file."""
        (file,) = self.extra().files
        return file

    def waits_seconds(self) -> float:
        """Return in how many seconds the only row is asked for again."""
        return float((self.store.one("SELECT due_us FROM fetches") - to_us(self.clock.now())) / 1_000_000)

    def told(self) -> list[str]:
        """Return what the journal says has changed, in a word each."""
        found = self.store.rows("SELECT body FROM journal WHERE kind = 'changed' ORDER BY id")
        return [msgspec.json.decode(row[0])["what"] for row in found]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Return a desk where nothing is awaited."""
    return Desk(tmp_path)


def document(**more: Any) -> Wrote:
    """Return a message with a document that its provider calls `f1`."""
    return Wrote("", ref="m1", extra=Extra(files=(Attachment(FileKind.DOCUMENT, name="a.pdf", ref="f1", **more),)))


def photo(*refs: str) -> Wrote:
    """Return a message of photos."""
    return Wrote("", ref="m1", extra=Extra(files=tuple(Attachment(FileKind.PHOTO, ref=ref) for ref in refs)))


def picture(width: int = 40, height: int = 20) -> bytes:
    """Return a picture."""
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


# --- files


def test_a_file_arrives(desk: Desk):
    """Kept by what it is, owned by its conversation; its message says so, screens are told, and nothing more is awaited."""
    conversation = desk.hear(document(media_type="application/pdf"))
    desk.one.files["f1"] = [b"%PDF", b"-1.7"]

    desk.step()

    sha256 = hashlib.sha256(b"%PDF-1.7").hexdigest()
    found = desk.store.rows("SELECT sha256, name, media_type, size, conversation_id, kind, preview, operator_id FROM files")
    assert [(sha256, "a.pdf", "application/pdf", 8, conversation, "document", "", None)] == found
    assert b"%PDF-1.7" == asyncio.run(desk.files.get(sha256))
    id_ = desk.store.one("SELECT id FROM files")
    assert Attachment(FileKind.DOCUMENT, FileState.READY, "a.pdf", "application/pdf", 8, origin="f1", id=id_) == desk.file()
    assert (["file"], []) == (desk.told(), desk.asked())


def test_the_journal_names_the_message_that_has_changed(desk: Desk):
    """By its number, in its conversation and its session: a screen reads it anew."""
    conversation = desk.hear(document())
    desk.one.files["f1"] = [b"x"]
    desk.step()

    assert [(conversation, 1)] == desk.store.rows("SELECT conversation_id, message_seq FROM journal WHERE kind = 'changed'")


def test_a_picture_has_a_preview(desk: Desk):
    """Made anew and kept beside it, with the size of the picture."""
    desk.hear(photo("f1"))
    desk.one.files["f1"] = [picture()]

    desk.step()

    file = desk.file()
    assert (True, 40, 20) == (file.preview, file.width, file.height)
    ((preview, width, height),) = desk.store.rows("SELECT preview, width, height FROM files")
    assert (b"WEBP", 40, 20) == (asyncio.run(desk.files.get(preview))[8:12], width, height)


def test_what_only_calls_itself_a_picture_is_a_file_without_a_preview(desk: Desk):
    """It has come, and can be downloaded."""
    desk.hear(photo("f1"))
    desk.one.files["f1"] = [b"<svg/>"]

    desk.step()

    assert (FileState.READY, False) == (desk.file().state, desk.file().preview)


def test_a_document_that_is_a_picture_by_its_type_has_a_preview(desk: Desk):
    """As people send them who want none of it lost."""
    desk.hear(document(media_type="image/png"))
    desk.one.files["f1"] = [picture()]

    desk.step()

    assert desk.file().preview


def test_a_file_that_is_too_large_by_its_own_word_is_not_asked_for(desk: Desk):
    """The message says how large it is, and how much is taken."""
    desk.hear(document(size=101))

    desk.step(bytes_max=100)

    assert ([], FileState.TOO_LARGE) == (desk.one.asked, desk.file().state)
    assert "101" in desk.file().problem
    assert (["file"], []) == (desk.told(), desk.asked())


def test_a_file_that_turns_out_too_large_is_not_kept(desk: Desk, tmp_path: Path):
    """Whatever size it was said to have: reading ends where it is too much."""
    desk.hear(document(size=1))
    desk.one.files["f1"] = [b"x" * 60, b"x" * 60]

    desk.step(bytes_max=100)

    assert (FileState.TOO_LARGE, []) == (desk.file().state, [path for path in tmp_path.rglob("*") if path.is_file()])
    assert [] == desk.store.rows("SELECT id FROM files")


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Rejected("over 20 MB", code="too_large"), FileState.TOO_LARGE),
        (Rejected("no such file"), FileState.GONE),
    ],
)
def test_what_the_provider_will_never_give_is_told(desk: Desk, error: Exception, state: FileState):
    """In its words; it is not asked for again."""
    desk.hear(document())
    desk.one.files["f1"] = error

    desk.step()

    assert (state, str(error), []) == (desk.file().state, desk.file().problem, desk.asked())


def test_a_channel_without_files_has_none(desk: Desk):
    """Its kind may have changed since."""
    desk.hear(document())
    desk.channel = FakeChannel(desk.one.id, desk.one.line_id)

    desk.step()

    assert (FileState.GONE, []) == (desk.file().state, desk.asked())


# --- a provider that is away


def test_a_provider_that_is_away_is_asked_again_later_and_later(desk: Desk):
    """1, 2, 4 … at most 600 seconds; the message waits, and why stands with what is awaited."""
    desk.hear(document())
    desk.one.files["f1"] = Unavailable("resting")
    waits = []
    for _ in range(12):
        desk.step()
        waits.append(desk.waits_seconds())

    assert [1, 2, 4, 8] == waits[:4]
    assert 600 == max(waits)
    assert (FileState.AWAITED, "resting") == (desk.file().state, desk.store.one("SELECT problem FROM fetches"))
    assert [] == desk.told()


@pytest.mark.parametrize("error", [OSError("connection reset"), ZeroDivisionError(), TimeoutError()])
def test_whatever_an_adapter_fails_with_it_is_asked_again(desk: Desk, error: Exception):
    """A file is not lost by a fault of ours; what it was stands with it."""
    desk.hear(document())
    desk.one.files["f1"] = error

    desk.step()

    assert (1, str(error) or type(error).__name__) == desk.store.rows("SELECT attempt, problem FROM fetches")[0]


def test_a_provider_says_when_to_come_back(desk: Desk):
    """And is not asked before."""
    desk.hear(document())
    desk.one.files["f1"] = Unavailable("resting", retry_after=77.0)

    desk.step()

    assert 77 == desk.waits_seconds()


def test_a_channel_that_is_switched_off_is_asked_when_it_is_on_again(desk: Desk):
    """Nothing of its messages is given up at once."""
    desk.hear(document())
    desk.one.files["f1"] = [b"x"]
    desk.channel = None
    desk.step()
    waited = desk.waits_seconds()
    desk.channel = desk.one
    desk.step()

    assert (60, FileState.READY) == (waited, desk.file().state)


@pytest.mark.parametrize("seconds", [fetching.GIVE_UP_SECONDS, fetching.GIVE_UP_SECONDS + 1])
def test_after_a_day_it_is_given_up_with_words(desk: Desk, seconds: float):
    """The message says why its file is not here."""
    desk.hear(document())
    desk.one.files["f1"] = Unavailable("resting")
    desk.clock.move(timedelta(seconds=seconds))

    desk.step()

    over = seconds > fetching.GIVE_UP_SECONDS
    assert (FileState.GONE if over else FileState.AWAITED) == desk.file().state
    assert ("it did not come within a day: resting" if over else "") == desk.file().problem
    assert over == (desk.asked() == [])


def test_what_is_given_up_after_a_timeout_says_so(desk: Desk):
    """No sentence stops in its middle."""
    desk.hear(document())
    desk.one.files["f1"] = TimeoutError()
    desk.clock.move(timedelta(seconds=fetching.GIVE_UP_SECONDS + 1))

    desk.step()

    assert not desk.file().problem.endswith(": ")


def test_a_full_disk_is_tried_again(desk: Desk, tmp_path: Path):
    """In a minute: the provider has it still."""
    desk.hear(document())
    desk.one.files["f1"] = [b"x"]
    desk.step(files=FullFiles(tmp_path))
    waited = desk.waits_seconds()
    desk.step()

    assert (60, FileState.READY) == (waited, desk.file().state)


def test_a_provider_that_takes_too_long_is_asked_again(desk: Desk):
    """Each question has its time."""
    seen: list[float] = []

    async def over(asking: Awaitable[None], seconds: float) -> None:
        seen.append(seconds)
        asyncio.ensure_future(asking).cancel()
        raise TimeoutError

    desk.within = over
    desk.hear(document(), person=Person("eve", profile="id-7"))
    for asked in desk.asked():
        desk.step(asked)

    assert {fetching.FILE_SECONDS, fetching.PROFILE_SECONDS} == set(seen)
    assert [1, 1] == [asked.attempt for asked in desk.asked()]


# --- what has changed meanwhile


def test_who_lost_the_lease_writes_nothing(desk: Desk):
    """Neither that it came, nor that it did not."""
    desk.hear(document())
    before = desk.asked()

    def lost(tx: Tx) -> None:
        raise LeaseLost("fetcher")

    desk.fence = lost
    for given in ([b"x"], Rejected("gone"), Unavailable("resting")):
        desk.one.files["f1"] = given
        with pytest.raises(LeaseLost):
            desk.step()

    assert (before, [], FileState.AWAITED) == (desk.asked(), desk.store.rows("SELECT id FROM files"), desk.file().state)


@pytest.mark.parametrize("given", [[b"x"], Rejected("gone")])
def test_a_message_that_has_another_file_by_now_stays_as_it_is(desk: Desk, given: Any):
    """What was asked for is nobody's any more."""
    desk.hear(document())
    (before,) = desk.asked()
    desk.one.files["f1"] = given
    desk.hear(Changed("m1", "", Extra(files=(Attachment(FileKind.DOCUMENT, name="b.pdf", ref="f2"),))))

    desk.step(before)

    assert (FileState.AWAITED, "f2") == (desk.file().state, desk.file().ref)
    assert ([], ["f2"]) == (desk.store.rows("SELECT id FROM files"), [asked.ref for asked in desk.asked()])


def test_a_file_that_no_message_has_any_more_is_forgotten(desk: Desk):
    """The provider is not asked for it."""
    desk.hear(document())
    (before,) = desk.asked()
    desk.store.change("UPDATE messages SET extra = NULL")

    desk.step(before)

    assert ([], []) == (desk.one.asked, desk.asked())


def test_one_file_of_several_arrives_in_its_own_place(desk: Desk):
    """The others are awaited still."""
    desk.hear(photo("f1", "f2", "f3"))
    desk.one.files["f2"] = [b"x"]

    desk.step(desk.asked()[1])

    assert ["awaited", "ready", "awaited"] == [file.state.value for file in desk.extra().files]
    assert ["f1", "f3"] == [asked.ref for asked in desk.asked()]


# --- who somebody is


def learnt(desk: Desk) -> tuple[Any, ...]:
    """Return what is known of the only contact."""
    ((name, language, avatar),) = desk.store.rows("SELECT name, language, avatar FROM contacts")
    return name, language, bool(avatar)


def test_a_profile_fills_what_is_not_known(desk: Desk):
    """Name, language, nickname and picture; screens are told, and the customer is called by that name."""
    desk.hear(Wrote("hello"), person=Person("eve", profile="id-7"))
    desk.one.people["id-7"] = Profile("Eve Adams", "@eve", "fr", picture(400, 400))

    desk.step()

    assert ("Eve Adams", "fr", True) == learnt(desk)
    assert [("Eve Adams",)] == desk.store.rows("SELECT told_name FROM conversations")
    assert [("eve", "@eve")] == desk.store.rows("SELECT value, written FROM contact_points")
    body = msgspec.json.decode(desk.store.rows("SELECT body FROM journal WHERE kind = 'contact' ORDER BY id DESC")[0][0])
    assert (["name"], []) == (body["added"], desk.asked())
    avatar = Image.open(io.BytesIO(asyncio.run(desk.files.get(desk.store.one("SELECT avatar FROM contacts")))))
    assert (160, 160) == avatar.size


def test_a_profile_replaces_nothing_that_they_said_themselves(desk: Desk):
    """What they are called is theirs to say."""
    desk.hear(Wrote("hello"), person=Person("eve", name="Vera", language="ru", profile="id-7"))
    desk.one.people["id-7"] = Profile("Eve Adams", language="fr")

    desk.step()

    assert ("Vera", "ru", False) == learnt(desk)
    assert [("Vera",)] == desk.store.rows("SELECT told_name FROM conversations")


def test_a_picture_that_is_known_stays(desk: Desk):
    """The contact may have come by another channel since; what is filled in is what is empty."""
    desk.hear(Wrote("hello"), person=Person("eve", profile="id-7"))
    desk.store.change("UPDATE contacts SET avatar = 'before'")
    desk.one.people["id-7"] = Profile(picture=picture())

    desk.step()

    assert "before" == desk.store.one("SELECT avatar FROM contacts")


def test_a_picture_that_is_none_leaves_the_one_that_is_there(desk: Desk):
    """A provider may give anything."""
    desk.hear(Wrote("hello"), person=Person("eve", profile="id-7"))
    desk.store.change("UPDATE contacts SET avatar = 'before'")
    desk.one.people["id-7"] = Profile("Eve", picture=b"<svg/>")

    desk.step()

    assert "before" == desk.store.one("SELECT avatar FROM contacts")


def test_who_somebody_is_is_not_asked_for_ever(desk: Desk):
    """No customer waits for it: after nine times it is let be."""
    desk.hear(Wrote("hello"), person=Person("eve", profile="id-7"))
    desk.one.people["id-7"] = Unavailable("resting")
    asked = 0
    while desk.asked():
        desk.step()
        asked += 1

    assert (9, ("", "", False)) == (asked, learnt(desk))


@pytest.mark.parametrize("knows", [True, False])
def test_whom_the_provider_does_not_know_is_not_asked_about_again(desk: Desk, knows: bool):
    """Nor where the channel knows nobody."""
    desk.hear(Wrote("hello"), person=Person("eve", profile="id-7"))
    desk.one.people["id-7"] = Rejected("nobody")
    desk.channel = desk.one if knows else FakeChannel(desk.one.id, desk.one.line_id)

    desk.step()

    assert ([], ("", "", False)) == (desk.asked(), learnt(desk))


# --- the loop


class Slow(Messenger):
    """A provider that gives nothing until it is let."""

    let: asyncio.Event
    under_way = 0

    async def fetch(self, ref: str) -> Any:
        """See `FetchesFiles.fetch`."""
        self.asked.append(ref)
        self.under_way += 1
        await self.let.wait()
        self.under_way -= 1
        yield ref.encode()


async def until(true: Callable[[], Any]) -> None:
    """Let the others run until *true* holds; a test that waits for ever has failed."""
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  (what is waited for rings nothing)
            await asyncio.sleep(0)


async def stopped(task: asyncio.Task[None]) -> None:
    """End *task*."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def test_so_many_are_asked_for_at_once_and_all_of_them_in_the_end(desk: Desk):
    """Nobody is asked twice for one file, and the rest wait for their turn: a slow provider leaves room for the others."""
    names = [f"f{number}" for number in range(10)]
    desk.one = slow = Slow(desk.one.id, desk.one.line_id)
    desk.channel = slow
    desk.hear(photo(*names))

    under_way: list[int] = [0]

    async def counted(asking: Awaitable[None], seconds: float) -> None:
        under_way.append(under_way[-1] + 1)
        await asking
        under_way.append(under_way[-1] - 1)

    desk.within = counted

    async def play() -> None:
        slow.let = asyncio.Event()
        running = asyncio.create_task(desk.fetcher().run())
        await until(lambda: slow.under_way == fetching.OF_A_CHANNEL)
        first = list(slow.asked)
        slow.let.set()
        await until(lambda: not desk.asked())
        await stopped(running)
        assert set(names[: fetching.OF_A_CHANNEL]) == set(first)

    asyncio.run(play())
    assert (sorted(names), fetching.OF_A_CHANNEL) == (sorted(slow.asked), max(under_way))
    assert [FileState.READY] * 10 == [file.state for file in desk.extra().files]


def test_a_ring_begins_it_at_once(desk: Desk):
    """Nobody waits for the sweep: the bell is enough."""

    async def play() -> None:
        running = asyncio.create_task(desk.fetcher().run())
        await asyncio.sleep(0)
        desk.one.files["f1"] = [b"x"]
        desk.hear(document())
        desk.transport.ring([(Bell.FETCH, "")])
        async with asyncio.timeout(fetching.SWEEP_SECONDS - 1):
            await until(lambda: not desk.asked())
        await stopped(running)

    asyncio.run(play())
    assert FileState.READY == desk.file().state


def test_what_is_not_due_is_not_asked_for(desk: Desk):
    """Ringing makes nobody sooner."""
    desk.hear(document())
    desk.channel = None
    desk.step()

    async def play() -> None:
        running = asyncio.create_task(desk.fetcher().run())
        for _ in range(50):
            desk.transport.ring([(Bell.FETCH, "")])
            await asyncio.sleep(0)
        await stopped(running)

    asyncio.run(play())
    assert [1] == [asked.attempt for asked in desk.asked()]


def test_the_loop_ends_with_its_lease(desk: Desk):
    """Another process does it now; what was under way is ended too."""
    desk.hear(document())
    desk.one.files["f1"] = [b"x"]

    def lost(tx: Tx) -> None:
        raise LeaseLost("fetcher")

    desk.fence = lost
    with pytest.raises(LeaseLost):
        asyncio.run(asyncio.wait_for(desk.fetcher().run(), 20))

    assert FileState.AWAITED == desk.file().state


def test_a_store_that_takes_nothing_is_not_asked_without_a_pause(desk: Desk):
    """Nor is the provider, which would give the same file again and again."""
    desk.hear(document())
    desk.channel = None
    desk.answered.refusals = 1_000

    async def play() -> None:
        running = asyncio.create_task(desk.fetcher().run())
        for _ in range(200):
            await asyncio.sleep(0)
        await stopped(running)

    asyncio.run(play())
    assert 999 == desk.answered.refusals


# --- what operators upload


def test_a_file_of_an_operators_own_is_added_once(desk: Desk):
    """Under an id of its own: again it is no other file."""
    conversation = desk.hear(Wrote("hello"))
    kept = Kept("0" * 64, 3, "1" * 64, 40, 20)
    id_ = FileId("01900000-0000-7000-8000-0000000000ff")

    def add(tx: Tx) -> bool:
        return add_file(tx, id_, kept, FileKind.PHOTO, "a.png", "image/png", conversation, "ann")

    assert (True, False) == (desk.store.write(add), desk.store.write(add))
    assert [(id_, "photo", "1" * 64, 40, "ann")] == desk.store.rows("SELECT id, kind, preview, width, operator_id FROM files")
