"""A Telegram bot as a channel: asks for updates or has them brought, sends, changes and takes back, fetches files.

    polling    getUpdates(offset) ──► stored with the offset, one transaction ──► the next getUpdates confirms what was stored
    webhook    POST /hooks/{channel} ──► stored ──► 200; the receiver looks after the webhook's being set

Telegram forgets updates below the offset that is asked for, so it is asked for after the commit. When there was none for a week the numbers
begin anew at any place: an offset that is old is not asked for.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from broker.domain import ChannelId, ChannelRow, LineId, to_us
from broker.errors import AccessLost, NotFound, Rejected, SendError, Unavailable, Uncertain
from broker.events import Incoming
from broker.extras import FileKind
from broker.ports import ChannelKind, Clock, Delivery, Files, Hooked, Outbound, OutFile, Probed, Profile, Raw
from channels.telegram import parsing
from channels.telegram.settings import CAPABILITIES, KIND, UPLOAD_MAX, TelegramSettings, check, settings_of
from channels.telegram.splitting import CAPTION_UNITS, TEXT_UNITS, pieces, units

if TYPE_CHECKING:
    from channels.telegram.api import Api

log = structlog.get_logger(__name__)

POLL_SECONDS = 25
"""How long the provider holds a question that has no answer yet."""
POLL_MOST = 100
CONFLICT_SECONDS = 15.0
HOOK_LOOK_SECONDS = 60.0
OFFSET_LASTS_US = 6 * 86_400 * 1_000_000
QUICK_SECONDS = 1.0
"""An empty answer that came sooner is no long poll: such a server is not asked again at once."""
GROUP_MESSAGES, GROUP_SECONDS = 20, 60.0
"""core.telegram.org/bots/faq: twenty messages a minute to one group."""
AT_ONCE, BETWEEN_SECONDS = 3, 1.0
"""How many parts of one message leave without a pause, and the pause between those after: one a second is what a chat takes."""
SHOWN_HEADER = "x-telegram-bot-api-secret-token"
ALBUM_MAX = 10
PICTURE_MAX = 5 * 1_048_576
PART_WAIT_SECONDS = 8.0
"""How long the rest of a message that has been sent in part waits for the provider's pace."""


