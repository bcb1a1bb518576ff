"""VK as a community's program meets it. `python -m tests.support.vk_fake` prints `{"port": ...}` and serves until its stdin closes.

    /method/{name}           the API, as POST or GET; what it refuses is in tests.support.vk_fake_methods
    /long_poll/{group_id}    the `server` that groups.getLongPollServer names
    /upload/..., /files/...  where files are brought to and fetched from; /doc... leads on to a file, as VK's own addresses do
    /control/{verb}          the strings that tests pull: a POST of JSON for each verb of `VERBS`; tests.support.vk has them as functions

Events also go to the servers of the Callback API. Troubles are ordered by `fault`: for the next calls of a method (or polls, uploads,
fetches), of one community or all. Calls, answers and events are held against the published schema, if there is one; `violations` tells.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from tests.support import vk_fake_methods
from tests.support.vk_fake_attachments import Attachment, Stored, drawn
from tests.support.vk_fake_world import CHATS_BEGIN, PERMISSIONS, Community, Message, Person, Refusal, World
from tests.support.vk_schema import MESSAGE_EVENTS, from_environment

Json = dict[str, Any]

UPLOAD_MAX_BYTES = 210 << 20
PARTS = ("method", "long_poll", "upload", "files")
KINDS = ("error", "http", "http_after", "close_before", "close_after", "slow", "silent", "not_json", "body")
"""*_before: the deed is not done; *_after, silent, not_json: it is done, and nobody hears of it. slow: done and told, but later."""


@dataclass(slots=True)
class Fault:
    """What is to go wrong with the next *times* requests that it is for. *method*: `*` is any; *group_id*: 0 is any."""

    kind: str
    part: str = "method"
    method: str = "*"
    group_id: int = 0
    times: int = 1
    code: int = 10
    """Of an error."""
    status: int = 502
    """Of an HTTP answer."""
    seconds: float = 0.0
    body: str = ""
    more: Json = field(default_factory=dict)
    """What stands in the error besides."""


class Fake:
    """The world and the troubles in it."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.schema = from_environment()
        self.world = World(base, self.schema)
        self.faults: list[Fault] = []
        self.down: set[str] = set()
        """Parts that close every connection."""
        self.waiting: dict[int, web.Request] = {}
        """Requests that are not answered yet."""

    def reset(self) -> None:
        """Begin anew."""
        for community in self.world.communities.values():
            for server in community.servers.values():
                server.stop()
        self.cut()
        self.world, self.faults, self.down = World(self.base, self.schema), [], set()

    def cut(self, part: str = "") -> None:
        """Close the connections that wait for an answer of *part*, or of any; tests still have theirs."""
        for request in list(self.waiting.values()):
            asked = request.path.split("/")[1]
            if asked == part or (not part and asked != "control"):
                _close(request)

    def fault(self, part: str, method: str, group_id: int) -> Fault | None:
        """Return what is to go wrong with a request, which uses it up."""
        for fault in self.faults:
            fits = fault.part == part and fault.method in {"*", method} and fault.group_id in {0, group_id}
            if fits and fault.times > 0:
                fault.times -= 1
                return fault
        return None


# --- what programs of communities see


