"""One chunk of accepted leads in, the AI layer's answers for it out."""

from collections.abc import Sequence

from leadline_ai.metrics import AiMetrics
from leadline_ai.policy import Policy
from leadline_common.broker import Message
from leadline_common.chunks import chunk_message, split_chunk
from leadline_common.errors import Permanent
from leadline_common.messages import AiChunkScored, AiScored, LeadsAccepted


class AiHandler:
    """Judges chunks by the policy it is given."""

    def __init__(self, policy: Policy, metrics: AiMetrics) -> None:
        self._policy = policy
        self._metrics = metrics

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Judge every lead of every chunk."""
        answers = []
        for message in messages:
            chunk = LeadsAccepted.decode(message.body)
            scores = await self._policy.score(chunk.offer, chunk.model, chunk.leads)
            self._metrics.count(scores)
            answers.append(chunk_message(_answer(chunk, scores)))
        return answers

    def split(self, message: Message) -> list[Message]:
        """Halve the chunk, so that one bad lead ends up alone."""
        return split_chunk(message)

    def give_up(self, message: Message, error: str) -> list[Message]:
        """Answer with the error in place of a judgement, so that the run does not wait for this lead."""
        try:
            chunk = LeadsAccepted.decode(message.body)
        except Permanent:
            return []
        chosen = self._policy.assessor
        scores = [
            AiScored(
                lead_id=lead.id,
                source=chosen.source,
                assessor=chosen.model,
                prompt=chosen.prompt,
                error=error,
            )
            for lead in chunk.leads
        ]
        return [chunk_message(_answer(chunk, scores))]


def _answer(chunk: LeadsAccepted, scores: list[AiScored]) -> AiChunkScored:
    return AiChunkScored(
        owner=chunk.owner,
        run_id=chunk.run_id,
        chunk=chunk.chunk,
        offer_id=chunk.offer_id,
        model=chunk.model,
        scores=scores,
    )
