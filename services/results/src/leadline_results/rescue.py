"""Rescuing runs: those another replica left behind, and those that stand still."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from itertools import count

import structlog

from leadline_common.broker import Broker, Message
from leadline_common.chunks import chunk_message
from leadline_common.errors import LeadlineError
from leadline_common.messages import CHUNK_SIZE, LeadsAccepted, Offer
from leadline_common.topology import AI, RULES
from leadline_results.events import events_about
from leadline_results.record import Record, conclude, give_up
from leadline_results.store import Layer, ResultStore, Run
from leadline_results.tracker import Tracker

PATIENCE = timedelta(minutes=10)
"""How long a run may stand still before what is missing is asked for again."""
NUDGES = 2
"""How often it is asked for again before what is missing is failed as timed out."""
_SWEEP_SECONDS = 5.0

log = structlog.get_logger()


class Rescue:
    """Sees to it that every run ends."""

    def __init__(
        self,
        store: ResultStore,
        broker: Broker,
        tracker: Tracker,
        clock: Callable[[], datetime],
        patience: timedelta = PATIENCE,
    ) -> None:
        self._store = store
        self._broker = broker
        self._tracker = tracker
        self._clock = clock
        self._patience = patience

    async def sweep_forever(self) -> None:
        """Sweep every few seconds, through failures of broker and store."""
        while True:
            try:
                await self.sweep()
            except LeadlineError as error:
                log.warning("sweep_failed", error=str(error))
            await asyncio.sleep(_SWEEP_SECONDS)

    async def sweep(self) -> None:
        """Look once after every run that has not ended or whose end is not announced."""
        for run in await self._store.unfinished_runs():
            if run.finished_at is not None:
                await self._tracker.announce(run.run_id)
                continue
            self._tracker.touched([run.run_id])
            if self._clock() - run.progress_at >= self._patience:
                await self._push(run)

    async def _push(self, run: Run) -> None:
        if run.nudges >= NUDGES:
            await self._fail_missing(run)
        elif await self._store.mark_nudged(run.run_id, run.nudges + 1, self._clock()):
            log.warning("run_nudged", run_id=run.run_id, nudges=run.nudges + 1)
            if run.offer is not None:
                await self._ask_again(run, run.offer)

    async def _ask_again(self, run: Run, offer: Offer) -> None:
        layers: list[tuple[Layer, str]] = [("rules", RULES.name), ("ai", AI.name)]
        for layer, queue in layers:
            numbers = count()
            async for records in _chunks(self._store.missing(run.run_id, layer)):
                chunk = f"nudge-{run.nudges + 1}-{layer}-{next(numbers)}"
                await self._broker.send(queue, [_chunk_of(run, offer, chunk, records)])

    async def _fail_missing(self, run: Run) -> None:
        log.error("run_timed_out", run_id=run.run_id)
        async for records in _chunks(self._store.missing(run.run_id, "any")):
            failed = [conclude(give_up(record, "timed_out"), self._clock()) for record in records]
            lost = await self._store.replace(failed)
            kept = [record for record in failed if record.key not in lost]
            await self._store.settle_latest(kept)
            await self._broker.publish(events_about(kept))
        self._tracker.touched([run.run_id])


async def _chunks(records: AsyncIterator[Record]) -> AsyncIterator[list[Record]]:
    chunk: list[Record] = []
    async for record in records:
        chunk.append(record)
        if len(chunk) == CHUNK_SIZE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _chunk_of(run: Run, offer: Offer, chunk: str, records: list[Record]) -> Message:
    leads = [record.lead for record in records if record.lead is not None]
    return chunk_message(
        LeadsAccepted(
            owner=run.owner,
            run_id=run.run_id,
            chunk=chunk,
            offer_id=run.offer_id,
            model=run.model,
            upload_id=records[0].upload_id or "",
            offer=offer,
            leads=leads,
        )
    )
