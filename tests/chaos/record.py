"""What the clients of a chaos run write down: everything they said, did and were shown. Plain values, no clock, no socket."""

from __future__ import annotations

from dataclasses import dataclass, field

REPLY = "re: "
"""What an operator's answer to a text begins with."""
MISSED = -1
"""Instead of a socket's number: what came after the mark that an operator's screen resumed from."""


@dataclass(frozen=True, slots=True)
class Line:
    """One message as a screen had it. *who*: `contact`, `operator` or `system`; *mark*: the client's own id, where one is told."""

    seq: int
    who: str
    text: str
    mark: str = ""
    session: str = ""
    """Only operators are told."""
    news: int = 0
    """On an operator's screen: the number of the socket whose live updates brought it, or MISSED; 0: it stood in a page of the thread."""


@dataclass(slots=True)
class Said:
    """A visitor's message: its id was made once, and every attempt used it."""

    id: str
    text: str
    sends: int = 0
    acks: list[int] = field(default_factory=list)
    """The seq of each ack, in the order they came."""
    echoed: bool = False
    """It came back in a history before its ack did."""

    @property
    def settled(self) -> bool:
        """Tell whether the visitor need not send it again."""
        return self.echoed or bool(self.acks)


@dataclass(slots=True)
class VisitorRecord:
    """One visitor's run."""

    name: str
    said: list[Said] = field(default_factory=list)
    """In the order of writing."""
    pushed: list[Line] = field(default_factory=list)
    """Every message that welcomes and pushes brought, in the order they came, repeats among them."""
    history: list[Line] = field(default_factory=list)
    """The whole conversation, asked for after the end."""
    shows_repeats: bool = False
    """What comes twice stands on the screen twice: a provider's app does not know our places."""
    in_doubt: set[int] = field(default_factory=set)
    """Places of what was sent once and got no answer: of that alone nobody need know whether it has arrived."""


@dataclass(slots=True)
class Did:
    """An operator's deed: its id was made once, and every attempt used it."""

    id: str
    verb: str
    session: str
    text: str = ""
    accepted: bool = False
    refused: str = ""


@dataclass(slots=True)
class OperatorRecord:
    """One operator's run."""

    name: str
    did: list[Did] = field(default_factory=list)
    """In the order of doing."""
    shown: dict[str, list[Line]] = field(default_factory=dict)
    """By conversation, everything that threads and updates brought, in the order it came, repeats among it."""
    gaps: int = 0
    """How often the numbering of updates had a hole."""


@dataclass(slots=True)
class House:
    """What was left behind, read from the server's data after the drain."""

    open_outbox: list[str] = field(default_factory=list)
    unconfirmed: list[str] = field(default_factory=list)
    """What is in doubt without a reason."""
    failed: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    """Dead letters, but for what the run itself sent so that nobody can read it."""
    unkept: list[str] = field(default_factory=list)
    """What the run sent so that nobody can read it, and what is no dead letter."""
    open_offers: list[str] = field(default_factory=list)
    open_sessions: list[str] = field(default_factory=list)
    unrouted: list[str] = field(default_factory=list)
    due: list[str] = field(default_factory=list)
    """Timers of conversations that have fallen due, or will in a moment."""
    unread: list[str] = field(default_factory=list)
    """Readers of the journal that did not come to its end while the processes ran."""
    threads: dict[str, list[Line]] = field(default_factory=dict)
    """By conversation, the whole thread as an operator reads it at the end, notes left out."""
    reconciled: bool = True
    report: str = ""
    unlike: str = ""
    """What `omniline replay` says of a journal that does not come out as it was written."""

    @property
    def rests(self) -> bool:
        """Tell whether nothing is under way."""
        return not (self.open_outbox or self.open_offers or self.open_sessions or self.unrouted or self.due or self.unread)

    def found_at_rest(self, rested: House) -> None:
        """Take from *rested* what was waited for while the processes ran: what comes as they stop, the next start would see to."""
        self.unrouted, self.due, self.unread = rested.unrouted, rested.due, rested.unread


@dataclass(slots=True)
class Run:
    """Everything a run left on paper."""

    visitors: list[VisitorRecord] = field(default_factory=list)
    operators: list[OperatorRecord] = field(default_factory=list)
    house: House = field(default_factory=House)
    absent: list[str] = field(default_factory=list)
    """What did not come (back) in time: a crowd, an answer, a fault that was planned."""
    trials: int = 0
