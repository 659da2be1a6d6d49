"""How much waits in a service's queues, for whoever watches or scales it."""

import contextlib
from collections.abc import Sequence

from leadline_common.broker.port import Broker
from leadline_common.process.periodic import every
from leadline_common.telemetry.metrics import Metrics
from leadline_contracts.errors import LeadlineError
from leadline_contracts.topology import RETRY_DELAYS, Queue

_INTERVAL_SECONDS = 15.0
_STATES = ("ready", "retrying", "dead")


class QueueLengthCollector:
    """Shows the lengths of some queues, with what waits there to be retried and what is dead.

    Every replica shows the same. While the broker does not answer nothing is shown: an old figure would look
    like a new one.
    """

    def __init__(self, broker: Broker, queues: Sequence[Queue], metrics: Metrics) -> None:
        self._broker = broker
        self._queues = queues
        self._waiting = metrics.waiting

    async def run(self) -> None:
        """Collect every fifteen seconds, through failures of the broker."""
        await every(_INTERVAL_SECONDS, self.collect, failed="queues_not_seen")

    async def collect(self) -> None:
        """Collect once. Raises Unavailable where the broker does not answer."""
        try:
            for queue in self._queues:
                self._show(queue, await self._count(queue))
        except LeadlineError:
            self._hide()
            raise

    async def _count(self, queue: Queue) -> tuple[int, int, int]:
        retrying = [await self._broker.depth(queue.retry(delay)) for delay in RETRY_DELAYS]
        ready, dead = await self._broker.depth(queue.name), await self._broker.depth(queue.dead)
        return ready, sum(retrying), dead

    def _show(self, queue: Queue, counts: tuple[int, int, int]) -> None:
        for state, count in zip(_STATES, counts, strict=True):
            self._waiting.labels(queue.name, state).set(count)

    def _hide(self) -> None:
        for queue in self._queues:
            for state in _STATES:
                with contextlib.suppress(KeyError):
                    self._waiting.remove(queue.name, state)
