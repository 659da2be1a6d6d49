"""Cursors: opaque, and refused unless they are as they were written."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_contracts.errors import Problem
from leadline_results.runs.pagination import read_position, write_position
from leadline_results.runs.store import Position
from leadline_testing.tables import every_row


@given(st.integers(-1, 100), st.text(st.characters(exclude_categories=["Cs"])), st.uuids().map(str))
def test_a_position_comes_back_from_its_cursor(score: int, lead_id: str, run_id: str) -> None:
    """Whatever the ids are, a link leads on from where the page ended, and is safe in an address."""
    position = Position(score, lead_id, run_id)
    text = write_position(position)
    assert read_position(text) == position
    assert text.replace("-", "").replace("_", "").isalnum()


@every_row(
    "written",
    [
        "",
        "null",
        "{}",
        '[1,"a"]',
        '[1,"a","b","c"]',
        '["1","a","b"]',
        "[1,2,3]",
        '[1.5,"a","b"]',
        '[true,"a","b"]',
        '[101,"a","b"]',
        '[-2,"a","b"]',
        '[1e999,"a","b"]',
        '[Infinity,"a","b"]',
        '[NaN,"a","b"]',
        '[99999999999999999999999999,"a","b"]',
        '[1,"\\ud800","b"]',
        "[" * 5_000,
        "\x00\xff",
    ],
)
def test_a_cursor_that_was_not_written_here_is_refused(written: str) -> None:
    """Nothing a caller makes up reaches the store, and none of it is a fault of ours."""
    text = base64.urlsafe_b64encode(written.encode("latin-1")).decode()
    with pytest.raises(Problem) as refusal:
        read_position(text)
    assert refusal.value.status == 400


@given(st.text())
def test_any_text_is_a_cursor_or_a_problem(text: str) -> None:
    """However a cursor is spoilt, the answer is a problem that says what to do."""
    try:
        read_position(text)
    except Problem as problem:
        assert "Link" in problem.detail  # noqa: PT017 - a text that can be read is as fine
