"""The statistics of an evaluation."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_standalone.quality import (
    LABELS,
    Judged,
    Share,
    accuracy,
    confusion,
    flips,
    lift,
    precision,
    recall,
)

SHARES = st.integers(1, 5_000).flatmap(lambda of: st.builds(Share, st.integers(0, of), st.just(of)))
ROWS = st.lists(
    st.builds(
        Judged,
        st.integers(2, 10_000),
        st.sampled_from(LABELS),
        st.none() | st.sampled_from(LABELS),
        st.none() | st.integers(0, 100),
    ),
    max_size=60,
)
FIVE = [
    Judged(2, "High", "High", 95),
    Judged(3, "High", "Medium", 60),
    Judged(4, "Medium", "Medium", 55),
    Judged(5, "Low", "High", 81),
    Judged(6, "Low", None, 20),
]


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"),
    # Worked out with the formula in decimals of 50 digits.
    [(32, 40, 0.6524, 0.8950), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 2, 0.0945, 0.9055)],
)
def test_the_interval_is_wilsons(hits: int, of: int, low: float, high: float) -> None:
    """The interval is the score interval, which a normal approximation would miss near 0 and 1."""
    assert Share(hits, of).interval() == pytest.approx((low, high), abs=5e-5)


@given(SHARES)
def test_the_interval_holds_the_share_and_nothing_impossible(share: Share) -> None:
    """Whatever the counts, the interval is within 0 and 1, holds the share, and mirrors the misses'."""
    low, high = share.interval()
    assert share.value is not None
    assert 0 <= low <= share.value <= high <= 1
    mirrored = Share(share.of - share.hits, share.of).interval()
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(SHARES, st.integers(2, 50))
def test_more_rows_narrow_the_interval(share: Share, times: int) -> None:
    """The same share of more rows is known better."""
    low, high = share.interval()
    narrower = Share(share.hits * times, share.of * times).interval()
    assert narrower[1] - narrower[0] < high - low


def test_nothing_is_known_of_nothing() -> None:
    """Where there is no row there is no share, and any is possible."""
    assert (Share(0, 0).value, Share(0, 0).interval()) == (None, (0.0, 1.0))


def test_five_rows_by_hand() -> None:
    """Right, wrong and unscored rows count as a person counts them; one that is unscored is wrong."""
    assert accuracy(FIVE) == (2, 5)
    assert confusion(FIVE) == {
        ("High", "High"): 1,
        ("High", "Medium"): 1,
        ("Medium", "Medium"): 1,
        ("Low", "High"): 1,
        ("Low", None): 1,
    }
    assert [precision(FIVE, label) for label in LABELS] == [(1, 2), (1, 2), (0, 0)]
    assert [recall(FIVE, label) for label in LABELS] == [(1, 2), (1, 1), (0, 2)]


@given(ROWS)
def test_every_row_is_in_the_table_once(rows: Sequence[Judged]) -> None:
    """The confusion matrix adds up to the rows, and its diagonal to the accuracy and to the recalls."""
    counts = confusion(rows)
    assert counts.total() == len(rows)
    assert sum(counts[label, label] for label in LABELS) == accuracy(rows).hits
    assert sum(recall(rows, label).hits for label in LABELS) == accuracy(rows).hits


def test_lift_is_the_share_of_high_over_that_of_all() -> None:
    """Half of the scored rows are labelled High: a band of these alone has twice that, an empty one none."""
    bands = lift(FIVE)
    assert [(band.low, band.high) for band in bands] == [(0, 19), (20, 39), (40, 59), (60, 79), (80, 100)]
    assert [band.labelled_high for band in bands] == [(0, 0), (0, 0), (0, 1), (1, 1), (1, 2)]
    assert [band.lift for band in bands] == [None, None, 0.0, 2.0, 1.0]


@given(ROWS)
def test_lift_is_one_on_average(rows: Sequence[Judged]) -> None:
    """Weighted by their rows the lifts of all bands come to 1, wherever a scored row is labelled High."""
    bands = [band for band in lift(rows) if band.lift is not None]
    scored = sum(band.labelled_high.of for band in bands)
    if bands:
        average = sum((band.lift or 0.0) * band.labelled_high.of for band in bands) / scored
        assert average == pytest.approx(1.0)
    else:
        assert not any(row.label == "High" and row.intent and row.score is not None for row in rows)


def test_a_flip_is_another_intent_in_another_run() -> None:
    """Rows are compared where each run scored them; the others say nothing of how stable the answers are."""
    again = [row._replace(intent=intent) for row, intent in zip(FIVE, (*LABELS, "High", "Low"), strict=True)]
    found = flips([FIVE, again])
    assert found.compared == 4
    assert found.rows == [(4, ["Medium", "Low"])]


@given(ROWS, st.integers(1, 4))
def test_the_same_answers_never_flip(rows: Sequence[Judged], runs: int) -> None:
    """Runs that agree have no flips, however many they are."""
    assert flips([rows] * runs).rows == []
