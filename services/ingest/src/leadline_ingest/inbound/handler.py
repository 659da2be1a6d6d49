"""The queue entrypoint for inbound messages."""

from collections.abc import Sequence

from pydantic import ValidationError

from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Broker, Message
from leadline_contracts.envelope import describe
from leadline_contracts.errors import Permanent
from leadline_contracts.inbound import MessageReceived, MessageSpec, MessageSubmitted
from leadline_ingest.inbound.service import Messages, delivery_key, external_key
from leadline_ingest.replies import named_owner, public_event, reply


class MessageHandler(Handler):
    """Takes `messages.submitted.v1`: the same checks as POST /leads, and the same idempotency keys.

    The idempotency key of a message without an `external_message_id` is the id it was published under, so
    that publishing it again begins no second workflow.
    """

    def __init__(self, messages: Messages, broker: Broker) -> None:
        self._messages = messages
        self._broker = broker

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Accept each message and answer to `reply_to`. Raises Permanent for one that cannot be taken."""
        for message in messages:
            try:
                answer = await self._take(message)
            except Permanent as refused:
                await reply(self._broker, message, _refusal(message, str(refused)))
                raise
            await reply(self._broker, message, answer)
        return []

    def on_dead_letter(self, message: Message, error: str) -> list[Message]:
        """Publish why the message was refused."""
        return public_event(message, _refusal(message, error))

    async def _take(self, message: Message) -> MessageReceived:
        submitted = _read(message.body)
        owner, spec = submitted.owner, MessageSpec(**submitted.model_dump(exclude={"owner"}))
        key = external_key(owner, spec) or delivery_key(owner, message.id)
        workflow_id = await self._messages.accept(owner, spec, key)
        return MessageReceived(owner=owner, message_id=message.id, workflow_id=workflow_id)


def _read(body: bytes) -> MessageSubmitted:
    try:
        return MessageSubmitted.model_validate_json(body)
    except ValidationError as error:
        raise Permanent(f"{MessageSubmitted.TYPE}: {describe(error)}") from None


def _refusal(message: Message, error: str) -> MessageReceived:
    return MessageReceived(owner=named_owner(message), message_id=message.id, error=error)
