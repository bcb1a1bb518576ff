"""Room for connections: as many files as the system gives."""

import resource

import pytest

from broker.web.listening import FILES_KEPT, room_for

NO_LIMIT = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "set_to", "room"),
    [
        (1_024, 1_048_576, (10_000 + FILES_KEPT, 1_048_576), 10_000),
        (1_024, 4_096, (4_096, 4_096), 4_096 - FILES_KEPT),
        (1_024, NO_LIMIT, (10_000 + FILES_KEPT, NO_LIMIT), 10_000),
        (100_000, 100_000, None, 10_000),
        (NO_LIMIT, NO_LIMIT, None, 10_000),
    ],
)
def test_room_for(monkeypatch, soft, hard, set_to, room):
    """The soft limit is raised as far as it helps and may be; what does not fit then is not promised."""
    done = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: done.append(limits))

    assert room_for(10_000) == room
    assert done == ([set_to] if set_to else [])


def test_a_limit_that_cannot_be_raised(monkeypatch):
    """Some systems allow less than they say: what there is must do."""

    def refuse(_, limits):
        raise ValueError("current limit exceeds maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _: (1_024, NO_LIMIT))
    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert room_for(10_000) == 1_024 - FILES_KEPT
