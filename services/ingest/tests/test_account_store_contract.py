"""What every adapter of the AccountStore port guarantees, with several replicas at once."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from leadline_common.ids import new_id
from leadline_ingest.accounts.store import User
from leadline_ingest.store import IngestStore

# MongoDB deletes counts that have ended long ago by its own clock, so theirs are of today.
NOW = datetime.now(UTC)
WINDOW = timedelta(minutes=15)


def user_of(email_key: str = "ann@example.com", **changes: str) -> User:
    """A user of their own id."""
    fields = {
        "id": new_id(),
        "email": email_key.title(),
        "email_key": email_key,
        "password_hash": "$argon2id$",
    }
    return User.model_validate({**fields, "created_at": NOW, **changes})


async def counted(store: IngestStore, key: str, limit: int, at: datetime = NOW) -> bool:
    """Count one attempt; whether it was within the limit."""
    return (await store.count_attempt(key, limit, at, WINDOW)).counted


async def test_a_user_is_found_by_id_and_email(store: IngestStore, replica: IngestStore) -> None:
    """What was kept comes back whole on every replica, and nobody comes back for what is unknown."""
    ann, bob = user_of(), user_of("bob@example.com")
    assert await store.add_user(ann)
    assert await store.add_user(bob)
    assert await replica.user(ann.id) == await replica.user_by_email(ann.email_key) == ann
    assert await replica.user_by_email(bob.email_key) == bob
    assert await replica.user("unknown") is None
    assert await replica.user_by_email("unknown@example.com") is None


async def test_an_email_has_one_user(store: IngestStore) -> None:
    """A second user of an email is refused and changes nothing of the first."""
    first = user_of()
    assert await store.add_user(first)
    assert not await store.add_user(user_of(email="Other", password_hash="other"))
    assert await store.user_by_email(first.email_key) == first


async def test_an_email_has_one_user_whoever_asks_at_the_same_time(
    store: IngestStore, replica: IngestStore
) -> None:
    """Of many sign-ups with one email on two replicas one is stored, and only that one gets True."""
    users = [user_of() for _ in range(20)]
    kept = await asyncio.gather(
        *((store, replica)[number % 2].add_user(user) for number, user in enumerate(users))
    )
    [winner] = [user for user, added in zip(users, kept, strict=True) if added]
    assert await store.user_by_email(winner.email_key) == winner


async def test_a_hash_is_replaced_where_it_is_still_the_old_one(store: IngestStore) -> None:
    """A hash that was made anew meanwhile is not put back."""
    ann = user_of(password_hash="old")
    await store.add_user(ann)
    await store.replace_hash(ann.id, "other", "wrong")
    assert await store.user(ann.id) == ann
    await store.replace_hash(ann.id, "old", "new")
    assert await store.user(ann.id) == ann.model_copy(update={"password_hash": "new"})


async def test_attempts_are_counted_up_to_the_limit(store: IngestStore, replica: IngestStore) -> None:
    """All replicas count together, each key for itself, and a refusal says when the count ends."""
    assert [await counted(each, "ann", 3) for each in (store, replica, store, replica)] == [
        *(True, True, True),
        False,
    ]
    refused = await store.count_attempt("ann", 3, NOW + WINDOW / 2, WINDOW)
    assert not refused.counted
    assert abs(refused.until - (NOW + WINDOW)) < timedelta(milliseconds=1)
    assert await counted(store, "bob", 3)


async def test_no_more_than_the_limit_are_counted_at_the_same_time(
    store: IngestStore, replica: IngestStore
) -> None:
    """A burst on two replicas gets in no oftener than one after the other, from the first attempt on."""
    burst = [counted((store, replica)[number % 2], "ann", 10) for number in range(40)]
    assert sum(await asyncio.gather(*burst)) == 10


async def test_counted_attempts_can_be_asked_for(store: IngestStore, replica: IngestStore) -> None:
    """Each attempt learns how many there are by then, and asking counts nothing."""
    assert await store.attempts("ann", NOW) == 0
    counts = [(await each.count_attempt("ann", 2, NOW, WINDOW)).total for each in (store, replica, store)]
    assert counts == [1, 2, 2]
    assert [await each.attempts("ann", NOW) for each in (store, replica)] == [2, 2]
    assert await store.attempts("bob", NOW) == 0
    assert await store.attempts("ann", NOW + WINDOW) == 0


async def test_a_count_ends_with_its_window(store: IngestStore) -> None:
    """The window begins with the first attempt and refusals do not lengthen it; then all begins anew."""
    assert await counted(store, "ann", 2)
    assert await counted(store, "ann", 2, NOW + WINDOW / 2)
    assert not await counted(store, "ann", 2, NOW + WINDOW - timedelta(seconds=1))
    after = NOW + WINDOW + timedelta(milliseconds=1)
    assert [await counted(store, "ann", 2, after) for _ in range(3)] == [True, True, False]
    assert not await counted(store, "ann", 2, NOW + WINDOW * 1.9)


async def test_an_attempt_is_taken_back_once_and_from_its_own_count(store: IngestStore) -> None:
    """A success makes room for one more attempt, but not in a count that began after its own had ended."""
    first = await store.count_attempt("ann", 2, NOW, WINDOW)
    assert await counted(store, "ann", 2)
    assert not await counted(store, "ann", 2)
    await store.uncount_attempt("ann", first)
    assert [await counted(store, "ann", 2) for _ in range(2)] == [True, False]

    later = NOW + 2 * WINDOW
    assert [await counted(store, "ann", 2, later) for _ in range(2)] == [True, True]
    await store.uncount_attempt("ann", first)
    assert not await counted(store, "ann", 2, later)


@pytest.mark.parametrize("key", ["ann@example.com", "größe@例え.jp", "$set", "a.b:c" * 200])
async def test_any_text_is_a_key(store: IngestStore, key: str) -> None:
    """Whatever somebody calls themselves is counted and kept as it is."""
    assert [await counted(store, key, 1) for _ in range(2)] == [True, False]
    assert await store.add_user(user_of(key))
    assert await store.user_by_email(key) is not None
