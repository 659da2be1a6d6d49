"""`leadline score --estimate`: what a run would cost; starts no run and stores nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

from rich.progress import Progress

from leadline_ai.leads.estimate import Estimate, Estimator
from leadline_ai.settings import AssessorSettings
from leadline_common.broker.chunks import cut
from leadline_common.ids import new_id
from leadline_common.process.settings import load_settings
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.scoring import Lead, Offer, OfferSpec, lead_bytes
from leadline_ingest.prospects.report import UploadReport
from leadline_ingest.prospects.upload_request import UploadOptions
from leadline_ingest.runs.store import RunRequest
from leadline_ingest.store import IngestStore
from leadline_standalone.inputs import upload
from leadline_standalone.runtime import open_preview


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a file would cost with a model; money in 10^-9 US dollars.

    `day_left` is what earlier runs of today (UTC) have left of `day_limit`.
    """

    model: str
    estimate: Estimate
    run_limit: int
    day_limit: int
    day_left: int


async def estimate_file(
    leads: Path, offer: OfferSpec, options: UploadOptions, data_dir: Path | None, progress: Progress
) -> tuple[UploadReport, Forecast | None]:
    """Read a file as a run would; no forecast where the offline assessor would answer.

    Stored answers and today's spending in the data directory count; it is only read.
    Raises BadFile, SettingsError, Unavailable.
    """
    kept = Offer(id=new_id(), **offer.model_dump())
    async with open_preview(data_dir, load_settings(AssessorSettings)) as preview:
        options = replace(options, offer_id=kept.id)
        report = await upload(preview.ingest_store, leads, options, progress)
        cache = preview.cache
        if cache is None:
            return report, None
        estimator = Estimator(cache, LOCAL_OWNER, kept)
        task = progress.add_task("Estimating", total=report.inserted)
        async for chunk in _chunks(preview.ingest_store, report.upload_id or "", kept):
            await estimator.add(chunk)
            progress.advance(task, len(chunk))
        reservations = cache.reservations
        forecast = Forecast(
            model=reservations.model,
            estimate=estimator.estimate,
            run_limit=reservations.run_limit,
            day_limit=reservations.day_limit,
            day_left=max(0, reservations.day_limit - await reservations.committed_today()),
        )
        return report, forecast


async def _chunks(store: IngestStore, upload_id: str, offer: Offer) -> AsyncIterator[list[Lead]]:
    """Yield the leads of an upload in a run's chunks, which differ only around rows that were left out."""
    upload = await store.upload(LOCAL_OWNER, upload_id)
    if upload is None:
        return
    run = RunRequest(id=new_id(), owner=LOCAL_OWNER, offer=offer, model="standard", upload_id=upload_id)
    async for page in store.claim(run, upload, 1, upload.last_row):
        for chunk in cut((prospect.lead, lead_bytes(prospect.lead)) for prospect in page):
            yield chunk
