"""The ai service's own code against an instant local provider, and what leads that share a request save."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from tests.bench.prospects import OFFER, prospects

from leadline_ai.app import choose_provider, lead_policy, model_parts, workers_for
from leadline_ai.cancelled.lookup import CancelledRuns
from leadline_ai.leads.handler import AiHandler
from leadline_ai.metrics import AiMetrics
from leadline_ai.settings import AssessorSettings
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_common.broker.chunks import chunk_message
from leadline_common.broker.port import Message
from leadline_common.clock import now
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.scoring import (
    CHUNK_SIZE,
    LEAD_FIELDS,
    AiChunkScored,
    AiSpend,
    Lead,
    LeadsAccepted,
    Offer,
)
from leadline_testing.running_server import LOOPBACK, free_port


@dataclass(frozen=True, slots=True)
class Assessed:
    """Leads, seconds on the clock and of our processor, and what the run spent."""

    leads: int
    seconds: float
    processor: float
    spend: AiSpend

    @property
    def rate(self) -> float:
        """Leads a second."""
        return self.leads / self.seconds

    @property
    def input_tokens(self) -> float:
        """Input tokens a lead, as the provider counted them."""
        return self.spend.input_tokens / self.leads


async def measure_assessor(count: int, leads_per_request: int, latency: float = 0.0) -> Assessed:
    """Judge that many leads, one chunk a message, with as many workers as the service has.

    The provider is a process of its own that answers after `latency` seconds; the store is SQLite.
    """
    async with _provider(latency) as address:
        settings = _settings(leads_per_request, anthropic_api_key="local", anthropic_base_url=address)
        provider = choose_provider(settings)
        assert provider is not None
        metrics = AiMetrics(CollectorRegistry())
        with tempfile.TemporaryDirectory(prefix="leadline-bench-") as folder:
            store = SqliteAiStore(Path(folder) / "ai.db")
            cancelled_runs = CancelledRuns(store, now)
            parts = model_parts(provider, store, settings, metrics, cancelled_runs)
            handler = AiHandler(lead_policy(parts, settings), cancelled_runs, metrics)
            started, worked = time.monotonic(), time.process_time()
            answers = await _handle(handler, _messages(count), workers_for(settings))
            seconds, processor = time.monotonic() - started, time.process_time() - worked
            await provider.close()
            await store.close()
        return Assessed(count, seconds, processor, _spend(answers, count))


def ideal_seconds(count: int, leads_per_request: int, latency: float) -> float:
    """Return how long a provider with this latency takes at the service's default concurrency."""
    settings = _settings(leads_per_request)
    return count / leads_per_request / settings.ai_concurrency * latency


def _settings(leads_per_request: int, **provider: str) -> AssessorSettings:
    """Return the service's defaults with budgets that never end."""
    budgets = {"ai_run_budget_usd": 1e6, "ai_day_budget_usd": 1e6}
    return AssessorSettings.model_validate(
        {"ai": "anthropic", "ai_leads_per_request": leads_per_request, **budgets, **provider}
    )


async def _handle(handler: AiHandler, messages: list[Message], workers: int) -> list[Message]:
    left = iter(messages)
    answers: list[Message] = []

    async def work() -> None:
        for message in left:
            answers.extend(await handler.handle([message]))

    await asyncio.gather(*(work() for _ in range(workers)))
    return answers


def _messages(count: int) -> list[Message]:
    offer = Offer.model_validate({"id": "offer", **OFFER})
    rows = (dict(zip(LEAD_FIELDS, row, strict=True)) for row in prospects(count))
    leads = [Lead.model_validate({"id": str(number), **row}) for number, row in enumerate(rows)]
    return [
        chunk_message(
            LeadsAccepted(
                owner=LOCAL_OWNER,
                run_id="run",
                chunk=str(start),
                offer_id=offer.id,
                model="standard",
                upload_id="upload",
                offer=offer,
                leads=leads[start : start + CHUNK_SIZE],
            )
        )
        for start in range(0, count, CHUNK_SIZE)
    ]


def _spend(answers: list[Message], count: int) -> AiSpend:
    chunks = [AiChunkScored.decode(answer.body) for answer in answers]
    unanswered = [score for chunk in chunks for score in chunk.scores if score.status != "answered"]
    if unanswered or sum(len(chunk.scores) for chunk in chunks) != count:
        raise RuntimeError(f"{len(unanswered)} of {count} leads were not answered")
    return max((chunk.spend for chunk in chunks if chunk.spend), key=lambda spend: spend.calls)


@asynccontextmanager
async def _provider(latency: float) -> AsyncIterator[str]:
    port = free_port()
    command = ["-m", "leadline_testing.model_server", "--port", str(port), "--latency", str(latency)]
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=subprocess.DEVNULL)
    address = f"http://{LOOPBACK}:{port}"
    try:
        await _until_it_answers(address)
        yield address
    finally:
        process.terminate()
        await process.wait()


async def _until_it_answers(address: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(200):
            try:
                await client.get(address)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return
    raise RuntimeError("the local provider did not start")
