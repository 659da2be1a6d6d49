"""Provider over the Gemini API: https://ai.google.dev/api"""

from aiohttp import ClientError
from google.genai import Client, types
from google.genai.errors import APIError

from leadline_ai.providers.gemini_responses import read_refusal, read_reply
from leadline_ai.providers.http_failures import HttpFailures, NoSuchRoute
from leadline_ai.providers.port import ProviderFailure, Question, Reply
from leadline_ai.providers.rate_limits import retry_after
from leadline_ai.providers.secrecy import quieten, usable_key

DEFAULT_MODEL = "gemini-3.1-flash-lite"
KEY_VARIABLE = "GEMINI_API_KEY"


class GeminiProvider:
    """A Gemini model; raises SettingsError where `api_key` cannot be a key. See Provider."""

    name = "gemini"

    def __init__(self, api_key: str, *, model: str = DEFAULT_MODEL, base_url: str | None = None) -> None:
        quieten("google_genai")
        self.model, self.endpoint = model, base_url or ""
        self._failures = HttpFailures("Gemini", model, KEY_VARIABLE, "GOOGLE_GEMINI_BASE_URL")
        options = types.HttpOptions(base_url=base_url, retry_options=types.HttpRetryOptions(attempts=1))
        # Otherwise environment variables can make the SDK call another service with other keys.
        self._sdk = Client(api_key=usable_key(api_key, KEY_VARIABLE), vertexai=False, http_options=options)

    async def ask(self, question: Question) -> Reply:
        config = types.GenerateContentConfig(
            system_instruction=question.system,
            response_mime_type="application/json",
            response_json_schema=question.schema,
            max_output_tokens=question.max_tokens,
            # Each of the two would send requests of its own.
            automatic_continuation=False,
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            # Raw, since of what fits none of its types the SDK silently accepts some and fails on some.
            should_return_http_response=True,
        )
        try:
            response = await self._sdk.aio.models.generate_content(
                model=self.model,
                # An empty one makes the whole request invalid.
                contents=[part for part in (question.prefix, question.body) if part],
                config=config,
            )
            raw = response.sdk_http_response
            return read_reply((raw and raw.body) or "")
        except (APIError, ClientError, ValueError) as error:
            raise self._failure(error) from None

    async def check(self) -> None:
        try:
            await self._sdk.aio.models.get(model=self.model)
        except (APIError, ClientError) as error:
            if not isinstance(failure := self._failure(error), NoSuchRoute):
                raise failure from None
        except (ValueError, TypeError):
            return  # Something answers, if not with the model's entry.

    async def close(self) -> None:
        await self._sdk.aio.aclose()
        self._sdk.close()

    def _failure(self, error: APIError | ClientError | ValueError) -> ProviderFailure:
        if not isinstance(error, APIError):
            return self._failures.of(error)
        refusal = read_refusal(error.details)
        if "API_KEY_INVALID" in refusal.reasons:
            return self._failures.wrong_key(error.code)
        if error.status == "FAILED_PRECONDITION":
            return self._failures.spent(error.code)
        if error.status == "NOT_FOUND":
            return self._failures.unknown_model(error.code)
        asked = refusal.retry_after
        if asked is None and error.response is not None:
            asked = retry_after(error.response.headers)
        return self._failures.by_status(error.code, asked)
