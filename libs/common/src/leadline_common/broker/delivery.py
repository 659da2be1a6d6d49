"""What a delivery does in the same way over every broker."""

from abc import abstractmethod

from leadline_common.broker import headers
from leadline_common.broker.port import Delivery, Message
from leadline_contracts.topology import Queue


class MovableDelivery(Delivery):
    """A message in hand, which is retried or dead-lettered by moving it, marked as such, to another queue.

    An adapter says how a message is moved (`_move`), acknowledged and given back. What Delivery promises of
    settling holds of its `_move` too: it does nothing once the message is settled or the connection lost.
    """

    __slots__ = ("_message", "_queue")

    def __init__(self, message: Message, queue: Queue) -> None:
        self._message = message
        self._queue = queue

    @property
    def message(self) -> Message:
        """What was published."""
        return self._message

    @property
    def queue(self) -> Queue:
        """The queue it came from."""
        return self._queue

    @property
    def attempt(self) -> int:
        """1 at first, one more after each `retry`."""
        return headers.attempt_of(self._message.headers)

    async def retry(self, delay: int, error: str) -> None:
        """Move the message to its retry queue."""
        await self._move(self._queue.retry(delay), headers.retried(self._message, error))

    async def dead_letter(self, error: str) -> None:
        """Move the message to the dead queue."""
        await self._move(self._queue.dead, headers.dead(self._message, self._queue, error))

    @abstractmethod
    async def _move(self, queue: str, marked: Message) -> None:
        """Take the message out of its queue once it is durable in the queue of that name, as it is marked.

        Raises Permanent where there is no such queue, Unavailable.
        """
