"""Logs: one form for ours and for libraries', and nothing that nobody may read."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from broker import log


@pytest.fixture
def lines():
    """Set logs up as JSON into memory; put everything back afterwards."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    out = io.StringIO()
    log.set_up("info", "json", out)
    yield lambda: [json.loads(line) for line in out.getvalue().splitlines()]
    structlog.configure(**before)
    root.handlers, root.level = handlers, level


def test_an_event_is_one_json_line(lines):
    """The event, its level, its moment, and the keys it came with."""
    structlog.get_logger().info("message_sent", took_ms=41)

    (line,) = lines()
    assert (line["event"], line["level"], line["took_ms"]) == ("message_sent", "info", 41)
    assert line["timestamp"].endswith("Z")


def test_what_is_said_too_often_is_left_out_and_counted():
    """A disk that is full is not filled by what is said of it; who reads the log learns how often it was said."""
    now = [0.0]
    thin = log.Thinner(lambda: now[0])

    def said(event, method="warning"):
        try:
            return thin(None, method, {"event": event})
        except structlog.DropEvent:
            return None

    many = [said("store_full") for _ in range(log.LINES_MAX + 7)]
    other, asked = said("other"), said("store_full", "info")
    now[0] = log.WINDOW_SECONDS
    later = said("store_full"), said("store_full")

    assert many == [{"event": "store_full"}] * log.LINES_MAX + [None] * 7
    assert (other, asked) == ({"event": "other"}, {"event": "store_full"})
    assert later == ({"event": "store_full", "left_out": 7}, {"event": "store_full"})


def test_strangers_do_not_fill_the_log_through_a_library(lines):
    """Each of its loggers is counted for itself."""
    for _ in range(log.LINES_MAX + 5):
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("websockets").warning("something else")

    assert [line["library"] for line in lines()] == ["uvicorn.error"] * log.LINES_MAX + ["websockets"]


def test_a_library_tells_how_often_it_was_left_out_too():
    """As our own lines do."""
    now = [0.0]
    thin = log.Thinner(lambda: now[0])
    records = [logging.LogRecord("websockets", logging.WARNING, "", 0, "again", None, None) for _ in range(log.LINES_MAX + 4)]
    for record in records[:-1]:
        thin.filter(record)
    now[0] = log.WINDOW_SECONDS

    assert thin.filter(records[-1])
    assert log._as_library(None, "warning", {"event": "again", "_record": records[-1]})["left_out"] == 3


def test_sensitive_keys_are_dropped_at_any_depth(lines):
    """A text, a phone, an e-mail address, a token or a password that slips in does not come out."""
    structlog.get_logger().info("slipped", text="hello", who={"email": "a@b.c", "id": "7"}, all=[{"Token": "t"}], password="p")

    (line,) = lines()
    assert (line["who"], line["all"]) == ({"id": "7"}, [{}])
    assert not {"text", "password"} & set(line)


def test_libraries_speak_through_the_same_door(lines):
    """What uvicorn says is a line of the same form under one event; its lines for every request and socket are not written."""
    logging.getLogger("uvicorn.error").info("connection open")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.access").info("GET /?token=1")

    (line,) = lines()
    assert (line["event"], line["library"], line["said"]) == ("library_said", "uvicorn.error", "Invalid HTTP request received.")


def test_a_traceback_has_no_local_variables(lines):
    """Locals hold texts and tokens."""
    token = "very-secret-token"
    try:
        raise ValueError(len(token))
    except ValueError:
        structlog.get_logger().exception("request_failed")

    assert "very-secret-token" not in json.dumps(lines())
    assert lines()[0]["exception"]


def test_what_is_below_the_level_is_not_written(lines):
    """Debug is off unless asked for."""
    structlog.get_logger().debug("detail_seen")

    assert lines() == []
