"""Events of results about runs: their progress, and leads without a full score."""

from collections.abc import Sequence

from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Message
from leadline_contracts.errors import Permanent
from leadline_contracts.scoring import LeadsFailed, RunFinished, RunProgressed
from leadline_ingest.runs.store import RunStore, claim_key


class RunEventsHandler(Handler):
    """Stores the progress of runs and releases the claims on leads without a full score."""

    def __init__(self, store: RunStore) -> None:
        self._store = store

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Store what each event reports."""
        for message in messages:
            if message.type == LeadsFailed.TYPE:
                failed = LeadsFailed.decode(message.body)
                lead_ids = [lead.lead_id for lead in failed.leads]
                await self._store.release(failed.run_id, claim_key(failed.offer_id, failed.model), lead_ids)
            elif message.type == RunFinished.TYPE:
                end = RunFinished.decode(message.body)
                await self._store.note_progress(
                    end.run_id, end.scored, end.failed, finished=True, cancelled=end.cancelled
                )
            elif message.type == RunProgressed.TYPE:
                step = RunProgressed.decode(message.body)
                await self._store.note_progress(step.run_id, step.scored, step.failed, finished=False)
            else:
                raise Permanent(f"ingest does not know the type {message.type}")
        return []
