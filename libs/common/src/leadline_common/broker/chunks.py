"""How leads are cut into chunks, and how a chunk travels: its message ids, and its halves where it fails."""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from leadline_common.broker.port import Message
from leadline_common.telemetry.tracing import headers_of
from leadline_contracts.envelope import Contract
from leadline_contracts.errors import Permanent
from leadline_contracts.scoring import CHUNK_BYTES, CHUNK_SIZE, ChunkRef, LeadsAccepted

NAMED_IDS = ("run_id", "workflow_id")
"""Ids that stand in a message's headers as well, for logs and for whoever looks at a queue."""

T = TypeVar("T")


class ChunkCutter(Generic[T]):
    """Cuts a sequence into chunks of at most CHUNK_SIZE leads and CHUNK_BYTES of text.

    A single lead of more text than that is a chunk of its own.
    """

    def __init__(self) -> None:
        self._chunk: list[T] = []
        self._size = 0

    def add(self, item: T, size: int) -> list[T]:
        """Take the next item, whose text has `size` bytes; return the chunk that ended before it, else []."""
        ended: list[T] = []
        if self._chunk and (len(self._chunk) == CHUNK_SIZE or self._size + size > CHUNK_BYTES):
            ended = self.rest()
        self._chunk.append(item)
        self._size += size
        return ended

    def rest(self) -> list[T]:
        """Return the chunk that was begun and begin anew."""
        ended, self._chunk, self._size = self._chunk, [], 0
        return ended


def cut(items: Iterable[tuple[T, int]]) -> Iterator[list[T]]:
    """Yield chunks of the items, each given with the bytes of its text."""
    cutter: ChunkCutter[T] = ChunkCutter()
    for item, size in items:
        if ended := cutter.add(item, size):
            yield ended
    if rest := cutter.rest():
        yield rest


def message_of(contract: Contract, message_id: str, trace: str | None = None) -> Message:
    """Return a contract as a message ready to publish, going on in the trace context `trace`."""
    headers = {name: value for name in NAMED_IDS if (value := getattr(contract, name, None))}
    if trace is not None:
        headers |= headers_of(trace)
    return Message(type=contract.TYPE, id=message_id, body=contract.encode(), headers=headers)


def chunk_message(contract: ChunkRef, trace: str | None = None) -> Message:
    """Return a chunk's message; its id is the same whenever that chunk of that run is published."""
    return message_of(contract, f"{contract.run_id}:{contract.chunk}:{contract.TYPE}", trace)


def bisect_chunk(message: Message) -> list[Message]:
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
