"""What the program's own numbers say."""

from __future__ import annotations

from broker.metrics import REGISTRY


def counted(name: str, **labels: str) -> float:
    """Return the number *name* with *labels* as `/metrics` would show it now; 0: it has not been counted yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0
