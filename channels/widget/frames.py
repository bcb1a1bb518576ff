"""The frames of `/ws/visitor?line=SLUG`: what a site visitor's browser and the server say to each other.

JSON text frames, one object each, the tag in `t`. The TypeScript in web/shared is generated from this module.

    visitor                          server
    hello(token?, since, page…)  →
                                 ←   welcome(token, history…)
    say(id, text)                →
                                 ←   ack(id, seq, at)           stored: it survives any crash
                                 ←   message(seq, …)            an answer, or own words from another tab
    seen(upto, read)             →                              no reply
    details(id, name, …)         →
                                 ←   ack(id, seq, at)
    press(id, value)             →                              a button of a message
                                 ←   ack(id, seq, at)
    callback(id, phone, at?)     →                              they want to be called
                                 ←   promised(id, phone, at)    stored: it is in the line's queue
                                 ←   hours(ask, …)              the line has opened or closed
    older(before)                →
                                 ←   history(messages, more)
    ping                         →
                                 ←   pong
                                 ←   refused(id, code, text, retry_after?)   that frame was not accepted, the socket stays
                                 ←   error(code, text, retry_after?)         followed by a close

`seq` orders a conversation and only grows. A client says as `since` the highest of its last `welcome` and of every `message` after it that
is not `me`: the visitor's own words are shown at once, while an answer with a lower `seq` may still be on its way. `id` is the client's own
UUID of a frame: the same id again with the same content is answered with the first ack and stored once, with other content it is refused
`id_used`.

Close codes: 4400 a frame that cannot be read; 4401 the token is wrong (forget it and come again without); 4404 no such line;
4408 no hello within 5 s; 4409 this visitor's history went to too slow a reader (resume); 4429 too many; 1009 a frame over
64 KiB; 1012 the server restarts (resume with jitter). A foreign Origin is refused with HTTP 403 before the socket opens.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Id = Annotated[str, Meta(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
Short = Annotated[str, Meta(max_length=200)]
Place = Annotated[int, Meta(ge=0, le=2**53)]
"""A `seq`: no larger than a browser's numbers can be, which no conversation reaches."""
Url = Annotated[str, Meta(max_length=2048)]


class _In(msgspec.Struct, frozen=True, tag_field="t", forbid_unknown_fields=True):
    """A frame from the visitor."""


class Hello(_In, frozen=True, tag="hello"):
    """The first frame: who is here (a token from an earlier visit) and where they look."""

    token: Annotated[str, Meta(max_length=300)] | None = None
    since: Place = 0
    lang: Annotated[str, Meta(max_length=35)] = ""
    page: Url = ""
    title: Short = ""
    referrer: Url = ""
    utm: Annotated[dict[Annotated[str, Meta(max_length=40)], Short], Meta(max_length=12)] = {}


class Say(_In, frozen=True, tag="say"):
    """The visitor writes. *text* is 1..8,000 characters after trimming (longer: refused `too_long`)."""

    id: Id
    text: str
    page: Url = ""


class Details(_In, frozen=True, tag="details"):
    """The pre-chat form, or a later correction of it."""

    id: Id
    name: Short = ""
    email: Short = ""
    phone: Short = ""


class Press(_In, frozen=True, tag="press"):
    """The visitor presses the button *value* of the newest message."""

    id: Id
    value: Annotated[str, Meta(max_length=64)]


class Callback(_In, frozen=True, tag="callback"):
    """The visitor wants to be called: at *at*, epoch milliseconds, at most 30 days ahead; 0: as soon as somebody can."""

    id: Id
    phone: Short
    name: Short = ""
    at: Place = 0


class Seen(_In, frozen=True, tag="seen"):
    """Everything up to *upto* has arrived; *read*: and was on a visible screen."""

    upto: Annotated[int, Meta(ge=1, le=2**53)]
    read: bool = False


class Typing(_In, frozen=True, tag="typing"):
    """The visitor is writing; nobody keeps this."""


class Older(_In, frozen=True, tag="older"):
    """Give the page of history before *before*."""

    before: Annotated[int, Meta(ge=1, le=2**53)]


