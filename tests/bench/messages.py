"""Inbound messages over many connections at once: how long an answer takes, and how long all of them."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

import aiohttp
import psutil
from tests.bench.pipeline import processor_seconds, server_processes

from leadline_testing.running_server import RunningServer
from leadline_testing.services import four_services, standalone

_SETTINGS = {"LEADLINE_AI": "offline", "LEADLINE_LOG_LEVEL": "WARNING"}
_PATIENCE = 120.0
_TEXTS = (
    "Hello, could you quote a deep clean of our three bedroom flat in Leeds next week? Budget 300 pounds.",
    "My invoice is wrong again and nobody answers, this is the third time that I complain!",
    "Ich möchte meinen Termin vom Montag verschieben, Kundennummer 884213.",
    "Bonjour, quel est le prix d'un entretien de jardin à Lyon ?",
    "Congratulations! You won, open http://prize.example/win to claim your bitcoin now",
)


@dataclass(slots=True)
class MessageTimes:
    """Seconds each answer took, seconds until all were answered and until all had ended, and how they did.

    `processor` is the processor seconds of each process.
    """

    answers: list[float]
    accepted_seconds: float
    seconds: float
    completed: int
    failed: int
    processor: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """Seconds within which half of the answers came."""
        return median(self.answers)

    @property
    def percentile_95(self) -> float:
        """Seconds within which 95 of 100 answers came."""
        return quantiles(self.answers, n=20)[-1]


async def message_services(
    broker: RunningServer, store: RunningServer, count: int, connections: int
) -> MessageTimes:
    """Send messages to the ingest service and wait at the results service, without a gateway between."""
    with four_services(broker.url, store.url, _SETTINGS, fresh=True) as services:
        processes = {name: psutil.Process(service.process.pid) for name, service in services.items()}
        processes |= server_processes(broker, store)
        ingest, results = services["ingest"].address, services["results"].address
        return await _measure(ingest, results, processes, count, connections)


async def message_standalone(folder: Path, count: int, connections: int) -> MessageTimes:
    """Send messages to everything in one process."""
    with standalone(folder / "data", _SETTINGS, fresh=True) as service:
        processes = {"leadline serve": psutil.Process(service.process.pid)}
        return await _measure(service.address, service.address, processes, count, connections)


async def _measure(
    ingest: str, results: str, processes: Mapping[str, psutil.Process], count: int, connections: int
) -> MessageTimes:
    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(connector=connector) as client:
        await _send(client, ingest, connections, connections)  # opens the connections
        await _ended(client, results, connections)
        before = {name: processor_seconds(process) for name, process in processes.items()}
        started = time.monotonic()
        answers = await _send(client, ingest, count, connections)
        accepted = time.monotonic() - started
        completed, failed = await _ended(client, results, connections + count)
        measured = MessageTimes(
            answers, accepted, time.monotonic() - started, completed - connections, failed
        )
    measured.processor = {
        name: processor_seconds(process) - before[name] for name, process in processes.items()
    }
    return measured


async def _send(client: aiohttp.ClientSession, ingest: str, count: int, connections: int) -> list[float]:
    """Send that many, each connection its next one once it was answered. Raises where one is not accepted."""
    numbers = iter(range(count))
    answers: list[float] = []

    async def send_each() -> None:
        for number in numbers:
            body = {"contact_channel": "webchat", "message": _TEXTS[number % len(_TEXTS)]}
            started = time.perf_counter()
            async with client.post(f"{ingest}/leads", json=body) as answer:
                await answer.read()
            answers.append(time.perf_counter() - started)
            if answer.status != 202:
                raise RuntimeError(f"a message was answered with {answer.status}")

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(send_each())
    return answers


async def _ended(client: aiohttp.ClientSession, results: str, count: int) -> tuple[int, int]:
    """Wait until that many have ended; return how many are completed and how many failed."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        completed, failed = [await _total(client, results, status) for status in ("completed", "failed")]
        if completed + failed == count:
            return completed, failed
        await asyncio.sleep(0.1)
    raise RuntimeError(f"of {count} messages {completed} are completed and {failed} failed")


async def _total(client: aiohttp.ClientSession, results: str, status: str) -> int:
    async with client.get(f"{results}/leads", params={"status": status, "limit": "1"}) as answer:
        await answer.read()
        return int(answer.headers["X-Total-Count"])
