"""The estimate of a run's tokens and cost, made from the requests of its first round."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from leadline_ai.budget.prices import Price
from leadline_ai.leads.answer_cache import LeadAnswerCache
from leadline_ai.providers.port import Question, Usage
from leadline_contracts.scoring import Lead, Offer

OUTPUT_TOKENS_A_LEAD = 90
"""One entry of an answer: 1-2 sentences of 200 to 300 characters, and about 100 of JSON around them."""
_BYTES_A_TOKEN = 4
"""English has about 4 bytes a token; other scripts have up to twice the tokens of this count."""


@dataclass(slots=True)
class Estimate:
    """Figures of a run; money in 10^-9 US dollars.

    `leads` are all of them, `answered` those whose answer is in the cache. Tokens and `nano_usd` are
    estimated by rule of thumb, without what a model thinks before it answers. `most_nano_usd` is the cost
    where every answer is as long as it may be, thoughts included. Repeated requests come on top of both.
    """

    leads: int = 0
    answered: int = 0
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0
    most_nano_usd: int = 0

    def add(self, price: Price, questions: Sequence[Question], leads: int) -> None:
        """Add requests that ask about so many leads together."""
        usages = [_usage_of(question) for question in questions]
        output = OUTPUT_TOKENS_A_LEAD * leads
        self.requests += len(questions)
        self.input_tokens += sum(usage.input_tokens + usage.cache_read_tokens for usage in usages)
        self.output_tokens += output
        self.nano_usd += sum(map(price.cost, usages)) + price.cost(Usage(output_tokens=output))
        self.most_nano_usd += sum(map(price.bound, questions))


@dataclass(frozen=True, slots=True)
class Estimator:
    """Estimates a run of an owner from its chunks; leads of a chunk share requests, equal ones an answer."""

    cache: LeadAnswerCache
    owner: str
    offer: Offer
    estimate: Estimate = field(default_factory=Estimate)

    async def add(self, leads: Sequence[Lead]) -> None:
        """Take the leads of one chunk into account. Raises Unavailable."""
        keys = self.cache.keys(self.offer, leads)
        known = await self.cache.store.answers(self.owner, set(keys.values()))
        missing = {keys[lead.id]: lead for lead in leads if keys[lead.id] not in known}
        assessor = self.cache.assessor
        questions = assessor.questions(self.offer, list(missing.values()))
        self.estimate.leads += len(leads)
        self.estimate.answered += sum(key in known for key in keys.values())
        self.estimate.add(assessor.price, questions, len(missing))


def _usage_of(question: Question) -> Usage:
    """Return the tokens of a question; its schema is sent too, and a cached prefix costs less."""
    shared = _tokens(question.system + question.prefix)
    own = _tokens(question.body + json.dumps(question.schema))
    if question.prefix_caches:
        return Usage(input_tokens=own, cache_read_tokens=shared)
    return Usage(input_tokens=shared + own)


def _tokens(text: str) -> int:
    return len(text.encode()) // _BYTES_A_TOKEN + 1
