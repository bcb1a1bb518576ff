"""VK for tests: a process of its own that answers as VK's API does, and the strings to pull in it.

    with vk_fake() as fake:
        shop = fake.community(1001)
        fake.person(7, "Анна", "Петрова")
        shop.write(7, "Где мой заказ?", attachments=[photo()])
        ...                                           # the program under test talks to fake.url with shop.token
        assert "Уже едет" == shop.sent(7)[0]["text"]

A test that leaves the fake in the wrong (it said what the published schema does not allow) fails on leaving `with`. Everything here is
synchronous, and may be called while the program under test runs.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
API_VERSION = "5.199"
PATIENCE_SECONDS = 30.0


@contextmanager
def vk_fake() -> Iterator[VkFake]:
    """Start the fake; it dies with the block, and with this process. Raises AssertionError if the fake itself did something wrong."""
    command = [sys.executable, "-m", "tests.support.vk_fake", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            started = process.stdout.readline()
            if not started:
                raise RuntimeError("the fake did not start: what it said is on standard error")
            with VkFake(f"http://127.0.0.1:{json.loads(started)['port']}") as fake:
                yield fake
                fake.check()
        finally:
            process.stdin.close()


def schemas_are_here() -> bool:
    """Return whether the fake holds anything against the published schema."""
    return bool(os.environ.get("OMNILINE_SCHEMAS"))


class VkFake:
    """The fake at *url*."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=PATIENCE_SECONDS, trust_env=False)

    def __enter__(self) -> VkFake:
        return self

    def __exit__(self, *raised: object) -> None:
        self._client.close()

    def do(self, verb: str, **told: Any) -> Any:
        """Pull the string *verb* of tests.support.vk_fake; return what it answers. Raises AssertionError if it does not know how."""
        answer = self._client.post(f"/control/{verb}", json=told).json()
        assert "wrong" not in answer, answer["wrong"]
        return answer["answer"]

    # --- who is there

    def community(
        self,
        group_id: int = 1001,
        *,
        token: str = "",
        permissions: Iterable[str] | None = None,
        long_poll: bool | Sequence[str] = True,
        text_max_chars: int | None = None,
    ) -> VkCommunity:
        """Make a community. *long_poll*: True: on, with every event of messages; False: off, as VK has it; else what is on, too."""
        token = token or f"vk1.a.{group_id}"
        told: Json = {"group_id": group_id, "token": token}
        if text_max_chars is not None:
            told["text_max_chars"] = text_max_chars
        if permissions is not None:
            told["permissions"] = list(permissions)
        if long_poll is not False:
            told["long_poll"] = long_poll if long_poll is True else list(long_poll)
        self.do("community_made", **told)
        return VkCommunity(self, group_id, token)

    def person(
        self,
        user_id: int,
        first_name: str = "Анна",
        last_name: str = "Петрова",
        *,
        photo: bytes = b"",
        deactivated: str = "",
        **more: Any,
    ) -> int:
        """Make somebody with a page, or change it; *more*: sex, city, screen_name, and any field under more={...}."""
        told = {"photo": _packed(photo)} if photo else {}
        self.do("person", user_id=user_id, first_name=first_name, last_name=last_name, deactivated=deactivated, **told, **more)
        return user_id

    def chat(self, chat_id: int, *communities: int) -> int:
        """Make a chat in which communities take part; return its peer_id."""
        return int(self.do("chat", chat_id=chat_id, communities=communities))

    # --- the API, as a program calls it

    def call(self, method: str, token: str, **parameters: Any) -> Json:
        """Return the whole answer to one call."""
        sent = {"access_token": token, "v": API_VERSION} | parameters
        answer: Json = self._client.post(f"/method/{method}", data=sent).json()
        return answer

    # --- what goes wrong

    def fault(
        self,
        kind: str,
        *,
        part: str = "method",
        method: str = "*",
        group_id: int = 0,
        times: int = 1,
        **more: Any,
    ) -> None:
        """Have the next *times* requests go wrong.

        *kind*: error (code=, more={}), http and http_after (status=), close_before, close_after, slow (seconds=), silent, not_json,
        body (body=). *part*: method, long_poll, upload, files. `_after`, silent and not_json: the deed is done, and nobody hears of it.
        """
        self.do("fault", kind=kind, part=part, method=method, group_id=group_id, times=times, **more)

    def down(self, *parts: str) -> None:
        """Close every connection to these parts, the waiting ones too, until `heal`."""
        self.do("down", parts=parts)

    def heal(self) -> int:
        """Have nothing go wrong any more; return how many troubles have not come to pass."""
        return int(self.do("heal"))

    # --- the fake itself

    def reset(self) -> None:
        """Forget everybody and everything."""
        self.do("reset")

    def stop_clock(self) -> float:
        """Have the fake's time stand still but for `advance`; return it."""
        return float(self.do("clock", stop=True))

    def advance(self, seconds: float) -> float:
        """Have the fake's time go ahead; return it."""
        return float(self.do("clock", advance=seconds))

    def calls(self, method: str | None = None) -> list[Json]:
        """Return the calls that came: method, parameters without the token, and the error's code or None."""
        found: list[Json] = self.do("calls", method=method)
        return found

    def violations(self) -> list[str]:
        """Return what callers did that the schema does not know; empty, too, where there is no schema."""
        return list(self.do("violations")["caller"])

    def check(self) -> None:
        """Raise AssertionError if the fake itself said what the schema does not allow, or failed."""
        wrong = self.do("violations")["fake"]
        assert not wrong, "\n".join(wrong)


