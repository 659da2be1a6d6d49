"""Identifiers: ordered by time, the same for the same message, and told from anything else."""

from datetime import UTC, datetime, timedelta

import pytest

from leadline_common.clock import now
from leadline_common.ids import age_of, derived_id, is_id, made_at, new_id

MILLISECOND = timedelta(milliseconds=1)
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


def test_an_id_says_when_it_was_made() -> None:
    """A UUIDv7 holds its time to the millisecond, for whoever asks when, or how long ago."""
    before = now()
    identifier = new_id()
    after = now()
    made = made_at(identifier)
    assert made is not None
    assert before - MILLISECOND <= made <= after
    assert age_of(identifier, made + timedelta(seconds=60)) == 60
    assert age_of(identifier, made - timedelta(seconds=3)) == -3


def test_the_time_of_an_id_is_that_of_the_standard() -> None:
    """The example of RFC 9562, A.6."""
    assert made_at("017F22E2-79B0-7CC3-98C4-DC0C0C07398F") == datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "x", derived_id("a"), SOME, "ffffffff-ffff-7fff-8fff-ffffffffffff"])
def test_what_carries_no_time_is_infinitely_old(text: str) -> None:
    """Nobody waits for an id that Leadline did not make a moment ago."""
    assert made_at(text) is None
    assert age_of(text, now()) == float("inf")
