"""A collector of OpenTelemetry's, as far as tests need one: takes spans by OTLP over HTTP and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


@dataclass(frozen=True, slots=True)
class Span:
    """One span; numbers in hexadecimal, times in nanoseconds since 1970."""

    name: str
    trace: str
    id: str
    parent: str
    begun: int
    ended: int
    process: str
    attributes: dict[str, Any]


class Collector:
    """What came, in the order it came."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.status = 200
        """What is answered."""
        self._came = threading.Condition()
        self.url = ""

    def take(self, body: bytes) -> None:
        """Keep the spans of one request."""
        asked = ExportTraceServiceRequest.FromString(body)
        with self._came:
            for of in asked.resource_spans:
                process = {one.key: one.value.string_value for one in of.resource.attributes}["service.instance.id"]
                self.spans += [
                    Span(
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        process,
                        {one.key: _value(one.value) for one in span.attributes},
                    )
                    for scope in of.scope_spans
                    for span in scope.spans
                ]
            self._came.notify_all()

    def wait_for(self, *names: str, seconds: float = 30) -> list[Span]:
        """Return all spans once there is one of each of *names*. Raises TimeoutError."""
        with self._came:
            if not self._came.wait_for(lambda: {span.name for span in self.spans} >= set(names), seconds):
                raise TimeoutError(f"only {sorted({span.name for span in self.spans})} came")
            return list(self.spans)


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Give a collector that listens at its `url`."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces" and collector.status == 200:
                collector.take(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield collector
        finally:
            server.shutdown()
