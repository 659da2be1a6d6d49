"""One chunk of accepted leads in, the AI layer's answers for it out."""

from collections.abc import Sequence

from leadline_ai.cancelled.lookup import CancelledRuns
from leadline_ai.failures import Failure
from leadline_ai.leads.policy import Policy, Scored
from leadline_ai.metrics import AiMetrics
from leadline_common.broker.chunks import bisect_chunk, chunk_message
from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Message
from leadline_contracts.errors import Permanent
from leadline_contracts.scoring import AiChunkScored, LeadsAccepted


class AiHandler(Handler):
    """Has chunks judged by its policy."""

    def __init__(self, policy: Policy, cancelled_runs: CancelledRuns, metrics: AiMetrics) -> None:
        self._policy = policy
        self._cancelled_runs = cancelled_runs
        self._metrics = metrics

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Judge every lead of every chunk; those of a cancelled run are dropped."""
        answers = []
        for message in messages:
            chunk = LeadsAccepted.decode(message.body)
            if await self._cancelled_runs.includes(chunk.owner, chunk.run_id):
                scored = self._policy.drop(chunk)
            else:
                scored = await self._policy.score(chunk, message.attempt)
            self._metrics.count(scored.scores)
            answers.append(chunk_message(_answer(chunk, scored), message.trace))
        return answers

    def bisect(self, message: Message) -> list[Message]:
        """Halve the chunk, so that one bad lead ends up alone."""
        return bisect_chunk(message)

    def on_dead_letter(self, message: Message, error: str) -> list[Message]:
        """Answer without the chosen assessor, so that the run does not wait for these leads."""
        try:
            chunk = LeadsAccepted.decode(message.body)
        except Permanent:
            return []
        failures = {lead.id: Failure(lead.id, "unavailable", error) for lead in chunk.leads}
        scores = list(self._policy.without_answer(chunk, failures).values())
        self._metrics.count(scores)
        return [chunk_message(_answer(chunk, Scored(scores)), message.trace)]


def _answer(chunk: LeadsAccepted, scored: Scored) -> AiChunkScored:
    return AiChunkScored.about(chunk, scores=scored.scores, spend=scored.spend)
