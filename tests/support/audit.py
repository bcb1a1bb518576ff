"""The auditor: what customers, operators and providers saw, compared with the database. One for simulation, mutants and chaos.

LOST acknowledged and not there; DOUBLED one thing twice; REORDERED another order than it was said; STUCK work that nobody does;
DOUBT more unconfirmed than there was reason for; BROKEN a row that contradicts another.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from broker.domain import ChannelId, ConversationId, Status, to_us
from broker.ports import Outbound
from routing.session import Session
from tests.support.replay import differences

Query = Callable[..., list[Any]]
"""A plain query: text and values in, rows out."""

_STATE = msgspec.json.Decoder(Session)


@dataclass
class Seen:
    """What the world outside knows, apart from any database."""

    acknowledged: dict[tuple[str, str], str] = field(default_factory=dict)
    """(origin, external id) -> text of every customer's message whose sender was told that it is stored."""
    said_in_order: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """(channel, conversation's key) -> the texts its customer said, in the order of saying."""
    answered: dict[str, str] = field(default_factory=dict)
    """Command -> text (empty: a deed without one) of every operator's deed whose sender was told that it is stored."""
    delivered: Mapping[ChannelId, list[Outbound]] = field(default_factory=dict)
    """Every arrival at a provider, repeats too."""
    idempotent: Mapping[ChannelId, bool] = field(default_factory=dict)
    doubtful: set[str] = field(default_factory=set)
    """Tokens of sends that were open when something happened after which nobody can know their outcome."""


def audit(query: Query, seen: Seen) -> list[str]:
    """Return everything that is wrong, worst first; empty: every promise was kept."""
    return [
        *_inputs(query, seen),
        *_history(query, seen),
        *_outbox(query, seen),
        *_undone(query),
        *_sessions(query),
        *_timers(query),
        *_journal(query),
    ]


# --- in


def _inputs(query: Query, seen: Seen) -> Iterable[str]:
    stored = Counter((origin, external) for origin, external in query("SELECT origin, external_id FROM inputs"))
    for (origin, external), times in stored.items():
        if times > 1:
            yield f"DOUBLED input {origin} {external} stored {times} times"
    for origin, external in seen.acknowledged:
        if (origin, external) not in stored:
            yield f"LOST acknowledged input {origin} {external}"
    for command in seen.answered:
        if ("console", command) not in stored:
            yield f"LOST answered command {command}"
    for why, conversation, seq in query(
        "SELECT dead, conversation_id, seq FROM inputs WHERE dead IS NOT NULL AND event IS NOT NULL"
    ):
        yield f"LOST input {conversation}/{seq} became a dead letter: {why}"


def _history(query: Query, seen: Seen) -> Iterable[str]:
    texts: dict[tuple[str, str], list[str]] = defaultdict(list)
    rows = query(
        "SELECT c.channel_id, c.key, m.text, m.author, m.client_id FROM messages m JOIN conversations c ON c.id = m.conversation_id "
        "ORDER BY m.conversation_id, m.seq"
    )
    of_operators: Counter[str] = Counter()
    for channel, key, text, author, client in rows:
        if author == "contact":
            texts[channel, key].append(text)
        elif author == "operator":
            of_operators[client] += 1
    for (channel, key), said in seen.said_in_order.items():
        stored = texts[channel, key]
        for text, times in Counter(stored).items():
            if times > 1:
                yield f"DOUBLED message {text!r} stands {times} times in {key}"
        known = [text for text in said if text in stored]
        if list(dict.fromkeys(stored)) != known:
            yield f"REORDERED history of {key}: {stored}, said {said}"
    everything = {text for of_one in texts.values() for text in of_one}
    for (origin, external), text in seen.acknowledged.items():
        if text and text not in everything:
            yield f"LOST message {text!r} ({origin} {external}) is not in the history"
    rows = query("SELECT body FROM journal WHERE kind IN ('reply', 'note', 'start', 'transfer')")
    records = [msgspec.json.decode(body) for (body,) in rows]
    refused = {record["event"]["command"] for record in records if any(made["do"] == "refuse" for made in record["decisions"])}
    for command, text in seen.answered.items():
        times = of_operators[command]
        if text and times != (0 if command in refused else 1):
            yield f"{'DOUBLED' if times > 1 else 'LOST'} operator's words {command}: {times} times, refused: {command in refused}"


# --- out


def _outbox(query: Query, seen: Seen) -> Iterable[str]:
    arrivals: dict[str, int] = Counter(outbound.token for of_one in seen.delivered.values() for outbound in of_one)
    rows = query("SELECT o.id, o.channel_id, o.state, m.fate, m.text FROM outbox o JOIN messages m USING (conversation_id, seq)")
    for row, channel, state, fate, text in rows:
        times = arrivals.get(row, 0)
        idempotent = seen.idempotent[channel]
        if times > 1 and not idempotent:
            yield f"DOUBLED {text!r} was delivered {times} times on a channel that cannot tell a repeat"
        if state == "sent" and not times:
            yield f"LOST {text!r} is sent and never arrived"
        if state == "failed" and times and not idempotent:
            yield f"BROKEN {text!r} has failed and arrived"
        if state == "unconfirmed" and (idempotent or row not in seen.doubtful):
            yield f"DOUBT {text!r} is unconfirmed without a reason"
        if state in ("queued", "sending"):
            yield f"STUCK {text!r} is {state}"
        if fate not in (state, "delivered", "read"):
            yield f"BROKEN {text!r} is {state} in the outbox and {fate} in the dialogue"
    known = {row[0] for row in rows}
    for token in arrivals:
        if token not in known:
            yield f"BROKEN {token} was delivered and is not in the outbox"
    unposted = query(
        "SELECT text FROM messages m WHERE author <> 'contact' AND kind = 'said' "
        "AND NOT EXISTS (SELECT 1 FROM outbox o WHERE o.conversation_id = m.conversation_id AND o.seq = m.seq)"
    )
    for (text,) in unposted:
        yield f"LOST {text!r} was never queued for its channel"
    for channel, of_one in seen.delivered.items():
        latest: dict[ConversationId, int] = {}
        first = set()
        for outbound in of_one:
            if outbound.token in first:
                continue
            first.add(outbound.token)
            if outbound.seq <= latest.get(outbound.conversation_id, 0):
                yield f"REORDERED {outbound.text!r} arrived after a later one on {channel}"
            latest[outbound.conversation_id] = max(outbound.seq, latest.get(outbound.conversation_id, 0))


