"""Redrive of stalled runs: missing answers are requested again and finally failed, so that each run ends."""

import math
from collections.abc import AsyncIterator, Collection
from datetime import timedelta
from itertools import accumulate

import structlog

from leadline_common.broker.chunks import ChunkCutter, chunk_message
from leadline_common.broker.port import Broker
from leadline_common.clock import Clock
from leadline_common.process.periodic import every
from leadline_common.telemetry.tracing import working
from leadline_contracts.errors import LeadlineError
from leadline_contracts.scoring import (
    AiChunkScored,
    AiScored,
    ChunkRef,
    LeadsAccepted,
    Offer,
    RuleScored,
    RulesScored,
    lead_bytes,
)
from leadline_contracts.topology import AI, RESULT_AI, RESULT_LEADS, RESULT_RULES, RULES, Queue
from leadline_results.runs.metrics import ResultMetrics
from leadline_results.runs.record import Record
from leadline_results.runs.store import Counts, Layer, ResultStore, Run
from leadline_results.runs.tracker import Tracker
from leadline_scoring.models import load_model

STALL_TIME = timedelta(minutes=10)
"""How long a run may go without progress before it counts as stalled."""
MAX_REDRIVES = 2
"""How often missing answers are requested again before they are failed as timed out."""
TIMED_OUT = "timed_out"
_CHECK_SECONDS = 5.0
_QUEUES: dict[Layer, tuple[Queue, Queue]] = {"rules": (RULES, RESULT_RULES), "ai": (AI, RESULT_AI)}
"""The queue of a layer's work, and that of its answers."""

log = structlog.get_logger()


class Redrive:
    """Makes every run end whose total is known, also one that a stopped replica was working on.

    A run without a total is left alone: ingest is still publishing it.
    """

    def __init__(
        self,
        store: ResultStore,
        broker: Broker,
        tracker: Tracker,
        clock: Clock,
        metrics: ResultMetrics,
        *,
        stall_time: timedelta = STALL_TIME,
        paused: Collection[str] = (),
    ) -> None:
        """`paused` are the ids of runs that nobody works on now."""
        self._store = store
        self._broker = broker
        self._tracker = tracker
        self._clock = clock
        self._metrics = metrics
        self._stall_time = stall_time
        self._paused = paused
        self._started = clock()  # while no replica ran, no run could make progress

    async def run(self) -> None:
        """Check every few seconds, through failures of broker and store."""
        await every(_CHECK_SECONDS, self.redrive_stalled, failed="sweep_failed")

    async def redrive_stalled(self) -> None:
        """Redrive each stalled run; schedule a count of every run whose end is not published yet.

        Queues are worked off in order, so a run is stalled only when those before it make no progress either.
        """
        try:
            await self._redrive_stalled()
        except LeadlineError:
            self._metrics.unfinished.set(math.nan)  # an old figure would look like a new one
            raise

    async def _redrive_stalled(self) -> None:
        known = [run for run in await self._store.unfinished_runs() if run.run_id not in self._paused]
        runs = sorted(known, key=lambda run: run.run_id)
        self._tracker.schedule([run.run_id for run in runs])
        unfinished = [run for run in runs if run.finished_at is None]
        self._metrics.unfinished.set(len(unfinished))
        stalled = self._stalled(unfinished)
        if stalled:
            layers = [layer for layer in _QUEUES if await self._idle(layer)]
            for run in stalled:
                with working("redrive run", run.trace):
                    await self._redrive(run, layers)

    def _stalled(self, runs: list[Run]) -> list[Run]:
        last_moves = accumulate((run.progress_at for run in runs), max)
        since = self._clock() - self._stall_time
        return [
            run
            for run, moved_at in zip(runs, last_moves, strict=True)
            if run.total is not None and max(moved_at, self._started) <= since
        ]

    async def _idle(self, layer: Layer) -> bool:
        """Tell whether the layer's two queues are empty: an answer that still waits is late, not lost."""
        return not any([await self._broker.depth(queue.name) for queue in _QUEUES[layer]])

    async def _redrive(self, run: Run, layers: list[Layer]) -> None:
        number = run.nudges + 1
        if not await self._store.mark_redriven(run.run_id, number, self._clock()):
            return
        log.warning("run_stalled", run_id=run.run_id, redrive=number)
        if number <= MAX_REDRIVES:
            self._metrics.count_run("pushed")
            await self._request_missing(run, layers)
        elif not await self._fail_missing(run):
            await self._end_short(run)

    async def _request_missing(self, run: Run, layers: list[Layer]) -> None:
        if run.offer is None:
            return
        for layer in layers:
            work, _ = _QUEUES[layer]
            async for part, records in self._missing(run, layer):
                chunk = _leads(part, run.offer, run.refresh, records)
                await self._broker.send(work.name, [chunk_message(chunk)])

    async def _fail_missing(self, run: Run) -> bool:
        """Publish `timed_out` as the missing answers; return False where no known lead lacks an answer.

        They go through the queues of real answers, behind those that may still wait there.
        """
        found = False
        for layer in _QUEUES:
            async for part, records in self._missing(run, layer):
                await self._broker.publish([chunk_message(_timed_out(part, layer, records))])
                found = True
        return found

    async def _end_short(self, run: Run) -> None:
        """Finish a run some of whose leads never arrived here; they count as failed."""
        if await self._broker.depth(RESULT_LEADS.name):
            return
        total, (scored, _, dropped) = run.total or 0, await self._store.count_run(run.run_id)
        ended = Counts(scored, max(0, total - scored - dropped), dropped)
        if await self._store.finish_run(run.run_id, ended, self._clock()):
            self._metrics.count_run("ended_short")
        log.error("run_ended_short", run_id=run.run_id, total=total, scored=scored)
        self._tracker.schedule([run.run_id])

    async def _missing(self, run: Run, layer: Layer) -> AsyncIterator[tuple[ChunkRef, list[Record]]]:
        """Yield the leads without this layer's answer, in chunks whose names no other redrive uses."""
        number, at = 0, int(self._clock().timestamp())
        async for records in _chunks(self._store.missing(run.run_id, layer)):
            part = ChunkRef(
                owner=run.owner,
                run_id=run.run_id,
                chunk=f"push-{at}-{layer}-{number}",
                offer_id=run.offer_id,
                model=run.model,
            )
            yield part, records
            number += 1


async def _chunks(records: AsyncIterator[Record]) -> AsyncIterator[list[Record]]:
    cutter: ChunkCutter[Record] = ChunkCutter()
    async for record in records:
        if ended := cutter.add(record, lead_bytes(record.lead) if record.lead else 0):
            yield ended
    if rest := cutter.rest():
        yield rest


def _leads(part: ChunkRef, offer: Offer, refresh: bool, records: list[Record]) -> LeadsAccepted:
    return LeadsAccepted.about(
        part,
        upload_id=records[0].upload_id or "",
        offer=offer,
        leads=[record.lead for record in records if record.lead is not None],
        refresh=refresh,
    )


def _timed_out(part: ChunkRef, layer: Layer, records: list[Record]) -> RulesScored | AiChunkScored:
    ids = [record.lead_id for record in records]
    if layer == "rules":
        version = load_model(part.model).version
        failures = [RuleScored(lead_id=lead_id, error=TIMED_OUT) for lead_id in ids]
        return RulesScored.about(part, model_version=version, scores=failures)
    unanswered = [
        AiScored(
            lead_id=lead_id, status="failed", source="none", assessor="none", prompt="none", error=TIMED_OUT
        )
        for lead_id in ids
    ]
    return AiChunkScored.about(part, scores=unanswered)
