"""Which messages wait for others of their chunk, so that a lead with all its parts costs one write."""

from collections import defaultdict
from collections.abc import Sequence

from leadline_common.broker.port import Message
from leadline_results.runs.record import PARTS

_REMEMBERED = 10_000


class InStep:
    """Lets a chunk go with both its scores, or with what has come of it by the linger time.

    What comes for a chunk that went without goes at once. As the rest waits, the queue of leads does not run
    ahead of the slower layer, after which every lead would be written twice.
    """

    def __init__(self) -> None:
        self._went_short: dict[str, None] = {}

    def ripe(self, messages: Sequence[Message], overdue: Sequence[bool]) -> list[bool]:
        """Tell for each message whether it is to go now."""
        came: dict[str, set[str]] = defaultdict(set)
        late: set[str] = set()
        for message, is_overdue in zip(messages, overdue, strict=True):
            came[_chunk(message)].add(message.type)
            if is_overdue:
                late.add(_chunk(message))
        return [
            (chunk := _chunk(message)) in late or chunk in self._went_short or came[chunk] >= PARTS.keys()
            for message in messages
        ]

    def went(self, messages: Sequence[Message]) -> None:
        """Note what was handled, to know the chunks whose other parts need not wait."""
        came: dict[str, set[str]] = defaultdict(set)
        for message in messages:
            came[_chunk(message)].add(message.type)
        for chunk, types in came.items():
            if not types >= PARTS.keys():
                self._went_short[chunk] = None
        while len(self._went_short) > _REMEMBERED:
            del self._went_short[next(iter(self._went_short))]


def _chunk(message: Message) -> str:
    return message.id.rpartition(":")[0]
