"""How the local model server may behave, one value per request; all durations in seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from leadline_testing.model_answers import Body, extra_key, missing_key, obey, wrong_enum

# https://platform.claude.com/docs/en/api/errors
ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}


def _as_given(answer: Any, _body: Body) -> Any:
    return answer


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to one request; the default is a valid answer at once.

    `status` other than 200 is answered with the API's error body. `spoil` changes the answer; `cut` then
    keeps only that share of its text. `pause` is waited between pieces of 16 bytes, so that a client
    always receives something and never finishes. `drop` closes the connection instead of answering.
    Vary one with `dataclasses.replace(RATE_LIMITED, retry_after=0.1)`.
    """

    latency: float = 0.0
    status: int = 200
    retry_after: float | None = None
    spoil: Callable[[Any, Body], Any] = _as_given
    cut: float = 1.0
    stop_reason: str = "end_turn"
    thinks: bool = False
    pause: float = 0.0
    drop: bool = False


OK = Behaviour()
SLOW = Behaviour(latency=2.0)
THINKING = Behaviour(thinks=True)
OBEDIENT = Behaviour(spoil=obey)
RATE_LIMITED = Behaviour(status=429, retry_after=1.0)
OVERLOADED = Behaviour(status=529)
SERVER_ERROR = Behaviour(status=500)
WRONG_KEY = Behaviour(status=401)
UNKNOWN_MODEL = Behaviour(status=404)
DROPPED = Behaviour(drop=True)
TRICKLE = Behaviour(pause=0.2)
MALFORMED = Behaviour(cut=0.5)
WRONG_ENUM = Behaviour(spoil=wrong_enum)
MISSING_KEY = Behaviour(spoil=missing_key)
EXTRA_KEY = Behaviour(spoil=extra_key)
TRUNCATED = Behaviour(cut=0.5, stop_reason="max_tokens")
REFUSED = Behaviour(cut=0.0, stop_reason="refusal")

BY_NAME = {
    "ok": OK,
    "slow": SLOW,
    "thinking": THINKING,
    "obedient": OBEDIENT,
    "rate-limited": RATE_LIMITED,
    "overloaded": OVERLOADED,
    "server-error": SERVER_ERROR,
    "wrong-key": WRONG_KEY,
    "unknown-model": UNKNOWN_MODEL,
    "dropped": DROPPED,
    "trickle": TRICKLE,
    "malformed": MALFORMED,
    "wrong-enum": WRONG_ENUM,
    "missing-key": MISSING_KEY,
    "extra-key": EXTRA_KEY,
    "truncated": TRUNCATED,
    "refused": REFUSED,
}
