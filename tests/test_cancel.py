"""A run that somebody stops: in one process over SQLite, and in four over real servers."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal
from tests.conftest import FreshServers
from tests.support import Client, asking, behind_gateway, embedded, make_csv, numbered, signed_up

from leadline_testing.model_behaviour import OK, Behaviour
from leadline_testing.model_server import ModelServer

LEADS = 1_500
SLOW = Behaviour(latency=0.2)
SETTINGS = {"CONCURRENCY": "2", "LEADS_PER_REQUEST": "10"}


@pytest.fixture(scope="module")
def provider(portal: BlockingPortal) -> Iterator[ModelServer]:
    """A provider that takes its time."""
    with portal.wrap_async_context_manager(ModelServer(default=SLOW)) as server:
        yield server


@pytest.fixture(scope="module", params=["embedded", pytest.param("services", marks=pytest.mark.servers)])
def leadline(
    request: pytest.FixtureRequest,
    portal: BlockingPortal,
    provider: ModelServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Any]:
    """Leadline with that provider, started once for all tests of a mode."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        with embedded(folder, asking(provider, **SETTINGS)) as running:
            yield running
        return
    fresh: FreshServers = request.getfixturevalue("fresh_servers")
    with (
        fresh() as urls,
        behind_gateway(portal, *urls, folder / "log", asking(provider, **SETTINGS)) as (running, _),
    ):
        yield running


def begun(client: Client, provider: ModelServer, name: str) -> tuple[str, str]:
    """Start a run over many prospects and return its upload and its id once some of them are asked about."""
    provider.behave(default=SLOW)
    upload_id = client.upload_new(make_csv(numbered(name, LEADS)))
    answer = client.post_score(prefer="respond-async", upload_id=upload_id)
    assert (answer.status_code, answer.json()["total"]) == (202, LEADS)
    deadline = time.monotonic() + 60
    while not asked(provider, name):
        assert time.monotonic() < deadline, "the provider was not asked"
        time.sleep(0.02)
    return upload_id, answer.json()["run_id"]


def asked(provider: ModelServer, name: str) -> Counter[str]:
    """Count how often each prospect of this name was asked about."""
    texts = (text for request in list(provider.requests) for _, text in request.leads)
    return Counter(text for text in texts if f"{name} " in text)


def refused(client: Client, run_id: str) -> Any:
    """Return why a run that has ended is not cancelled; ingest hears of the end a moment after results."""
    deadline = time.monotonic() + 30
    while (answer := client.http.post(f"/runs/{run_id}/cancel")).status_code == 202:
        assert time.monotonic() < deadline, "the end was not noted"
        time.sleep(0.05)
    assert (answer.status_code, answer.headers["Content-Type"]) == (409, "application/problem+json")
    return answer.json()


def test_a_cancelled_run_stops_and_the_next_takes_the_rest(leadline: Any, provider: ModelServer) -> None:
    """Its status says so, what was asked about is kept, nobody is asked about the rest, and every other
    prospect is the next run's: each is paid for once.
    """
    client: Client = leadline.client
    name = "Embedded" if leadline.broker_url is None else "Distributed"
    upload_id, run_id = begun(client, provider, name)
    answer = client.http.post(f"/runs/{run_id}/cancel")
    assert (answer.status_code, answer.json()["run_id"]) == (202, run_id)
    run = client.ended_run(run_id)
    assert (run["status"], run["failed"], run["seconds_left"]) == ("cancelled", 0, 0)
    stopped_at = asked(provider, name)
    assert 0 < len(stopped_at) == run["scored"] < LEADS / 2
    assert refused(client, run_id)["title"] == "The run has ended"
    assert {result["status"] for result in client.results(run_id=run_id)} == {"scored"}
    assert len(client.results(run_id=run_id)) == run["scored"]
    assert client.results(upload_id=upload_id, status="pending") == []

    provider.behave(default=OK)
    following = client.score(upload_id=upload_id)
    assert (following["queued"], following["processed"]) == (LEADS - run["scored"], LEADS - run["scored"])
    assert client.ended_run(following["run_id"])["status"] == "finished"
    assert len(client.results(upload_id=upload_id)) == LEADS
    assert set(asked(provider, name).values()) == {1}
    assert len(asked(provider, name)) == LEADS


def test_only_who_started_a_run_can_cancel_it(leadline: Any, provider: ModelServer) -> None:
    """For another user there is no such run; a run nobody started is none either."""
    client: Client = leadline.client
    upload_id = client.upload_new(make_csv(["Finished One"]))
    provider.behave(default=OK)
    run_id = client.score(upload_id=upload_id)["run_id"]
    with signed_up(leadline, "eve@example.com") as eve:
        assert eve.http.post(f"/runs/{run_id}/cancel").status_code == 404
    assert client.http.post("/runs/unknown/cancel").status_code == 404
    assert "is finished already" in refused(client, run_id)["detail"]
    assert client.ended_run(run_id)["status"] == "finished"


def test_a_refresh_that_is_cancelled_hides_no_result(leadline: Any, provider: ModelServer) -> None:
    """Prospects that were not asked about again keep the result they have."""
    client: Client = leadline.client
    provider.behave(default=OK)
    upload_id = client.upload_new(make_csv(numbered("Kept", 300)))
    first = client.score(upload_id=upload_id)
    provider.behave(default=SLOW)
    refresh = client.post_score(prefer="respond-async", upload_id=upload_id, refresh=True).json()
    client.http.post(f"/runs/{refresh['run_id']}/cancel").raise_for_status()
    assert client.ended_run(refresh["run_id"])["status"] == "cancelled"
    results = client.results(upload_id=upload_id)
    assert len(results) == 300
    assert {result["status"] for result in results} == {"scored"}
    assert first["run_id"] in {result["run_id"] for result in results}
