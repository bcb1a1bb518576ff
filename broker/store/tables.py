"""Every table, its indexes and which wing writes it.

Portable by rule: ids are text (UUIDv7), moments are integers (microseconds since 1970 UTC, `_us`), documents are JSON text,
truths are 0 or 1. The same statements run on SQLite and PostgreSQL. `journal.id` alone is a growing integer.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

OWNERS: dict[str, str] = {}
"""Table name -> the package that alone writes it."""

# On PostgreSQL text is ordered as on SQLite, byte by byte, whatever the database's language: order is for locks and cursors, not for eyes.
_Id = String(36).with_variant(String(36, collation="C"), "postgresql")
_Text = Text().with_variant(Text(collation="C"), "postgresql")
# SQLite gives an INTEGER PRIMARY KEY a rowid only under that exact name.
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _table(owner: str, name: str, *parts: Any, **dialect: Any) -> Table:
    OWNERS[name] = owner
    return Table(name, metadata, *parts, **dialect)


def _id(name: str, *, primary: bool = False, null: bool = False, ref: str | None = None) -> Column[object]:
    foreign = (ForeignKey(ref),) if ref else ()
    return Column(name, _Id, *foreign, primary_key=primary, nullable=null)


def _us(name: str, *, null: bool = False) -> Column[object]:
    return Column(name, BigInteger, nullable=null)


def _text(name: str, *, null: bool = False, default: str | None = None) -> Column[object]:
    return Column(name, _Text, nullable=null, server_default=default)


def _int(name: str, *, null: bool = False, default: int | None = None) -> Column[object]:
    return Column(name, BigInteger, nullable=null, server_default=None if default is None else text(str(default)))


def _flag(name: str, *, default: int = 0) -> Column[object]:
    return Column(name, SmallInteger, nullable=False, server_default=text(str(default)))


# --- operators: people and settings

operators = _table(
    "operators",
    "operators",
    _id("id", primary=True),
    _text("login"),
    _text("name"),
    _text("role"),
    _text("password_hash"),
    _flag("password_generated"),
    _flag("active", default=1),
    _text("language", default="en"),
    _text("hours", null=True),  # shifts, leave and breaks, JSON (broker.hours)
    _text("languages", default="[]"),  # those they can answer in, JSON
    _text("skills", default="[]"),  # tags, JSON
    _text("phone", default=""),  # where calls ring: an endpoint of the telephone exchange or a number; empty: nowhere
    _us("created_us"),
    _us("changed_us"),
    Index("uq_operators_login", "login", unique=True),
)
lines = _table(
    "operators",
    "lines",
    _id("id", primary=True),
    _text("slug"),
    _text("name"),
    _int("version"),
    _text("settings"),
    _flag("active", default=1),
    Index("uq_lines_slug", "slug", unique=True),
)
channels = _table(
    "operators",
    "channels",
    _id("id", primary=True),
    _id("line_id", ref="lines.id"),
    _text("slug"),
    _text("kind"),
    _text("name"),
    _text("settings"),
    _flag("active", default=1),
    _int("version", default=1),
    Index("uq_channels_slug", "slug", unique=True),
    Index("ix_channels_line", "line_id"),
)
# What callers hear that is not of the telephone exchange: whoever is beside one writes it into its folder.
sounds = _table(
    "operators",
    "sounds",
    Column("slug", _Text, primary_key=True),  # by which settings name it
    _text("digest"),  # of what is heard
    _int("milliseconds"),
    _int("music", default=0),  # its place among the classes of music on hold, from 1; 0: it is none
    _us("changed_us"),
    Column("wav", LargeBinary, nullable=False),  # the last: what stands behind it would be reached through all of it
)
seats = _table(
    "operators",
    "seats",
    Column("line_id", _Id, ForeignKey("lines.id"), primary_key=True),
    Column("operator_id", _Id, ForeignKey("operators.id"), primary_key=True),
    _int("position"),
    Index("ix_seats_operator", "operator_id"),
)
presence = _table(
    "operators",
    "presence",
    Column("operator_id", _Id, ForeignKey("operators.id"), primary_key=True),
    _text("state"),
    _us("since_us"),
)
consoles = _table(
    "operators",
    "consoles",
    Column("operator_id", _Id, ForeignKey("operators.id"), primary_key=True),
    Column("process_id", _Id, primary_key=True),  # where they have a console open; a dead process's rows are removed by another
    Index("ix_consoles_process", "process_id"),
)
pins = _table(
    "operators",
    "pins",
    Column("operator_id", _Id, ForeignKey("operators.id"), primary_key=True),
    Column("session_id", _Id, ForeignKey("sessions.id"), primary_key=True),
    _us("pinned_us"),
    sqlite_with_rowid=False,
)
reviews = _table(
    "operators",
    "reviews",
    Column("session_id", _Id, ForeignKey("sessions.id"), primary_key=True),
    _id("operator_id", ref="operators.id"),  # who wrote it
    _int("stars"),  # 1 to 5
    _text("comment", default=""),
    _us("at_us"),
)

# --- broker.access

logins = _table(
    "broker.access",
    "logins",
    Column("token_hash", String(64), primary_key=True),
    _id("operator_id", ref="operators.id"),
    _us("created_us"),
    _us("seen_us"),
    _us("ends_us"),
    _text("address", default=""),
    _text("agent", default=""),
    Index("ix_logins_operator", "operator_id"),
)
login_failures = _table(
    "broker.access",
    "login_failures",
    Column("key", String(300), primary_key=True),
    _int("count"),
    _us("until_us"),
)

# --- broker.inbound: who writes, where, and what came in

contacts = _table(
    "broker.inbound",
    "contacts",
    _id("id", primary=True),
    _text("name", default=""),
    _text("language", default=""),
    _int("priority", default=0),
    _id("responsible_id", null=True, ref="operators.id"),
    _id("merged_into", null=True),
    _us("banned_us", null=True),  # since when what they write opens no session
    _us("created_us"),
    _us("changed_us"),
    _text("avatar", default=""),  # sha256 of their picture, made anew by us; empty: none
)
contact_points = _table(
    "broker.inbound",
    "contact_points",
    _id("id", primary=True),
    _id("contact_id", ref="contacts.id"),
    _text("kind"),
    Column("scope", _Id, nullable=False, server_default=""),  # the channel of an identity; empty: valid everywhere
    _text("value"),
    _text("written", default=""),  # as the person wrote it
    _text("evidence", default=""),  # form, message, identity
    _us("created_us"),
    Index("uq_contact_points", "kind", "scope", "value", unique=True),
    Index("ix_contact_points_contact", "contact_id"),
)
duplicates = _table(
    "broker.inbound",
    "duplicates",
    Column("contact_id", _Id, ForeignKey("contacts.id"), primary_key=True),  # who wrote what is another's
    Column("other_id", _Id, ForeignKey("contacts.id"), primary_key=True),  # whose it is
    Column("kind", _Text, primary_key=True),  # phone, email
    Column("value", _Text, primary_key=True),
    _text("evidence"),  # how it came: form, message, vouched
    _us("at_us"),
    _us("dismissed_us", null=True),  # since when they are known to be two people
    Index("ix_duplicates_other", "other_id"),
    sqlite_with_rowid=False,
)
conversations = _table(
    "broker.inbound",
    "conversations",
    _id("id", primary=True),
    _id("channel_id", ref="channels.id"),
    _text("key"),
    _id("contact_id", ref="contacts.id"),
    _id("session_id", null=True),
    _int("last_seq", default=0),  # the one counter of inputs and messages
    _int("input_seq", default=0),  # the last input's
    _int("worked_seq", default=0),  # the last input that was decided
    _int("journal_seq", default=0),
    _text("source", default="{}"),
    _text("told_name", default=""),  # the name that the customer gave here; the contact's may be what somebody else gave
    _text("told", default=""),  # which ways to reach them they gave here: kinds, with spaces between
    _int("claimed", default=0),  # the contact is theirs by a phone or e-mail they typed, which proves nothing
    _us("created_us"),
    _text("unreachable", default=""),  # why the customer takes our messages no more; empty: as far as is known they do
    Index("uq_conversations_key", "channel_id", "key", unique=True),
    Index("ix_conversations_contact", "contact_id"),
    Index(
        "ix_conversations_undecided",
        "id",
        sqlite_where=text("input_seq > worked_seq"),
        postgresql_where=text("input_seq > worked_seq"),
    ),
    sqlite_with_rowid=False,
)
inputs = _table(
    "broker.inbound",
    "inputs",
    Column("origin", _Id, primary_key=True),  # a channel's id, or console, timer, presence
    Column("external_id", _Text, primary_key=True),
    _id("id"),
    _id("conversation_id", null=True),
    _int("seq", null=True),
    _text("event", null=True),  # canonical JSON; null while nobody could parse it
    Column("raw", LargeBinary, nullable=False),
    _us("at_us"),
    _text("dead", null=True),  # why nobody could parse or decide it
    Index("uq_inputs_seq", "conversation_id", "seq", unique=True),
    Index("ix_inputs_dead", "id", sqlite_where=text("dead IS NOT NULL"), postgresql_where=text("dead IS NOT NULL")),
)
channel_cursors = _table(
    "broker.inbound",
    "channel_cursors",
    Column("channel_id", _Id, ForeignKey("channels.id"), primary_key=True),
    _text("cursor"),
)
channel_health = _table(
    "broker.receiving",
    "channel_health",
    Column("channel_id", _Id, ForeignKey("channels.id"), primary_key=True),
    _text("state"),  # well, waiting, refused (broker.store.health)
    _text("code", default=""),
    _text("problem", default=""),  # in words for an administrator
    _us("since_us"),  # when that state began
    _us("well_us", null=True),  # when its provider was last heard
    _us("came_us", null=True),  # when something last came from a customer, to a minute
)
messages = _table(
    "broker.inbound",
    "messages",
    Column("conversation_id", _Id, ForeignKey("conversations.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _id("id"),
    _id("session_id", null=True),
    _text("kind"),
    _text("author"),
    _id("operator_id", null=True),
    _text("text"),
    _text("client_id", default=""),
    _text("fate"),
    _text("problem", default=""),  # why it failed or is in doubt, for the operator
    _us("at_us"),
    _text("extra", null=True),  # what it has beside its words, JSON (broker.extras); null: nothing
    sqlite_with_rowid=False,
)
message_refs = _table(
    "broker.inbound",
    "message_refs",
    Column("channel_id", _Id, ForeignKey("channels.id"), primary_key=True),
    Column("ref", _Text, primary_key=True),  # a provider's name of a message, of an album, or of one of several it was sent as
    _id("conversation_id", ref="conversations.id"),
    _int("seq"),
    sqlite_with_rowid=False,
)
fetches = _table(
    "broker.fetching",
    "fetches",
    _id("id", primary=True),
    _id("channel_id", ref="channels.id"),
    _id("conversation_id", ref="conversations.id"),
    _int("seq", null=True),  # the message whose file is awaited; null: who the customer is
    _int("no", default=0),  # which file of it
    _text("ref"),  # what its provider calls it
    _int("attempt", default=0),
    _us("due_us"),
    _text("problem", default=""),  # why it did not come the last time
    _us("created_us"),
    Index("ix_fetches_due", "due_us"),
    Index("ix_fetches_message", "conversation_id", "seq"),
)
pool_marks = _table(
    "broker.inbound",
    "pool_marks",
    Column("id", _Serial, primary_key=True, autoincrement=True),
    _id("line_id"),
    _text("reason"),
    _flag("seats"),  # 1: a seat was added, freed or came online
    _id("session_id", null=True),  # a session that waits, whose customer is to be told when nobody can be asked
    _us("at_us"),
    Index("ix_pool_marks_line", "line_id"),
    sqlite_autoincrement=True,
)
files = _table(
    "broker.files",
    "files",
    _id("id", primary=True),
    Column("sha256", String(64), nullable=False),
    _text("name"),
    _text("media_type"),
    _int("size"),
    _id("conversation_id", null=True),
    _us("created_us"),
    _text("kind", default="document"),  # what it is to a person (broker.extras.FileKind)
    _text("preview", default=""),  # sha256 of a picture of it, made anew by us; empty: none can be shown
    _int("width", default=0),
    _int("height", default=0),
    _id("operator_id", null=True),  # who uploaded it; null: it came from outside
    Index("ix_files_conversation", "conversation_id"),
    Index("ix_files_sha256", "sha256"),
)

# --- broker.outbound, broker.timers, the journal

outbox = _table(
    "broker.outbound",
    "outbox",
    _id("id", primary=True),
    _id("conversation_id", ref="conversations.id"),
    _int("seq"),
    _id("channel_id", ref="channels.id"),
    _id("message_id", null=True),
    _text("state"),  # queued, sending, sent, unconfirmed, failed, cancelled
    _int("attempt", default=0),
    _text("owner", default=""),
    _int("fence", default=0),
    _us("due_us"),
    _us("lease_us", null=True),
    _text("external_id", null=True),
    _text("problem", default=""),
    _us("created_us"),
    _text("buttons", null=True),  # what the customer may press instead of writing, JSON (broker.ports.Button)
    _text("does", default="send"),  # send; reword, take_back: change what was sent as the message target_seq
    _int("target_seq", null=True),
    Index("uq_outbox_seq", "conversation_id", "seq", unique=True),
    Index(
        "ix_outbox_open",
        "due_us",
        sqlite_where=text("state IN ('queued', 'sending')"),
        postgresql_where=text("state IN ('queued', 'sending')"),
    ),
    Index(
        "ix_outbox_queue",
        "conversation_id",
        "seq",
        sqlite_where=text("state IN ('queued', 'sending')"),
        postgresql_where=text("state IN ('queued', 'sending')"),
    ),
    Index(
        "uq_outbox_in_flight",
        "conversation_id",
        unique=True,
        sqlite_where=text("state = 'sending'"),
        postgresql_where=text("state = 'sending'"),
    ),
    Index(
        "ix_outbox_unconfirmed",
        "created_us",
        "id",
        sqlite_where=text("state = 'unconfirmed'"),
        postgresql_where=text("state = 'unconfirmed'"),
    ),
)
timers = _table(
    "broker.timers",
    "timers",
    _id("id", primary=True),
    _text("owner_kind"),  # conversation, operator, line, shift
    Column("owner_id", _Id, nullable=False),
    _text("name"),
    _us("due_us"),
    _text("event"),  # what is entered when it falls due
    Index("uq_timers_name", "owner_kind", "owner_id", "name", unique=True),
    Index("ix_timers_due", "due_us"),
)
journal = _table(
    "broker.store",
    "journal",
    Column("id", _Serial, primary_key=True, autoincrement=True),
    _id("conversation_id", null=True),
    _int("seq", null=True),
    _id("session_id", null=True),
    _id("line_id", null=True),
    _text("kind"),  # an event's type, or distribution, message, fate, presence, contact, lead, hours, alert, pin, review
    _int("input_seq", null=True),  # the input that caused it
    _int("message_seq", null=True),  # the message it added or concerns
    _text("status", null=True),  # the session's, after
    _id("operator_id", null=True),  # who holds the session, after
    _us("at_us"),
    _text("body"),
    # The transaction that wrote it, by PostgreSQL's count; nothing on SQLite, where one transaction comes after the other.
    Column("xid", BigInteger, nullable=True),
    Index("uq_journal_seq", "conversation_id", "seq", unique=True),
    Index("ix_journal_xid", "xid").ddl_if(dialect="postgresql"),
    sqlite_autoincrement=True,
)
readers = _table(
    "broker.store",
    "readers",
    Column("name", String(100), primary_key=True),
    _int("cursor", default=0),
    _text("under_way", default=""),  # transactions that had not ended when it stood there (broker.store.journal.Position)
)
counters = _table(
    "broker.store",
    "counters",
    Column("name", String(100), primary_key=True),
    _int("value", default=0),
)

processes = _table(
    "broker.store",
    "processes",
    _id("id", primary=True),
    _text("roles"),
    _text("host"),
    _int("pid"),
    _text("version"),
    _us("started_us"),
    _us("seen_us"),
)
secrets = _table(
    "broker.store",
    "secrets",
    Column("name", String(100), primary_key=True),
    Column("value", LargeBinary, nullable=False),  # of several processes; one alone keeps its keys as files
)
leases = _table(
    "broker.store",
    "leases",
    Column("name", String(100), primary_key=True),  # what may run once: timers, crm, channel:<id>
    _id("holder"),  # a process
    _int("token"),  # grows with each new holder: work of an earlier one is refused
    _us("until_us"),
)

# --- routing

sessions = _table(
    "routing",
    "sessions",
    _id("id", primary=True),
    _id("conversation_id", ref="conversations.id"),
    _id("line_id", ref="lines.id"),
    _id("channel_id", ref="channels.id"),
    _id("contact_id", ref="contacts.id"),
    _text("status"),
    _id("operator_id", null=True),
    _int("rank", default=0),  # its place in the queue, ascending (routing.distribution.rank_of); 0 while it does not wait
    _int("weight", default=0),
    _int("first_seq"),  # of the message that opened it: its messages begin there
    _us("opened_us"),
    _us("queued_us", null=True),
    _us("answered_us", null=True),
    _us("closed_us", null=True),
    _us("changed_us"),
    _flag("frozen"),
    _text("outcome", default=""),
    _text("source", default="{}"),
    _text("state"),  # the engine's whole state, canonical JSON
    Index(
        "uq_sessions_open",
        "conversation_id",
        unique=True,
        sqlite_where=text("status <> 'closed'"),
        postgresql_where=text("status <> 'closed'"),
    ),
    Index(
        "ix_sessions_waiting",
        "line_id",
        "rank",
        "queued_us",
        "id",
        sqlite_where=text("status = 'queued'"),
        postgresql_where=text("status = 'queued'"),
    ),
    Index(
        "ix_sessions_operator",
        "operator_id",
        sqlite_where=text("status <> 'closed'"),
        postgresql_where=text("status <> 'closed'"),
    ),
    Index("ix_sessions_conversation", "conversation_id", "opened_us"),
    Index("ix_sessions_line", "line_id", "opened_us", "id"),
    Index("ix_sessions_contact", "contact_id", "opened_us"),
    Index("ix_sessions_opened", "opened_us", "id"),
    sqlite_with_rowid=False,
)
offers = _table(
    "routing",
    "offers",
    _id("id", primary=True),
    _id("session_id", ref="sessions.id"),
    _id("operator_id", ref="operators.id"),
    _int("offer_no"),
    _text("state"),  # open, taken, declined, ran_out, withdrawn, gone
    _us("made_us"),
    _us("until_us"),
    _us("ended_us", null=True),
    _int("distribution_id", null=True),  # the journal row with the reasons
    Index("uq_offers_no", "session_id", "offer_no", "operator_id", unique=True),
    Index(
        "ix_offers_open",
        "operator_id",
        "session_id",
        sqlite_where=text("state = 'open'"),
        postgresql_where=text("state = 'open'"),
    ),
    Index(
        "ix_offers_passed",
        "ended_us",
        "operator_id",
        "state",
        sqlite_where=text("state = 'declined' OR state = 'ran_out'"),
        postgresql_where=text("state = 'declined' OR state = 'ran_out'"),
    ),
)
session_members = _table(
    "routing",
    "session_members",
    Column("operator_id", _Id, ForeignKey("operators.id"), primary_key=True),
    Column("session_id", _Id, ForeignKey("sessions.id"), primary_key=True),  # open: they joined it, or are invited to
    sqlite_with_rowid=False,
)
budgets = _table(
    "routing",
    "budgets",
    Column("operator_id", _Id, ForeignKey("operators.id"), primary_key=True),
    _int("budget", default=100),
    _int("reserved", default=0),
    _int("calls", default=0),  # how many of what is reserved are calls that ring or talk
)
turns = _table(
    "routing",
    "turns",
    Column("line_id", _Id, primary_key=True),
    Column("operator_id", _Id, primary_key=True),
    _int("turn"),
    _us("paced_until_us", null=True),  # until when the seat is offered nothing that has waited for the opening
)
line_state = _table(
    "routing",
    "line_state",
    Column("line_id", _Id, ForeignKey("lines.id"), primary_key=True),
    _flag("open", default=1),
    _us("opens_us", null=True),  # when it opens next; null: it is open, or never opens
    _us("paced_until_us", null=True),  # until when the rest of what has waited for the opening is kept back
    _us("changed_us"),
    _int("changes", default=0),  # how often a seat of its pool was added, freed or came online
)

# --- channels

calls = _table(
    "channels",
    "calls",
    Column("conversation_id", _Id, ForeignKey("conversations.id"), primary_key=True),  # each call is its own
    _id("channel_id", ref="channels.id"),
    _text("number", default=""),  # the caller's, E.164 where it can be; empty: withheld
    _text("called", default=""),  # the number that was called
    _text("leg", default=""),  # the caller's channel, as the telephone exchange names it
    _id("process_id", null=True),  # that tells the exchange what to do with it; null: none does now
    _int("attempt", default=0),  # how often the exchange has asked: an earlier asking says no more
    _int("rung", default=0),  # the last offer for which phones were rung; written before they are
    _id("operator_id", null=True),  # who talked with the caller, the last of them
    _us("came_us"),
    _us("talk_us", null=True),  # when an operator's phone was lifted
    _us("talk_ended_us", null=True),
    _us("ended_us", null=True),  # when the exchange knew the call no more
    _text("recording", default=""),  # of the talk: a file below the folder of recordings
    _text("voicemail", default=""),  # what the caller said to the machine: likewise
    _text("problem", default=""),  # what went wrong with it, in words for an administrator
    _text("talk_leg", default=""),  # the channel of whoever talks with the caller
    _text("consult_leg", default=""),  # of the colleague who is asked about it
    _int("consult_rung", default=0),  # the last asking for which a colleague's phone was rung; written before it is
    _int("parked", default=0),  # on hold: the attempt at which both were taken apart; 0: they are not. Written before they are
    _flag("outgoing", default=0),  # we make it
    _text("uniqueid", default=""),  # of one that we make, what the exchange names it once its customer has answered
    _int("listened", default=0),  # the last wish to hear it for which a phone was rung; written before it is
    Index(
        "ix_calls_open",
        "channel_id",
        "came_us",
        sqlite_where=text("ended_us IS NULL"),
        postgresql_where=text("ended_us IS NULL"),
    ),
    # By whom they are of, or are to reach.
    Index("ix_calls_number", "number", "came_us"),
    # Those that have something to be heard: what is deleted when its time is over is not looked at again.
    Index(
        "ix_calls_sounds",
        "ended_us",
        sqlite_where=text("recording <> '' OR voicemail <> ''"),
        postgresql_where=text("recording <> '' OR voicemail <> ''"),
    ),
)

# --- crm_bridge

leads = _table(
    "crm_bridge",
    "leads",
    _id("id", primary=True),
    Column("external_id", String(80), nullable=False),  # one lead a contact until it is converted
    _id("contact_id", ref="contacts.id"),
    _id("session_id", null=True),
    _id("line_id", null=True),
    _id("responsible_id", null=True),
    _text("title"),
    _text("stage"),
    _text("source"),
    _text("source_details"),
    _us("created_us"),
    _us("changed_us"),
    Index("uq_leads_external", "external_id", unique=True),
    Index("ix_leads_created", "created_us", "id"),
    Index("ix_leads_contact", "contact_id"),
)
transcripts = _table(
    "crm_bridge",
    "transcripts",
    Column("external_id", String(80), primary_key=True),  # the session's
    _id("session_id"),
    _id("contact_id"),
    _id("lead_id", null=True),
    _text("body"),
    _flag("frozen"),
    _us("written_us"),
    Index("ix_transcripts_lead", "lead_id"),
    Index("ix_transcripts_contact", "contact_id"),
)
