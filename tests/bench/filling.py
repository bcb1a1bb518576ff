"""Conversations with their sessions and messages, written straight into a house's PostgreSQL by the database itself.

The rows are those of tests/bench/list.py: two sessions to a conversation, the latest of them open in the last conversations, three
messages to a session. There is no journal behind them, so no reader has anything to catch up with.
Ids are in the order of time, as the product's are; conversations go round the house's lines, and round the operators of each.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import psycopg

from broker.domain import ChannelId, ContactId, ConversationId, LineId, OperatorId, SessionId, Status
from tests.bench.list import TEXTS, WEIGHT, Place, session_row

APART_SECONDS = 30
"""Between the beginnings of two conversations."""
MANY = 50_000

_OPENED = datetime(2001, 1, 1, tzinfo=UTC)
_MOMENT = """to_char(to_timestamp(({}) / 1000000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

_BEGIN = """
    SET synchronous_commit = off;
    -- Foreign keys are not looked after: every row's fathers are written with it.
    SET session_replication_role = replica;
    CREATE FUNCTION pg_temp.id(ms bigint, kind int, number bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
        SELECT substr(lpad(to_hex(ms), 12, '0'), 1, 8) || '-' || substr(lpad(to_hex(ms), 12, '0'), 9, 4)
            || '-7' || lpad(to_hex(kind), 3, '0') || '-8000-' || lpad(to_hex(number), 12, '0')
    $$;
    CREATE TEMP TABLE place AS
        SELECT row_number() OVER (ORDER BY lines.slug) - 1 AS number, count(*) OVER () AS lines, lines.id AS line,
            channels.id AS channel, ARRAY(SELECT operator_id FROM seats WHERE line_id = lines.id ORDER BY position) AS people
        FROM lines JOIN channels ON channels.line_id = lines.id;
"""
_INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
        WHERE tablename = 'sessions' AND indexname NOT IN (SELECT conname FROM pg_constraint)
"""
# What is made is first counted out, with its ids; the tables are filled from there.
_MADE = """
    CREATE TEMP TABLE made AS
        SELECT n, line, channel, people[1 + (n / lines) %% cardinality(people)] AS operator, began_us,
            pg_temp.id(began_us / 1000, 1, n) AS contact, pg_temp.id(began_us / 1000, 2, n) AS conversation,
            CASE WHEN from_end <= %(waiting)s THEN 'queued' WHEN from_end <= %(waiting)s + %(held)s THEN 'active' ELSE 'closed' END
                AS status
        FROM (
            SELECT n, %(first)s + %(count)s - n AS from_end,
                (extract(epoch FROM now()) * 1000000)::bigint
                    - 1000000 * (60 + %(apart)s * (%(first)s + %(count)s - n)) AS began_us
            FROM generate_series(%(first)s::bigint, %(first)s + %(count)s - 1) AS n
        ) AS counted
        JOIN place ON place.number = n %% lines
"""
# Of two sessions of a conversation the earlier has the kind 3, the latest 4: the kinds are in their ids.
_OF_EACH = """
    CREATE TEMP TABLE had AS
        SELECT made.*, kind, session_status, opened_us, pg_temp.id(opened_us / 1000, kind, n) AS id,
            CASE WHEN session_status = 'closed' THEN opened_us + 1200000000 END AS closed_us,
            CASE WHEN session_status <> 'queued' THEN operator END AS holder,
            CASE WHEN kind = 4 AND %(earlier)s THEN 1 + %(texts)s ELSE 1 END AS first_seq
        FROM made CROSS JOIN LATERAL (
            VALUES (3, 'closed', began_us - 86400000000), (4, status, began_us)
        ) AS session (kind, session_status, opened_us)
        WHERE %(sessions)s AND (kind = 4 OR %(earlier)s)
"""
_ROWS = f"""
    INSERT INTO contacts (id, name, created_us, changed_us) SELECT contact, 'Visitor ' || n, began_us, began_us FROM made;
    INSERT INTO conversations (id, channel_id, key, contact_id, session_id, last_seq, input_seq, worked_seq, created_us)
        SELECT made.conversation, made.channel, 'visitor-' || lpad(made.n::text, 12, '0'), made.contact, had.id, last, last, last,
            made.began_us
        FROM made LEFT JOIN had ON had.n = made.n AND had.kind = 4
        CROSS JOIN LATERAL (SELECT coalesce(had.first_seq + %(texts)s - 1, 0) AS last) AS counter
        ORDER BY made.n;
    INSERT INTO sessions (id, conversation_id, line_id, channel_id, contact_id, status, operator_id, weight, first_seq, opened_us,
            queued_us, closed_us, changed_us, frozen, state)
        SELECT id, conversation, line, channel, contact, session_status, holder, %(weight)s, first_seq, opened_us,
            CASE WHEN session_status = 'queued' THEN opened_us END, closed_us, coalesce(closed_us, opened_us),
            CASE WHEN session_status = 'closed' THEN 1 ELSE 0 END,
            replace(replace(replace(replace(replace(replace(replace(replace(
                CASE session_status WHEN 'queued' THEN %(queued)s WHEN 'active' THEN %(active)s ELSE %(closed)s END,
                '@id', id), '@conversation', conversation), '@line', line), '@channel', channel), '@contact', contact),
                '@operator', operator), %(opened_at)s, {_MOMENT.format("opened_us")}),
                %(closed_at)s, coalesce({_MOMENT.format("closed_us")}, ''))
        FROM had ORDER BY id;
    INSERT INTO messages (conversation_id, seq, id, session_id, kind, author, operator_id, text, fate, at_us)
        SELECT conversation, seq, pg_temp.id(opened_us / 1000, 5, n * 6 + seq), id, 'said',
            CASE WHEN seq %% 3 = 2 THEN 'operator' ELSE 'contact' END, CASE WHEN seq %% 3 = 2 THEN operator END,
            (%(words)s::text[])[1 + (seq - 1) %% 3], CASE WHEN seq %% 3 = 2 THEN 'sent' ELSE 'received' END, opened_us + seq
        FROM had CROSS JOIN LATERAL generate_series(first_seq, first_seq + %(texts)s - 1) AS seq ORDER BY conversation, seq;
    UPDATE budgets SET reserved = reserved + took
        FROM (SELECT holder, count(*) * %(weight)s AS took FROM had WHERE session_status = 'active' GROUP BY holder) AS held
        WHERE operator_id = holder
"""  # noqa: S608  (the moment's form is ours)


def fill(
    url: str, count: int, *, first: int = 0, waiting: int = 0, held: int = 0, sessions: bool = True, earlier: bool = True
) -> None:
    """Write *count* conversations into the house at *url*, numbered from *first*, and look at the tables as autovacuum would.

    The last *waiting* of them wait, the *held* before those are with an operator, all others are over. Without *sessions* nobody has
    written yet; without *earlier* each has one session alone. The visitor of number 7 has the key ``visitor-000000000007``.
    """
    values: dict[str, object] = {
        "first": first,
        "count": count,
        "waiting": waiting,
        "held": held,
        "sessions": sessions,
        "earlier": earlier,
        "apart": APART_SECONDS,
        "words": list(TEXTS),
        "texts": len(TEXTS),
        "weight": WEIGHT,
        "opened_at": _json(_OPENED),
        "closed_at": _json(_closed_at()),
        **{status.value: _state(status) for status in (Status.QUEUED, Status.ACTIVE, Status.CLOSED)},
    }
    with psycopg.connect(url, autocommit=True) as connection, psycopg.ClientCursor(connection) as cursor:
        cursor.execute(_BEGIN)
        # An index is made in a fraction of the time in which it grows row by row.
        indexes = cursor.execute(_INDEXES).fetchall() if count >= MANY else []
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}".encode())
        for statements in (_MADE, _OF_EACH, _ROWS, *(made for _, made in indexes)):
            cursor.execute(statements, values)
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")


def _state(status: Status) -> str:
    """Return the state of a session with *status*, with words in the place of ids."""
    row = _row(status)
    return str(row["state"])


def _row(status: Status) -> dict[str, object]:
    place = Place(LineId("@line"), ChannelId("@channel"), ())
    holder = None if status is Status.QUEUED else OperatorId("@operator")
    ids = SessionId("@id"), ConversationId("@conversation"), ContactId("@contact")
    return session_row(place, *ids, status, holder, _OPENED, 1)


def _closed_at() -> datetime:
    closed_us = _row(Status.CLOSED)["closed_us"]
    assert isinstance(closed_us, int)
    return datetime.fromtimestamp(closed_us / 1_000_000, UTC)


def _json(at: datetime) -> str:
    return msgspec.json.encode(at).decode().strip('"')
