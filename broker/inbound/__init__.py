"""The front gate: everything that enters is stored by `accept` or `enter` before its sender is told.

    raw payloads ──prepare──► parsed, still pure ──accept──► inputs, conversation, contact, message: one transaction
    a deed, a timer ─────────────────────────────enter───► inputs: one transaction

A repeat of an external id is a no-op that answers with the first one's seq. What cannot be parsed is kept raw as a dead letter
and blocks nobody. Every input of a conversation takes the next `seq` under the conversation's lock.
"""

from broker.inbound import said
from broker.inbound.accept import (
    Accepted,
    Prepared,
    accept,
    accept_each,
    bury,
    conversation_of,
    enter,
    prepare,
    revive,
    undecided,
    where_of,
)
from broker.inbound.contacts import is_banned, is_banned_at, join, learn, part, set_banned, set_priority, set_responsible

__all__ = [
    "Accepted",
    "Prepared",
    "accept",
    "accept_each",
    "bury",
    "conversation_of",
    "enter",
    "is_banned",
    "is_banned_at",
    "join",
    "learn",
    "part",
    "prepare",
    "revive",
    "said",
    "set_banned",
    "set_priority",
    "set_responsible",
    "undecided",
    "where_of",
]
