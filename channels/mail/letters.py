"""What a letter is once it has been read: plain values, made by channels.mail.mime."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Address:
    """One correspondent: a name as people read it, "" if there is none, and an address as it was sent."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class File:
    """Something that came along. *inline*: the letter's HTML shows it, by *content_id* (without the angle brackets)."""

    name: str
    media_type: str
    content: bytes
    content_id: str
    inline: bool


@dataclass(frozen=True, slots=True)
class Signs:
    """The headers by which programs tell that they are programs, lower-case where case means nothing; "" is absent."""

    auto_submitted: str = ""
    precedence: str = ""
    list_id: str = ""
    list_unsubscribe: str = ""
    x_auto_response_suppress: str = ""
    x_autoreply: str = ""
    x_failed_recipients: str = ""
    return_path: str | None = None
    """The address without the brackets; "" is the null path `<>`, None is no such header."""
    report_type: str = ""
    """Of multipart/report: delivery-status, disposition-notification, feedback-report."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """An invitation. The times are as given in the iCalendar text, with no zone worked out."""

    method: str
    summary: str
    start: str
    end: str
    organizer: str


@dataclass(frozen=True, slots=True)
class Returned:
    """One recipient who did not get our letter. *action* is failed or delayed; *status* is like 5.1.1, or ""."""

    address: str
    action: str
    status: str
    diagnostic: str


@dataclass(frozen=True, slots=True)
class Bounce:
    """A report that a letter was not delivered; *recipients* may be empty when it does not say to whom."""

    recipients: tuple[Returned, ...]
    original_message_id: str


@dataclass(frozen=True, slots=True)
class Mail:
    """A whole letter. Message ids are without their angle brackets; lists are in the order of the letter."""

    message_id: str = ""
    in_reply_to: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    date: datetime | None = None
    """Aware; None when no header tells it."""
    from_: Address = Address("", "")
    sender: Address | None = None
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    delivered_to: tuple[str, ...] = ()
    """Addresses only: Delivered-To, X-Original-To and Envelope-To."""
    subject: str = ""
    text: str = ""
    """The words: of text/plain, or made from the HTML. Lines end with a line feed."""
    html: str = ""
    """As it came, decoded and not cleaned: channels.mail.html.safe makes it fit to show."""
    files: tuple[File, ...] = ()
    signs: Signs = field(default_factory=Signs)
    calendar: Calendar | None = None
    bounce: Bounce | None = None
    problems: tuple[str, ...] = ()
    """What was wrong with it, a sentence each."""
    cut: bool = False
    """Something was left out because it was too much; *problems* says what."""
