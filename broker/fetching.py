"""What is asked of providers after a message has been stored: its files, and who wrote it.

    a message ──accept──► stored, its files awaited ──► a row in `fetches` ──► the provider is asked ──► kept, and the message says so

Nobody waits for it: the session is routed and answered meanwhile. A row is asked for by one process of the house at a time, again and
again while the provider cannot be reached, and for a day at most; then the message says why the file is not here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import NamedTuple

import structlog
from msgspec.structs import replace
from sqlalchemy import bindparam, delete, select, update

from broker import metrics, previews
from broker.domain import FILE_BYTES_MAX, ChannelId, ConversationId, FileId, to_us
from broker.errors import LeaseLost, Rejected, StoreBroken, StoreClosed, StoreError, StoreFull, TooLarge, Unavailable
from broker.extras import Attachment, FileKind, FileState
from broker.inbound import learn, said
from broker.leases import Fence
from broker.ports import Bell, Channel, FetchesFiles, Files, KnowsPeople, Profile, Store, Transport, Tx
from broker.store import locks
from broker.store.sql import cols, insert_new, insert_row, sql
from broker.store.tables import fetches, files

log = structlog.get_logger(__name__)

AT_ONCE = 4
OF_A_CHANNEL = 2
SWEEP_SECONDS = 5.0
FILE_SECONDS = 600.0
"""What a provider may take to give one file."""
PROFILE_SECONDS = 30.0
BACKOFF_MAX_SECONDS = 600.0
GIVE_UP_SECONDS = 86_400.0
PREVIEW_TRIES = 3
"""After so many a picture is a file like any other."""
FOLDER_SECONDS = 60.0
"""Until what could not be written into the folder of files is tried again."""
_PICTURES = (FileKind.PHOTO, FileKind.STICKER)

_DUE = sql(
    select(*cols(fetches, "id channel_id conversation_id seq no ref attempt created_us"))
    .where(fetches.c.due_us <= bindparam("now_us"))
    .order_by(fetches.c.due_us)
    .limit(500)
)
# Before it is asked for: a file that ends the process is not asked for again at each start.
_BEGIN = sql(
    update(fetches).values(attempt=fetches.c.attempt + 1, due_us=bindparam("next_us")).where(fetches.c.id == bindparam("row"))
)
_LATER = sql(
    update(fetches).values(due_us=bindparam("next_us"), problem=bindparam("why")).where(fetches.c.id == bindparam("row"))
)
_DONE = sql(delete(fetches).where(fetches.c.id == bindparam("row")))
_FILE = insert_row(files, "id sha256 name media_type size conversation_id created_us kind preview width height")
_UPLOADED = insert_new(
    files, "id sha256 name media_type size conversation_id created_us kind preview width height operator_id", "id"
)


class Asked(NamedTuple):
    """A row of `fetches`."""

    id: str
    channel_id: ChannelId
    conversation_id: ConversationId
    seq: int | None
    no: int
    ref: str
    attempt: int
    created_us: int


class Kept(NamedTuple):
    """A file that is here."""

    sha256: str
    size: int
    preview: str = ""
    width: int = 0
    height: int = 0


class Fetcher:
    """Asks providers for what is awaited; `step` is what the loop runs for one row."""

    def __init__(
        self,
        store: Store,
        transport: Transport,
        kept: Files,
        channel: Callable[[ChannelId], Channel | None],
        fence: Fence,
        *,
        bytes_max: int = FILE_BYTES_MAX,
        within: Callable[[Awaitable[None], float], Awaitable[None]] = asyncio.wait_for,
    ) -> None:
        """*channel* gives those that are switched on."""
        self._store = store
        self._transport = transport
        self._files = kept
        self._channel = channel
        self._fence = fence
        self._bytes_max = bytes_max
        self._within = within
        self._rung = asyncio.Event()
        self._busy: dict[str, ChannelId] = {}
        self._rests: dict[str, float] = {}
        """Until when, by the loop's time, what could not be written down is let be."""

    async def run(self) -> None:
        """Go on until cancelled, or until the lease is lost."""
        stop = self._transport.listen(Bell.FETCH, lambda _: self._rung.set())
        under_way: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._rung.clear()
                for asked in await self._due():
                    if asked.id in self._busy or self._rests.get(asked.id, 0.0) > loop.time():
                        continue
                    if list(self._busy.values()).count(asked.channel_id) >= OF_A_CHANNEL:
                        continue  # one that gives its files slowly leaves room for the others
                    while len(under_way) >= AT_ONCE:
                        done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                        for task in done:
                            task.result()
                    self._busy[asked.id] = asked.channel_id
                    under_way.add(asyncio.create_task(self._one(asked)))
                await self._rest(under_way)
                for task in [one for one in under_way if one.done()]:
                    under_way.discard(task)
                    task.result()
        finally:
            stop()
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    async def _rest(self, under_way: set[asyncio.Task[None]]) -> None:
        """Wait until something may be due, or one that is under way has ended."""
        rung = asyncio.ensure_future(self._rung.wait())
        try:
            await asyncio.wait({rung, *under_way}, timeout=SWEEP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        finally:
            rung.cancel()

    async def _due(self) -> list[Asked]:
        try:
            return [Asked(*row) for row in await self._store.read(lambda tx: tx.all(_DUE, now_us=to_us(tx.now)))]
        except (StoreBroken, StoreClosed):
            raise
        except StoreError as error:
            log.warning("fetcher_waits_for_store", problem=str(error))
            return []

    async def _one(self, asked: Asked) -> None:
        try:
            await self.step(asked)
        except (LeaseLost, StoreBroken, StoreClosed):
            raise
        except StoreError as error:
            # Due still: the sweep comes back to it, and not sooner.
            log.warning("fetch_not_written_down", problem=str(error))
            now = asyncio.get_running_loop().time()
            self._rests = {id_: until for id_, until in self._rests.items() if until > now} | {asked.id: now + SWEEP_SECONDS}
        else:
            self._rung.set()
        finally:
            self._busy.pop(asked.id, None)

    async def step(self, asked: Asked) -> None:
        """Ask the provider for what *asked* wants, and write down what came of it."""
        await self._store.write(partial(self._begin, asked))
        try:
            channel = self._channel(asked.channel_id)
            if channel is None:
                raise Unavailable("its channel is switched off", retry_after=60.0)
            if asked.seq is None:
                await self._within(self._ask_who(asked, channel), PROFILE_SECONDS)
            else:
                await self._within(self._ask_for_file(asked, channel), FILE_SECONDS)
        except (LeaseLost, StoreBroken, StoreClosed):
            raise
        except Rejected as error:
            state = FileState.TOO_LARGE if error.code == "too_large" else FileState.GONE
            await self._store.write(partial(self._without, asked, state, str(error)))
        except TooLarge as error:
            await self._store.write(partial(self._without, asked, FileState.TOO_LARGE, str(error)))
        except Exception as error:  # whatever it is, it is asked again: the message waits for it
            if not isinstance(error, Unavailable | StoreError | TimeoutError | OSError):
                metrics.unexpected_errors_total.labels("fetcher").inc()
                log.exception("fetch_failed_unexpectedly", channel_id=asked.channel_id)
            await self._store.write(partial(self._put_off, asked, error))

    def _begin(self, asked: Asked, tx: Tx) -> None:
        self._fence(tx)
        tx.run(_BEGIN, row=asked.id, next_us=to_us(tx.now + timedelta(seconds=FILE_SECONDS)))

    async def _ask_for_file(self, asked: Asked, channel: Channel) -> None:
        if not isinstance(channel, FetchesFiles):
            raise Rejected("this channel has no files")
        there = await self._store.read(lambda tx: said.at(tx, asked.conversation_id, asked.seq or 0))
        if there is None or len(there.extra.files) <= asked.no:
            await self._store.write(partial(self._forget, asked))
            return
        file = there.extra.files[asked.no]
        if file.size > self._bytes_max:
            raise TooLarge(f"it has {file.size:,} bytes, and {self._bytes_max:,} are taken")
        try:
            sha256, size = await self._files.put_from(channel.fetch(asked.ref), self._bytes_max)
            kept = Kept(sha256, size)
            pictured = file.kind in _PICTURES or file.media_type.startswith("image/")
            if pictured and asked.attempt < PREVIEW_TRIES:
                kept = await keep_preview(self._files, kept)
        except StoreBroken as error:  # the folder of files, not the database: it can be repaired while all else goes on
            raise Unavailable(str(error), retry_after=FOLDER_SECONDS) from error
        await self._store.write(partial(self._arrived, asked, kept))
        metrics.fetched_total.labels(channel.kind, "file").inc()

    async def _ask_who(self, asked: Asked, channel: Channel) -> None:
        if not isinstance(channel, KnowsPeople):
            raise Rejected("this channel knows nobody")
        profile = await channel.profile(asked.ref)
        preview = await asyncio.to_thread(previews.make, profile.picture, previews.AVATAR_EDGE)
        try:
            avatar = await self._files.put(preview.body) if preview is not None else ""
        except StoreBroken as error:
            raise Unavailable(str(error), retry_after=FOLDER_SECONDS) from error
        await self._store.write(partial(self._learnt, asked, profile, avatar))
        metrics.fetched_total.labels(channel.kind, "profile").inc()

    def _arrived(self, asked: Asked, kept: Kept, tx: Tx) -> None:
        id_ = FileId(tx.new_id())

        def here(file: Attachment) -> Attachment:
            tx.run(
                _FILE,
                id=id_,
                sha256=kept.sha256,
                name=file.name,
                media_type=file.media_type,
                size=kept.size,
                conversation_id=asked.conversation_id,
                created_us=to_us(tx.now),
                kind=file.kind.value,
                preview=kept.preview,
                width=kept.width or file.width,
                height=kept.height or file.height,
            )
            size = {"width": kept.width, "height": kept.height} if kept.width else {}
            return replace(
                file,
                state=FileState.READY,
                id=id_,
                size=kept.size,
                preview=bool(kept.preview),
                ref="",
                origin=file.known_by,
                **size,
            )

        self._settle(asked, here, tx)

    def _without(self, asked: Asked, state: FileState, problem: str, tx: Tx) -> None:
        self._settle(asked, lambda file: replace(file, state=state, problem=problem[:300], ref="", origin=file.known_by), tx)

    def _settle(self, asked: Asked, change: Callable[[Attachment], Attachment], tx: Tx) -> None:
        """Let the message's file be what *change* makes of it, and await it no more; one that is another by now stays."""
        self._fence(tx)
        locks.conversations(tx, [asked.conversation_id])
        tx.run(_DONE, row=asked.id)
        there = said.at(tx, asked.conversation_id, asked.seq) if asked.seq is not None else None
        if there is None or len(there.extra.files) <= asked.no or there.extra.files[asked.no].ref != asked.ref:
            return
        changed = list(there.extra.files)
        changed[asked.no] = change(changed[asked.no])
        said.rewrite(tx, there, there.text, replace(there.extra, files=tuple(changed)), "file")

    def _learnt(self, asked: Asked, profile: Profile, avatar: str, tx: Tx) -> None:
        self._fence(tx)
        locks.conversations(tx, [asked.conversation_id])
        tx.run(_DONE, row=asked.id)
        learn(tx, asked.conversation_id, profile, avatar)

    def _put_off(self, asked: Asked, error: Exception, tx: Tx) -> None:
        why = (str(error) or type(error).__name__)[:1_000]
        if asked.seq is None and asked.attempt >= 8:
            self._forget(asked, tx)  # who they are is nothing that a customer waits for
            return
        if to_us(tx.now) - asked.created_us > GIVE_UP_SECONDS * 1_000_000 and asked.seq is not None:
            self._without(asked, FileState.GONE, f"it did not come within a day: {why}", tx)
            return
        self._fence(tx)
        wait = error.retry_after if isinstance(error, Unavailable) and error.retry_after is not None else None
        if wait is None:
            wait = 60.0 if isinstance(error, StoreFull) else min(BACKOFF_MAX_SECONDS, 2.0 ** min(asked.attempt, 10))
        tx.run(_LATER, row=asked.id, next_us=to_us(tx.now + timedelta(seconds=wait)), why=why)

    def _forget(self, asked: Asked, tx: Tx) -> None:
        self._fence(tx)
        tx.run(_DONE, row=asked.id)


async def keep_preview(kept: Files, file: Kept) -> Kept:
    """Return *file* with a picture of it, where one can be made."""
    if file.size > previews.BYTES_MAX:
        return file
    preview = await asyncio.to_thread(previews.make, await kept.get(file.sha256))
    if preview is None:
        return file
    return Kept(file.sha256, file.size, await kept.put(preview.body), preview.width, preview.height)


def add_file(
    tx: Tx, id_: FileId, kept: Kept, kind: FileKind, name: str, media_type: str, conversation_id: str, operator_id: str
) -> bool:
    """Add a file that an operator uploaded for the conversation under the id of their own; False: they have added it already."""
    return bool(
        tx.run(
            _UPLOADED,
            id=id_,
            sha256=kept.sha256,
            name=name,
            media_type=media_type,
            size=kept.size,
            conversation_id=conversation_id,
            created_us=to_us(tx.now),
            kind=kind.value,
            preview=kept.preview,
            width=kept.width,
            height=kept.height,
            operator_id=operator_id,
        )
    )


__all__ = ["Asked", "Fetcher", "Kept", "add_file", "keep_preview"]
