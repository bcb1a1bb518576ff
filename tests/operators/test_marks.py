"""Where a console stands, as it keeps it: what it says at its next hello is always read."""

from __future__ import annotations

from broker.store.journal import Position
from operators.marks import Mark
from tests.operators.desk import Desk, played


def test_a_mark_too_long_to_be_kept_gets_a_snapshot(tmp_path):
    """Very many transactions were under way when it was told: its hello is no bad frame."""
    crowded = Position(1, 9, tuple(range(10**9, 10**9 + 1_000)))

    async def story(desk: Desk) -> None:
        ann = await desk.operator("ann", desk.line)
        async with desk.console(ann, presence=None) as console:
            stamp = console.at.partition(".")[2]
        async with desk.socket(ann) as again:
            assert "snapshot" == (await again.hello(resume=Mark(crowded, stamp).text()))["t"]

    played(tmp_path, story)
