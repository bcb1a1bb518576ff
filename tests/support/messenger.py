"""A channel that can all there is: files, profiles, changes of what was sent, hooks; what its payloads say is given beside them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace

from broker.domain import Capabilities, ChannelId, LineId, Person
from broker.errors import BadInput
from broker.events import (
    AnsweredOutside,
    Changed,
    Deleted,
    Incoming,
    Moved,
    Pressed,
    Reach,
    Reacted,
    Told,
    Wrote,
)
from broker.extras import Attachment, Extra, FileKind
from broker.ports import Hooked, Outbound, Profile, Raw
from tests.support.channels import PUSH, FakeChannel

MESSENGER = replace(PUSH, files_max=1_000_000, quotes=True, edits=True, deletes=True, asks_phone=True, profiles=True)
"""As most messengers are: a repeat is shown twice, and what was sent has a name."""
What = Wrote | Changed | Deleted | Reacted | Reach | Moved | AnsweredOutside | Pressed | Told


class Messenger(FakeChannel):
    """See the module."""

    kind = "messenger"
    slug = "messenger"

    def __init__(self, id_: ChannelId, line_id: LineId, capabilities: Capabilities = MESSENGER) -> None:
        super().__init__(id_, line_id, capabilities)
        self.means: dict[str, Incoming | None] = {}
        """What its payloads say, by their external ids; one that is not here cannot be read."""
        self.files: dict[str, Sequence[bytes] | Exception] = {}
        self.people: dict[str, Profile | Exception] = {}
        self.asked: list[str] = []
        """The refs of files and people that it was asked for."""
        self.faults: list[Exception] = []
        """What becomes of the next sends and changes."""
        self.changed: list[tuple[str, str, str]] = []
        """Each change that arrived: what was done, to what, and the words from now on; of what was taken back the conversation."""
        self.hooked = Hooked()
        self.heads: Mapping[str, str] = {}
        """The headers of the last hook."""

    def brings(self, what: What, key: str = "eve", *, person: Person | None = None, external_id: str = "") -> Raw:
        """Return the payload of *what*, said in the conversation *key*."""
        raw = Raw(external_id or f"{len(self.means) + 1}", repr(what).encode())
        self.means[raw.external_id] = Incoming(key, person or Person(key), what)
        return raw

    def parse(self, raw: Raw) -> Incoming | None:  # type: ignore[override]  # of a fake page everything concerns somebody
        """See `Channel.parse`."""
        if raw.external_id not in self.means:
            raise BadInput("nobody knows this kind of payload")
        return self.means[raw.external_id]

    async def send(self, outbound: Outbound) -> str:
        """See `Channel.send`."""
        self._fail()
        return await super().send(outbound)

    async def reword(self, outbound: Outbound, sent_as: str) -> None:
        """See `EditsMessages.reword`."""
        self._fail()
        self.changed.append(("reword", sent_as, outbound.text))

    async def take_back(self, key: str, sent_as: str) -> None:
        """See `EditsMessages.take_back`."""
        self._fail()
        self.changed.append(("take_back", sent_as, key))

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)

    async def fetch(self, ref: str) -> AsyncIterator[bytes]:
        """See `FetchesFiles.fetch`."""
        self.asked.append(ref)
        given = self.files[ref]
        if isinstance(given, Exception):
            raise given
        for piece in given:
            yield piece

    async def profile(self, ref: str) -> Profile:
        """See `KnowsPeople.profile`."""
        self.asked.append(ref)
        given = self.people[ref]
        if isinstance(given, Exception):
            raise given
        return given

    def hook(self, headers: Mapping[str, str], body: bytes) -> Hooked:
        """See `TakesHooks.hook`."""
        self.heads = headers
        return self.hooked


def pictures(*refs: str) -> Extra:
    """Return what a message of photos has beside its words."""
    return Extra(files=tuple(photos(*refs)))


def photos(*refs: str) -> Iterator[Attachment]:
    """Return photos that are awaited."""
    return (Attachment(FileKind.PHOTO, name=f"{ref}.jpg", media_type="image/jpeg", ref=ref) for ref in refs)
