"""When a lead is made, and what it says. Pure.

A lead is made for a contact that can be reached again: by a phone, an e-mail, or in a channel that finds the absent. A visitor of
a web page who told nothing is a stranger who leaves no address; their lead appears with the first phone or e-mail. There is one
lead a contact until it is converted, so its external id is the contact's, and a contact who had one gets no second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.domain import (
    NAME_MAX,
    Capabilities,
    ChannelId,
    ContactId,
    LeadRule,
    LineId,
    LineSettings,
    OperatorId,
    PointKind,
    Source,
)
from broker.ports import LeadDraft

_NAMES_BY = (PointKind.PHONE, PointKind.EMAIL, PointKind.CHANNEL)
"""Which point names a contact without a name."""


@dataclass(frozen=True, slots=True)
class Way:
    """A contact point as the rule sees it; *channel_id* is set for an identity in a channel."""

    kind: PointKind
    value: str
    channel_id: ChannelId | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A contact in one conversation: all that decides whether there is a lead. *session_id* is None while nothing was written."""

    contact_id: ContactId
    contact_name: str
    ways: tuple[Way, ...]
    session_id: str | None
    line_id: LineId
    line_name: str
    settings: LineSettings
    channel_kind: str
    channel_name: str
    responsible_id: OperatorId | None
    source: Source


def lead_of(case: Case, capabilities: Mapping[ChannelId, Capabilities]) -> LeadDraft | None:
    """Return the contact's lead, or None when the line wants none or nobody could reach the contact again."""
    if case.settings.lead_rule is LeadRule.NOTHING or not can_be_reached(case.ways, capabilities):
        return None
    return LeadDraft(
        external_id=external_id_of(case.contact_id),
        contact_id=case.contact_id,
        session_id=case.session_id,
        line_id=case.line_id,
        title=title_of(case),
        source=case.settings.source_tag or case.line_name,
        source_details={
            "page": case.source.page,
            "title": case.source.title,
            "referrer": case.source.referrer,
            "utm": dict(sorted(case.source.utm.items())),
            **({"start": case.source.start} if case.source.start else {}),
            "channel": case.channel_name,
            "channel_kind": case.channel_kind,
            "line": case.line_name,
        },
        responsible_id=case.responsible_id,
    )


def can_be_reached(ways: tuple[Way, ...], capabilities: Mapping[ChannelId, Capabilities]) -> bool:
    """Tell whether somebody could write or call after the contact has gone."""
    return any(way.channel_id is None or _reaches_absent(way.channel_id, capabilities) for way in ways)


def _reaches_absent(channel_id: ChannelId, capabilities: Mapping[ChannelId, Capabilities]) -> bool:
    # A channel that was switched off reaches nobody.
    known = capabilities.get(channel_id)
    return known is not None and known.reaches_absent


def external_id_of(contact_id: str) -> str:
    """Return the external id of the contact's one open lead."""
    return f"contact:{contact_id}"


def title_of(case: Case) -> str:
    """Return the lead's title: who, by name or else by a point, and the line."""
    who = case.contact_name.strip() or _named_by_point(case.ways)
    return f"{who[:NAME_MAX]} · {case.line_name}" if who else case.line_name


def _named_by_point(ways: tuple[Way, ...]) -> str:
    first = {way.kind: way.value for way in reversed(ways)}
    return next((first[kind] for kind in _NAMES_BY if kind in first), "")
