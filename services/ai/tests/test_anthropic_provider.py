"""What only Anthropic's API has: marked prefixes, spend limits, headers that count down, further stops."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from leadline_ai.providers.port import Provider, Stop, Usage
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_server import ModelServer

from .provider_cases import CASES, KEY, QUESTION, connected, facing, failure_of

ANTHROPIC = CASES["anthropic"]


@pytest.fixture
async def provider(server: ModelServer) -> AsyncIterator[Provider]:
    async with connected(ANTHROPIC, server.base_url) as made:
        yield made


@pytest.mark.parametrize("caches", [True, False])
async def test_the_prefix_is_marked_where_caching_pays(
    server: ModelServer, provider: Provider, caches: bool
) -> None:
    """Writing to the cache costs more than reading plainly, so the mark stands only where it is asked for."""
    await provider.ask(replace(QUESTION, prefix_caches=caches))

    prefix, body = server.requests[-1].body["messages"][0]["content"]
    assert prefix.get("cache_control") == ({"type": "ephemeral"} if caches else None)
    assert "cache_control" not in body


async def test_tokens_written_to_the_cache_are_counted_apart(provider: Provider) -> None:
    """They cost more than others."""
    long = replace(QUESTION, prefix="The offer. " * 1_000, prefix_caches=True)

    usage = (await provider.ask(long)).usage

    assert usage.cache_write_tokens > 1_000 > usage.input_tokens


async def test_the_key_goes_as_a_bearer_token(server: ModelServer, provider: Provider) -> None:
    """Gateways that speak this API look for it there."""
    await provider.ask(QUESTION)

    assert server.requests[-1].headers["authorization"] == f"Bearer {KEY}"


async def test_the_headers_of_a_used_up_limit_give_the_rest(server: ModelServer, provider: Provider) -> None:
    """Asking on would only bring refusals."""
    server.behave(default=behaviour.LIMIT_REACHED)

    assert 0.5 < (await provider.ask(QUESTION)).cooldown <= 1


async def test_the_longest_of_several_used_up_limits_counts() -> None:
    """As long as one limit is used up, nothing is taken; those with something left do not matter."""
    headers = {}
    for limit, left, seconds in (("requests", 0, 20), ("input-tokens", 0, 40), ("output-tokens", 7, 90)):
        headers[f"anthropic-ratelimit-{limit}-remaining"] = str(left)
        headers[f"anthropic-ratelimit-{limit}-reset"] = (
            f"{datetime.now(UTC) + timedelta(seconds=seconds):%FT%TZ}"
        )
    async with facing(ANTHROPIC, message("end_turn"), headers=headers) as provider:
        cooldown = (await provider.ask(QUESTION)).cooldown

    assert 35 < cooldown <= 40


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"type": "invalid_request_error", "details": {"error_code": "enforced_spend_limit_reached"}}),
        (429, {"type": "rate_limit_error", "details": {"error_code": "contract_spend_limit_reached"}}),
        (400, {"type": "billing_error"}),
    ],
)
async def test_a_spent_account_is_no_rate_limit(status: int, error: dict[str, object]) -> None:
    """Waiting does not help: a person has to add credit."""
    async with facing(ANTHROPIC, {"type": "error", "error": error}, status) as provider:
        failure = await failure_of(provider)

    assert failure.kind == "misconfigured"
    assert "credit" in str(failure)


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("model_context_window_exceeded", Stop.TRUNCATED),
        ("pause_turn", Stop.OTHER),
        ("new_reason", Stop.OTHER),
        (None, Stop.OTHER),
    ],
)
async def test_further_reasons_to_stop_are_no_complete_answers(reason: str | None, stop: Stop) -> None:
    """What the adapter does not know is never taken for a whole answer."""
    async with facing(ANTHROPIC, message(reason)) as provider:
        reply = await provider.ask(QUESTION)

    assert reply.stop is stop


async def test_a_local_server_need_not_count_tokens() -> None:
    """Usage is what the provider says; a server that says nothing costs nothing."""
    async with facing(ANTHROPIC, message("end_turn")) as provider:
        assert (await provider.ask(QUESTION)).usage == Usage()


def message(stop_reason: str | None) -> dict[str, object]:
    return {"type": "message", "content": [{"type": "text", "text": "{}"}], "stop_reason": stop_reason}
