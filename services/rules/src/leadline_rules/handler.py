"""One chunk of accepted leads in, the rule layer's scores for it out."""

from collections.abc import Sequence

from leadline_common.broker.chunks import bisect_chunk, chunk_message
from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Message
from leadline_contracts.errors import Permanent
from leadline_contracts.scoring import LeadsAccepted, RuleScored, RulesScored
from leadline_rules.metrics import RulesMetrics
from leadline_rules.rule_layer import score_lead
from leadline_scoring.icp import Icp, read_icp
from leadline_scoring.models import load_model


class RulesHandler(Handler):
    """Stateless: the same chunk always gives the same message."""

    def __init__(self, metrics: RulesMetrics) -> None:
        self._metrics = metrics

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Score every lead of every chunk."""
        answers = []
        for message in messages:
            scored = score_chunk(LeadsAccepted.decode(message.body))
            self._metrics.count_scored(len(scored.scores))
            answers.append(chunk_message(scored, message.trace))
        return answers

    def bisect(self, message: Message) -> list[Message]:
        """Halve the chunk, so that one bad lead ends up alone."""
        return bisect_chunk(message)

    def on_dead_letter(self, message: Message, error: str) -> list[Message]:
        """Answer with the error in place of the points, so that the run does not wait for this lead."""
        try:
            chunk = LeadsAccepted.decode(message.body)
        except Permanent:
            return []
        self._metrics.count_failed(len(chunk.leads))
        failures = [RuleScored(lead_id=lead.id, error=error) for lead in chunk.leads]
        return [chunk_message(_answer(chunk, failures), message.trace)]


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
    return read_icp(chunk.offer.ideal_use_cases, stated.industries, stated.roles)


def _answer(chunk: LeadsAccepted, scores: list[RuleScored]) -> RulesScored:
    return RulesScored.about(chunk, model_version=load_model(chunk.model).version, scores=scores)
