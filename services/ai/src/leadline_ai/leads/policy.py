"""The policy of who answers for a chunk: the chosen assessor; where it fails, the offline one or none."""

from collections.abc import Sequence
from dataclasses import dataclass

from leadline_ai.cache.store import StoredAnswer
from leadline_ai.failures import Failure, OnFailure
from leadline_ai.leads.answer_cache import LeadAnswerCache
from leadline_ai.leads.answers import Answer, Judged
from leadline_ai.leads.offline import OFFLINE, assess_offline
from leadline_contracts.scoring import CANCELLED, AiScored, AiSpend, Lead, LeadsAccepted


@dataclass(frozen=True, slots=True)
class Scored:
    """A score for each lead in the chunk's order, and the run's spend, None where no model was asked."""

    scores: list[AiScored]
    spend: AiSpend | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """`cache` is the language model with its answer cache, None where the offline assessor is the chosen one.

    A lead without an answer gets the offline assessor's, marked with the reason (`fallback`), or the error
    (`fail`). A lead for which a budget had no room gets neither: its score is by rules alone. Nor does a lead
    that nobody was asked about before its run was cancelled.
    """

    cache: LeadAnswerCache | None = None
    on_failure: OnFailure = "fallback"

    async def score(self, chunk: LeadsAccepted, attempt: int) -> Scored:
        """Score a chunk in the `attempt`-th delivery of its message. Raises as LeadAnswerCache does."""
        if self.cache is None:
            return Scored([_by_offline(answer) for answer in _offline(chunk, chunk.leads)])
        answers = await self.cache.answer(chunk, attempt)
        failures = {
            lead_id: outcome for lead_id, outcome in answers.outcomes.items() if isinstance(outcome, Failure)
        }
        scores = {
            lead_id: _by_model(lead_id, outcome)
            for lead_id, outcome in answers.outcomes.items()
            if isinstance(outcome, StoredAnswer)
        }
        if failures:
            scores |= self.without_answer(chunk, failures)
        spend = answers.spend if answers.spend.calls or answers.spend.cached else None
        return Scored([scores[lead.id] for lead in chunk.leads], spend)

    def drop(self, chunk: LeadsAccepted) -> Scored:
        """Return the answer to a chunk whose run was cancelled: that nobody was asked about its leads."""
        return Scored(
            [self._failed(lead.id, Failure(lead.id, "cancelled", CANCELLED)) for lead in chunk.leads]
        )

    def without_answer(self, chunk: LeadsAccepted, failures: dict[str, Failure]) -> dict[str, AiScored]:
        """Return the scores of leads that the chosen assessor gave no answer for, by lead id."""
        fallen = [
            lead
            for lead in chunk.leads
            if lead.id in failures
            and failures[lead.id].kind not in {"skipped_budget", "cancelled"}
            and self.on_failure == "fallback"
        ]
        instead = {
            answer.lead_id: _by_offline(answer, failures[answer.lead_id].error)
            for answer in _offline(chunk, fallen)
        }
        return {lead_id: self._failed(lead_id, failure) for lead_id, failure in failures.items()} | instead

    def _failed(self, lead_id: str, failure: Failure) -> AiScored:
        source, assessor, prompt = self._chosen()
        return AiScored(
            lead_id=lead_id,
            status="skipped_budget" if failure.kind == "skipped_budget" else "failed",
            source=source,
            assessor=assessor,
            prompt=prompt,
            error=failure.error,
        )

    def _chosen(self) -> tuple[str, str, str]:
        if self.cache is None:
            return OFFLINE.source, OFFLINE.assessor, OFFLINE.prompt
        assessor = self.cache.assessor
        return assessor.asker.provider.name, assessor.asker.provider.model, assessor.prompt.version


def _offline(chunk: LeadsAccepted, leads: Sequence[Lead]) -> list[Answer]:
    return assess_offline(chunk.offer, chunk.model, leads)


def _by_offline(answer: Answer, fallback: str | None = None) -> AiScored:
    return AiScored(
        lead_id=answer.lead_id,
        status="answered" if fallback is None else "fallback",
        intent=answer.intent,
        confidence=answer.confidence,
        reasoning=answer.reasoning,
        source=OFFLINE.source,
        assessor=OFFLINE.assessor,
        prompt=OFFLINE.prompt,
        fallback=fallback,
    )


def _by_model(lead_id: str, answer: StoredAnswer) -> AiScored:
    judged = Judged.model_validate_json(answer.answer)
    return AiScored(
        lead_id=lead_id,
        status="answered",
        intent=judged.intent,
        confidence=judged.confidence,
        reasoning=judged.reasoning,
        source=answer.source,
        assessor=answer.assessor,
        prompt=answer.prompt,
    )
