"""A VK community as a channel: asks for events or has them brought, sends, changes and takes back, fetches files.

    long poll   a_check(ts) ──► stored with the new ts, one transaction ──► the next a_check
    callback    POST /hooks/{channel} ──► stored ──► "ok"; the receiver looks after the server's being set
    failed 1    the history is lost: go on from the ts that is told     ──► look through the conversations for what was missed
    failed 2    the key is good no more: ask for a new one, go on from the old ts
    failed 3    both: ask for a new key and a new ts                    ──► look through the conversations for what was missed

Whoever comes back after an outage, in either way, looks through the conversations, too, once VK has told what it still had. What is
found there has the names that events have (channels.vk.parsing): what is here already is not stored twice.

A message is sent under a random_id that is made of the outbox row: sent again, VK answers what it answered, and shows it once.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import structlog

from broker.domain import ChannelId, ChannelRow, LineId, to_us
from broker.errors import AccessLost, BadInput, Rejected, SendError, Unavailable, Uncertain, Unreachable
from broker.events import Incoming
from broker.extras import FileKind
from broker.ports import ChannelKind, Clock, Delivery, Files, Hooked, Outbound, OutFile, Probed, Profile, Raw
from channels.telegram.splitting import pieces
from channels.vk import parsing
from channels.vk.settings import CAPABILITIES, KIND, UPLOAD_MAX, VkSettings, check, settings_of

if TYPE_CHECKING:
    from channels.vk.api import Api

log = structlog.get_logger(__name__)

POLL_SECONDS = 25
"""How long VK holds a question that has no answer yet."""
QUICK_SECONDS = 1.0
"""An empty answer that came sooner is no long poll: such a server is not asked again at once."""
FAILED_MOST = 3
"""How often in a row a poll may fail before the receiver rests."""
OUTAGE_SECONDS = 300.0
"""Who was away for longer looks through the conversations."""
BEFORE_SECONDS = 300
"""How much earlier than what was heard last is looked at: VK's clock is another one."""
PAGE = 200
PAGES_MAX = 25
HOOK_LOOK_SECONDS = 60.0
LEARN_SECONDS = 30.0
"""How often at most strangers can make us ask VK who we are."""
HOOK_TITLE = "Omniline"
HOOK_TS = "hook"
"""Stands in a cursor for a ts while VK brings what comes; the long poll does not know it, and what was missed is looked for."""
ATTACHMENTS_MAX = 10
BUTTONS_MAX = 10
BUTTON_ROWS_MAX = 6
BUTTON_CHARS = 40
MARK_SECONDS = 4.0
UPLOADS_AT_ONCE = 2
"""Each holds its file in memory."""
UPLOADED_KEPT = 50
NAMES_KEPT = 2_000
NAMES_ASKED_MAX = 500
PICTURE_MAX = 5 * 1_048_576
_VERSION = "5.199"
_PHOTO_TYPES = ("image/jpeg", "image/png", "image/gif")


