"""Passwords: hashed well, verified in constant work, generated readable."""

from __future__ import annotations

import asyncio
import re

import pytest

from broker.access.passwords import Passwords, check_new, generate
from broker.errors import BadInput, TooMany

CHEAP = Passwords(memory_kib=8, passes=1)


def test_the_right_password_is_known_and_no_other():
    """Also an empty one, a longer one, and one for a hash that is none."""
    stored = asyncio.run(CHEAP.hash("correct horse"))

    assert stored.startswith("$argon2id$")
    assert asyncio.run(CHEAP.verify(stored, "correct horse"))
    assert not asyncio.run(CHEAP.verify(stored, "correct horse "))
    assert not asyncio.run(CHEAP.verify(stored, ""))
    assert not asyncio.run(CHEAP.verify("", "correct horse"))
    assert not asyncio.run(CHEAP.verify("broken", "correct horse"))


def test_nobody_costs_what_somebody_costs():
    """For an unknown login a hash of the same parameters is verified, and it is never right."""
    ours = Passwords()
    stored = asyncio.run(ours.hash("correct horse"))

    assert stored.rsplit("$", 2)[0] == ours._nobody.rsplit("$", 2)[0]
    assert len(stored) == len(ours._nobody)
    assert not asyncio.run(ours.verify(None, "correct horse"))


def test_other_parameters_are_outdated():
    """Raising them renews each hash at its owner's next login."""
    stored = asyncio.run(CHEAP.hash("correct horse"))

    assert not CHEAP.is_outdated(stored)
    assert Passwords().is_outdated(stored)


def test_too_many_at_once_are_refused():
    """Memory and patience have an end; the answer says when to come back."""

    async def crowd():
        return await asyncio.gather(*(CHEAP.hash("x") for _ in range(80)), return_exceptions=True)

    answers = asyncio.run(crowd())

    assert {TooMany} == {type(one) for one in answers[64:]}
    assert all(isinstance(one, str) for one in answers[:64])


def test_a_generated_password_is_readable_and_good():
    """Four groups of four, nothing that reads as something else; and it passes our own check."""
    made = {generate() for _ in range(50)}

    assert len(made) == 50
    assert all(re.fullmatch(r"[a-hjkmnp-z2-9]{4}(-[a-hjkmnp-z2-9]{4}){3}", one) for one in made)
    for one in made:
        check_new(one, "admin")


@pytest.mark.parametrize("password", ["", "123456789", "x" * 129, "abababababab", "my-admin-password"])
def test_a_weak_one_is_refused(password):
    """Too short, too long, too plain, or with the login in it."""
    with pytest.raises(BadInput):
        check_new(password, "admin")
