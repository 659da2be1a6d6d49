"""The port to idempotency keys: which request came under one, who works on it, and what was answered."""

from datetime import datetime
from typing import Protocol

from leadline_contracts.envelope import Wire


class StoredAnswer(Wire):
    """What was answered, to be answered again."""

    status: int
    headers: dict[str, str]
    body: str


class KeyRecord(Wire):
    """What is known of a key.

    `object_id` is the id that what is made under the key gets, in every attempt. `token` is of the latest
    attempt, which holds the key until `leased_until`; `takes` counts attempts. `request` is the digest of
    what was asked for, None until all of it came. `answer` is that of the attempt that succeeded.
    """

    object_id: str
    token: str
    leased_until: datetime
    expires_at: datetime
    takes: int = 1
    request: str | None = None
    answer: StoredAnswer | None = None


class IdempotencyStore(Protocol):
    """Keys of requests, each with the owner in it.

    Durable and shared by every replica of the service. Writes have been acknowledged by a majority where the
    store is replicated. Every method raises Unavailable where the store does not answer; a write may then
    have happened or not, and doing it again is safe. A record is forgotten some time after it has expired.
    """

    async def take_key(self, key: str, wanted: KeyRecord, now: datetime) -> KeyRecord:
        """Keep `wanted` under the key, unless there is a record that has not expired; return what is there.

        A record without an answer whose lease has ended gets the token and the lease of `wanted`, and one
        more in `takes`; all else of it stays. However many ask at once, one of them holds the key.
        """

    async def hold_key(self, key: str, token: str, until: datetime, request: str | None = None) -> bool:
        """Lengthen the lease, and note the request where one is given.

        Returns False, changing nothing, where another attempt has the key by now or there is an answer.
        """

    async def keep_answer(self, key: str, token: str, answer: StoredAnswer) -> bool:
        """Keep the answer; False, changing nothing, where another attempt has the key by now."""

    async def free_key(self, key: str, token: str, now: datetime, *, forget: bool) -> None:
        """End the lease, where this attempt still has it; with `forget`, also forget the key."""
