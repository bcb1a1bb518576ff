"""Everything that can go wrong, named for what the caller can do about it.

OmnilineError
├── ConfigError            repair the configuration; the text names the key
├── BadInput               repair the request; `field` names the place
│   └── BadHours           working hours cannot be so; the text begins with the place, such as dates[3].on
├── NotFound               ask for something that exists
├── NotAuthenticated       log in
├── Forbidden              ask somebody who may
├── Conflict               look at the present state and decide again
├── TooMany                come back after `retry_after` seconds
├── TooLarge               send less: the text says how much is taken
├── NaiveTime              pass an aware datetime
├── LeaseLost              stop: another process does this now
├── IllegalTransition      a pair (status, event) is missing from the engine's table
├── SendError              what became of an outgoing message
│   ├── Rejected           the provider will never take it: tell the operator
│   │   └── Unreachable    nor anything else for this customer, until they write again
│   ├── Unavailable        nothing was sent: back off for `retry_after` seconds
│   │   └── AccessLost     nothing ever will be until an administrator has repaired the channel: `code` says what
│   └── Uncertain          it left and no answer came: only an idempotent channel may send again
└── StoreError
    ├── StoreFull          the disk is full: refused, nothing of it happened; try again later
    ├── StoreBusy          somebody else holds the database: refused, nothing of it happened; try again later
    ├── StoreMoving        the house is being moved, or has moved: refused; come back after `retry_after` seconds
    ├── StoreUncertain     the connection was lost at the commit: ask again, a repeat is recognised by its id
    ├── StoreBroken        an I/O or fsync error: the process must stop
    ├── StoreClosed        the store has been closed
    ├── StoreInUse         another process owns the data; the text names its pid
    ├── StoreTooNew        a newer version wrote the database
    └── SqliteTooOld       this SQLite has the WAL race; the text says what to install
"""

from __future__ import annotations


class OmnilineError(Exception):
    """The root of all errors that this program raises on purpose."""


class ConfigError(OmnilineError):
    """A setting is missing, unknown or wrong; the text names the key and what to do."""


class BadInput(OmnilineError):
    """A request cannot be understood or breaks a limit."""

    def __init__(self, text: str, *, field: str | None = None, code: str = "bad_input") -> None:
        super().__init__(text)
        self.field = field
        self.code = code


class BadHours(BadInput):
    """Hours, shifts or leave contradict themselves or the calendar; *what* is the text without its place."""

    def __init__(self, what: str, *, field: str | None = None) -> None:
        super().__init__(f"{field}: {what}" if field else what, field=field, code="bad_hours")
        self.what = what

    def at(self, place: str) -> BadHours:
        """Return the same fault with *place*, a key or `[3]`, before its own."""
        inner = self.field or ""
        return BadHours(self.what, field=place + ("." if inner and not inner.startswith("[") else "") + inner)


class NotFound(OmnilineError):
    """The named thing does not exist, or the asker may not know that it does."""


class NotAuthenticated(OmnilineError):
    """Nobody is logged in, or the login has ended."""


class Forbidden(OmnilineError):
    """The actor is known and may not do this."""


class Conflict(OmnilineError):
    """The thing has changed meanwhile, or its name is taken."""

    def __init__(self, text: str, *, code: str = "conflict") -> None:
        super().__init__(text)
        self.code = code


class TooMany(OmnilineError):
    """A limit was reached; *retry_after* is in seconds."""

    def __init__(self, text: str, *, retry_after: float, code: str = "too_many") -> None:
        super().__init__(text)
        self.retry_after = retry_after
        self.code = code


class TooLarge(OmnilineError):
    """There is more than may be taken."""


class NaiveTime(OmnilineError):
    """A datetime without a zone was passed."""


class LeaseLost(OmnilineError):
    """What this process believed to hold is another's; nothing of the transaction happened."""


class IllegalTransition(OmnilineError):
    """The engine's table has no row for this pair of status and event."""


class SendError(OmnilineError):
    """Sending did not end with a provider's id."""


class Rejected(SendError):
    """The provider refused for good; *code* is its reason, shown to the operator."""

    def __init__(self, text: str, *, code: str = "rejected") -> None:
        super().__init__(text)
        self.code = code


class Unreachable(Rejected):
    """The customer takes our messages no more; *code*: blocked, denied, left."""


class Unavailable(SendError):
    """Nothing was sent; *retry_after* is in seconds, None for our own back-off."""

    def __init__(self, text: str, *, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class AccessLost(Unavailable):
    """The provider lets us in no more: an administrator must act. *code* is a key of the console's sentences, such as `token_revoked`."""

    def __init__(self, text: str, *, code: str, retry_after: float | None = None) -> None:
        super().__init__(text, retry_after=retry_after)
        self.code = code


class Uncertain(SendError):
    """The bytes left and no answer came."""


class StoreError(OmnilineError):
    """The store could not do what was asked."""


class StoreFull(StoreError):
    """No space is left; nothing of the transaction happened."""


class StoreBusy(StoreError):
    """The database could not be used just now; nothing of the transaction happened."""


class StoreMoving(StoreError):
    """The house is on its way to another database, or there already; *retry_after* is in seconds."""

    def __init__(self, text: str, *, retry_after: float) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class StoreUncertain(StoreError):
    """The answer to the commit was lost and cannot be learnt: it happened, or nothing of it did."""


class StoreBroken(StoreError):
    """The disk failed; what is on it is unknown until the database is reopened."""


class StoreClosed(StoreError):
    """The store has been closed."""


class StoreInUse(StoreError):
    """Another process owns the data folder."""


class StoreTooNew(StoreError):
    """The database has a schema that this version does not know."""


class SqliteTooOld(StoreError):
    """The SQLite library is older than 3.51.3 and may corrupt a WAL database."""
