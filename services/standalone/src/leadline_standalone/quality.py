"""How well labels and judgements agree. Pure functions over rows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import sqrt
from typing import NamedTuple, get_args

from leadline_contracts.scoring import Intent

LABELS: tuple[Intent, ...] = get_args(Intent)
_BANDS = (0, 20, 40, 60, 80, 101)
_Z = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


class Judged(NamedTuple):
    """A row of the file (the header is row 1), its label, and its intent, None where it was not scored."""

    row: int
    label: Intent
    intent: Intent | None
    score: int | None


class Share(NamedTuple):
    """A share: a number of hits out of a number of rows."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """The share from 0 to 1; None where there are no rows."""
        return self.hits / self.of if self.of else None

    def interval(self) -> tuple[float, float]:
        """Return the 95 % score interval, which also holds near 0 and 1; (0, 1) where there are no rows.

        E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference, Journal of the
        American Statistical Association 22 (1927), 209-212.
        """
        if not self.of:
            return 0.0, 1.0
        share, spread = self.hits / self.of, _Z**2 / self.of
        middle = share + spread / 2
        reach = sqrt(spread * (share * (1 - share) + spread / 4))
        low, high = (middle - reach) / (1 + spread), (middle + reach) / (1 + spread)
        # Rounding must not take the ends past what they are where nothing, or everything, is a hit.
        return (0.0 if self.hits == 0 else low), (1.0 if self.hits == self.of else high)


class Band(NamedTuple):
    """The scored rows between two scores (both included): the share of those labelled High, and its lift.

    `lift` is that share over the share in all scored rows; None where either has no rows.
    """

    low: int
    high: int
    labelled_high: Share
    lift: float | None


class Flips(NamedTuple):
    """How many rows were scored in each of several runs; and those whose intent was not always the same."""

    compared: int
    rows: list[tuple[int, list[Intent]]]


def accuracy(rows: Sequence[Judged]) -> Share:
    """Return the share of rows whose intent is their label; one that was not scored counts as wrong."""
    return Share(sum(row.intent == row.label for row in rows), len(rows))


def confusion(rows: Iterable[Judged]) -> Counter[tuple[Intent, Intent | None]]:
    """Return how many rows have each label and intent."""
    return Counter((row.label, row.intent) for row in rows)


def precision(rows: Iterable[Judged], label: Intent) -> Share:
    """Return the share of rows with this label among those that got it as intent."""
    got = [row for row in rows if row.intent == label]
    return Share(sum(row.label == label for row in got), len(got))


def recall(rows: Iterable[Judged], label: Intent) -> Share:
    """Return the share of rows that got this label as intent among those that have it."""
    have = [row for row in rows if row.label == label]
    return Share(sum(row.intent == label for row in have), len(have))


def lift(rows: Iterable[Judged]) -> list[Band]:
    """Return the bands of scores, the lowest first; rows that were not scored in full are left out."""
    scored = [(row.score, row.label) for row in rows if row.intent is not None and row.score is not None]
    overall = _high([label for _, label in scored]).value
    bands = []
    for low, end in pairwise(_BANDS):
        share = _high([label for score, label in scored if low <= score < end])
        above = share.value / overall if share.value is not None and overall else None
        bands.append(Band(low, end - 1, share, above))
    return bands


def flips(runs: Sequence[Sequence[Judged]]) -> Flips:
    """Compare runs over the same rows in the same order."""
    compared, flipped = 0, []
    for row in zip(*runs, strict=True):
        intents = [judged.intent for judged in row if judged.intent is not None]
        if len(intents) == len(runs):
            compared += 1
            if len(set(intents)) > 1:
                flipped.append((row[0].row, intents))
    return Flips(compared, flipped)


def _high(labels: Sequence[Intent]) -> Share:
    return Share(labels.count("High"), len(labels))
