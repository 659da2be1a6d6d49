"""The tracker: counts how many leads of each run are done and publishes its progress and its end."""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from datetime import datetime

import structlog

from leadline_common.broker.chunks import message_of
from leadline_common.broker.port import Broker
from leadline_common.clock import Clock
from leadline_common.ids import made_at
from leadline_common.telemetry.tracing import working
from leadline_contracts.errors import LeadlineError
from leadline_contracts.scoring import RunCancelled, RunFinished, RunProgressed, RunPublished, RunStarted
from leadline_results.runs.metrics import ResultMetrics
from leadline_results.runs.store import Counts, ResultStore, Run

_COUNT_SHARE = 20
"""The pause before a run's next count is twenty times as long as its last one took, within these bounds."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_RETRY_SECONDS = 1.0
_SETTLE_SECONDS = 1.0
"""How long a cancelled run has had no news when it is finished."""

log = structlog.get_logger()


class Tracker:
    """Counts scheduled runs. Counts are read from the records, never added up, so a repeat does no harm."""

    def __init__(self, store: ResultStore, broker: Broker, clock: Clock, metrics: ResultMetrics) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._metrics = metrics
        self._scheduled: set[str] = set()
        self._due: dict[str, float] = {}
        self._wake = asyncio.Event()

    async def register(self, event: RunStarted | RunPublished, trace: str | None = None) -> None:
        """Store that the run exists, or how many leads it has; events may come in any order and repeatedly.

        The run's own events continue that trace context.
        """
        if await self._store.see_run(_run_of(event, trace, self._clock())):
            self._metrics.count_run("started")
        self.schedule([event.run_id])

    async def cancel(self, event: RunCancelled, trace: str | None = None) -> None:
        """Store that the run was cancelled, unless it is finished; it ends when all that is queued of it is
        scored or dropped. May be called for a run that is not known yet, and repeatedly.
        """
        # Its total comes with its cancellation: with the total alone it might be finished in between.
        await self._store.see_run(_run_of(event, trace, self._clock()))
        if await self._store.cancel_run(event.run_id, event.total, self._clock()):
            self._metrics.count_run("cancelled")
        self.schedule([event.run_id])

    def schedule(self, run_ids: Iterable[str]) -> None:
        """Have these runs counted soon."""
        self._scheduled.update(run_ids)
        self._wake.set()

    async def run(self) -> None:
        """Count scheduled runs as they become due, until cancelled."""
        while True:
            await self._wait_until_due()
            await self.count_due()

    async def count_due(self) -> None:
        """Count every scheduled run that is due; one that broker or store fail is due again in a second."""
        now = time.monotonic()
        for run_id in [run_id for run_id in self._scheduled if self._due_at(run_id) <= now]:
            self._scheduled.discard(run_id)
            try:
                await self._update(run_id)
            except LeadlineError as error:
                log.warning("run_not_counted", run_id=run_id, error=str(error))
                self._due[run_id] = time.monotonic() + _RETRY_SECONDS
                self.schedule([run_id])

    async def _wait_until_due(self) -> None:
        """Return once a scheduled run is due; one scheduled meanwhile may be due before the others."""
        while True:
            self._wake.clear()
            first = min(map(self._due_at, self._scheduled), default=None)
            pause = None if first is None else first - time.monotonic()
            if pause is not None and pause <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    def _due_at(self, run_id: str) -> float:
        return self._due.get(run_id, 0.0)

    async def _update(self, run_id: str) -> None:
        run = await self._store.run(run_id)
        if run is None:
            return
        with working("follow run", run.trace):
            if run.finished_at is None and not await self._count_or_finish(run):
                return
            await self._publish_end(run_id)
        self._due.pop(run_id, None)

    async def _count_or_finish(self, run: Run) -> bool:
        """Count the run; finish it and return True where all of it is done, else publish a changed count."""
        counts = await self._count(run.run_id)
        now = self._clock()
        complete = run.model_copy(update=counts._asdict()).complete
        if complete and run.cancelled_at is not None and counts != run.counts:
            # Whoever sees its end may ask for the rest at once, whose claims are just being given back.
            complete = False
            self._due[run.run_id] = time.monotonic() + _SETTLE_SECONDS
            self.schedule([run.run_id])
        if complete:
            if await self._store.finish_run(run.run_id, counts, now):
                self._metrics.count_run("finished")
            return True
        if counts != run.counts:
            progress = RunProgressed(
                owner=run.owner, run_id=run.run_id, scored=counts.scored, failed=counts.failed
            )
            message_id = f"{run.run_id}:{counts.scored}+{counts.failed}:{RunProgressed.TYPE}"
            await self._broker.publish([message_of(progress, message_id)])
            await self._store.save_progress(run.run_id, counts, now)
        return False

    async def _count(self, run_id: str) -> Counts:
        started = time.monotonic()
        counts = await self._store.count_run(run_id)
        counted = time.monotonic()
        pause = _COUNT_SHARE * (counted - started)
        self._due[run_id] = counted + min(_LONGEST_PAUSE, max(_SHORTEST_PAUSE, pause))
        return counts

    async def _publish_end(self, run_id: str) -> None:
        """Publish that a finished run has ended, unless that is known to have been published."""
        run = await self._store.run(run_id)
        if run is None or run.finished_at is None or run.announced:
            return
        event = RunFinished(
            owner=run.owner,
            run_id=run_id,
            total=run.total or 0,
            scored=run.scored,
            failed=run.failed,
            started_at=run.started_at,
            finished_at=run.finished_at,
            cancelled=run.cancelled_at is not None,
        )
        await self._broker.publish([message_of(event, f"{run_id}:{RunFinished.TYPE}")])
        await self._store.mark_announced(run_id)
        log.info(
            "run_finished",
            run_id=run_id,
            total=run.total,
            scored=run.scored,
            failed=run.failed,
            cancelled=event.cancelled,
        )


def _run_of(event: RunStarted | RunPublished | RunCancelled, trace: str | None, now: datetime) -> Run:
    """Return what the event alone tells of its run."""
    started = event if isinstance(event, RunStarted) else None
    return Run(
        run_id=event.run_id,
        owner=event.owner,
        offer_id=event.offer.id if isinstance(event, RunStarted) else event.offer_id,
        model=event.model,
        offer=None if started is None else started.offer,
        refresh=started is not None and started.refresh,
        expected=None if started is None else started.expected,
        total=event.total if isinstance(event, RunPublished) else None,
        trace=trace,
        started_at=made_at(event.run_id) or now,
        progress_at=now,
    )
