"""What becomes of messages that are there: which of them are to say what, by what came in."""

from __future__ import annotations

import msgspec

from broker import extras
from broker.domain import TEXT_MAX, ChannelId, ConversationId, to_us
from broker.events import Changed, ContactDetails, Deleted, Event, MessageChanged, Moved, Reach, ReachChanged, Reacted, Wrote
from broker.extras import Extra
from broker.inbound import said
from broker.inbound.said import Said
from broker.ports import Tx

MOVES_MS = 60_000
"""How often a place that moves is told anew."""
Change = tuple[Said, str, Extra, str]
"""A message, its words and what is beside them from now on, and what has changed, in a word."""


class More(msgspec.Struct, frozen=True):
    """What comes after the first of an album, for the message that is there."""

    there: Said
    text: str
    extra: Extra
    ref: str


def as_it_is_here(tx: Tx, channel_id: ChannelId, key: str, what: Changed | Wrote) -> Changed | Wrote | More:
    """Return what it is by what is here already: the next of an album is added to it, and what we never had is new."""
    if isinstance(what, Changed):
        if said.named(tx, channel_id, what.ref) is not None:
            return what
        return Wrote(
            what.text, ref=what.ref, extra=msgspec.structs.replace(what.extra or Extra(), edited_ms=to_us(tx.now) // 1000)
        )
    there = said.named(tx, channel_id, album_ref(key, what.album)) if what.album else None
    return what if there is None else More(there, what.text, extras.limited(what.extra or Extra()), what.ref)


def album_ref(key: str, album: str) -> str:
    return f"album:{key}:{album}"


def changes_of(
    tx: Tx,
    channel_id: ChannelId,
    conversation_id: ConversationId,
    unreachable: str,
    what: Changed | Deleted | Reacted | Reach | Moved | More,
) -> tuple[list[Change], Event | None]:
    """Return which messages are to say what, and the event that tells of it; None: of nothing that was said in this conversation."""
    now_ms = to_us(tx.now) // 1000
    replace = msgspec.structs.replace

    def here(ref: str) -> Said | None:
        there = said.named(tx, channel_id, ref)
        return there if there is not None and there.conversation_id == conversation_id else None

    changes: list[Change] = []
    match what:
        case Reach(why=why):
            return [], ReachChanged(at=tx.now, reachable=not why) if why != unreachable else None
        case Moved():
            return [], ContactDetails(at=tx.now)
        case More(there=there, text=text, extra=more):
            files = (*there.extra.files, *more.files)
            extra = extras.limited(replace(there.extra, files=files))
            words = "\n".join(filter(None, (there.text, text)))[:TEXT_MAX]
            changes = [(there, words, replace(extra, files_left_out=extra.files_left_out + more.files_left_out), "added")]
        case Changed(ref=ref, text=text, extra=new) if (one := here(ref)) is not None:
            extra = one.extra
            here_already = [file.known_by for file in extra.files]
            told = [file.known_by for file in new.files] if new is not None else []
            if len(told) == 1 and len(here_already) > 1 and told[0] in here_already:
                text = text or one.text  # a piece of an album: nothing is said of the others
            elif new is not None and told != here_already:
                extra = replace(extra, files=extras.limited(new).files)
            if new is not None:
                extra = replace(extra, place=new.place or extra.place)
            if text != one.text:
                extra = extras.reworded(extra, one.text, now_ms)
            elif extra == one.extra:
                return [], None  # a link's preview, or a button: nothing that was said
            elif replace(extra, place=None) == replace(one.extra, place=None) and now_ms - extra.edited_ms < MOVES_MS:
                return [], None  # somebody who walks about: where they are now and then is enough
            changes = [(one, text, replace(extra, edited_ms=now_ms), "edited")]
        case Deleted(refs=refs):
            for ref in refs:
                if (one := here(ref)) is not None and not one.extra.deleted_ms:
                    changes.append((one, one.text, replace(one.extra, deleted_ms=now_ms), "deleted"))
        case Reacted(ref=ref, reactions=reactions) if (one := here(ref)) is not None:
            changes = [(one, one.text, extras.limited(replace(one.extra, reactions=reactions)), "reacted")]
    if not changes:
        return [], None
    first = changes[0]
    return changes, MessageChanged(at=tx.now, message_seq=first[0].seq, what=first[3])
