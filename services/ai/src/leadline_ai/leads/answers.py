"""A model's or the offline assessor's answer about a lead."""

from dataclasses import dataclass

from leadline_ai.failures import Failure
from leadline_contracts.envelope import Wire
from leadline_contracts.scoring import Intent

MAX_REASONING = 600


@dataclass(frozen=True, slots=True)
class Answer:
    """A judgement: `confidence` is 0..1, `reasoning` one line of plain text, 1 to 600 characters."""

    lead_id: str
    intent: Intent
    confidence: float
    reasoning: str


class Judged(Wire):
    """The part of an answer that is stored."""

    intent: Intent
    confidence: float
    reasoning: str


Outcome = Answer | Failure
