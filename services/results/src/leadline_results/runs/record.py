"""The record of one lead in one run, and the pure functions that merge partial scores into it.

Merging does not depend on the order in which parts arrive, nor on how often: in each layer a success replaces
a failure, and otherwise the first part stays.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import (
    CANCELLED,
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
)
from leadline_scoring.models import MAX_LAYER_POINTS, load_model

PartMessage = LeadsAccepted | RulesScored | AiChunkScored
"""The messages that bring parts of results."""
PARTS: dict[str, type[PartMessage]] = {
    kind.TYPE: kind for kind in (LeadsAccepted, RulesScored, AiChunkScored)
}
"""Those messages by type; a chunk is whole with one of each."""


class Status(StrEnum):
    """State of a lead in a run.

    `partial` has a rule score and no AI answer; `failed` has no score; `cancelled` was not asked about before
    its run was cancelled, and is no result. All three are done, and may be scored by a later run.
    """

    PENDING = "pending"
    SCORED = "scored"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Key(NamedTuple):
    """Names one record."""

    run_id: str
    lead_id: str


class Record(Wire):
    """One lead in one run: its parts as they arrived, and the result once all are there.

    `score` is 0..100, or None while pending or failed. `revision` counts writes, 0 before the first;
    conditional writes compare it. `latest` marks the newest done result of a prospect for an offer.
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
    scored_at: datetime | None = None
    latest: bool = False
    revision: int = 0

    @property
    def key(self) -> Key:
        """The record's identity."""
        return Key(self.run_id, self.lead_id)

    @property
    def done(self) -> bool:
        """Whether the lead has its final status."""
        return self.status is not Status.PENDING

    @property
    def rule_points(self) -> int:
        """The rule layer's points, 0 where it gave none."""
        return self.rules.points if self.rules else 0

    @property
    def factors(self) -> list[Factor]:
        """The ledger of the score: the rule layer's factors and the AI layer's one, which add up to it."""
        if self.rules is None or self.score is None:
            return []
        if self.status is not Status.SCORED or self.ai is None:
            return self.rules.factors
        evidence = f"{self.ai.intent}: {self.ai.reasoning}"
        judged = Factor(
            layer="ai", factor="intent", points=self.ai_points, max=MAX_LAYER_POINTS, evidence=evidence
        )
        return [*self.rules.factors, judged]

    @property
    def error(self) -> str | None:
        """Why a partial or failed lead has no full score."""
        return (self.rules and self.rules.error) or (self.ai and self.ai.error) or None


@dataclass(slots=True)
class Parts:
    """The parts that messages brought for one lead of one run, before they are merged with its record."""

    ref: ChunkRef
    lead_id: str
    upload_id: str | None = None
    model_version: str | None = None
    lead: Lead | None = None
    rules: RuleScored | None = None
    ai: AiScored | None = None


def gather(messages: Iterable[PartMessage]) -> dict[Key, Parts]:
    """Return the parts that the messages bring, by lead."""
    gathered: dict[Key, Parts] = {}
    for message in messages:
        if isinstance(message, LeadsAccepted):
            for lead in message.leads:
                parts = _of(gathered, message, lead.id)
                parts.lead, parts.upload_id = lead, message.upload_id
        elif isinstance(message, RulesScored):
            for score in message.scores:
                parts = _of(gathered, message, score.lead_id)
                parts.rules, parts.model_version = _better(parts.rules, score), message.model_version
        else:
            for answer in message.scores:
                parts = _of(gathered, message, answer.lead_id)
                parts.ai = _better(parts.ai, answer)
    return gathered


def merge(known: Record | None, parts: Parts) -> Record:
    """Return the record `known` with the parts merged in; `known` itself where they add nothing."""
    if known is None:
        return _begin(parts)
    changes = {
        "lead": known.lead or parts.lead,
        "upload_id": known.upload_id or parts.upload_id,
        "model_version": known.model_version or parts.model_version,
        "rules": _better(known.rules, parts.rules),
        "ai": _better(known.ai, parts.ai),
    }
    if all(value is getattr(known, name) for name, value in changes.items()):
        return known
    return known.model_copy(update=changes)


def conclude(record: Record, now: datetime) -> Record:
    """Return the record with its result worked out from its parts, once all three are there.

    Score = rule points + AI points. Without an AI answer the score is the rule points and the intent is
    None; without rule points there is no score. A lead that was cancelled has no result.
    """
    if record.lead is None or record.rules is None or record.ai is None:
        return record
    if record.ai.error == CANCELLED:
        # Never the latest: the result of an earlier run stays, if there is one.
        return record.model_copy(update={"status": Status.CANCELLED})
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
                "ai_points": 0,
            }
        )
    model = load_model(record.model)
    ai_points = model.ai_points(record.ai.intent, record.ai.confidence)
    score = record.rules.points + ai_points
    return record.model_copy(
        update={
            **done,
            "status": Status.SCORED,
            "score": score,
            "intent": model.intent(record.ai.intent, score),
            "ai_points": ai_points,
        }
    )


def _of(gathered: dict[Key, Parts], message: ChunkRef, lead_id: str) -> Parts:
    key = Key(message.run_id, lead_id)
    parts = gathered.get(key)
    if parts is None:
        parts = gathered[key] = Parts(message, lead_id)
    return parts


def _begin(parts: Parts) -> Record:
    ref = parts.ref
    return Record.model_construct(
        owner=ref.owner,
        run_id=ref.run_id,
        lead_id=parts.lead_id,
        offer_id=ref.offer_id,
        model=ref.model,
        chunk=ref.chunk,
        upload_id=parts.upload_id,
        model_version=parts.model_version,
        lead=parts.lead,
        rules=parts.rules,
        ai=parts.ai,
    )


Answer = TypeVar("Answer", RuleScored, AiScored)


def _better(known: Answer | None, arrived: Answer | None) -> Answer | None:
    if known is None:
        return arrived
    if arrived is not None and known.error is not None and arrived.error is None:
        return arrived
    return known
