"""`leadline score`: one file against one offer, with progress, a ranked table and an exit code that tells."""

import asyncio
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError
from rich.progress import Progress

from leadline_ai.settings import AssessorSettings
from leadline_common.errors import LeadlineError, Unavailable
from leadline_common.ids import new_id
from leadline_common.messages import LOCAL_OWNER, ModelName, Offer, OfferSpec, describe
from leadline_common.settings import load_settings
from leadline_ingest.app import now
from leadline_ingest.csvfile import CsvRefused
from leadline_ingest.runs import RunRequest
from leadline_ingest.uploads import UploadReceiver, UploadReport, receiving
from leadline_results.export import ExportFormat, export
from leadline_results.record import Record, Status
from leadline_results.store import Query, ResultStore
from leadline_standalone.runtime import Runtime, data_dir_or_temporary, embedded

SHOWN = 25
"""Ranked leads shown, and failed ones named."""
_PIECE = 256 * 1024
_DRAIN_SECONDS = 5.0


class BadFile(LeadlineError):
    """A file given on the command line cannot be used; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be scored, how, and where the results and the data go (None: nowhere)."""

    leads: Path
    offer: OfferSpec
    model: ModelName
    output: Path | None
    data_dir: Path | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: the report of its upload, the best results, and those without a full score."""

    upload: UploadReport
    best: list[Record]
    scored: int
    failed: int
    failures: list[Record] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every row of the file was scored."""
        return not self.failed and not self.upload.rejected_count


def read_offer(path: Path) -> OfferSpec:
    """Read an offer from a JSON file. Raises BadFile."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        return OfferSpec.model_validate(value)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadFile(f"{path}: is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise BadFile(
            f"{path}: is not JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        ) from None
    except ValidationError as error:
        raise BadFile(f"{path}: {describe(error)}") from None


def output_format(path: Path) -> ExportFormat:
    """Return the format a file name asks for. Raises BadFile for an unknown ending or folder."""
    if not path.parent.is_dir():
        raise BadFile(f"{path}: there is no folder {path.parent}")
    try:
        return ExportFormat(path.suffix.removeprefix(".").lower())
    except ValueError:
        endings = ", ".join(f".{kind}" for kind in ExportFormat)
        raise BadFile(f"{path}: the name must end in one of {endings}") from None


async def score_file(order: Order, progress: Progress) -> Outcome:
    """Score a file and write the results where the order says.

    Raises BadFile where a file cannot be used, SettingsError where a setting is wrong.
    """
    assessor = load_settings(AssessorSettings)
    async with (
        data_dir_or_temporary(order.data_dir) as folder,
        embedded(folder, assessor, _DRAIN_SECONDS) as runtime,
    ):
        kept = Offer(id=new_id(), **order.offer.model_dump())
        await runtime.ingest_store.add_offer(LOCAL_OWNER, kept, inline=True)
        report = await _upload(runtime, order.leads, kept.id, progress)
        if not report.inserted:
            return Outcome(upload=report, best=[], scored=0, failed=0)
        request = RunRequest(offer_id=kept.id, upload_id=report.upload_id, model=order.model)
        run = await runtime.runs.start(LOCAL_OWNER, request)
        scored, failed = await _follow(runtime, run.id, report.inserted, progress)
        query = Query(owner=LOCAL_OWNER, run_id=run.id)
        if order.output is not None:
            await _write(runtime.result_store, query, order.output)
        return Outcome(
            upload=report,
            best=await runtime.result_store.page(query, None, SHOWN),
            scored=scored,
            failed=failed,
            failures=await _failures(runtime.result_store, query) if failed else [],
        )


async def _upload(runtime: Runtime, path: Path, offer_id: str, progress: Progress) -> UploadReport:
    receiver = UploadReceiver(runtime.ingest_store, LOCAL_OWNER, now)
    try:
        with path.open("rb") as file:
            task = progress.add_task("Reading", total=os.fstat(file.fileno()).st_size)
            async with receiving(receiver):
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    await receiver.feed(piece)
                    progress.advance(task, len(piece))
                return await receiver.commit(offer_id)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except CsvRefused as refused:
        raise BadFile(f"{path}: {refused.reason}") from None


async def _follow(runtime: Runtime, run_id: str, total: int, progress: Progress) -> tuple[int, int]:
    task = progress.add_task("Scoring", total=total)
    while True:
        if not runtime.health.alive():
            raise Unavailable("a part of Leadline has stopped;")
        run = await runtime.result_store.run(run_id)
        if run is not None:
            progress.update(task, completed=run.scored + run.failed)
            if run.finished_at is not None:
                return run.scored, run.failed
        await asyncio.sleep(0.05)


async def _write(store: ResultStore, query: Query, output: Path) -> None:
    """Write beside the target first, so that a failure leaves no half file under its name."""
    kind = output_format(output)
    # Excel takes UTF-8 for what it is only where a byte order mark says so.
    encoding = "utf-8-sig" if kind is ExportFormat.CSV else "utf-8"
    unfinished = output.with_name(f".{output.name}.unfinished")
    try:
        with unfinished.open("w", encoding=encoding, newline="") as file:
            async for piece in export(store.stream(query), kind):
                await asyncio.to_thread(file.write, piece)
        unfinished.replace(output)
    except OSError as error:
        raise BadFile(f"{output}: {error.strerror}") from None


async def _failures(store: ResultStore, query: Query) -> list[Record]:
    failures: list[Record] = []
    for status in (Status.FAILED, Status.PARTIAL):
        chosen = query.model_copy(update={"status": status})
        failures += await store.page(chosen, None, SHOWN - len(failures)) if len(failures) < SHOWN else []
    return failures
