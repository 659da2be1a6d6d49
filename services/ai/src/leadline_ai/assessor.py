"""The Assessor port: who judges leads against an offer, and what comes back for each of them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from leadline_common.messages import Intent, Lead, ModelName, Offer

MAX_REASONING = 600

FailureKind = Literal["unavailable", "unusable", "refused", "misconfigured"]
"""Why there is no answer.

`unavailable`: busy, broken or out of reach; `unusable`: answered, but not as asked; both may pass on another
attempt. `refused`: this lead is declined, now and later. `misconfigured`: no lead will be answered until a
person puts the key, the model's name or the account right.
"""

_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """A judgement: `confidence` is 0..1, `reasoning` one line of plain text, 1 to 600 characters."""

    lead_id: str
    intent: Intent
    confidence: float
    reasoning: str


@dataclass(frozen=True, slots=True)
class Failure:
    """No judgement: `error` is one line that never holds lead text or a key.

    `retry_after` is how many seconds the provider asks to be left alone, None where it does not say.
    """

    lead_id: str
    kind: FailureKind
    error: str
    retry_after: float | None = None

    @property
    def may_pass(self) -> bool:
        """Say whether another attempt could bring an answer."""
        return self.kind in {"unavailable", "unusable"}


class Assessor(Protocol):
    """Judges leads; one instance serves any number of calls at once.

    `source` is the adapter, `model` what it judges with, `prompt` the version of what it was told; the three
    stay the same for the life of the instance.
    """

    source: str
    model: str
    prompt: str

    async def assess(self, offer: Offer, model: ModelName, leads: Sequence[Lead]) -> list[Answer | Failure]:
        """Make one attempt at every lead; `model` is the scoring model of the run.

        Returns one outcome a lead, in the order of `leads`. Never raises for what a lead holds or for what
        a provider does, and one lead's failure leaves the others alone.
        """

    async def close(self) -> None:
        """Let go of connections; safe to call twice. `assess` must not be called afterwards."""


def one_line(text: str) -> str:
    """Return `text` as one line of plain text: no control characters, no marks that reorder what is read."""
    return _UNSEEN.sub(" ", text).strip()


def clip(text: str, limit: int) -> str:
    """Return at most `limit` characters of `text`; an ellipsis shows that something was left out."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
