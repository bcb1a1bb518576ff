"""What holds for every test: logs go nowhere unless a test catches them (structlog.testing.capture_logs)."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog


def _drop(logger: object, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    raise structlog.DropEvent


@pytest.fixture(scope="session", autouse=True)
def _quiet():
    """A failing adapter in a simulation would print a page for each failure."""
    structlog.configure(processors=[_drop])
    yield
    structlog.reset_defaults()