# --- what lies undone


def _undone(query: Query) -> Iterable[str]:
    for key, worked, last in query("SELECT key, worked_seq, input_seq FROM conversations WHERE input_seq > worked_seq"):
        yield f"STUCK {key} is worked up to {worked} of {last}"
    for line, reason in query("SELECT line_id, reason FROM pool_marks"):
        yield f"STUCK the pool of {line} is marked: {reason}"


# --- sessions, offers, budgets


def _sessions(query: Query) -> Iterable[str]:
    held: Counter[str] = Counter()
    holders: dict[str, set[str]] = defaultdict(set)
    current = {row[1]: (row[0], row[2]) for row in query("SELECT id, session_id, contact_id FROM conversations")}
    open_offers: dict[str, set[str]] = defaultdict(set)
    for session, operator in query("SELECT session_id, operator_id FROM offers WHERE state = 'open'"):
        open_offers[session].add(operator)
    opened: Counter[str] = Counter()
    states = query("SELECT id, conversation_id, contact_id, status, operator_id, weight, frozen, state FROM sessions")
    for id_, conversation, contact, status, operator, weight, frozen, body in states:
        state = _STATE.decode(body)
        columns = (state.id, state.conversation_id, state.contact_id, state.status, state.operator_id, state.weight, state.frozen)
        if columns != (id_, conversation, contact, Status(status), operator, weight, bool(frozen)):
            yield f"BROKEN session {id_}: its columns say other than its state"
        if set(state.offered_to) != open_offers[id_]:
            yield f"BROKEN session {id_} is offered to {state.offered_to}, open offers: {sorted(open_offers[id_])}"
        if (state.status is Status.OFFERED) != bool(state.offered_to):
            yield f"BROKEN session {id_} is {status} and offered to {state.offered_to}"
        for offered in state.offered_to:
            held[offered] += weight
        if state.status in (Status.ACTIVE, Status.SNOOZED):
            if operator is None:
                yield f"BROKEN session {id_} is {status} and nobody has it"
            else:
                held[operator] += weight if state.counted else 0
                holders[id_].add(operator)
        if state.status is not Status.CLOSED:
            opened[conversation] += 1
            if current.get(id_) != (conversation, contact):
                yield f"BROKEN session {id_} is open and not its conversation's, or another contact's"
    for session, people in holders.items():
        if len(people) > 1:
            yield f"DOUBLED session {session} is with {len(people)} operators"
    for conversation, times in opened.items():
        if times > 1:
            yield f"DOUBLED {conversation} has {times} open sessions"
    for operator, budget, reserved in query("SELECT operator_id, budget, reserved FROM budgets"):
        if reserved != held[operator]:
            yield f"BROKEN {operator} has {reserved} reserved, offers and sessions weigh {held[operator]}"
        if reserved > budget:
            yield f"BROKEN {operator} has {reserved} of a budget of {budget}"


# --- timers

_DUE = {
    "offer": "offered_until",
    "no_answer": "answer_due",
    "kpi": "kpi_due",
    "silence": "quiet_until",
    "snooze": "snoozed_until",
}


def _timers(query: Query) -> Iterable[str]:
    """A deadline that a session says is a timer at that moment; a timer that nothing says is left over."""
    kept = {
        (owner, name): due
        for owner, name, due in query("SELECT owner_id, name, due_us FROM timers WHERE owner_kind = 'conversation'")
    }
    undecided = {row[0] for row in query("SELECT id FROM conversations WHERE input_seq > worked_seq")}
    for id_, body in query("SELECT c.id, s.state FROM conversations c JOIN sessions s ON s.id = c.session_id"):
        if id_ in undecided:
            continue
        state = _STATE.decode(body)
        said = {name: due for name, field_ in _DUE.items() if (due := getattr(state, field_)) is not None}
        for name, due in said.items():
            if kept.get((id_, name)) != to_us(due):
                yield f"STUCK session {state.id} is {state.status}: {name} is due at {due} and no timer says so"
        if state.status is Status.CLOSED and not state.frozen:
            said["reopen"] = state.closed_at
            if (id_, "reopen") not in kept:
                yield f"STUCK session {state.id} may be reopened for ever"
        if state.status is Status.QUEUED and state.held_until is not None:
            said["round"] = state.held_until  # past, it has fired
        for owner, name in kept:
            if owner == id_ and name not in said:
                yield f"BROKEN session {state.id} is {state.status} and a timer is left over: {name}"


# --- the journal


def _journal(query: Query) -> Iterable[str]:
    for conversation, rows, last, counted in query(
        "SELECT c.id, count(j.id), coalesce(max(j.seq), 0), c.journal_seq FROM conversations c "
        "LEFT JOIN journal j ON j.conversation_id = c.id GROUP BY c.id"
    ):
        if not rows == last == counted:
            yield f"BROKEN journal of {conversation}: {rows} rows, last {last}, counter {counted}"
    for found in differences(query("SELECT id, kind, body FROM journal ORDER BY id")):
        yield f"BROKEN journal: {found.text()}"
