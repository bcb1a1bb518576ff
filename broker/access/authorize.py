"""May they? One pure function and one table, read by REST, sockets and commands alike; what the table does not say is forbidden.

    HOUSE   anything of the kind
    LINES   what belongs to one of the actor's lines, or is held by the actor
    OWN     what is the actor's own

A supervisor's and an administrator's lines are all lines (`Actor.lines` is None); an operator's are those they sit in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final, assert_never

from broker.domain import LineId, OperatorId, Role
from broker.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Actor:
    """A person who is logged in; *lines* are those they may see, None: every line."""

    operator_id: OperatorId
    login: str
    name: str
    role: Role
    language: str
    password_generated: bool
    lines: frozenset[LineId] | None

    def sees(self, line_id: LineId | str) -> bool:
        """Return whether *line_id* is one of their lines."""
        return self.lines is None or line_id in self.lines


class Action(StrEnum):
    """Everything that somebody may do or see."""

    READ_SELF = "read_self"
    CHANGE_OWN_PASSWORD = "change_own_password"  # noqa: S105 -- a name, no password
    SET_OWN_PRESENCE = "set_own_presence"
    READ_COLLEAGUES = "read_colleagues"
    READ_OPERATORS = "read_operators"
    CHANGE_OPERATORS = "change_operators"
    RESET_PASSWORDS = "reset_passwords"
    READ_LINES = "read_lines"
    CHANGE_LINES = "change_lines"
    READ_CHANNELS = "read_channels"
    CHANGE_CHANNELS = "change_channels"
    CHANGE_SOUNDS = "change_sounds"
    CHANGE_SEATS = "change_seats"
    READ_SESSIONS = "read_sessions"
    TAKE_SESSION = "take_session"
    ANSWER_SESSION = "answer_session"
    NOTE_SESSION = "note_session"
    CLOSE_SESSION = "close_session"
    TRANSFER_SESSION = "transfer_session"
    ASSIGN_SESSION = "assign_session"
    INVITE_COLLEAGUE = "invite_colleague"
    JOIN_SESSION = "join_session"
    TAKE_OVER_SESSION = "take_over_session"
    LISTEN_TO_TALK = "listen_to_talk"
    MARK_SPAM = "mark_spam"
    SNOOZE_SESSION = "snooze_session"
    START_SESSION = "start_session"
    PIN_SESSION = "pin_session"
    REVIEW_SESSION = "review_session"
    CHANGE_CONTACTS = "change_contacts"
    READ_BOARD = "read_board"
    READ_CONTACTS = "read_contacts"
    READ_LEADS = "read_leads"
    READ_TRANSCRIPTS = "read_transcripts"
    HEAR_CALLS = "hear_calls"
    READ_REPORTS = "read_reports"
    READ_DEAD_LETTERS = "read_dead_letters"
    READ_METRICS = "read_metrics"


class Reach(Enum):
    """How far a permission goes."""

    HOUSE = "house"
    LINES = "lines"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Thing:
    """What something is to be done to: its line and who holds or is it; a session's are its line and its operator."""

    line_id: LineId | None = None
    operator_id: OperatorId | None = None


class Bounded:
    """A list whose query is bounded by the actor's lines or the actor: every row of it is allowed."""


BOUNDED: Final = Bounded()

_EVERYBODY: dict[Action, Reach] = {
    Action.READ_SELF: Reach.OWN,
    Action.CHANGE_OWN_PASSWORD: Reach.OWN,
    Action.SET_OWN_PRESENCE: Reach.OWN,
    Action.READ_COLLEAGUES: Reach.HOUSE,
}
_OPERATOR: dict[Action, Reach] = {
    **_EVERYBODY,
    Action.READ_LINES: Reach.LINES,
    Action.READ_SESSIONS: Reach.LINES,
    Action.TAKE_SESSION: Reach.LINES,
    Action.ANSWER_SESSION: Reach.OWN,
    Action.NOTE_SESSION: Reach.LINES,
    Action.CLOSE_SESSION: Reach.OWN,
    Action.TRANSFER_SESSION: Reach.OWN,
    # Who is invited, or has the session, the engine knows.
    Action.INVITE_COLLEAGUE: Reach.LINES,
    Action.JOIN_SESSION: Reach.LINES,
    Action.MARK_SPAM: Reach.LINES,
    Action.SNOOZE_SESSION: Reach.OWN,
    Action.START_SESSION: Reach.LINES,
    Action.PIN_SESSION: Reach.LINES,
    Action.READ_CONTACTS: Reach.LINES,
    Action.READ_LEADS: Reach.LINES,
    Action.READ_TRANSCRIPTS: Reach.LINES,
    Action.HEAR_CALLS: Reach.OWN,
}
_SUPERVISOR: dict[Action, Reach] = {
    **_OPERATOR,
    Action.ANSWER_SESSION: Reach.LINES,
    Action.CLOSE_SESSION: Reach.LINES,
    Action.TRANSFER_SESSION: Reach.LINES,
    Action.ASSIGN_SESSION: Reach.LINES,
    Action.TAKE_OVER_SESSION: Reach.LINES,
    Action.LISTEN_TO_TALK: Reach.LINES,
    Action.REVIEW_SESSION: Reach.LINES,
    Action.HEAR_CALLS: Reach.LINES,
    Action.CHANGE_CONTACTS: Reach.LINES,
    Action.READ_BOARD: Reach.LINES,
    Action.READ_OPERATORS: Reach.HOUSE,
    Action.READ_CHANNELS: Reach.LINES,
    Action.CHANGE_SEATS: Reach.LINES,
    Action.READ_REPORTS: Reach.LINES,
}
_ADMINISTRATOR: dict[Action, Reach] = {
    **_SUPERVISOR,
    Action.CHANGE_OPERATORS: Reach.HOUSE,
    Action.RESET_PASSWORDS: Reach.HOUSE,
    Action.CHANGE_LINES: Reach.HOUSE,
    Action.CHANGE_CHANNELS: Reach.HOUSE,
    Action.CHANGE_SOUNDS: Reach.HOUSE,
    Action.READ_DEAD_LETTERS: Reach.HOUSE,
    Action.READ_METRICS: Reach.HOUSE,
}
TABLE: dict[Role, dict[Action, Reach]] = {
    Role.OPERATOR: _OPERATOR,
    Role.SUPERVISOR: _SUPERVISOR,
    Role.ADMINISTRATOR: _ADMINISTRATOR,
}
"""Role -> action -> how far; an action that is not there is forbidden."""


def authorize(actor: Actor, action: Action, thing: Thing | Bounded = BOUNDED) -> None:
    """Return when *actor* may do *action* to *thing*; raise Forbidden otherwise."""
    reach = TABLE[actor.role].get(action)
    if reach is None or not _reaches(actor, reach, thing):
        raise Forbidden(f"your role ({actor.role.value}) does not allow this here; ask an administrator")


def _reaches(actor: Actor, reach: Reach, thing: Thing | Bounded) -> bool:
    match reach:
        case Reach.HOUSE:
            return True
        case Reach.LINES:
            return isinstance(thing, Bounded) or _in_lines(actor, thing) or _own(actor, thing)
        case Reach.OWN:
            return isinstance(thing, Bounded) or _own(actor, thing)
        case _:
            assert_never(reach)


def _in_lines(actor: Actor, thing: Thing) -> bool:
    # Somebody who sees every line sees what belongs to none, too.
    return actor.lines is None or (thing.line_id is not None and actor.sees(thing.line_id))


def _own(actor: Actor, thing: Thing) -> bool:
    return thing.operator_id == actor.operator_id
