"""A database that is away without a word: its host is off, or a firewall drops what is sent. Nobody waits for long."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from broker.clock import SystemIds
from broker.errors import StoreBusy
from broker.ports import Tx
from broker.store.postgres import PostgresStore

CALLS = 60
"""One after the other, each with the time that a connection has to come about, they would take ten times as long."""


@pytest.fixture
def nobody() -> Iterator[str]:
    """Return the address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield f"postgresql://omniline@127.0.0.1:{listening.getsockname()[1]}/omniline?connect_timeout=2"


def test_calls_are_refused_together(nobody):
    """However many wait behind those that try to connect."""

    async def story() -> list[BaseException]:
        store = PostgresStore(nobody, ids=SystemIds(), ring=lambda bells: None, writers=1, readers=1, patience_seconds=0.5)
        try:
            calls = [store.read(nothing) for _ in range(CALLS)] + [store.write(nothing) for _ in range(CALLS)]
            async with asyncio.timeout(20):
                return await asyncio.gather(*calls, return_exceptions=True)  # type: ignore[return-value]
        finally:
            await store.close()

    assert {type(error) for error in asyncio.run(story())} == {StoreBusy}


def nothing(_: Tx) -> None:
    """Ask for nothing at all."""
