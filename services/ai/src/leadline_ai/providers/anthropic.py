"""Provider over Anthropic's Messages API: https://platform.claude.com/docs/en/api/messages"""

from anthropic import AnthropicError, APIStatusError, AsyncAnthropic, DefaultAioHttpClient
from anthropic.types import TextBlockParam
from pydantic import AliasPath, BaseModel, Field, ValidationError

from leadline_ai.providers.http_failures import HttpFailures, NoSuchRoute
from leadline_ai.providers.port import ProviderFailure, Question, Reply, Stop, Usage
from leadline_ai.providers.rate_limits import cooldown, retry_after
from leadline_ai.providers.secrecy import quieten, usable_key

DEFAULT_MODEL = "claude-haiku-5-5"
KEY_VARIABLE = "ANTHROPIC_API_KEY"

_STOPS = {
    "end_turn": Stop.COMPLETE,
    "max_tokens": Stop.TRUNCATED,
    "model_context_window_exceeded": Stop.TRUNCATED,
    "refusal": Stop.REFUSED,
}
# https://platform.claude.com/docs/en/api/errors
_SPENT = {"enforced_spend_limit_reached", "contract_spend_limit_reached"}


class _Block(BaseModel):
    type: str
    text: str = ""


class _Message(BaseModel):
    stop_reason: str | None
    content: list[_Block]
    uncached: int = Field(0, validation_alias=AliasPath("usage", "input_tokens"))
    answer: int = Field(0, validation_alias=AliasPath("usage", "output_tokens"))
    cache_read: int | None = Field(None, validation_alias=AliasPath("usage", "cache_read_input_tokens"))
    cache_written: int | None = Field(
        None, validation_alias=AliasPath("usage", "cache_creation_input_tokens")
    )

    def reply(self, cooldown_seconds: float) -> Reply:
        text = "".join(block.text for block in self.content if block.type == "text")
        usage = Usage(
            input_tokens=self.uncached,
            output_tokens=self.answer,
            cache_read_tokens=self.cache_read or 0,
            cache_write_tokens=self.cache_written or 0,
        )
        return Reply(text, _STOPS.get(self.stop_reason or "", Stop.OTHER), usage, cooldown_seconds)


class AnthropicProvider:
    """A Claude model; raises SettingsError where `api_key` cannot be a key. See Provider."""

    name = "anthropic"

    def __init__(self, api_key: str, *, model: str = DEFAULT_MODEL, base_url: str | None = None) -> None:
        quieten("anthropic")
        key, http = usable_key(api_key, KEY_VARIABLE), DefaultAioHttpClient(timeout=None)
        self.model, self.endpoint = model, base_url or ""
        self._failures = HttpFailures("Anthropic", model, KEY_VARIABLE, "ANTHROPIC_BASE_URL")
        self._sdk = AsyncAnthropic(
            api_key=key,
            base_url=base_url,
            max_retries=0,
            http_client=http,
            # By itself it tells Anthropic the ids of our traces, and may record what leads say.
            open_telemetry={"propagation": False, "traces": False},
        )

    async def ask(self, question: Question) -> Reply:
        # A text block that is empty makes the whole request invalid.
        parts: list[TextBlockParam] = [
            {"type": "text", "text": part} for part in (question.prefix, question.body) if part
        ]
        if question.prefix_caches:
            parts[0]["cache_control"] = {"type": "ephemeral"}
        try:
            # Raw, since the SDK silently accepts what fits none of its types.
            response = await self._sdk.messages.with_raw_response.create(
                model=self.model,
                max_tokens=question.max_tokens,
                system=question.system,
                messages=[{"role": "user", "content": parts}],
                output_config={"format": {"type": "json_schema", "schema": dict(question.schema)}},
            )
            return _Message.model_validate_json(await response.read()).reply(cooldown(response.headers))
        except (AnthropicError, ValidationError) as error:
            raise self._failure(error) from None

    async def check(self) -> None:
        try:
            await self._sdk.models.with_raw_response.retrieve(self.model)
        except AnthropicError as error:
            if not isinstance(failure := self._failure(error), NoSuchRoute):
                raise failure from None

    async def close(self) -> None:
        await self._sdk.close()

    def _failure(self, error: AnthropicError | ValidationError) -> ProviderFailure:
        if not isinstance(error, APIStatusError):
            return self._failures.of(error)
        if error.error_code in _SPENT or error.type == "billing_error":
            return self._failures.spent(error.status_code)
        if error.type == "not_found_error":
            return self._failures.unknown_model(error.status_code)
        return self._failures.by_status(error.status_code, retry_after(error.response.headers))
