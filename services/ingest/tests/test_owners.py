"""Each user has what is theirs alone: through every route somebody else's id is as good as an unknown one."""

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, Response

from leadline_common.http.service_map import ROUTES
from leadline_contracts.scoring import LeadsAccepted
from leadline_ingest.runs.store import RunState

from .builders import CLOSED, FORM, TOKENS, House, csv_of, drained, eventually, form_of, house

PUBLIC = {"/auth/signup", "/auth/login"}
CLOSED_ROUTES = [route for route in ROUTES if route.service == "ingest" and route.path not in PUBLIC]
UNKNOWN = "01980000-0000-7000-8000-000000000000"


@pytest.fixture
async def closed(tmp_path: Path) -> AsyncIterator[House]:
    """The service, which lets in who sends a token."""
    async with house(tmp_path, CLOSED) as opened:
        yield opened


@pytest.fixture
async def ann(closed: House) -> AsyncIterator[AsyncClient]:
    """Whose things they are."""
    async with client_of(closed, "ann") as client:
        yield client


@pytest.fixture
async def bob(closed: House) -> AsyncIterator[AsyncClient]:
    """Who must not get at them."""
    async with client_of(closed, "bob") as client:
        yield client


def client_of(closed: House, user_id: str | None) -> AsyncClient:
    """A client that sends a token of the user, or none."""
    token = user_id and TOKENS.sign(user_id, datetime.now(UTC), timedelta(hours=1))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = ASGITransport(closed.app)  # type: ignore[arg-type]
    return AsyncClient(transport=transport, base_url="http://localhost", timeout=30, headers=headers)


async def offer_of(client: AsyncClient) -> str:
    """Create an offer and return its id."""
    return str((await client.post("/offer", json={"name": "An offer"})).raise_for_status().json()["id"])


async def upload_of(client: AsyncClient, rows: int = 2, path: str = "/leads/upload") -> str:
    """Upload so many prospects and return the upload's id."""
    answer = await client.post(path, content=form_of(("file", csv_of(rows))), headers=FORM)
    return str(answer.raise_for_status().json()["upload_id"])


def is_unknown(answer: Response, theirs: str, unknown: Response) -> None:
    """Check that the answer for somebody else's id is the one for an unknown id, but for the id."""
    assert (answer.status_code, unknown.status_code) == (404, 404)
    assert without_trace(answer) == without_trace(unknown).replace(UNKNOWN, theirs)
    assert answer.headers.keys() == unknown.headers.keys()


def without_trace(answer: Response) -> str:
    """Return what an answer says, but for the trace, which every request has of its own."""
    return re.sub(r'"trace_id":"[0-9a-f]{32}"', "", answer.text)


@pytest.mark.parametrize("route", CLOSED_ROUTES, ids=lambda route: f"{route.method} {route.path}")
async def test_every_route_asks_who_it_is(closed: House, route: tuple[str, str, str]) -> None:
    """Whatever the table of routes lists, now and later, is closed to who sends no token."""
    async with client_of(closed, None) as nobody:
        answer = await nobody.request(route[0], route[1].replace("*", UNKNOWN))
    assert answer.status_code == 401


async def test_the_newest_offer_is_ones_own(ann: AsyncClient, bob: AsyncClient) -> None:
    """POST /offer of one user never becomes what another's POST /score takes."""
    await offer_of(ann)
    await upload_of(bob)
    answer = await bob.post("/score", headers={"Prefer": "wait=0"})
    assert (answer.status_code, answer.json()["title"]) == (409, "No offer")


