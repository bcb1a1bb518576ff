"""Who a visitor is: 128 random bits, bound to their channel by a keyed hash. Forging one means guessing the key.

<visitor, 22 characters>.<HMAC-SHA256 over channel and visitor, cut to 128 bits, 22 characters>
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from broker.domain import ChannelId
from broker.errors import ConfigError

KEY_BYTES = 32


class VisitorTokens:
    """Signs and checks visitor tokens with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ConfigError(
                f"the visitor key has {len(key)} bytes, {KEY_BYTES} are needed; remove the file and a new one is made"
            )
        self._key = key

    def new(self) -> str:
        """Return a visitor nobody has been."""
        return secrets.token_urlsafe(16)

    def sign(self, channel_id: ChannelId, visitor: str) -> str:
        """Return the token of *visitor* for their browser to keep."""
        return f"{visitor}.{self._signature(channel_id, visitor)}"

    def check(self, channel_id: ChannelId, token: str) -> str | None:
        """Return the visitor that *token* was signed for in this channel, or None."""
        visitor, _, signature = token.partition(".")
        expected = self._signature(channel_id, visitor)
        return visitor if len(visitor) == 22 and hmac.compare_digest(signature.encode(), expected.encode()) else None

    def _signature(self, channel_id: ChannelId, visitor: str) -> str:
        made = hmac.new(self._key, f"visitor:{channel_id}:{visitor}".encode(), hashlib.sha256).digest()[:16]
        return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def load_key(path: Path, size: int = KEY_BYTES) -> bytes:
    """Return the key kept in *path*, made there of *size* bytes when it is missing. Raises ConfigError when others may read it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise ConfigError(f"{path} may be read by others; run: chmod 600 {path}") from None
        return path.read_bytes()
    with os.fdopen(descriptor, "wb") as file:
        key = secrets.token_bytes(size)
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key
