"""The outbox: publishes stored run requests as chunks, and resumes those that a crash interrupted."""

import asyncio
from collections.abc import Collection, Coroutine, Iterator
from datetime import timedelta
from typing import Any

import structlog

from leadline_common.broker.chunks import chunk_message, cut, message_of
from leadline_common.broker.port import Broker, Message
from leadline_common.clock import Clock
from leadline_common.process.periodic import every
from leadline_common.process.tasks import end_tasks, start_task
from leadline_common.telemetry.tracing import working
from leadline_contracts.errors import LeadlineError
from leadline_contracts.scoring import (
    Lead,
    LeadsAccepted,
    RunCancelled,
    RunPublished,
    RunStarted,
    lead_bytes,
)
from leadline_ingest.metrics import IngestMetrics
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.runs.store import Cursor, Lease, RunRequest
from leadline_ingest.store import IngestStore

LEASE = timedelta(seconds=10)
_WINDOW_ROWS = 2_000
"""Rows claimed at a time."""
_RUNS_AT_ONCE = 8
"""Runs published at a time; the others take their lease when it is their turn."""
_BEGIN = Cursor("", 0)
_END = Cursor("~", 0)
"""After every upload: later prospects belong to the next run, so that a published total stays right."""
_SWEEP_SECONDS = 2.0

log = structlog.get_logger()


class LeaseLost(LeadlineError):
    """Another replica publishes this run now."""


class Cancelled(LeadlineError):
    """The run that is being published was cancelled."""


