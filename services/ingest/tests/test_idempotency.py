"""A POST with an Idempotency-Key, sent again: nothing is done twice, and the first answer comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from httpx import ASGITransport, AsyncClient, Response

from leadline_common.http import idempotency
from leadline_contracts.errors import Unavailable
from leadline_contracts.inbound import MessageAccepted
from leadline_ingest.stores.sqlite import SqliteIngestStore

from .builders import CLOSED, FORM, HEADER, OFFER, TOKENS, House, csv_of, form_of, house

KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
MESSAGE = {"contact_channel": "email", "message": "Hello"}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as running:
        yield running


@pytest.fixture
async def client(service: House) -> AsyncIterator[AsyncClient]:
    async with client_of(service) as opened:
        yield opened


def client_of(service: House, user: str = "") -> AsyncClient:
    """A client, with the token of that user where one is named."""
    headers = {"Authorization": f"Bearer {TOKENS.sign(user, datetime.now(UTC), timedelta(hours=1))}"}
    return AsyncClient(
        transport=ASGITransport(cast(Any, service.app)),
        base_url="http://localhost",
        headers=headers if user else {},
    )


async def upload(client: AsyncClient, file: bytes, boundary: str = "cut", **headers: str) -> Response:
    form = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    body = form_of(("file", file), boundary=boundary)
    return await client.post("/leads/upload", content=body, headers={**form, **KEY, **headers})


def assert_replayed(again: Response, first: Response) -> None:
    """The second answer is the first, and says so."""
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers.get("Location") == first.headers.get("Location")
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert (first.headers.get("Idempotent-Replayed"), again.headers["Idempotent-Replayed"]) == (None, "true")


def assert_refused(answer: Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def prospects(service: House) -> int:
    """How many rows are kept."""
    [(count,)] = await service.store._database.read(
        lambda file: file.execute("SELECT count(*) FROM prospects").fetchall()
    )
    return int(count)


async def test_an_offer_is_made_once(service: House, client: AsyncClient) -> None:
    """The same request gets the first answer, under each name of the path; another key is another offer."""
    first = await client.post("/offer", json=OFFER, headers=KEY)
    assert first.status_code == 201
    for path in ("/offer", "/offer/", "/api/offer"):
        assert_replayed(await client.post(path, json=OFFER, headers=KEY), first)
    other = await client.post("/offer", json=OFFER, headers={"Idempotency-Key": "another"})
    assert other.json()["id"] != first.json()["id"]


async def test_a_key_is_for_one_request(client: AsyncClient) -> None:
    """Another body or path under the same key is a mistake of the client's, and nothing is done."""
    await client.post("/offer", json=OFFER, headers=KEY)
    assert_refused(
        await client.post("/offer", json={**OFFER, "name": "Other"}, headers=KEY),
        422,
        "key_of_another_request",
    )
    assert_refused(await client.post("/leads", json=MESSAGE, headers=KEY), 422, "key_of_another_request")
    assert_refused(await upload(client, csv_of(1)), 422, "key_of_another_request")


@pytest.mark.parametrize("value", ["", "x" * 256, "a\tb"])
async def test_a_key_that_is_none_is_refused(client: AsyncClient, value: str) -> None:
    """A client that sends a broken key believes itself safe."""
    answer = await client.post("/offer", json=OFFER, headers={"Idempotency-Key": value})
    assert_refused(answer, 400, "bad_idempotency_key")
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert_refused(await client.post("/offer", json=OFFER, headers=twice), 400, "bad_idempotency_key")


async def test_a_refusal_leaves_the_key_free(client: AsyncClient) -> None:
    """Nothing was done: the request may be corrected, and what was missing be made, under the same key."""
    assert_refused(await client.post("/offer", json={"nam": "x"}, headers=KEY), 422, "invalid_fields")
    assert (await client.post("/offer", json=OFFER, headers=KEY)).status_code == 201
    score = {"Idempotency-Key": "score", "Prefer": "respond-async"}
    assert_refused(await client.post("/score", headers=score), 409, "no_prospects")
    await upload(client, csv_of(1), **{"Idempotency-Key": "file"})
    assert (await client.post("/score", headers=score)).status_code == 202


