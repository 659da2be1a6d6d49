"""One chunk of accepted leads in, the rule layer's scores for it out."""

from collections.abc import Sequence

from leadline_common.broker import Message
from leadline_common.chunks import chunk_message, split_chunk
from leadline_common.errors import Permanent
from leadline_common.messages import LeadsAccepted, RuleScored, RulesScored
from leadline_rules.scoring import score_lead
from leadline_scoring.icp import Icp, read_icp
from leadline_scoring.models import load_model


class RulesHandler:
    """Stateless: the same chunk always gives the same message."""

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Score every lead of every chunk."""
        return [chunk_message(score_chunk(LeadsAccepted.decode(message.body))) for message in messages]

    def split(self, message: Message) -> list[Message]:
        """Halve the chunk, so that one bad lead ends up alone."""
        return split_chunk(message)

    def give_up(self, message: Message, error: str) -> list[Message]:
        """Answer with the error in place of the points, so that the run does not wait for this lead."""
        try:
            chunk = LeadsAccepted.decode(message.body)
        except Permanent:
            return []
        return [
            chunk_message(_answer(chunk, [RuleScored(lead_id=lead.id, error=error) for lead in chunk.leads]))
        ]


def score_chunk(chunk: LeadsAccepted) -> RulesScored:
    """Score a chunk's leads against its offer by its scoring model."""
    model, icp = load_model(chunk.model), icp_of(chunk)
    scores = []
    for lead in chunk.leads:
        score = score_lead(model, icp, lead)
        scores.append(RuleScored.model_construct(lead_id=lead.id, points=score.points, factors=score.factors))
    return _answer(chunk, scores)


def icp_of(chunk: LeadsAccepted) -> Icp:
    """Return the ideal customer profile of the chunk's offer."""
    stated = chunk.offer.icp
    return read_icp(chunk.offer.ideal_use_cases, stated.industries, stated.roles, stated.locations)


def _answer(chunk: LeadsAccepted, scores: list[RuleScored]) -> RulesScored:
    return RulesScored(
        owner=chunk.owner,
        run_id=chunk.run_id,
        chunk=chunk.chunk,
        offer_id=chunk.offer_id,
        model=chunk.model,
        model_version=load_model(chunk.model).version,
        scores=scores,
    )