class Ping(_In, frozen=True, tag="ping"):
    """Are you there? Sent every 25 s when nothing else was."""


VisitorFrame = Hello | Say | Details | Press | Callback | Seen | Typing | Older | Ping


class _Out(msgspec.Struct, frozen=True, tag_field="t", omit_defaults=True):
    """A frame from the server."""


class Button(msgspec.Struct, frozen=True):
    """A button beneath a message; *value* is what a `press` says."""

    label: str
    value: str


class Shown(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message as the visitor may see it. *who*: `me`, `operator` or `system`; *at*: epoch milliseconds."""

    seq: int
    who: Literal["me", "operator", "system"]
    text: str
    at: int
    name: str = ""
    id: str = ""
    """For `me`: the client's id of the `say` frame."""
    buttons: tuple[Button, ...] = ()
    """To be shown while this is the newest message; of earlier ones they are not told."""


class Welcome(_Out, frozen=True, tag="welcome"):
    """Who you are, what the line looks like, and what you have not seen: `history` holds seq > since, at most 100, the newest."""

    token: str
    line: str
    language: str
    ask: tuple[Literal["name", "email", "phone"], ...]
    """Which fields the pre-chat form has; empty: no form."""
    known: tuple[Literal["name", "email", "phone"], ...]
    """Which of them we already have."""
    required: tuple[Literal["name", "email", "phone"], ...]
    history: tuple[Shown, ...]
    gap: bool
    """True: more than 100 were missed; forget what was shown and begin with `history`, reach the rest by `older`."""
    more: bool
    """True: there is earlier history than the first of `history`."""
    state: Literal["none", "waiting", "active", "closed"]
    operator: str = ""
    text_max: int = 8_000
    reach: bool = False
    """True: beside what is required, an e-mail or a phone is, whichever they like."""
    opens_at: int = 0
    """When the line opens, epoch milliseconds; 0: it is open, or nobody knows."""
    callback: bool = False
    """True: they may ask to be called."""


class Ack(_Out, frozen=True, tag="ack"):
    """The frame *id* is stored under *seq*."""

    id: str
    seq: int
    at: int


class Promised(_Out, frozen=True, tag="promised"):
    """They will be called at *phone*, as it is dialled, once *at* has come, epoch milliseconds; 0: as soon as somebody can."""

    id: str
    phone: str
    at: int = 0


class Message(_Out, frozen=True, tag="message"):
    """A message that is new to this socket."""

    message: Shown


class History(_Out, frozen=True, tag="history"):
    """A page of earlier messages, oldest first."""

    messages: tuple[Shown, ...]
    more: bool


class State(_Out, frozen=True, tag="state"):
    """Where the session stands, and who answers."""

    state: Literal["none", "waiting", "active", "closed"]
    operator: str = ""


class Hours(_Out, frozen=True, tag="hours"):
    """The line has opened or closed: what the form asks for from now on, and when we open. As in `welcome`."""

    ask: tuple[Literal["name", "email", "phone"], ...]
    reach: bool = False
    opens_at: int = 0


class OperatorTyping(_Out, frozen=True, tag="typing"):
    """Somebody is writing an answer."""

    name: str = ""


class Refused(_Out, frozen=True, tag="refused"):
    """That frame was not accepted.

    Codes: empty, too_long, bad_details, details_required, no_button, too_many, full, unavailable, id_used; of a callback also no_callback
    (there is none here), bad_phone, bad_time, called_already (calls to that number wait, or were many today), too_many_calls (from here).
    """

    id: str
    code: str
    text: str
    retry_after: float = 0


class Error(_Out, frozen=True, tag="error"):
    """The socket will be closed. Codes: bad_frame, bad_token, no_line, hello_first, too_many, slow."""

    code: str
    text: str
    retry_after: float = 0


class Pong(_Out, frozen=True, tag="pong"):
    """Here."""


ServerFrame = Welcome | Ack | Promised | Message | History | State | Hours | OperatorTyping | Refused | Error | Pong
