"""Bells alone: with sweeps that never come, everything still goes through at once.

Sweeps are the safety net. While they come every second nothing else shows that a bell is rung, and heard.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from broker import outbound, timers
from broker.config import Settings
from broker.ports import Bell
from operators import gateway
from routing import distributor, worker
from tests.operators.desk import WAIT_SECONDS, Desk, played

ROUNDS = 3
"""What comes first may be found by the sweep with which a loop begins; what comes after it, by its bell alone."""


@pytest.fixture(autouse=True)
def _no_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    for loop in (worker, distributor, timers, outbound, gateway):
        monkeypatch.setattr(loop, "SWEEP_SECONDS", 1e9)


async def arrives(desk: Desk, text: str) -> None:
    """Wait until a customer has been sent *text*."""
    news = asyncio.Event()
    stop = desk.transport.listen(Bell.NEWS, lambda _: news.set())
    async with asyncio.timeout(WAIT_SECONDS):
        while text not in [sent.text for sent in desk.channels[desk.channel].far.delivered]:
            await news.wait()
            news.clear()
    stop()


def test_a_message_and_its_answer_need_no_sweep(tmp_path):
    """Decided, offered, taken, answered, sent and closed, each step woken by the one before it."""

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann) as console:
            for number in range(ROUNDS):
                await desk.say(f"v{number}", "hello")
                session = (await console.card(status="offered"))["card"]["session"]
                await console.do(session, "take")
                await console.card(session=session, status="active")
                await desk.say(f"v{number}", f"anybody there, {number}?")
                await console.said(f"anybody there, {number}?")
                await console.do(session, "reply", text=f"yes, {number}")
                await arrives(desk, f"yes, {number}")
                await console.do(session, "close", outcome="helped")

    played(tmp_path, story)


def test_what_falls_due_needs_no_sweep(tmp_path):
    """The loop that sleeps to the next timer hears of one that is due before it: each grace is over in its time."""

    async def story(desk: Desk) -> None:
        bob = await desk.operator("bob", desk.line)
        async with desk.console(bob, presence=None) as other:
            for number in range(ROUNDS):
                ann = await desk.operator(f"ann{number}", desk.line)
                async with desk.console(ann):
                    await other.until(partial(_is, ann, "online"))
                await other.until(partial(_is, ann, "away"))

    played(tmp_path, story, Settings(presence_grace_seconds=0.05))


def _is(operator: str, presence: str, update: dict[str, Any]) -> bool:
    colleague = update.get("colleague", {})
    return (colleague.get("id"), colleague.get("presence")) == (operator, presence)
