"""Telegram for tests: a fake of it as a process (tests.support.telegram_fake), and what people do there.

    with telegram_fake() as fake:
        bot, ann = fake.add_bot("shop_bot"), fake.add_person("Ann")
        asked = fake.say(ann, bot, "Is it open?")
        ...                                            # what is tested talks to fake.url with bot.token
        [answer] = fake.sent(bot, ann, at_least=1)     # waits until it is there

        assert "Until six" == answer.text
        assert [] == fake.violations()

Where something is said is a `Bot` (its private chat), the number of a group, or a `BusinessChat`.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

Json = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 10.0
ANSWER_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Bot:
    """A bot."""

    token: str
    id: int
    username: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody; their private chats bear their id."""

    id: int
    name: str
    shown: Json = field(hash=False, compare=False)
    """As the API tells of them."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A business account that a bot answers for."""

    id: str
    bot: Bot
    owner: Person


@dataclass(frozen=True, slots=True)
class BusinessChat:
    """Where the owner of a business account and a customer talk."""

    connection: Connection
    customer: Person


Place = Bot | int | BusinessChat


@dataclass(frozen=True, slots=True)
class Content:
    """A file of this *kind*: photo, video, voice, audio, video_note, animation, document or sticker.

    *size* where it is to pass for a larger one; *described* has what its object is to say: duration, emoji.
    """

    kind: str
    content: bytes
    name: str = ""
    mime: str = ""
    caption: str = ""
    size: int | None = None
    described: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SentFile:
    """A file that a message has."""

    kind: str
    sha256: str
    size: int
    name: str
    mime: str


@dataclass(frozen=True, slots=True)
class Posted:
    """A message as it is in a chat now."""

    message: Json
    """As the API tells of it."""
    by: str | None
    """The token of the bot that sent it; None: a person."""
    method: str
    asked: Json
    """The parameters it was sent with."""
    files: list[SentFile]
    keyboard: Json | None
    """The keyboard, also one that is not inline."""
    reply: Json | None
    """The parameters of the reply."""
    versions: list[Json]
    """What it was before each edit."""
    deleted: bool
    read: bool
    reactions: dict[int, list[str]]
    """The emojis by who reacted, people and bots."""

    @property
    def id(self) -> int:
        """Its number in the chat."""
        return int(self.message["message_id"])

    @property
    def text(self) -> str:
        """What it says, be it under a file."""
        return str(self.message.get("text") or self.message.get("caption") or "")

    @property
    def buttons(self) -> list[list[str]]:
        """What its buttons say, row by row."""
        rows = (self.keyboard or {}).get("inline_keyboard") or (self.keyboard or {}).get("keyboard") or []
        return [[button if isinstance(button, str) else str(button["text"]) for button in row] for row in rows]


@dataclass(frozen=True, slots=True)
class Seen:
    """What a bot has done besides sending."""

    calls: dict[str, int]
    """How often each method was called, also in vain; `file` are downloads."""
    asked: list[tuple[str, Json]]
    """The calls that got as far as the bot, with their parameters, in their order."""
    actions: list[Json]
    """Chat actions: `chat_id`, `action`."""
    answers: dict[str, Json]
    """How pressed buttons were answered, by the query's id."""
    pending: list[Json]
    """The updates that are not confirmed."""
    commands: list[Json]
    webhook: str | None
    answered_by_webhook: list[str]
    """Answers to posts that have a method in them: the real one would take them for calls, the fake does not."""


class Refusal(Exception):
    """The fake cannot do what the test wants; the message says why."""