class VkChannel:
    """A `Channel` of the kind `vk`. *public_url* is where VK finds us, None where nobody has said."""

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
        self._group_id = self._settings.group_id
        """0: not known yet."""
        self._confirmation = self._settings.confirmation
        self._learn_at = 0.0
        """Before when VK is not asked again who we are, monotonic."""
        self._resume_at = 0.0
        """Until when VK wants no message of this community, monotonic."""
        self._uploaded: dict[str, list[str]] = {}
        """What was brought for messages that are not known to be sent, by their tokens."""
        self._bringing = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._names: dict[int, str] = {}
        self._soon: set[asyncio.Task[None]] = set()

    @property
    def _api(self) -> Api:
        # Not before it is asked: the libraries take more memory than all the rest.
        if self._made is None:
            from channels.vk.api import Api

            self._made = Api(self._settings.token, self._settings.server)
        return self._made

    # --- in

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """See `Channel.receive`; a quiet question yields an empty delivery. Raises Unavailable, AccessLost."""
        deliveries = self._watch_hook(cursor) if self._settings.mode == "callback" else self._poll(cursor)
        async for delivery in deliveries:
            yield delivery

    async def _poll(self, cursor: str | None) -> AsyncIterator[Delivery]:
        group_id = await self._group()
        await self._have_long_poll(group_id)
        await self._remove_hook(group_id)
        now_s = self._now_s()
        place = _Place.of(cursor, group_id) or _Place(group_id, "", now_s)
        listening = _Listening(place, behind=bool(place.ts) and now_s - place.at_s > OUTAGE_SECONDS)
        while True:
            if listening.server is None:
                async for delivery in self._connect(listening):
                    yield delivery
            async for delivery in self._listen(listening):
                yield delivery

    async def _connect(self, listening: _Listening) -> AsyncIterator[Delivery]:
        place = listening.place
        server = listening.server = _LongPoll.of(await self._ask("groups.getLongPollServer", group_id=place.group_id))
        if place.ts:
            return
        if listening.lost:
            async for delivery in self._missed(place):
                yield delivery
        listening.behind = listening.lost = False
        listening.place = place.at(server.ts, self._now_s())
        # Stored before anything has come: who begins anew before that has missed nothing.
        yield Delivery((), listening.place.cursor)

    async def _listen(self, listening: _Listening) -> AsyncIterator[Delivery]:
        """Poll once."""
        server, place = listening.server, listening.place
        assert server is not None
        began = self._clock.monotonic()
        answer = await self._api.poll(server.url, server.key, place.ts, 0 if listening.behind else POLL_SECONDS)
        failed, ts = answer.get("failed"), answer.get("ts")
        listening.failures = 0 if failed is None else listening.failures + 1
        if listening.failures > FAILED_MOST:
            raise Unavailable("VK's long poll fails again and again")
        match failed:
            case None if isinstance(ts, str | int) and isinstance(answer.get("updates"), list):
                async for delivery in self._heard(listening, answer["updates"], str(ts)):
                    yield delivery
                if not answer["updates"] and self._clock.monotonic() - began < QUICK_SECONDS:
                    await self._sleep(QUICK_SECONDS)
            case 1 if isinstance(ts, str | int):
                log.warning("long_poll_history_lost", channel_id=self.id)
                async for delivery in self._caught_up(listening, str(ts)):
                    yield delivery
            case 2:
                listening.server = None
            case 3:
                log.warning("long_poll_history_lost", channel_id=self.id)
                listening.server, listening.place, listening.lost = None, place.at("", place.at_s), True
            case _:
                raise Unavailable("VK's long poll answers in a way that is not known")

    async def _heard(self, listening: _Listening, updates: list[object], ts: str) -> AsyncIterator[Delivery]:
        place = listening.place
        if updates:
            listening.place = place.at(ts, place.at_s if listening.behind else self._now_s())
            await self._learn_names(updates)
            raws = tuple(self._raw(one, place.group_id) for one in updates)
            typing = parsing.typing([raw.body for raw in raws])
            yield Delivery(raws, listening.place.cursor, lambda: self._answer_presses(updates), typing)
        elif listening.behind:
            async for delivery in self._caught_up(listening, ts):
                yield delivery
        else:
            listening.place = place.at(ts, self._now_s())
            yield Delivery(())

    async def _caught_up(self, listening: _Listening, ts: str) -> AsyncIterator[Delivery]:
        """Yield what was missed, and then the place *ts* from which to go on: who is interrupted looks again."""
        now_s = self._now_s()
        async for delivery in self._missed(listening.place):
            yield delivery
        listening.behind, listening.place = False, listening.place.at(ts, now_s)
        yield Delivery((), listening.place.cursor)

    def _now_s(self) -> int:
        return to_us(self._clock.now()) // 1_000_000

    def _raw(self, event: object, group_id: int) -> Raw:
        """Return *event* as it is kept: without a secret, and with the names of people who would be numbers."""
        if isinstance(event, dict):
            event = {key: value for key, value in event.items() if key not in ("secret", "authors")}
            authors = {str(number): self._names[number] for number in parsing.unnamed([event]) if number in self._names}
            if authors:
                event["authors"] = authors
        return Raw(parsing.name_of(event, group_id), msgspec.json.encode(event))

    async def _learn_names(self, events: Sequence[object]) -> None:
        """Ask who writes in chats, and whose words are passed on; VK tells their numbers only."""
        asked = sorted(number for number in parsing.unnamed(events) if number not in self._names)[:NAMES_ASKED_MAX]
        if not asked:
            return
        if len(self._names) > NAMES_KEPT:
            self._names.clear()
        try:
            people = await self._api.ask("users.get", user_ids=",".join(map(str, asked)))
        except SendError as error:  # their pages' addresses will do
            log.info("names_not_learnt", channel_id=self.id, problem=str(error))
            return
        for person in _listed(people):
            if isinstance(number := person.get("id"), int):
                self._names[number] = _full_name(person)

    async def _missed(self, place: _Place) -> AsyncIterator[Delivery]:
        """Yield what was said since *place* in all conversations, as events; what of it is here already is known by its names."""
        begin_s = place.at_s - BEFORE_SECONDS
        for page in range(PAGES_MAX):
            items = _items(await self._ask("messages.getConversations", count=PAGE, offset=page * PAGE, filter="all"))
            last = [one["last_message"] for one in items if isinstance(one.get("last_message"), dict)]
            fresh = [one["peer_id"] for one in last if isinstance(one.get("peer_id"), int) and _date(one) >= begin_s]
            for peer_id in fresh:
                events = await self._history(place.group_id, peer_id, begin_s)
                await self._learn_names(events)
                yield Delivery(tuple(self._raw(one, place.group_id) for one in events))
            if len(items) < PAGE or not fresh:
                return

    async def _history(self, group_id: int, peer_id: int, begin_s: int) -> list[dict[str, Any]]:
        """Return the events of a conversation since *begin_s*, the oldest first."""
        found: list[dict[str, Any]] = []
        for page in range(PAGES_MAX):
            items = _items(await self._ask("messages.getHistory", peer_id=peer_id, count=PAGE, offset=page * PAGE))
            found += [one for one in items if _date(one) >= begin_s]
            if len(items) < PAGE or _date(items[-1]) < begin_s:
                break
        return [event for message in reversed(found) for event in parsing.from_history(message, group_id)]

    async def _have_long_poll(self, group_id: int) -> None:
        """Have VK keep for us the events that we need. Raises AccessLost, Unavailable."""
        settings = await self._ask("groups.getLongPollSettings", group_id=group_id)
        if _has_all(settings) and settings.get("is_enabled"):
            return
        try:
            await self._api.ask(
                "groups.setLongPollSettings",
                group_id=group_id,
                enabled=1,
                api_version=_VERSION,
                **dict.fromkeys(parsing.EVENTS, 1),
            )
        except (Rejected, AccessLost) as error:
            if isinstance(error, AccessLost) and error.code != "no_rights":
                raise
            sentence = (
                "the long poll of the community is off, and the token may not switch it on: do so in its management, "
                "API usage, Long Poll API, with all events about messages"
            )
            raise AccessLost(sentence, code="longpoll_off", retry_after=60.0) from error
        except Uncertain as error:
            raise Unavailable(str(error)) from error

    async def _group(self) -> int:
        """Return the community's number."""
        if not self._group_id:
            self._group_id = _group_of(await self._ask("groups.getById"))["id"]
        return self._group_id

    def parse(self, raw: Raw) -> Incoming | None:
        """See `Channel.parse`."""
        return parsing.parse(raw.body, self._settings)

    async def _answer_presses(self, events: Sequence[object]) -> None:
        for press in parsing.presses(events):
            try:
                await self._api.ask("messages.sendMessageEventAnswer", seconds=5.0, **press._asdict())
            except SendError as error:  # the clock on the button stops by itself
                log.info("press_not_answered", channel_id=self.id, problem=str(error))

    async def _ask(self, method: str, **parameters: Any) -> Any:
        """Ask for something that changes nothing, or may be asked again: what is in doubt is only unavailable. Raises Unavailable."""
        try:
            return await self._api.ask(method, **parameters)
        except (Uncertain, Rejected) as error:
            raise Unavailable(str(error)) from error

    # --- what VK brings

    @property
    def _hook_url(self) -> str:
        return f"{(self._public_url or '').rstrip('/')}/hooks/{self.id}"

    @property
    def _hook_secret(self) -> str:
        """What VK shows with each event that it brings: whoever has not the token cannot make it."""
        made = hmac.new(self._settings.token.encode(), f"hook:{self.id}".encode(), hashlib.sha256).hexdigest()
        return self._settings.secret or made[:50]

    async def _watch_hook(self, cursor: str | None) -> AsyncIterator[Delivery]:
        if self._public_url is None:
            sentence = "VK needs a public address to bring messages to: set public_url, or let us ask for them (longpoll)"
            raise AccessLost(sentence, code="no_public_url", retry_after=60.0)
        await self._learn_who_we_are()
        group_id = await self._group()
        place = _Place.of(cursor, group_id) or _Place(group_id, HOOK_TS, self._now_s())
        while True:
            await self._have_hook(group_id)
            now_s = self._now_s()
            # After the long poll too: what was written until VK took our address was brought to nobody.
            if now_s - place.at_s > OUTAGE_SECONDS or place.ts != HOOK_TS:
                # VK brings what it could not bring for a while only.
                async for delivery in self._missed(place):
                    yield delivery
            place = place.at(HOOK_TS, now_s)
            yield Delivery((), place.cursor)
            await self._sleep(HOOK_LOOK_SECONDS)

    async def _learn_who_we_are(self) -> None:
        """Learn what a hook must know at once: our number, and what VK wants to hear."""
        group_id = await self._group()
        if not self._confirmation:
            answer = await self._ask("groups.getCallbackConfirmationCode", group_id=group_id)
            if not isinstance(answer, dict) or not isinstance(answer.get("code"), str):
                raise Unavailable("VK's answer cannot be read")
            self._confirmation = answer["code"]

    async def _have_hook(self, group_id: int) -> None:
        """Have VK bring us the events that we need. Raises AccessLost, Unavailable."""
        server = await self._hook_server(group_id)
        address = {"url": self._hook_url, "title": HOOK_TITLE, "secret_key": self._hook_secret}
        if server is None:
            made = await self._ask("groups.addCallbackServer", group_id=group_id, **address)
            if not isinstance(made, dict) or not isinstance(made.get("server_id"), int):
                raise Unavailable("VK's answer cannot be read")
            server = {"id": made["server_id"], "status": "wait", "secret_key": self._hook_secret}
        failed = server.get("status") in ("failed", "unconfigured")
        if failed or server.get("secret_key") != self._hook_secret:
            # VK asks for the confirmation again.
            await self._ask("groups.editCallbackServer", group_id=group_id, server_id=server["id"], **address)
        if not _has_all(await self._ask("groups.getCallbackSettings", group_id=group_id, server_id=server["id"])):
            await self._ask(
                "groups.setCallbackSettings",
                group_id=group_id,
                server_id=server["id"],
                api_version=_VERSION,
                **dict.fromkeys(parsing.EVENTS, 1),
            )
        if failed:
            raise Unavailable(f"VK cannot bring messages to {self._hook_url}", retry_after=HOOK_LOOK_SECONDS)

    async def _hook_server(self, group_id: int) -> dict[str, Any] | None:
        found = _items(await self._ask("groups.getCallbackServers", group_id=group_id))
        return next((one for one in found if one.get("url") == self._hook_url and isinstance(one.get("id"), int)), None)

    async def _remove_hook(self, group_id: int) -> None:
        """Have VK bring nothing any more to where we take nothing: it would go on trying."""
        if self._public_url is None:
            return
        try:
            if (server := await self._hook_server(group_id)) is not None:
                await self._api.ask("groups.deleteCallbackServer", group_id=group_id, server_id=server["id"])
        except SendError as error:  # it is refused all the same
            log.info("hook_not_removed", channel_id=self.id, problem=str(error))

    def hook(self, headers: Mapping[str, str], body: bytes) -> Hooked:
        """See `TakesHooks.hook`."""
        event = _decoded(body)
        if self._settings.mode != "callback" or event is None:
            return Hooked(refused=True)
        asks = event.get("type") == "confirmation"
        if not self._group_id or (asks and not self._confirmation):
            # It comes again: by then this process knows.
            self._learn_soon()
            return Hooked(refused=True)
        if event.get("group_id") != self._group_id:
            return Hooked(refused=True)
        if asks:
            return Hooked(answer=self._confirmation.encode())
        shown = str(event.get("secret", "")).encode("utf-8", "replace")
        if not hmac.compare_digest(shown, self._hook_secret.encode()):
            return Hooked(refused=True)
        if parsing.presses([event]):
            self._do_soon(self._answer_presses([event]))
        return Hooked((self._raw(event, self._group_id),), b"ok")

    def _learn_soon(self) -> None:
        now = self._clock.monotonic()
        if now >= self._learn_at:
            self._learn_at = now + LEARN_SECONDS
            self._do_soon(self._learn_quietly())

    async def _learn_quietly(self) -> None:
        try:
            await self._learn_who_we_are()
        except SendError as error:
            log.info("community_not_learnt", channel_id=self.id, problem=str(error))

    def _do_soon(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._soon.add(task)
        task.add_done_callback(self._soon.discard)

    # --- out

    async def send(self, outbound: Outbound) -> str:
        """See `Channel.send`. Sent again, what has arrived already is not shown twice."""
        peer_id = _peer(outbound.key)
        wait = self._resume_at - self._clock.monotonic()
        if wait > 0:
            raise Unavailable(f"VK wants a pause of {wait:.0f} s more", retry_after=wait)
        parts = self._parts(outbound)
        keyboard = _keyboard(outbound)
        if outbound.from_operator:
            await self._mark_as_read(peer_id)
        sent: list[str] = []
        try:
            named = await self._bring(outbound, peer_id)
            for number, part in enumerate(parts):
                parameters: dict[str, Any] = {"message": part.text or None}
                parameters["attachment"] = ",".join(named[part.first : part.first + part.files]) or None
                if number == len(parts) - 1:
                    parameters["keyboard"] = keyboard
                if not number and outbound.answers:
                    parameters["forward"] = _reply(outbound.answers, peer_id)
                sent.append(await self._say(peer_id, random_id(outbound.token, number), parameters))
        except AccessLost as error:
            self._pause(error)
            if error.code == "no_rights":
                raise Rejected(str(error), code="no_rights") from error
            raise
        except Unavailable as error:
            self._pause(error)
            raise
        except Unreachable:
            raise
        except Rejected as error:
            if sent:
                raise Rejected(f"only {len(sent)} of {len(parts)} parts were sent: {error}", code=error.code) from error
            raise
        self._uploaded.pop(outbound.token, None)
        return " ".join(filter(None, sent))

    def _pause(self, error: Unavailable) -> None:
        """Send nothing else meanwhile, where the pause is the whole community's and not one conversation's."""
        from channels.vk.api import Paused

        if error.retry_after is not None and (isinstance(error, Paused) or getattr(error, "code", "") == "captcha"):
            self._resume_at = self._clock.monotonic() + error.retry_after

    async def _say(self, peer_id: int, number: int, parameters: Mapping[str, Any]) -> str:
        """Send one of VK's messages; return what it is called."""
        from channels.vk.api import in_our_words

        # To one of several, which is one: only so does the answer tell the message's number in the conversation.
        answer = await self._api.ask("messages.send", peer_ids=str(peer_id), random_id=number, **parameters)
        told = answer[0] if isinstance(answer, list) and answer and isinstance(answer[0], dict) else {}
        error = told.get("error")
        if isinstance(error, dict) and isinstance(error.get("code"), int):
            raise in_our_words(error["code"], str(error.get("description")))
        cmid = told.get("conversation_message_id")
        return f"{peer_id}:{cmid}" if isinstance(cmid, int) and cmid else ""

    async def _mark_as_read(self, peer_id: int) -> None:
        try:
            await self._api.ask("messages.markAsRead", seconds=MARK_SECONDS, peer_id=peer_id, mark_conversation_as_read=1)
        except SendError as error:  # what counts is the answer
            log.info("not_marked_as_read", channel_id=self.id, problem=str(error))

    def _parts(self, outbound: Outbound) -> list[_Part]:
        """Return VK's messages that say *outbound*: words, and files beneath the last of them."""
        for file in outbound.files:
            if file.size > UPLOAD_MAX:
                raise Rejected(f"“{file.name}” is larger than 50 MB, which is all that can be sent here", code="too_large")
        texts = pieces(self._worded(outbound))
        count = len(outbound.files)
        parts = [_Part(text) for text in texts]
        for first in range(0, count, ATTACHMENTS_MAX):
            words = parts.pop().text if not first and parts else ""
            parts.append(_Part(words, first, min(ATTACHMENTS_MAX, count - first)))
        if not parts:
            raise Rejected("there is nothing in this message")
        return parts

    def _worded(self, outbound: Outbound) -> str:
        """Return the text with the operator's name above it."""
        name = outbound.sender_name.strip() if outbound.from_operator and self._settings.names else ""
        return "\n".join(filter(None, (name, outbound.text)))

    async def _bring(self, outbound: Outbound, peer_id: int) -> list[str]:
        """Bring the files of *outbound* to VK; return what it calls them. Once is enough for all attempts."""
        named = self._uploaded.setdefault(outbound.token, []) if outbound.files else []
        while len(self._uploaded) > UPLOADED_KEPT:
            del self._uploaded[next(iter(self._uploaded))]
        try:
            for file in outbound.files[len(named) :]:
                async with self._bringing:
                    named.append(await self._bring_one(file, peer_id))
        except Uncertain as error:
            # A file that is there twice is no message that is there twice.
            raise Unavailable(str(error)) from error
        return named

    async def _bring_one(self, file: OutFile, peer_id: int) -> str:
        content = await self._files.get(file.sha256)
        if file.kind in (FileKind.PHOTO, FileKind.STICKER) and file.media_type in _PHOTO_TYPES:
            try:
                return await self._bring_photo(file, content, peer_id)
            except Rejected as error:  # too wide, or too many colours: a document it can be in any case
                log.info("photo_goes_as_document", channel_id=self.id, problem=str(error))
        if file.kind is FileKind.VOICE and file.media_type == "audio/ogg":
            try:
                return await self._bring_document(file, content, peer_id, "audio_message")
            except Rejected as error:
                log.info("voice_goes_as_document", channel_id=self.id, problem=str(error))
        return await self._bring_document(file, content, peer_id, "doc")

    async def _bring_photo(self, file: OutFile, content: bytes, peer_id: int) -> str:
        url = _upload_url(await self._api.ask("photos.getMessagesUploadServer", peer_id=peer_id))
        told = await self._api.upload(url, "photo", file.name or "photo.jpg", file.media_type, content)
        if not told.get("photo") or told["photo"] == "[]":
            raise Rejected(f"VK does not take “{file.name}” for a picture")
        asked = {key: told[key] for key in ("photo", "server", "hash") if told.get(key) is not None}
        saved = await self._api.ask("photos.saveMessagesPhoto", **asked)
        return _attachment("photo", saved[0] if isinstance(saved, list) and saved else None)

    async def _bring_document(self, file: OutFile, content: bytes, peer_id: int, kind: str) -> str:
        url = _upload_url(await self._api.ask("docs.getMessagesUploadServer", peer_id=peer_id, type=kind))
        told = await self._api.upload(url, "file", file.name or "file", file.media_type, content)
        if not isinstance(told.get("file"), str):
            raise Unavailable("VK's answer to a file cannot be read")
        saved = await self._api.ask("docs.save", file=told["file"], title=file.name or None)
        made = saved.get("type") if isinstance(saved, dict) else None
        return _attachment(str(made), saved.get(made) if isinstance(saved, dict) else None)

    # --- what has been sent

    async def reword(self, outbound: Outbound, sent_as: str) -> None:
        """See `EditsMessages.reword`."""
        peer_id = _peer(outbound.key)
        numbers = _numbers(sent_as)
        parts = self._parts(outbound)
        if len(parts) > len(numbers):
            raise Rejected("it is longer than it was: 4,096 signs fit into a message of VK; send the rest as another one")
        # Files stand at the end, and stay where they are; what only says words keeps its beginning, which may answer something.
        spare = len(numbers) - len(parts)
        kept = numbers[spare:] if outbound.files else numbers[: len(parts)]
        for position, (number, part) in enumerate(zip(kept, parts, strict=True)):
            await self._change(
                "messages.edit",
                peer_id=peer_id,
                cmid=number,
                message=part.text,
                attachment=await self._attached(peer_id, number) if part.files else None,
                keep_forward_messages=1,
                keyboard=_keyboard(outbound) if position == len(parts) - 1 else None,
            )
        if spare:
            await self._take_back(peer_id, numbers[:spare] if outbound.files else numbers[-spare:])

    async def _attached(self, peer_id: int, number: int) -> str | None:
        """Return what is attached to a message of ours: what is not named again when it is changed is gone."""
        try:
            answer = await self._ask("messages.getByConversationMessageId", peer_id=peer_id, conversation_message_ids=str(number))
        except AccessLost as error:
            raise Rejected(str(error), code=error.code) from error
        items = _items(answer)
        attachments = items[0].get("attachments") if items else None
        named = []
        for one in _listed(attachments):
            kind = str(one.get("type"))
            named.append(_attachment(kind, one.get(kind)))
        return ",".join(named) or None

    async def take_back(self, key: str, sent_as: str) -> None:
        """See `EditsMessages.take_back`."""
        await self._take_back(_peer(key), _numbers(sent_as))

    async def _take_back(self, peer_id: int, numbers: Sequence[int]) -> None:
        from channels.vk.api import in_our_words

        cmids = ",".join(map(str, numbers))
        answer = await self._change("messages.delete", peer_id=peer_id, cmids=cmids, delete_for_all=1)
        for one in _listed(answer):
            error = one.get("error")
            if isinstance(error, dict) and isinstance(error.get("code"), int):
                raise in_our_words(error["code"], str(error.get("description")))

    async def _change(self, method: str, **parameters: Any) -> Any:
        try:
            return await self._api.ask(method, **parameters)
        except AccessLost as error:
            if error.code == "no_rights":
                raise Rejected(str(error), code="no_rights") from error
            raise

    async def show_typing(self, key: str, name: str) -> None:
        """See `ShowsTyping`: VK shows that the community writes, not who of it."""
        await self._api.ask("messages.setActivity", seconds=5.0, peer_id=_peer(key), type="typing")

    # --- what else VK knows

    async def fetch(self, ref: str) -> AsyncIterator[bytes]:
        """See `FetchesFiles.fetch`."""
        async for chunk in self._api.download(ref):
            yield chunk

    async def profile(self, ref: str) -> Profile:
        """See `KnowsPeople.profile`; of a chat what it is called."""
        peer_id = _peer(ref)
        if peer_id > parsing.CHATS_BEGIN:
            items = _items(await self._ask("messages.getConversationsById", peer_ids=ref))
            chat = items[0].get("chat_settings") if items else None
            if not isinstance(chat, dict):
                return Profile()
            photo = chat.get("photo")
            return Profile(str(chat.get("title") or ""), picture=await self._picture(photo if isinstance(photo, dict) else {}))
        people = _listed(await self._ask("users.get", user_ids=ref, fields="photo_200,screen_name,has_photo"))
        person = people[0] if people else {}
        if not person or person.get("deactivated"):
            return Profile(_full_name(person) if person else "")
        name = person.get("screen_name")
        picture = await self._picture(person) if person.get("has_photo") != 0 else b""
        return Profile(_full_name(person), f"@{name}" if isinstance(name, str) and name else "", picture=picture)

    async def _picture(self, told: Mapping[str, Any]) -> bytes:
        address = told.get("photo_200") or told.get("photo_100")
        picture = bytearray()
        if isinstance(address, str) and address:
            try:
                async for chunk in self._api.download(address):
                    picture += chunk
                    if len(picture) > PICTURE_MAX:
                        return b""
            except Rejected as error:  # who they are is known without it
                log.info("picture_not_fetched", channel_id=self.id, problem=str(error))
        return bytes(picture)


# --- words of VK's


class _Part(NamedTuple):
    """One of VK's messages: words, and so many *files* of the message's from its file *first* on."""

    text: str
    first: int = 0
    files: int = 0


class _Place(NamedTuple):
    """How far a community's events are stored, and when that was."""

    group_id: int
    ts: str
    """Empty: from the next event on."""
    at_s: int

    @classmethod
    def of(cls, cursor: str | None, group_id: int) -> _Place | None:
        """Return the place that *cursor* is, if it is one of this community's."""
        group, _, rest = (cursor or "").partition(":")
        ts, _, at_s = rest.rpartition(":")
        try:
            return cls(group_id, ts, int(at_s)) if ts and int(group) == group_id else None
        except ValueError:
            return None

    def at(self, ts: str, at_s: int) -> _Place:
        return _Place(self.group_id, ts, at_s)

    @property
    def cursor(self) -> str:
        return f"{self.group_id}:{self.ts}:{self.at_s}"


class _LongPoll(NamedTuple):
    url: str
    key: str
    ts: str

    @classmethod
    def of(cls, answer: object) -> _LongPoll:
        """Return what groups.getLongPollServer has answered. Raises Unavailable."""
        told = answer if isinstance(answer, dict) else {}
        url, key, ts = told.get("server"), told.get("key"), told.get("ts")
        if not isinstance(url, str) or not isinstance(key, str) or not isinstance(ts, str | int):
            raise Unavailable("VK's answer cannot be read")
        return cls(url, key, str(ts))


@dataclass(slots=True)
class _Listening:
    """How it stands with the long poll. *behind*: what was missed is looked for once VK has told what it has; *lost*: at once."""

    place: _Place
    behind: bool
    lost: bool = False
    server: _LongPoll | None = None
    failures: int = 0


def random_id(token: str, part: int = 0) -> int:
    """Return by which number VK knows a part of the message *token* again; never 0, which is none."""
    return zlib.crc32(f"{token}:{part}".encode() if part else token.encode()) & 0x7FFFFFFF or 1


def _keyboard(outbound: Outbound) -> dict[str, Any] | None:
    """Return the buttons beneath the message. Raises Rejected when they are too many."""
    if not outbound.buttons:
        return None
    if len(outbound.buttons) > BUTTONS_MAX:
        raise Rejected(f"VK shows {BUTTONS_MAX} buttons beneath a message, and these are {len(outbound.buttons)}")
    buttons = []
    for one in outbound.buttons:
        payload = msgspec.json.encode({parsing.VALUE_KEY: one.value}).decode()
        buttons.append({"action": {"type": "callback", "label": one.label[:BUTTON_CHARS] or "…", "payload": payload}})
    wide = 1 if len(buttons) <= BUTTON_ROWS_MAX else 2
    return {"inline": True, "buttons": [buttons[first : first + wide] for first in range(0, len(buttons), wide)]}


def _reply(answers: str, peer_id: int) -> dict[str, Any] | None:
    """Return what says that a message answers the one called *answers*."""
    peer, _, number = answers.split(maxsplit=1)[0].rpartition(":")
    if peer != str(peer_id) or not number.isdecimal():
        return None
    return {"peer_id": peer_id, "conversation_message_ids": [int(number)], "is_reply": True}


def _peer(key: str) -> int:
    try:
        return int(key)
    except ValueError:
        raise Rejected(f"{key[:60]!r} is no conversation of VK") from None


def _numbers(sent_as: str) -> list[int]:
    try:
        return [int(one.rpartition(":")[2]) for one in sent_as.split()]
    except ValueError:
        raise Rejected("what was to be changed has no number in its conversation") from None


def _upload_url(answer: object) -> str:
    url = answer.get("upload_url") if isinstance(answer, dict) else None
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        raise Unavailable("VK's answer cannot be read")
    return url


def _attachment(kind: str, thing: object) -> str:
    """Return how an attachment is named in a call. Raises Unavailable."""
    if not isinstance(thing, dict) or not isinstance(thing.get("id"), int) or not isinstance(thing.get("owner_id"), int):
        raise Unavailable("VK's answer to a file cannot be read")
    key = thing.get("access_key")
    return f"{kind}{thing['owner_id']}_{thing['id']}" + (f"_{key}" if isinstance(key, str) and key else "")


def _listed(answer: object) -> list[dict[str, Any]]:
    return [one for one in answer if isinstance(one, dict)] if isinstance(answer, list) else []


def _items(answer: object) -> list[dict[str, Any]]:
    return _listed(answer.get("items")) if isinstance(answer, dict) else []


def _date(message: Mapping[str, Any]) -> int:
    """Return when a message was said or changed, seconds since 1970."""
    return max((value for name in ("date", "update_time") if isinstance(value := message.get(name), int)), default=0)


def _has_all(settings: object) -> bool:
    events = settings.get("events") if isinstance(settings, dict) else None
    return isinstance(events, dict) and all(events.get(name) for name in parsing.EVENTS)


def _full_name(person: Mapping[str, Any]) -> str:
    return f"{person.get('first_name') or ''} {person.get('last_name') or ''}".strip()


def _group_of(answer: object) -> dict[str, Any]:
    """Return the community that groups.getById has answered. Raises Unavailable."""
    groups = _listed(answer.get("groups")) if isinstance(answer, dict) else _listed(answer)
    if not groups or not isinstance(groups[0].get("id"), int):
        raise Unavailable("VK does not say whose token it is")
    return groups[0]


def _decoded(body: bytes) -> dict[str, Any] | None:
    try:
        event = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


RIGHTS = {"messages": "no_messages_right", "manage": "no_manage_right", "photos": "no_photos_right", "docs": "no_docs_right"}
"""What a token needs, each with the warning where it has it not."""


async def probe(given: Mapping[str, Any]) -> Probed:
    """See `ChannelKind.probe`. Raises BadInput, AccessLost, Unavailable."""
    from channels.vk.api import Api

    settings = msgspec.convert(dict(given), VkSettings)
    api = Api(settings.token, settings.server)
    try:
        group = _group_of(await api.ask("groups.getById"))
        permissions = await api.ask("groups.getTokenPermissions")
    except (Uncertain, Rejected) as error:
        raise Unavailable(str(error)) from error
    finally:
        api.close()
    if settings.group_id not in (0, group["id"]):
        raise BadInput(f"the token is of the community {group['id']}", field="settings.group_id")
    listed = _listed(permissions.get("permissions")) if isinstance(permissions, dict) else []
    there = {str(one.get("name")) for one in listed}
    warnings = tuple(code for right, code in RIGHTS.items() if right not in there)
    name = str(group.get("screen_name") or f"club{group['id']}")
    return Probed(str(group.get("name") or name), f"https://vk.me/{name}", warnings)


VK = ChannelKind(KIND, CAPABILITIES, check, secrets=frozenset({"token", "secret"}), sent_to=frozenset({"server"}), probe=probe)

__all__ = ["VK", "VkChannel"]
