"""Traces: a header that can be believed is gone on from, any other begins a trace of its own."""

import re

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from leadline_common.telemetry.tracing import continued, current_traceparent, trace_id_of, within

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{SPAN}-01"


def test_a_trace_goes_on_in_a_span_of_its_own() -> None:
    """The trace and what was decided about it stay, the span is new."""
    for flags in ("00", "01"):
        trace = continued(f"00-{TRACE}-{SPAN}-{flags}")
        assert (trace.trace_id, trace.flags) == (TRACE, flags)
        assert trace.span_id != SPAN
        assert trace_id_of(trace.traceparent) == TRACE


def test_what_a_later_version_adds_is_left_out() -> None:
    """The first four parts of an unknown version are read, and go on as the version that is known."""
    assert continued(f"cc-{TRACE}-{SPAN}-ff-more").traceparent.startswith(f"00-{TRACE}-")
    assert continued(f"cc-{TRACE}-{SPAN}-ff-more").flags == "01"


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "nonsense", f"{GIVEN} ", f"00-{TRACE}-{SPAN}", f"{GIVEN}-more", f"{GIVEN}\n"),
        *(f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"),
        GIVEN.upper(),
    ],
)
def test_what_is_no_trace_begins_one(text: str | None) -> None:
    """A header that breaks the rules of W3C is as good as none."""
    assert continued(text).trace_id != TRACE


@given(st.text())
def test_any_text_gives_a_valid_trace(text: str) -> None:
    """Whatever a client sends, what goes on is well-formed and not all zeros."""
    again = continued(text).traceparent
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", again)
    assert continued(again).trace_id == trace_id_of(again)


def test_the_present_trace_is_in_each_log_line_and_ends_with_its_work() -> None:
    """Log lines of the work carry its ids, those before and after do not; traces can be nested."""
    outer, inner = continued(GIVEN), continued(None)
    processors = [structlog.contextvars.merge_contextvars]
    with structlog.testing.capture_logs(processors) as logs:
        log = structlog.get_logger()
        with within(outer):
            with within(inner):
                log.info("inside")
                assert current_traceparent() == inner.traceparent
            log.info("around")
        log.info("after")
    assert current_traceparent() is None
    ids = [(entry.get("trace_id"), entry.get("span_id")) for entry in logs]
    assert ids == [(inner.trace_id, inner.span_id), (TRACE, outer.span_id), (None, None)]
