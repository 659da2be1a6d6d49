"""Logs: JSON lines for machines, text for people, each event once, nothing of a frame's variables."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from leadline_common.telemetry.logs import configure_logging
from leadline_common.telemetry.tracing import continued


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """Puts logging back as it was, so that other tests are not affected."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def fail(secret: str) -> None:
    raise ValueError(len(secret))


def test_a_machine_gets_one_json_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Event, level, time, service and fields, whatever the fields hold."""
    configure_logging("rules")
    structlog.get_logger().info("message_failed", queue="q", text="two\nlines", odd=object, raw=b"\xff")
    (entry,) = lines(capsys)
    assert (
        entry.items()
        >= {"event": "message_failed", "level": "info", "service": "rules", "queue": "q"}.items()
    )
    assert entry["timestamp"].endswith("Z")
    assert entry["text"] == "two\nlines"


def test_a_header_that_is_no_trace_context_is_not_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    """Anybody can send any text there, which would stand in the log, and as often as it comes."""
    configure_logging("rules")
    for state in ("Ada Lovelace, 42", "a" * 600, "ada=1,ada=2"):
        continued(f"00-{'1' * 32}-{'2' * 16}-01 {state}")
    continued("x" * 600)
    assert not lines(capsys)


def test_bound_context_is_in_every_line(capsys: pytest.CaptureFixture[str]) -> None:
    """What is bound around a piece of work is in its lines and in no later one."""
    configure_logging("rules")
    with structlog.contextvars.bound_contextvars(run_id="r1"):
        structlog.get_logger().info("inside")
        logging.getLogger("library").warning("inside too")
    structlog.get_logger().info("outside")
    assert [entry.get("run_id") for entry in lines(capsys)] == ["r1", "r1", None]


def test_the_level_holds_back_what_is_less(capsys: pytest.CaptureFixture[str]) -> None:
    """Events below the level and libraries below warning are not written."""
    configure_logging("rules", "WARNING")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    logging.getLogger("library").info("quiet")
    logging.getLogger("library").error("loud %s", "library")
    assert [entry["event"] for entry in lines(capsys)] == ["loud", "loud library"]


def test_configuring_twice_writes_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A second call replaces the first one's handler instead of adding to it."""
    configure_logging("ingest")
    configure_logging("leadline")
    structlog.get_logger().info("ours")
    logging.getLogger("library").warning("theirs")
    assert [(entry["event"], entry["service"]) for entry in lines(capsys)] == [
        ("ours", "leadline"),
        ("theirs", "leadline"),
    ]


def test_an_exception_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback is a field of the event, ours or a library's, without the frames' variables."""
    configure_logging("rules")
    try:
        fail("hunter2-in-a-variable")
    except ValueError as error:
        structlog.get_logger().error("request_failed", exc_info=error)
        logging.getLogger("library").exception("failed")
    ours, theirs = lines(capsys)
    for entry in (ours, theirs):
        assert "ValueError: 21" in entry["exception"]
        assert "in fail" in entry["exception"]
        assert "secret = " not in entry["exception"]


def test_a_person_gets_text_without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal lines are readable, and a traceback shows no values: they may be leads or keys."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logging("leadline")
    try:
        fail("hunter2-in-a-variable")
    except ValueError as error:
        structlog.get_logger().error("request_failed", route="/offer", exc_info=error)
    text = terminal.getvalue()
    assert "request_failed" in text
    assert "ValueError: 21" in text
    assert "secret = " not in text
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(text.splitlines()[0])
