"""How much one replica of each service does alone: the others are stopped, and their queues fill or wait.

What a replica shares the machine with are RabbitMQ, MongoDB and this measuring.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from tests.bench.pipeline import CHUNK, SETTINGS, processor_seconds, upload

from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_contracts.topology import RESULT_AI, RESULT_LEADS, RESULT_RULES, Queue
from leadline_testing.run_services import gateway_before
from leadline_testing.running_server import RunningServer
from leadline_testing.services import ServiceProcess, four_services

_HELD = 20
"""Chunks of each queue that the stopped results may have been sent already."""
_QUEUES = {"ingest": RESULT_LEADS, "rules": RESULT_RULES, "ai": RESULT_AI}
"""Where what a service has done waits for results."""


@dataclass(frozen=True, slots=True)
class Replica:
    """Leads a second of one replica alone, and how much of a core it took meanwhile."""

    rate: float
    cores: float


async def measure_replicas(
    broker: RunningServer, store: RunningServer, leads: Path, count: int
) -> dict[str, Replica]:
    """Score a file one service after the other; return what each did by its name."""
    measured: dict[str, Replica] = {}
    with four_services(broker.url, store.url, SETTINGS, fresh=True) as services:
        addresses = {name: service.address for name, service in services.items()}
        connection = await RabbitBroker.connect(broker.url)
        async with (
            gateway_before(addresses, 0) as address,
            httpx.AsyncClient(base_url=address, timeout=600, trust_env=False) as client,
        ):
            await upload(client, leads)
            with only_in_turn(services) as only:
                run_id = ""
                for name, queue in _QUEUES.items():
                    only(name)
                    started = start_of(services[name])
                    if name == "ingest":
                        answer = await client.post("/score", headers={"Prefer": "respond-async"})
                        run_id = answer.raise_for_status().json()["run_id"]
                    await _full(connection, queue, count // CHUNK - _HELD)
                    measured[name] = replica(services[name], started, count)
                only("results", "ingest")  # which may have stopped before it told that all is published
                started = start_of(services["results"])
                await _finished(client, run_id)
                measured["results"] = replica(services["results"], started, count)
        await connection.close()
    return measured


@contextmanager
def only_in_turn(services: Mapping[str, ServiceProcess]) -> Iterator[Callable[..., None]]:
    """Yield a function that pauses every service but the named ones; let all go on afterwards."""

    def only(*names: str) -> None:
        for name, service in services.items():
            service.process.send_signal(signal.SIGCONT if name in names else signal.SIGSTOP)

    try:
        yield only
    finally:
        for service in services.values():
            service.process.send_signal(signal.SIGCONT)


def start_of(service: ServiceProcess) -> tuple[float, float]:
    """Return the time, and the processor seconds that a service has taken so far."""
    return time.monotonic(), processor_seconds(psutil.Process(service.process.pid))


def replica(service: ServiceProcess, started: tuple[float, float], count: int) -> Replica:
    """Return what a service did since then."""
    at, processor = start_of(service)
    seconds = at - started[0]
    return Replica(count / seconds, (processor - started[1]) / seconds)


async def _full(broker: RabbitBroker, queue: Queue, chunks: int) -> None:
    while await broker.depth(queue.name) < chunks:  # noqa: ASYNC110 - a queue tells nobody
        await asyncio.sleep(0.02)


async def _finished(client: httpx.AsyncClient, run_id: str) -> None:
    while True:
        answer = await client.get(f"/runs/{run_id}", params={"wait": 5})
        if answer.is_success and answer.json()["status"] == "finished":
            return
