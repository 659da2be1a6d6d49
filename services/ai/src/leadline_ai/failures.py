"""Failures: why a lead or step has no answer of the chosen assessor, and what comes in its place."""

from dataclasses import dataclass
from typing import Literal

FailureKind = Literal[
    "unavailable", "unusable", "refused", "misconfigured", "skipped_budget", "later", "cancelled"
]
"""Why there is no answer.

`unavailable`: the provider was busy, broken or out of reach; `unusable`: it answered, but not as asked;
`refused`: this lead or step is declined, now and later; `misconfigured`: nothing will be answered until a
person corrects the key, the model's name or the account; `skipped_budget`: a budget is spent; `later`: the
provider demands a pause longer than a message may be held, or the time for its chunk is over; `cancelled`:
the run was cancelled before it was asked.
"""

OnFailure = Literal["fallback", "fail"]
"""What comes in place of an answer: the offline assessor's (`fallback`), or the error (`fail`)."""


@dataclass(frozen=True, slots=True)
class Failure:
    """No answer about `subject`, a lead's or a workflow's id.

    `error` is one line that never holds lead text or a key.
    """

    subject: str
    kind: FailureKind
    error: str
