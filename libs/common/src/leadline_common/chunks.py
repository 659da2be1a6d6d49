"""How a chunk of leads travels: its message ids, and how it is broken up when it cannot be handled whole."""

from leadline_common.broker import Message
from leadline_common.errors import Permanent
from leadline_common.messages import ChunkRef, Contract, LeadsAccepted
from leadline_common.tracing import TRACEPARENT

NAMED_IDS = ("run_id", "workflow_id")
"""Ids that stand in a message's headers as well, for logs and for whoever looks at a queue."""


def message_of(contract: Contract, message_id: str, trace: str | None = None) -> Message:
    """Return a contract as a message ready to publish, going on in the trace of the traceparent `trace`."""
    headers = {name: value for name in NAMED_IDS if (value := getattr(contract, name, None))}
    if trace is not None:
        headers[TRACEPARENT] = trace
    return Message(type=contract.TYPE, id=message_id, body=contract.encode(), headers=headers)


def chunk_message(contract: ChunkRef, trace: str | None = None) -> Message:
    """Return a chunk's message; its id is the same whenever that chunk of that run is published."""
    return message_of(contract, f"{contract.run_id}:{contract.chunk}:{contract.TYPE}", trace)


def split_chunk(message: Message) -> list[Message]:
    """Return an accepted chunk as two halves; nothing where it holds one lead or cannot be read."""
    try:
        chunk = LeadsAccepted.decode(message.body)
    except Permanent:
        return []
    if len(chunk.leads) < 2:
        return []
    middle = len(chunk.leads) // 2
    halves = (chunk.leads[:middle], chunk.leads[middle:])
    return [
        chunk_message(
            chunk.model_copy(update={"chunk": f"{chunk.chunk}.{number}", "leads": leads}), message.trace
        )
        for number, leads in enumerate(halves)
    ]
