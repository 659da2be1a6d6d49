"""The providers' real SDKs, asking one question each in the same words."""

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

import anthropic
import httpx2
import openai
from google import genai
from google.genai import errors, types

JUDGEMENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "intent": {"type": "string", "enum": ["High", "Medium", "Low"]},
        "confidence": {"type": "number"},
        "reasoning": {"type": "string"},
    },
    "required": ["id", "intent", "confidence", "reasoning"],
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answers": {"type": "array", "items": JUDGEMENT}},
    "required": ["answers"],
    "additionalProperties": False,
}
LEADS = {str(n): json.dumps({"role": f"Head of Growth {n}"}) for n in range(12)}
SYSTEM = "Judge the leads."


@dataclass(frozen=True)
class Heard:
    """What an SDK makes of an answer."""

    text: str
    stop: str
    input_tokens: int
    output_tokens: int
    headers: Any = None


class Asker(Protocol):
    """A provider's SDK, asking a question and checking a model."""

    name: str
    close: Callable[[], Coroutine[Any, Any, None]]

    async def ask(self, question: str, system: str = SYSTEM) -> Heard:
        """Ask for answers by SCHEMA; raises the SDK's own error."""

    async def check(self) -> str:
        """Return the id of the model's entry; raises the SDK's own error."""


class Anthropic:
    """`messages.create` with an output format."""

    name = "anthropic"

    def __init__(self, base_url: str) -> None:
        self.client = anthropic.AsyncAnthropic(base_url=base_url, api_key="k", max_retries=0, timeout=1)
        self.close = self.client.close

    async def ask(self, question: str, system: str = SYSTEM) -> Heard:
        raw = await self.client.messages.with_raw_response.create(
            model="claude-haiku-5-5",
            max_tokens=900,
            system=system,
            messages=[{"role": "user", "content": question}],
            output_config={"format": {"type": "json_schema", "schema": SCHEMA}},
        )
        message = await raw.parse()
        text = "".join(block.text for block in message.content if block.type == "text")
        usage = message.usage
        return Heard(text, message.stop_reason or "", usage.input_tokens, usage.output_tokens, raw.headers)

    async def check(self) -> str:
        return (await self.client.models.retrieve("claude-haiku-5-5")).id


class OpenAI:
    """`chat.completions.create` with a strict schema."""

    name = "openai"

    def __init__(self, base_url: str) -> None:
        url = f"{base_url}/v1"
        self.client = openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0, timeout=1)
        self.close = self.client.close

    async def ask(self, question: str, system: str = SYSTEM) -> Heard:
        raw = await self.client.chat.completions.with_raw_response.create(
            model="gpt-local",
            max_completion_tokens=900,
            messages=[{"role": "system", "content": system}, {"role": "user", "content": question}],
            response_format={
                "type": "json_schema",
                "json_schema": {"name": "answers", "schema": SCHEMA, "strict": True},
            },
        )
        completion = raw.parse()
        (choice,) = completion.choices
        assert completion.usage is not None
        stop = "refusal" if choice.message.refusal else choice.finish_reason
        tokens = (completion.usage.prompt_tokens, completion.usage.completion_tokens)
        return Heard(choice.message.content or "", stop, *tokens, raw.headers)

    async def check(self) -> str:
        return (await self.client.models.retrieve("gpt-local")).id


class Gemini:
    """`generate_content` with a JSON schema."""

    name = "gemini"

    def __init__(self, base_url: str) -> None:
        # Its default, an aiohttp session, retries a lost connection once by itself after up to 10 s.
        http = httpx2.AsyncClient()
        options = types.HttpOptions(base_url=base_url, timeout=1_000, httpx_async_client=http)
        self.client = genai.Client(api_key="k", http_options=options).aio
        self.close = http.aclose

    async def ask(self, question: str, system: str = SYSTEM) -> Heard:
        response = await self.client.models.generate_content(
            model="gemini-local",
            contents=question,
            config=types.GenerateContentConfig(
                system_instruction=system,
                response_mime_type="application/json",
                response_json_schema=SCHEMA,
                max_output_tokens=900,
            ),
        )
        usage = response.usage_metadata
        assert usage is not None
        output = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
        feedback, candidates = response.prompt_feedback, response.candidates or []
        stop = feedback.block_reason if feedback else candidates[0].finish_reason
        text = "" if feedback else response.text or ""
        return Heard(
            text, f"blocked {stop}" if feedback else str(stop), usage.prompt_token_count or 0, output
        )

    async def check(self) -> str:
        return str((await self.client.models.get(model="gemini-local")).name)


STATUS_ERRORS = (anthropic.APIStatusError, openai.APIStatusError, errors.APIError)


def question(*ids: str) -> str:
    """Ask about some of the leads."""
    told = "\n".join(f'<lead id="{name}">{LEADS[name]}</lead>' for name in ids)
    return f"<offer>{{}}</offer>\nJudge each.\n{told}"


def status_of(error: Exception) -> int:
    """Read the status off any SDK's error."""
    assert isinstance(error, STATUS_ERRORS)
    return error.code if isinstance(error, errors.APIError) else error.status_code


def answers(heard: Heard) -> list[dict[str, Any]]:
    """Read the answers."""
    found: list[dict[str, Any]] = json.loads(heard.text)["answers"]
    return found
