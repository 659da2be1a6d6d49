"""`leadline score` and `leadline resume`: one file against one offer, or a run of it to its end."""

import asyncio
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import get_args

from rich.progress import Progress

from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import LeadlineError
from leadline_contracts.scoring import AiSpend, Intent, ModelName, OfferSpec
from leadline_ingest.prospects.report import UploadReport
from leadline_ingest.prospects.upload_request import UploadOptions
from leadline_ingest.runs.service import ScoreRequest
from leadline_results.runs.export import ExportColumns, ExportFormat, export
from leadline_results.runs.own_columns import ResultSource
from leadline_results.runs.record import Record, Status
from leadline_results.runs.store import Query, ResultStore, Run
from leadline_standalone.inputs import STDOUT, BadFile, output_format, upload
from leadline_standalone.progress import CountedResults
from leadline_standalone.session import session

SHOWN = 25
"""Failed leads that are named."""
_LEFT_OUT = "rows of the file that could not be taken are named by `leadline score` of it with --estimate."


@dataclass(frozen=True, slots=True)
class Output:
    """The file that results are written to, and which columns it has where it is a CSV."""

    path: Path
    columns: ExportColumns = ExportColumns.OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which of the results are shown and written, and how many of them are shown."""

    top: int = 25
    min_score: int | None = None
    intent: Intent | None = None

    def query(self, run_id: str) -> Query:
        """Return what the selection means of a run."""
        return Query(owner=LOCAL_OWNER, run_id=run_id, min_score=self.min_score, intent=self.intent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be scored, how, and where results are written and data is kept (None: nowhere).

    `approve` is asked before anything is scored, with what was read of the file.
    """

    leads: Path
    options: UploadOptions
    offer: OfferSpec
    model: ModelName
    output: Output | None
    data_dir: Path | None
    selection: Selection
    approve: Callable[[UploadReport, Progress], bool]


class Declined(LeadlineError):
    """A person was asked whether to score what was read, and said no."""


@dataclass(slots=True)
class Shortfall:
    """The leads of a run without a full score: the first failed ones, and those a budget had no room for.

    `skipped` counts the latter by the budget's error text.
    """

    failures: list[Record] = field(default_factory=list)
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def count(self, record: Record) -> None:
        """Count one more lead."""
        if record.ai is not None and record.ai.status == "skipped_budget":
            self.skipped[record.error or ""] += 1
            return
        self.failed += 1
        if len(self.failures) < SHOWN:
            self.failures.append(record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome for a file: its upload, the best results, the spend, and leads without a full score.

    `selected` counts the results that were asked for, `intents` all of the run by intent, `tied` those that
    share the best score.
    """

    upload: UploadReport
    best: list[Record] = field(default_factory=list)
    selected: int = 0
    intents: dict[str, int] = field(default_factory=dict)
    tied: int = 0
    scored: int = 0
    failed: int = 0
    spent: list[AiSpend] = field(default_factory=list)
    shortfall: Shortfall = field(default_factory=Shortfall)

    @property
    def complete(self) -> bool:
        """Whether every row of the file was scored."""
        return not self.failed and not self.upload.rejected_count


async def score_file(order: Order, progress: Progress) -> Outcome:
    """Score a file and write the results where the order says.

    Raises BadFile where a file cannot be used, SettingsError where a setting is wrong.
    """
    async with session(order.data_dir, progress) as current:
        offer = await current.keep_offer(order.offer)
        options = replace(order.options, offer_id=offer.id)
        report = await upload(current.runtime.ingest_store, order.leads, options, progress)
        if not report.inserted:
            return Outcome(upload=report)
        if not order.approve(report, progress):
            raise Declined("nothing was scored, as you said")
        request = ScoreRequest(offer_id=offer.id, upload_id=report.upload_id, model=order.model)
        started = await current.start(request)
        run = await current.follow(started.id, report.inserted, progress)
        return await _outcome(
            current.runtime.result_store, run, report, order.output, progress, selection=order.selection
        )


async def resume_run(run_id: str, data_dir: Path, output: Output | None, progress: Progress) -> Outcome:
    """Finish a run whose command ended before it did, and write all its results where `output` says.

    Raises NotFound where the data directory has no such run, BadFile where the output cannot be written,
    SettingsError where a setting is wrong.
    """
    async with session(data_dir, progress, resume=run_id) as current:
        unfinished = current.runtime.resumed
        assert unfinished is not None  # noqa: S101 - the session has it, or has raised
        run = await current.follow(run_id, unfinished.total, progress)
        report = UploadReport(
            upload_id=unfinished.upload_id,
            inserted=unfinished.total,
            rejected=[],
            rejected_count=0,
            warnings=[_LEFT_OUT],
        )
        return await _outcome(current.runtime.result_store, run, report, output, progress)


async def _outcome(
    store: ResultStore,
    run: Run,
    report: UploadReport,
    output: Output | None,
    progress: Progress,
    *,
    selection: Selection | None = None,
) -> Outcome:
    selection = selection or Selection()
    query = selection.query(run.run_id)
    whole = Query(owner=LOCAL_OWNER, run_id=run.run_id)
    if output is not None:
        await _write(CountedResults(store, progress, "Writing", await store.count(query)), query, output)
    best = await store.page(query, None, selection.top)
    return Outcome(
        upload=report,
        best=best,
        selected=await store.count(query),
        intents={
            intent: await store.count(whole.model_copy(update={"intent": intent}))
            for intent in get_args(Intent)
        },
        tied=await _tied(store, whole, best),
        scored=run.scored,
        failed=run.failed,
        spent=[*await store.spend(run.run_id)],
        shortfall=await _shortfall(store, whole) if run.failed else Shortfall(),
    )


async def _write(store: ResultSource, query: Query, output: Output) -> None:
    """Write beside the target first, so that a failure leaves no half file under its name."""
    path = output.path
    if path == STDOUT:
        async for piece in export(store, query, ExportFormat.CSV, output.columns):
            await asyncio.to_thread(sys.stdout.write, piece)
        return
    kind = output_format(path)
    # Excel takes UTF-8 for what it is only where a byte order mark says so.
    encoding = "utf-8-sig" if kind is ExportFormat.CSV else "utf-8"
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("w", encoding=encoding, newline="") as file:
            async for piece in export(store, query, kind, output.columns):
                await asyncio.to_thread(file.write, piece)
        unfinished.replace(path)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None


async def _tied(store: ResultStore, whole: Query, best: list[Record]) -> int:
    """Count the leads that share the best score."""
    if not best or best[0].score is None:
        return 0
    return await store.count(whole.model_copy(update={"min_score": best[0].score}))


async def _shortfall(store: ResultStore, query: Query) -> Shortfall:
    shortfall = Shortfall()
    for status in (Status.FAILED, Status.PARTIAL):
        async for record in store.stream(query.model_copy(update={"status": status})):
            shortfall.count(record)
    return shortfall