class VkCommunity:
    """A community, as its people and its tests see it. A peer is a person's id, or a chat's."""

    def __init__(self, fake: VkFake, group_id: int, token: str) -> None:
        self.fake = fake
        self.id = group_id
        self.token = token

    def do(self, verb: str, **told: Any) -> Any:
        """Pull a string that is about this community."""
        return self.fake.do(verb, group_id=self.id, **told)

    def call(self, method: str, **parameters: Any) -> Json:
        """Return the whole answer to one call with the community's token."""
        return self.fake.call(method, self.token, **parameters)

    # --- what people do

    def write(self, user_id: int, text: str = "", **more: Any) -> int:
        """Have a person write; return the message's number in the conversation.

        *more*: attachments=[photo(), doc("a.pdf", b"..."), ...], geo={"lat", "long", "title"}, reply_to=, forward=[...] (numbers),
        forward_from= (a peer), payload= (any JSON), peer_id= (a chat), ref=, ref_source=.
        """
        return int(self.do("write", user_id=user_id, text=text, **more)["cmid"])

    def edit(self, user_id: int, cmid: int, text: str, **more: Any) -> None:
        """Have a person change what they wrote."""
        self.do("edit", user_id=user_id, cmid=cmid, text=text, **more)

    def delete(self, user_id: int, cmid: int) -> None:
        """Have a person take a message back; VK tells nobody."""
        self.do("delete", user_id=user_id, cmid=cmid)

    def press(self, user_id: int, label: str, **more: Any) -> Any:
        """Have a person press a button of a keyboard that was sent; return the event_id of a callback button, else what was written."""
        return self.do("press", user_id=user_id, label=label, **more)

    def press_unseen(self, user_id: int, payload: Any, **more: Any) -> str:
        """Have a person press a callback button that nobody sent; return the event_id by which it is answered."""
        return str(self.do("press", user_id=user_id, payload=payload, **more))

    def allow(self, user_id: int, key: str = "") -> None:
        """Have a person allow messages."""
        self.do("allow", user_id=user_id, key=key)

    def deny(self, user_id: int) -> None:
        """Have a person deny messages."""
        self.do("deny", user_id=user_id)

    def type(self, user_id: int) -> None:
        """Have a person be writing."""
        self.do("type", user_id=user_id)

    def read(self, user_id: int, cmid: int | None = None) -> None:
        """Have a person read up to a message, or everything."""
        self.do("read", user_id=user_id, cmid=cmid)

    def react(self, user_id: int, cmid: int, reaction_id: int | None = 1) -> None:
        """Have a person react to a message; None takes the reaction back."""
        self.do("react", user_id=user_id, cmid=cmid, reaction_id=reaction_id)

    def refuse(self, peer_id: int, code: int) -> None:
        """Have nothing get through to a peer (900, 902, 936, ...); 0: it does again."""
        self.do("refuse", peer_id=peer_id, code=code)

    def emit(self, event: Any) -> None:
        """Tell of what may be no event at all."""
        self.do("emit", event=event)

    def again(self) -> None:
        """Tell of the last event once more."""
        self.do("again")

    def set_token(self, token: str | None = None, permissions: Iterable[str] | None = None) -> None:
        """Change the token, so that the old one is good no more, or what it may do."""
        told: Json = {} if token is None else {"token": token}
        if permissions is not None:
            told["permissions"] = list(permissions)
        self.do("token", **told)
        self.token = token or self.token

    # --- how it is told of events

    def fail_long_poll(self, failed: int, times: int = 1) -> None:
        """Break the long poll.

        1: the history up to now is lost. 2: the key is good no more. 3: both. Any other number is what the next polls are answered.
        """
        self.do("long_poll_broken", failed=failed, times=times)

    def polls(self) -> Json:
        """Return the polls that came (`asked`), the `newest` ts, what is `on`, and whether it is `enabled`."""
        found: Json = self.do("polls")
        return found

    def callbacks(self, *, idle_within: float = 0.0) -> list[Json]:
        """Return the servers of the Callback API with their `attempts`; first wait until nothing is left to post."""
        found: list[Json] = self.do("callbacks", idle_within=idle_within)
        return found

    def pace_callbacks(self, retry_seconds: float) -> None:
        """Set how long servers that are there now wait before they post an event again."""
        self.do("callback_pace", retry_seconds=retry_seconds)

    # --- what it did

    def sent(self, peer_id: int) -> list[Json]:
        """Return what it sent to a peer: text, attachments (sha256, name, size), keyboard, random_id, reply_to, edits, deleted, ..."""
        found: list[Json] = self.do("sent", peer_id=peer_id)
        return found

    def conversation(self, peer_id: int) -> Json:
        """Return `messages` of both sides, `activities`, `marks_as_read`, `unread_count` and `unanswered`."""
        found: Json = self.do("conversation", peer_id=peer_id)
        return found

    def presses(self) -> dict[str, Json]:
        """Return the callback buttons that were pressed, by event_id, each with its `answer` or None."""
        found: dict[str, Json] = self.do("presses")
        return found


def photo(content: bytes = b"", **more: Any) -> Json:
    """Return a picture to attach; without *content* one that the fake draws."""
    return {"type": "photo", "content": _packed(content)} | more


def doc(name: str, content: bytes) -> Json:
    """Return a document to attach."""
    return {"type": "doc", "name": name, "content": _packed(content)}


def voice(content: bytes = b"OggS", duration: int = 1, transcript: str = "") -> Json:
    """Return a voice message to attach."""
    return {"type": "audio_message", "content": _packed(content), "duration": duration, "transcript": transcript}


def thing(kind: str, **more: Any) -> Json:
    """Return a video, sticker, link (url=), wall, market or graffiti to attach, or raw (kind=, body=)."""
    return {"type": kind} | more


def _packed(content: bytes) -> str:
    return base64.b64encode(content).decode()
