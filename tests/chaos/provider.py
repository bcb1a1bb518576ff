"""A provider of messages as the world has them, for chaos runs: customers in its chats, a long poll, a way to send, and every trouble.

    GET  /updates?after=N   what came after N, of all chats in one order; with repeats, a batch in no order, some that nobody can read
    POST /send              a message for a chat; the same token again is the same message, but for a provider that forgets

Troubles come by chance, of a share of all requests: 429 with Retry-After, 500 before and after the deed, a connection cut before and
after it, an answer that never comes. What customers said and got is written down as the checker wants it.

`ProviderChannel` is the adapter, written as adapters are: it runs in the servers of the run. There are two kinds of providers: to one
that forgets, nothing is sent again of which nobody knows whether it has arrived.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from broker.domain import Capabilities, ChannelRow, Delivered, LoadKind, Person, Rate
from broker.errors import BadInput, Rejected, Unavailable, Uncertain
from broker.events import Incoming, Wrote
from broker.ports import ChannelKind, Delivery, Outbound, Raw
from tests.chaos.record import REPLY, Line, Said, VisitorRecord

KIND_NAME, FORGETFUL = "provider", "forgetful"
CAPABILITIES = Capabilities(
    Delivered.PUSH,
    LoadKind.CHAT,
    idempotent=True,
    reaches_absent=True,
    polled=True,
    rates=(Rate(2, 4, of="conversation"), Rate(100, 100)),
)
NO_ANSWER, ANSWERED = "no answer from the provider", "the provider answered"
"""How the adapter begins to say why it is in doubt."""
PATIENCE_SECONDS = 1.5
"""How long the adapter waits for an answer."""
POLL_SECONDS = 0.5
TROUBLE = 0.15
"""Of all requests."""
TROUBLES = ("429", "500 before", "500 after", "cut before", "cut after", "silence")
POISON = 0.05
"""Of all updates, how many nobody can read."""
THINK_SECONDS = (0.5, 2.0)
UNANSWERED_MAX = 20
COMES_BACK_SECONDS = 8.0
"""Whoever has waited so long for an answer writes once more, if their session was closed over their words: never to wake what is stuck."""


# --- the far side


class Customer:
    """Somebody in a chat of the provider's, and what they said and got."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.said: list[Said] = []
        self.got: list[Line] = []
        self.answers: set[str] = set()
        self.last_said = 0.0

    @property
    def waits(self) -> str:
        """Say what they still wait for; empty: nothing."""
        unanswered = [said.text for said in self.said if REPLY + said.text not in self.answers]
        return f"{self.name} has no answer to “{unanswered[0]}”" if unanswered else ""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the house stands with a customer. *over*: it has done with all they said; *in_doubt*: answers that may have arrived or not."""

    over: bool = False
    in_doubt: frozenset[str] = frozenset()


class Provider:
    """The server, and the customers in its chats."""

    def __init__(self, seed: int, customers: int, kind: str = KIND_NAME) -> None:
        self.kind = kind
        self._chance = random.Random(f"{seed} {kind}")
        self.changed: Callable[[], None] = lambda: None
        """Called whenever a message was taken."""
        self.standing: Callable[[str, str, str], Awaitable[Standing]] = _nobody_knows
        """Tells of a customer (kind, name, number of their last words): see `trials.standing`."""
        self.customers = {name: Customer(name) for name in (f"{kind[0]}{n:02d}" for n in range(customers))}
        self.talking = True
        self.silent = False
        """Nobody writes, whatever is missing."""
        self.troubles: Counter[str] = Counter()
        self.sent: dict[str, str] = {}
        """Token of each message that was taken -> its id."""
        self.repeats = 0
        """How often a message came that had been taken."""
        self.unanswered: set[str] = set()
        """Tokens of messages that got no answer, or none that says whether they were taken."""
        self.comebacks = 0
        """How often somebody wrote once more, because they had been left without an answer."""
        self.unreadable: set[str] = set()
        """Numbers of the updates that nobody can read."""
        self._updates: list[dict[str, Any] | str] = []
        self._came = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._talk: asyncio.Task[None] | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen; customers begin with `begin`."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def begin(self) -> None:
        """Have the customers write."""
        self._talk = asyncio.get_running_loop().create_task(self._think_and_talk())

    def fail_fast(self) -> None:
        """Raise what ended the customers' talk."""
        if self._talk is not None and self._talk.done() and not self._talk.cancelled():
            self._talk.result()

    async def stop(self) -> None:
        """Fall silent, and close."""
        if self._talk is not None:
            self._talk.cancel()
            await asyncio.gather(self._talk, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        if self._server is not None:
            self._server.close()

    async def _think_and_talk(self) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*THINK_SECONDS) / len(self.customers))
            await self.turn()

    async def turn(self) -> None:
        """Have one of the customers write, if they would."""
        customer = self._chance.choice(list(self.customers.values()))
        if self.talking and len(customer.said) - len(customer.answers) < UNANSWERED_MAX:
            self._say(customer)
        elif customer.waits and time.monotonic() - customer.last_said > COMES_BACK_SECONDS:
            standing = await self.standing(self.kind, customer.name, customer.said[-1].id)
            # They may have arrived or not, and no more will come of them.
            customer.answers |= {text for text in standing.in_doubt if text.startswith(REPLY)}
            self.changed()
            if standing.over and customer.waits and not self.silent:
                self.comebacks += 1
                self._say(customer)

    def _say(self, customer: Customer) -> None:
        if self._chance.random() < POISON:
            self._updates.append(self._chance.choice(["not JSON", '{"id": ', "[]", '{"chat": 7}', '{"text": "\\ud800"}']))
            self.unreadable.add(str(len(self._updates)))
        number = len(self._updates) + 1
        text = f"{customer.name} {len(customer.said) + 1}"
        customer.said.append(Said(str(number), text, sends=1, acks=[]))
        customer.last_said = time.monotonic()
        self._updates.append({"chat": customer.name, "text": text})
        self._came.set()

    # --- requests

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                method, target, _ = line.decode().split(" ", 2)
                length = 0
                while (header := (await reader.readline()).strip().lower()) != b"":
                    if header.startswith(b"content-length:"):
                        length = int(header.partition(b":")[2])
                body = await reader.readexactly(length)
                await self._answer(writer, method, target, body)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, method: str, target: str, body: bytes) -> None:
        trouble = self._chance.choice(TROUBLES) if self._chance.random() < TROUBLE else ""
        if trouble:
            self.troubles[trouble] += 1
            if method == "POST" and trouble != "429":
                self.unanswered.add(json.loads(body)["token"])
        match trouble:
            case "429":
                await _reply(writer, 429, {}, f"Retry-After: {self._chance.uniform(0.1, 1.0):.2f}\r\n")
                return
            case "500 before":
                await _reply(writer, 500, {})
                return
            case "cut before":
                raise ConnectionResetError
        answer = await self._updates_after(target) if method == "GET" else self.take(json.loads(body))
        match trouble:
            case "500 after":
                await _reply(writer, 500, {})
            case "cut after":
                raise ConnectionResetError
            case "silence":
                await asyncio.sleep(4 * PATIENCE_SECONDS)  # half-open: whoever asked has given up before
            case _:
                await _reply(writer, 200, answer)

    async def _updates_after(self, target: str) -> list[Any]:
        after = int(parse_qs(urlsplit(target).query)["after"][0])
        if after >= len(self._updates):
            self._came.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._came.wait()
        # What was given before is given again now and then, and a batch comes in no order: each update names its place.
        begin = max(0, after - self._chance.choice((0, 0, 0, 3)))
        found = [[number + 1, update] for number, update in enumerate(self._updates)][begin : begin + 20]
        self._chance.shuffle(found)
        return found

    def take(self, wanted: dict[str, Any]) -> dict[str, str]:
        """Take the message that the body of a request is; return the answer's."""
        token = wanted["token"]
        known = token in self.sent
        self.repeats += known
        if not known or self.kind == FORGETFUL:
            self.sent.setdefault(token, f"sent-{len(self.sent) + 1}")
            customer = self.customers[wanted["chat"]]
            customer.got.append(Line(wanted["seq"], wanted["who"], wanted["text"]))
            if wanted["who"] == "operator":
                customer.answers.add(wanted["text"])
            self.changed()
        return {"id": self.sent[token]}

    # --- what is checked

    @property
    def waits(self) -> list[str]:
        """Return what anybody still waits for."""
        return [one.waits for one in self.customers.values() if one.waits]

    def records(self, threads: dict[str, list[Line]]) -> list[VisitorRecord]:
        """Return each customer's run, as if they had read the house's own *threads*: a provider shows no history of ours."""
        records = []
        for customer in self.customers.values():
            texts = {said.text: said for said in customer.said}
            thread = next((lines for lines in threads.values() if any(line.text in texts for line in lines)), [])
            history = []
            for line in thread:
                said = texts.get(line.text) if line.who == "contact" else None
                if said is not None:
                    said.acks.append(line.seq)
                history.append(Line(line.seq, line.who, line.text, said.id if said is not None else ""))
            for said in customer.said:
                said.echoed = True  # the provider took it: whether the house has it is the checker's to say
            records.append(VisitorRecord(customer.name, customer.said, customer.got, history, shows_repeats=True))
        return records


