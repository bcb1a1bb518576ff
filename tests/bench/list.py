"""Whether the session list stays as quick when the house has a history: the console's first screen and its list of all.

Two houses differ in what is closed, so that they hold 10,000 sessions and 200,000; what is open is the same in both.
The rows are those a list reads, written straight into the tables: contacts, conversations, sessions with the engine's state,
messages. There is no journal behind them, so no reader has anything to catch up with.

One opening is what a loaded console does: the socket, `hello` to `snapshot`, then `list all` and `list waiting` to their pages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec
import uvloop
from sqlalchemy import select

from broker.clock import SystemClock, SystemIds
from broker.domain import ChannelId, ContactId, ConversationId, LineId, OperatorId, SessionId, Status, to_us
from broker.ports import Tx
from broker.store.sql import Sql, cols, insert_row, sql
from broker.store.sqlite import SqliteTx, connect
from broker.store.tables import channels, contacts, conversations, messages, operators, sessions
from routing.session import Session
from tests.bench.measure import HOST, BenchError, Report, median, progress
from tests.bench.product import OPERATOR_LOGINS, ProductServer, log_in, read_console
from tests.bench.wsclient import connect as open_socket

SMALL, LARGE = 10_000, 200_000
OPERATORS = 20
WAITING = 500
HELD = 400
OPENINGS = 20
"""Of each house in a round."""
ROUNDS = 3
ANSWER_SECONDS = 30.0
SLICE = 20_000
WEIGHT = 25
TEXTS = ("is the blue one still there?", "yes, in 42 and 43", "then I take the 42, thank you")

_CONTACT = insert_row(contacts, "id name created_us changed_us")
_CONVERSATION = insert_row(
    conversations, "id channel_id key contact_id session_id last_seq input_seq worked_seq journal_seq created_us"
)
_SESSION = insert_row(
    sessions,
    "id conversation_id line_id channel_id contact_id status operator_id weight first_seq opened_us queued_us answered_us"
    " closed_us changed_us frozen state",
)
_MESSAGE = insert_row(messages, "conversation_id seq id session_id kind author operator_id text fate at_us")
_PEOPLE = sql(select(operators.c.id).order_by(operators.c.login))
_CHANNEL = sql(select(*cols(channels, "id line_id")))

Row = dict[str, object]


def run(report: Report) -> None:
    """Report `list_growth_ratio`."""
    houses = {size: ProductServer(OPERATORS) for size in (SMALL, LARGE)}
    try:
        for size, house in houses.items():
            begun = time.perf_counter()
            fill(house.database, size)
            progress(f"   {size:,} sessions were written in {time.perf_counter() - begun:.1f} s")
            house.start()
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            taken = runner.run(openings({size: house.running.port for size, house in houses.items()}))
    finally:
        for house in houses.values():
            house.stop()
    for size, seconds in taken.items():
        progress(f"   {size:,} sessions: first screen and lists in {median(seconds) * 1000:.2f} ms")
    report("list_growth_ratio", median(taken[LARGE]) / median(taken[SMALL]), "x")


# --- the rows


@dataclass(frozen=True, slots=True)
class Place:
    """Where the sessions happen, and who serves them."""

    line: LineId
    channel: ChannelId
    people: tuple[OperatorId, ...]


def fill(database: Path, size: int) -> None:
    """Write *size* sessions into *database*, two to a conversation: the latest are open, the others closed."""
    connection = connect(database)
    cursor = connection.cursor()
    try:
        cursor.execute("BEGIN IMMEDIATE")
        clock = SystemClock()
        tx = SqliteTx(cursor, clock.now(), SystemIds())
        ((channel, line),) = tx.all(_CHANNEL)
        place = Place(line, channel, tuple(person for (person,) in tx.all(_PEOPLE)))
        conversations_left = iter(range(size // 2))
        while numbers := list(islice(conversations_left, SLICE)):
            write(tx, place, numbers, size // 2, tx.now)
        cursor.execute("COMMIT")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()


def write(tx: Tx, place: Place, numbers: list[int], count: int, now: datetime) -> None:
    """Write the conversations *numbers* of *count*, the higher the later, with everything in them."""
    statements: dict[Sql, list[Row]] = {_CONTACT: [], _CONVERSATION: [], _SESSION: [], _MESSAGE: []}
    for number in numbers:
        for statement, row in conversation(tx, place, number, count, now):
            statements[statement].append(row)
    for statement, rows in statements.items():
        for values in rows:
            tx.run(statement, **values)


def conversation(tx: Tx, place: Place, number: int, count: int, now: datetime) -> Iterator[tuple[Sql, Row]]:
    """Yield the rows of one conversation: a contact, a closed session, and a later one with its state."""
    began = now - timedelta(seconds=30 * (count - number) + 60)
    contact, conversation_id = ContactId(tx.new_id()), ConversationId(tx.new_id())
    from_end = count - number
    status = Status.QUEUED if from_end <= WAITING else Status.ACTIVE if from_end <= WAITING + HELD else Status.CLOSED
    operator = place.people[number % len(place.people)]
    both = [
        (SessionId(tx.new_id()), Status.CLOSED, began - timedelta(days=1)),
        (SessionId(tx.new_id()), status, began),
    ]
    yield _CONTACT, {"id": contact, "name": f"Visitor {number}", "created_us": to_us(began), "changed_us": to_us(began)}
    last = len(both) * len(TEXTS)
    yield (
        _CONVERSATION,
        {
            "id": conversation_id,
            "channel_id": place.channel,
            "key": f"visitor-{number:012d}",
            "contact_id": contact,
            "session_id": both[-1][0],
            "last_seq": last,
            "input_seq": last,
            "worked_seq": last,
            "journal_seq": 0,
            "created_us": to_us(began),
        },
    )
    seq = 1
    for id_, now_is, opened in both:
        holder = None if now_is is Status.QUEUED else operator
        yield _SESSION, session_row(place, id_, conversation_id, contact, now_is, holder, opened, seq)
        for text in TEXTS:
            by_operator = seq % len(TEXTS) == 2
            yield (
                _MESSAGE,
                {
                    "conversation_id": conversation_id,
                    "seq": seq,
                    "id": tx.new_id(),
                    "session_id": id_,
                    "kind": "said",
                    "author": "operator" if by_operator else "contact",
                    "operator_id": operator if by_operator else None,
                    "text": text,
                    "fate": "sent" if by_operator else "received",
                    "at_us": to_us(opened) + seq,
                },
            )
            seq += 1


def session_row(
    place: Place,
    id_: SessionId,
    conversation_id: ConversationId,
    contact: ContactId,
    status: Status,
    holder: OperatorId | None,
    opened: datetime,
    first_seq: int,
) -> Row:
    """Return a session's row with the state that the engine would have left."""
    closed = opened + timedelta(minutes=20) if status is Status.CLOSED else None
    queued = opened if status is Status.QUEUED else None
    state = Session(
        id=id_,
        conversation_id=conversation_id,
        line_id=place.line,
        channel_id=place.channel,
        contact_id=contact,
        opened_at=opened,
        status=status,
        weight=WEIGHT,
        operator_id=holder,
        queued_at=queued,
        unanswered_since=None if closed else opened,
        closed_at=closed,
        frozen=closed is not None,
    )
    return {
        "id": id_,
        "conversation_id": conversation_id,
        "line_id": place.line,
        "channel_id": place.channel,
        "contact_id": contact,
        "status": status.value,
        "operator_id": holder,
        "weight": WEIGHT,
        "first_seq": first_seq,
        "opened_us": to_us(opened),
        "queued_us": to_us(queued) if queued else None,
        "answered_us": None,
        "closed_us": to_us(closed) if closed else None,
        "changed_us": to_us(closed or opened),
        "frozen": int(closed is not None),
        "state": msgspec.json.encode(state).decode(),
    }


