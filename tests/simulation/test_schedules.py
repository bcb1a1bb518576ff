"""Thousands of random histories with crashes everywhere: lost 0, doubled 0, reordered 0, stuck 0.

`OMNILINE_SEEDS=20000 pytest tests/simulation` widens the search; `OMNILINE_SEED=1234` plays one history again.
"""

from __future__ import annotations

import os

import pytest

from tests.simulation.world import World

SEEDS = int(os.environ.get("OMNILINE_SEEDS", "2000"))
CHUNK = 50
ONE = os.environ.get("OMNILINE_SEED")
CHUNKS = [range(int(ONE), int(ONE) + 1)] if ONE else [range(at, min(at + CHUNK, SEEDS)) for at in range(0, SEEDS, CHUNK)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds-{seeds.start}")
def test_every_promise_is_kept_in_every_history(seeds: range):
    """Whatever crashes, is refused, resent, delayed or lost on the way: the auditor finds nothing."""
    for seed in seeds:
        assert World(seed).run().verdict() == [], f"OMNILINE_SEED={seed} plays it again"


def test_the_same_seed_is_the_same_history():
    """A failure can be played again: two runs of a seed write the same journal."""
    first, second = (
        World(7).run().connection.execute("SELECT id, conversation_id, seq, kind, at_us, body FROM journal").fetchall()
        for _ in range(2)
    )

    assert first == second


def test_histories_reach_what_they_are_meant_to_try():
    """Crashes, unconfirmed messages, refusals, run-outs, reopenings and merged contacts all occur: a calm sea proves nothing."""
    met: set[str] = set()
    for seed in range(80):
        world = World(seed).run()
        met |= {f"crashed {world.crashes}"}
        for query in (
            "SELECT 'fate ' || state FROM outbox",
            "SELECT 'offer ' || state FROM offers",
            "SELECT 'session ' || status FROM sessions",
            "SELECT 'kind ' || kind FROM journal",
            "SELECT 'reopened' FROM sessions WHERE state LIKE '%\"reopened\":%'",
            "SELECT 'over' FROM journal WHERE body LIKE '%\"rounds_over\":true%'",
            "SELECT 'refused' FROM journal WHERE body LIKE '%\"do\":\"refuse\"%'",
            "SELECT 'merged' FROM contacts WHERE merged_into IS NOT NULL",
            "SELECT 'dead' FROM inputs WHERE dead IS NOT NULL",
        ):
            met |= {row[0] for row in world.connection.execute(query).fetchall()}

    assert met >= {
        *(f"crashed {number}" for number in range(4)),
        *(f"fate {fate}" for fate in ("sent", "failed", "unconfirmed")),
        *(f"offer {how}" for how in ("taken", "declined", "ran_out", "withdrawn")),
        *(f"session {status}" for status in ("queued", "active", "closed")),
        *(
            f"kind {kind}"
            for kind in ("contact_message", "take", "decline", "reply", "note", "close", "offer_expired", "round_due")
        ),
        *(
            f"kind {kind}"
            for kind in ("no_answer_due", "reopen_ended", "offered", "held", "distribution", "message", "fate", "contact")
        ),
        "reopened",
        "over",
        "refused",
        "merged",
        "dead",
    }
