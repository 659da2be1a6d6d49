"""Results and runs as callers see them."""

from datetime import datetime
from typing import Literal

from leadline_common.messages import Factor, Intent, Wire
from leadline_results.record import Record, Status
from leadline_results.store import Run


class Versions(Wire):
    """What scored a lead: scoring model and version, assessor (`source`), its model, its prompt.

    `fallback` is why another assessor than the chosen one answered.
    """

    model: str
    model_version: str | None
    source: str | None
    assessor: str | None
    prompt: str | None
    fallback: str | None


class ResultView(Wire):
    """One lead's result. `factors` add up to `score`; `error` tells why a score is partial or missing."""

    lead_id: str
    name: str
    role: str
    company: str
    industry: str
    location: str
    intent: Intent | None
    score: int | None
    reasoning: str
    rule_score: int
    ai_points: int
    factors: list[Factor]
    status: Status
    error: str | None
    offer_id: str
    run_id: str
    upload_id: str | None
    scored_at: datetime | None
    versions: Versions


class RunView(Wire):
    """How far a run is. `total` is None until all of it is queued; `failed` counts partial results too.

    `seconds_left` is estimated from the pace so far, None where there is none to go by.
    """

    run_id: str
    status: Literal["running", "finished"]
    total: int | None
    scored: int
    failed: int
    started_at: datetime
    finished_at: datetime | None
    seconds_left: float | None


def result_view(record: Record) -> ResultView:
    """Show a record whose lead is known."""
    lead, ai = record.lead, record.ai
    return ResultView(
        lead_id=record.lead_id,
        name=lead.name if lead else "",
        role=lead.role if lead else "",
        company=lead.company if lead else "",
        industry=lead.industry if lead else "",
        location=lead.location if lead else "",
        intent=record.intent,
        score=record.score,
        reasoning=reasoning_of(record),
        rule_score=record.rule_points,
        ai_points=record.ai_points,
        factors=record.factors,
        status=record.status,
        error=record.error,
        offer_id=record.offer_id,
        run_id=record.run_id,
        upload_id=record.upload_id,
        scored_at=record.scored_at,
        versions=Versions(
            model=record.model,
            model_version=record.model_version,
            source=ai.source if ai else None,
            assessor=ai.assessor if ai else None,
            prompt=ai.prompt if ai else None,
            fallback=ai.fallback if ai else None,
        ),
    )


def reasoning_of(record: Record) -> str:
    """Return the assessor's words, or what is known in their place."""
    if record.status is Status.PARTIAL:
        return f"Scored by rules alone: {record.error or 'no AI answer'}."
    if record.status is Status.FAILED:
        return f"Not scored: {record.error or 'no answer'}."
    return record.ai.reasoning if record.ai else ""


def run_view(run: Run, now: datetime) -> RunView:
    """Show a run at a time."""
    return RunView(
        run_id=run.run_id,
        status="finished" if run.finished_at else "running",
        total=run.total,
        scored=run.scored,
        failed=run.failed,
        started_at=run.started_at,
        finished_at=run.finished_at,
        seconds_left=_seconds_left(run, now),
    )


def _seconds_left(run: Run, now: datetime) -> float | None:
    if run.finished_at is not None:
        return 0.0
    done = run.scored + run.failed
    if run.total is None or done == 0:
        return None
    elapsed = (now - run.started_at).total_seconds()
    return round(elapsed * (run.total - done) / done, 1)
