"""How the local model server may behave, one value per request; all durations in seconds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from leadline_testing import model_bad_answers as bad_answers
from leadline_testing.model_dialect import StopReason
from leadline_testing.model_request import Body


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What happens to one request; the default is a valid answer at once.

    `status` other than 200 is one of Anthropic's and answered with the error that the asked provider sends
    in its place. `spoil` changes the answer; `cut` then keeps only that share of its text. `stop_reason`
    likewise becomes the provider's own. `reset` has the headers say that no request is left for that time.
    `pause` is waited between pieces of 16 bytes, so that a client always receives something and never
    finishes. `drop` closes the connection instead of answering.
    Vary one with `dataclasses.replace(RATE_LIMITED, retry_after=0.1)`.
    """

    latency: float = 0.0
    status: int = 200
    retry_after: float | None = None
    spoil: Callable[[Any, Body], Any] = bad_answers.as_given
    cut: float = 1.0
    stop_reason: StopReason = "end_turn"
    thinks: bool = False
    reset: float | None = None
    pause: float = 0.0
    drop: bool = False

    @property
    def fails_checks(self) -> bool:
        """Whether GET /v1/models fails as well: no such key, no such model, nobody there."""
        return self.drop or self.status in {401, 404}


OK = Behaviour()
SLOW = Behaviour(latency=2.0)
THINKING = Behaviour(thinks=True)
LIMIT_REACHED = Behaviour(reset=1.0)
OBEDIENT = Behaviour(spoil=bad_answers.obey)
RATE_LIMITED = Behaviour(status=429, retry_after=1.0)
OVERLOADED = Behaviour(status=529)
SERVER_ERROR = Behaviour(status=500)
DECLINED = Behaviour(status=400)
WRONG_KEY = Behaviour(status=401)
UNKNOWN_MODEL = Behaviour(status=404)
DROPPED = Behaviour(drop=True)
TRICKLE = Behaviour(pause=0.2)
MALFORMED = Behaviour(cut=0.5)
WRONG_ENUM = Behaviour(spoil=bad_answers.wrong_enum)
MISSING_KEY = Behaviour(spoil=bad_answers.missing_key)
EXTRA_KEY = Behaviour(spoil=bad_answers.extra_key)
EMPTY_REASONING = Behaviour(spoil=bad_answers.empty_reasoning)
LONG_REASONING = Behaviour(spoil=bad_answers.long_reasoning)
MISSING_LEAD = Behaviour(spoil=bad_answers.missing_lead)
EXTRA_LEAD = Behaviour(spoil=bad_answers.extra_lead)
DUPLICATE_LEAD = Behaviour(spoil=bad_answers.duplicate_lead)
TRUNCATED = Behaviour(cut=0.5, stop_reason="max_tokens")
REFUSED = Behaviour(cut=0.0, stop_reason="refusal")
REFUSED_MIDWAY = Behaviour(cut=0.5, stop_reason="refusal")

_NAMED = {
    "ok": (OK, "answers validly at once"),
    "slow": (SLOW, "answers validly after 2 s"),
    "thinking": (THINKING, "thinks before it answers"),
    "limit-reached": (LIMIT_REACHED, "answers, and its headers say that no request is left for 1 s"),
    "obedient": (OBEDIENT, "obeys 'ignore all instructions' wherever it is not marked as data"),
    "rate-limited": (RATE_LIMITED, "429, asks to be left alone for 1 s"),
    "overloaded": (OVERLOADED, "529, or 503 from OpenAI and Gemini"),
    "server-error": (SERVER_ERROR, "500"),
    "declined": (DECLINED, "400, an invalid request"),
    "wrong-key": (WRONG_KEY, "401, or 400 from Gemini; checks of the model fail too"),
    "unknown-model": (UNKNOWN_MODEL, "404; checks of the model fail too"),
    "dropped": (DROPPED, "closes the connection; checks of the model fail too"),
    "trickle": (TRICKLE, "sends 16 bytes every 0.2 s"),
    "malformed": (MALFORMED, "stops in the middle of the JSON and calls it complete"),
    "wrong-enum": (WRONG_ENUM, "answers with a label that is not in the schema"),
    "missing-key": (MISSING_KEY, "leaves the last key of each answer out"),
    "extra-key": (EXTRA_KEY, "adds a key to each answer"),
    "empty-reasoning": (EMPTY_REASONING, "gives no reasons"),
    "long-reasoning": (LONG_REASONING, "gives reasons of more than 600 characters"),
    "missing-lead": (MISSING_LEAD, "leaves the last lead out"),
    "extra-lead": (EXTRA_LEAD, "judges a lead nobody asked about"),
    "duplicate-lead": (DUPLICATE_LEAD, "judges the first lead twice"),
    "truncated": (TRUNCATED, "stops in the middle for want of tokens"),
    "refused": (REFUSED, "refuses before the first word"),
    "refused-midway": (REFUSED_MIDWAY, "refuses in the middle of the answer"),
}
BY_NAME = {name: behaviour for name, (behaviour, _meaning) in _NAMED.items()}
MEANINGS = {name: meaning for name, (_behaviour, meaning) in _NAMED.items()}
