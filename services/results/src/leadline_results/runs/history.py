"""All scorings of one prospect, and why its score changed from one to the next."""

from collections.abc import AsyncIterator
from datetime import datetime

from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import Factor, Intent, ModelName
from leadline_results.runs.record import Record, Status
from leadline_results.runs.views import ResultView, result_view

MOST_SCORINGS = 1_000
"""Scorings that are told of a prospect, the newest ones."""


class FactorChange(Wire):
    """A factor whose points differ from those of the scoring before; None where one of the two lacks it.

    `evidence` is that of the newer scoring, or of the older one where only that has the factor.
    """

    factor: str
    before: int | None
    after: int | None
    evidence: str


class ScoringView(Wire):
    """One scoring of a prospect.

    `compared_with` is the run of the scoring before it for the same offer, whose score is there; `changes`
    are the factors that make the difference. None and empty for the first one and for a pending one.
    """

    run_id: str
    offer_id: str
    scored_at: datetime | None
    score: int | None
    intent: Intent | None
    model: ModelName
    model_version: str | None
    status: Status
    compared_with: str | None
    changes: list[FactorChange]


class ProspectView(ResultView):
    """A prospect's newest result that is done, else its newest, and its scorings from the newest on."""

    history: list[ScoringView]


async def prospect_view(scorings: AsyncIterator[Record]) -> ProspectView | None:
    """Show a prospect by its records, the newest run's first; None where there are none.

    Of the records only one for each offer is held, without its lead, besides the newest.
    """
    newest: Record | None = None
    history: list[ScoringView] = []
    later: dict[str, tuple[int, Record]] = {}
    async for record in scorings:
        if newest is None or (record.done and not newest.done):
            newest = record
        if record.done:
            if record.offer_id in later:
                place, after = later[record.offer_id]
                history[place] = _scoring(after, record)
            later[record.offer_id] = len(history), record.model_copy(update={"lead": None})
        if len(history) == MOST_SCORINGS:
            break
        history.append(_scoring(record, None))
    return None if newest is None else ProspectView(**vars(result_view(newest)), history=history)


def _scoring(record: Record, before: Record | None) -> ScoringView:
    return ScoringView(
        run_id=record.run_id,
        offer_id=record.offer_id,
        scored_at=record.scored_at,
        score=record.score,
        intent=record.intent,
        model=record.model,
        model_version=record.model_version,
        status=record.status,
        compared_with=before.run_id if before else None,
        changes=_changes(before.factors, record.factors) if before else [],
    )


def _changes(before: list[Factor], after: list[Factor]) -> list[FactorChange]:
    """Return the factors whose points differ, in the order of the newer ledger, then what it lacks."""
    old, new = ({(one.layer, one.factor): one for one in factors} for factors in (before, after))
    return [
        FactorChange(
            factor=key[1],
            before=old[key].points if key in old else None,
            after=new[key].points if key in new else None,
            evidence=(new.get(key) or old[key]).evidence,
        )
        for key in new | old
        if key not in new or key not in old or new[key].points != old[key].points
    ]
