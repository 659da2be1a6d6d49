"""What one provider alone does, the local model server does in its protocol alone."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import TextBlockParam
from google.genai import errors, types

from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_gemini import limit_headers as gemini_limit_headers
from leadline_testing.model_openai import limit_headers as openai_limit_headers
from leadline_testing.model_server import ModelServer

from .model_askers import SCHEMA, Anthropic, Gemini, OpenAI, question

LONG = "Judge by the book. " * 300


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    """A server that answers well until told otherwise."""
    async with ModelServer() as running:
        yield running


@pytest.fixture
async def claude(server: ModelServer) -> AsyncIterator[Anthropic]:
    """Anthropic's SDK."""
    made = Anthropic(server.base_url)
    yield made
    await made.close()


@pytest.fixture
async def gpt(server: ModelServer) -> AsyncIterator[OpenAI]:
    """OpenAI's SDK."""
    made = OpenAI(server.base_url)
    yield made
    await made.close()


@pytest.fixture
async def gemini(server: ModelServer) -> AsyncIterator[Gemini]:
    """Google's SDK."""
    made = Gemini(server.base_url)
    yield made
    await made.close()


async def send_blocks(claude: Anthropic, *blocks: TextBlockParam) -> tuple[int, int, int]:
    """Return the tokens read from the cache, written to it, and the rest of the input."""
    message = await claude.client.messages.create(
        model="claude-haiku-5-5",
        max_tokens=9,
        system=[{"type": "text", "text": "s" * 40}],
        messages=[{"role": "user", "content": list(blocks)}],
    )
    usage = message.usage
    return usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0, usage.input_tokens


async def test_a_marked_prefix_is_written_once_and_read_from_then_on(claude: Anthropic) -> None:
    """System prompt and user blocks up to the mark are cached; another prefix or no mark is not a hit."""
    marked: TextBlockParam = {"type": "text", "text": "p" * 400, "cache_control": {"type": "ephemeral"}}
    other: TextBlockParam = {"type": "text", "text": "q" * 400, "cache_control": {"type": "ephemeral"}}
    body: TextBlockParam = {"type": "text", "text": "b" * 80}
    assert [await send_blocks(claude, marked, body) for _ in range(2)] == [(0, 110, 20), (110, 0, 20)]
    assert await send_blocks(claude, marked, other, body) == (110, 100, 20)
    assert await send_blocks(claude, other, body) == (0, 110, 20)
    assert (await send_blocks(claude, {"type": "text", "text": "p" * 400}, body))[:2] == (0, 0)


async def test_anthropics_errors_name_their_type(server: ModelServer, claude: Anthropic) -> None:
    """The error's type, a request id and the pause are where its SDK looks for them."""
    server.behave(replace(behaviour.RATE_LIMITED, retry_after=7))
    with pytest.raises(anthropic.RateLimitError) as raised:
        await claude.ask(question("1"))
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["error"]["type"] == "rate_limit_error"
    assert raised.value.request_id
    assert raised.value.response.headers["retry-after"] == "7"


async def test_openais_errors_name_their_code(server: ModelServer, gpt: OpenAI) -> None:
    """Code, request id and pause are where its SDK looks for them."""
    server.behave(replace(behaviour.RATE_LIMITED, retry_after=7), behaviour.WRONG_KEY)
    with pytest.raises(openai.RateLimitError) as raised:
        await gpt.ask(question("1"))
    assert raised.value.code == "rate_limit_exceeded"
    assert raised.value.request_id
    assert raised.value.response.headers["retry-after"] == "7"
    with pytest.raises(openai.AuthenticationError) as refused:
        await gpt.ask(question("1"))
    assert refused.value.code == "invalid_api_key"


async def test_geminis_errors_tell_more_in_their_details(server: ModelServer, gemini: Gemini) -> None:
    """A wrong key looks like any bad request but for the details, which hold a rate limit's pause too."""
    server.behave(replace(behaviour.RATE_LIMITED, retry_after=7), behaviour.WRONG_KEY, behaviour.DECLINED)
    told = []
    for _ in range(3):
        with pytest.raises(errors.APIError) as raised:
            await gemini.ask(question("1"))
        told.append((raised.value.status, raised.value.details["error"].get("details", [{}])[0]))
    assert [status for status, _ in told] == ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "INVALID_ARGUMENT"]
    assert told[0][1]["retryDelay"] == "7s"
    assert [detail.get("reason") for _, detail in told] == [None, "API_KEY_INVALID", None]


