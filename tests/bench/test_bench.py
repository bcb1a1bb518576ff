"""The bench itself: a wrong ruler measures nothing."""

import asyncio
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec
import pytest

from broker.domain import Status
from routing.session import Session
from tests.bench import backlog, sizes, soak
from tests.bench.cluster import FloorPairSubject
from tests.bench.filling import fill
from tests.bench.measure import BenchError, Server, ServerFailed, measure_line, percentile
from tests.bench.pipeline import SESSION_MESSAGES, Traffic
from tests.bench.product import ProductSubject
from tests.bench.routers import Backlog, RouterSubject, moment
from tests.bench.subject import FloorSubject, Subject
from tests.bench.wsclient import PING, PONG, Connection, HandshakeRefused, client_frame, connect, source_address
from tests.support.postgres import server as postgres

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: yes\r\n\r\n"


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = io.BytesIO()
        self.ended = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.write(data)

    def close(self) -> None:
        self.ended = True

    abort = close

    def is_closing(self) -> bool:
        return self.ended


def read(data: bytes, step: int) -> tuple[list[bytes], Wire]:
    """Feed *data* after a handshake, *step* bytes at a time; return the messages and what was answered."""

    async def feed() -> tuple[list[bytes], Wire]:
        messages: list[bytes] = []
        wire = Wire()
        connection = Connection(b"", b"yes", messages.append, None)
        connection.connection_made(wire)
        stream = SWITCH + data
        for start in range(0, len(stream), step):
            connection.data_received(stream[start : start + step])
        await connection.opened
        return messages, wire

    return asyncio.run(feed())


@pytest.mark.parametrize("step", [1, 3, 1000, 1_000_000])
def test_messages_survive_any_cut_of_the_stream(step):
    """However TCP cuts the stream, each message comes once and whole: short, long, very long, and in parts around a ping."""
    long, very_long = b"x" * 126, b"y" * 70_000
    stream = b"\x81\x02hi" + b"\x81\x7e\x00\x7e" + long + b"\x81\x7f" + len(very_long).to_bytes(8, "big") + very_long
    stream += b"\x01\x02he" + b"\x89\x01!" + b"\x80\x03llo"

    messages, wire = read(stream, step)

    assert [b"hi", long, very_long, b"hello"] == messages
    assert client_frame(b"!", PONG) == wire.written.getvalue()


@pytest.mark.parametrize("frame", [b"\xc1\x00", b"\x81\x80\0\0\0\0", b"\x80\x00"], ids=["compressed", "masked", "stray part"])
def test_what_a_server_may_not_send_ends_the_socket(frame):
    """A frame outside the protocol is not read as anything else."""
    messages, wire = read(frame + b"\x81\x02hi", 1000)

    assert [] == messages
    assert wire.ended


def test_a_client_frame_is_masked_and_states_its_length():
    """A server must refuse unmasked frames, so every length carries the mask bit."""
    heads = [client_frame(b"x" * length)[:2] for length in (125, 126, 65_535, 65_536)]

    assert [b"\x81\xfd", b"\x81\xfe", b"\x81\xfe", b"\x81\xff"] == heads
    assert 0x80 | PING == client_frame(b"", PING)[0]


def test_addresses_hold_twenty_clients_each():
    """The product limits sockets an address: the twenty-first client comes from the next one."""
    assert ["127.0.0.1", "127.0.0.2", "127.0.0.50", "127.0.1.1"] == [source_address(number) for number in (19, 20, 999, 1000)]


def test_a_percentile_is_one_of_the_values():
    """Nearest rank: no value is invented between two others."""
    values = [float(value) for value in range(100, 0, -1)]

    assert [1.0, 50.0, 99.0, 100.0] == [percentile(values, percent) for percent in (0.5, 50, 99, 100)]


def test_a_measure_is_one_line_of_three_words():
    """Readers of the output split at spaces."""
    assert ["pipeline_rate_ratio 0.253 x", "list_rows 30000.0 rows"] == [
        measure_line("pipeline_rate_ratio", 0.2534, "x"),
        measure_line("list_rows", 30_000, "rows"),
    ]


def test_sizes_come_from_the_build(tmp_path, monkeypatch):
    """A size is the build's number; without the build the error names the file."""
    monkeypatch.setattr(sizes, "ROOT", tmp_path)
    monkeypatch.setattr(sizes, "SIZES", tmp_path / "sizes.json")
    taken: list[tuple[str, float, str]] = []

    with pytest.raises(BenchError, match=r"sizes\.json is missing"):
        sizes.report_size(lambda *measure: taken.append(measure), "loader_gzip_kb")
    sizes.SIZES.write_text(json.dumps({"loader_gzip_kb": 1.7}))
    sizes.report_size(lambda *measure: taken.append(measure), "loader_gzip_kb")

    assert [("loader_gzip_kb", 1.7, "KB")] == taken


