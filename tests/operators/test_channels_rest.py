"""REST of channels: secrets that go in and never come out, trying an account, how channels are; and letters that nobody could read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker import inbound
from broker.domain import Capabilities, ChannelId, Delivered, LineSettings, LoadKind, Role
from broker.errors import AccessLost, BadInput, Unavailable
from broker.events import Pressed, Wrote
from broker.outbound import post
from broker.ports import Channel, ChannelKind, Probed, Raw, Tx
from broker.sealing import Sealer, sealing
from broker.store import health
from operators.channels_rest import routes
from operators.rest import routes as people_routes
from routing.public_holidays import WorldCalendars
from tests.support.house import add_line
from tests.support.messenger import Messenger
from tests.support.site import Site
from tests.support.store import plain

NOBODY = "01900000-0000-7000-8000-ffffffffffff"
TOKEN = "token-very-secret"
SEALER = Sealer(lambda: bytes(64))
CAN = Capabilities(Delivered.PUSH, LoadKind.CHAT, idempotent=False, reaches_absent=True)


def _check(given: Mapping[str, Any]) -> dict[str, Any]:
    if set(given) - {"token", "word", "colour", "server"}:
        raise BadInput("only token, word, colour and server are known", field="settings")
    if not str(given.get("token") or "token").startswith("token"):
        raise BadInput("a token begins with token", field="settings.token", code="bad_token")
    return {"token": "", "word": "", "colour": "red", **given}


class Bureau:
    """An administrator, a supervisor, a line, and a kind of channel whose provider is asked; *says* is what it answers."""

    def __init__(self, folder: Path) -> None:
        self.says: Probed | Exception = Probed("Shop Bot", "https://t.example/shop", ("no_privacy",))
        self.asked: list[Mapping[str, Any]] = []
        self.on: dict[ChannelId, Channel] = {}
        messenger = ChannelKind(
            "messenger", CAN, _check, secrets=frozenset({"token", "word"}), sent_to=frozenset({"server"}), probe=self._probe
        )
        kinds = {"messenger": sealing(messenger, SEALER), "page": ChannelKind("page", CAN, dict)}
        made = routes(kinds, SEALER, self.on.get, lambda _: LineSettings())
        self.site = Site(folder, routes=[*people_routes(WorldCalendars()), *made])
        self.browsers: dict[Role, httpx.AsyncClient] = {}
        for role in (Role.ADMINISTRATOR, Role.SUPERVISOR):
            self.site.person(role.value, role)
            self.browsers[role] = self.site.browser()
            assert self.site.log_in(role.value, by=self.browsers[role]).status_code == 200
        self.line = self.site.write(add_line)

    async def _probe(self, settings: Mapping[str, Any]) -> Probed:
        self.asked.append(settings)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says

    def ask(self, method: str, path: str, by: Role = Role.ADMINISTRATOR, **more: Any) -> httpx.Response:
        """Ask as somebody."""
        return self.site.ask(method, f"/api/v1{path}", by=self.browsers[by], **more)

    def channel(self, slug: str = "bot", kind: str = "messenger", **settings: Any) -> dict[str, Any]:
        """Return a channel that was added."""
        body = {"line_id": self.line, "slug": slug, "kind": kind, "name": slug.title(), "settings": settings}
        answer = self.ask("POST", "/channels", json=body)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def change(self, channel: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """Change a channel and return it."""
        answer = self.ask("PATCH", f"/channels/{channel['id']}", json=changes)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def probe(self, **body: Any) -> httpx.Response:
        """Try an account."""
        return self.ask("POST", "/channels/probe", json={"kind": "messenger", **body})

    def rows(self, text: str, *values: object) -> list[Any]:
        """Return what a plain query finds."""
        return self.site.write(lambda tx: [tuple(row) for row in plain(tx, text, *values).fetchall()])

    def kept(self) -> dict[str, Any]:
        """Return the settings of the only channel, as they are kept."""
        ((settings,),) = self.rows("SELECT settings FROM channels")
        return dict(json.loads(settings))


@pytest.fixture
def bureau(tmp_path: Path) -> Iterator[Bureau]:
    """Return a bureau without channels."""
    made = Bureau(tmp_path)
    yield made
    made.site.close()


def refused(answer: httpx.Response) -> tuple[int, str, list[str]]:
    """Return the status and the code of a problem, and the fields that it names."""
    told = answer.json()
    return answer.status_code, told["code"], [one["field"] for one in told.get("errors", [])]


# --- secrets


def test_a_secret_goes_in_and_never_comes_out(bureau: Bureau):
    """Of each is told whether there is one; nowhere stands the secret itself, plain or sealed, and the database has it sealed."""
    added = bureau.channel(token=TOKEN)
    path = f"/channels/{added['id']}"
    answers = [
        added,
        bureau.ask("GET", path).json(),
        bureau.ask("GET", "/channels").json(),
        bureau.ask("GET", "/channels", Role.SUPERVISOR).json(),
        bureau.change(added, settings={"colour": "blue"}),
        bureau.change(added, settings={"word": TOKEN}),
    ]

    assert [] == [one for one in answers if TOKEN in json.dumps(one) or "sealed" in json.dumps(one)]
    assert ({"colour": "red"}, {"word": False, "token": True}) == (added["settings"], added["secrets"])
    assert {"word": True, "token": True} == answers[-1]["secrets"]
    assert TOKEN not in json.dumps(bureau.kept())
    assert TOKEN == SEALER.open(bureau.kept()["token"], "messenger.token")


def test_a_secret_that_is_not_named_stays(bureau: Bureau):
    """Somebody who changes a colour need not know the token."""
    added = bureau.channel(token=TOKEN)
    before = bureau.kept()["token"]

    changed = bureau.change(added, settings={"colour": "blue"})

    assert (before, "blue", added["version"] + 1) == (bureau.kept()["token"], bureau.kept()["colour"], changed["version"])


def test_another_secret_takes_its_place(bureau: Bureau):
    """And an empty one takes it away."""
    added = bureau.channel(token=TOKEN)
    changed = bureau.change(added, settings={"token": "token-2"})
    opened = SEALER.open(bureau.kept()["token"], "messenger.token")
    emptied = bureau.change(added, settings={"token": ""})

    assert ("token-2", added["version"] + 1) == (opened, changed["version"])
    assert (False, "") == (emptied["secrets"]["token"], bureau.kept()["token"])


@pytest.mark.parametrize(
    "changes",
    [{}, {"name": "Bot"}, {"settings": {}}, {"settings": {"colour": "red"}}, {"settings": {"token": TOKEN}}, {"active": True}],
)
def test_a_change_of_nothing_keeps_the_version(bureau: Bureau, changes: dict[str, Any]):
    """Also when the same secret is given again."""
    added = bureau.channel(token=TOKEN)

    assert added["version"] == bureau.change(added, **changes)["version"]


def test_a_wrong_secret_is_refused_and_not_repeated(bureau: Bureau):
    """The answer names the place, and what was there stays."""
    added = bureau.channel(token=TOKEN)
    before = bureau.kept()
    answer = bureau.ask("PATCH", f"/channels/{added['id']}", json={"settings": {"token": "wrong-secret"}})

    assert (422, "bad_token", ["settings.token"]) == refused(answer)
    assert ("wrong-secret" in answer.text, before) == (False, bureau.kept())


def test_what_another_key_sealed_is_given_again(bureau: Bureau):
    """Nothing else of the channel can be set until then: the key file was lost, or the house was moved without it."""
    added = bureau.channel(token=TOKEN)
    lost = bureau.kept() | {"token": Sealer(lambda: b"\1" * 64).seal(TOKEN, "messenger.token")}
    bureau.site.write(lambda tx: plain(tx, "UPDATE channels SET settings = ?", json.dumps(lost)))
    answer = bureau.ask("PATCH", f"/channels/{added['id']}", json={"settings": {"colour": "blue"}})
    bureau.change(added, settings={"token": TOKEN, "colour": "blue"})

    assert (422, "sealed_otherwise", ["settings.token"]) == refused(answer)
    assert TOKEN == SEALER.open(bureau.kept()["token"], "messenger.token")


# --- trying


def test_an_account_is_tried_and_nothing_is_kept(bureau: Bureau):
    """The provider is shown the settings in full, plain; what it says of the account is told."""
    answer = bureau.probe(settings={"token": TOKEN})

    assert {"name": "Shop Bot", "address": "https://t.example/shop", "warnings": ["no_privacy"]} == answer.json()
    assert [{"token": TOKEN, "word": "", "colour": "red"}] == bureau.asked
    assert [] == bureau.rows("SELECT id FROM channels")


def test_a_channel_that_is_there_is_tried_with_what_it_has(bureau: Bureau):
    """What is given differs from now; the rest, secrets too, is as it is kept."""
    added = bureau.channel(token=TOKEN, colour="blue")
    bureau.probe(channel_id=added["id"], settings={"colour": "green"})
    bureau.probe(channel_id=added["id"], settings={"token": "token-2"})

    assert [(TOKEN, "green"), ("token-2", "blue")] == [(one["token"], one["colour"]) for one in bureau.asked]
    assert added["version"] == bureau.ask("GET", f"/channels/{added['id']}").json()["version"]


def test_a_channel_of_another_kind_lends_no_secret(bureau: Bureau):
    """What one kind has is nothing to another's provider."""
    page = bureau.channel("page", "page", token=TOKEN)

    bureau.probe(channel_id=page["id"], settings={})

    assert [""] == [one["token"] for one in bureau.asked]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (AccessLost("the token was revoked", code="token_revoked"), (422, "token_revoked", ["settings.token"])),
        (BadInput("no such bot", field="settings.token", code="no_bot"), (422, "no_bot", ["settings.token"])),
        (Unavailable("connection refused"), (422, "not_reached", ["settings"])),
        (OSError("no route"), (422, "not_reached", ["settings"])),
        (TimeoutError(), (422, "not_reached", ["settings"])),
    ],
)
def test_what_is_wrong_with_an_account_is_told(bureau: Bureau, error: Exception, expected: tuple[int, str, list[str]]):
    """With a word for the console, the place, and in the provider's words; the secret is in none of them."""
    bureau.says = error

    answer = bureau.probe(settings={"token": TOKEN})

    assert expected == refused(answer)
    assert (str(error) or "it did not answer in time") in answer.text
    assert TOKEN not in answer.text


