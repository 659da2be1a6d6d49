"""What a language model's answers cost, end to end: shown, bounded, and never paid for twice."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal
from tests.conftest import FreshServers
from tests.support import Client, behind_gateway, connected, embedded, make_csv, numbered

from leadline_testing.model_behaviour import Behaviour
from leadline_testing.model_server import ModelServer
from leadline_testing.services import standalone

pytestmark = pytest.mark.slow


@pytest.fixture
def provider(portal: BlockingPortal) -> Iterator[ModelServer]:
    """A local server that speaks the provider's API."""
    with portal.wrap_async_context_manager(ModelServer()) as server:
        yield server


def settings_for(provider: ModelServer, **more: str) -> dict[str, str]:
    """Return the settings that have this provider asked, by one request at a time."""
    return {
        "LEADLINE_AI": "anthropic",
        "LEADLINE_AI_CONCURRENCY": "1",
        "ANTHROPIC_API_KEY": "sk-ant-local",
        "ANTHROPIC_BASE_URL": provider.base_url,
        **{f"LEADLINE_AI_{name}": value for name, value in more.items()},
    }


@pytest.fixture(params=["embedded", "services"])
def client(request: pytest.FixtureRequest, provider: ModelServer, tmp_path: Path) -> Iterator[Client]:
    """Leadline with that provider, in one process and as four services."""
    if request.param == "embedded":
        with embedded(tmp_path, settings_for(provider)) as leadline:
            yield leadline.client
        return
    fresh: FreshServers = request.getfixturevalue("fresh_servers")
    portal: BlockingPortal = request.getfixturevalue("portal")
    with (
        fresh() as urls,
        behind_gateway(portal, *urls, tmp_path / "log", settings_for(provider)) as (
            leadline,
            _,
        ),
    ):
        yield leadline.client


def test_a_run_shows_its_spend_and_the_same_file_costs_nothing_again(
    client: Client, provider: ModelServer
) -> None:
    """Tokens and money stand in the run; the same leads and offer again are answered from the cache."""
    offer, leads = client.create_offer(), make_csv(numbered("Spend", 25))
    first = client.score(upload_id=client.upload(leads, offer)["upload_id"])
    (spend,) = client.finished_run(first["run_id"])["ai"]
    assert (spend["source"], spend["model"]) == ("anthropic", "claude-haiku-5-5")
    assert (spend["calls"], spend["failed_calls"], spend["cached"]) == (3, 0, 0)
    assert spend["cost_usd"] == pytest.approx(
        (spend["input_tokens"] * 0.1 + spend["output_tokens"] * 0.5) / 1e6
    )

    again = client.score(upload_id=client.upload(leads, offer, duplicates="keep")["upload_id"])
    (spend,) = client.finished_run(again["run_id"])["ai"]
    assert (spend["calls"], spend["cached"], spend["cost_usd"]) == (0, 25, 0)
    assert provider.count == 3
    assert answers_of(client, first["run_id"]) == answers_of(client, again["run_id"])


def test_a_refresh_asks_anew(client: Client, provider: ModelServer) -> None:
    """What was scored before is scored once more with answers of its own, and then nothing is open."""
    upload_id = client.upload_new(make_csv(numbered("Refresh", 15)))
    first = client.score(upload_id=upload_id)
    refreshed = client.score(upload_id=upload_id, refresh=True)
    assert (first["queued"], refreshed["queued"], provider.count) == (15, 15, 4)
    results = client.results(upload_id=upload_id)
    assert {result["run_id"] for result in results} == {refreshed["run_id"]}
    assert client.score(upload_id=upload_id)["queued"] == 0


def test_what_a_budget_leaves_out_is_scored_when_it_is_raised(provider: ModelServer, tmp_path: Path) -> None:
    """Over budget a lead has its rule score and the setting to raise; then the next run takes just those."""
    with embedded(tmp_path, settings_for(provider, RUN_BUDGET_USD="0.005")) as leadline:
        client = leadline.client
        upload_id = client.upload_new(make_csv(numbered("Budget", 300)))
        run = client.score(upload_id=upload_id)
        skipped = client.results(upload_id=upload_id, status="partial")
        (spend,) = client.finished_run(run["run_id"])["ai"]
    asked = provider.count
    assert 0 < len(skipped) < 300
    assert spend["cost_usd"] <= 0.005
    for result in skipped:
        assert (result["ai"]["status"], result["intent"]) == ("skipped_budget", None)
        assert result["score"] == result["rule_score"]
        assert "LEADLINE_AI_RUN_BUDGET_USD" in result["reasoning"]

    with embedded(tmp_path, settings_for(provider)) as leadline:
        rest = leadline.client.score(upload_id=upload_id)
        assert (rest["queued"], rest["failed"]) == (len(skipped), 0)
    assert provider.count == asked + -(-len(skipped) // 10)


def test_a_crash_buys_again_what_was_in_flight_and_nothing_else(
    provider: ModelServer, tmp_path: Path
) -> None:
    """However often the process is killed, an answer that came back is never asked for a second time."""
    provider.behave(default=Behaviour(latency=0.1))
    settings = settings_for(provider, CONCURRENCY="2", LEADS_PER_REQUEST="5")
    kills = 3
    with standalone(tmp_path / "data", settings, tmp_path / "log") as process:
        with connected(process.address) as client:
            upload_id = client.upload_new(make_csv(numbered("Crash", 150)))
            run_id = client.post_score(prefer="respond-async", upload_id=upload_id).json()["run_id"]
            for kill in range(kills):
                until_asked(provider, 6 * (kill + 1))
                process.restart()
                process.await_ready()
            finished = client.finished_run(run_id)
        assert (finished["scored"], finished["failed"]) == (150, 0)
    asked = Counter(text for request in provider.requests for _, text in request.leads)
    assert len(asked) == 150
    assert sum(asked.values()) - len(asked) <= kills * 2 * 5


def until_asked(provider: ModelServer, count: int) -> None:
    """Wait until the provider has received that many requests."""
    deadline = time.monotonic() + 30
    while provider.count < count:
        assert time.monotonic() < deadline, f"{provider.count} requests within 30 seconds"
        time.sleep(0.01)


def answers_of(client: Client, run_id: str) -> dict[str, tuple[str, str]]:
    """Return intent and reasoning by the lead's name."""
    results = client.results(run_id=run_id)
    return {result["name"]: (result["intent"], result["reasoning"]) for result in results}
