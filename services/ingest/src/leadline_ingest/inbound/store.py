"""The port to which message came first under an idempotency key."""

from typing import Protocol

from leadline_contracts.inbound import MessageAccepted


class MessageStore(Protocol):
    """First messages.

    Durable and shared by every replica of the service. Writes have been acknowledged by a majority where the
    store is replicated. Every method raises Unavailable where the store does not answer; a write may then
    have happened or not, and doing it again is safe. Whatever takes an `owner` finds that owner's things
    alone.
    """

    async def first_message(self, key: str, message: MessageAccepted) -> MessageAccepted:
        """Keep the message under its idempotency key, unless one is there; return the one that is kept.

        Whoever asks, however often, at whatever replica and also at the same time, is given the same one.
        """
