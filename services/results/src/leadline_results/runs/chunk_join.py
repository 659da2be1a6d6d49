"""The chunk join: holds a chunk's messages until all are there, so that a complete lead costs one write."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from leadline_common.broker.port import Message
from leadline_results.runs.record import PARTS

_REMEMBERED = 10_000


class ChunkJoin:
    """The batch policy of the merging consumer: a chunk's leads and both its scores are handled together.

    A chunk that is still incomplete after the linger time is handled as far as it has come, and its later
    messages are handled at once. All other chunks are held, so that the queue of leads does not get ahead of
    the slower layer; every lead would be written twice then.
    """

    def __init__(self) -> None:
        self._handled_incomplete: dict[str, None] = {}

    def ready(self, messages: Sequence[Message], overdue: Sequence[bool]) -> list[bool]:
        """Return for each message whether it is handled now; `overdue` ones are past the linger time."""
        arrived = _types_by_chunk(messages)
        overdue_chunks = {
            _chunk(message) for message, is_overdue in zip(messages, overdue, strict=True) if is_overdue
        }
        return [
            (chunk := _chunk(message)) in overdue_chunks
            or chunk in self._handled_incomplete
            or arrived[chunk] >= PARTS.keys()
            for message in messages
        ]

    def note_handled(self, messages: Sequence[Message]) -> None:
        """Note which chunks were handled incomplete: their other messages need not wait."""
        for chunk, types in _types_by_chunk(messages).items():
            if not types >= PARTS.keys():
                self._handled_incomplete[chunk] = None
        while len(self._handled_incomplete) > _REMEMBERED:
            del self._handled_incomplete[next(iter(self._handled_incomplete))]


def _types_by_chunk(messages: Iterable[Message]) -> dict[str, set[str]]:
    types: dict[str, set[str]] = defaultdict(set)
    for message in messages:
        types[_chunk(message)].add(message.type)
    return types


def _chunk(message: Message) -> str:
    return message.id.rpartition(":")[0]
