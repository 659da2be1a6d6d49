"""What only OpenAI's API has: strict schemas, quotas behind 429, refusals in a field of their own."""

from collections.abc import AsyncIterator

import pytest

from leadline_ai.providers.port import Provider, Stop, Usage
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_server import ModelServer

from .provider_cases import CASES, QUESTION, connected, facing, failure_of

OPENAI = CASES["openai"]


@pytest.fixture
async def provider(server: ModelServer) -> AsyncIterator[Provider]:
    async with connected(OPENAI, server.base_url) as made:
        yield made


async def test_the_schema_is_asked_for_strictly(server: ModelServer, provider: Provider) -> None:
    """Without `strict` the model may leave the schema; older names of the bound are refused by new models."""
    await provider.ask(QUESTION)

    body = server.requests[-1].body
    assert body["response_format"]["json_schema"]["strict"] is True
    assert body["max_completion_tokens"] == QUESTION.max_tokens
    assert [turn["role"] for turn in body["messages"]] == ["system", "user"]


async def test_the_headers_of_a_used_up_limit_give_the_rest(server: ModelServer, provider: Provider) -> None:
    """Asking on would only bring refusals."""
    server.behave(default=behaviour.LIMIT_REACHED)

    assert (await provider.ask(QUESTION)).cooldown == 1


@pytest.mark.parametrize(
    "error",
    [
        {"type": "insufficient_quota", "code": "insufficient_quota"},
        {"type": "insufficient_quota", "code": "project_spend_limit_exceeded"},
        {"type": None, "code": "insufficient_quota"},
    ],
)
async def test_a_spent_quota_is_no_rate_limit(error: dict[str, object]) -> None:
    """Both come with 429, and only one passes."""
    async with facing(OPENAI, {"error": error}, 429, {"retry-after": "1"}) as provider:
        failure = await failure_of(provider)

    assert failure.kind == "misconfigured"
    assert "credit" in str(failure)


async def test_a_model_that_the_project_may_not_use_is_named() -> None:
    """It comes with 403, and the key is not what is wrong."""
    async with facing(OPENAI, {"error": {"code": "model_not_found"}}, 403) as provider:
        failure = await failure_of(provider)

    assert failure.kind == "misconfigured"
    assert "LEADLINE_AI_MODEL" in str(failure)


@pytest.mark.parametrize(
    ("finish_reason", "refusal", "stop"),
    [
        ("stop", None, Stop.COMPLETE),
        ("stop", "I cannot help with that.", Stop.REFUSED),
        ("content_filter", None, Stop.REFUSED),
        ("length", None, Stop.TRUNCATED),
        ("tool_calls", None, Stop.OTHER),
        (None, None, Stop.OTHER),
    ],
)
async def test_reasons_to_stop_are_told_apart(
    finish_reason: str | None, refusal: str | None, stop: Stop
) -> None:
    """A refusal ends with "stop" like an answer, and local servers may give no reason at all."""
    said = {"content": None, "refusal": refusal}
    async with facing(OPENAI, {"choices": [{"finish_reason": finish_reason, "message": said}]}) as provider:
        reply = await provider.ask(QUESTION)

    assert (reply.text, reply.stop, reply.usage) == ("", stop, Usage())


async def test_tokens_written_to_the_cache_are_counted_once() -> None:
    """They are among those of the prompt and have a price of their own."""
    details = {"cached_tokens": 600, "cache_write_tokens": 300}
    usage = {"prompt_tokens": 1_000, "completion_tokens": 50, "prompt_tokens_details": details}
    choice = {"finish_reason": "stop", "message": {"content": "{}"}}
    async with facing(OPENAI, {"choices": [choice], "usage": usage}) as provider:
        counted = (await provider.ask(QUESTION)).usage

    expected = Usage(input_tokens=100, output_tokens=50, cache_read_tokens=600, cache_write_tokens=300)
    assert counted == expected


@pytest.mark.parametrize("details", [None, {}, {"cached_tokens": None}])
async def test_a_local_server_need_not_tell_of_its_cache(details: object) -> None:
    """Ollama, vLLM and LM Studio leave out, or leave null, what they do not count."""
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": details}
    choice = {"finish_reason": "stop", "message": {"content": "{}"}}
    async with facing(OPENAI, {"choices": [choice], "usage": usage}) as provider:
        assert (await provider.ask(QUESTION)).usage == Usage(input_tokens=9, output_tokens=5)
