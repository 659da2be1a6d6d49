"""What happens when an assessor fails: bounded attempts, then the offline answer or an error."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from leadline_ai.assessor import Answer, Assessor, Failure
from leadline_common.messages import AiScored, Lead, ModelName, Offer

OnFailure = Literal["fallback", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The one owner of retries: each lead is put to `assessor` at most `attempts` (1 or more) times.

    Between attempts it waits `first_wait` seconds, doubled each time, or as long as the provider asks, but
    never more than `longest_wait` (and up to a quarter more, so that replicas do not return as one). A lead
    without an answer then gets `offline`'s, marked with the reason (`fallback`), or the error (`fail`).
    """

    assessor: Assessor
    offline: Assessor
    on_failure: OnFailure = "fallback"
    attempts: int = 3
    first_wait: float = 0.5
    longest_wait: float = 20.0

    async def score(self, offer: Offer, model: ModelName, leads: Sequence[Lead]) -> list[AiScored]:
        """Return one score a lead, in the order of `leads`, whose ids must be unique."""
        outcomes = await self._attempt(offer, model, leads)
        scores = {lead_id: _scored(self.assessor, outcome) for lead_id, outcome in outcomes.items()}
        if self.on_failure == "fallback":
            failed = [lead for lead in leads if isinstance(outcomes[lead.id], Failure)]
            for outcome in await self.offline.assess(offer, model, failed):
                reason = scores[outcome.lead_id].error
                scores[outcome.lead_id] = _scored(self.offline, outcome, fallback=reason)
        return [scores[lead.id] for lead in leads]

    async def _attempt(
        self, offer: Offer, model: ModelName, leads: Sequence[Lead]
    ) -> dict[str, Answer | Failure]:
        """Return each lead's last outcome; every round puts only those again that may yet pass."""
        outcomes: dict[str, Answer | Failure] = {}
        for attempt in range(self.attempts):
            latest = await self.assessor.assess(offer, model, leads)
            outcomes.update((outcome.lead_id, outcome) for outcome in latest)
            passing = {o.lead_id: o for o in latest if isinstance(o, Failure) and o.may_pass}
            if not passing or attempt + 1 == self.attempts:
                break
            leads = [lead for lead in leads if lead.id in passing]
            await asyncio.sleep(self._wait(attempt, max(o.retry_after or 0.0 for o in passing.values())))
        return outcomes

    def _wait(self, attempt: int, asked: float) -> float:
        wait = min(max(asked, self.first_wait * 2.0**attempt), self.longest_wait)
        return wait * random.uniform(1.0, 1.25)


def _scored(assessor: Assessor, outcome: Answer | Failure, fallback: str | None = None) -> AiScored:
    if isinstance(outcome, Failure):
        return AiScored(
            lead_id=outcome.lead_id,
            source=assessor.source,
            assessor=assessor.model,
            prompt=assessor.prompt,
            error=outcome.error,
        )
    return AiScored(
        lead_id=outcome.lead_id,
        intent=outcome.intent,
        confidence=outcome.confidence,
        reasoning=outcome.reasoning,
        source=assessor.source,
        assessor=assessor.model,
        prompt=assessor.prompt,
        fallback=fallback,
    )
