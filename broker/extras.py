"""What a message has beside its words: files, what it answers, where it was forwarded from, what became of it afterwards.

Pure. An adapter makes an `Extra` of what its provider tells; it stands with the message as canonical JSON, and nothing in it is trusted:
names and texts are the customer's. Files come by themselves later (`broker.fetching`): until then they are *awaited*.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from broker.domain import NAME_MAX, TEXT_MAX

FILES_MAX = 50
"""Files of one message; what is above is told as a number."""
VERSIONS_MAX = 20
"""Earlier wordings of one message; what was said first is kept in any case."""
QUOTED_MAX = 300
"""Characters of a quoted message that are shown above the answer."""


class FileKind(StrEnum):
    """What a file is to a person."""

    PHOTO = "photo"
    VIDEO = "video"
    VOICE = "voice"
    AUDIO = "audio"
    ANIMATION = "animation"
    STICKER = "sticker"
    DOCUMENT = "document"


class FileState(StrEnum):
    """Whether a file is here."""

    AWAITED = "awaited"
    READY = "ready"
    TOO_LARGE = "too_large"
    """For its provider or for us: it can be looked at where it was sent only."""
    GONE = "gone"
    """Its provider gives it no more, or never did."""


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of a message. *ref*: the provider's name of it, by which it is fetched; *id*: ours (`files.id`), once it is here."""

    kind: FileKind
    state: FileState = FileState.AWAITED
    name: str = ""
    media_type: str = ""
    size: int = 0
    """Bytes; 0: not known."""
    seconds: int = 0
    width: int = 0
    height: int = 0
    ref: str = ""
    origin: str = ""
    """By which its provider knows the same file again; empty: by its ref."""
    id: str = ""
    preview: bool = False
    """A picture of it can be shown."""
    problem: str = ""
    """Why it is not here, in words."""

    @property
    def known_by(self) -> str:
        """Return what tells it from other files of its provider."""
        return self.origin or self.ref


class Quote(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the message answers. *seq* 0: a message that we do not have."""

    seq: int = 0
    text: str = ""
    name: str = ""


class Place(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place on the map, in degrees."""

    latitude: float
    longitude: float
    title: str = ""
    address: str = ""


class SharedContact(msgspec.Struct, frozen=True, omit_defaults=True):
    """A person's card; *own*: the provider vouches that it is the writer's."""

    name: str = ""
    phone: str = ""
    own: bool = False


class Version(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a message said before; *until_ms*: when that changed, epoch milliseconds."""

    text: str
    until_ms: int


class Extra(msgspec.Struct, frozen=True, omit_defaults=True):
    """See the module."""

    files: tuple[Attachment, ...] = ()
    files_left_out: int = 0
    quote: Quote | None = None
    forwarded_from: str = ""
    place: Place | None = None
    shared: SharedContact | None = None
    author: str = ""
    """Who of several people in the conversation wrote it."""
    reactions: tuple[str, ...] = ()
    """What the customer thinks of it, as signs."""
    versions: tuple[Version, ...] = ()
    """The oldest first."""
    edited_ms: int = 0
    deleted_ms: int = 0
    asks_phone: bool = False
    """It shows the customer a button that tells their phone."""
    what: str = ""
    """Of something else than words and files: what it is, as `poll` or `dice`, in the provider's own word."""
    elsewhere: bool = False
    """Our side said it, but not here: in the provider's own program."""

    def __bool__(self) -> bool:
        return self != NOTHING


NOTHING = Extra()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Extra).decode


def written(extra: Extra | None) -> str | None:
    """Return *extra* as it is kept; None for nothing."""
    return _encode(extra).decode() if extra else None


def read(kept: str | None) -> Extra:
    """Return what is kept as *kept*."""
    return _decode(kept) if kept else NOTHING


def limited(extra: Extra) -> Extra:
    """Return *extra* within every limit, without signs that no text can hold."""
    return msgspec.structs.replace(
        extra,
        files=tuple(_limited_file(one) for one in extra.files[:FILES_MAX]),
        files_left_out=extra.files_left_out + max(0, len(extra.files) - FILES_MAX),
        quote=_limited_quote(extra.quote) if extra.quote is not None else None,
        forwarded_from=cut(extra.forwarded_from),
        place=extra.place
        and msgspec.structs.replace(extra.place, title=cut(extra.place.title), address=cut(extra.place.address)),
        shared=extra.shared
        and msgspec.structs.replace(extra.shared, name=cut(extra.shared.name), phone=cut(extra.shared.phone, 40)),
        author=cut(extra.author),
        what=cut(extra.what, 40),
        reactions=tuple(cut(one, 40) for one in extra.reactions[:10]),
    )


def _limited_file(file: Attachment) -> Attachment:
    return msgspec.structs.replace(
        file,
        name=cut(file.name),
        media_type=cut(file.media_type, 100),
        ref=storable(file.ref[:4_000]),
        origin=storable(file.origin[:4_000]),
        size=min(max(file.size, 0), 2**53),
        seconds=min(max(file.seconds, 0), 10**9),
        width=min(max(file.width, 0), 10**6),
        height=min(max(file.height, 0), 10**6),
        problem=cut(file.problem, TEXT_MAX),
    )


def _limited_quote(quote: Quote) -> Quote:
    return msgspec.structs.replace(quote, text=cut(quote.text, QUOTED_MAX), name=cut(quote.name))


def storable(text: str) -> str:
    """Return *text* without what no database and no socket takes: NUL, and half of a character."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


def cut(text: str, most: int = NAME_MAX) -> str:
    """Return the beginning of *text* that can be stored."""
    return storable(text[:most]).strip()


def reworded(extra: Extra, before: str, at_ms: int) -> Extra:
    """Return *extra* of a message that said *before* until *at_ms*."""
    versions = (*extra.versions, Version(before, at_ms))
    if len(versions) > VERSIONS_MAX:
        versions = (versions[0], *versions[-VERSIONS_MAX + 1 :])
    return msgspec.structs.replace(extra, versions=versions, edited_ms=at_ms)
