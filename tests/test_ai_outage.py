"""A provider that fails in the middle of a run, through its real SDK, and comes back."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio.from_thread import BlockingPortal
from tests.support import Leadline, embedded, make_csv, numbered

from leadline_testing.model_behaviour import OK, SERVER_ERROR
from leadline_testing.model_server import ModelServer

pytestmark = pytest.mark.slow


@pytest.fixture
def provider(portal: BlockingPortal) -> Iterator[ModelServer]:
    """A local server that speaks the provider's API."""
    with portal.wrap_async_context_manager(ModelServer()) as server:
        yield server


@pytest.fixture
def leadline(provider: ModelServer, tmp_path: Path) -> Iterator[Leadline]:
    """Leadline with that provider, told to ask once and then to fail."""
    settings = {
        "LEADLINE_AI": "anthropic",
        "LEADLINE_AI_ATTEMPTS": "1",
        "LEADLINE_AI_ON_FAILURE": "fail",
        "ANTHROPIC_API_KEY": "sk-ant-local",
        "ANTHROPIC_BASE_URL": provider.base_url,
    }
    with embedded(tmp_path, settings) as running:
        yield running


def test_what_an_outage_left_partial_is_scored_later_and_nothing_else(
    leadline: Leadline, provider: ModelServer
) -> None:
    """Results without the provider's answer carry the rule score; the next run pays for exactly those."""
    client = leadline.client
    upload_id = client.upload_new(make_csv(numbered("Outage", 30)))
    provider.behave(OK, default=SERVER_ERROR)
    first = client.score(upload_id=upload_id)
    assert (first["processed"], first["failed"]) == (30, 20)
    partial = client.results(upload_id=upload_id, status="partial")
    scored = client.results(upload_id=upload_id, status="scored")
    assert (len(partial), len(scored)) == (20, 10)
    for result in partial:
        assert (result["intent"], result["score"]) == (None, result["rule_score"])
        assert "500" in result["error"] or "scripted" in result["error"]

    provider.behave(default=OK)
    second = client.score(upload_id=upload_id)
    assert (second["queued"], second["processed"], second["failed"]) == (20, 20, 0)
    assert provider.count == 3 + 2
    newest = {result["lead_id"]: result for result in client.results(upload_id=upload_id)}
    assert len(newest) == 30
    assert all(result["status"] == "scored" for result in newest.values())
    assert [newest[result["lead_id"]] for result in scored] == scored
    assert {newest[result["lead_id"]]["run_id"] for result in partial} == {second["run_id"]}
