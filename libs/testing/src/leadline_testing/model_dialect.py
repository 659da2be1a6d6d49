"""The port between the model server and the protocols it speaks, one module each."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from leadline_testing.model_request import Request
from leadline_testing.model_usage import PromptCache

StopReason = Literal["end_turn", "max_tokens", "refusal"]


@dataclass(frozen=True, slots=True)
class Said:
    """What the model said and why it stopped, in Anthropic's words; `thought` is empty where it has none."""

    text: str
    stop: StopReason
    thought: str


@dataclass(frozen=True, slots=True)
class Response:
    """What is sent back; `headers` come on top of those of every response."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


class Dialect(Protocol):
    """One provider's protocol; `ROUTE` matches the path of its questions."""

    ROUTE: re.Pattern[str]

    def find_fault(self, request: Request) -> Response | None:
        """Return the error with which the real API would refuse the request, None where it takes it."""

    def refuse(self, status: int, reason: str, retry_after: float | None = None) -> Response:
        """Return the provider's own error for one of Anthropic's statuses; `retry_after` is in seconds."""

    def reply(self, request: Request, said: Said, cache: PromptCache, number: int) -> dict[str, Any]:
        """Return the body of an answer; `number` makes its id unique."""

    def describe(self, model: str) -> dict[str, Any]:
        """Return what GET says about a model."""

    def limit_headers(self, reset: float) -> dict[str, str]:
        """Return headers that say that no request is left for `reset` seconds."""
