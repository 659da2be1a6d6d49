"""Identifiers: ordered by time, the same for the same message, and told from anything else."""

import time

import pytest

from leadline_common.ids import age_of, derived_id, is_id, new_id

SOME = "9f0c1d5e-3c1b-4a52-8a57-0f5a2f6f1c3d"


def test_new_ids_differ_and_sort_by_time() -> None:
    """Sorting by id is sorting by creation, also within a millisecond."""
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_a_derived_id_depends_on_every_part() -> None:
    """The same parts give the same id; another part, order or cut gives another."""
    assert derived_id("local", "m1", "0") == derived_id("local", "m1", "0")
    others = {derived_id(*parts) for parts in (("a", "b"), ("b", "a"), ("ab",), ("a", "b", ""), ("a", "c"))}
    assert len(others) == 5
    assert all(map(is_id, others))


@pytest.mark.parametrize("text", ["", "x", "42", SOME.upper(), SOME.replace("-", ""), f"{{{SOME}}}"])
def test_only_the_canonical_form_is_an_id(text: str) -> None:
    """Other spellings of a UUID are no ids, so that one record has one id."""
    assert not is_id(text)
    assert is_id(new_id())


def test_age_is_read_from_the_id() -> None:
    """A UUIDv7 says when it was made, to the millisecond."""
    before = time.time()
    identifier = new_id()
    assert -0.002 <= age_of(identifier, time.time()) <= time.time() - before + 0.002
    assert age_of(identifier, before + 60) == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize("text", ["", "x", derived_id("a"), SOME])
def test_what_carries_no_time_is_infinitely_old(text: str) -> None:
    """Nobody waits for an id that Leadline did not make a moment ago."""
    assert age_of(text, time.time()) == float("inf")
