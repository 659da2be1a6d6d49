"""Two users of one Leadline that lets in who sends a token, in one process and as four services."""

import time
from collections.abc import Iterator

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from tests.conftest import FreshServers
from tests.support import OFFLINE, Client, Leadline, behind_gateway, embedded, make_csv, numbered, signed_up

from leadline_testing.tables import every_row

SETTINGS = {**OFFLINE, "LEADLINE_AUTH": "required"}
UNKNOWN = "01980000-0000-7000-8000-000000000000"


@pytest.fixture(scope="module", params=["embedded", pytest.param("services", marks=pytest.mark.servers)])
def leadline(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leadline]:
    """Leadline, started once for all tests of a mode."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        with embedded(folder, SETTINGS) as running:
            yield running
        return
    fresh: FreshServers = request.getfixturevalue("fresh_servers")
    portal: BlockingPortal = request.getfixturevalue("portal")
    with fresh() as urls, behind_gateway(portal, *urls, folder / "log", SETTINGS) as (running, _):
        yield running


@pytest.fixture(scope="module")
def ann(leadline: Leadline) -> Iterator[Client]:
    """A user."""
    with signed_up(leadline, "Ann@Example.com") as client:
        yield client


@pytest.fixture(scope="module")
def bob(leadline: Leadline) -> Iterator[Client]:
    """Another one."""
    with signed_up(leadline, "bob@example.com") as client:
        yield client


def test_the_whole_way_with_a_token(leadline: Leadline, ann: Client, bob: Client) -> None:
    """What one user uploads and scores is theirs to read in every service, and is there for nobody else."""
    offer_id = ann.create_offer()
    upload_id = ann.upload(make_csv(numbered("Of Ann", 3)), offer_id)["upload_id"]
    run_id = ann.score(upload_id=upload_id)["run_id"]
    assert {result["name"] for result in ann.results(run_id=run_id)} == set(numbered("Of Ann", 3))
    assert len(ann.exported_rows(run_id=run_id)) == 3
    assert ann.finished_run(run_id)["scored"] == 3

    for named in ({"upload_id": upload_id}, {"offer_id": offer_id}):
        assert bob.post_score(**named).status_code == 404
    assert bob.http.get(f"/runs/{run_id}").status_code == 404
    for filters in ({}, {"run_id": run_id}, {"offer_id": offer_id}, {"upload_id": upload_id}):
        assert bob.results(**filters) == []
        assert bob.exported_rows(**filters) == []
    assert leadline.client.http.get("/auth/me").status_code == 401


def test_everybody_scores_their_own(ann: Client, bob: Client) -> None:
    """Two users who score all they have at the same time each get all of their own and nothing else."""
    runs = {}
    for name, client in (("Ann", ann), ("Bob", bob)):
        client.upload(make_csv(numbered(f"Also of {name}", 30)), client.create_offer())
        runs[name] = client.post_score("respond-async").raise_for_status().json()["run_id"]
    for name, client in (("Ann", ann), ("Bob", bob)):
        client.finished_run(runs[name])
        names = [result["name"] for result in client.results(run_id=runs[name])]
        assert sorted(names) == sorted(numbered(f"Also of {name}", 30))


def test_nobody_waits_for_somebody_elses_run(ann: Client, bob: Client) -> None:
    """A wait for another user's run is over as soon as one for a run that nobody knows."""
    ann.upload(make_csv(numbered("Waited for", 3)), ann.create_offer())
    run_id = ann.score()["run_id"]
    started = time.monotonic()
    assert bob.http.get(f"/runs/{run_id}", params={"wait": 30}).status_code == 404
    assert time.monotonic() - started < 25


@every_row("path", ["/results", "/results/export", f"/runs/{UNKNOWN}", "/auth/me", "/api/results"])
def test_no_token_no_answer(leadline: Leadline, path: str) -> None:
    """Both services refuse who sends no token or a wrong one, and answer health and schema to all."""
    http = leadline.client.http
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        refused = http.get(path, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    for address in leadline.addresses.values():
        assert httpx.get(f"{address}/health/live", trust_env=False).status_code == 200


def test_nothing_secret_is_logged(leadline: Leadline, ann: Client) -> None:
    """Neither passwords nor tokens nor emails are in what the processes wrote."""
    leadline.client.http.post("/auth/login", json={"email": "ann@example.com", "password": "wrong horse"})
    token = ann.http.headers["authorization"].removeprefix("Bearer ")
    written = leadline.log.read_text(encoding="utf-8").lower()
    assert "user_signed_up" in written
    for secret in ("correct horse", "wrong horse", "ann@example.com", token.lower()):
        assert secret not in written