async def test_a_refusal_by_claude_has_details(server: ModelServer, claude: Anthropic) -> None:
    """A refusal is a 200 without text."""
    server.behave(behaviour.REFUSED)
    message = await claude.client.messages.create(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
    )
    assert message.content == []
    assert message.stop_details is not None


async def test_claude_thinks_in_a_block_before_the_text(server: ModelServer, claude: Anthropic) -> None:
    """A thinking model's first block is no text, which trips clients that take content[0]."""
    server.behave(behaviour.THINKING)
    message = await claude.client.messages.create(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]
    )
    assert [block.type for block in message.content] == ["thinking", "text"]


async def test_gemini_thinks_in_a_part_of_its_own(server: ModelServer, gemini: Gemini) -> None:
    """A thought is marked as one, and billed beside the answer, not within it."""
    server.behave(behaviour.THINKING)
    response = await gemini.client.models.generate_content(model="m", contents=question("1"))
    assert response.candidates is not None
    assert response.candidates[0].content is not None
    assert [part.thought for part in response.candidates[0].content.parts or ()] == [True, None]
    usage = response.usage_metadata
    assert usage is not None
    parts = (usage.prompt_token_count, usage.thoughts_token_count, usage.candidates_token_count)
    assert all(parts)
    assert usage.total_token_count == sum(part or 0 for part in parts)


async def test_a_long_system_prompt_is_cached_unasked_by_the_others(gpt: OpenAI, gemini: Gemini) -> None:
    """OpenAI and Gemini count what they read from the cache within the prompt's tokens."""
    cached = []
    for _ in range(2):
        completion = await gpt.client.chat.completions.create(
            model="m", messages=[{"role": "developer", "content": LONG}, {"role": "user", "content": "x"}]
        )
        assert completion.usage is not None
        assert completion.usage.prompt_tokens_details is not None
        config = types.GenerateContentConfig(system_instruction=LONG)
        response = await gemini.client.models.generate_content(model="n", contents="x", config=config)
        assert response.usage_metadata is not None
        cached.append(completion.usage.prompt_tokens_details.cached_tokens)
        cached.append(response.usage_metadata.cached_content_token_count)
    assert cached == [0, None, len(LONG) // 4, len(LONG) // 4]


async def test_gemini_takes_its_own_schemas_as_well(server: ModelServer, gemini: Gemini) -> None:
    """`response_schema` is followed like `response_json_schema`."""
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=SCHEMA)
    response = await gemini.client.models.generate_content(
        model="m", contents=[question("1"), question("2", "3")], config=config
    )
    assert isinstance(response.parsed, dict)
    assert [answer["id"] for answer in response.parsed["answers"]] == ["1", "2", "3"]


async def test_gemini_lists_a_model_as_it_does(gemini: Gemini) -> None:
    """The name in an entry has the folder in front."""
    assert await gemini.check() == "models/gemini-local"


@pytest.mark.parametrize(
    "change", [{"additionalProperties": True}, {"required": []}], ids=["others allowed", "not all required"]
)
@pytest.mark.parametrize("strict", [True, False])
async def test_openai_refuses_lax_schemas_as_strict(
    gpt: OpenAI, change: dict[str, Any], strict: bool
) -> None:
    """A schema that OpenAI would refuse does not pass here, unless it is not to be followed strictly."""
    asked = gpt.client.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "x"}],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {**SCHEMA, **change}, "strict": strict},
        },
    )
    if not strict:
        assert (await asked).choices
        return
    with pytest.raises(openai.BadRequestError, match="invalid schema"):
        await asked


@pytest.mark.parametrize("body", [{"model": "m"}, {"messages": []}])
async def test_a_request_without_its_required_fields_is_refused(
    server: ModelServer, claude: Anthropic, gpt: OpenAI, body: dict[str, Any]
) -> None:
    """What the real APIs answer with 400 is not answered here either, whatever the script says."""
    with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
        await claude.client.post("/v1/messages", cast_to=object, body=body)
    with pytest.raises(openai.BadRequestError, match="parameter"):
        await gpt.client.post("/chat/completions", cast_to=object, body=body)
    async with httpx2.AsyncClient(base_url=server.base_url, headers={"x-goog-api-key": "k"}) as plain:
        response = await plain.post("/v1beta/models/m:generateContent", json=body)
    assert (response.status_code, response.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(("reset", "told"), [(0.25, "250ms"), (1, "1s"), (59.5, "59.5s"), (360, "6m0s")])
def test_openai_tells_the_reset_as_a_duration(reset: float, told: str) -> None:
    """Its header has a format of its own, where Gemini has no header at all."""
    assert openai_limit_headers(reset)["x-ratelimit-reset-requests"] == told
    assert gemini_limit_headers(reset) == {}
