"""What an event of VK costs until it is stored: parsed, a message of its conversation, committed with the place in the long poll."""

from __future__ import annotations

from pathlib import Path

import msgspec

from broker.clock import SystemClock
from broker.domain import ChannelId, ChannelRow, LineId
from broker.files import LocalFiles
from broker.ports import Channel
from channels.vk.adapter import VkChannel
from tests.bench.intake import report_ratio
from tests.bench.measure import Report

COMMUNITY = 1_001


def run(report: Report) -> None:
    """Report `vk_accept_ratio`."""
    report_ratio(report, "vk_accept_ratio", "vk", _channel, _event)


def _channel(id_: ChannelId) -> Channel:
    settings = {"token": "vk1.a.bench", "group_id": COMMUNITY}
    return VkChannel(
        ChannelRow(id_, LineId("line"), "shop", "vk", "Shop", settings, 1), SystemClock(), LocalFiles(Path("/nowhere")), None
    )


def _event(customer: int, number: int) -> bytes:
    """Return an event as the provider sends it for a few words."""
    text = "Здравствуйте, когда будет готов мой заказ? Это уже не первый раз, и я жду."
    message = {
        "id": number,
        "date": 1_795_890_074,
        "peer_id": 5_000_000 + customer,
        "from_id": 5_000_000 + customer,
        "conversation_message_id": number,
        "text": text,
        "attachments": [],
        "fwd_messages": [],
        "out": 0,
        "version": number,
    }
    told = {"message": message, "client_info": {"keyboard": True, "inline_keyboard": True, "lang_id": 0}}
    return msgspec.json.encode(
        {"group_id": COMMUNITY, "type": "message_new", "event_id": f"e{number}", "v": "5.199", "object": told}
    )