class TelegramChannel:
    """A `Channel` of the kind `telegram`. *public_url* is where Telegram finds us, None where nobody has said."""

    kind = KIND
    capabilities = CAPABILITIES

    def __init__(
        self,
        row: ChannelRow,
        clock: Clock,
        files: Files,
        public_url: str | None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """*row* is with its secrets opened."""
        self.id: ChannelId = row.id
        self.line_id: LineId = row.line_id
        self.slug = row.slug
        self._settings = settings_of(row)
        self._clock = clock
        self._files = files
        self._public_url = public_url
        self._sleep = sleep
        self._made: Api | None = None
        self._resume_at = 0.0
        """Until when Telegram wants no message of this bot, monotonic."""
        self._groups = _GroupPace()

    @property
    def _api(self) -> Api:
        # Not before it is asked: the library takes more memory than all the rest.
        if self._made is None:
            from channels.telegram.api import Api

            self._made = Api(self._settings.token, self._settings.server)
        return self._made

    # --- in

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """See `Channel.receive`; a quiet question yields an empty delivery. Raises Unavailable, AccessLost."""
        await _load()
        if self._settings.mode == "webhook":
            async for delivery in self._watch_hook():
                yield delivery
            return
        info = await self._ask("getWebhookInfo")
        if isinstance(info, dict) and info.get("url"):
            # What waits there is brought by the polls: nothing of it is dropped.
            await self._ask("deleteWebhook", drop_pending_updates=False)
        offset, at_us = _cursor(cursor)
        patience = 0  # nobody waits for the first answer: it tells whether all is well
        while True:
            now_us = to_us(self._clock.now())
            began = self._clock.monotonic()
            updates = await self._ask(
                "getUpdates",
                seconds=POLL_SECONDS + 10,
                offset=offset if offset is not None and now_us - at_us < OFFSET_LASTS_US else None,
                limit=POLL_MOST,
                timeout=patience,
                allowed_updates=parsing.ALLOWED_UPDATES,
            )
            if not isinstance(updates, list):
                raise Unavailable("Telegram's answer cannot be read")
            patience, first = POLL_SECONDS, not patience
            if not updates:
                yield Delivery(())
                if not first and self._clock.monotonic() - began < QUICK_SECONDS:
                    await self._sleep(QUICK_SECONDS)
                continue
            numbers = [number for one in updates if (number := _number_of(one)) is not None]
            asked = offset
            if numbers:
                offset, at_us = max(numbers) + 1, to_us(self._clock.now())
            bodies = [_written(one) for one in updates]
            raws = tuple(Raw(self._name(one, body), body) for one, body in zip(updates, bodies, strict=True))
            kept = f"{offset}:{at_us}" if offset is not None else None
            yield Delivery(raws, kept, lambda bodies=bodies: self._answer_presses(bodies))  # type: ignore[misc]
            if offset == asked:
                await self._sleep(QUICK_SECONDS)  # it gives the same again, whatever is confirmed

    def _name(self, update: object, body: bytes) -> str:
        """Return what an update is known by for ever: another bot's numbers are others."""
        number = _number_of(update)
        return f"{self._settings.bot_id}:{number if number is not None else hashlib.sha256(body).hexdigest()}"

    async def _watch_hook(self) -> AsyncIterator[Delivery]:
        if self._public_url is None:
            sentence = (
                "Telegram needs a public https address to bring messages to: set public_url, or let us ask for them (polling)"
            )
            raise AccessLost(sentence, code="no_public_url", retry_after=60.0)
        url = f"{self._public_url.rstrip('/')}/hooks/{self.id}"
        began = True
        while True:
            info = await self._ask("getWebhookInfo")
            known = info if isinstance(info, dict) else {}
            there = known.get("url")
            # Set anew at every beginning: with which secret it was set, nobody tells.
            if began or there != url or set(known.get("allowed_updates") or ()) != set(parsing.ALLOWED_UPDATES):
                await self._ask(
                    "setWebhook",
                    url=url,
                    secret_token=self._hook_secret,
                    allowed_updates=parsing.ALLOWED_UPDATES,
                    drop_pending_updates=False,
                    max_connections=40,
                )
            if not began and there != url:
                sentence = "another program takes this bot's messages too: stop it, or give it a bot of its own"
                raise AccessLost(sentence, code="webhook_elsewhere" if there else "other_receiver", retry_after=CONFLICT_SECONDS)
            began = False
            failed_at, now = known.get("last_error_date"), to_us(self._clock.now()) // 1_000_000
            if isinstance(failed_at, int) and now - failed_at < 2 * HOOK_LOOK_SECONDS and known.get("pending_update_count"):
                raise Unavailable(
                    f"Telegram cannot bring messages to {url}: {known.get('last_error_message')}", retry_after=HOOK_LOOK_SECONDS
                )
            yield Delivery(())
            await self._sleep(HOOK_LOOK_SECONDS)

    @property
    def _hook_secret(self) -> str:
        """What Telegram shows with each update that it brings: whoever has not the token cannot make it."""
        return hmac.new(self._settings.token.encode(), f"hook:{self.id}".encode(), hashlib.sha256).hexdigest()

    def hook(self, headers: Mapping[str, str], body: bytes) -> Hooked:
        """See `TakesHooks.hook`."""
        shown = headers.get(SHOWN_HEADER, "")
        if self._settings.mode != "webhook" or not hmac.compare_digest(shown.encode(), self._hook_secret.encode()):
            return Hooked(refused=True)
        try:
            update = msgspec.json.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            update = None
        presses = parsing.callback_queries([body])
        answer = b"{}"
        if presses:
            answer = msgspec.json.encode({"method": "answerCallbackQuery", "callback_query_id": presses[0]})
        return Hooked((Raw(self._name(update, body), body),), answer, "application/json")

    def parse(self, raw: Raw) -> Incoming | None:
        """See `Channel.parse`."""
        return parsing.parse(raw.body, self._settings)

    async def _answer_presses(self, bodies: Sequence[bytes]) -> None:
        for id_ in parsing.callback_queries(list(bodies)):
            try:
                await self._api.ask("answerCallbackQuery", callback_query_id=id_)
            except SendError as error:  # the clock on the button stops by itself
                log.info("press_not_answered", channel_id=self.id, problem=str(error))

    async def _ask(self, name: str, *, seconds: float = 30.0, **parameters: Any) -> Any:
        """Ask for something that changes nothing, or may be asked again: what is in doubt is only unavailable. Raises Unavailable."""
        from channels.telegram.api import MovedTo

        try:
            return await self._api.ask(name, seconds=seconds, **parameters)
        except (Uncertain, Rejected, MovedTo) as error:
            raise Unavailable(str(error)) from error

    # --- out

    async def send(self, outbound: Outbound) -> str:
        """See `Channel.send`. What was sent in part is Uncertain, and says so."""
        if self._made is None:
            await _load()
        place = _Place.of(outbound.key)
        self._mind_the_pause()
        await self._look_for(outbound.files)
        steps = self._steps(outbound, place)
        if place.chat_id < 0:
            count = sum(len(parameters.get("media", "1")) for _, parameters in steps)
            if wait := self._groups.take(place.chat_id, count, self._clock.monotonic()):
                raise Unavailable("Telegram takes twenty messages a minute for a group", retry_after=wait)
        sent: list[str] = []
        for number, (name, parameters) in enumerate(steps):
            if number >= AT_ONCE:
                await self._sleep(BETWEEN_SECONDS)
            try:
                names, place = await self._step(name, parameters, place, first=not number)
            except SendError as error:
                if not number:
                    raise
                raise Uncertain(f"only {number} of {len(steps)} parts were sent: {error}") from error
            sent += names
        return " ".join(sent)

    def _mind_the_pause(self) -> None:
        """Raises Unavailable while Telegram wants to hear nothing of this bot."""
        wait = self._resume_at - self._clock.monotonic()
        if wait > 0:
            raise Unavailable(f"Telegram wants a pause of {wait:.0f} s more", retry_after=wait)

    def _pause(self, error: Unavailable) -> None:
        if error.retry_after is not None and not isinstance(error, AccessLost):
            self._resume_at = self._clock.monotonic() + error.retry_after

    async def _look_for(self, files: Sequence[OutFile]) -> None:
        """Raises Rejected when one of *files* is here no more: found missing while it is sent, all would be in doubt."""
        for file in files:
            try:
                async for _ in self._files.read(file.sha256, 0, 1):
                    break
            except NotFound:
                raise Rejected(f"“{file.name}” is no longer here") from None

    async def _step(self, name: str, parameters: dict[str, Any], place: _Place, *, first: bool) -> tuple[list[str], _Place]:
        """Send one of the provider's messages, or an album; return what it calls them, and where they are."""
        from channels.telegram.api import MovedTo

        waited = 0.0
        seconds = 18.0 if name == "sendMessage" else 140.0
        while True:
            try:
                result = await self._api.ask(name, seconds=seconds, **place.parameters(), **parameters)
            except MovedTo as moved:
                if moved.chat_id == place.chat_id:
                    raise Rejected(str(moved)) from None
                place = _Place(moved.chat_id, place.topic, place.connection)
                parameters = {**parameters, "reply_parameters": None}  # there its number is another message's
                continue
            except Unavailable as error:
                self._pause(error)
                pause = error.retry_after
                # One that has no other before it waits in the queue, not here.
                if first or pause is None or waited + pause > PART_WAIT_SECONDS:
                    raise
                waited += pause
                await self._sleep(pause)
                continue
            except Rejected as error:
                if not any(one in str(error) for one in _NO_PICTURE) or (as_file := _as_documents(name, parameters)) is None:
                    raise
                name, parameters = as_file
                continue
            return [f"{place.chat}:{number}" for number in _numbers(result)], place

    def _steps(self, outbound: Outbound, place: _Place) -> list[tuple[str, dict[str, Any]]]:
        """Return the calls that say *outbound*, in their order."""
        from channels.telegram.api import Kept

        text, entities = self._worded(outbound)
        markup = self._markup(outbound, place)
        for file in outbound.files:
            if file.size > UPLOAD_MAX:
                raise Rejected(f"“{file.name}” is larger than Telegram takes of bots, 50 MB", code="too_large")
        groups = _albums(outbound.files)
        if markup is not None and groups and len(groups[-1]) > 1 and not text:
            groups[-1:] = [groups[-1][:-1], groups[-1][-1:]]  # beneath an album no button can stand
        steps: list[tuple[str, dict[str, Any]]] = []
        captioned = (
            len(groups) == 1
            and units(text) <= CAPTION_UNITS
            and groups[0][0].kind is not FileKind.STICKER
            and (markup is None or len(groups[0]) == 1)
        )
        if text and not captioned:
            for number, piece in enumerate(pieces(text)):
                steps.append(("sendMessage", {"text": piece, "entities": entities if not number else None}))
        for group in groups:
            words: dict[str, Any] = {"caption": text, "caption_entities": entities} if captioned and text else {}
            if len(group) == 1:
                method, field = _SENT_BY[_kind_of(group[0])]
                steps.append((method, {field: Kept(self._files, group[0].sha256, group[0].name), **words}))
                continue
            media = []
            for number, file in enumerate(group):
                kind = _SENT_BY[_kind_of(file)][1]
                caption = words if not number else {}
                media.append({"type": kind, "media": Kept(self._files, file.sha256, file.name), **caption})
            steps.append(("sendMediaGroup", {"media": media}))
        if not steps:
            raise Rejected("there is nothing in this message")
        if outbound.answers:
            chat, answered = _named(outbound.answers.split()[0])
            if chat == place.chat:  # in the supergroup that a group has become, its number is another message's
                steps[0][1]["reply_parameters"] = {"message_id": answered, "allow_sending_without_reply": True}
        if markup is not None:
            last = next(step for step in reversed(steps) if step[0] != "sendMediaGroup")
            last[1]["reply_markup"] = markup
        return steps

    def _worded(self, outbound: Outbound) -> tuple[str, list[dict[str, Any]] | None]:
        """Return the text with the operator's name above it, and what stands out in it."""
        name = outbound.sender_name.strip() if outbound.from_operator and self._settings.names else ""
        if not name:
            return outbound.text, None
        text = f"{name}\n{outbound.text}" if outbound.text else name
        return text, [{"type": "bold", "offset": 0, "length": units(name)}]

    def _markup(self, outbound: Outbound, place: _Place) -> dict[str, Any] | None:
        if outbound.buttons:
            return {"inline_keyboard": [[{"text": one.label, "callback_data": one.value} for one in outbound.buttons]]}
        # A keyboard of its own is a private chat's: in a group everybody would see it.
        if outbound.asks_phone and place.chat_id > 0 and not place.connection:
            button = {"text": self._settings.phone_label, "request_contact": True}
            return {"keyboard": [[button]], "resize_keyboard": True, "one_time_keyboard": True}
        return None

    async def reword(self, outbound: Outbound, sent_as: str) -> None:
        """See `EditsMessages.reword`."""
        place = _Place.of(outbound.key)
        numbers = _numbers_in(place, sent_as)
        text, entities = self._worded(outbound)
        texts = len(numbers) - len(outbound.files)
        """How many of them are the words alone; none: they stand below the first file."""
        if outbound.files and texts <= 0:
            if len(_albums(outbound.files)) > 1 or units(text) > CAPTION_UNITS:
                raise Rejected("a text beside files can be changed only where it stands below one, with 1,024 signs")
            await self._change("editMessageCaption", place, message_id=numbers[0], caption=text, caption_entities=entities)
            return
        parts = pieces(text)
        if len(parts) > texts:
            raise Rejected(
                f"it is longer than it was: {TEXT_UNITS:,} signs fit into a message of Telegram; send the rest as another one"
            )
        for number, (message_id, part) in enumerate(zip(numbers, parts, strict=False)):
            await self._change(
                "editMessageText", place, message_id=message_id, text=part, entities=entities if not number else None
            )
        await self._take_back(place, numbers[len(parts) : texts])

    async def take_back(self, key: str, sent_as: str) -> None:
        """See `EditsMessages.take_back`."""
        place = _Place.of(key)
        await self._take_back(place, _numbers_in(place, sent_as))

    async def _take_back(self, place: _Place, numbers: Sequence[int]) -> None:
        for number in numbers:
            if place.connection:
                await self._change("deleteBusinessMessages", place, message_ids=[number])
            else:
                await self._change("deleteMessage", place, message_id=number)

    async def _change(self, name: str, place: _Place, **parameters: Any) -> None:
        from channels.telegram.api import MovedTo

        where = place.parameters()
        where.pop("message_thread_id", None)
        if name == "deleteBusinessMessages":
            where.pop("chat_id")
        self._mind_the_pause()
        try:
            await self._api.ask(name, seconds=18.0, **where, **parameters)
        except MovedTo:
            raise Rejected(_BEFORE_IT_MOVED) from None
        except Unavailable as error:
            self._pause(error)
            raise
        except Rejected as error:
            # Said again, it says so: nothing is wrong.
            if "not modified" not in str(error) and "message to delete not found" not in str(error):
                raise

    async def show_typing(self, key: str, name: str) -> None:
        """See `ShowsTyping`: Telegram shows that somebody writes, not who."""
        place = _Place.of(key)
        self._mind_the_pause()
        await self._ask("sendChatAction", seconds=5.0, action="typing", **place.parameters())

    # --- what else the provider knows

    async def fetch(self, ref: str) -> AsyncIterator[bytes]:
        """See `FetchesFiles.fetch`."""
        try:
            file = await self._api.ask("getFile", file_id=ref, seconds=30.0)
        except Uncertain as error:
            raise Unavailable(str(error)) from error
        path = file.get("file_path") if isinstance(file, dict) else None
        if not isinstance(path, str) or not path:
            raise Rejected("Telegram has this file no more")
        async for chunk in self._api.download(path):
            yield chunk

    async def profile(self, ref: str) -> Profile:
        """See `KnowsPeople.profile`: the picture; names come with each message."""
        try:
            found = await self._api.ask("getUserProfilePhotos", user_id=int(ref), limit=1, seconds=20.0)
        except Uncertain as error:
            raise Unavailable(str(error)) from error
        file_id = _picture_in(found)
        if not file_id:
            return Profile()
        picture = bytearray()
        async for chunk in self.fetch(file_id):
            picture += chunk
            if len(picture) > PICTURE_MAX:
                return Profile()
        return Profile(picture=bytes(picture))


_SENT_BY: dict[FileKind, tuple[str, str]] = {
    FileKind.PHOTO: ("sendPhoto", "photo"),
    FileKind.VIDEO: ("sendVideo", "video"),
    FileKind.VOICE: ("sendVoice", "voice"),
    FileKind.AUDIO: ("sendAudio", "audio"),
    FileKind.ANIMATION: ("sendAnimation", "animation"),
    FileKind.STICKER: ("sendSticker", "sticker"),
    FileKind.DOCUMENT: ("sendDocument", "document"),
}
_TOGETHER = {FileKind.PHOTO: "seen", FileKind.VIDEO: "seen", FileKind.DOCUMENT: "documents", FileKind.AUDIO: "heard"}
"""What may stand in one album: pictures and films with each other, documents and music each among themselves."""


_NO_PICTURE = ("PHOTO_INVALID_DIMENSIONS", "IMAGE_PROCESS_FAILED", "too big for a photo", "PHOTO_EXT_INVALID")
"""What is said of a picture that can be sent as a file all the same."""
PHOTO_MAX = 10 * 1_048_576
"""Bytes that the provider takes as a picture (core.telegram.org/bots/api#sendphoto)."""
PICTURE_EDGE = 160
_BEFORE_IT_MOVED = "it was said in the group before that became a supergroup, and can be changed no more"


def _kind_of(file: OutFile) -> FileKind:
    return FileKind.DOCUMENT if file.kind is FileKind.PHOTO and file.size > PHOTO_MAX else file.kind


def _as_documents(name: str, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the call that sends as files what it was to send as pictures; None: there are none."""
    if name == "sendPhoto":
        kept = {key: value for key, value in parameters.items() if key != "photo"}
        return "sendDocument", {**kept, "document": parameters["photo"]}
    if name == "sendMediaGroup" and any(one["type"] == "photo" for one in parameters["media"]):
        return name, {**parameters, "media": [{**one, "type": "document"} for one in parameters["media"]]}
    return None


def _picture_in(found: object) -> str:
    """Return the file of the smallest picture that is large enough to be shown, of what getUserProfilePhotos gives."""
    photos = found.get("photos") if isinstance(found, dict) else None
    first = photos[0] if isinstance(photos, list) and photos else None
    sizes = [one for one in first if isinstance(one, dict)] if isinstance(first, list) else []
    known = [(width, str(one["file_id"])) for one in sizes if isinstance(width := one.get("width"), int) and one.get("file_id")]
    enough = [one for one in known if one[0] >= PICTURE_EDGE]
    return min(enough)[1] if enough else max(known, default=(0, ""))[1]


def _albums(files: Sequence[OutFile]) -> list[list[OutFile]]:
    """Return *files* in groups that go together, in their order."""
    groups: list[list[OutFile]] = []
    for file in files:
        kind = _TOGETHER.get(_kind_of(file))
        last = groups[-1] if groups else None
        if last is not None and kind is not None and len(last) < ALBUM_MAX and _TOGETHER.get(_kind_of(last[-1])) == kind:
            last.append(file)
        else:
            groups.append([file])
    return groups


class _Place:
    """Where a conversation is: a chat, a topic of it, or one of a business account's."""

    def __init__(self, chat_id: int, topic: int = 0, connection: str = "") -> None:
        self.chat_id = chat_id
        self.topic = topic
        self.connection = connection

    @classmethod
    def of(cls, key: str) -> _Place:
        """Return the place that *key* names (channels.telegram.parsing)."""
        try:
            if key.startswith("b"):
                connection, _, chat = key[1:].rpartition("/")
                return cls(int(chat), 0, connection)
            chat, _, topic = key.partition("/")
            return cls(int(chat), int(topic or 0))
        except ValueError:
            raise Rejected(f"{key[:60]!r} is no chat of Telegram") from None

    @property
    def chat(self) -> str:
        """Return how messages of it are named."""
        return f"b{self.connection}/{self.chat_id}" if self.connection else str(self.chat_id)

    def parameters(self) -> dict[str, Any]:
        """Return what names it in a call."""
        found: dict[str, Any] = {"chat_id": self.chat_id}
        if self.topic:
            found["message_thread_id"] = self.topic
        if self.connection:
            found["business_connection_id"] = self.connection
        return found


def _numbers(result: object) -> list[int]:
    """Return the numbers of what was sent; none, and it was sent all the same, when the answer says nothing."""
    sent = result if isinstance(result, list) else [result]
    return [one["message_id"] for one in sent if isinstance(one, dict) and isinstance(one.get("message_id"), int)]


def _named(ref: str) -> tuple[str, int]:
    """Return the chat and the number of the message that is called *ref*. Raises Rejected."""
    chat, _, number = ref.rpartition(":")
    try:
        return chat, int(number)
    except ValueError:
        raise Rejected(f"{ref[:60]!r} is no message of Telegram") from None


def _numbers_in(place: _Place, sent_as: str) -> list[int]:
    """Return the numbers of the messages called *sent_as*. Raises Rejected when they are not of *place*."""
    named = [_named(one) for one in sent_as.split()]
    if any(chat != place.chat for chat, _ in named):
        raise Rejected(_BEFORE_IT_MOVED)
    return [number for _, number in named]


def _number_of(update: object) -> int | None:
    number = update.get("update_id") if isinstance(update, dict) else None
    return number if type(number) is int and abs(number) < 2**63 else None


def _written(update: object) -> bytes:
    try:
        return msgspec.json.encode(update)
    except (UnicodeEncodeError, OverflowError):  # half a character: kept as it came
        return json.dumps(update).encode()


class _GroupPace:
    """How much was sent to each group in the last minute."""

    def __init__(self) -> None:
        self._sent: dict[int, deque[float]] = {}

    def take(self, chat: int, count: int, now: float) -> float:
        """Take room for *count* messages; return 0, or in how many seconds there will be some."""
        sent = self._sent.setdefault(chat, deque())
        while sent and sent[0] <= now - GROUP_SECONDS:
            sent.popleft()
        over = len(sent) + min(count, GROUP_MESSAGES) - GROUP_MESSAGES
        if over > 0:
            return sent[over - 1] + GROUP_SECONDS - now
        sent.extend([now] * count)
        for quiet in [one for one, times in self._sent.items() if not times or times[-1] <= now - GROUP_SECONDS]:
            del self._sent[quiet]
        return 0.0


async def _load() -> None:
    """Import what takes seconds to import, while the loop goes on."""
    await asyncio.to_thread(import_module, "channels.telegram.api")


def _cursor(cursor: str | None) -> tuple[int | None, int]:
    offset, _, at_us = (cursor or "").partition(":")
    try:
        return int(offset), int(at_us or 0)
    except ValueError:
        return None, 0


async def probe(given: Mapping[str, Any]) -> Probed:
    """See `ChannelKind.probe`. Raises AccessLost, Unavailable."""
    await _load()
    from channels.telegram.api import Api, MovedTo

    settings = msgspec.convert(dict(given), TelegramSettings)
    api = Api(settings.token, settings.server)
    try:
        me = await api.ask("getMe", seconds=15.0)
    except (Uncertain, Rejected, MovedTo) as error:
        raise Unavailable(str(error)) from error
    if not isinstance(me, dict):
        raise Unavailable("Telegram's answer cannot be read")
    warnings = []
    if settings.groups and not me.get("can_read_all_group_messages"):
        warnings.append("privacy_mode")
    username = str(me.get("username") or "")
    return Probed(str(me.get("first_name") or username), f"https://t.me/{username}" if username else "", tuple(warnings))


TELEGRAM = ChannelKind(KIND, CAPABILITIES, check, secrets=frozenset({"token"}), sent_to=frozenset({"server"}), probe=probe)

__all__ = ["TELEGRAM", "TelegramChannel"]
