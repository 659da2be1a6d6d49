"""What only the Gemini API has: errors told by their details, blocked prompts, an SDK that asks on."""

import pytest

from leadline_ai.providers.port import Stop
from leadline_testing.model_server import ModelServer

from .provider_cases import CASES, QUESTION, connected, facing, failure_of, saying

GEMINI = CASES["gemini"]
# google-genai 3.4 makes a subclass that aiohttp 3.14 advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")


async def test_a_daily_quota_asks_for_the_pause_it_names() -> None:
    """Hours may go by; the details alone tell, among others that say nothing of it."""
    quota = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "PerDay"}]}
    pause = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "35640.5s"}
    error = {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [quota, pause]}
    async with facing(GEMINI, {"error": error}, 429) as provider:
        failure = await failure_of(provider)

    assert (failure.kind, failure.retry_after) == ("overloaded", 35_640.5)


async def test_a_proxy_may_ask_for_a_pause_by_header() -> None:
    """The API itself does not, but gateways before it do."""
    async with facing(GEMINI, "<p>Busy</p>", 429, {"retry-after": "12"}) as provider:
        assert (await failure_of(provider)).retry_after == 12


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}, "GEMINI_API_KEY"),
        ({"status": "FAILED_PRECONDITION"}, "credit"),
    ],
)
async def test_a_400_may_be_for_a_person_to_put_right(error: dict[str, object], words: str) -> None:
    """A wrong key and an account without billing look like bad requests."""
    async with facing(GEMINI, {"error": {"code": 400, **error}}, 400) as provider:
        failure = await failure_of(provider)

    assert failure.kind == "misconfigured"
    assert words in str(failure)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("RECITATION", Stop.REFUSED),
        ("PROHIBITED_CONTENT", Stop.REFUSED),
        ("BLOCKLIST", Stop.REFUSED),
        ("OTHER", Stop.OTHER),
        ("A_NEW_ONE", Stop.OTHER),
        ("CONTINUATION", Stop.OTHER),
    ],
)
async def test_a_candidate_is_read_once_whatever_ended_it(reason: str, stop: Stop) -> None:
    """No reason is taken for a whole answer by mistake, and none makes the SDK ask on unseen."""
    candidate = {
        "finishReason": reason,
        "continuationToken": "bW9yZQ==",
        "content": {"parts": [{"text": "{"}]},
    }
    async with saying({"candidates": [candidate]}) as server, connected(GEMINI, server.address) as provider:
        reply = await provider.ask(QUESTION)

    assert (reply.text, reply.stop) == ("{", stop)
    assert len(server.lines) == 1


async def test_a_blocked_prompt_is_a_refusal() -> None:
    """There is no candidate then, and the prompt is paid for."""
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 7}}
    async with facing(GEMINI, blocked) as provider:
        reply = await provider.ask(QUESTION)

    assert (reply.stop, reply.usage.input_tokens) == (Stop.REFUSED, 7)


async def test_settings_of_another_google_service_change_nothing(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine set up for Vertex AI still asks where GEMINI_API_KEY is a key."""
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_API_KEY", "another")
    async with connected(GEMINI, server.base_url) as provider:
        reply = await provider.ask(QUESTION)

    assert reply.stop is Stop.COMPLETE
    assert server.requests[-1].headers["x-goog-api-key"] != "another"