class TelegramFake:
    """See the module. Files of the fake lie in *folder*."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        self.folder = folder
        self.url = ""
        """What stands before `/bot<token>/<method>`."""
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._client: httpx.Client
        self.bots_client: httpx.Client
        """For calls as bots make them."""

    def start(self) -> None:
        """Start it, and return when it listens."""
        command = [sys.executable, "-m", "tests.support.telegram_fake", "--port", str(self._port), "--folder", str(self.folder)]
        with self.log.open("wb") as log:
            # Its input ends when this process does, in whatever way: a killed test leaves no fake behind.
            self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fake did not start: {self.log.read_text()}")
        ports = json.loads(line)
        self.url = f"http://127.0.0.1:{ports['port']}"
        address = f"http://127.0.0.1:{ports['control_port']}/control/"
        self._client = httpx.Client(base_url=address, timeout=ANSWER_SECONDS, trust_env=False)
        self.bots_client = httpx.Client(base_url=self.url, timeout=ANSWER_SECONDS, trust_env=False)

    def stop(self) -> None:
        """End it."""
        if self._process is None:
            return
        if self.url:
            self._client.close()
            self.bots_client.close()
        self._process.kill()
        self._process.communicate()
        self._process = None

    @property
    def log(self) -> Path:
        """What the fake has to say of itself."""
        return self.folder / "fake.log"

    # Who is there.

    def add_bot(self, username: str = "shop_bot", name: str = "Shop", *, token: str | None = None) -> Bot:
        """Add a bot, with a token of its own unless one is given."""
        made = self._ask("bots", username=username, name=name, token=token)
        return Bot(made["token"], made["id"], made["username"])

    def add_person(
        self,
        name: str = "Ann",
        *,
        last_name: str | None = None,
        username: str | None = None,
        language: str | None = None,
        avatars: Sequence[bytes] = (),
    ) -> Person:
        """Add somebody, with pictures, the newest first. A bot may write once they have said something to it."""
        said = {"first_name": name, "last_name": last_name, "username": username, "language_code": language}
        given: Json = {key: value for key, value in said.items() if value is not None}
        made = self._ask("people", **given, avatars=[_encoded(picture) for picture in avatars])
        return Person(made["id"], name, made)

    def add_group(
        self, title: str, *bots: Bot, kind: str = "supergroup", forum: bool = False, username: str = "", by: Person | None = None
    ) -> int:
        """Add a `group` or a `supergroup`; the bots are told if somebody has added them. Return its number."""
        tokens = [bot.token for bot in bots]
        made = self._do("add_group", kind=kind, title=title, bots=tokens, forum=forum, username=username, person=by and by.id)
        return int(made["id"])

    def add_topic(self, group: int, by: Person, name: str) -> int:
        """Open a topic of a forum; return its thread."""
        return int(self._do("add_topic", chat=group, person=by.id, name=name))

    def remove(self, bot: Bot, group: int, by: Person) -> None:
        """Throw *bot* out."""
        self._do("remove", bot=bot.token, chat=group, person=by.id)

    def migrate(self, group: int, by: Person) -> int:
        """Have a group become a supergroup; return its new number."""
        return int(self._do("migrate", chat=group, person=by.id)["id"])

    def connect(self, bot: Bot, owner: Person, *, rights: Sequence[str] | None = None, enabled: bool = True) -> Connection:
        """Have *bot* answer for the owner's account, or change what it may; *rights* None: all that concern messages."""
        allowed = None if rights is None else dict.fromkeys(rights, True)
        made = self._do("connect", bot=bot.token, person=owner.id, rights=allowed, enabled=enabled)
        return Connection(made["id"], bot, owner)

    # What people do.

    def start_bot(self, person: Person, bot: Bot, payload: str = "") -> Json:
        """Press Start, or a link with a payload."""
        return self.say(person, bot, f"/start {payload}".strip())

    def say(
        self,
        person: Person,
        place: Place,
        text: str = "",
        *,
        entities: Sequence[Json] | None = None,
        reply_to: int | None = None,
        quote: str = "",
        thread: int | None = None,
        forwarded: Person | str | None = None,
        **content: object,
    ) -> Json:
        """Say something, and return the message; *forwarded*: what this person, or one who hides behind this name, has said.

        *content* may have `location`, `contact` or `venue` as the API has them instead of a text.
        """
        [message] = self._say(person, place, text, [], entities, reply_to, quote, thread, forwarded, content)
        return message

    def send_file(
        self,
        person: Person,
        place: Place,
        file: Content,
        *,
        reply_to: int | None = None,
        thread: int | None = None,
        **content: object,
    ) -> Json:
        """Send a file; return the message."""
        [message] = self._say(person, place, "", [file], None, reply_to, "", thread, None, content)
        return message

    def send_album(self, person: Person, place: Place, *files: Content, thread: int | None = None) -> list[Json]:
        """Send several files as one album; return its messages."""
        return self._say(person, place, "", files, None, None, "", thread, None, {})

    def edit(self, person: Person, place: Place, message_id: int, text: str) -> Json:
        """Say it otherwise; return the message."""
        return dict(self._do("edit", person=person.id, place=_where(place), message_id=message_id, text=text))

    def delete(self, person: Person, place: Place, *message_ids: int) -> None:
        """Take messages away. Only the bot of a business account is told."""
        self._do("delete", person=person.id, place=_where(place), message_ids=message_ids)

    def press(self, person: Person, place: Place, message_id: int, data: str) -> str:
        """Press the button with this data; return the id of the query."""
        return str(self._do("press", person=person.id, place=_where(place), message_id=message_id, data=data))

    def react(self, person: Person, place: Place, message_id: int, *emojis: str) -> None:
        """React with these instead of those of before."""
        self._do("react", person=person.id, place=_where(place), message_id=message_id, emojis=emojis)

    def block(self, person: Person, bot: Bot) -> None:
        """Want to hear no more of *bot*."""
        self._do("block", person=person.id, bot=bot.token, on=True)

    def unblock(self, person: Person, bot: Bot) -> None:
        """Want to hear of it again."""
        self._do("block", person=person.id, bot=bot.token, on=False)

    def give(self, bot: Bot, update: Json, *, next_id: int | None = None) -> int:
        """Give *bot* an update as it is, held against nothing; return the number that the next one will have."""
        given: Json = {} if next_id is None else {"next_id": next_id}
        return int(self._ask("update", bot=bot.token, update=update, **given))

    def call(self, bot: Bot, method: str, *, files: Mapping[str, tuple[str, bytes]] | None = None, **parameters: object) -> Json:
        """Call a method as the bot itself would, in JSON or with *files* (name, content) as a form; return the whole answer.

        Raises httpx.TransportError where there is none.
        """
        address = f"/bot{bot.token}/{method}"
        if files is None:
            answer = self.bots_client.post(address, json=parameters)
        else:
            answer = self.bots_client.post(address, data=parameters, files=files)
        said: Json = answer.json()
        assert answer.status_code == said.get("error_code", 200)
        return said

    # What there is to be seen.

    def room(self, bot: Bot, place: Place | Person, *, at_least: int = 0, seconds: float = WAIT_SECONDS) -> list[Posted]:
        """Return all messages of a chat, of people and of bots, once there are *at_least* so many of *bot* or time is up."""
        where = {"bot": bot.token, "person": place.id} if isinstance(place, Person) else _where(place)
        shown = self._ask("room", bot=bot.token, place=where, at_least=at_least, seconds=seconds if at_least else 0.0)
        return [_posted(one) for one in shown]

    def sent(self, bot: Bot, place: Place | Person, *, at_least: int = 0, seconds: float = WAIT_SECONDS) -> list[Posted]:
        """Return what *bot* has sent to a chat, once it is *at_least* so much or time is up; a person stands for the private one."""
        return [one for one in self.room(bot, place, at_least=at_least, seconds=seconds) if one.by == bot.token]

    def seen(self, bot: Bot, method: str = "", *, at_least: int = 0, begun: bool = False, seconds: float = WAIT_SECONDS) -> Seen:
        """Return what else *bot* has done, once so many calls of *method* have ended or time is up; *begun*: or have only begun."""
        wait_seconds = seconds if at_least else 0.0
        shown = self._ask("bot", bot=bot.token, method=method, at_least=at_least, begun=begun, seconds=wait_seconds)
        return Seen(**shown | {"asked": [(name, parameters) for name, parameters in shown["asked"]]})

    def violations(self) -> list[Json]:
        """Return what calls, results and updates were not as published: `of` (call, result, update, fake), `method`, `complaint`."""
        return list(self._answered(self._client.get("violations")))

    def forget_violations(self) -> None:
        """Let those there are be forgiven."""
        self._answered(self._client.delete("violations"))

    # What goes wrong.

    def fail(self, method: str, kind: str, *, times: int = 1, bot: Bot | None = None, seconds: float = 0.0) -> None:
        """Let the next calls of *method* fail, `*` being any and `file` downloads.

        *kind*: 429 (retry after *seconds*), 500, 502; cut_unread, cut_undone (read), cut_done (only the answer is lost); slow (done, and
        answered *seconds* later); not_json.
        """
        self._ask("failures", method=method, kind=kind, times=times, token="" if bot is None else bot.token, seconds=seconds)

    def forget_failures(self) -> None:
        """Let no call fail any more."""
        self._answered(self._client.delete("failures"))

    def go_down(self, how: str = "refuse") -> None:
        """Be away until it comes up: connections are refused, or with `502` a gateway says so."""
        self._ask("down", how=how)

    def come_up(self) -> None:
        """Be there again, at the same address."""
        self._ask("down", how="")

    def revoke(self, bot: Bot, *, on: bool = True) -> None:
        """Have the token be good no more; with *on* false have it be good again."""
        self._ask("revoke", bot=bot.token, on=on)

    def stop_clock(self) -> None:
        """Let time pass only by `move_clock`."""
        self._ask("clock", running=False)

    def start_clock(self) -> None:
        """Let it pass by itself again."""
        self._ask("clock", running=True)

    def move_clock(self, seconds: float) -> None:
        """Let it be so much later: for limits, links to files, queries and updates nobody came for."""
        self._ask("clock", seconds=seconds)

    def set_limits(self, *, on: bool) -> None:
        """Mind how often bots send, or do not."""
        self._ask("limits", on=on)

    def _say(
        self,
        person: Person,
        place: Place,
        text: str,
        files: Sequence[Content],
        entities: Sequence[Json] | None,
        reply_to: int | None,
        quote: str,
        thread: int | None,
        forwarded: Person | str | None,
        content: Mapping[str, object],
    ) -> list[Json]:
        origin = {"person": forwarded.id} if isinstance(forwarded, Person) else forwarded and {"name": forwarded}
        said = {"text": text, "entities": entities, "reply_to": reply_to, "quote": quote, "thread": thread, "forwarded": origin}
        return list(
            self._do("say", person=person.id, place=_where(place), files=[_file(file) for file in files], **said, **content)
        )

    def _do(self, deed: str, **given: object) -> Any:
        return self._ask(f"do/{deed}", **given)

    def _ask(self, path: str, **given: object) -> Any:
        return self._answered(self._client.post(path, json=given))

    def _answered(self, answer: httpx.Response) -> Any:
        if answer.is_error:
            raise Refusal(answer.text)
        return answer.json()


@contextmanager
def telegram_fake(*, port: int = 0) -> Iterator[TelegramFake]:
    """Give a fake that runs."""
    with tempfile.TemporaryDirectory(prefix="omniline-telegram-") as folder:
        fake = TelegramFake(Path(folder), port=port)
        try:
            fake.start()
            yield fake
        finally:
            fake.stop()


def _where(place: Place) -> Json:
    match place:
        case Bot():
            return {"bot": place.token}
        case BusinessChat():
            return {"connection": place.connection.id, "customer": place.customer.id}
        case int():
            return {"chat": place}


def _file(file: Content) -> Json:
    said = {"kind": file.kind, "name": file.name, "mime": file.mime, "caption": file.caption, "size": file.size}
    return said | {"content": _encoded(file.content), "described": dict(file.described)}


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _posted(shown: Json) -> Posted:
    reactions = {who: [one.get("emoji", one["type"]) for one in given] for who, given in shown.pop("reactions")}
    files = [SentFile(**file) for file in shown.pop("files")]
    return Posted(by=shown.pop("bot"), files=files, reactions=reactions, **shown)
