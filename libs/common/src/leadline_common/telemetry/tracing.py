"""W3C trace context: one trace from a request through every message it leads to, to the result.

Nothing is recorded here: the ids go on in the header `traceparent` and stand in each log line, so that
whatever collects traces and logs can put together what belongs together.
https://www.w3.org/TR/trace-context/
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import structlog

TRACEPARENT = "traceparent"
"""The header, in HTTP and in AMQP."""
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_SAMPLED = "01"


class Trace(NamedTuple):
    """Where a piece of work belongs: 32 hex digits of its trace, 16 of its own span, 2 of flags."""

    trace_id: str
    span_id: str
    flags: str

    @property
    def traceparent(self) -> str:
        """The header with which this work asks others to do theirs."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


_current: ContextVar[Trace | None] = ContextVar("leadline_trace", default=None)


def continued(traceparent: str | None) -> Trace:
    """Return a new span of the trace that the header names; of a new trace where it names none."""
    parts = _FORM.fullmatch(traceparent or "")
    if parts is None or not _valid(*parts.groups()):
        return Trace(secrets.token_hex(16), secrets.token_hex(8), _SAMPLED)
    # Of the flags only the first bit has a meaning in the version that is sent on.
    return Trace(parts[2], secrets.token_hex(8), f"{int(parts[4], 16) & 1:02x}")


def current() -> Trace | None:
    """Return the span of the work that is being done; None outside of any."""
    return _current.get()


def current_traceparent() -> str | None:
    """Return the header with which the present work asks others to do theirs; None outside of any work."""
    trace = _current.get()
    return trace and trace.traceparent


def trace_id_of(traceparent: str | None) -> str | None:
    """Return the id of the trace that a traceparent of ours names."""
    return traceparent and traceparent.split("-")[1]


@contextmanager
def within(trace: Trace) -> Iterator[None]:
    """Do what follows as this span: log lines carry its ids, and published messages go on in its trace."""
    token = _current.set(trace)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=trace.trace_id, span_id=trace.span_id):
            yield
    finally:
        _current.reset(token)


def _valid(version: str, trace_id: str, span_id: str, _flags: str, rest: str | None) -> bool:
    """Later versions may say more behind the flags, this one may not; ids of nothing but zeros are none."""
    known = version != "ff" and (version != "00" or rest is None)
    return known and bool(trace_id.strip("0")) and bool(span_id.strip("0"))
