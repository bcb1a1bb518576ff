"""Hops of messages: spans that find each other by numbers made from the input, sent to a real collector; and lines of the log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from broker import tracing
from broker.errors import ConfigError
from tests.support.collector import Collector, running_collector

EVE, HERS, OTHER = (f"01900000-0000-7000-8000-00000000000{last}" for last in "eab")
"""A conversation, and two messages of it."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a collector, and end what was begun."""
    with running_collector() as made:
        yield made
        tracing.shut_down()
    tracing.set_up(endpoint=None, ratio=0, logged=False)


def begin(collector: Collector, ratio: float = 1.0) -> None:
    """Send spans to *collector*."""
    tracing.set_up(endpoint=collector.url, ratio=ratio, logged=False, resource={"service.instance.id": "me"})


def test_hops_of_one_input_are_one_trace_with_its_acceptance_as_root(collector):
    """In whichever order, and from whichever process, they are told; another input's are another trace."""
    begin(collector)
    begun = tracing.begin()
    tracing.hop("decide", EVE, 7, begun, HERS)
    tracing.hop(tracing.ROOT, EVE, 7, begun, HERS, origin="widget", fresh=True)
    tracing.hop("send", EVE, 8, begun, OTHER, outcome="sent")
    tracing.hop("decide", EVE, 9, begun, None)
    tracing.shut_down()

    decide, accept, send = collector.wait_for("decide", "accept", "send")
    assert (accept.parent, decide.parent) == ("", accept.id)
    assert accept.trace == decide.trace == f"{tracing.trace_of(HERS)[0]:032x}"
    assert send.trace == f"{tracing.trace_of(OTHER)[0]:032x}" != accept.trace
    assert decide.id != accept.id
    assert accept.begun == begun <= accept.ended <= time.time_ns()
    assert accept.attributes == {
        "omniline.conversation_id": EVE,
        "omniline.seq": 7,
        "omniline.message_id": HERS,
        "omniline.origin": "widget",
        "omniline.fresh": True,
    }
    assert {span.process for span in (accept, decide, send)} == {"me"}


def test_a_part_of_all_traces_is_kept_and_each_whole(collector):
    """The same messages by every process: half a trace explains nothing."""
    begin(collector, ratio=0.25)
    for seq in range(400):
        for name in ("accept", "decide"):
            tracing.hop(name, EVE, seq, 1, str(seq))
    tracing.shut_down()

    kept = {name: {span.trace for span in collector.spans if span.name == name} for name in ("accept", "decide")}
    assert kept["accept"] == kept["decide"]
    assert 60 < len(kept["accept"]) < 140


def test_nobody_who_wants_to_know_costs_nothing(collector):
    """No moment is taken and no line is written."""
    tracing.set_up(endpoint=None, ratio=1, logged=False)
    with capture_logs() as lines:
        tracing.hop("send", EVE, 1, tracing.begin(), HERS)

    assert (tracing.is_on(), tracing.begin(), lines) == (False, 0, [])


def test_the_log_names_the_conversation_at_every_hop_and_the_trace(collector):
    """By the line one finds the trace, and by the trace the lines of every process."""
    tracing.set_up(endpoint=None, ratio=0, logged=True)
    with capture_logs() as lines:
        tracing.hop("send", EVE, 3, tracing.begin(), HERS, outcome="sent")
        tracing.hop("accept", EVE, 4, tracing.begin(), None)

    trace = f"{tracing.trace_of(HERS)[0]:032x}"
    assert lines == [
        {
            "event": "hop",
            "log_level": "debug",
            "hop": "send",
            "conversation_id": EVE,
            "seq": 3,
            "trace_id": trace,
            "outcome": "sent",
        },
        {"event": "hop", "log_level": "debug", "hop": "accept", "conversation_id": EVE, "seq": 4},
    ]


def test_a_collector_that_refuses_or_is_away_keeps_nobody_waiting(collector):
    """Spans are lost, nothing else; the stop waits no longer than it says."""
    collector.status = 503
    begin(collector)
    before = time.monotonic()
    for seq in range(10_000):
        tracing.hop("accept", EVE, seq, 1, str(seq))
    told = time.monotonic() - before
    tracing.shut_down()

    assert collector.spans == []
    assert told < 10 > time.monotonic() - before - told


def test_without_the_libraries_it_is_refused_in_a_sentence(collector, monkeypatch):
    """It says which, and both ways out."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)

    with pytest.raises(
        ConfigError, match=r"^tracing\.endpoint is set, and \S+ is not installed: \S+ -m pip install 'omniline\[tracing\]'"
    ):
        begin(collector)