# --- the openings


async def openings(ports: dict[int, int]) -> dict[int, list[float]]:
    """Open the list of each house again and again, by turns; return the seconds each opening took."""
    cookies = {size: await asyncio.to_thread(log_in, port, OPERATOR_LOGINS.format(0)) for size, port in ports.items()}
    taken: dict[int, list[float]] = {size: [] for size in ports}
    for size, port in ports.items():
        await opening(port, cookies[size])  # statements are compiled and pages read at the first
    for _ in range(ROUNDS):
        for size, port in ports.items():
            taken[size] += [await opening(port, cookies[size]) for _ in range(OPENINGS)]
    return taken


async def opening(port: int, cookie: str) -> float:
    """Open a console once; return the seconds from its hello to the last page."""
    answers: asyncio.Queue[bytes] = asyncio.Queue()
    console = await open_socket(
        HOST, port, "/ws/operator", answers.put_nowait, headers={"Cookie": cookie, "Origin": f"http://{HOST}:{port}"}
    )
    ask: Callable[[bytes], None] = console.send_text
    begun = time.perf_counter()
    for question, answer in (
        (b'{"t":"hello"}', "snapshot"),
        (b'{"t":"list","box":"all"}', "page"),
        (b'{"t":"list","box":"waiting"}', "page"),
    ):
        ask(question)
        while (frame := read_console(await asyncio.wait_for(answers.get(), ANSWER_SECONDS))).t != answer:
            if frame.t == "error":
                raise BenchError(f"the console was told {frame.code}: {frame.text}")
    seconds = time.perf_counter() - begun
    await console.close()
    return seconds
