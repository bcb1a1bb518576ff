"""Where a console stands: the position in the journal it has been told up to, and a stamp of what it may see. Opaque to the console.

News tells what happened to sessions, not that a line got another name or an operator another seat: who resumes under another stamp
is given a snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from broker.access.authorize import Actor
from broker.domain import Directory
from broker.store.journal import TEXT_MAX, Position


@dataclass(frozen=True, slots=True)
class Mark:
    """A place to resume from."""

    at: Position
    stamp: str

    @classmethod
    def read(cls, text: str | None, stamp: str) -> Mark | None:
        """Return the mark that *text* is; None for one that is not ours, or was made under another stamp."""
        at, dot, made_under = (text or "").partition(".")
        position = Position.read(at) if dot and made_under == stamp and len(at) <= TEXT_MAX else None
        return cls(position, stamp) if position is not None else None

    def text(self) -> str:
        """Return the mark as the console keeps it."""
        return f"{self.at.text()}.{self.stamp}"


def stamp(actor: Actor, directory: Directory) -> str:
    """Return a short text that changes whenever what is on the screen of *actor* may change by settings."""
    seen = (
        actor.operator_id,
        actor.name,
        actor.role.value,
        actor.language,
        sorted(actor.lines) if actor.lines is not None else None,
        [(line.id, line.name) for line in directory.lines.values()],
        [(one.id, one.name) for one in directory.operators.values() if one.active],
        # Whether they can call anybody, and from where.
        [one.phone != "" for one in directory.operators.values() if one.id == actor.operator_id],
        sorted({(one.line_id, one.kind) for one in directory.channels.values() if one.active}),
        [line.id for line in directory.lines.values() if line.active],
    )
    return f"{crc32(repr(seen).encode()):08x}"
