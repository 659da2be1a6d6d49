"""What whoever published a submission is told: in a queue of theirs where they name one, else by an event."""

import structlog
from pydantic import ValidationError

from leadline_common.broker.chunks import message_of
from leadline_common.broker.port import Broker, Message
from leadline_common.ids import derived_id
from leadline_contracts.envelope import LOCAL_OWNER, OwnerName, Wire
from leadline_contracts.errors import LeadlineError
from leadline_contracts.inbound import MessageReceived
from leadline_contracts.scoring import LeadsRejected
from leadline_contracts.topology import EXCHANGE

Answer = LeadsRejected | MessageReceived

log = structlog.get_logger()


class _Owned(Wire):
    owner: OwnerName = LOCAL_OWNER


async def reply(broker: Broker, message: Message, answer: Answer) -> None:
    """Answer where an answer is asked for; a sender whose queue takes none holds up nobody else."""
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
    """Return the public event that stands in for a reply; nothing where the sender gets one."""
    if _reply_queue(message) is not None:
        return []
    return [message_of(answer, derived_id(answer.TYPE, answer.owner, message.id))]


def named_owner(message: Message) -> str:
    """Return the owner that a message names, however unfit the rest of it; `local` where it names none."""
    try:
        return _Owned.model_validate_json(message.body).owner
    except ValidationError:
        return LOCAL_OWNER


def _reply_queue(message: Message) -> str | None:
    """Return where the sender waits for an answer, never a queue of ours."""
    queue = message.reply_to or ""
    return None if not queue or queue.startswith(f"{EXCHANGE}.") else queue
