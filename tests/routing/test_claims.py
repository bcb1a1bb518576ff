"""What is decided is decided on what stands, whoever commits meanwhile. On a real PostgreSQL."""

from __future__ import annotations

import threading

import psycopg

from broker.domain import LineSettings, LoadKind, OperatorId, PresenceState
from broker.inbound import accept, prepare
from broker.ports import Tx
from operators.presence import set_presence
from routing import distributor, worker
from routing.applying import claim, claim_each
from tests.support.channels import FakeChannel, wrote
from tests.support.house import add_channel, add_line, add_operator, load_house
from tests.support.store import PostgresMemory
from tests.support.together import together

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


def test_nobody_is_offered_a_session_who_is_leaving():
    """Their going is not committed yet when they are chosen, and finds no offer to give back: so none is made."""
    store = PostgresMemory()

    def build(tx: Tx) -> tuple[FakeChannel, OperatorId]:
        line = add_line(tx)
        return FakeChannel(add_channel(tx, line), line), OperatorId(add_operator(tx, "ann", [line]))

    channel, ann = store.write(build)
    house = store.write(lambda tx: load_house(tx, {channel.id: LoadKind.CHAT}))
    (accepted,) = store.write(lambda tx: accept(tx, channel.id, prepare(channel, [wrote("m", "eve", "hello")], LineSettings())))
    assert accepted.conversation_id is not None
    conversation_id = accepted.conversation_id
    store.write(lambda tx: worker.step(tx, conversation_id, house))

    together(
        store,
        lambda tx: set_presence(tx, ann, PresenceState.OFFLINE),
        lambda tx: distributor.step(tx, channel.line_id, house),
        refused=distributor.Left,
    )

    assert store.write(lambda tx: distributor.step(tx, channel.line_id, house)) == 0
    assert [] == store.rows("SELECT * FROM offers")


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
