"""The acceptance of messages: the same message gets the same workflow id, however often it is sent."""

from datetime import timedelta

from leadline_common.broker.chunks import message_of
from leadline_common.broker.port import Broker
from leadline_common.clock import Clock
from leadline_common.ids import age_of, derived_id, new_id
from leadline_contracts.inbound import MessageAccepted, MessageSpec
from leadline_ingest.inbound.store import MessageStore


class Messages:
    """Accepts messages, whichever entrypoint they come through."""

    def __init__(self, store: MessageStore, broker: Broker, clock: Clock) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock

    async def accept(
        self, owner: str, spec: MessageSpec, key: str | None, *, workflow_id: str | None = None
    ) -> str:
        """Return the id of the message's workflow once the message is durable in the broker.

        The same key again begins no second workflow: the first text counts and its id is returned. The first
        message is then published again, identically, since a crash may have come between storing and
        publishing it. Without a key nothing is stored. Raises Unavailable; trying again is then safe with a
        key or a `workflow_id`, and may without either begin a second workflow.
        """
        now = self._clock()  # before the id is made: `since` goes by the id's time
        if workflow_id is not None:
            now -= timedelta(seconds=max(0.0, age_of(workflow_id, now)))
        message = MessageAccepted(
            owner=owner, workflow_id=workflow_id or new_id(), input=spec, received_at=now
        )
        if key is not None:
            message = await self._store.first_message(key, message)
        await self._broker.publish([message_of(message, f"{message.workflow_id}:{message.TYPE}")])
        return message.workflow_id


def external_key(owner: str, spec: MessageSpec) -> str | None:
    """Return the idempotency key of a message with an id of its sender's system; None for any other."""
    if spec.external_message_id is None:
        return None
    return derived_id("external", owner, spec.contact_channel, spec.external_message_id)


def delivery_key(owner: str, message_id: str) -> str:
    """Return the idempotency key of a message that has only the id it was published under."""
    return derived_id("published", owner, message_id)
