"""What a decision may see beside its session; and a record of what it looked at, so that replay needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar, cast, get_type_hints

import msgspec

from broker.domain import (
    ChannelId,
    ContactId,
    ConversationId,
    LineId,
    LineSettings,
    LoadKind,
    OperatorId,
    PresenceState,
    Rating,
    SessionId,
)

T = TypeVar("T")


class ConversationView(msgspec.Struct, frozen=True):
    """The conversation as an opening needs it."""

    conversation_id: ConversationId
    channel_id: ChannelId
    line_id: LineId
    contact_id: ContactId
    load: LoadKind
    contact_priority: int
    first_time: bool
    """The contact has had no session before."""
    new_session_id: SessionId
    responsible_id: OperatorId | None = None
    language: str = ""
    """The contact's, where it is known."""
    banned: bool = False


class HoursView(msgspec.Struct, frozen=True):
    """What the line's calendar says of now; asked once and kept, so that replay needs neither zones nor holidays."""

    open: bool
    opens_at: datetime | None = None
    """When it opens next; None: it is open, or never opens."""


OPEN = HoursView(open=True)


class TargetView(msgspec.Struct, frozen=True):
    """The line to which a session is to be passed on."""

    line_id: LineId
    exists: bool
    language: str = ""
    """The contact's, and what their *contact_priority* adds there."""
    contact_priority: int = 0
    open: bool = True
    """Within its hours; said where the hours in view are those of another line."""


class OperatorView(msgspec.Struct, frozen=True):
    """The operator a decision is about: who acts, or who held the session last."""

    operator_id: OperatorId
    active: bool
    seated: bool
    """Has a seat in the session's line."""
    supervises: bool
    presence: PresenceState
    budget: int
    reserved: int
    on_shift: bool = True
    phone: bool = False
    """Calls can ring somewhere."""
    calls: int = 0
    """How many ring or talk there."""


class _Recorded(Generic[T]):
    """Gives out the attributes of a value and remembers which were asked for."""

    __slots__ = ("_read", "_source")

    def __init__(self, source: T, read: dict[str, Any]) -> None:
        self._source = source
        self._read = read

    def __getattr__(self, name: str) -> Any:
        source = self._source
        value = source[name] if isinstance(source, dict) else getattr(source, name)
        self._read[name] = value
        return value


class View:
    """The line's settings and hours, the conversation and the operator; each read is recorded."""

    __slots__ = ("_colleague", "_conversation", "_hours", "_line", "_operator", "_rating", "_read", "_target", "_target_line")

    def __init__(
        self,
        line: LineSettings | Mapping[str, Any],
        conversation: ConversationView | None = None,
        operator: OperatorView | None = None,
        hours: HoursView | None = None,
        *,
        colleague: OperatorView | None = None,
        target: TargetView | None = None,
        target_line: LineSettings | Mapping[str, Any] | None = None,
        rating: Rating | None = None,
    ) -> None:
        self._read: dict[str, Any] = {}
        self._colleague = colleague
        self._target = target
        self._target_line = target_line
        self._rating = rating
        self._hours = hours
        self._line = line
        self._conversation = conversation
        self._operator = operator

    @property
    def line(self) -> LineSettings:
        """The line's settings."""
        return cast(LineSettings, _Recorded(self._line, self._read.setdefault("line", {})))

    @property
    def hours(self) -> HoursView:
        """What the calendar says; loaded for events that may open a session."""
        assert self._hours is not None, "the worker did not load the hours for this event"
        self._read["hours"] = self._hours
        return self._hours

    @property
    def conversation(self) -> ConversationView:
        """The conversation; loaded for events that may open a session."""
        assert self._conversation is not None, "the worker did not load the conversation for this event"
        self._read["conversation"] = self._conversation
        return self._conversation

    @property
    def operator(self) -> OperatorView | None:
        """The operator; None when there is no such person."""
        self._read["operator"] = self._operator
        return self._operator

    @property
    def colleague(self) -> OperatorView | None:
        """The colleague whom the deed names, as seen from the session's line; None when there is no such person."""
        self._read["colleague"] = self._colleague
        return self._colleague

    @property
    def target(self) -> TargetView:
        """The line that the deed names."""
        assert self._target is not None, "the worker did not load the line for this event"
        self._read["target"] = self._target
        return self._target

    @property
    def target_line(self) -> LineSettings:
        """Its settings."""
        return cast(LineSettings, _Recorded(self._target_line, self._read.setdefault("target_line", {})))

    @property
    def rating(self) -> Rating | None:
        """What the customer's words say when they answer the question how it was; None: something else."""
        self._read["rating"] = self._rating
        return self._rating

    def read(self) -> dict[str, Any]:
        """Return what was looked at."""
        return self._read


def replayed(read: Mapping[str, Any]) -> View:
    """Return a view that knows exactly what an earlier decision looked at; asking it for more raises KeyError."""
    line, target_line = (
        {name: msgspec.convert(value, _SETTING_TYPES[name]) for name, value in read.get(which, {}).items()}
        for which in ("line", "target_line")
    )
    colleague, target = read.get("colleague"), read.get("target")
    rating = read.get("rating")
    conversation = read.get("conversation")
    operator = read.get("operator")
    hours = read.get("hours")
    return View(
        line,
        msgspec.convert(conversation, ConversationView) if conversation is not None else None,
        msgspec.convert(operator, OperatorView) if operator is not None else None,
        msgspec.convert(hours, HoursView) if hours is not None else None,
        colleague=msgspec.convert(colleague, OperatorView) if colleague is not None else None,
        target=msgspec.convert(target, TargetView) if target is not None else None,
        target_line=target_line,
        rating=Rating(rating) if rating is not None else None,
    )


_SETTING_TYPES: dict[str, Any] = get_type_hints(LineSettings)