def test_a_server_that_cannot_start_says_why():
    """The end of its log is in the error."""
    server = Server(["python3", "-c", "raise SystemExit('no such database')"])

    try:
        with pytest.raises(ServerFailed, match="no such database"):
            server.start()
    finally:
        server.stop()


class Echo(Subject):
    """A subject without a server: *deliver* says what the operators see of what a visitor sends."""

    name = "echo"

    def __init__(self, deliver: Callable[[str], list[str]]) -> None:
        super().__init__()
        self.deliver = deliver
        self.ended: list[int] = []

    pids: Mapping[str, int] = {}

    async def start(self) -> None: ...

    async def connect_operators(self, count: int) -> None: ...

    async def connect_visitors(self, count: int) -> None: ...

    async def stop(self) -> None: ...

    def visitor_send(self, visitor: int, text: str) -> None:
        for seen in self.deliver(text):
            asyncio.get_running_loop().call_soon(self.on_operator_message, seen)

    def end_session(self, visitor: int) -> None:
        self.ended.append(visitor)
        self.on_session_ended(visitor)


def paced(subject: Subject, visitors: int, messages: int) -> list[float]:
    """Open, then pace *messages* quickly."""

    async def drive() -> list[float]:
        traffic = Traffic(subject, visitors)
        await traffic.open()
        return await traffic.pace(messages * 10, 0.1)

    return asyncio.run(drive())


def test_one_message_in_fifty_opens_a_session():
    """Over one session's length of messages a visitor, each visitor's session ends once, and not all at one moment."""
    subject = Echo(lambda text: [text])

    latencies = paced(subject, visitors=10, messages=10 * SESSION_MESSAGES)

    assert 10 * SESSION_MESSAGES == len(latencies)
    assert list(range(10)) == sorted(set(subject.ended))
    assert 10 <= len(subject.ended) <= 11


@pytest.mark.parametrize("seen", [2, 0], ids=["doubled", "lost"])
def test_a_wrong_delivery_spoils_the_run(seen):
    """A message that comes twice, or not before its successor, ends the round without a number."""
    subject = Echo(lambda text: [text] * (seen if text.endswith(" 000002") else 1))

    with pytest.raises(BenchError, match="came in where"):
        paced(subject, visitors=2, messages=40)


def test_what_the_limit_refused_comes_again_in_its_order():
    """A visitor told to wait sends the refused messages one by one under the same ids, and what was said meanwhile after them."""

    async def drive() -> tuple[list[str], list[str], int]:
        subject = ProductSubject()
        written: asyncio.Queue[bytes] = asyncio.Queue()
        subject._write = [written.put_nowait]

        async def next_id() -> str:
            return str(json.loads((await asyncio.wait_for(written.get(), 5))[6:])["id"])

        subject.visitor_send(0, "one")
        subject.visitor_send(0, "two")
        refused = [await next_id(), await next_id()]
        for id_ in refused:
            subject._on_widget_frame(0, json.dumps({"t": "refused", "id": id_, "code": "too_many"}).encode())
        subject.visitor_send(0, "three")
        again = []
        for _ in range(3):
            again.append(await next_id())
            assert written.empty()
            subject._on_widget_frame(0, json.dumps({"t": "ack", "id": again[-1]}).encode())
        return refused, again, subject.unacknowledged()

    refused, again, left = asyncio.run(drive())

    assert refused == again[:2]
    assert 3 == len(set(again))
    assert 0 == left


def test_the_floor_keeps_answers_and_shows():
    """The floor acknowledges every message, shows each once, and refuses what is no message."""

    async def drive() -> tuple[int, str]:
        subject = FloorSubject()
        try:
            await subject.start()
            traffic = Traffic(subject, 20)  # one address: macOS has no other
            await subject.connect_operators(20)
            await subject.connect_visitors(20)
            await traffic.open()
            latencies = await traffic.pace(400, 0.5)
            with pytest.raises(HandshakeRefused):
                await connect("127.0.0.1", subject.port, "/nowhere", print)
            ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            rude = await connect(
                "127.0.0.1", subject.port, "/ws/visitor", print, on_close=lambda code, _: ended.set_result(str(code))
            )
            rude.send_text(b'{"type":"message","id":"","text":"no id"}')
            return len(latencies), await asyncio.wait_for(ended, 5)
        finally:
            await subject.stop()

    assert (200, "1008") == asyncio.run(drive())


