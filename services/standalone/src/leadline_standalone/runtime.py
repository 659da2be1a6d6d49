"""The four services in one process, over SQLite files in one data directory."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from leadline_ai.app import build as build_ai
from leadline_ai.app import choose_provider, lead_cache, model_parts
from leadline_ai.budget.store import run_budget_name
from leadline_ai.cancelled.lookup import CancelledRuns
from leadline_ai.leads.answer_cache import LeadAnswerCache
from leadline_ai.metrics import AiMetrics
from leadline_ai.providers.probe import ProviderProbe
from leadline_ai.settings import AssessorSettings
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.clock import now
from leadline_common.process.serve import Parts
from leadline_common.process.service import Health, running
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.errors import SettingsError
from leadline_ingest.app import build as build_ingest
from leadline_ingest.inbound.service import Messages
from leadline_ingest.metrics import IngestMetrics
from leadline_ingest.runs.service import Runs
from leadline_ingest.store import IngestStore
from leadline_ingest.stores.sqlite import SqliteIngestStore
from leadline_results.app import build as build_results
from leadline_results.app import build_workflows
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.runs.store import ResultStore
from leadline_results.workflows.retry import WorkflowRetry
from leadline_results.workflows.sqlite import SqliteWorkflowStore
from leadline_results.workflows.store import WorkflowStore
from leadline_rules.app import build as build_rules
from leadline_standalone.unfinished import UnfinishedRun, chosen


@dataclass(frozen=True, slots=True)
class Runtime:
    """The parts of the running services that callers in this process use.

    `resumed` is the run to finish, `left_alone` are the other unfinished ones, oldest first.
    """

    ingest_store: IngestStore
    result_store: ResultStore
    workflow_store: WorkflowStore
    workflow_retries: WorkflowRetry
    runs: Runs
    messages: Messages
    ingest_metrics: IngestMetrics
    ai_probe: ProviderProbe | None
    stop_asking: Callable[[], None]
    health: Health
    metrics: Metrics
    resumed: UnfinishedRun | None
    left_alone: list[UnfinishedRun]


@asynccontextmanager
async def embedded(
    data_dir: Path, assessor: AssessorSettings, drain_seconds: float, *, resume: str | None = None
) -> AsyncIterator[Runtime]:
    """Run the services over the data directory, which is made where it is missing.

    Work that an earlier process accepted and did not finish is finished; but foreground runs stay as they
    are, except the one to `resume`. On leaving, work under way is drained. Raises SettingsError where the
    directory cannot be used or another process uses it, NotFound where there is no such run to resume.
    """
    with locked(data_dir):
        async with Parts() as parts:
            metrics = Metrics(new_registry())
            provider = choose_provider(assessor)
            if provider is not None:
                parts.keep(provider)
            ai_store = parts.keep(SqliteAiStore(data_dir / "ai.db"))
            ingest_store = parts.keep(SqliteIngestStore(data_dir / "ingest.db"))
            await ingest_store.end_leases()
            await ingest_store.end_key_leases()
            result_store = parts.keep(SqliteResultStore(data_dir / "results.db"))
            workflow_store = parts.keep(SqliteWorkflowStore(data_dir / "workflows.db"))
            unfinished = await _unfinished_runs(ingest_store, result_store)
            resumed = chosen(unfinished, resume, data_dir) if resume is not None else None
            left_alone = [run for run in unfinished if run != resumed]
            paused = [run.run_id for run in left_alone]
            broker = parts.keep(EmbeddedBroker(data_dir / "broker.db"))
            if paused:
                await broker.set_aside("run_id", paused)
            ingest = build_ingest(broker, ingest_store, metrics, paused=paused)
            ai = build_ai(broker, ai_store, provider, assessor, metrics)
            workflows = build_workflows(broker, workflow_store, metrics)
            services = [
                ingest.service,
                build_rules(broker, metrics),
                ai.service,
                build_results(broker, result_store, metrics, paused=paused),
                workflows.service,
            ]
            health = await parts.enter_async_context(running(services, drain_seconds))
            yield Runtime(
                ingest_store=ingest_store,
                result_store=result_store,
                workflow_store=workflow_store,
                workflow_retries=workflows.retries,
                runs=ingest.runs,
                messages=ingest.messages,
                ingest_metrics=ingest.metrics,
                ai_probe=ai.probe,
                stop_asking=ai.stop_asking,
                health=health,
                metrics=metrics,
                resumed=resumed,
                left_alone=left_alone,
            )


async def _unfinished_runs(ingest: SqliteIngestStore, results: ResultStore) -> list[UnfinishedRun]:
    """Return the foreground runs whose command ended before they were finished, oldest first."""
    unfinished = []
    for run, prospects in await ingest.unfinished_foreground_runs():
        known = await results.run(run.id)
        # Results knows the end first: a command that saw it may have ended before ingest got the event.
        if known is None or known.finished_at is None:
            scored = (await results.count_run(run.id)).scored
            unfinished.append(UnfinishedRun(run.id, run.upload_id or "", run.offer.name, scored, prospects))
    return unfinished


class Stopped(NamedTuple):
    """How far a run came whose services are stopped, how many answers it bought, and what that cost in 10^-9
    US dollars.
    """

    scored: int
    finished: bool
    bought: int
    nano_usd: int


async def read_stopped(data_dir: Path, run_id: str) -> Stopped:
    """Read of a run what its services left behind. Raises Unavailable."""
    async with AsyncExitStack() as stack:
        results = SqliteResultStore(data_dir / "results.db")
        stack.push_async_callback(results.close)
        ai = SqliteAiStore(data_dir / "ai.db")
        stack.push_async_callback(ai.close)
        run = await results.run(run_id)
        return Stopped(
            scored=(await results.count_run(run_id)).scored,
            finished=run is not None and run.finished_at is not None,
            bought=await ai.bought(run_id),
            nano_usd=await ai.committed(run_budget_name(run_id)),
        )


@dataclass(frozen=True, slots=True)
class Preview:
    """What the estimate of a run needs: a store for its prospects, and the answer cache.

    `cache` is None where the offline assessor would answer; it must only be read.
    """

    ingest_store: IngestStore
    cache: LeadAnswerCache | None


@asynccontextmanager
async def open_preview(data_dir: Path | None, assessor: AssessorSettings) -> AsyncIterator[Preview]:
    """Open the answer cache of the data directory, where there is one; prospects go into a temporary one.

    Another process may use the data directory meanwhile. Raises SettingsError, Unavailable.
    """
    async with data_dir_or_temporary(None) as folder, Parts() as parts:
        ingest_store = parts.keep(SqliteIngestStore(folder / "ingest.db"))
        provider = choose_provider(assessor)
        if provider is None:
            yield Preview(ingest_store, None)
            return
        parts.keep(provider)
        ai_store = parts.keep(SqliteAiStore(_ai_file(data_dir) or folder / "ai.db"))
        cancelled_runs = CancelledRuns(ai_store, now)
        model = model_parts(provider, ai_store, assessor, AiMetrics(new_registry()), cancelled_runs)
        yield Preview(ingest_store, lead_cache(model, assessor))


def _ai_file(data_dir: Path | None) -> Path | None:
    """Return the file of the answer cache, None where there is none yet."""
    path = data_dir / "ai.db" if data_dir else None
    return path if path and path.exists() else None


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the data directory. Raises SettingsError, naming the holder, where another process has it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        lock = FileLock(data_dir / "leadline.lock")
        lock.acquire(timeout=0)
    except Timeout:
        holder = _read_holder(data_dir)
        raise SettingsError(
            f"{data_dir} is in use by {holder}; stop that or choose another --data-dir"
        ) from None
    except OSError as error:
        raise SettingsError(f"{data_dir} cannot be used as data directory: {error.strerror}") from None
    try:
        (data_dir / "holder.json").write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")
        yield
    finally:
        lock.release()


def _read_holder(data_dir: Path) -> str:
    try:
        return f"process {json.loads((data_dir / 'holder.json').read_text(encoding='utf-8'))['pid']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


@asynccontextmanager
async def data_dir_or_temporary(named: Path | None) -> AsyncIterator[Path]:
    """Yield the named directory, or a temporary one that is removed afterwards."""
    if named is not None:
        yield named
        return
    folder = await asyncio.to_thread(tempfile.TemporaryDirectory, prefix="leadline-")
    try:
        yield Path(folder.name)
    finally:
        await asyncio.to_thread(folder.cleanup)
