"""What every adapter of the IdempotencyStore port guarantees."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leadline_common.idempotency.mongo import KEY_INDEXES, MongoIdempotency
from leadline_common.idempotency.sqlite import KEY_TABLE, SqliteIdempotency
from leadline_common.idempotency.store import IdempotencyStore, KeyRecord, StoredAnswer
from leadline_common.ids import new_id
from leadline_common.storage.sqlite import Database

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ANSWER = StoredAnswer(status=201, headers={"content-type": "application/json"}, body='{"größe": "$1.x"}')


class MongoKeys(MongoIdempotency):
    """Keys in a collection of their own."""

    application = "leadline-test"
    key_collection = "test_keys"
    indexes = {key_collection: KEY_INDEXES}


OpenStore = Callable[[], Awaitable[MongoKeys | SqliteIdempotency]]


@pytest.fixture(params=["sqlite", pytest.param("mongodb", marks=pytest.mark.servers)])
async def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenStore]:
    """Opens one more store over the test's data, as another replica or a later start would."""
    opened: list[MongoKeys | SqliteIdempotency] = []
    url = ""
    if request.param == "mongodb":
        name = request.getfixturevalue("mongodb_database_name")
        url = urlsplit(request.getfixturevalue("mongodb_url"))._replace(path=f"/{name}").geturl()

    async def open_one() -> MongoKeys | SqliteIdempotency:
        file = tmp_path / "keys.db"
        store = await MongoKeys.connect(url) if url else SqliteIdempotency(Database(file, KEY_TABLE))
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        await store.close()


@pytest.fixture
async def store(open_store: OpenStore) -> IdempotencyStore:
    """The store under test."""
    return await open_store()


@pytest.fixture
async def replica(open_store: OpenStore) -> IdempotencyStore:
    """A second store over the same data."""
    return await open_store()


def wanted(request: str | None = "asked", at: datetime = NOW) -> KeyRecord:
    """What an attempt at that time wants to be kept."""
    lease, end = at + MINUTE, at + 60 * MINUTE
    return KeyRecord(object_id=new_id(), token=new_id(), request=request, leased_until=lease, expires_at=end)


async def test_the_first_attempt_holds_the_key(store: IdempotencyStore, replica: IdempotencyStore) -> None:
    """Who comes meanwhile, at any replica, is shown the first one's record and changes nothing."""
    first = wanted()
    assert await store.take_key("a", first, NOW) == first
    assert await replica.take_key("a", wanted("other"), NOW) == first
    assert await store.take_key("b", second := wanted(), NOW) == second


async def test_of_many_at_once_one_holds_it(store: IdempotencyStore, replica: IdempotencyStore) -> None:
    """Two replicas that are sent the same request at the same time do it once."""
    for key in ("a", "b", "c"):
        asked = [(asker, wanted()) for _ in range(8) for asker in (store, replica)]
        found = await asyncio.gather(*(asker.take_key(key, one, NOW) for asker, one in asked))
        assert len({record.token for record in found}) == 1


async def test_an_attempt_that_died_is_followed_by_another(store: IdempotencyStore) -> None:
    """When its lease has ended the next one takes over, with the id and the request of the first."""
    first, second = wanted(), wanted("other", NOW + MINUTE)
    await store.take_key("a", first, NOW)
    taken = await store.take_key("a", second, NOW + MINUTE)
    assert taken == first.model_copy(
        update={"token": second.token, "leased_until": second.leased_until, "takes": 2}
    )
    assert not await store.hold_key("a", first.token, NOW + 2 * MINUTE, "changed")
    assert not await store.keep_answer("a", first.token, ANSWER)
    await store.free_key("a", first.token, NOW, forget=True)
    assert await store.take_key("a", wanted(), NOW + MINUTE) == taken


async def test_a_lease_is_lengthened(store: IdempotencyStore) -> None:
    """A long attempt keeps the key; what it is for may become known later, and then stays known."""
    first = wanted(None)
    await store.take_key("a", first, NOW)
    assert await store.hold_key("a", first.token, NOW + 5 * MINUTE, "asked")
    assert await store.hold_key("a", first.token, NOW + 6 * MINUTE)
    found = await store.take_key("a", wanted(), NOW + 5 * MINUTE)
    assert (found.token, found.request, found.leased_until) == (first.token, "asked", NOW + 6 * MINUTE)


async def test_an_answer_stays_until_the_record_expires(store: IdempotencyStore) -> None:
    """From then on nobody holds the key, and later it is as if it had never been."""
    first = wanted()
    await store.take_key("a", first, NOW)
    assert await store.keep_answer("a", first.token, ANSWER)
    for later in (NOW, NOW + 59 * MINUTE):
        found = await store.take_key("a", wanted(at=later), later)
        assert (found.answer, found.token, found.takes) == (ANSWER, first.token, 1)
    assert not await store.hold_key("a", first.token, NOW + MINUTE)
    await store.free_key("a", first.token, NOW, forget=True)
    assert (await store.take_key("a", wanted(), NOW)).answer == ANSWER
    again = wanted("new", NOW + 60 * MINUTE)
    assert await store.take_key("a", again, NOW + 60 * MINUTE) == again


async def test_a_key_is_freed(store: IdempotencyStore) -> None:
    """Forgotten, the next attempt is a first one; else it goes on with the same id."""
    first, second, third = wanted(), wanted("other"), wanted("third")
    await store.take_key("a", first, NOW)
    await store.free_key("a", first.token, NOW, forget=True)
    assert await store.take_key("a", second, NOW) == second
    await store.free_key("a", second.token, NOW, forget=False)
    found = await store.take_key("a", third, NOW)
    assert (found.object_id, found.request, found.token) == (second.object_id, "other", third.token)


async def test_a_key_outlives_the_process(open_store: OpenStore) -> None:
    """A request that is sent again after a restart is recognised."""
    before, first = await open_store(), wanted()
    await before.take_key("a", first, NOW)
    await before.keep_answer("a", first.token, ANSWER)
    await before.close()
    assert (await (await open_store()).take_key("a", wanted(), NOW)).answer == ANSWER
