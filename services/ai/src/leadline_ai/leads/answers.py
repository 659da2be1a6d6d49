"""What comes of putting a lead to an assessor: an answer, or the reason there is none."""

import re
from dataclasses import dataclass
from typing import Literal

from leadline_contracts.scoring import Intent, Wire

MAX_REASONING = 600

FailureKind = Literal["unavailable", "unusable", "refused", "misconfigured", "skipped_budget", "later"]
"""Why there is no answer.

`unavailable`: the provider was busy, broken or out of reach; `unusable`: it answered, but not as asked;
`refused`: this lead is declined, now and later; `misconfigured`: no lead will be answered until a person
puts the key, the model's name or the account right; `skipped_budget`: a budget is spent; `later`: the
provider wants to be left alone for longer than a message may be held, or the time for its chunk is over.
"""

_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """A judgement: `confidence` is 0..1, `reasoning` one line of plain text, 1 to 600 characters."""

    lead_id: str
    intent: Intent
    confidence: float
    reasoning: str


class Judged(Wire):
    """What is kept of an answer."""

    intent: Intent
    confidence: float
    reasoning: str


@dataclass(frozen=True, slots=True)
class Failure:
    """No judgement: `error` is one line that never holds lead text or a key."""

    lead_id: str
    kind: FailureKind
    error: str


Outcome = Answer | Failure


def one_line(text: str) -> str:
    """Return `text` as one line of plain text: no control characters, no marks that reorder what is read."""
    return _UNSEEN.sub(" ", text).strip()


def clip(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`; an ellipsis shows that something was left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