@pytest.mark.parametrize("kind", ["page", "nothing"])
def test_a_kind_that_nobody_can_be_asked_about_is_refused(bureau: Bureau, kind: str):
    """It has no provider, or there is no such kind."""
    assert (422, "bad_input", ["kind"]) == refused(bureau.probe(kind=kind))


def test_a_secret_is_not_sent_to_another_place_than_it_was_given_for(bureau: Bureau):
    """Whoever sets a server of their own knows the secret, or never learns it."""
    added = bureau.channel(token=TOKEN)
    elsewhere = {"server": "https://evil.example"}
    asked = bureau.probe(channel_id=added["id"], settings=elsewhere)
    kept = bureau.ask("PATCH", f"/channels/{added['id']}", json={"settings": elsewhere})

    assert [(422, "secret_again", ["settings.token"])] * 2 == [refused(asked), refused(kept)]
    assert [] == bureau.asked
    assert 200 == bureau.probe(channel_id=added["id"], settings=elsewhere | {"token": "token-2"}).status_code
    assert 200 == bureau.probe(channel_id=added["id"], settings={"server": ""}).status_code


def test_wrong_settings_ask_nobody(bureau: Bureau):
    """They are checked first; and so is the channel that they are for."""
    wrong = bureau.probe(settings={"token": "word"})

    assert (422, "bad_token", ["settings.token"]) == refused(wrong)
    assert 404 == bureau.probe(channel_id=NOBODY).status_code
    assert [] == bureau.asked


