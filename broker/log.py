"""Logs: one event a line on standard error, JSON for machines or columns for people.

An event is a fixed snake_case past fact, the rest are keys. What libraries log the old way comes out as `library_said` in the
same form. No message texts, phones, tokens or e-mail addresses: keys of those names are dropped, should one slip in.

Of one warning LINES_MAX are written in WINDOW_SECONDS: a full disk is not filled further, nor a log by strangers.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

SENSITIVE = frozenset(
    {
        "authorization",
        "body",
        "cookie",
        "email",
        "emails",
        "messages",
        "password",
        "phone",
        "phones",
        "raw",
        "secret",
        "text",
        "token",
    }
)
"""Keys that are dropped wherever they stand."""
LINES_MAX = 20
WINDOW_SECONDS = 10.0
_LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.asgi", "websockets", "alembic", "asyncio")


class Thinner(logging.Filter):
    """Leaves out what is said too often; the next line that is written tells how many were (`left_out`)."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._said: dict[str, tuple[float, int]] = {}
        """By event, when its window began, and how often it was said since."""

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        """Return *event*. Raises DropEvent when it is left out."""
        if method in ("debug", "info"):
            return event
        left_out = self._left_out(str(event["event"]))
        if left_out is None:
            raise structlog.DropEvent
        return {**event, "left_out": left_out} if left_out else event

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a library's line is written."""
        if record.levelno < logging.WARNING:
            return True
        left_out = self._left_out(record.name)
        record.__dict__["left_out"] = left_out  # as logging's own `extra` is kept
        return left_out is not None

    def _left_out(self, name: str) -> int | None:
        """Return how many were left out before this one; None when it is left out itself."""
        now = self._now()
        begun, said = self._said.get(name, (now, 0))
        if now - begun < WINDOW_SECONDS:
            self._said[name] = (begun, said + 1)
            return 0 if said < LINES_MAX else None
        self._said[name] = (now, 1)
        return max(0, said - LINES_MAX)


def drop_sensitive(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Remove what nobody may read in a log, also inside of mappings and lists."""
    return {key: _without(value) for key, value in event.items() if key.lower() not in SENSITIVE}


def set_up(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["auto", "json", "console"] = "auto",
    stream: TextIO | None = None,
) -> None:
    """Send all logs of this process, libraries' too, to *stream* (standard error); start uvicorn with `log_config=None`."""
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    number = getattr(logging, level.upper())
    thinner = Thinner()
    common: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        drop_sensitive,
    ]
    last = _for_people(out) if console else _for_machines()
    structlog.configure(
        processors=[thinner, *common, *last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.addFilter(thinner)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_as_library, *common],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries tell every opening of a socket, with its address: only their troubles are of interest, unless one looks for bugs.
    root.setLevel(logging.INFO if number == logging.DEBUG else max(number, logging.WARNING))
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        # What they do all day is their own; what goes wrong is ours too.
        library.setLevel(number if number < logging.INFO else max(number, logging.WARNING))
        library.handlers = []
        library.propagate = True
    # A line for every request would hold addresses and queries, and cost more than the request.
    access = logging.getLogger("uvicorn.access")
    access.handlers = []
    access.propagate = False


def _for_people(out: TextIO) -> list[Processor]:
    # Local variables hold texts and tokens: a traceback shows lines of code only.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=plain)]


def _for_machines() -> list[Processor]:
    transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [structlog.processors.ExceptionRenderer(transformer), structlog.processors.JSONRenderer(ensure_ascii=False)]


def _as_library(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    record: logging.LogRecord | None = event.get("_record")
    left_out = getattr(record, "left_out", None)
    counted = {"left_out": left_out} if left_out else {}
    return {**event, "event": "library_said", "library": record.name if record else "", "said": event["event"], **counted}


def _without(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without(inner) for key, inner in value.items() if str(key).lower() not in SENSITIVE}
    if isinstance(value, (list, tuple)):
        return [_without(inner) for inner in value]
    return value