async def _nobody_knows(*_: str) -> Standing:
    return Standing()


async def _reply(writer: asyncio.StreamWriter, status: int, body: Any, headers: str = "") -> None:
    text = json.dumps(body).encode()
    writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(text)}\r\n{headers}\r\n".encode() + text)
    await writer.drain()


# --- our side


def check(settings: Any) -> dict[str, Any]:
    """Return the settings as they are."""
    return dict(settings)


KINDS = {
    KIND_NAME: ChannelKind(KIND_NAME, CAPABILITIES, check),
    FORGETFUL: ChannelKind(FORGETFUL, replace(CAPABILITIES, idempotent=False), check),
}


class ProviderChannel:
    """The adapter of the provider at `settings["url"]`."""

    def __init__(self, row: ChannelRow) -> None:
        self.kind = row.kind
        self.capabilities = KINDS[row.kind].capabilities
        self.id = row.id
        self.line_id = row.line_id
        self.slug = row.slug
        self._http = httpx.AsyncClient(base_url=str(row.settings["url"]), timeout=PATIENCE_SECONDS, trust_env=False)

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """Yield what came, in the order of the provider's numbers. Raises Unavailable."""
        after = int(cursor or 0)
        while True:
            try:
                answer = await self._ask("GET", f"/updates?after={after}")
            except Uncertain as error:
                raise Unavailable(str(error)) from error  # asking again takes nothing away
            found = sorted(answer, key=lambda one: one[0])
            # What stands before the cursor has been stored; what is missing in between comes with the next.
            raws = tuple(Raw(str(number), json.dumps(update).encode()) for number, update in found)
            if found:
                after = max(after, found[-1][0])
                yield Delivery(raws, str(after))

    def parse(self, raw: Raw) -> Incoming:
        """See `Channel.parse`."""
        try:
            said = json.loads(raw.body)
            chat, text = said["chat"], said["text"]
        except (ValueError, TypeError, KeyError) as error:
            raise BadInput(f"an update that nobody can read: {error!r}") from None
        if not isinstance(chat, str) or not isinstance(text, str):
            raise BadInput("an update without a chat and a text")
        return Incoming(chat, Person(chat, name=chat), Wrote(text, raw.external_id), None)

    async def send(self, outbound: Outbound) -> str:
        """See `Channel.send`."""
        who = "operator" if outbound.from_operator else "system"
        body = {"token": outbound.token, "chat": outbound.key, "seq": outbound.seq, "who": who, "text": outbound.text}
        return str((await self._ask("POST", "/send", body))["id"])

    async def _ask(self, method: str, path: str, body: Any = None) -> Any:
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx.ConnectError as error:
            raise Unavailable(f"the provider is not there: {error}") from error
        except httpx.HTTPError as error:
            raise Uncertain(f"{NO_ANSWER}: {error!r}") from error
        if answer.status_code == 429:
            raise Unavailable("too many", retry_after=float(answer.headers["retry-after"]))
        if answer.status_code >= 500:
            raise Uncertain(f"{ANSWERED} {answer.status_code}")
        if answer.status_code >= 400:
            raise Rejected(f"{ANSWERED} {answer.status_code}", code=str(answer.status_code))
        return answer.json()
