"""An Asterisk for the stories of each module, and what plays one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.channels.phone.exchange import Line, Telephone, exchange, telephone
from tests.support.asterisk import Asterisk


@pytest.fixture(scope="module")
def pbx() -> Iterator[tuple[Asterisk, Line]]:
    """Return a running Asterisk with our dialplan, and the port at which it asks."""
    with exchange() as running:
        yield running


@pytest.fixture
def play(pbx: tuple[Asterisk, Line], tmp_path: Path) -> Callable[..., Any]:
    """Return what plays a story in a house with a telephone."""

    def whole(story: Callable[[Telephone], Awaitable[Any]], **settings: Any) -> Any:
        async def run() -> Any:
            async with telephone(tmp_path, *pbx, **settings) as house:
                return await story(house)

        return asyncio.run(run())

    return whole
