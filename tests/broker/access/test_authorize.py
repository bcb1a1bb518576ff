"""May they? Every role, every action, on things of their own, of their lines, of others, and on lists."""

from __future__ import annotations

import pytest

from broker.access.authorize import BOUNDED, TABLE, Action, Actor, Bounded, Reach, Thing, authorize
from broker.domain import LineId, OperatorId, Role
from broker.errors import Forbidden

MINE, OTHER = LineId("mine"), LineId("other")
ME, COLLEAGUE = OperatorId("me"), OperatorId("colleague")
THINGS = {
    "list": BOUNDED,
    "nobody's": Thing(),
    "in my line": Thing(line_id=MINE, operator_id=COLLEAGUE),
    "in another line": Thing(line_id=OTHER, operator_id=COLLEAGUE),
    "mine in another line": Thing(line_id=OTHER, operator_id=ME),
    "my own": Thing(operator_id=ME),
}
OWN = {"list", "mine in another line", "my own"}
LINES = OWN | {"in my line"}
ALL = set(THINGS)
E, S, A = Role.OPERATOR, Role.SUPERVISOR, Role.ADMINISTRATOR
# Written out rather than computed from the table: this is what the house promises, the table is how.
PROMISED = {
    Action.READ_SELF: {E: OWN, S: OWN, A: OWN},
    Action.CHANGE_OWN_PASSWORD: {E: OWN, S: OWN, A: OWN},
    Action.SET_OWN_PRESENCE: {E: OWN, S: OWN, A: OWN},
    Action.READ_COLLEAGUES: {E: ALL, S: ALL, A: ALL},
    Action.READ_OPERATORS: {S: ALL, A: ALL},
    Action.CHANGE_OPERATORS: {A: ALL},
    Action.RESET_PASSWORDS: {A: ALL},
    Action.READ_LINES: {E: LINES, S: ALL, A: ALL},
    Action.CHANGE_LINES: {A: ALL},
    Action.READ_CHANNELS: {S: ALL, A: ALL},
    Action.CHANGE_CHANNELS: {A: ALL},
    Action.CHANGE_SOUNDS: {A: ALL},
    Action.CHANGE_SEATS: {S: ALL, A: ALL},
    Action.READ_SESSIONS: {E: LINES, S: ALL, A: ALL},
    Action.TAKE_SESSION: {E: LINES, S: ALL, A: ALL},
    Action.ANSWER_SESSION: {E: OWN, S: ALL, A: ALL},
    Action.NOTE_SESSION: {E: LINES, S: ALL, A: ALL},
    Action.CLOSE_SESSION: {E: OWN, S: ALL, A: ALL},
    Action.TRANSFER_SESSION: {E: OWN, S: ALL, A: ALL},
    Action.ASSIGN_SESSION: {S: ALL, A: ALL},
    Action.INVITE_COLLEAGUE: {E: LINES, S: ALL, A: ALL},
    Action.JOIN_SESSION: {E: LINES, S: ALL, A: ALL},
    Action.TAKE_OVER_SESSION: {S: ALL, A: ALL},
    Action.LISTEN_TO_TALK: {S: ALL, A: ALL},
    Action.MARK_SPAM: {E: LINES, S: ALL, A: ALL},
    Action.SNOOZE_SESSION: {E: OWN, S: OWN, A: OWN},
    Action.START_SESSION: {E: LINES, S: ALL, A: ALL},
    Action.PIN_SESSION: {E: LINES, S: ALL, A: ALL},
    Action.REVIEW_SESSION: {S: ALL, A: ALL},
    Action.CHANGE_CONTACTS: {S: ALL, A: ALL},
    Action.READ_BOARD: {S: ALL, A: ALL},
    Action.READ_CONTACTS: {E: LINES, S: ALL, A: ALL},
    Action.READ_LEADS: {E: LINES, S: ALL, A: ALL},
    Action.READ_TRANSCRIPTS: {E: LINES, S: ALL, A: ALL},
    Action.HEAR_CALLS: {E: OWN, S: ALL, A: ALL},
    Action.READ_REPORTS: {S: ALL, A: ALL},
    Action.READ_DEAD_LETTERS: {A: ALL},
    Action.READ_METRICS: {A: ALL},
}


def _actor(role):
    lines = frozenset({MINE}) if role is Role.OPERATOR else None
    return Actor(ME, "me", "Me", role, "en", False, lines)


def _allowed(role, action, thing):
    try:
        authorize(_actor(role), action, thing)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("action", list(Action))
def test_the_matrix(role, action):
    """Each role may do each action to exactly the things promised."""
    allowed = {name for name, thing in THINGS.items() if _allowed(role, action, thing)}

    assert PROMISED[action].get(role, set()) == allowed


def test_no_action_is_forgotten():
    """An action that the promise does not name fails here; one that the table does not name is forbidden to all."""
    assert set(Action) == set(PROMISED)
    assert all(isinstance(reach, Reach) for table in TABLE.values() for reach in table.values())


def test_an_operator_without_a_seat_sees_no_line():
    """No seat, no line; and a thing of no line is nobody's."""
    actor = Actor(ME, "me", "Me", Role.OPERATOR, "en", False, frozenset())

    with pytest.raises(Forbidden):
        authorize(actor, Action.READ_LINES, Thing(line_id=MINE))
    with pytest.raises(Forbidden):
        authorize(actor, Action.READ_LINES, Thing())
    assert isinstance(BOUNDED, Bounded)
