"""What every adapter of the IngestStore port guarantees of idempotency keys."""

import asyncio
from datetime import UTC, datetime

from leadline_common.ids import new_id
from leadline_contracts.inbound import MAX_MESSAGE, MessageAccepted, MessageSpec
from leadline_ingest.store import IngestStore

from .conftest import OpenStore


def message(text: str = "Hello", **fields: str) -> MessageAccepted:
    """A message that was received just now, under an id of its own."""
    spec = MessageSpec(contact_channel="email", message=text, **fields)
    return MessageAccepted(owner="ann", workflow_id=new_id(), input=spec, received_at=datetime.now(UTC))


async def test_the_first_message_of_a_key_is_kept(store: IngestStore, replica: IngestStore) -> None:
    """Whoever comes later, at any replica, gets what came first, and changes nothing."""
    first = message()
    assert await store.first_message("a", first) == first
    for later in (store, replica, store):
        assert await later.first_message("a", message("Something else")) == first


async def test_another_key_is_another_message(store: IngestStore) -> None:
    """Keys that differ in any character are different keys, and none hides another."""
    kept = {key: message(key) for key in ("a", "A", "a ", "á", "aa")}
    for key, one in kept.items():
        assert await store.first_message(key, one) == one
    assert [await store.first_message(key, message()) for key in kept] == list(kept.values())


async def test_all_who_come_at_once_get_the_same(store: IngestStore, replica: IngestStore) -> None:
    """Two replicas that are sent the same message at the same time answer the same id."""
    for round_ in range(10):
        answers = await asyncio.gather(
            *(asker.first_message(f"key {round_}", message()) for _ in range(8) for asker in (store, replica))
        )
        assert len({answer.workflow_id for answer in answers}) == 1


async def test_a_message_is_given_back_as_it_was(store: IngestStore) -> None:
    """Text of any kind and length, and the time to the microsecond: published again, it is the same bytes."""
    text = ("\x00 \r\n\u00a0e\u0301 \U0001f9f9 $set.x " * MAX_MESSAGE)[:MAX_MESSAGE]
    first = message(text, name=" ", external_message_id="\x1f")
    first = first.model_copy(update={"received_at": datetime(2026, 7, 1, 12, 0, 0, 123457, tzinfo=UTC)})
    await store.first_message("a", first)
    assert (await store.first_message("a", message())).encode() == first.encode()


async def test_a_key_outlives_the_process(open_store: OpenStore) -> None:
    """A message that is sent again after a restart is recognised."""
    first = message()
    before = await open_store()
    await before.first_message("a", first)
    await before.close()
    assert await (await open_store()).first_message("a", message()) == first
