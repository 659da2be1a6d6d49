"""What is told of all scorings of a prospect: the newest result, and why each differs from the one before."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from leadline_contracts.scoring import Factor, Lead, RuleScored
from leadline_results.runs import history
from leadline_results.runs.history import ProspectView, prospect_view
from leadline_results.runs.record import Record, Status, conclude

from .builders import START, ai_answer, done_record

LEAD = Lead(id="lead", name="Ada", role="CEO", row=4, extra={"Notes": "x"})


async def shown(records: Sequence[Record]) -> ProspectView:
    """What is shown of the records, which are given from the newest run on."""

    async def stream() -> AsyncIterator[Record]:
        for record in records:
            yield record

    view = await prospect_view(stream())
    assert view is not None
    return view


def scoring(run_id: str, **factors: int) -> Record:
    """A scoring whose rule layer gave these points."""
    earned = [
        Factor(layer="rules", factor=name, points=points, max=50, evidence=f"{name} in {run_id}")
        for name, points in factors.items()
    ]
    rules = RuleScored(lead_id="lead", points=sum(factors.values()), factors=earned)
    return conclude(done_record(LEAD, run_id=run_id, rules=rules), START)


def changes(view: ProspectView) -> list[list[tuple[Any, ...]]]:
    """The changes of each scoring."""
    return [
        [(one.factor, one.before, one.after, one.evidence) for one in scoring.changes]
        for scoring in view.history
    ]


async def test_each_scoring_says_which_factors_differ_from_the_one_before() -> None:
    """More and fewer points, factors that came and that went; those that stayed are not named."""
    view = await shown(
        [
            scoring("3", role=20, industry=0, icp=10),
            scoring("2", role=20, industry=5, old=1),
            scoring("1", role=10, industry=5, old=1),
        ]
    )
    assert changes(view) == [
        [
            ("industry", 5, 0, "industry in 3"),
            ("icp", None, 10, "icp in 3"),
            ("old", 1, None, "old in 2"),
        ],
        [("role", 10, 20, "role in 2")],
        [],
    ]
    assert [(one.run_id, one.score, one.compared_with) for one in view.history] == [
        ("3", 80, "2"),
        ("2", 76, "1"),
        ("1", 66, None),
    ]


async def test_the_ai_layers_part_is_a_factor_too() -> None:
    """An answer that came at last, or another intent, is why the score changed."""
    failed = ai_answer("lead", error="model overloaded")
    partial = conclude(done_record(LEAD, run_id="2", ai=failed), START)
    view = await shown([done_record(LEAD, run_id="3", intent="Low"), partial, done_record(LEAD, run_id="1")])
    assert [[(one.factor, one.before, one.after) for one in each.changes] for each in view.history] == [
        [("intent", None, 10)],
        [("intent", 50, None)],
        [],
    ]
    assert [one.status for one in view.history] == ["scored", "partial", "scored"]
    assert view.history[0].changes[0].evidence == "Low: lead decides."


async def test_scorings_for_different_offers_are_not_compared() -> None:
    """A prospect is worth more to one offer than to another; that is no change."""
    mine, other = scoring("4", role=20), scoring("3", role=1).model_copy(update={"offer_id": "other"})
    view = await shown([mine, other, scoring("2", role=10), scoring("1", role=10)])
    assert [one.compared_with for one in view.history] == ["2", None, "1", None]
    assert [one.offer_id for one in view.history] == ["offer", "other", "offer", "offer"]
    assert changes(view)[0] == [("role", 10, 20, "role in 4")]


async def test_what_is_pending_is_listed_and_compared_with_nothing() -> None:
    """A run under way shows in the history, and the result is still the one that stands."""
    unanswered = {"status": Status.PENDING, "ai": None, "score": None, "intent": None, "scored_at": None}
    waiting = done_record(LEAD, run_id="2").model_copy(update=unanswered)
    view = await shown([waiting, scoring("1", role=10), scoring("0", role=5)])
    assert (view.run_id, view.status, view.score) == ("1", "scored", 60)
    assert [(one.run_id, one.status, one.compared_with) for one in view.history] == [
        ("2", "pending", None),
        ("1", "scored", "0"),
        ("0", "scored", None),
    ]
    alone = await shown([waiting])
    assert (alone.run_id, alone.status, len(alone.history)) == ("2", "pending", 1)
    assert (alone.row, alone.extra) == (4, {"Notes": "x"})


async def test_a_history_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a prospect is scored, the answer stays small, and its last scoring is compared too."""
    monkeypatch.setattr(history, "MOST_SCORINGS", 3)
    view = await shown([scoring(str(9 - n), role=9 - n) for n in range(9)])
    assert [(one.run_id, one.compared_with) for one in view.history] == [("9", "8"), ("8", "7"), ("7", "6")]
    assert len(changes(view)[2]) == 1
