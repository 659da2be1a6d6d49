"""The four services in one process, over SQLite files in one data directory."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from leadline_ai.app import build as build_ai
from leadline_ai.app import build_policy
from leadline_ai.settings import AssessorSettings
from leadline_common.brokers.embedded import EmbeddedBroker
from leadline_common.errors import SettingsError
from leadline_common.metrics import Metrics, new_registry
from leadline_common.service import Health, running
from leadline_ingest.app import build as build_ingest
from leadline_ingest.runs import Runs
from leadline_ingest.store import IngestStore
from leadline_ingest.stores.sqlite import SqliteIngestStore
from leadline_results.app import build as build_results
from leadline_results.store import ResultStore
from leadline_results.stores.sqlite import SqliteResultStore
from leadline_rules.app import build as build_rules


@dataclass(frozen=True, slots=True)
class Runtime:
    """What callers in this process use of the running services."""

    ingest_store: IngestStore
    result_store: ResultStore
    runs: Runs
    health: Health
    metrics: Metrics


@asynccontextmanager
async def embedded(
    data_dir: Path, assessor: AssessorSettings, drain_seconds: float
) -> AsyncIterator[Runtime]:
    """Run the services over the data directory, which is made where it is missing.

    What an earlier process accepted and left undone is finished. On leaving, work under way is drained.
    Raises SettingsError where the directory cannot be used or another process uses it.
    """
    with locked(data_dir):
        async with AsyncExitStack() as stack:
            metrics = Metrics(new_registry())
            policy = build_policy(assessor)
            stack.push_async_callback(policy.assessor.close)
            ingest_store = SqliteIngestStore(data_dir / "ingest.db")
            stack.push_async_callback(ingest_store.close)
            await ingest_store.end_leases()
            result_store = SqliteResultStore(data_dir / "results.db")
            stack.push_async_callback(result_store.close)
            broker = EmbeddedBroker(data_dir / "broker.db")
            stack.push_async_callback(broker.close)
            ingest = build_ingest(broker, ingest_store, metrics)
            services = [
                ingest.service,
                build_rules(broker, metrics),
                build_ai(broker, policy, metrics),
                build_results(broker, result_store, metrics),
            ]
            health = await stack.enter_async_context(running(services, drain_seconds))
            yield Runtime(ingest_store, result_store, ingest.runs, health, metrics)


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
