"""`leadline evaluate`: a file that a person has labelled, scored as any other, again and again."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from leadline_common.clock import now
from leadline_common.ids import new_id
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import AiSpend, AiStatus, ModelName, OfferSpec
from leadline_ingest.prospects.store import Prospect, Upload
from leadline_ingest.prospects.table import CsvRefused
from leadline_ingest.runs.service import ScoreRequest
from leadline_ingest.store import IngestStore
from leadline_results.runs.record import Record
from leadline_results.runs.spend import FIGURES
from leadline_results.runs.store import Query
from leadline_standalone.inputs import BadFile
from leadline_standalone.labelled import Labelled, LabelledRow, read_labelled
from leadline_standalone.quality import Judged, Share, accuracy
from leadline_standalone.session import Session, session

_BATCH = 1_000
_END_SECONDS = 60.0
"""Seconds for ingest to note the end of a run, which the next one needs to have stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is to be evaluated, how often, and where the data is kept (None: nowhere)."""

    labelled: Path
    encoding: str | None
    offer: OfferSpec
    model: ModelName
    runs: int
    data_dir: Path | None


class Answered(NamedTuple):
    """How a row was answered: by which assessor, or why there is no answer."""

    status: AiStatus
    assessor: str
    reason: str


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """One run: its rows in the order of the file, how many were answered in which way, what was spent."""

    judged: list[Judged]
    answered: Counter[Answered]
    spent: list[AiSpend]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The labelled file and its runs; none where no row of it could be taken."""

    labelled: Labelled
    runs: list[EvaluatedRun]

    @property
    def accuracy(self) -> Share:
        """The accuracy of the first run."""
        return accuracy(self.runs[0].judged) if self.runs else Share(0, 0)

    @property
    def complete(self) -> bool:
        """Whether every row of the file was scored in every run."""
        return not self.labelled.rejected and all(
            judged.intent is not None for run in self.runs for judged in run.judged
        )

    @property
    def spent(self) -> list[AiSpend]:
        """What all runs have cost together, by model."""
        total: dict[tuple[str, str], AiSpend] = {}
        for spend in (spend for run in self.runs for spend in run.spent):
            name = (spend.source, spend.assessor)
            total[name] = _sum(total[name], spend) if name in total else spend
        return list(total.values())


async def evaluate_file(task: Task, progress: Progress) -> Evaluation:
    """Score a labelled file as often as the task says, with new AI answers each time after the first.

    Raises BadFile where the file cannot be used, SettingsError where a setting is wrong, Unavailable.
    """
    labelled = _read(task.labelled, task.encoding)
    if not labelled.rows:
        return Evaluation(labelled, [])
    async with session(task.data_dir, progress) as current:
        offer_id = (await current.keep_offer(task.offer)).id
        upload_id = await _upload(current.runtime.ingest_store, offer_id, labelled.rows)
        runs = []
        for number in range(task.runs):
            request = ScoreRequest(
                offer_id=offer_id, upload_id=upload_id, model=task.model, refresh=number > 0
            )
            runs.append(await _run(current, request, labelled.rows, progress))
        return Evaluation(labelled, runs)


def _read(path: Path, encoding: str | None) -> Labelled:
    try:
        return read_labelled(path.read_bytes(), encoding)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except CsvRefused as refused:
        raise BadFile(f"{path}: {refused.reason}") from None


async def _upload(store: IngestStore, offer_id: str, rows: Sequence[LabelledRow]) -> str:
    upload = Upload(id=new_id(), owner=LOCAL_OWNER, offer_id=offer_id, ready=True, last_row=rows[-1].row)
    await store.open_upload(upload, now())
    for start in range(0, len(rows), _BATCH):
        batch = [Prospect(row.row, row.lead) for row in rows[start : start + _BATCH]]
        await store.add_prospects(upload, batch, now())
    await store.commit_upload(upload)
    return upload.id


async def _run(
    current: Session, request: ScoreRequest, rows: Sequence[LabelledRow], progress: Progress
) -> EvaluatedRun:
    runtime = current.runtime
    started = await current.start(request)
    await current.follow(started.id, len(rows), progress)
    _, ended = await runtime.runs.wait(started, _END_SECONDS)
    if not ended:  # a refresh would leave it what it holds
        raise Unavailable("the end of a run was not noted in time; evaluate again")
    query = Query(owner=LOCAL_OWNER, run_id=started.id)
    records = {record.lead_id: record async for record in runtime.result_store.stream(query)}
    return EvaluatedRun(
        judged=[_judged(row, records.get(row.lead.id)) for row in rows],
        answered=Counter(_answered(record) for record in records.values()),
        spent=[*await runtime.result_store.spend(started.id)],
    )


def _judged(row: LabelledRow, record: Record | None) -> Judged:
    if record is None:
        return Judged(row.row, row.label, None, None)
    return Judged(row.row, row.label, record.intent, record.score)


def _answered(record: Record) -> Answered:
    ai = record.ai
    if ai is None or record.error:
        status: AiStatus = "skipped_budget" if ai and ai.status == "skipped_budget" else "failed"
        return Answered(status, "", record.error or "no answer")
    return Answered(ai.status, ai.assessor, ai.fallback or "")


def _sum(one: AiSpend, other: AiSpend) -> AiSpend:
    return one.model_copy(update={name: getattr(one, name) + getattr(other, name) for name in FIGURES})