# --- how they are


def test_how_a_channel_is_is_told(bureau: Bureau):
    """Unknown until somebody has asked its provider; then since when, why, and when it was last heard."""
    added = bureau.channel(token=TOKEN)
    one = ChannelId(added["id"])
    unknown = added["health"]
    bureau.site.write(lambda tx: health.note(tx, one, "well", came=True))
    heard = bureau.site.clock.now()
    bureau.site.clock.move(60)
    bureau.site.write(lambda tx: health.note(tx, one, "refused", "token_revoked", "Unauthorized"))

    told = bureau.ask("GET", f"/channels/{one}").json()["health"]
    (listed,) = bureau.ask("GET", "/channels").json()["items"]
    assert {"state": "unknown", "code": "", "problem": "", "since": None, "heard_at": None, "came_at": None} == unknown
    assert ("refused", "token_revoked", "Unauthorized") == (told["state"], told["code"], told["problem"])
    at = [heard.isoformat().replace("+00:00", "Z"), bureau.site.clock.now().isoformat().replace("+00:00", "Z")]
    assert [at[1], at[0], at[0]] == [told["since"], told["heard_at"], told["came_at"]]
    assert told == listed["health"]


def test_a_channel_without_a_provider_is_not_ill(bureau: Bureau):
    """Nobody has to be asked for what comes by a page of our own."""
    assert bureau.channel("page", "page")["health"] is None


