"""What a store is asked for: functions to run, some of them for many items at once, and what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from broker.ports import Bell, Tx

F = TypeVar("F")

BATCH_MAX = 256
"""Functions and items in one commit: keeps a writer's longest turn in milliseconds."""
WHOLE: Any = object()
"""In the place of an item: a function for itself."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one function, or of one item: a value, or the error that undid it."""

    value: Any
    error: BaseException | None


class After:
    """What is done once a transaction is committed: what to ring, and what to count."""

    __slots__ = ("bells", "counts")

    def __init__(self) -> None:
        self.bells: list[tuple[Bell, str]] = []
        self.counts: list[Callable[[], None]] = []

    def __iadd__(self, other: After) -> After:
        self.bells += other.bells
        self.counts += other.counts
        return self

    def carry_out(self, ring: Callable[[Sequence[tuple[Bell, str]]], None]) -> None:
        """Ring and count; on the loop's thread. A bell waits for no number."""
        if self.bells:
            ring(self.bells)
        for count in self.counts:
            count()


class Each:
    """One call for several items: what `write_each` was asked meanwhile."""

    __slots__ = ("items", "work")

    def __init__(self, work: Callable[[Tx, Sequence[Any]], Sequence[Any]], items: Sequence[Any]) -> None:
        self.work = work
        self.items = items


Work = Callable[[Tx], Any] | Each


def call(work: Work, tx: Tx) -> Sequence[Any]:
    """Return what *work* answers, one for each of its items, when all it put off is executed too."""
    values = work.work(tx, work.items) if isinstance(work, Each) else (work(tx),)
    tx.settle()
    assert not isinstance(work, Each) or len(values) == len(work.items), f"{work.work} left items without an answer"
    return values


def answers_due(work: Work) -> int:
    """Return how many answers *work* owes."""
    return len(work.items) if isinstance(work, Each) else 1


def halves(work: Work) -> list[Each]:
    """Return the halves that *work* falls apart into, so that a bad item is found in a few calls; none when it is for one."""
    if not isinstance(work, Each) or len(work.items) < 2:
        return []
    middle = len(work.items) // 2
    return [Each(work.work, work.items[:middle]), Each(work.work, work.items[middle:])]


def calls_of(batch: Sequence[tuple[Any, Any, F]]) -> tuple[list[Work], list[F]]:
    """Return the calls of *batch*, (function, item or WHOLE, who waits) each, and who waits in the order of the answers."""
    calls: list[tuple[Any, list[Any] | None, list[F]]] = []
    shared: dict[Any, int] = {}
    for work, item, future in batch:
        if item is WHOLE:
            calls.append((work, None, [future]))
        elif (at := shared.get(work)) is not None:
            calls[at][1].append(item)  # type: ignore[union-attr]
            calls[at][2].append(future)
        else:
            shared[work] = len(calls)
            calls.append((work, [item], [future]))
    works = [work if items is None else Each(work, items) for work, items, _ in calls]
    return works, [future for _, _, futures in calls for future in futures]


def settle(future: asyncio.Future[Any], answer: Answer) -> None:
    """Give *answer* to who waits, if they wait still; on the loop's thread."""
    if future.cancelled():
        return
    if answer.error is None:
        future.set_result(answer.value)
    else:
        future.set_exception(answer.error)
