"""Secrets of channels at rest: what is written into the database says nothing without a key that is not in it.

AES-SIV (RFC 5297): the same secret under the same key is the same text, so that settings which did not change are not changed; whoever
reads the database learns that two channels have the same secret, and nothing else of it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from broker.errors import BadInput, ConfigError
from broker.ports import ChannelKind

KEY_BYTES = 64
_MARK = "sealed:1:"


class Sealer:
    """Seals and opens with one key. *key* gives it when it is first needed: most houses have no secrets."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        self._key = key
        self._kept: bytes | None = None

    def seal(self, secret: str, place: str) -> str:
        """Return *secret* sealed for *place*, a word: elsewhere it cannot be opened."""
        return _MARK + base64.urlsafe_b64encode(self._cipher().encrypt(secret.encode(), [place.encode()])).decode()

    def open(self, sealed: str, place: str) -> str:
        """Return the secret. Raises ConfigError when it was sealed with another key, or for another place."""
        from cryptography.exceptions import InvalidTag

        try:
            body = base64.urlsafe_b64decode(sealed.removeprefix(_MARK))
            return bytes(self._cipher().decrypt(body, [place.encode()])).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise ConfigError(
                f"{place}: the secret was sealed with another key; restore the key file, or give the secret again"
            ) from None

    def _cipher(self) -> Any:
        # Imported where it is needed: a house without secrets need not load it.
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        if self._kept is None:
            self._kept = self._key()
        return AESSIV(self._kept)


def is_sealed(value: object) -> bool:
    """Return whether *value* is what `Sealer.seal` makes."""
    return isinstance(value, str) and value.startswith(_MARK)


def sealing(kind: ChannelKind, sealer: Sealer) -> ChannelKind:
    """Return *kind* whose `check` takes secrets plain or sealed, and returns them sealed; an empty one stays empty."""
    if not kind.secrets:
        return kind

    def check(given: Mapping[str, Any]) -> dict[str, Any]:
        full = kind.check(opened(kind, given, sealer))
        return {
            name: sealer.seal(value, _place(kind, name)) if name in kind.secrets and value else value
            for name, value in full.items()
        }

    return replace(kind, check=check)


def opened(kind: ChannelKind, settings: Mapping[str, Any], sealer: Sealer) -> dict[str, Any]:
    """Return *settings* with their secrets plain. Raises BadInput naming one that cannot be opened."""
    plain = dict(settings)
    for name in kind.secrets:
        if is_sealed(plain.get(name)):
            try:
                plain[name] = sealer.open(plain[name], _place(kind, name))
            except ConfigError as error:
                raise BadInput(str(error), field=f"settings.{name}", code="sealed_otherwise") from None
    return plain


def _place(kind: ChannelKind, name: str) -> str:
    return f"{kind.kind}.{name}"
