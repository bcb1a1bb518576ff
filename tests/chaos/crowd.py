"""Those who are there without a word: thousands of open widgets, and consoles that read slowly or not at all.

A crowd is as a site's pages are: each from an address of its own, each coming back as our widget does, after a wait that doubles and of
which a random part is waited. A console that reads nothing must hold up nobody, and be cut in the end; it comes again.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket as sockets
from collections.abc import Callable, Sequence
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect

from tests.chaos.traffic import HOST, LOST, PATIENCE_SECONDS, Operator

WAIT_SECONDS = (0.5, 20.0)
"""The first wait before a widget comes back, and the longest."""
STARES_SECONDS = (5.0, 45.0)
SLOWLY_SECONDS = 0.2
"""Between two frames that a slow console reads."""


class Crowd:
    """So many open widgets."""

    def __init__(self, ports: Sequence[int], size: int, seed: int) -> None:
        self.size = size
        self.here = 0
        """How many have been welcomed on their present socket."""
        self.complete = asyncio.Event()
        self._ports = ports
        self._chance = random.Random(f"{seed} crowd")
        self._tasks: list[asyncio.Task[None]] = []

    def come(self) -> None:
        """Have everybody come."""
        self._tasks = [asyncio.get_running_loop().create_task(self._stay(number)) for number in range(self.size)]

    async def leave(self) -> None:
        """Have everybody go."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _stay(self, number: int) -> None:
        # A limit of sockets an address is the server's right: every machine is all of 127.0.0.0/8.
        address = (f"127.1.{number // 250}.{number % 250 + 1}", 0)
        token, wait = None, WAIT_SECONDS[0]
        while True:
            await asyncio.sleep(wait * self._chance.random())
            with suppress(*LOST):
                url = f"ws://{HOST}:{self._chance.choice(self._ports)}/ws/visitor?line=site"
                async with connect(url, proxy=None, open_timeout=PATIENCE_SECONDS, local_addr=address, ping_interval=None) as one:
                    await one.send(json.dumps({"t": "hello", "token": token}))
                    frame = json.loads(await asyncio.wait_for(one.recv(), PATIENCE_SECONDS))
                    if frame["t"] == "welcome":
                        token, wait = frame["token"], WAIT_SECONDS[0]
                        await self._listen(one)
            wait = min(wait * 2, WAIT_SECONDS[1])

    async def _listen(self, one: ClientConnection) -> None:
        self.here += 1
        if self.here == self.size:
            self.complete.set()
        try:
            while True:
                await one.recv()
        finally:
            self.here -= 1
            self.complete.clear()


class Console(Operator):
    """A supervisor's console that answers nobody and reads a frame now and then, or none."""

    def __init__(
        self, login: str, ports: Sequence[int], chance: random.Random, changed: Callable[[], None], *, stares: bool
    ) -> None:
        super().__init__(login, ports, chance, changed)
        self._stares = stares

    async def wired(self, port: int) -> sockets.socket:
        """Return a socket that holds little of what is not read."""
        made = sockets.socket()
        made.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
        made.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(made, (HOST, port))
        except OSError:
            made.close()
            raise
        return made

    async def live(self, socket: ClientConnection) -> None:
        """See `Client.live`."""
        await socket.send('{"t":"hello"}')
        await self.receive_until(socket, "snapshot")
        if self._stares:
            await asyncio.sleep(self.chance.uniform(*STARES_SECONDS))  # reading nothing
            return
        while True:
            await self.receive_or_ping(socket)
            await asyncio.sleep(SLOWLY_SECONDS)  # reading slowly
