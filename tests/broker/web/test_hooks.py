"""Where providers bring what comes: stored before it is answered, and a stranger learns nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from broker.domain import ChannelId, LineId, LineSettings
from broker.errors import StoreBusy, StoreFull
from broker.events import Wrote
from broker.ports import Channel, Hooked, Raw, Tx
from broker.web.hooks import hook_routes
from tests.support.channels import FakeChannel
from tests.support.counting import counted
from tests.support.house import add_channel, add_line
from tests.support.messenger import Messenger
from tests.support.site import Site
from tests.support.store import plain


class Porch:
    """A site with a messenger whose provider brings what comes, and a page that takes none of it."""

    def __init__(self, folder: Path) -> None:
        self.refuses: Exception | None = None
        self.channels: dict[ChannelId, Channel] = {}
        self.site = Site(folder, routes=[hook_routes(self, self.channels.get, lambda _: LineSettings())])  # type: ignore[arg-type]

        def build(tx: Tx) -> tuple[LineId, ChannelId, ChannelId]:
            line = add_line(tx)
            return line, add_channel(tx, line, "one"), add_channel(tx, line, "page")

        line, one, page = self.site.write(build)
        self.one = Messenger(one, line)
        self.page = FakeChannel(page, line)
        self.channels |= {one: self.one, page: self.page}

    def write(self, work: Callable[[Tx], Any]) -> Any:
        """See `Store.write`."""
        if self.refuses is not None:
            raise self.refuses
        return self.site.store.write(work)

    def bring(self, channel: str = "", content: bytes = b"{}", **more: Any) -> httpx.Response:
        """Ask as a provider does."""
        return self.site.ask("POST", f"/hooks/{channel or self.one.id}", content=content, **more)

    def stored(self) -> list[Any]:
        """Return what has come in."""
        return self.site.write(
            lambda tx: [tuple(row) for row in plain(tx, "SELECT external_id, dead FROM inputs ORDER BY id").fetchall()]
        )


@pytest.fixture
def porch(tmp_path: Path) -> Iterator[Porch]:
    """Return a porch where nobody has been."""
    made = Porch(tmp_path)
    yield made
    made.site.close()


def test_what_a_provider_brings_is_stored_and_then_answered(porch: Porch):
    """In the words that it wants to hear; the sender's page and its cookies are nothing to us."""
    porch.one.hooked = Hooked((porch.one.brings(Wrote("one")), porch.one.brings(Wrote("two"))), b"ok", "text/plain")
    before = counted("omniline_accepted_inputs_total", origin="messenger")

    answer = porch.bring(headers={"X-Secret": "word", "Origin": "https://provider.example"})

    assert (200, b"ok") == (answer.status_code, answer.content)
    assert answer.headers["content-type"].startswith("text/plain")
    assert [("1", None), ("2", None)] == porch.stored()
    assert ("word", before + 2) == (porch.one.heads["x-secret"], counted("omniline_accepted_inputs_total", origin="messenger"))


def test_a_repeat_is_answered_as_the_first_was(porch: Porch):
    """A provider that did not hear the answer brings it again."""
    porch.one.hooked = Hooked((porch.one.brings(Wrote("one")),), b"ok")
    before = counted("omniline_accepted_inputs_total", origin="messenger")

    answers = [porch.bring().content for _ in range(2)]

    assert ([b"ok"] * 2, [("1", None)]) == (answers, porch.stored())
    assert before + 1 == counted("omniline_accepted_inputs_total", origin="messenger")


def test_what_asks_for_nothing_but_an_answer_gets_it(porch: Porch):
    """As a provider does that tries whether we are there."""
    porch.one.hooked = Hooked((), b"confirm-7")

    assert (b"confirm-7", []) == (porch.bring().content, porch.stored())


def test_what_nobody_can_read_is_kept_and_answered(porch: Porch):
    """Brought again it would be no better: it is a dead letter."""
    porch.one.hooked = Hooked((Raw("7", b"?"),), b"ok")

    assert 200 == porch.bring().status_code
    ((external_id, dead),) = porch.stored()
    assert ("7", True) == (external_id, bool(dead))


def test_a_stranger_is_refused_and_told_nothing(porch: Porch):
    """And counted."""
    porch.one.hooked = Hooked((porch.one.brings(Wrote("one")),), b"secret", refused=True)
    labels = {"origin": "messenger", "reason": "stranger"}
    before = counted("omniline_refused_inputs_total", **labels)

    answer = porch.bring()

    assert (403, b"", []) == (answer.status_code, answer.content, porch.stored())
    assert before + 1 == counted("omniline_refused_inputs_total", **labels)


@pytest.mark.parametrize("error", [StoreBusy("another has it"), StoreFull("the disk is full")])
def test_what_the_store_refuses_is_to_come_again(porch: Porch, error: Exception):
    """Nothing but the commit lets a provider forget."""
    porch.one.hooked = Hooked((porch.one.brings(Wrote("one")),), b"ok")
    porch.refuses = error
    refused = porch.bring()
    porch.refuses = None
    taken = porch.bring()

    assert (503, "5", b"") == (refused.status_code, refused.headers["retry-after"], refused.content)
    assert (b"ok", [("1", None)]) == (taken.content, porch.stored())


@pytest.mark.parametrize("where", ["none", "page", "off", "word"])
def test_where_no_hook_is_taken_there_is_nothing(porch: Porch, where: str):
    """A channel that is not, that is switched off, or whose provider must be asked: one cannot tell them apart."""
    if where == "off":
        del porch.channels[porch.one.id]
    ids = {"none": "01900000-0000-7000-8000-ffffffffffff", "page": str(porch.page.id), "off": str(porch.one.id), "word": "x"}

    answer = porch.bring(ids[where])

    assert (422 if where == "word" else 404) == answer.status_code
    assert porch.one.id not in answer.text or where == "off"


def test_a_hook_is_brought_and_not_fetched(porch: Porch):
    """Looking at the address shows nothing."""
    assert porch.site.ask("GET", f"/hooks/{porch.one.id}").status_code in (404, 405)


def test_more_than_a_request_may_have_is_not_read(porch: Porch):
    """Whoever knows the address is a stranger until its channel has looked."""
    answer = porch.bring(content=b"x" * (porch.site.settings.body_bytes + 1))

    assert (413, {}) == (answer.status_code, porch.one.heads)


def test_an_id_in_capitals_is_the_same(porch: Porch):
    """As UUIDs are."""
    porch.one.hooked = Hooked((), b"ok")

    assert 200 == porch.bring(porch.one.id.upper()).status_code
