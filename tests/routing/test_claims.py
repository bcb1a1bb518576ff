"""A conversation and its session are claimed as they are, whoever commits meanwhile. On a real PostgreSQL."""

from __future__ import annotations

import threading

import psycopg

from broker.domain import LineSettings, LoadKind
from broker.inbound import accept, prepare
from broker.ports import Tx
from routing import worker
from routing.applying import claim, claim_each
from tests.support.channels import FakeChannel, wrote
from tests.support.house import add_channel, add_line, load_house
from tests.support.store import PostgresMemory

CONVERSATIONS, ROUNDS = 40, 300


def test_who_claims_a_conversation_reads_its_session_as_it_is_under_the_lock():
    """What is joined to a row that is locked late is what it was before: on that nobody may decide."""
    store = PostgresMemory()

    def build(tx: Tx) -> FakeChannel:
        line = add_line(tx)
        return FakeChannel(add_channel(tx, line), line)

    channel = store.write(build)
    house = store.write(lambda tx: load_house(tx, {channel.id: LoadKind.CHAT}))
    for number in range(CONVERSATIONS):
        raws = prepare(channel, [wrote(f"m{number}", f"key{number}", "hello")], LineSettings())
        (accepted,) = store.write(lambda tx, raws=raws: accept(tx, channel.id, raws))  # type: ignore[misc]
        store.write(lambda tx, id_=accepted.conversation_id: worker.step(tx, id_, house))  # type: ignore[misc]
    ids = [id_ for (id_,) in store.rows("SELECT id FROM conversations ORDER BY id")]
    colleague = _Colleague(store.database.url)
    colleague.start()
    try:
        seen = [
            (work.journal_seq, work.session.weight)
            for _ in range(ROUNDS)
            for work in store.write(lambda tx: claim_each(tx, ids, house))
            if work.session is not None
        ]
        one = [store.write(lambda tx: claim(tx, ids[0], house)) for _ in range(ROUNDS)]
        seen += [(work.journal_seq, work.session.weight) for work in one if work is not None and work.session is not None]
    finally:
        colleague.stop()

    assert [] == [both for both in seen if both[0] != both[1] and both[1] > 1_000]
    assert max(weight for _, weight in seen) > 1_010, "the colleague has changed nothing"


class _Colleague(threading.Thread):
    """Another process: writes the same number into every conversation and its session, the next one again and again."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._ends = threading.Event()

    def run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            number = 1_000
            while not self._ends.is_set():
                number += 1
                with connection.transaction():
                    connection.execute("UPDATE conversations SET journal_seq = %s", [number])
                    connection.execute(
                        """UPDATE sessions SET state = regexp_replace(state, '"weight":[0-9]+', '"weight":' || %s::text)""",
                        [number],
                    )

    def stop(self) -> None:
        self._ends.set()
        self.join()