async def test_a_run_is_started_once(service: House, client: AsyncClient) -> None:
    """A client that lost the answer learns the same run, its address too, and pays once."""
    await client.post("/offer", json=OFFER)
    await upload(client, csv_of(3), **{"Idempotency-Key": "file"})
    headers = {**KEY, "Prefer": "respond-async"}
    first = await client.post("/score", json={"refresh": True}, headers=headers)
    assert first.status_code == 202
    assert_replayed(await client.post("/score", json={"refresh": True}, headers=headers), first)


async def test_a_message_is_taken_once(service: House, client: AsyncClient) -> None:
    """One without an id of its sender's is known by the key."""
    first = await client.post("/leads", json=MESSAGE, headers=KEY)
    assert_replayed(await client.post("/leads", json=MESSAGE, headers=KEY), first)
    assert len(service.broker.heard_at(MessageAccepted.TYPE)) == 1


async def test_a_file_is_taken_once(service: House, client: AsyncClient) -> None:
    """It is the file that counts, not how the form around it is cut; another file is another request."""
    first = await upload(client, csv_of(5))
    assert first.json()["inserted"] == 5
    assert_replayed(await upload(client, csv_of(5), boundary="elsewhere"), first)
    assert_refused(await upload(client, csv_of(6)), 422, "key_of_another_request")
    assert_replayed(await upload(client, csv_of(5)), first)
    assert await prospects(service) == 5


async def test_one_at_a_time(client: AsyncClient) -> None:
    """While a request is being answered the same one is asked to wait, and does nothing."""
    answers = await asyncio.gather(*(client.post("/offer", json=OFFER, headers=KEY) for _ in range(10)))
    codes = [answer.status_code for answer in answers]
    assert 201 in codes
    assert len({answer.json()["id"] for answer in answers if answer.status_code == 201}) == 1
    for answer in answers:
        if answer.status_code != 201:
            assert_refused(answer, 409, "under_way")
            assert int(answer.headers["Retry-After"]) > 0