class Outbox:
    """Publishes runs. A chunk's content and id depend on the claims alone, so that publishing it again,
    after a crash or by another replica, brings the same message.

    One page of prospects is in memory and in flight at a time, whatever runs there are: runs take turns.
    """

    def __init__(
        self,
        store: IngestStore,
        broker: Broker,
        clock: Clock,
        metrics: IngestMetrics,
        *,
        paused: Collection[str] = (),
    ) -> None:
        """`paused` are the ids of runs that nobody publishes now."""
        self._store = store
        self._broker = broker
        self._clock = clock
        self._metrics = metrics
        self._paused = paused
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_RUNS_AT_ONCE)
        self._turn = asyncio.Lock()

    def start(self, run_id: str) -> None:
        """Begin to publish a stored run in the background, unless that is under way."""
        self._start(run_id, self._in_turn(run_id))

    def cancel(self, run_id: str) -> None:
        """Begin to publish that a stored run was cancelled; who publishes it now sees to that by himself."""
        self._start(f"{run_id}:cancelled", self._publish_or_leave(run_id))

    def _start(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        if name in self._tasks:
            work.close()
            return
        task = start_task(work, f"outbox of run {name}")
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None))

    async def resume_forever(self) -> None:
        """Every few seconds start the runs that nobody publishes; on cancellation stop what is under way."""
        try:
            await every(_SWEEP_SECONDS, self._resume, failed="sweep_failed")
        finally:
            await end_tasks(list(self._tasks.values()))

    async def _resume(self) -> None:
        for run_id in await self._store.publishable_runs(self._clock()):
            if run_id not in self._paused:
                self.start(run_id)

    async def publish(self, run_id: str) -> None:
        """Claim the run's prospects and publish their chunks, from where it stands to its end, or until it is
        cancelled: then that.

        Does nothing where another replica holds the lease. Raises Unavailable or LeaseLost; the run is then
        resumed once its lease has ended.
        """
        now = self._clock()
        lease = await self._store.lease_run(run_id, now, now + LEASE)
        if lease is None:
            return
        with working("publish run", lease.run.trace):
            await self._publish(lease)

    async def _publish(self, lease: Lease) -> None:
        try:
            if not lease.run.cancelled:
                await self._publish_run(lease)
                return
        except Cancelled:
            pass
        await self._publish_cancellation(lease)

    async def _publish_run(self, lease: Lease) -> None:
        run = lease.run
        started = RunStarted(
            owner=run.owner,
            run_id=run.id,
            offer=run.offer,
            model=run.model,
            refresh=run.refresh,
            expected=run.expected,
        )
        await self._broker.publish([message_of(started, f"{run.id}:{RunStarted.TYPE}")])
        queued = await self._publish_uploads(lease)
        await self._advance(lease, _END, queued)
        published = RunPublished(
            owner=run.owner, run_id=run.id, offer_id=run.offer.id, model=run.model, total=queued
        )
        await self._broker.publish([message_of(published, f"{run.id}:{RunPublished.TYPE}")])
        if not await self._store.finish_publishing(lease):
            await self._advance(lease, _END, queued)  # which tells why
        log.info("run_published", run_id=run.id, total=queued)

    async def _publish_cancellation(self, lease: Lease) -> None:
        run = await self._store.run(lease.run.owner, lease.run.id)
        if run is None:
            return
        if not await self._store.advance(lease, run.cursor or _BEGIN, run.queued, self._clock() + LEASE):
            raise LeaseLost("another replica took the run over, or it is finished")
        if run.cursor is not None:
            # What is claimed and not published: never more than the window that the cursor stands in.
            upload_id, row = run.cursor
            first, last = next(_windows(row, row + _WINDOW_ROWS))
            await self._store.release_rows(run, upload_id, first, last)
        cancelled = RunCancelled(
            owner=run.owner, run_id=run.id, offer_id=run.offer.id, model=run.model, total=run.queued
        )
        await self._broker.publish([message_of(cancelled, f"{run.id}:{RunCancelled.TYPE}")])
        await self._store.finish_publishing(Lease(run, lease.token))
        log.info("run_cancelled", run_id=run.id, total=run.queued)

    async def _in_turn(self, run_id: str) -> None:
        async with self._slots:
            await self._publish_or_leave(run_id)

    async def _publish_or_leave(self, run_id: str) -> None:
        try:
            await self.publish(run_id)
        except LeadlineError as error:
            log.warning("run_not_published", run_id=run_id, error=str(error))

    async def _publish_uploads(self, lease: Lease) -> int:
        run, queued = lease.run, lease.run.queued
        after, row = None, 1
        if run.cursor is not None:
            begun = await self._store.upload(run.owner, run.cursor.upload_id)
            after, row = run.cursor.upload_id, run.cursor.row
            if begun is not None:
                queued = await self._publish_upload(lease, begun, row, queued)
        while (upload := await self._store.next_upload(run, after)) is not None:
            # Before any claim: once another run covers the upload, only the cursor leads back to it.
            await self._advance(lease, Cursor(upload.id, 1), queued)
            queued = await self._publish_upload(lease, upload, 1, queued)
            after = upload.id
        return queued

    async def _publish_upload(self, lease: Lease, upload: Upload, row: int, queued: int) -> int:
        for first, last in _windows(row, upload.last_row):
            pages = self._store.claim(lease.run, upload, first, last)
            while True:
                async with self._turn:
                    page = await anext(pages, None)
                    if page is None:
                        break
                    chunks = cut((prospect, lead_bytes(prospect.lead)) for prospect in page)
                    await self._broker.publish([_chunk_message(lease.run, upload, chunk) for chunk in chunks])
                self._metrics.count_accepted(lease.run.model, len(page))
                queued += len(page)
                # After each page, so that the lease holds however long the texts or slow the broker.
                await self._advance(lease, Cursor(upload.id, page[-1].row), queued)
            await self._advance(lease, Cursor(upload.id, last), queued)
        await self._store.cover(lease.run, upload.id)
        return queued

    async def _advance(self, lease: Lease, cursor: Cursor, queued: int) -> None:
        if not await self._store.advance(lease, cursor, queued, self._clock() + LEASE):
            raise LeaseLost("another replica took the run over")
        current = await self._store.run(lease.run.owner, lease.run.id)
        if current is not None and current.cancelled:
            raise Cancelled("the run was cancelled")


def _windows(row: int, last_row: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last row of each window after the row.

    Windows end at the same rows wherever the outbox resumes, so that chunks that end with their window end
    there again.
    """
    while row < last_row:
        end = min(row + _WINDOW_ROWS - (row - 1) % _WINDOW_ROWS, last_row)
        yield row + 1, end
        row = end


def _chunk_message(run: RunRequest, upload: Upload, prospects: list[Prospect]) -> Message:
    return chunk_message(
        LeadsAccepted.model_construct(
            owner=run.owner,
            run_id=run.id,
            chunk=f"{upload.id}-{prospects[0].row}",
            offer_id=run.offer.id,
            model=run.model,
            upload_id=upload.id,
            offer=run.offer,
            leads=[_lead(upload, prospect) for prospect in prospects],
            refresh=run.refresh,
            columns=upload.columns or None,
        )
    )


def _lead(upload: Upload, prospect: Prospect) -> Lead:
    """The lead with the number of its row, which for a submission is none of any file."""
    return (
        prospect.lead.model_copy(update={"row": prospect.row}) if upload.source == "file" else prospect.lead
    )
