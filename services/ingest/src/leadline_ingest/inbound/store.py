"""The port to idempotency keys: the first message of each."""

from typing import Protocol

from leadline_contracts.inbound import MessageAccepted


class MessageStore(Protocol):
    """The first message of each idempotency key.

    Durable and shared by every replica of the service. Writes have been acknowledged by a majority where the
    store is replicated. Every method raises Unavailable where the store does not answer; a write may then
    have happened or not, and doing it again is safe. Whatever takes an `owner` finds that owner's things
    alone.
    """

    async def first_message(self, key: str, message: MessageAccepted) -> MessageAccepted:
        """Store the message under its idempotency key, unless one is there; return the stored one.

        Every call with that key returns the same one, also at other replicas and at the same time.
        """