async def test_a_long_upload_is_under_way(service: House, client: AsyncClient) -> None:
    """Also before its first row is stored, and whatever the other one sends."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    body = form_of(("file", csv_of(4)))

    async def pieces() -> AsyncIterator[bytes]:
        yield body[:80]
        begun.set()
        await go_on.wait()
        yield body[80:]

    sending = asyncio.create_task(client.post("/leads/upload", content=pieces(), headers={**FORM, **KEY}))
    await begun.wait()
    assert_refused(await upload(client, csv_of(4)), 409, "under_way")
    go_on.set()
    first = await sending
    assert_replayed(await upload(client, csv_of(4)), first)
    assert await prospects(service) == 4


async def test_an_attempt_that_was_frozen_takes_no_more(
    service: House, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once its lease has ended another attempt may have the key, so it adds nothing to what that one does."""
    monkeypatch.setattr(idempotency, "_LEASE", timedelta(seconds=-1))
    assert_refused(await upload(client, csv_of(3)), 409, "under_way")
    assert await prospects(service) == 0


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process died when all was done and before the answer was kept."""

    async def dies(*_: object) -> bool:
        raise Unavailable("the process is gone")

    monkeypatch.setattr(SqliteIngestStore, "keep_answer", dies)


async def twice(service: House, send: Callable[[], Awaitable[Response]]) -> tuple[Response, Response]:
    """Send it, and once more when the lease of the first has ended."""
    first = await send()
    await service.store.end_key_leases()
    return first, await send()


@pytest.mark.usefixtures("forgetful")
async def test_what_was_done_before_a_crash_is_found(service: House, client: AsyncClient) -> None:
    """Each thing is made under the same id, so that doing it again makes no second one."""
    requests: list[tuple[str, object]] = [("/offer", OFFER), ("/leads", MESSAGE)]
    for path, body in requests:
        headers = {"Idempotency-Key": path}
        first, again = await twice(service, partial(client.post, path, json=body, headers=headers))
        assert first.is_success
        assert again.json() == first.json(), path
    messages = service.broker.heard_at(MessageAccepted.TYPE)
    assert len({(message.id, MessageAccepted.decode(message.body).workflow_id) for message in messages}) == 1

    file = csv_of(5) + b"Ada,CTO,Acme,SaaS,Berlin,bio,more\n"
    first, again = await twice(service, partial(upload, client, file))
    assert (first.json()["inserted"], first.json()["rejected_count"]) == (5, 1)
    assert again.json() == first.json()
    await service.store.end_key_leases()
    assert_refused(await upload(client, csv_of(6)), 422, "key_of_another_request")
    assert await prospects(service) == 5

    headers = {"Idempotency-Key": "run", "Prefer": "respond-async"}
    first, again = await twice(service, partial(client.post, "/score", headers=headers))
    assert first.json()["run_id"] == again.json()["run_id"]


@pytest.mark.usefixtures("forgetful")
async def test_an_upload_that_was_cut_short_begins_anew(service: House, client: AsyncClient) -> None:
    """What a dead attempt stored of the file is forgotten, so that no row is there twice."""
    answer = await upload(client, HEADER.encode())
    assert_refused(answer, 422, "unusable_file")
    torn = form_of(("file", csv_of(2_500)))[:-20]
    await client.post("/leads/upload", content=torn, headers={**FORM, **KEY})
    assert (await upload(client, csv_of(2_500))).json()["inserted"] == 2_500
    assert await prospects(service) == 2_500


async def test_a_key_outlives_the_process(tmp_path: Path) -> None:
    """A request that is sent again after a restart gets the first answer."""
    async with house(tmp_path) as before, client_of(before) as client:
        first = await client.post("/offer", json=OFFER, headers=KEY)
    async with house(tmp_path) as after, client_of(after) as client:
        assert_replayed(await client.post("/offer", json=OFFER, headers=KEY), first)


async def test_a_key_is_good_for_a_day(client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is forgotten, and what was answered with it."""
    assert timedelta(hours=24) == idempotency._KEPT
    monkeypatch.setattr(idempotency, "_KEPT", timedelta(0))
    first = await client.post("/offer", json=OFFER, headers=KEY)
    again = await client.post("/offer", json=OFFER, headers=KEY)
    assert again.json()["id"] != first.json()["id"]


async def test_keys_are_the_owners_own(tmp_path: Path) -> None:
    """Somebody else's key of the same text tells nothing of mine; without a token none is looked at."""
    async with (
        house(tmp_path, CLOSED) as closed,
        client_of(closed, "ann") as ann,
        client_of(closed, "bob") as bob,
        client_of(closed) as nobody,
    ):
        offers = [await client.post("/offer", json=OFFER, headers=KEY) for client in (ann, bob, ann)]
        assert (await nobody.post("/offer", json=OFFER, headers=KEY)).status_code == 401
    ids = [offer.json()["id"] for offer in offers]
    assert (ids[0] == ids[2], ids[0] == ids[1]) == (True, False)


async def test_tokens_are_kept_nowhere(service: House, client: AsyncClient) -> None:
    """What /auth answers is not kept: the header changes nothing there."""
    account = {"email": "ann@example.com", "password": "correct horse"}
    assert (await client.post("/auth/signup", json=account, headers=KEY)).status_code == 201
    assert_refused(await client.post("/auth/signup", json=account, headers=KEY), 409, "email_taken")
    [(count,)] = await service.store._database.read(
        lambda file: file.execute("SELECT count(*) FROM idempotency_keys").fetchall()
    )
    assert count == 0


async def test_a_store_that_is_away_does_nothing(
    service: House, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the key's record there is no promise, so nothing is begun."""

    async def away(*_: object) -> None:
        raise Unavailable("no store")

    monkeypatch.setattr(SqliteIngestStore, "take_key", away)
    assert_refused(await client.post("/offer", json=OFFER, headers=KEY), 503, "temporarily_unavailable")
    assert await service.store.newest_offer("local") is None


async def test_a_large_body_is_refused_all_the_same(client: AsyncClient) -> None:
    """The limit of a body holds before it is gathered for its digest."""
    assert_refused(await client.post("/offer", content=b"x" * 1_000_001, headers=KEY), 413, "too_large")