def test_what_waits_to_be_sent_is_counted(bureau: Bureau):
    """Of this channel, and only what is still to be sent."""
    one, other = (bureau.channel(slug, token=TOKEN) for slug in ("bot", "other"))
    messenger = Messenger(ChannelId(one["id"]), bureau.line)
    prepared = inbound.prepare(messenger, [messenger.brings(Wrote("hello"))], LineSettings())

    def queue(tx: Tx) -> None:
        (accepted,) = inbound.accept(tx, messenger.id, prepared)
        for seq in (2, 3, 4):
            post(tx, accepted.conversation_id, seq, messenger.id, tx.new_id())  # type: ignore[arg-type]

    bureau.site.write(queue)
    bureau.site.write(lambda tx: plain(tx, "UPDATE outbox SET state = 'sent' WHERE seq = 2"))

    waiting = [bureau.ask("GET", f"/channels/{channel['id']}").json()["to_send"] for channel in (one, other)]
    assert [2, 0] == waiting


# --- dead letters


def unreadable(bureau: Bureau, external_id: str = "7", body: bytes = b"\x00<script>") -> tuple[Messenger, str]:
    """Return a messenger that is switched on, and a letter that it could not read."""
    added = bureau.channel(token=TOKEN)
    messenger = Messenger(ChannelId(added["id"]), bureau.line)
    bureau.on[messenger.id] = messenger
    prepared = inbound.prepare(messenger, [Raw(external_id, body)], LineSettings())
    bureau.site.write(lambda tx: inbound.accept(tx, messenger.id, prepared))
    (letter,) = bureau.ask("GET", "/dead-letters").json()["items"]
    return messenger, letter["id"]


def understands(bureau: Bureau, messenger: Messenger, what: Any) -> None:
    """Let the next version read the letter."""
    messenger.means["7"] = messenger.means[messenger.brings(what).external_id]


def test_a_letter_is_shown_without_what_is_in_it(bureau: Bureau):
    """And downloaded as it came, by who may: as nothing that a browser runs."""
    messenger, letter = unreadable(bureau)
    (listed,) = bureau.ask("GET", "/dead-letters").json()["items"]
    raw = bureau.ask("GET", f"/dead-letters/{letter}/raw")

    assert (messenger.id, "7", None, 9, True) == tuple(
        listed[key] for key in ("origin", "external_id", "conversation_id", "bytes", "replayable")
    )
    assert "script" not in json.dumps(listed)
    assert (b"\x00<script>", "application/octet-stream") == (raw.content, raw.headers["content-type"])
    assert f'attachment; filename="{letter}.raw"' == raw.headers["content-disposition"]
    assert ("default-src 'none'; sandbox", "nosniff") == (
        raw.headers["content-security-policy"],
        raw.headers["x-content-type-options"],
    )


