"""Cancelled runs in, from a queue of their own, so that no queue of leads delays them."""

from collections.abc import Sequence

from leadline_ai.cancelled.lookup import CancelledRuns
from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Message
from leadline_contracts.scoring import RunCancelled


class CancelledRunsHandler(Handler):
    """Notes cancelled runs, for every replica of the service."""

    def __init__(self, cancelled_runs: CancelledRuns) -> None:
        self._cancelled_runs = cancelled_runs

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Note each event's run."""
        for message in messages:
            event = RunCancelled.decode(message.body)
            await self._cancelled_runs.note(event.owner, event.run_id)
        return []
