"""How a chunk of leads travels: its message ids, and how it is broken up when it cannot be handled whole."""

from leadline_common.broker import Message
from leadline_common.errors import Permanent
from leadline_common.messages import ChunkRef, Contract, LeadsAccepted


def message_of(contract: Contract, message_id: str) -> Message:
    """Return a contract as a message ready to publish."""
    return Message(type=contract.TYPE, id=message_id, body=contract.encode())


def chunk_message(contract: ChunkRef) -> Message:
    """Return a chunk's message; its id is the same whenever that chunk of that run is published."""
    return message_of(contract, f"{contract.run_id}:{contract.chunk}:{contract.TYPE}")


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
        chunk_message(chunk.model_copy(update={"chunk": f"{chunk.chunk}.{number}", "leads": leads}))
        for number, leads in enumerate(halves)
    ]
