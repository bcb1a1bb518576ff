"""What holds for every test: logs go nowhere unless a test catches them (structlog.testing.capture_logs).

With OMNILINE_TEST_STORE=postgresql only those tests are run that use what tests.support.store has for either database.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import MutableMapping
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import structlog

# What a shell starts in the background ignores Ctrl-C, and so does whatever that starts: servers and commands of tests must hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_FOR_EITHER = {"MemoryStore", "open_store", "store_opener"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[Any]) -> None:
    """Leave out what a pass on another database would only say again."""
    if os.environ.get("OMNILINE_TEST_STORE") != "postgresql":
        return
    config.hook.pytest_deselected(items=[item for item in items if not _uses_either(item)])
    items[:] = [item for item in items if _uses_either(item)]


def _uses_either(item: Any) -> bool:
    fixtures = [made for definitions in item._fixtureinfo.name2fixturedefs.values() for made in definitions]
    return any(map(_takes_either, {item.module.__name__, *(made.func.__module__ for made in fixtures)}))


@cache
def _takes_either(name: str) -> bool:
    """Return whether the module *name*, or one of the tests that it takes something from, takes what is there for either database."""
    seen, left = set(), {name}
    while left:
        name = left.pop()
        seen.add(name)
        names = vars(sys.modules[name])
        if _FOR_EITHER & names.keys() and name != "tests.support.store":
            return True
        origins = {
            str(value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")) for value in names.values()
        }
        left |= {origin for origin in origins - seen if origin.startswith("tests.") and origin in sys.modules}
    return False


def _drop(logger: object, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    raise structlog.DropEvent


@pytest.fixture(scope="session", autouse=True)
def _quiet():
    """A failing adapter in a simulation would print a page for each failure."""
    structlog.configure(processors=[_drop])
    yield
    structlog.reset_defaults()
