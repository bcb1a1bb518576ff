"""The token of a conversation: it goes out in the Message-ID, the reply address and the subject, and an answer brings it back.

A token names its conversation and is signed, so that a stranger who has never been written to cannot join one. It proves
nothing about who sends it: letters are forwarded.
"""

from __future__ import annotations

import binascii
import hmac
import re
from base64 import b32decode, b32encode
from hashlib import sha256
from uuid import UUID

from broker.errors import BadInput
from channels.mail.letters import Mail

SIGNATURE_BYTES = 8
TOKEN_LENGTH = 60
"""Characters: a local part has at most 64."""
LOCAL_LENGTH = 64
TOKENS = 50
"""So many of one letter are told."""

_TOKEN = re.compile(r"[a-z2-7]{16,60}\Z")
_MESSAGE_ID = re.compile(r"t\.([a-z2-7]{16,60})\.\d{1,12}@", re.IGNORECASE)
_SUBJECT = re.compile(r"\[#([a-z2-7]{16,60})\]", re.IGNORECASE)


def token_of(key: bytes, conversation_id: str) -> str:
    """Return the token: letters and digits that survive any change of case. Raises BadInput for an id that is too long."""
    try:
        uuid = UUID(conversation_id)
        payload = b"\x01" + uuid.bytes if str(uuid) == conversation_id else b"\x00" + conversation_id.encode()
    except ValueError:
        payload = b"\x00" + conversation_id.encode()
    token = b32encode(payload + _signature(key, payload)).decode().rstrip("=").lower()
    if len(token) > TOKEN_LENGTH:
        raise BadInput(f"a conversation's id of {len(conversation_id)} characters does not fit into an address")
    return token


def valid(key: bytes, token: str) -> str | None:
    """Return the conversation that *token* names, None if *key* has not signed it."""
    token = token.lower()
    if not token.isascii() or not _TOKEN.match(token):
        return None
    try:
        raw = b32decode(token.upper() + "=" * (-len(token) % 8))
        payload, signature = raw[:-SIGNATURE_BYTES], raw[-SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, _signature(key, payload)):
            return None
        return str(UUID(bytes=payload[1:])) if payload[:1] == b"\x01" else payload[1:].decode()
    except (binascii.Error, ValueError):
        return None


def message_id(token: str, n: int, domain: str) -> str:
    """Return the id of our *n*-th letter of a conversation, with its angle brackets."""
    return f"<t.{token}.{n}@{domain}>"


def plus_address(address: str, token: str) -> str:
    """Return *address* with the token behind a plus sign; *address* itself where that would be too long for a local part."""
    local, at, domain = address.rpartition("@")
    if not at or len(local) + 1 + len(token) > LOCAL_LENGTH:
        return address
    return f"{local}+{token}@{domain}"


def tokens_in(mail: Mail, own_address: str) -> list[tuple[str, str]]:
    """Return what may be tokens in *mail*, the likeliest first, each once, with the place where it stands.

    Places: references, in_reply_to, address, subject. The address counts where it is *own_address* with a plus part.
    """
    found: dict[str, str] = {}

    def add(token: str, where: str) -> None:
        if _TOKEN.match(token.lower()) and len(found) < TOKENS:
            found.setdefault(token.lower(), where)

    for reference in reversed(mail.references):
        if told := _MESSAGE_ID.match(reference):
            add(told[1], "references")
    for reference in mail.in_reply_to:
        if told := _MESSAGE_ID.match(reference):
            add(told[1], "in_reply_to")
    local, _, domain = own_address.lower().rpartition("@")
    for address in [*(one.address for one in (*mail.to, *mail.cc)), *mail.delivered_to]:
        theirs, _, place = address.lower().rpartition("@")
        if place == domain and theirs.startswith(local + "+"):
            add(theirs[len(local) + 1 :].rpartition("+")[2], "address")
    for told in _SUBJECT.finditer(mail.subject):
        add(told[1], "subject")
    return list(found.items())


def _signature(key: bytes, payload: bytes) -> bytes:
    return hmac.digest(key, b"omniline mail " + payload, sha256().name)[:SIGNATURE_BYTES]
