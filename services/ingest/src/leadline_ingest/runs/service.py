"""Runs as callers use them: started for an offer and prospects, and waited for."""

import asyncio
import time
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from leadline_common.ids import new_id
from leadline_common.telemetry.tracing import current_trace
from leadline_contracts.envelope import Wire
from leadline_contracts.errors import Conflict, Invalid
from leadline_contracts.scoring import Offer, WantedModel
from leadline_ingest.prospects.offers import known_offer, known_upload
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
    """Progress of a run: `queued` prospects are claimed, `processed` done, `failed` of them not in full."""

    run_id: str
    queued: int
    processed: int
    failed: int


class Runs:
    """Starts runs and waits for them."""

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
    return RunProgress(run_id=run.id, queued=run.queued, processed=run.scored + run.failed, failed=run.failed)
