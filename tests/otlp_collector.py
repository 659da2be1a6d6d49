"""A local collector of spans: OTLP over HTTP, decoded by the exporter's own protocol package."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from leadline_testing.running_server import LOOPBACK


class Received(NamedTuple):
    """One span as it was received; ids are hex, `parent` is empty for the first of a trace."""

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent: str
    state: str
    attributes: dict[str, str]
    links: set[str]
    failed: bool


@dataclass
class Collector:
    """What was received: `bodies` as they came, and the spans in them.

    `status` is answered to each; while `silent` is set nothing is answered.
    """

    endpoint: str = ""
    status: int = 200
    bodies: list[bytes] = field(default_factory=list)
    silent: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)

    @property
    def spans(self) -> list[Received]:
        """All spans that were received."""
        return [span for body in self.bodies for span in _spans_of(body)]


@contextmanager
def collector() -> Iterator[Collector]:
    """Run a collector on a free port."""
    collector = Collector()

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.bodies.append(body)
            if collector.silent.is_set():
                collector.closed.wait()
                return
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(collector.status if self.path == "/v1/traces" else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Taking)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    collector.endpoint = f"http://{LOOPBACK}:{server.server_port}"
    try:
        yield collector
    finally:
        collector.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _spans_of(body: bytes) -> Iterator[Received]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _texts(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Received(
                    service,
                    span.name,
                    Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    span.trace_state,
                    _texts(span.attributes),
                    {link.span_id.hex() for link in span.links},
                    span.status.code == Status.STATUS_CODE_ERROR,
                )


def _texts(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: str(getattr(pair.value, pair.value.WhichOneof("value") or "")) for pair in attributes}
