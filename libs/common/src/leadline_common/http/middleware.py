"""The middleware of every request: its trace, its duration as a metric, and a log line."""

import time

import structlog
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from leadline_common.telemetry.metrics import Metrics
from leadline_common.telemetry.tracing import (
    TRACEPARENT,
    TRACESTATE,
    Span,
    begun,
    continued,
    ended,
    fail,
    trace_in,
    within,
)

_METHODS = frozenset(method.value for method in HttpMethod)
_PROBES = ("/health", "/metrics")
"""Paths that are requested every few seconds and are not logged."""

log = structlog.get_logger()


def observed(app: ASGIApp, metrics: Metrics) -> ASGIApp:
    """Answer each request as a span of the trace that its `traceparent` names, or of a new one.

    Probes have a span that is not recorded.
    """

    async def observing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        span = _span(scope)
        with ended(span), within(span):
            try:
                await app(scope, receive, note_status)
            finally:
                _note(metrics, scope, status, time.perf_counter() - started)
                _describe(span, scope, status)

    return observing


def _span(scope: HTTPScope) -> Span:
    trace = _trace(scope)
    if scope["path"].startswith(_PROBES):
        return continued(trace)
    known = scope["method"] in _METHODS
    method = {"http.request.method": scope["method"] if known else "_OTHER"}
    return begun(scope["method"] if known else "HTTP", trace, "server", method)


def _trace(scope: HTTPScope) -> str | None:
    """Return the trace context of a request with exactly one traceparent; of several none is to be believed.

    Several headers of tracestate are one list (RFC 9110, section 5.3).
    """
    found = {
        name: [value.decode("latin-1") for key, value in scope["headers"] if key == name.encode()]
        for name in (TRACEPARENT, TRACESTATE)
    }
    if len(found[TRACEPARENT]) != 1:
        return None
    return trace_in({name: ",".join(values) for name, values in found.items()})


def _describe(span: Span, scope: HTTPScope, status: int) -> None:
    if route := scope.get("path_template"):
        span.update_name(f"{scope['method']} {route}")
        span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        fail(span, str(status))


def _note(metrics: Metrics, scope: HTTPScope, status: int, seconds: float) -> None:
    route = str(scope.get("path_template") or "unknown")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    metrics.requests.labels(method, route, str(status)).observe(seconds)
    if not route.startswith(_PROBES):
        log.info("request", method=method, route=route, status=status, seconds=round(seconds, 4))
