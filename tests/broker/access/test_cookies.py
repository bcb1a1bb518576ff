"""The login's cookie."""

from __future__ import annotations

from datetime import timedelta

import pytest

from broker.access.cookies import clear_cookie, set_cookie, token_in


def test_the_two_names_are_never_taken_for_one_another():
    """A cookie set over plain http is nothing over https, and the other way round."""
    header = "theme=dark; __Host-omniline=safe; omniline=plain"

    assert (token_in(header, secure=True), token_in(header, secure=False)) == ("safe", "plain")
    assert token_in("omniline=plain", secure=True) is None


@pytest.mark.parametrize("header", ["", "omniline", "omniline=", "omniline=a; omniline=b", "xomniline=a"])
def test_no_cookie_or_two_is_none(header):
    """Two that differ: somebody has planted one; nobody is logged in."""
    assert token_in(header, secure=False) is None


def test_it_is_set_and_cleared_with_the_same_attributes():
    """A browser takes away only what has the same name, path and flags."""
    made, cleared = set_cookie("t", timedelta(hours=24), secure=True), clear_cookie(secure=True)

    assert made == "__Host-omniline=t; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict; Secure"
    assert cleared == "__Host-omniline=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict; Secure"
