"""A collector of traces: it takes OTLP over HTTP, and reads it with OpenTelemetry's own classes."""

from __future__ import annotations

import ssl
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from certificates import Signed
from redis_server import until

INTERNAL, SERVER, CLIENT = 1, 2, 3


@dataclass(frozen=True)
class Span:
    name: str
    kind: int
    trace: str
    """All ids in hex."""
    id: str
    parent: str
    """Empty where there is none."""
    state: str
    began: int
    ended: int
    """In nanoseconds since 1970."""
    attributes: dict[str, str | int]
    failure: str | None
    resource: dict[str, str]


class Collector:
    def __init__(self, signed: Signed | None = None):
        self.status = 200
        """What each request is answered; `hangs` is asked first."""
        self.said = b""
        """The body of each answer."""
        self.hangs = False
        self.bodies: list[bytes] = []
        """Of the requests that were answered with 200."""
        self.asked = 0
        self.headers: dict[str, str] = {}
        """Those of the last request, by lower-case names."""
        self.path = ""
        self._goes_on = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.asked += 1
                collector.path = self.path
                collector.headers = {name.lower(): value for name, value in self.headers.items()}
                if collector.hangs:
                    collector._goes_on.wait(60)
                if collector.status == 200:
                    collector.bodies.append(body)
                self.send_response(collector.status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(collector.said)))
                self.end_headers()
                self.wfile.write(collector.said)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._scheme = "http"
        if signed:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(signed.cert, signed.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}"

    def spans(self) -> list[Span]:
        found = []
        for body in list(self.bodies):
            request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
            for of_resource in request.resource_spans:
                resource = _attributes(of_resource.resource)
                for of_scope in of_resource.scope_spans:
                    found += [_span(span, resource) for span in of_scope.spans]
        return found

    def trace(self, trace: str) -> dict[str, list[Span]]:
        """The spans of a trace by name, once the one of a request is there. Each request's spans
        come together."""
        until(f"the trace {trace} comes", lambda: any(
            span.kind == SERVER for span in self.spans() if span.trace == trace))
        named: dict[str, list[Span]] = {}
        for span in self.spans():
            if span.trace == trace:
                named.setdefault(span.name, []).append(span)
        return named

    def stop(self) -> None:
        self._goes_on.set()
        self._server.shutdown()
        self._server.server_close()


def _attributes(message) -> dict[str, str | int]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value"))
            for pair in message.attributes}


def _span(span, resource: dict[str, str]) -> Span:
    assert len(span.trace_id) == 16 and len(span.span_id) == 8
    failure = span.status.message if span.status.code == 2 else None
    return Span(span.name, span.kind, span.trace_id.hex(), span.span_id.hex(),
                span.parent_span_id.hex(), span.trace_state, span.start_time_unix_nano,
                span.end_time_unix_nano, _attributes(span), failure, resource)