async def test_an_upload_is_not_for_somebody_elses_offer(ann: AsyncClient, bob: AsyncClient) -> None:
    """Neither path nor form takes an offer of another user, and what was sent leaves nothing behind."""
    theirs = await offer_of(ann)
    answers = {}
    for offer_id in (theirs, UNKNOWN):
        by_form = form_of(("offer_id", offer_id.encode()), ("file", csv_of(2)))
        answers[offer_id] = [
            await bob.post("/leads/upload", content=by_form, headers=FORM),
            await bob.post(f"/leads/upload/{offer_id}", content=form_of(("file", csv_of(2))), headers=FORM),
        ]
    for answer, unknown in zip(answers[theirs], answers[UNKNOWN], strict=True):
        is_unknown(answer, theirs, unknown)
    await offer_of(bob)
    assert (await bob.post("/score")).json()["title"] == "No prospects"


@pytest.mark.parametrize("named", ["upload_id", "offer_id"])
async def test_a_run_names_nothing_of_somebody_elses(ann: AsyncClient, bob: AsyncClient, named: str) -> None:
    """POST /score with another user's upload or offer starts nothing."""
    theirs = {"offer_id": await offer_of(ann), "upload_id": await upload_of(ann)}[named]
    await offer_of(bob)
    await upload_of(bob)
    wait = {"Prefer": "wait=0"}
    answer = await bob.post("/score", json={named: theirs}, headers=wait)
    is_unknown(answer, theirs, await bob.post("/score", json={named: UNKNOWN}, headers=wait))
    if named == "offer_id":
        answer = await bob.post(f"/score/{theirs}", headers=wait)
        is_unknown(answer, theirs, await bob.post(f"/score/{UNKNOWN}", headers=wait))


async def test_a_run_scores_ones_own_prospects_alone(
    closed: House, ann: AsyncClient, bob: AsyncClient
) -> None:
    """POST /score takes every open prospect of who asks and none of anybody else, and names the owner."""
    await offer_of(ann)
    await upload_of(ann, 5)
    await offer_of(bob)
    await upload_of(bob, 3)
    run_id = (await bob.post("/score", headers={"Prefer": "wait=0"})).json()["run_id"]

    async def published() -> bool:
        run = await closed.store.run("bob", run_id)
        return run is not None and run.state is RunState.PUBLISHED

    await eventually(published)
    sent = [message for message in await drained(closed.broker) if message.type == LeadsAccepted.TYPE]
    chunks = [LeadsAccepted.decode(message.body) for message in sent]
    assert {chunk.owner for chunk in chunks} == {"bob"}
    assert sum(len(chunk.leads) for chunk in chunks) == 3
    assert await closed.store.run("ann", run_id) is None


async def test_a_run_is_cancelled_by_whose_it_is(closed: House, ann: AsyncClient, bob: AsyncClient) -> None:
    """Another user's cancellation finds no run, and leaves it as it is."""
    await offer_of(ann)
    await upload_of(ann)
    theirs = (await ann.post("/score", headers={"Prefer": "wait=0"})).json()["run_id"]
    answer = await bob.post(f"/runs/{theirs}/cancel")
    is_unknown(answer, theirs, await bob.post(f"/runs/{UNKNOWN}/cancel"))
    run = await closed.store.run("ann", theirs)
    assert run is not None
    assert not run.cancelled


async def test_a_message_known_to_one_user_is_new_to_another(ann: AsyncClient, bob: AsyncClient) -> None:
    """POST /leads with the same external id answers each user their own workflow."""
    message = {"contact_channel": "whatsapp", "message": "Hello", "external_message_id": "wamid.1"}
    ids = [(await client.post("/leads", json=message)).json()["id"] for client in (ann, ann, bob)]
    assert ids[0] == ids[1] != ids[2]


async def test_a_profile_is_ones_own(closed: House) -> None:
    """GET /auth/me tells each user of themselves."""
    async with client_of(closed, None) as nobody:
        for email in ("ann@example.com", "bob@example.com"):
            given = {"email": email, "password": "12345678"}
            token = (await nobody.post("/auth/signup", json=given)).json()["access_token"]
            me = await nobody.get("/auth/me", headers={"Authorization": f"Bearer {token}"})
            assert me.json()["email"] == email
