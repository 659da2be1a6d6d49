"""Runs as callers use them: started for an offer and prospects, and waited for."""

import asyncio
import time
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from leadline_common.clock import now
from leadline_common.ids import age_of, new_id
from leadline_common.telemetry.tracing import current_trace
from leadline_contracts.envelope import Wire
from leadline_contracts.errors import Conflict, Invalid, NotFound
from leadline_contracts.scoring import Offer, WantedModel
from leadline_ingest.prospects.offers import known_offer, known_upload, offer_warnings
from leadline_ingest.prospects.store import Upload
from leadline_ingest.runs.outbox import Outbox
from leadline_ingest.runs.store import RunRequest, RunState
from leadline_ingest.store import IngestStore

_POLL_SECONDS = 0.05


def _true_or_false(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


_TrueOrFalse = Annotated[bool, BeforeValidator(_true_or_false)]
"""Litestar asks pydantic to be lenient even where a field is strict, and this one costs money."""


class ScoreRequest(Wire):
    """What to score: without `offer_id` the newest offer, without `upload_id` every open prospect."""

    # A misspelt field must not start, and pay for, another run than the one that was meant.
    model_config = ConfigDict(extra="forbid")

    offer_id: str | None = None
    upload_id: str | None = None
    model: WantedModel = "standard"
    refresh: _TrueOrFalse = Field(
        default=False,
        description="score once more what was scored before, with new AI answers, which cost anew; "
        "what an unfinished run holds is left to it",
    )


class RunProgress(Wire):
    """Progress of a run: `queued` prospects are claimed, `processed` done, `failed` of them not in full.

    `total` is at most how many it has, exactly once all are queued; `seconds_left` is estimated from the pace
    so far. Both are None where that is not known.
    `warnings` say where the offer names nobody, which costs every lead its points for industry.
    `cancelling`: it was asked for, and is `cancelled` unless the run is finished first.
    """

    run_id: str
    status: Literal["running", "cancelling", "cancelled", "finished"]
    total: int | None
    queued: int
    processed: int
    failed: int
    seconds_left: float | None = None
    warnings: list[str] = []


class Runs:
    """Starts runs, waits for them and cancels them."""

    def __init__(self, store: IngestStore, outbox: Outbox) -> None:
        self._store = store
        self._outbox = outbox

    async def start(
        self, owner: str, request: ScoreRequest, *, run_id: str | None = None, foreground: bool = False
    ) -> RunRequest:
        """Store a run, which is from then on certain to be published, and begin.

        A `foreground` run is published by this process alone, see `RunRequest`. One of the same `run_id` that
        was stored before is begun anew where it was left.

        Raises NotFound for an offer or upload that is not this owner's, Conflict where there is no
        offer or no prospect yet, Invalid where the upload belongs to another offer.
        """
        upload = await self._upload(owner, request.upload_id)
        offer = await self._offer(owner, request.offer_id or (upload.offer_id if upload else None))
        if upload is not None and upload.offer_id not in {None, offer.id}:
            raise Invalid(
                "Upload of another offer",
                f"Upload {upload.id} is for offer {upload.offer_id} only; leave offer_id out to score it.",
            )
        if not await self._store.has_prospects(owner):
            raise Conflict("No prospects", "Upload a CSV with POST /leads/upload first, then score it.")
        run = RunRequest(
            id=run_id or new_id(),
            owner=owner,
            offer=offer,
            model=request.model,
            upload_id=upload.id if upload else None,
            refresh=request.refresh,
            foreground=foreground,
            trace=current_trace(),
        )
        run = run.model_copy(update={"expected": await self._expected(run, upload)})
        await self._store.add_run(run)
        self._outbox.start(run.id)
        return run

    async def wait(self, run: RunRequest, seconds: float) -> tuple[RunProgress, bool]:
        """Wait for the run to finish, at most so long; return how far it is and whether it is finished."""
        deadline = time.monotonic() + seconds
        while True:
            current = await self._store.run(run.owner, run.id) or run
            finished = current.state is RunState.FINISHED
            if finished or time.monotonic() >= deadline:
                return _progress(current), finished
            await asyncio.sleep(_POLL_SECONDS)

    async def cancel(self, owner: str, run_id: str) -> RunProgress:
        """Have a run cancelled: nothing more of it is published or asked about; what is scored stays.

        From then on that is certain to happen, unless the run is finished first. Raises NotFound for a run
        that is not this owner's, Conflict where it had ended.
        """
        run = await self._store.cancel(owner, run_id)
        if run is None:
            raise NotFound(
                f"There is no run {run_id[:64]!r}; POST /score answers the id of each run it starts."
            )
        progress = _progress(run)
        if run.state is RunState.FINISHED:
            raise Conflict(
                "The run has ended",
                f"Run {run.id} is {progress.status} already; GET /results?run_id={run.id} has its results.",
            )
        self._outbox.cancel(run.id)
        return progress

    async def _expected(self, run: RunRequest, upload: Upload | None) -> int | None:
        """Return how many prospects the run has at most, None where finding that out takes long."""
        if upload is None or upload.report is None:
            return None
        return upload.report.inserted if await self._store.next_upload(run, None) else 0

    async def _upload(self, owner: str, upload_id: str | None) -> Upload | None:
        return None if upload_id is None else await known_upload(self._store, owner, upload_id)

    async def _offer(self, owner: str, offer_id: str | None) -> Offer:
        if offer_id is not None:
            return await known_offer(self._store, owner, offer_id)
        offer = await self._store.newest_offer(owner)
        if offer is None:
            raise Conflict("No offer", "Create one with POST /offer first, then score against it.")
        return offer


def _progress(run: RunRequest) -> RunProgress:
    total = run.expected if run.state is RunState.PUBLISHING and not run.cancelled else run.queued
    processed = run.scored + run.failed
    return RunProgress(
        run_id=run.id,
        status=_status(run),
        total=total,
        queued=run.queued,
        processed=processed,
        failed=run.failed,
        seconds_left=_seconds_left(run, processed, total),
        warnings=offer_warnings(run.offer),
    )


def _seconds_left(run: RunRequest, processed: int, total: int | None) -> float | None:
    if run.state is RunState.FINISHED:
        return 0.0
    if run.cancelled or total is None or not processed:
        return None
    return round(age_of(run.id, now()) * max(0, total - processed) / processed, 1)


def _status(run: RunRequest) -> Literal["running", "cancelling", "cancelled", "finished"]:
    if run.state is RunState.FINISHED:
        return "cancelled" if run.cancelled else "finished"
    return "cancelling" if run.cancelled else "running"
