"""Following runs: count what is done, tell how far each run is, and announce its end once."""

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from uuid import UUID

import structlog

from leadline_common.broker import Broker
from leadline_common.chunks import message_of
from leadline_common.errors import LeadlineError
from leadline_common.messages import LeadsAccepted, RunFinished, RunProgressed, RunPublished
from leadline_results.store import ResultStore, Run

_COUNT_SHARE = 20
"""Counting a run takes at most a twentieth of the time."""

log = structlog.get_logger()


class Tracker:
    """Keeps the runs' counts. Counts are taken from the records, never added up, so a repeat does no harm."""

    def __init__(self, store: ResultStore, broker: Broker, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._broker = broker
        self._clock = clock
        self._seen: set[str] = set()
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._due: dict[str, float] = {}

    async def published(self, event: RunPublished) -> None:
        """Learn how many leads a run has."""
        run = self._new_run(event, None)
        await self._store.see_run(run.model_copy(update={"total": event.total}))
        self.touched([event.run_id])

    async def accepted(self, chunks: Iterable[LeadsAccepted]) -> None:
        """Learn of runs by their chunks."""
        for chunk in chunks:
            if chunk.run_id not in self._seen:
                await self._store.see_run(self._new_run(chunk, chunk))
                self._seen.add(chunk.run_id)

    def touched(self, run_ids: Iterable[str]) -> None:
        """Have these runs counted soon."""
        self._dirty.update(run_ids)
        self._wake.set()

    async def follow(self) -> None:
        """Count touched runs for ever, each at most once in a while, and announce those that end."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            now = time.monotonic()
            due = [run_id for run_id in self._dirty if self._due.get(run_id, 0.0) <= now]
            for run_id in due:
                self._dirty.discard(run_id)
                try:
                    await self._count(run_id)
                except LeadlineError as error:
                    log.warning("run_not_counted", run_id=run_id, error=str(error))
                    self._dirty.add(run_id)
                    self._due[run_id] = now + 1.0
            if self._dirty:
                await self._sleep_until_due()

    async def _sleep_until_due(self) -> None:
        first = min(self._due.get(run_id, 0.0) for run_id in self._dirty)
        await asyncio.sleep(max(0.02, first - time.monotonic()))
        self._wake.set()

    async def _count(self, run_id: str) -> None:
        started = time.monotonic()
        counts = await self._store.count_run(run_id)
        cost = time.monotonic() - started
        self._due[run_id] = time.monotonic() + min(1.0, max(0.1, _COUNT_SHARE * cost))
        now = self._clock()
        await self._store.save_progress(run_id, counts, now)
        run = await self._store.run(run_id)
        if run is None or run.finished_at is not None:
            return
        if run.complete:
            await self._store.finish_run(run_id, counts, now)
            self._due.pop(run_id, None)
            self._seen.discard(run_id)
            await self.announce(run_id)
        else:
            progress = RunProgressed(
                owner=run.owner, run_id=run_id, scored=counts.scored, failed=counts.failed
            )
            message_id = f"{run_id}:{counts.scored}+{counts.failed}:{RunProgressed.TYPE}"
            await self._broker.publish([message_of(progress, message_id)])

    async def announce(self, run_id: str) -> None:
        """Publish the end of a finished run, unless that is known to have happened."""
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
        )
        await self._broker.publish([message_of(event, f"{run_id}:{RunFinished.TYPE}")])
        await self._store.mark_announced(run_id)
        log.info("run_finished", run_id=run_id, total=run.total, scored=run.scored, failed=run.failed)

    def _new_run(self, event: RunPublished | LeadsAccepted, chunk: LeadsAccepted | None) -> Run:
        return Run(
            run_id=event.run_id,
            owner=event.owner,
            offer_id=event.offer_id,
            model=event.model,
            offer=chunk.offer if chunk else None,
            started_at=_made_at(event.run_id),
            progress_at=self._clock(),
        )


def _made_at(run_id: str) -> datetime:
    """Return when a run was asked for; its id is a UUIDv7, whose first 48 bits are milliseconds."""
    return datetime.fromtimestamp((UUID(run_id).int >> 80) / 1000, UTC)
