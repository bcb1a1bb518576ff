"""The engine's table as a document: `python -m tests.tools.diagram [--check]` writes docs/routing-table.md.

The arrows are `routing.engine.LEADS`, which a test holds to what the handlers do.
"""

from __future__ import annotations

import sys
from pathlib import Path

from broker.domain import Status
from routing.engine import CALL_TABLE, LEADS, TABLE

PATH = Path("docs/routing-table.md")


def render() -> str:
    """Return the document."""
    statuses = [status for status in Status if any(status is key for key, _ in TABLE)]
    events = list(dict.fromkeys(event for _, event in TABLE))
    arrows: dict[tuple[str, str], list[str]] = {}
    for (status, event), handler in (*TABLE.items(), *CALL_TABLE.items()):
        for target in LEADS.get(handler, ()):
            names = arrows.setdefault((status.value, target.value), [])
            names += [] if _words(event.__name__) in names else [_words(event.__name__)]
    lines = [
        "# The engine's table",
        "",
        "Drawn from `routing.engine.TABLE` by `python -m tests.tools.diagram`; do not edit.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> new",
        *(f"    {source} --> {target}: {', '.join(names)}" for (source, target), names in arrows.items()),
        "```",
        "",
        "What each event does to a session of each status. A pair that is not here cannot be decided and is a fault.",
        "",
        "| event | " + " | ".join(status.value for status in statuses) + " |",
        "|---|" + "---|" * len(statuses),
        *(
            f"| {_words(event.__name__)} | " + " | ".join(_cell(TABLE[status, event]) for status in statuses) + " |"
            for event in events
        ),
        "",
        "Of calls, where that is something else: they are answered by lifting a phone.",
        "",
        "| event | " + " | ".join(status.value for status in statuses) + " |",
        "|---|" + "---|" * len(statuses),
        *(
            f"| {_words(event.__name__)} | "
            + " | ".join(_cell(CALL_TABLE[pair]) if (pair := (status, event)) in CALL_TABLE else "" for status in statuses)
            + " |"
            for event in dict.fromkeys(event for _, event in CALL_TABLE)
        ),
        "",
    ]
    return "\n".join(lines)


def _cell(handler: object) -> str:
    name = getattr(handler, "__name__", "").strip("_")
    for kind in ("refused", "ignored"):
        if name.startswith(kind + "_"):
            return f"{kind}: {name.removeprefix(kind + '_').replace('_', ' ')}"
    return name.replace("_", " ")


def _words(name: str) -> str:
    return "".join(f" {sign.lower()}" if sign.isupper() else sign for sign in name).strip()


def main(arguments: list[str]) -> int:
    """Write the document, or with --check say whether it is in step."""
    made = render()
    if "--check" in arguments:
        if not PATH.exists() or PATH.read_text(encoding="utf-8") != made:
            print(f"{PATH} is not what routing.engine says; run: python -m tests.tools.diagram")
            return 1
        return 0
    PATH.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
