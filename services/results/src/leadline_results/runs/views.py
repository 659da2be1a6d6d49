"""Results and runs as callers see them."""

from collections.abc import Iterable
from datetime import datetime

from leadline_common.telemetry.tracing import trace_id_of
from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import AiScored, AiSpend, AiStatus, Factor, Intent, ModelName
from leadline_results.runs.record import Record, Status
from leadline_results.runs.store import Run, RunStatus

_NANO = 1_000_000_000


class AiView(Wire):
    """The AI layer's answer for a lead, or why there is none.

    `source` is the assessor, `model` the AI model, `prompt` the prompt's version. `intent` and `confidence`
    (0..1) are the assessor's, None where there is no answer. `reason` is why another assessor than
    the chosen one answered, or why none did.
    """

    status: AiStatus
    source: str
    model: str
    prompt: str
    intent: Intent | None
    confidence: float | None
    reason: str | None


class ResultView(Wire):
    """One lead's result. `factors` add up to `score`; `error` tells why a score is partial or missing.

    `model` and `model_version` are the scoring model's; `ai` is None until the AI layer has answered.
    `row`, `external_id` and `extra` are what the lead came with: the number of its row in its file, its
    sender's own id, and the cells of every column that is not a whole field, by title.
    """

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
    model: ModelName
    model_version: str | None
    ai: AiView | None
    row: int | None
    external_id: str | None
    extra: dict[str, str]


class SpendView(Wire):
    """What a run's AI answers have cost so far with one model.

    `calls` are requests sent, `failed_calls` those of them without a usable answer; `cached` are leads
    answered from the answer cache. `input_tokens` are without those read from or written to the provider's
    cache.
    """

    source: str
    model: str
    calls: int
    failed_calls: int
    cached: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: float


class RunView(Wire):
    """How far a run is. `total` is at most how many prospects it has, exactly once all of it is queued; None
    where that is not known. `failed` counts partial results too.

    A `cancelled` run has `finished_at` once all that was queued of it is scored or dropped. `seconds_left` is
    estimated from the pace so far, None where there is none to go by. `ai` has an entry for each model that
    was asked. `trace_id` finds the run in logs and traces.
    """

    run_id: str
    offer_id: str
    model: ModelName
    status: RunStatus
    total: int | None
    scored: int
    failed: int
    started_at: datetime
    finished_at: datetime | None
    seconds_left: float | None
    trace_id: str | None
    ai: list[SpendView]


def result_view(record: Record) -> ResultView:
    """Show a record whose lead is known."""
    lead = record.lead
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
        model=record.model,
        model_version=record.model_version,
        ai=None if record.ai is None else _ai_view(record.ai),
        row=lead.row if lead else None,
        external_id=lead.external_id if lead else None,
        extra=(lead and lead.extra) or {},
    )


def reasoning_of(record: Record) -> str:
    """Return the assessor's reasoning, or why there is none."""
    if record.status is Status.PARTIAL:
        return f"Scored by rules alone: {record.error or 'no AI answer'}."
    if record.status is Status.FAILED:
        return f"Not scored: {record.error or 'no answer'}."
    if record.status is Status.CANCELLED:
        return "Not scored: its run was cancelled."
    return record.ai.reasoning if record.ai else ""


def run_view(run: Run, spent: Iterable[AiSpend], now: datetime) -> RunView:
    """Show a run at a time, and what it has spent."""
    return RunView(
        run_id=run.run_id,
        offer_id=run.offer_id,
        model=run.model,
        status=run.status,
        total=_total(run),
        scored=run.scored,
        failed=run.failed,
        started_at=run.started_at,
        finished_at=run.finished_at,
        seconds_left=_seconds_left(run, now),
        trace_id=trace_id_of(run.trace),
        ai=[_spend_view(spend) for spend in spent],
    )


def _ai_view(answer: AiScored) -> AiView:
    return AiView(
        status=answer.status,
        source=answer.source,
        model=answer.assessor,
        prompt=answer.prompt,
        intent=answer.intent,
        confidence=None if answer.intent is None else answer.confidence,
        reason=answer.error or answer.fallback,
    )


def _spend_view(spend: AiSpend) -> SpendView:
    shown = {**vars(spend), "model": spend.assessor, "cost_usd": spend.nano_usd / _NANO}
    return SpendView.model_validate(shown)


def _total(run: Run) -> int | None:
    return run.expected if run.total is None else run.total


def _seconds_left(run: Run, now: datetime) -> float | None:
    if run.finished_at is not None:
        return 0.0
    total, done = _total(run), run.scored + run.failed
    if total is None or done == 0 or run.cancelled_at is not None:
        return None
    elapsed = (now - run.started_at).total_seconds()
    return round(elapsed * max(0, total - done) / done, 1)
