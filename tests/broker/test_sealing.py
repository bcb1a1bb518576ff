"""Secrets of channels at rest: sealed where they are kept, plain only where they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from broker.domain import Capabilities, Delivered, LoadKind
from broker.errors import BadInput, ConfigError
from broker.ports import ChannelKind
from broker.sealing import KEY_BYTES, Sealer, is_sealed, opened, sealing

SEALER, OTHER = Sealer(lambda: bytes(KEY_BYTES)), Sealer(lambda: b"\1" * KEY_BYTES)
PLACE = "messenger.token"


def _check(given: Mapping[str, Any]) -> dict[str, Any]:
    if not str(given.get("token", "")).startswith("token"):
        raise BadInput("a token begins with token", field="settings.token")
    return {"colour": "red", "proxy": "", **given}


PLAIN = ChannelKind(
    "messenger",
    Capabilities(Delivered.PUSH, LoadKind.CHAT, idempotent=False, reaches_absent=True),
    _check,
    secrets=frozenset({"token", "proxy"}),
)
KIND = sealing(PLAIN, SEALER)


def test_what_was_sealed_is_opened():
    """Any text, with nothing of it to be seen."""
    for secret in ("123:ABC", "пароль", "x" * 10_000, " "):
        sealed = SEALER.seal(secret, PLACE)

        assert (True, False, secret) == (is_sealed(sealed), secret in sealed, SEALER.open(sealed, PLACE))


def test_the_same_secret_is_the_same_text():
    """So that settings which did not change are not changed; in another place, or by another key, it is another."""
    assert SEALER.seal("token", PLACE) == SEALER.seal("token", PLACE)
    assert 3 == len({SEALER.seal("token", PLACE), SEALER.seal("token", "vk.token"), OTHER.seal("token", PLACE)})


def _changed(sealed: str) -> str:
    return sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]


@pytest.mark.parametrize(
    "sealed",
    [
        OTHER.seal("token", PLACE),
        SEALER.seal("token", "vk.token"),
        _changed(SEALER.seal("token", PLACE)),
        "sealed:1:",
        "sealed:1:AAAA",
        "sealed:1:A",
        "sealed:1:фу",
    ],
    ids=["another key", "another place", "changed", "empty", "short", "cut", "not base64"],
)
def test_what_cannot_be_opened_says_what_to_do(sealed: str):
    """Whoever moved a secret, lost the key or damaged the database is told so, and where."""
    with pytest.raises(ConfigError, match=r"messenger\.token.*restore the key file"):
        SEALER.open(sealed, PLACE)


def test_the_key_is_read_when_it_is_first_needed_and_once():
    """A house without secrets has no key."""
    read: list[int] = []

    def key() -> bytes:
        read.append(1)
        return bytes(KEY_BYTES)

    sealer = Sealer(key)
    assert [] == read
    sealer.open(sealer.seal("token", PLACE), PLACE)

    assert [1] == read


def test_settings_are_kept_with_their_secrets_sealed():
    """The rest of them is as it was checked; a secret that is not set stays empty."""
    kept = KIND.check({"token": "token-1"})

    assert (True, "token-1") == (is_sealed(kept["token"]), SEALER.open(kept["token"], PLACE))
    assert {"colour": "red", "proxy": ""} == {name: value for name, value in kept.items() if name != "token"}


def test_what_was_kept_may_be_checked_again():
    """As a change of something else does: nothing becomes another, and what is checked is the secret itself."""
    kept = KIND.check({"token": "token-1", "proxy": "socks5://user:word@proxy"})

    assert kept == KIND.check(kept)
    assert {"token": "token-1", "proxy": "socks5://user:word@proxy", "colour": "red"} == opened(KIND, kept, SEALER)


def test_a_secret_that_is_wrong_is_refused_as_the_kind_says():
    """Also one that was sealed."""
    for token in ("word", SEALER.seal("word", PLACE)):
        with pytest.raises(BadInput) as refused:
            KIND.check({"token": token})

        assert "settings.token" == refused.value.field


def test_a_secret_of_another_key_is_named():
    """An administrator gives it again; the other settings are not lost."""
    kept = sealing(PLAIN, OTHER).check({"token": "token-1"})
    with pytest.raises(BadInput) as refused:
        KIND.check(kept)

    assert ("settings.token", "sealed_otherwise") == (refused.value.field, refused.value.code)
    assert "token-2" == opened(KIND, KIND.check(kept | {"token": "token-2"}), SEALER)["token"]


def test_a_kind_without_secrets_is_left_as_it_is():
    """Nothing of it is sealed, and no key is asked for."""
    plain = ChannelKind("page", PLAIN.capabilities, dict)

    assert plain is sealing(plain, SEALER)


@pytest.mark.parametrize("value", [None, 7, "", "token", "sealed", ["sealed:1:"]])
def test_only_our_own_mark_is_sealed(value: object):
    """Whatever else a setting may be."""
    assert not is_sealed(value)
