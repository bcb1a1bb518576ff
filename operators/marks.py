"""Where a console stands: the journal's row it has been told up to, and a stamp of what it may see. Opaque to the console.

News tells what happened to sessions, not that a line got another name or an operator another seat: who resumes under another stamp
is given a snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

from broker.access.authorize import Actor
from broker.domain import Directory


@dataclass(frozen=True, slots=True)
class Mark:
    """A place to resume from."""

    at: int
    stamp: str

    @classmethod
    def read(cls, text: str | None, stamp: str) -> Mark | None:
        """Return the mark that *text* is; None for one that is not ours, or was made under another stamp."""
        at, dot, made_under = (text or "").partition(".")
        if not dot or made_under != stamp or not (at.isascii() and at.isdigit()) or len(at) > 18:
            return None
        return cls(int(at), stamp)

    def text(self) -> str:
        """Return the mark as the console keeps it."""
        return f"{self.at}.{self.stamp}"


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
    )
    return f"{crc32(repr(seen).encode()):08x}"
