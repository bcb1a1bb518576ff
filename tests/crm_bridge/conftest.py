"""Fixtures of this folder."""

from __future__ import annotations

import pytest

from tests.crm_bridge.house import House


@pytest.fixture
def house() -> House:
    """Return a house of the test's own, with an empty database in memory."""
    return House()