@pytest.mark.parametrize("how", [("GET", "raw"), ("POST", "replay")])
def test_of_what_is_no_letter_nothing_is_shown(bureau: Bureau, how: tuple[str, str]):
    """An input that was read is not given out by its id, nor read again."""
    messenger, _ = unreadable(bureau)
    prepared = inbound.prepare(messenger, [messenger.brings(Wrote("private"))], LineSettings())
    bureau.site.write(lambda tx: inbound.accept(tx, messenger.id, prepared))
    ((input_,),) = bureau.rows("SELECT id FROM inputs WHERE dead IS NULL")

    assert [404, 404] == [bureau.ask(how[0], f"/dead-letters/{one}/{how[1]}").status_code for one in (input_, NOBODY)]


def test_a_letter_that_can_be_read_is_read_once(bureau: Bureau):
    """It is a message from now on, and no letter."""
    messenger, letter = unreadable(bureau)
    understands(bureau, messenger, Wrote("hello"))

    first, second = (bureau.ask("POST", f"/dead-letters/{letter}/replay") for _ in range(2))

    ((conversation, text),) = bureau.rows("SELECT conversation_id, text FROM messages")
    assert (200, conversation, "hello", 404) == (first.status_code, first.json()["conversation_id"], text, second.status_code)
    assert [] == bureau.ask("GET", "/dead-letters").json()["items"]


def test_a_letter_that_nobody_can_read_stays(bureau: Bureau):
    """And why is told."""
    _, letter = unreadable(bureau)

    answer = bureau.ask("POST", f"/dead-letters/{letter}/replay")

    assert ("still_unreadable", True) == (answer.json()["code"], "nobody knows this kind of payload" in answer.text)
    assert [letter] == [one["id"] for one in bureau.ask("GET", "/dead-letters").json()["items"]]


def test_a_letter_that_is_read_and_has_no_place_is_told_so(bureau: Bureau):
    """A button that was pressed where nothing was said is a letter still."""
    messenger, letter = unreadable(bureau)
    understands(bureau, messenger, Pressed("good"))

    assert 422 == bureau.ask("POST", f"/dead-letters/{letter}/replay").status_code


def test_a_letter_that_says_nothing_is_a_letter_no_more(bureau: Bureau):
    """A newer version knows that it concerns nobody."""
    messenger, letter = unreadable(bureau)
    messenger.means["7"] = None

    answer = bureau.ask("POST", f"/dead-letters/{letter}/replay")

    assert ({"conversation_id": None}, []) == (answer.json(), bureau.ask("GET", "/dead-letters").json()["items"])


def test_a_letter_of_a_channel_that_is_off_waits(bureau: Bureau):
    """There is nobody who could read it."""
    messenger, letter = unreadable(bureau)
    del bureau.on[messenger.id]

    assert 404 == bureau.ask("POST", f"/dead-letters/{letter}/replay").status_code
    assert [letter] == [one["id"] for one in bureau.ask("GET", "/dead-letters").json()["items"]]


def test_what_could_be_read_and_not_decided_is_not_read_again(bureau: Bureau):
    """It has its place in a conversation."""
    messenger, letter = unreadable(bureau)
    prepared = inbound.prepare(messenger, [messenger.brings(Wrote("hello"))], LineSettings())
    (accepted,) = bureau.site.write(lambda tx: inbound.accept(tx, messenger.id, prepared))
    bureau.site.write(lambda tx: inbound.bury(tx, accepted.conversation_id, accepted.seq, "nobody could decide it"))  # type: ignore[arg-type]
    listed = bureau.ask("GET", "/dead-letters").json()["items"]
    (buried,) = [one for one in listed if one["id"] != letter]

    answer = bureau.ask("POST", f"/dead-letters/{buried['id']}/replay")

    assert (409, "not_replayable", False) == (answer.status_code, answer.json()["code"], buried["replayable"])
