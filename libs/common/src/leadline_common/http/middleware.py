"""The middleware of every request: its trace, its duration as a metric, and a log line."""

import time

import structlog
from litestar.enums import HttpMethod, ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from leadline_common.telemetry.metrics import Metrics
from leadline_common.telemetry.tracing import TRACEPARENT, continued, within

_METHODS = frozenset(method.value for method in HttpMethod)
_PROBES = ("/health", "/metrics")
"""Paths that are requested every few seconds and are not logged."""

log = structlog.get_logger()


def observed(app: ASGIApp, metrics: Metrics) -> ASGIApp:
    """Answer each request as a span of the trace that its `traceparent` names, or of a new one."""

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

        with within(continued(_traceparent(scope))):
            try:
                await app(scope, receive, note_status)
            finally:
                _note(metrics, scope, status, time.perf_counter() - started)

    return observing


def _traceparent(scope: HTTPScope) -> str | None:
    """Return the header where there is exactly one; of several none can be trusted."""
    found = [value for name, value in scope["headers"] if name == TRACEPARENT.encode()]
    return found[0].decode("latin-1") if len(found) == 1 else None


def _note(metrics: Metrics, scope: HTTPScope, status: int, seconds: float) -> None:
    route = str(scope.get("path_template") or "unknown")
    method = scope["method"] if scope["method"] in _METHODS else "other"
    metrics.requests.labels(method, route, str(status)).observe(seconds)
    if not route.startswith(_PROBES):
        log.info("request", method=method, route=route, status=status, seconds=round(seconds, 4))
