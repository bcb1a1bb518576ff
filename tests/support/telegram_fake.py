"""A fake of the Telegram Bot API, as a process of its own:

    python -m tests.support.telegram_fake --port 0 --folder FOLDER

prints one line of JSON when it listens, `{"port": ..., "control_port": ...}`, and ends when its standard input does. Bots talk to `port`
as they do to api.telegram.org; tests say at `control_port`, which never goes away, what people do and ask what the bots did
(tests.support.telegram knows how). `/control/...` is at both.

It refuses what Telegram refuses, in Telegram's words. Every call, result and update is held against the published schema: what a caller
does wrong is answered as Telegram would and kept in `/control/violations`; what the fake does wrong is a 500, and kept there, too.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.support import telegram_schema
from tests.support.telegram_fake_delivery import Refused
from tests.support.telegram_fake_methods import METHODS, Call, Upload
from tests.support.telegram_fake_people import DEEDS, find_room
from tests.support.telegram_fake_world import LINK_SECONDS, Bot, Fault, Record, Room, Unable, Unknown, World

Json = dict[str, Any]

UPLOAD_MAX_BYTES = 50 * 1024 * 1024
FORM_MAX_BYTES = 1024 * 1024
"""What may stand around an upload."""
EVERY = "*"
FAILURES = frozenset({"429", "500", "502", "cut_unread", "cut_undone", "cut_done", "slow", "not_json"})
"""What can become of a call: an error; the wire is cut before the call is read, before it is done, or when only its answer is lost; it is
done and answered late; something else than JSON is answered."""
DOWNLOAD = "file"
"""What a download is called where methods are named."""
GATEWAY_PAGE = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center></body></html>"


@dataclass
class Failure:
    """What becomes of the next `left` calls of `method` by the bot of `token`; `*` and empty: any."""

    kind: str
    method: str
    token: str
    left: int
    seconds: float

    def meets(self, token: str, method: str) -> bool:
        """Return whether this call is one of them."""
        return self.left > 0 and self.token in {"", token} and self.method.lower() in {EVERY, method.lower()}


Answer = Callable[[web.Request, Bot | None, Failure | None], Awaitable[web.StreamResponse]]


class Fake:
    """The two servers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._failures: list[Failure] = []
        self._gateway_down = False
        self._api: asyncio.Server | None = None
        self._runner = web.AppRunner(self._api_app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        self._control = web.AppRunner(self._control_app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        self.port = 0
        self.control_port = 0

    async def start(self, port: int) -> None:
        """Listen."""
        await self._runner.setup()
        await self._control.setup()
        self.port = port
        await self._open()
        site = web.TCPSite(self._control, "127.0.0.1", 0)
        await site.start()
        self.control_port = self._control.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more."""
        await self._shut()
        await self._runner.cleanup()
        await self._control.cleanup()

    async def _open(self) -> None:
        if self._api is None:
            server = self._runner.server
            assert server is not None
            self._api = await asyncio.get_running_loop().create_server(server, "127.0.0.1", self.port, reuse_address=True)
            self.port = self._api.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._api is None:
            return
        self._api.close()
        self._api = None
        assert self._runner.server is not None
        for connection in self._runner.server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    def _api_app(self) -> web.Application:
        app = web.Application(client_max_size=UPLOAD_MAX_BYTES + FORM_MAX_BYTES)
        app.router.add_route("*", "/bot{token}/{method}", self._answer)
        app.router.add_get("/file/bot{token}/{path:.+}", self._download)
        self._add_control(app)
        return app

    def _control_app(self) -> web.Application:
        app = web.Application(client_max_size=4 * UPLOAD_MAX_BYTES)
        self._add_control(app)
        return app

    # The Bot API.

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        return await self._counted(request, request.match_info["method"], self._answer_call)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        return await self._counted(request, DOWNLOAD, self._answer_download)

    async def _counted(self, request: web.Request, method: str, answer: Answer) -> web.StreamResponse:
        token = request.match_info["token"]
        bot = self._world.bots.get(token)
        if bot is None:
            return await answer(request, bot, self._failure(token, method))
        bot.calls[method] += 1
        self._world.change()
        try:
            return await answer(request, bot, self._failure(token, method))
        finally:
            bot.ended[method] += 1
            self._world.change()

    async def _answer_call(self, request: web.Request, bot: Bot | None, failure: Failure | None) -> web.StreamResponse:
        method = request.match_info["method"]
        if failure is not None and failure.kind == "cut_unread":
            return _cut(request)
        if self._gateway_down or (failure is not None and failure.kind in {"502", "not_json"}):
            status = 200 if failure is not None and failure.kind == "not_json" else 502
            return web.Response(status=status, text=GATEWAY_PAGE, content_type="text/html")
        try:
            given, files = await _read(request)
        except web.HTTPRequestEntityTooLarge:
            return _refusal(Refused(413, "Request Entity Too Large"))
        except ValueError:
            return _refusal(Refused(400, "Bad Request: can't parse JSON encoded web request"))
        if failure is not None and failure.kind == "cut_undone":
            return _cut(request)
        try:
            if failure is not None and failure.kind == "429":
                seconds = int(failure.seconds) or 1
                raise Refused(429, f"Too Many Requests: retry after {seconds}", retry_after=seconds)
            if failure is not None and failure.kind == "500":
                raise Refused(500, "Internal Server Error")
            if bot is None or bot.revoked:
                raise Refused(401, "Unauthorized")
            answer = await self._call(bot, method, given, files)
        except Refused as refused:
            return _refusal(refused)
        if failure is not None and failure.kind == "cut_done":
            return _cut(request)
        if failure is not None and failure.kind == "slow":
            await asyncio.sleep(failure.seconds)
        return answer

    async def _call(self, bot: Bot, method: str, given: Mapping[str, object], files: Mapping[str, Upload]) -> web.Response:
        world, schema = self._world, self._world.schema
        bot.asked.append((method, dict(given)))
        wrong: list[str] = []
        if schema is not None and schema.knows(method):
            wrong = world.complain("call", method, schema.of_call(method, given, list(files)), bot)
        does = METHODS.get(method.lower())
        try:
            if does is None:
                if schema is not None and schema.knows(method):
                    raise Unable(f"{method} is not known here")
                world.complain("call", method, [f"{method} is not a method"], bot)
                raise Refused(404, "Not Found: method not found")
            call = Call(world, bot, method, given, files)
            result = await does(call)
        except Refused:
            raise
        except Unable as unable:
            world.complain("fake", method, [str(unable)], bot)
            raise Refused(501, f"Not Implemented: {unable}") from None
        except Exception as error:
            if wrong:
                raise Refused(400, "Bad Request: can't parse parameters") from error  # it has stumbled over what is complained of
            # The real one does not fall over what is as published.
            world.complain("fake", method, [repr(error)], bot)
            raise Refused(500, "Internal Server Error") from error
        complaints = schema.of_result(method, result) if schema is not None else []
        if world.complain("result", method, complaints, bot):
            raise Refused(500, f"Internal Server Error: {complaints[0]}")
        said = {"ok": True, "result": result} | ({} if call.description is None else {"description": call.description})
        return web.json_response(said)

    async def _answer_download(self, request: web.Request, bot: Bot | None, failure: Failure | None) -> web.StreamResponse:
        kind = "" if failure is None else failure.kind
        if kind.startswith("cut"):
            return _cut(request)
        if self._gateway_down or kind in {"502", "not_json"}:
            return web.Response(status=200 if kind == "not_json" else 502, text=GATEWAY_PAGE, content_type="text/html")
        if failure is not None and kind == "slow":
            await asyncio.sleep(failure.seconds)
        if kind in {"429", "500"}:
            return _refusal(Refused(int(kind), "Too Many Requests" if kind == "429" else "Internal Server Error"))
        if bot is None or bot.revoked:
            return _refusal(Refused(401, "Unauthorized"))
        since = self._world.clock.now() - LINK_SECONDS
        for file in bot.files.values():
            if file.path == request.match_info["path"] and file.linked_at > since:
                return web.FileResponse(file.place, headers={"Content-Type": "application/octet-stream"})
        return _refusal(Refused(404, "Not Found"))

    def _failure(self, token: str, method: str) -> Failure | None:
        for failure in self._failures:
            if failure.meets(token, method):
                failure.left -= 1
                return failure
        return None

    # What tests ask and say.

    def _add_control(self, app: web.Application) -> None:
        app.router.add_post("/control/bots", self._add_bot)
        app.router.add_post("/control/people", self._add_person)
        app.router.add_post("/control/do/{deed}", self._do)
        app.router.add_post("/control/update", self._put_update)
        app.router.add_post("/control/room", self._see_room)
        app.router.add_post("/control/bot", self._see_bot)
        app.router.add_get("/control/violations", self._see_violations)
        app.router.add_delete("/control/violations", self._forget_violations)
        app.router.add_post("/control/failures", self._add_failure)
        app.router.add_delete("/control/failures", self._forget_failures)
        app.router.add_post("/control/down", self._go_down)
        app.router.add_post("/control/revoke", self._revoke)
        app.router.add_post("/control/clock", self._set_clock)
        app.router.add_post("/control/limits", self._set_limits)
        app.middlewares.append(_told)

    async def _add_bot(self, request: web.Request) -> web.Response:
        given = await request.json()
        bot = self._world.add_bot(given["username"], given["name"], given.get("token"))
        return web.json_response({"token": bot.token} | bot.user)

    async def _add_person(self, request: web.Request) -> web.Response:
        given = await request.json()
        avatars = [base64.b64decode(content) for content in given.pop("avatars", [])]
        return web.json_response(self._world.add_person(given, avatars))

    async def _do(self, request: web.Request) -> web.Response:
        deed = request.match_info["deed"]
        if deed not in DEEDS:
            raise Unknown(f"nobody can {deed} here")
        return web.json_response(DEEDS[deed](self._world, await request.json()))

    async def _put_update(self, request: web.Request) -> web.Response:
        """Give a bot an update of the test's making: one that it cannot read, or the same once more."""
        given = await request.json()
        inbox = self._world.bot(given["bot"]).inbox
        inbox.next_id = given.get("next_id", inbox.next_id)
        if "update" in given:
            inbox.put({"update_id": inbox.next_id} | given["update"])
        return web.json_response(inbox.next_id)

    async def _see_room(self, request: web.Request) -> web.Response:
        """Return the messages of a room, once there are as many of its bot as the test waits for."""
        given = await request.json()
        until = asyncio.get_running_loop().time() + given.get("seconds", 0.0)
        while True:
            room = find_room(self._world, given["place"])
            bot = self._world.bots.get(given["bot"])
            shown = [] if room is None else [self._shown(room, record) for record in room.messages.values()]
            sent = [record for record in room.messages.values() if record.bot is bot] if room is not None else []
            try:
                async with asyncio.timeout_at(until):
                    if len(sent) >= given.get("at_least", 0):
                        return web.json_response(shown)
                    await self._world.until_change()
            except TimeoutError:
                return web.json_response(shown)

    def _shown(self, room: Room, record: Record) -> Json:
        files = [] if not room.bots else self._world.files_of(record.bot or room.bots[0], record.message)
        return {
            "message": record.message,
            "bot": None if record.bot is None else record.bot.token,
            "method": record.method,
            "asked": record.asked,
            "files": [
                {"kind": file.kind, "sha256": file.sha256, "size": file.size, "name": file.name, "mime": file.mime}
                for file in files
            ],
            "keyboard": record.keyboard,
            "reply": record.reply,
            "versions": record.versions,
            "deleted": record.deleted,
            "read": record.read,
            "reactions": [[who, reactions] for who, reactions in record.reactions.items()],
        }

    async def _see_bot(self, request: web.Request) -> web.Response:
        """Return what a bot has done besides sending, once there are as many calls of a method as the test waits for."""
        given = await request.json()
        bot = self._world.bot(given["bot"])
        until = asyncio.get_running_loop().time() + given.get("seconds", 0.0)
        try:
            async with asyncio.timeout_at(until):
                while (bot.calls if given["begun"] else bot.ended)[given["method"]] < given["at_least"]:
                    await self._world.until_change()
        except TimeoutError:
            pass  # what there is says so
        return web.json_response(
            {
                "calls": bot.calls,
                "asked": [[method, parameters] for method, parameters in bot.asked],
                "actions": bot.actions,
                "answers": {query.id: query.answer for query in bot.queries.values() if query.answer is not None},
                "pending": bot.inbox.pending,
                "commands": bot.commands,
                "webhook": None if bot.inbox.webhook is None else bot.inbox.webhook.url,
                "answered_by_webhook": bot.inbox.answered_by_webhook,
            }
        )

    async def _see_violations(self, request: web.Request) -> web.Response:
        return web.json_response(self._world.violations)

    async def _forget_violations(self, request: web.Request) -> web.Response:
        self._world.violations.clear()
        return web.json_response(True)

    async def _add_failure(self, request: web.Request) -> web.Response:
        given = await request.json()
        if given["kind"] not in FAILURES:
            raise Unknown(f"a call cannot fail by {given['kind']}, only by {', '.join(sorted(FAILURES))}")
        self._failures.append(Failure(given["kind"], given["method"], given["token"], given["times"], given["seconds"]))
        return web.json_response(True)

    async def _forget_failures(self, request: web.Request) -> web.Response:
        self._failures.clear()
        return web.json_response(True)

    async def _go_down(self, request: web.Request) -> web.Response:
        how = (await request.json())["how"]
        self._gateway_down = how == "502"
        await (self._shut() if how == "refuse" else self._open())
        return web.json_response(True)

    async def _revoke(self, request: web.Request) -> web.Response:
        given = await request.json()
        self._world.bot(given["bot"]).revoked = given["on"]
        return web.json_response(True)

    async def _set_clock(self, request: web.Request) -> web.Response:
        given, clock = await request.json(), self._world.clock
        if "running" in given:
            (clock.start if given["running"] else clock.stop)()
        clock.move(given.get("seconds", 0.0))
        self._world.change()
        return web.json_response(clock.now())

    async def _set_limits(self, request: web.Request) -> web.Response:
        self._world.limits.on = (await request.json())["on"]
        return web.json_response(True)


async def _read(request: web.Request) -> tuple[Json, dict[str, Upload]]:
    """Return the parameters and the uploads of a call. Raises ValueError, HTTPRequestEntityTooLarge."""
    given: Json = dict(request.query)
    files: dict[str, Upload] = {}
    if (request.content_length or 0) > UPLOAD_MAX_BYTES + FORM_MAX_BYTES:
        raise web.HTTPRequestEntityTooLarge(UPLOAD_MAX_BYTES, request.content_length or 0)
    if request.content_type == "application/json":
        body = await request.read()
        said = json.loads(body) if body else {}
        if not isinstance(said, dict):
            raise ValueError("no object")
        return given | said, files
    for name, value in (await request.post()).items():
        if isinstance(value, web.FileField):
            content = value.file.read()
            if len(content) > UPLOAD_MAX_BYTES:
                raise web.HTTPRequestEntityTooLarge(UPLOAD_MAX_BYTES, len(content))
            files[name] = Upload(value.filename, value.content_type, content)
        else:
            given[name] = value.decode() if isinstance(value, bytes | bytearray) else value
    return given, files


def _refusal(refused: Refused) -> web.Response:
    said: Json = {"ok": False, "error_code": refused.code, "description": refused.sentence}
    if refused.parameters:
        said["parameters"] = refused.parameters
    return web.json_response(said, status=refused.code)


def _cut(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


@web.middleware
async def _told(request: web.Request, handler: Any) -> web.StreamResponse:
    """Tell the test what is wrong with what it asks for, or with the fake."""
    try:
        answer: web.StreamResponse = await handler(request)
    except (Unknown, Refused, KeyError) as error:
        if not request.path.startswith("/control/"):
            raise
        return web.json_response({"error": f"{type(error).__name__}: {error}"}, status=400)
    except Fault as fault:
        return web.json_response({"error": str(fault)}, status=500)
    return answer


async def serve(port: int, folder: Path) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as session:
        fake = Fake(World(folder, telegram_schema.from_environment(), session))
        await fake.start(port)
        print(json.dumps({"port": fake.port, "control_port": fake.control_port}), flush=True)
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        await reader.read()
        await fake.stop()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="A fake of the Telegram Bot API for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.folder))


if __name__ == "__main__":
    main()
