"""What is kept of one lead in one run, and the pure functions that merge partial scores into it.

Merging does not depend on the order in which parts arrive, nor on how often: per layer a success replaces a
failure and otherwise what is there stays.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from leadline_common.messages import (
    AiChunkScored,
    AiScored,
    ChunkRef,
    Factor,
    Intent,
    Lead,
    LeadsAccepted,
    ModelName,
    RuleScored,
    RulesScored,
    Wire,
)
from leadline_scoring.models import MAX_LAYER_POINTS, load_model


class Status(StrEnum):
    """Where a lead of a run stands.

    `partial` has a rule score and no AI answer; `failed` has no score. Both are done, and both may be scored
    again by a later run.
    """

    PENDING = "pending"
    SCORED = "scored"
    PARTIAL = "partial"
    FAILED = "failed"


class Key(NamedTuple):
    """Names one record."""

    run_id: str
    lead_id: str


class Record(Wire):
    """One lead in one run: its parts as they arrived, and the result once all are there.

    `score` is 0..100, or None while pending or failed. `revision` counts writes, 0 before the first; it is
    what a conditional write holds on to. `latest` marks the newest done result of a prospect for an offer.
    """

    owner: str
    run_id: str
    lead_id: str
    offer_id: str
    model: ModelName
    chunk: str
    upload_id: str | None = None
    model_version: str | None = None
    lead: Lead | None = None
    rules: RuleScored | None = None
    ai: AiScored | None = None
    status: Status = Status.PENDING
    intent: Intent | None = None
    score: int | None = None
    ai_points: int = 0
    factors: list[Factor] = []
    scored_at: datetime | None = None
    latest: bool = False
    revision: int = 0

    @property
    def key(self) -> Key:
        """The record's identity."""
        return Key(self.run_id, self.lead_id)

    @property
    def done(self) -> bool:
        """Whether nothing more is awaited for this lead."""
        return self.status is not Status.PENDING

    @property
    def rule_points(self) -> int:
        """The rule layer's points, 0 where it gave none."""
        return self.rules.points if self.rules else 0

    @property
    def error(self) -> str | None:
        """Why a partial or failed lead has no full score."""
        return (self.rules and self.rules.error) or (self.ai and self.ai.error) or None


def parts_of(message: LeadsAccepted | RulesScored | AiChunkScored) -> Iterable[Record]:
    """Yield a record per lead of the message, holding just what the message knows."""
    if isinstance(message, LeadsAccepted):
        for lead in message.leads:
            yield _part(message, lead.id, lead=lead, upload_id=message.upload_id)
    elif isinstance(message, RulesScored):
        for score in message.scores:
            yield _part(message, score.lead_id, rules=score, model_version=message.model_version)
    else:
        for answer in message.scores:
            yield _part(message, answer.lead_id, ai=answer)


def merge(known: Record, arrived: Record) -> Record:
    """Return `known` with what `arrived` adds; `known` itself where it adds nothing."""
    changes = {
        "lead": known.lead or arrived.lead,
        "upload_id": known.upload_id or arrived.upload_id,
        "model_version": known.model_version or arrived.model_version,
        "rules": _better(known.rules, arrived.rules),
        "ai": _better(known.ai, arrived.ai),
    }
    if all(value is getattr(known, name) for name, value in changes.items()):
        return known
    return known.model_copy(update=changes)


def conclude(record: Record, now: datetime) -> Record:
    """Return the record with its result worked out from its parts, once all three are there.

    Score = rule points + AI points. Without an AI answer the score is the rule points and the intent is
    None; without rule points there is no score.
    """
    if record.lead is None or record.rules is None or record.ai is None:
        return record
    done = {"scored_at": now, "latest": True}
    if record.rules.error is not None:
        return record.model_copy(update={**done, "status": Status.FAILED, "score": None, "intent": None})
    if record.ai.error is not None or record.ai.intent is None:
        return record.model_copy(
            update={
                **done,
                "status": Status.PARTIAL,
                "score": record.rules.points,
                "intent": None,
                "factors": record.rules.factors,
            }
        )
    model = load_model(record.model)
    ai_points = model.ai_points(record.ai.intent, record.ai.confidence)
    score = record.rules.points + ai_points
    judged = Factor(
        layer="ai",
        factor="intent",
        points=ai_points,
        max=MAX_LAYER_POINTS,
        evidence=f"{record.ai.intent}: {record.ai.reasoning}",
    )
    return record.model_copy(
        update={
            **done,
            "status": Status.SCORED,
            "score": score,
            "intent": model.intent(record.ai.intent, score),
            "ai_points": ai_points,
            "factors": [*record.rules.factors, judged],
        }
    )


def give_up(record: Record, error: str) -> Record:
    """Return the record with `error` in place of every part that never came."""
    rules = record.rules or RuleScored(lead_id=record.lead_id, error=error)
    ai = record.ai or AiScored(
        lead_id=record.lead_id, source="none", assessor="none", prompt="none", error=error
    )
    return record.model_copy(update={"rules": rules, "ai": ai})


def _part(
    message: ChunkRef,
    lead_id: str,
    *,
    upload_id: str | None = None,
    model_version: str | None = None,
    lead: Lead | None = None,
    rules: RuleScored | None = None,
    ai: AiScored | None = None,
) -> Record:
    return Record.model_construct(
        owner=message.owner,
        run_id=message.run_id,
        lead_id=lead_id,
        offer_id=message.offer_id,
        model=message.model,
        chunk=message.chunk,
        upload_id=upload_id,
        model_version=model_version,
        lead=lead,
        rules=rules,
        ai=ai,
    )


Answer = TypeVar("Answer", RuleScored, AiScored)


def _better(known: Answer | None, arrived: Answer | None) -> Answer | None:
    if known is None:
        return arrived
    if arrived is not None and known.error is not None and arrived.error is None:
        return arrived
    return known
