"""Programs do not answer programs."""

from __future__ import annotations

import pytest

from channels.mail.mime import read
from channels.mail.robots import is_robot


def letter(header: str, sender: str = "ann@y.ru") -> bytes:
    """Return a letter with one more header."""
    return f"From: {sender}\nSubject: x\n{header}\n\ntext".encode()


@pytest.mark.parametrize(
    "raw",
    [
        letter("Auto-Submitted: auto-replied"),
        letter("Auto-Submitted: auto-generated (rejected)"),
        letter("Precedence: Bulk"),
        letter("Precedence: junk"),
        letter("Precedence: list"),
        letter("X-Auto-Response-Suppress: All"),
        letter("X-Auto-Response-Suppress: DR, OOF, AutoReply"),
        letter("List-Id: <l.x.ru>"),
        letter("List-Unsubscribe: <mailto:u@x.ru>"),
        letter("Return-Path: <>"),
        letter("X-Autoreply: yes"),
        letter("Content-Type: multipart/report; boundary=b\n\n--b\n\nx\n--b--"),
        letter("X: y", "MAILER-DAEMON@y.ru"),
        letter("X: y", "no-reply@y.ru"),
        letter("X: y", "orders-noreply@y.ru"),
        letter("X: y", "bounce+ann=y.ru@z.ru"),
        letter("X: y", ""),
    ],
)
def test_a_program_is_told_by_its_signs(raw):
    """The reason says by which."""
    assert is_robot(read(raw)) != ""


@pytest.mark.parametrize(
    "raw",
    [
        letter("Auto-Submitted: no"),
        letter("Return-Path: <ann@y.ru>"),
        letter("X-Auto-Response-Suppress: DR, RN, NRN"),
        letter("Precedence: first-class"),
        letter("X: y", "norbert@y.ru"),
        letter("X: y", "ann.owner@y.ru"),
    ],
)
def test_a_person_may_be_answered(raw):
    """There is no reason against it."""
    assert is_robot(read(raw)) == ""