@pytest.mark.slow
def test_the_floor_of_two_processes_keeps_answers_and_shows():
    """What one process has acknowledged the other shows, each message once and in its order."""

    async def drive() -> tuple[int, set[str]]:
        subject = FloorPairSubject()
        try:
            await subject.start()
            traffic = Traffic(subject, 20)
            await subject.connect_operators(20)
            await subject.connect_visitors(20)
            await traffic.open()
            latencies = await traffic.pace(400, 0.5)
            return len(latencies), {*subject.pids, *subject.database_pids}
        finally:
            await subject.stop()

    assert (200, {"visitors", "operators", "PostgreSQL", "Redis"}) == asyncio.run(drive())


@pytest.mark.slow
def test_routers_decide_a_backlog_and_the_cluster_carries_messages():
    """A backlog is decided, its new sessions are taken; then visitors' messages come in at operators' sockets, each once."""

    async def drive() -> tuple[float, int]:
        subject = RouterSubject(served=6)
        subject.operators, subject.lines = 2, 2
        try:
            await subject.start()
            routers = Backlog(subject, opened=2, settle_seconds=0.2)
            await subject.connect_operators(2)
            rate = await routers.rate(1)
            await asyncio.to_thread(subject.cluster.add, "router")
            traffic = Traffic(subject, 4)
            await subject.connect_visitors(4)
            await traffic.open()
            return rate, len(await traffic.pace(40, 0.5))
        finally:
            await subject.stop()

    rate, carried = asyncio.run(drive())

    assert rate > 0
    assert 20 == carried


def test_a_rate_is_taken_between_two_samples():
    """When a count was reached is read from the straight line between the samples beside it; one never reached is an error."""
    samples = [(0.0, 0), (1.0, 0), (2.0, 100), (3.0, 300)]

    assert [1.5, 2.0, 2.5] == [moment(samples, count) for count in (50, 100, 200)]
    with pytest.raises(BenchError, match="never reached"):
        moment(samples, 301)


def test_a_filled_house_has_what_it_was_asked_for():
    """Rows that the database writes are such as the product writes: the engine reads each state, ids join what belongs together."""
    name = postgres().migrated()
    for statement in HOUSE:
        postgres().run(statement, name)

    fill(postgres().url(name), 20, waiting=3, held=4)
    fill(postgres().url(name), 2, first=20, held=2, earlier=False)
    fill(postgres().url(name), 2, first=22, sessions=False)
    states = postgres().run("SELECT id, conversation_id, contact_id, line_id, operator_id, status, state FROM sessions", name)
    read = [msgspec.json.decode(row[-1], type=Session) for row in states]

    assert {Status.QUEUED: 3, Status.ACTIVE: 6, Status.CLOSED: 33} == Counter(one.status for one in read)
    for row, one in zip(states, read, strict=True):
        assert row[:6] == (one.id, one.conversation_id, one.contact_id, one.line_id, one.operator_id, one.status.value)
    assert [(24, 24 - 2)] == postgres().run("SELECT count(*), count(session_id) FROM conversations", name)
    assert [(42 * 3, 42 * 3)] == postgres().run(
        "SELECT count(*), count(sessions.id) FROM messages JOIN sessions ON sessions.id = session_id AND seq >= first_seq", name
    )
    assert [(6 * 25,)] == postgres().run("SELECT sum(reserved)::int FROM budgets", name)


HOUSE = (
    "INSERT INTO operators (id, login, name, role, password_hash, created_us, changed_us) "
    "SELECT login, login, login, 'operator', '', 0, 0 FROM unnest(ARRAY['ann', 'bob']) AS login",
    "INSERT INTO lines (id, slug, name, version, settings) SELECT slug, slug, slug, 1, '{}' FROM unnest(ARRAY['a', 'b']) AS slug",
    "INSERT INTO channels (id, line_id, slug, kind, name, settings) SELECT 'at ' || id, id, id, 'widget', id, '{}' FROM lines",
    "INSERT INTO seats (line_id, operator_id, position) VALUES ('a', 'ann', 1), ('b', 'bob', 1)",
    "INSERT INTO budgets (operator_id) VALUES ('ann'), ('bob')",
)


@pytest.mark.slow
def test_a_queue_that_grows_is_measured_slice_by_slice():
    """Nobody answers, every visitor waits at the end, and each slice has cost something."""
    assert 0 < backlog.growth_ratio(messages=400, slice_=200, warm_up=20)


@pytest.mark.slow
def test_memory_is_compared_between_two_moments_of_traffic(capsys):
    """Both moments are told with what the server held then."""
    soak.growth_mib(0.1, 0.3, visitors=5, operators=1)

    told = capsys.readouterr().err.splitlines()
    assert ["after 0.1 s", "after 0.3 s"] == [line.rpartition("MiB ")[2] for line in told if "MiB after" in line]
