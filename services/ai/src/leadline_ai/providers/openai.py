"""Provider over OpenAI's chat completions: https://developers.openai.com/api/reference/resources/chat"""

from aiohttp import ClientError
from openai import APIStatusError, AsyncOpenAI, DefaultAioHttpClient, OpenAIError
from pydantic import AliasPath, BaseModel, Field, ValidationError

from leadline_ai.providers.http_failures import HttpFailures, NoSuchRoute
from leadline_ai.providers.port import ProviderFailure, Question, Reply, Stop, Usage
from leadline_ai.providers.rate_limits import cooldown, retry_after
from leadline_ai.providers.secrecy import quieten, usable_key

DEFAULT_MODEL = "gpt-6-luna"
KEY_VARIABLE = "OPENAI_API_KEY"

_STOPS = {"stop": Stop.COMPLETE, "length": Stop.TRUNCATED, "content_filter": Stop.REFUSED}
_DETAILS = ("usage", "prompt_tokens_details")


class _Choice(BaseModel):
    finish_reason: str | None
    content: str | None = Field(None, validation_alias=AliasPath("message", "content"))
    refusal: str | None = Field(None, validation_alias=AliasPath("message", "refusal"))


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    prompt: int = Field(0, validation_alias=AliasPath("usage", "prompt_tokens"))
    answer: int = Field(0, validation_alias=AliasPath("usage", "completion_tokens"))
    cache_read: int | None = Field(None, validation_alias=AliasPath(*_DETAILS, "cached_tokens"))
    cache_written: int | None = Field(None, validation_alias=AliasPath(*_DETAILS, "cache_write_tokens"))

    def reply(self, cooldown_seconds: float) -> Reply:
        choice = self.choices[0]
        stop = Stop.REFUSED if choice.refusal else _STOPS.get(choice.finish_reason or "", Stop.OTHER)
        read, written = self.cache_read or 0, self.cache_written or 0
        usage = Usage(
            input_tokens=max(0, self.prompt - read - written),
            output_tokens=self.answer,
            cache_read_tokens=read,
            cache_write_tokens=written,
        )
        return Reply(choice.content or "", stop, usage, cooldown_seconds)


class OpenAiProvider:
    """A model of OpenAI's, or of a local server that speaks its API (Ollama, vLLM, LM Studio).

    Raises SettingsError where `api_key` cannot be a key. See Provider.
    """

    name = "openai"

    def __init__(self, api_key: str, *, model: str = DEFAULT_MODEL, base_url: str | None = None) -> None:
        quieten("openai")
        key, http = usable_key(api_key, KEY_VARIABLE), DefaultAioHttpClient(timeout=None)
        self.model, self.endpoint = model, base_url or ""
        self._failures = HttpFailures("OpenAI", model, KEY_VARIABLE, "OPENAI_BASE_URL")
        self._sdk = AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0, http_client=http)

    async def ask(self, question: Question) -> Reply:
        try:
            # Raw, since the SDK silently accepts what fits none of its types.
            response = await self._sdk.chat.completions.with_raw_response.create(
                model=self.model,
                max_completion_tokens=question.max_tokens,
                messages=[
                    {"role": "system", "content": question.system},
                    {"role": "user", "content": f"{question.prefix}\n{question.body}"},
                ],
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "strict": True, "schema": dict(question.schema)},
                },
            )
            return _Completion.model_validate_json(response.content).reply(cooldown(response.headers))
        except (OpenAIError, ClientError, ValidationError) as error:
            raise self._failure(error) from None

    async def check(self) -> None:
        try:
            await self._sdk.models.with_raw_response.retrieve(self.model)
        except (OpenAIError, ClientError) as error:
            if not isinstance(failure := self._failure(error), NoSuchRoute):
                raise failure from None

    async def close(self) -> None:
        await self._sdk.close()

    def _failure(self, error: OpenAIError | ClientError | ValidationError) -> ProviderFailure:
        if not isinstance(error, APIStatusError):
            return self._failures.of(error)
        if "insufficient_quota" in (error.type, error.code):
            return self._failures.spent(error.status_code)
        if error.code == "model_not_found":
            return self._failures.unknown_model(error.status_code)
        return self._failures.by_status(error.status_code, retry_after(error.response.headers))
