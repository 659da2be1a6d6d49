"""Assessor over Anthropic's Messages API: one lead a request, one attempt a call; Policy owns the retries."""

import asyncio
import logging
import math
import re
import time
from collections.abc import Sequence

from anthropic import AnthropicError, APIStatusError, APITimeoutError, AsyncAnthropic
from pydantic import BaseModel, ValidationError
from structlog.stdlib import get_logger

from leadline_ai.assessor import Answer, Failure
from leadline_ai.prompt import ANSWER_SCHEMA, load_prompt, read_answer
from leadline_common.errors import SettingsError
from leadline_common.messages import Lead, ModelName, Offer

DEFAULT_MODEL = "claude-haiku-5-5"

# What the model thinks counts too; only what it uses is paid for.
_MAX_TOKENS = 2_048
_FAULT_PAUSE = 60.0
_KEY = re.compile(r"[!-~]+")
# https://platform.claude.com/docs/en/api/errors
_TRY_AGAIN = {408, 409, 429}
_SPENT = {"enforced_spend_limit_reached", "contract_spend_limit_reached"}

log = get_logger()


class _Block(BaseModel):
    type: str
    text: str = ""


class _Reply(BaseModel):
    """The part of a Messages API response that is read here."""

    stop_reason: str | None
    content: list[_Block]


class AnthropicAssessor:
    """Asks a Claude model for each lead's intent.

    At most `concurrency` requests are in flight, each with `deadline` seconds from sending to the last byte.
    Without `base_url` the SDK's own rule holds: ANTHROPIC_BASE_URL, else the public API. After an answer
    that only a person can put right (wrong key, unknown model, spent account), no request is sent for a
    minute. Raises SettingsError where `api_key` cannot be a key.
    """

    source = "anthropic"

    def __init__(
        self,
        api_key: str,
        *,
        model: str = DEFAULT_MODEL,
        base_url: str | None = None,
        concurrency: int = 16,
        deadline: float = 30.0,
    ) -> None:
        # A stray line end in the key would otherwise fail as if the network did, and quote the key.
        if not _KEY.fullmatch(key := api_key.strip()):
            raise SettingsError(
                "ANTHROPIC_API_KEY: empty, or holds characters that no key has; copy it again"
            )
        # At DEBUG the SDK logs whole requests, and lead text stays out of every log.
        logging.getLogger("anthropic").setLevel(logging.INFO)
        self.model = model
        self._prompt = load_prompt()
        self.prompt = self._prompt.version
        self._client = AsyncAnthropic(api_key=key, base_url=base_url, max_retries=0, timeout=deadline)
        self._deadline = deadline
        self._slots = asyncio.Semaphore(concurrency)
        self._fault = ""
        self._silent_until = -math.inf

    async def assess(
        self,
        offer: Offer,
        model: ModelName,
        leads: Sequence[Lead],
    ) -> list[Answer | Failure]:
        """Ask about all leads side by side; a label means the same under every model. See Assessor."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._assess_one(offer, lead)) for lead in leads]
        return [task.result() for task in tasks]

    async def close(self) -> None:
        """Close the HTTP connections."""
        await self._client.close()

    async def _assess_one(self, offer: Offer, lead: Lead) -> Answer | Failure:
        async with self._slots:
            if time.monotonic() < self._silent_until:
                return Failure(lead.id, "misconfigured", self._fault)
            outcome = await self._attempt(lead.id, self._prompt.ask(offer, lead))
        if isinstance(outcome, Failure) and outcome.kind == "misconfigured":
            self._fall_silent(outcome.error)
        return outcome

    async def _attempt(self, lead_id: str, question: str) -> Answer | Failure:
        try:
            async with asyncio.timeout(self._deadline):
                body = await self._send(question)
        except (TimeoutError, APITimeoutError):
            return Failure(lead_id, "unavailable", f"Anthropic gave no answer within {self._deadline:g} s")
        except APIStatusError as error:
            return _refusal_by_status(lead_id, error, self.model)
        except AnthropicError:
            return Failure(lead_id, "unavailable", "the connection to Anthropic failed")
        return _read_reply(lead_id, body)

    async def _send(self, question: str) -> bytes:
        """Return the response as it came: the SDK reads one that fits no type without a word."""
        response = await self._client.messages.with_raw_response.create(
            model=self.model,
            max_tokens=_MAX_TOKENS,
            system=self._prompt.system,
            messages=[{"role": "user", "content": question}],
            output_config={"format": {"type": "json_schema", "schema": ANSWER_SCHEMA}},
        )
        return await response.read()

    def _fall_silent(self, fault: str) -> None:
        now = time.monotonic()
        if now >= self._silent_until:
            log.error("assessor_misconfigured", source=self.source, model=self.model, error=fault)
            self._fault, self._silent_until = fault, now + _FAULT_PAUSE


def _refusal_by_status(lead_id: str, error: APIStatusError, model: str) -> Failure:
    """Say what a status means. Anthropic's own words are left out: they may quote what was sent."""
    status = error.status_code
    match status:
        case 401 | 403:
            fault = f"Anthropic does not accept the key ({status}): set ANTHROPIC_API_KEY to a valid one"
        case 402:
            fault = "the Anthropic account is out of credit (402): add credit or change the key"
        case 404:
            fault = (
                f"Anthropic has no model {model!r} for this key (404): set LEADLINE_AI_MODEL to one it has"
            )
        case _ if error.error_code in _SPENT:
            fault = f"the Anthropic account's spend limit is reached ({status}): raise it or change the key"
        case _ if status in _TRY_AGAIN or status >= 500:
            return Failure(lead_id, "unavailable", f"Anthropic answered {status}", _retry_after(error))
        case _:
            return Failure(lead_id, "refused", f"Anthropic declines this request ({status})")
    return Failure(lead_id, "misconfigured", fault)


def _retry_after(error: APIStatusError) -> float | None:
    """Read the header `retry-after` in seconds, the form in which Anthropic sends it."""
    try:
        seconds = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None


def _read_reply(lead_id: str, body: bytes) -> Answer | Failure:
    try:
        reply = _Reply.model_validate_json(body)
    except ValidationError:
        return Failure(lead_id, "unusable", "Anthropic's response is no message")
    match reply.stop_reason:
        case "refusal":
            return Failure(lead_id, "refused", "the model declines to judge this lead")
        case "end_turn":
            text = "".join(block.text for block in reply.content if block.type == "text")
            return read_answer(lead_id, text)
        case "max_tokens" | "model_context_window_exceeded":
            return Failure(lead_id, "unusable", f"the answer was cut off ({reply.stop_reason})")
        case _:
            return Failure(lead_id, "unusable", "the model stopped before its answer was complete")
