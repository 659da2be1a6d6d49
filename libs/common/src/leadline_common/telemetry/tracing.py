"""Traces, by OpenTelemetry's API: one trace from a request through every message it leads to, to the result.

A trace context is one text here, which is also what is stored: the W3C `traceparent`, and after a space the
`tracestate` where there is one. In HTTP and AMQP the two are headers. Where spans go nowhere (see `recorded`)
none is recorded, but each piece of work has ids of its own all the same: log lines carry them and they go on.
https://www.w3.org/TR/trace-context/
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import structlog
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace import Span as _Span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
"""The headers, in HTTP and in AMQP."""

Span = _Span
"""A piece of work; what is noted on one that is not recorded is lost, at next to no cost."""
Kind = Literal["server", "producer", "consumer", "client", "internal"]
Attributes = Mapping[str, str | int | float | Sequence[str]]
"""Names are those of OpenTelemetry's semantic conventions where these have one; values never are lead text.

https://opentelemetry.io/docs/specs/semconv/
"""

_propagator = TraceContextTextMapPropagator()
_tracer: ContextVar[Tracer | None] = ContextVar("leadline_tracer", default=None)


def continued(trace: str | None) -> Span:
    """Return a span of the trace context's trace, of a new trace where it names none; it is not recorded."""
    parent = _parent(trace)
    known = parent.is_valid
    return NonRecordingSpan(
        SpanContext(
            parent.trace_id if known else secrets.randbits(128) or 1,
            secrets.randbits(64) or 1,
            is_remote=False,
            # Of the flags only the first bit has a meaning in the version that is sent on.
            trace_flags=TraceFlags(parent.trace_flags & TraceFlags.SAMPLED if known else TraceFlags.SAMPLED),
            trace_state=parent.trace_state,
        )
    )


def begun(
    name: str,
    trace: str | None,
    kind: Kind = "internal",
    attributes: Attributes | None = None,
    links: Iterable[Span] = (),
) -> Span:
    """Return a span as `continued` does, to be recorded where spans are; whoever begins it has to end it."""
    tracer = _tracer.get()
    if tracer is None:
        return continued(trace)
    return tracer.start_span(
        name,
        set_span_in_context(NonRecordingSpan(_parent(trace)), Context()),
        SpanKind[kind.upper()],
        attributes,
        [Link(span.get_span_context()) for span in links],
    )


def records() -> bool:
    """Tell whether spans that are begun here are recorded."""
    return _tracer.get() is not None


def current_trace() -> str | None:
    """Return the trace context with which the present work asks others for theirs; None outside of any."""
    span = get_current_span()
    return carried_by(span) if span.get_span_context().is_valid else None


def current_trace_id() -> str | None:
    """Return the id of the present work's trace; None outside of any work."""
    return trace_id_of(current_trace())


def carried_by(span: Span) -> str:
    """Return the trace context with which a span's work asks others for theirs."""
    headers: dict[str, str] = {}
    _propagator.inject(headers, set_span_in_context(span, Context()))
    return " ".join(headers[name] for name in (TRACEPARENT, TRACESTATE) if name in headers)


def trace_in(headers: Mapping[str, str]) -> str | None:
    """Return the trace context that headers carry, unchecked; None where they carry none."""
    traceparent, tracestate = headers.get(TRACEPARENT), headers.get(TRACESTATE)
    return f"{traceparent} {tracestate}" if traceparent is not None and tracestate else traceparent


def headers_of(trace: str) -> dict[str, str]:
    """Return the headers that carry a trace context."""
    traceparent, _, tracestate = trace.partition(" ")
    return {TRACEPARENT: traceparent, TRACESTATE: tracestate} if tracestate else {TRACEPARENT: traceparent}


def trace_id_of(trace: str | None) -> str | None:
    """Return the id of the trace that a trace context of ours names, 32 hex digits."""
    return trace and trace.split("-")[1]


@contextmanager
def within(span: Span) -> Iterator[None]:
    """Do what follows as this span: log lines carry its ids, and published messages go on in its trace."""
    ids = span.get_span_context()
    with (
        current(span),
        structlog.contextvars.bound_contextvars(
            trace_id=format_trace_id(ids.trace_id), span_id=format_span_id(ids.span_id)
        ),
    ):
        yield


@contextmanager
def current(span: Span) -> Iterator[None]:
    """Do what follows as this span, of which log lines say nothing."""
    # By hand: `use_span` would note what an exception says, which may hold a lead's text.
    token = attach(set_span_in_context(span))
    try:
        yield
    finally:
        detach(token)


@contextmanager
def ended(*spans: Span) -> Iterator[None]:
    """End the spans on leaving, as failed where something is raised."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            fail(span, type(error).__name__)
        raise
    finally:
        for span in spans:
            span.end()


@contextmanager
def working(name: str, trace: str | None) -> Iterator[None]:
    """Do what follows as a span of the trace context's trace."""
    span = begun(name, trace)
    with ended(span), within(span):
        yield


@contextmanager
def calling(name: str, attributes: Attributes) -> Iterator[Span]:
    """Call another system as part of the present work; recorded where that is."""
    span = client_span(name, attributes)
    if span is None:
        yield INVALID_SPAN
        return
    with ended(span), current(span):
        yield span


def client_span(name: str, attributes: Attributes) -> Span | None:
    """Begin a call to another system as part of the present work; None where that is not recorded."""
    tracer = _tracer.get()
    if tracer is None or not get_current_span().is_recording():
        return None
    return tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)


def fail(span: Span, error: str) -> None:
    """Mark a span as failed by this kind of error, a name out of few."""
    span.set_attribute("error.type", error)
    span.set_status(Status(StatusCode.ERROR))


@contextmanager
def recorded(service: str, endpoint: str | None) -> Iterator[None]:
    """Record the spans that are begun inside and send them to the OTLP endpoint; nothing where it is None.

    `service` is the name under which they are found. On leaving, what is left is sent, for three seconds at
    most. Raises SettingsError where an OTEL_… variable has a value that cannot be used.
    """
    if endpoint is None:
        yield
        return
    # Loaded where it is needed: it takes start-up time and memory.
    from leadline_common.telemetry.otlp import exporting  # noqa: PLC0415

    with exporting(service, endpoint) as tracer:
        token = _tracer.set(tracer)
        try:
            yield
        finally:
            _tracer.reset(token)


def _parent(trace: str | None) -> SpanContext:
    """Return what the text says; the invalid context where it is no trace context."""
    context = _propagator.extract(headers_of(trace), Context()) if trace else Context()
    return get_current_span(context).get_span_context()
