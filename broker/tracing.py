"""One message's way through the processes: a line of the log at each hop, and spans that OpenTelemetry's collectors draw as one trace.

    accept   the root: from the beginning of the transaction that stores it to the commit
    decide   from when the router took the conversation to the commit
    show     from when a gateway began to read the news to when they lay in the consoles' queues
    send     from when a sender took the message to when it knew what became of it

Nothing is passed on between processes: the numbers of a trace and of its root are made from the message's id, which everybody at work on
it knows. Which traces are kept is decided by that number too, so each is kept whole or not at all. What the line says by itself nobody
accepts: its trace begins with the showing. Inputs without words (take, close) are in the log alone.

Spans carry ids, kinds and outcomes, never what people write. The libraries are in the extra `tracing`, and imported only when it is on.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from hashlib import blake2b
from typing import Any

import structlog

from broker.errors import ConfigError

log = structlog.get_logger(__name__)

ROOT = "accept"
FLUSH_SECONDS = 3.0
"""How long a stop waits for a collector to take the last spans."""


class _Wanted:
    """Who wants to know of hops in this process: one of a process, as logging is, and there before anything that speaks to it."""

    logged = False
    spans: _Spans | None = None


_wanted = _Wanted()


def set_up(*, endpoint: str | None, ratio: float, logged: bool, resource: dict[str, str] | None = None) -> None:
    """Begin: *logged* writes the lines, *endpoint* (of OTLP over HTTP) sends spans of *ratio* of all messages. Raises ConfigError."""
    _wanted.logged = logged
    _wanted.spans = _Spans(endpoint, ratio, resource or {}) if endpoint else None


def shut_down() -> None:
    """Send what is left, and end; blocks for a moment."""
    ending, _wanted.spans = _wanted.spans, None
    if ending is not None:
        ending.close()


def is_on() -> bool:
    """Return whether anybody wants to know of hops."""
    return _wanted.logged or _wanted.spans is not None


def begin() -> int:
    """Return the moment a hop begins, in nanoseconds since 1970; 0 when nobody wants to know."""
    return time.time_ns() if is_on() else 0


def hop(name: str, conversation_id: str, seq: int, begun: int, message_id: str | None, **what: str | int | bool) -> None:
    """Tell that the input or message *seq* has passed *name*, which began at *begun*; on the loop's thread."""
    if _wanted.logged:
        trace = {"trace_id": f"{trace_of(message_id)[0]:032x}"} if message_id is not None else {}
        log.debug("hop", hop=name, conversation_id=conversation_id, seq=seq, **trace, **what)
    if _wanted.spans is not None and begun and message_id is not None:
        _wanted.spans.tell(
            name, message_id, begun, {"conversation_id": conversation_id, "seq": seq, "message_id": message_id, **what}
        )


def trace_of(message_id: str) -> tuple[int, int]:
    """Return the numbers of a message's trace (128 bits) and of its root span (64 bits)."""
    made = blake2b(message_id.encode(), digest_size=24).digest()
    return int.from_bytes(made[:16]) or 1, int.from_bytes(made[16:]) or 1


class _Spans:
    """Makes spans and hands them to a thread of the library's, which drops them rather than grow without end."""

    def __init__(self, endpoint: str, ratio: float, resource: dict[str, str]) -> None:
        try:
            from opentelemetry import context, trace
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
            from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
            from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
        except ImportError as error:
            raise ConfigError(
                f"tracing.endpoint is set, and {error.name} is not installed: {sys.executable} -m pip install 'omniline[tracing]', "
                "or leave the setting out"
            ) from None

        class Ids(RandomIdGenerator):
            """Gives a root the numbers that are made for it, everything else a span number by chance."""

            root: tuple[int, int] | None = None

            def generate_trace_id(self) -> int:
                return self.root[0] if self.root is not None else super().generate_trace_id()

            def generate_span_id(self) -> int:
                return self.root[1] if self.root is not None else super().generate_span_id()

        self._trace = trace
        self._nowhere = context.Context()
        self._ids = Ids()
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "omniline", **resource}),
            sampler=TraceIdRatioBased(ratio),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._exporter: Any = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=FLUSH_SECONDS)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        # Each try that is to be made again would be a line.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.ERROR)
        self._tracer = self._provider.get_tracer("omniline")

    def tell(self, name: str, message_id: str, begun: int, what: dict[str, str | int | bool]) -> None:
        trace_id, root_id = trace_of(message_id)
        attributes = {f"omniline.{key}": value for key, value in what.items()}
        where = self._nowhere
        if name == ROOT:
            self._ids.root = trace_id, root_id
        else:
            flags = self._trace.TraceFlags(self._trace.TraceFlags.SAMPLED)
            root = self._trace.SpanContext(trace_id, root_id, is_remote=True, trace_flags=flags)
            where = self._trace.set_span_in_context(self._trace.NonRecordingSpan(root), self._nowhere)
        try:
            span = self._tracer.start_span(name, context=where, start_time=begun, attributes=attributes)
        finally:
            self._ids.root = None
        span.end()

    def close(self) -> None:
        # The library's own deadlines hold for one batch of many; a collector that is away would keep the stop.
        flushing = threading.Thread(target=self._provider.force_flush, daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)
        self._exporter.shutdown()
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(1.0)