async def _method(fake: Fake, request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    sent = dict(request.query.items())
    sent |= {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme == "Bearer":
        sent.setdefault("access_token", token)
    world = fake.world
    community = world.community_of(sent.get("access_token", ""))
    fault = fake.fault("method", name, community.id if community else 0)

    def forced(_: Community | None) -> Refusal | None:
        if fault is None or fault.kind != "error":
            return None
        captcha = {"captcha_sid": "239633676097", "captcha_img": f"{fake.base}/files/captcha"} if fault.code == 14 else {}
        return Refusal(fault.code, "", **(captcha | fault.more))

    async def deed() -> Json:
        return vk_fake_methods.call(world, name, sent, forced)

    return await _with(fault, request, deed)


async def _long_poll(fake: Fake, request: web.Request) -> web.StreamResponse:
    community = fake.world.communities.get(int(request.match_info["group_id"]))
    if community is None or request.query.get("act") != "a_check":
        return web.json_response({"failed": 2})
    asked = {name: request.query.get(name, "") for name in ("key", "ts", "wait")}
    wait = float(asked["wait"]) if asked["wait"].isdecimal() else 25.0
    community.long_poll.asked.append(asked)
    fault = fake.fault("long_poll", "*", community.id)
    return await _with(fault, request, lambda: community.long_poll.poll(asked["key"], asked["ts"], wait))


async def _upload(fake: Fake, request: web.Request) -> web.StreamResponse:
    key = request.match_info["key"]
    if key not in fake.world.library.uploads:
        return web.json_response({"error": "bad_address", "error_descr": "this address is for nobody"}, status=404)
    fault = fake.fault("upload", "*", -fake.world.library.uploads[key].owner_id)

    async def deed() -> Json:
        found = []
        async for part in await request.multipart():
            if isinstance(part, BodyPartReader) and part.filename is not None:
                mime = part.headers.get("Content-Type", "application/octet-stream")
                found.append((part.name or "", Stored(bytes(await part.read()), part.filename, mime)))
        return fake.world.library.uploaded(key, found)

    return await _with(fault, request, deed)


async def _files(fake: Fake, request: web.Request) -> web.StreamResponse:
    key = request.match_info["key"]
    stored = fake.world.library.fetched(key) if key in fake.world.library.files else None
    if stored is None:
        stored = Stored(drawn(), "captcha.png", "image/png") if key in {"captcha", "none"} else None
    fault = fake.fault("files", "*", 0)
    if fault is None and stored is not None:
        return web.Response(body=stored.content, content_type=stored.mime)
    if fault is not None:

        async def deed() -> Json:
            return {}

        return await _with(fault, request, deed)
    return web.Response(status=404)


async def _doc(fake: Fake, request: web.Request) -> web.StreamResponse:
    address = fake.world.library.docs.get("doc" + request.match_info["reference"])
    if address is None:
        return web.Response(status=404)
    return web.Response(status=302, headers={"Location": address})


async def _with(fault: Fault | None, request: web.Request, deed: Callable[[], Awaitable[Json]]) -> web.StreamResponse:
    """Do the deed and tell of it, but for what is to go wrong."""
    kind = fault.kind if fault is not None else ""
    if fault is not None:
        match kind:
            case "close_before":
                return _close(request)
            case "http":
                return web.Response(status=fault.status, text=fault.body or "<html>Bad Gateway</html>", content_type="text/html")
            case "body":
                return web.Response(text=fault.body, content_type="application/json")
    answer = await deed()
    if fault is not None:
        match kind:
            case "close_after":
                return _close(request)
            case "silent":
                await asyncio.Event().wait()  # until whoever asked has gone
            case "slow":
                await asyncio.sleep(fault.seconds)
            case "http_after":
                return web.Response(status=fault.status, text=fault.body or "<html>Bad Gateway</html>", content_type="text/html")
            case "not_json":
                return web.Response(text=fault.body or "<html>Somebody else answers</html>", content_type="text/html")
    return web.json_response(answer)


def _close(request: web.Request) -> web.StreamResponse:
    """Leave a request without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


# --- what tests see

Verb = Callable[[Fake, Json], Any]
VERBS: dict[str, Verb] = {}


def _verb(body: Verb) -> Verb:
    VERBS[body.__name__.strip("_")] = body
    return body


def _community(fake: Fake, told: Json) -> Community:
    return fake.world.communities[told["group_id"]]


def _message(community: Community, told: Json) -> Message:
    return community.conversation(int(told.get("peer_id") or told["user_id"])).numbered(told["cmid"])


def _attached(fake: Fake, told: Json, owner_id: int) -> list[Attachment]:
    date = int(fake.world.clock.now())
    return [fake.world.library.described(one, owner_id, date) for one in told.get("attachments") or []]


@_verb
def _reset(fake: Fake, told: Json) -> Any:
    fake.reset()


@_verb
def _state(fake: Fake, told: Json) -> Any:
    return {"checks": fake.schema is not None, "now": fake.world.clock.now()}


@_verb
def _violations(fake: Fake, told: Json) -> Any:
    return {"caller": fake.world.violations, "fake": fake.world.faults}


@_verb
def _calls(fake: Fake, told: Json) -> Any:
    return [call for call in fake.world.calls if told.get("method") in {None, call["method"]}]


@_verb
def _clock(fake: Fake, told: Json) -> Any:
    if told.get("stop"):
        fake.world.clock.stop()
    fake.world.clock.advance(told.get("advance", 0.0))
    return fake.world.clock.now()


@_verb
def _community_made(fake: Fake, told: Json) -> Any:
    permissions = told.get("permissions", list(PERMISSIONS))
    made = Community(fake.world, told["group_id"], told.get("name", "A shop"), told["token"], permissions)
    events = told.get("long_poll")
    made.long_poll.enabled = events is not None
    made.long_poll.on |= set(MESSAGE_EVENTS if events is True else events or ())
    made.text_max_chars = told.get("text_max_chars", made.text_max_chars)
    fake.world.communities[made.id] = made
    return made.shown()


@_verb
def _token(fake: Fake, told: Json) -> Any:
    community = _community(fake, told)
    community.token = told.get("token", community.token)
    community.permissions = set(told.get("permissions", community.permissions))


@_verb
def _person(fake: Fake, told: Json) -> Any:
    more: Json = {"sex": told.get("sex", 0), "has_photo": int("photo" in told), **told.get("more", {})}
    more["screen_name"] = more["domain"] = told.get("screen_name", f"id{told['user_id']}")
    if "photo" in told:
        content = base64.b64decode(told["photo"])
        address = fake.world.library.store(Stored(content, "face.png", "image/png"))
    else:
        address = f"{fake.base}/files/none"
    more |= dict.fromkeys(("photo_50", "photo_100", "photo_200", "photo_max"), address)
    if "city" in told:
        more["city"] = {"id": 1, "title": told["city"]}
    person = Person(told["user_id"], told["first_name"], told["last_name"], more, told.get("deactivated", ""))
    fake.world.people[person.id] = person


@_verb
def _chat(fake: Fake, told: Json) -> Any:
    fake.world.chats[CHATS_BEGIN + told["chat_id"]] = {"communities": told["communities"]}
    return CHATS_BEGIN + told["chat_id"]


@_verb
def _write(fake: Fake, told: Json) -> Any:
    community, person_id = _community(fake, told), told["user_id"]
    peer_id = int(told.get("peer_id") or person_id)
    said: Json = {"text": told.get("text", ""), "attachments": _attached(fake, told, person_id)}
    if place := told.get("geo"):
        coordinates = {"latitude": place["lat"], "longitude": place["long"]}
        said["geo"] = {"type": "point", "coordinates": coordinates, "place": {"title": place.get("title", ""), "city": ""}}
    if "payload" in told:
        said["payload"] = json.dumps(told["payload"], ensure_ascii=False)
    if "reply_to" in told:
        said["reply_to"] = community.conversation(peer_id).numbered(told["reply_to"])
    if "forward" in told:
        source = community.conversation(int(told.get("forward_from") or peer_id))
        said["forwarded"] = [source.numbered(cmid) for cmid in told["forward"]]
    said["more"] = {name: told[name] for name in ("ref", "ref_source") if name in told}
    message = community.written(person_id, peer_id, **said)
    return {"id": message.id, "cmid": message.cmid, "peer_id": peer_id}


@_verb
def _edit(fake: Fake, told: Json) -> Any:
    community = _community(fake, told)
    attachments = _attached(fake, told, told["user_id"]) if "attachments" in told else None
    community.edited(_message(community, told), told["text"], attachments)


@_verb
def _delete(fake: Fake, told: Json) -> Any:
    _message(_community(fake, told), told).deleted = "for_all"


@_verb
def _press(fake: Fake, told: Json) -> Any:
    community, person_id = _community(fake, told), told["user_id"]
    peer_id = told.get("peer_id") or person_id
    if "payload" in told:
        return community.pressed(person_id, peer_id, told["payload"], told.get("cmid"))
    message, action = _button(community, peer_id, told["label"])
    payload = json.loads(action.get("payload") or "{}")
    if action["type"] == "callback":
        return community.pressed(person_id, peer_id, payload, message.cmid)
    written = community.written(person_id, peer_id, text=told["label"], payload=action.get("payload", ""))
    return written.cmid


def _button(community: Community, peer_id: int, label: str) -> tuple[Message, Json]:
    """Return the last button of this label, and the message that has it. Raises Refusal if there is none."""
    for message in reversed(community.conversation(peer_id).there):
        for row in (message.keyboard or {}).get("buttons", []):
            for button in row:
                if button["action"].get("label") == label:
                    return message, button["action"]
    raise Refusal(100, f"nobody has a button {label}")


@_verb
def _allow(fake: Fake, told: Json) -> Any:
    _community(fake, told).allowed(told["user_id"], told.get("key", ""))


@_verb
def _deny(fake: Fake, told: Json) -> Any:
    _community(fake, told).denied(told["user_id"])


@_verb
def _type(fake: Fake, told: Json) -> Any:
    _community(fake, told).typed(told["user_id"])


@_verb
def _read(fake: Fake, told: Json) -> Any:
    _community(fake, told).read(told["user_id"], told.get("cmid"))


@_verb
def _react(fake: Fake, told: Json) -> Any:
    community = _community(fake, told)
    community.reacted(told["user_id"], told.get("peer_id") or told["user_id"], told["cmid"], told.get("reaction_id"))


@_verb
def _refuse(fake: Fake, told: Json) -> Any:
    refusals = _community(fake, told).refusals
    if told.get("code"):
        refusals[told["peer_id"]] = told["code"]
    else:
        refusals.pop(told["peer_id"], None)


@_verb
def _sent(fake: Fake, told: Json) -> Any:
    conversation = _community(fake, told).conversations.get(told["peer_id"])
    return [message.seen() for message in conversation.messages if message.out] if conversation else []


@_verb
def _conversation(fake: Fake, told: Json) -> Any:
    conversation = _community(fake, told).conversation(told["peer_id"])
    seen: Json = {"activities": conversation.activities, "marks_as_read": conversation.marks_as_read}
    seen |= {"unread_count": conversation.unread_count, "unanswered": conversation.unanswered}
    return seen | {"messages": [message.seen() for message in conversation.messages]}


@_verb
def _presses(fake: Fake, told: Json) -> Any:
    return _community(fake, told).presses


@_verb
def _fault(fake: Fake, told: Json) -> Any:
    fault = Fault(**told)
    if fault.kind not in KINDS or fault.part not in PARTS:
        raise ValueError(f"nothing goes wrong as {fault.kind} in {fault.part}")
    fake.faults.append(fault)


@_verb
def _heal(fake: Fake, told: Json) -> Any:
    """Have nothing go wrong any more; return how often what was ordered did not happen."""
    left = sum(fault.times for fault in fake.faults)
    fake.faults.clear()
    fake.down.clear()
    return left


@_verb
def _down(fake: Fake, told: Json) -> Any:
    fake.down = set(told["parts"])
    for part in fake.down:
        fake.cut(part)


@_verb
def _emit(fake: Fake, told: Json) -> Any:
    _community(fake, told).emit_raw(told["event"])


@_verb
def _again(fake: Fake, told: Json) -> Any:
    """Tell of the last event once more, under its own id."""
    _community(fake, told).repeat()


@_verb
def _long_poll_broken(fake: Fake, told: Json) -> Any:
    poll = _community(fake, told).long_poll
    match told["failed"]:
        case 1:
            poll.lose_history()
        case 2:
            poll.drop_keys(lost=False)
        case 3:
            poll.drop_keys(lost=True)
        case unknown:
            poll.canned.extend({"failed": unknown} for _ in range(told.get("times", 1)))
            poll.wake()


@_verb
def _polls(fake: Fake, told: Json) -> Any:
    poll = _community(fake, told).long_poll
    return {"asked": poll.asked, "newest": poll.newest, "on": sorted(poll.on), "enabled": poll.enabled}


@_verb
async def _callbacks(fake: Fake, told: Json) -> Any:
    servers = list(_community(fake, told).servers.values())
    if patience_seconds := told.get("idle_within"):
        async with asyncio.timeout(patience_seconds):
            for server in servers:
                await server.idle.wait()
    return [server.shown | {"attempts": server.attempts, "line": len(server.line)} for server in servers]


@_verb
def _callback_pace(fake: Fake, told: Json) -> Any:
    for server in _community(fake, told).servers.values():
        server.retry_seconds = told["retry_seconds"]


async def _control(fake: Fake, request: web.Request) -> web.StreamResponse:
    verb = VERBS.get(request.match_info["verb"])
    if verb is None:
        return web.json_response({"wrong": f"there is no verb {request.match_info['verb']}"}, status=404)
    try:
        answer = verb(fake, await request.json())
        if asyncio.iscoroutine(answer):
            answer = await answer
    except (Refusal, LookupError, TypeError, ValueError, TimeoutError) as error:
        return web.json_response({"wrong": f"{type(error).__name__}: {error}"}, status=400)
    return web.json_response({"answer": answer})


# --- the process


def make_app(fake: Fake) -> web.Application:
    """Return what serves *fake*."""

    @web.middleware
    async def kept(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.StreamResponse:
        if request.path.split("/")[1] in fake.down:
            return _close(request)
        fake.waiting[id(request)] = request
        try:
            return await handler(request)
        except web.HTTPException:
            raise
        except Exception as error:
            fake.world.faults.append(f"{request.path}: {type(error).__name__}: {error}")
            return web.json_response({"error": {"error_code": 10, "error_msg": repr(error), "request_params": []}})
        finally:
            del fake.waiting[id(request)]

    def bound(handler: Callable[[Fake, web.Request], Awaitable[web.StreamResponse]]) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            return await handler(fake, request)

        return handle

    app = web.Application(middlewares=[kept], client_max_size=UPLOAD_MAX_BYTES)
    app.router.add_route("POST", "/method/{name}", bound(_method))
    app.router.add_route("GET", "/method/{name}", bound(_method))
    app.router.add_route("GET", "/long_poll/{group_id:[0-9]+}", bound(_long_poll))
    app.router.add_route("POST", "/upload/{key}", bound(_upload))
    app.router.add_route("GET", "/files/{key}", bound(_files))
    app.router.add_route("GET", "/doc{reference:-?[0-9]+_[0-9]+}", bound(_doc))
    app.router.add_route("POST", "/control/{verb}", bound(_control))
    return app


async def serve(port: int) -> None:
    """Serve until standard input closes."""
    fake = Fake("")
    runner = web.AppRunner(make_app(fake), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    fake.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    fake.reset()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def watch() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, daemon=True).start()
    await stop.wait()
    fake.reset()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    asyncio.run(serve(parser.parse_args().port))
