"""Replies to submissions: to the sender's queue where the message names one, else as a public event."""

import structlog
from pydantic import ValidationError

from leadline_common.broker.chunks import message_of
from leadline_common.broker.port import Broker, Message
from leadline_common.ids import derived_id
from leadline_contracts.envelope import LOCAL_OWNER, OwnerName, Wire
from leadline_contracts.errors import LeadlineError
from leadline_contracts.inbound import MessageReceived
from leadline_contracts.scoring import LeadsRejected
from leadline_contracts.topology import LEADLINE

Answer = LeadsRejected | MessageReceived

log = structlog.get_logger()


class _Owned(Wire):
    owner: OwnerName = LOCAL_OWNER


async def reply(broker: Broker, message: Message, answer: Answer) -> None:
    """Send the reply where the message asks for one; a reply that its queue refuses is logged and dropped."""
    queue = _reply_queue(message)
    if queue is None:
        return
    sent = Message(
        type=answer.TYPE,
        id=derived_id("reply", answer.owner, message.id),
        body=answer.encode(),
        correlation_id=message.correlation_id,
    )
    try:
        await broker.send(queue, [sent], must_exist=False)
    except LeadlineError as error:
        log.warning("reply_failed", message_id=message.id, error=str(error))


def public_event(message: Message, answer: Answer) -> list[Message]:
    """Return the public event in place of a reply; nothing where the sender gets a reply."""
    if _reply_queue(message) is not None:
        return []
    return [message_of(answer, derived_id(answer.TYPE, answer.owner, message.id))]


def named_owner(message: Message) -> str:
    """Return the owner that a message names, even if its other fields are invalid; `local` for none."""
    try:
        return _Owned.model_validate_json(message.body).owner
    except ValidationError:
        return LOCAL_OWNER


def _reply_queue(message: Message) -> str | None:
    """Return the queue that the sender wants the reply in, never a queue of ours."""
    queue = message.reply_to or ""
    return None if not queue or queue.startswith(f"{LEADLINE.exchange}.") else queue
