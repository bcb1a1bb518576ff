"""A community's place in the contract of channels: the shipped channel, a fake of VK, and one customer who is there."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from broker.domain import ChannelId, ChannelRow, ConversationId, LineId, MessageId
from broker.files import LocalFiles
from broker.ports import Button, Outbound, Raw
from channels.vk import api
from channels.vk.adapter import VkChannel
from channels.vk.parsing import name_of
from channels.vk.settings import check
from tests.support.channels import Fault
from tests.support.clock import MovedClock
from tests.support.vk import VkCommunity, VkFake, vk_fake

ANN, SHOP = 7, 1001
_FAULTS: dict[Fault, dict[str, Any]] = {
    Fault.UNAVAILABLE: {"kind": "error", "code": 6},
    Fault.UNCERTAIN_LOST: {"kind": "close_before"},
    Fault.UNCERTAIN_DELIVERED: {"kind": "close_after"},
}


class VkPlace:
    """See the module. *key* is what the contract calls the customer; the fake begins when it is first needed."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._stack = ExitStack()
        self._fake: VkFake | None = None
        self._shop: VkCommunity

    def _begun(self) -> VkCommunity:
        if self._fake is None:
            self._fake = self._stack.enter_context(vk_fake())
            self._shop = self._fake.community(SHOP)
            self._fake.person(ANN)
            self._shop.write(ANN, "hello")
        return self._shop

    def close(self) -> None:
        """End the fake; nothing was said to it that is not as published."""
        found = self._fake.violations() if self._fake is not None else []
        self._stack.close()
        assert [] == found

    def channel(self) -> VkChannel:
        """Return the shipped channel."""
        return _InItsPlace(self)

    def there(self, outbound: Outbound) -> tuple[dict[str, Any], Outbound]:
        """Return the community's settings, and *outbound* to who is there."""
        shop = self._begun()
        settings = check({"token": shop.token, "server": shop.fake.url, "names": False})
        return settings, replace(outbound, key=str(ANN)) if outbound.key == self._key else outbound

    def shown(self) -> Sequence[Outbound]:
        """Return what the customer sees."""
        found = []
        for one in self._begun().sent(ANN):
            rows = (one["keyboard"] or {}).get("buttons", [])
            told = [button["action"] for row in rows for button in row]
            buttons = tuple(Button(action["label"], msgspec.json.decode(action["payload"])["value"]) for action in told)
            ids: dict[str, Any] = {"conversation_id": ConversationId(""), "message_id": MessageId(""), "token": "", "seq": 0}
            found.append(
                Outbound(key=self._key, text=one["text"], sender_name="", from_operator=True, at_ms=0, buttons=buttons, **ids)
            )
        return found

    def fail(self, fault: Fault) -> None:
        """Have the next send fail."""
        shop = self._begun()
        if fault is Fault.REJECTED:
            shop.deny(ANN)
        else:
            shop.fake.fault(method="messages.send", **_FAULTS[fault])

    def said(self, number: int, text: str) -> Raw:
        """Return the payload of a message."""
        return _raw("message_new", {"message": _message(number, text=text), "client_info": {}})

    def edited(self, number: int, text: str) -> Raw:
        """Return the payload of a message that says something else from now on."""
        return _raw("message_edit", _message(number, text=text, update_time=2, version=2))

    def denied(self) -> Raw:
        """Return the payload of somebody who wants to hear no more of us."""
        return _raw("message_deny", {"user_id": ANN})

    def pressed(self, value: str) -> Raw:
        """Return the payload of a button that was pressed."""
        return _raw("message_event", {"user_id": ANN, "peer_id": ANN, "event_id": "x", "payload": {"value": value}})


class _InItsPlace(VkChannel):
    """The shipped channel with the customer of the contract; each send has a loop of its own, and leaves nothing open there."""

    def __init__(self, place: VkPlace) -> None:
        super().__init__(_row(check({"token": "vk1.a.1001"})), MovedClock(), LocalFiles(Path("/nowhere")), None)
        self._place = place

    async def send(self, outbound: Outbound) -> str:
        """See `Channel.send`."""
        settings, there = self._place.there(outbound)
        try:
            return await VkChannel(_row(settings), MovedClock(), LocalFiles(Path("/nowhere")), None).send(there)
        finally:
            await api.close()


def _row(settings: dict[str, Any]) -> ChannelRow:
    return ChannelRow(ChannelId("c"), LineId("l"), "shop", "vk", "Shop", settings, 1)


def _message(number: int, **more: Any) -> dict[str, Any]:
    plain = {"id": 40 + number, "date": 1, "peer_id": ANN, "from_id": ANN, "conversation_message_id": number, "attachments": []}
    return plain | {"fwd_messages": [], "out": 0, "version": 1} | more


def _raw(kind: str, told: dict[str, Any]) -> Raw:
    event = {"type": kind, "object": told, "group_id": SHOP, "v": "5.199", "event_id": f"e-{kind}"}
    return Raw(name_of(event, SHOP), msgspec.json.encode(event))
