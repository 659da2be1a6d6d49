"""Traces: a header that can be believed is gone on from, any other begins a trace of its own."""

import re

import structlog
from hypothesis import given
from hypothesis import strategies as st

from leadline_common.telemetry.tracing import (
    begun,
    calling,
    carried_by,
    continued,
    current_trace,
    headers_of,
    trace_id_of,
    trace_in,
    within,
)
from leadline_testing.tables import every_row

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{TRACE}-{SPAN}-01"
STATE = "vendor=p1-q2,rojo@tenant=00f067aa0ba902b7"


def test_a_trace_goes_on_in_a_span_of_its_own() -> None:
    """The trace and what was decided about it stay, the span is new, whether it is to be recorded or not."""
    for flags in ("00", "01"):
        given_trace = f"00-{TRACE}-{SPAN}-{flags}"
        for span in (continued(given_trace), begun("work", given_trace)):
            goes_on = carried_by(span)
            assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-{flags}", goes_on)
            assert SPAN not in goes_on
            assert trace_id_of(goes_on) == TRACE


def test_the_tracestate_goes_on_as_it_came() -> None:
    """What tracing systems before us noted reaches those after us, through headers and what is stored."""
    came = trace_in({"traceparent": GIVEN, "tracestate": STATE})
    goes_on = carried_by(continued(came))
    assert headers_of(goes_on)["tracestate"] == STATE
    assert trace_in(headers_of(goes_on)) == goes_on
    assert trace_id_of(goes_on) == TRACE


@every_row("state", ["", " ", "no pair", f"{STATE},vendor=again", f"a={'x' * 600}", "ü=1"])
def test_a_tracestate_that_is_none_is_left_out(state: str) -> None:
    """A broken tracestate is dropped, and the trace goes on without it."""
    goes_on = headers_of(carried_by(continued(f"{GIVEN} {state}")))
    assert goes_on.keys() == {"traceparent"}
    assert trace_id_of(goes_on["traceparent"]) == TRACE


def test_no_tracestate_goes_on_without_its_trace() -> None:
    """What was noted about a trace that cannot be read says nothing of the one that is begun."""
    assert headers_of(carried_by(continued(f"nonsense {STATE}"))).keys() == {"traceparent"}
    assert trace_in({"tracestate": STATE}) is None


def test_what_a_later_version_adds_is_left_out() -> None:
    """The first four parts of an unknown version are read, and go on as the version that is known."""
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", carried_by(continued(f"cc-{TRACE}-{SPAN}-ff-more")))


@every_row(
    "text",
    [
        *(None, "", "nonsense", f"00-{TRACE}-{SPAN}", f"{GIVEN}-more", f"{GIVEN}{'x' * 600}"),
        *(f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01"),
        GIVEN.upper(),
    ],
)
def test_what_is_no_trace_begins_one(text: str | None) -> None:
    """A header that breaks the rules of W3C is as good as none."""
    assert trace_id_of(carried_by(continued(text))) != TRACE


@given(st.text())
def test_any_text_gives_a_valid_trace(text: str) -> None:
    """Whatever a client sends, what goes on is well-formed and not all zeros."""
    again = carried_by(continued(text))
    assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", again)
    assert trace_id_of(carried_by(continued(again))) == trace_id_of(again)


def test_the_present_trace_is_in_each_log_line_and_ends_with_its_work() -> None:
    """Log lines of the work carry its ids, those before and after do not; traces can be nested."""
    outer, inner = continued(GIVEN), continued(None)
    processors = [structlog.contextvars.merge_contextvars]
    with structlog.testing.capture_logs(processors) as logs:
        log = structlog.get_logger()
        with within(outer):
            with within(inner):
                log.info("inside")
                assert current_trace() == carried_by(inner)
            log.info("around")
        log.info("after")
    assert current_trace() is None
    ids = [(entry.get("trace_id"), entry.get("span_id")) for entry in logs]
    assert ids == [ids_of(carried_by(inner)), ids_of(carried_by(outer)), (None, None)]


def ids_of(trace: str) -> tuple[str, str]:
    """Return the ids of the trace and the span."""
    _, trace_id, span_id, _ = trace.split("-")
    return trace_id, span_id


def test_a_call_that_is_not_recorded_changes_nothing() -> None:
    """Where spans go nowhere, what is asked of a store is part of the same span."""
    with within(continued(GIVEN)):
        before = current_trace()
        with calling("write ingest.db", {}) as span:
            assert not span.is_recording()
            assert current_trace() == before
