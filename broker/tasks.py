"""Coroutines that go on together until the first of them fails."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def until_one_fails(*endless: Coroutine[Any, Any, object]) -> None:
    """Run all of them; raise what the first that fails raises, when the others have ended too.

    No TaskGroup: one that is cancelled in the moment in which a task fails raises that failure, and the cancelling is forgotten.
    """
    tasks = [asyncio.create_task(each) for each in endless]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
