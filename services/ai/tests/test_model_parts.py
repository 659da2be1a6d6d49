"""What leads and steps share of a model: limiter, breaker and budgets, made once for both."""

from leadline_ai.app import lead_policy, step_policy
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_testing import model_behaviour as behaviour
from leadline_testing.model_server import ModelServer

from .lead_cases import chunk, leads, replica_parts
from .step_cases import classify_step


async def test_what_a_lead_learns_of_the_provider_spares_a_step_its_call(
    server: ModelServer, store: SqliteAiStore
) -> None:
    """A wrong key is found out once, not once for leads and once for steps."""
    server.behave(default=behaviour.WRONG_KEY)
    async with replica_parts(server, store) as (parts, settings):
        [score] = (await lead_policy(parts, settings).score(chunk(leads(1)), 1)).scores
        finished = await step_policy(parts, settings).answer(classify_step(), 1)
    assert server.count == 1
    assert finished.source is not None
    assert score.fallback == finished.source.fallback
    assert "ANTHROPIC_API_KEY" in str(score.fallback)


async def test_leads_and_steps_spend_one_day_budget(server: ModelServer, store: SqliteAiStore) -> None:
    """What a chunk has spent of the day is no longer there for a step."""
    async with replica_parts(server, store) as (parts, settings):
        await lead_policy(parts, settings).score(chunk(leads(1)), 1)
        spent = await parts.reservations.committed_today()
    assert spent > 0
    async with replica_parts(server, store, ai_day_budget_usd=spent / 10**9) as (parts, settings):
        finished = await step_policy(parts, settings).answer(classify_step(), 1)
    assert server.count == 1
    assert finished.source is not None
    assert "LEADLINE_AI_DAY_BUDGET_USD" in str(finished.source.fallback)
