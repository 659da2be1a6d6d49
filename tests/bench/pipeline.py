"""A run of the four services, and of the floor beside it."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from motor.motor_asyncio import AsyncIOMotorClient
from tests.bench.prospects import OFFER

from leadline_contracts.scoring import CHUNK_SIZE
from leadline_testing.run_services import gateway_before
from leadline_testing.running_server import RunningServer
from leadline_testing.services import four_services, standalone

CHUNK = CHUNK_SIZE
SETTINGS = {"LEADLINE_AI": "offline", "LEADLINE_LOG_LEVEL": "WARNING"}


@dataclass(slots=True)
class Measured:
    """Leads, seconds, and the processor seconds and peak memory (MB) of each process."""

    leads: int
    seconds: float
    upload_seconds: float = 0.0
    export_seconds: float = 0.0
    processor: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Leads a second."""
        return self.leads / self.seconds


async def measure_services(broker: RunningServer, store: RunningServer, leads: Path, count: int) -> Measured:
    """Score a file through the four services."""
    with four_services(broker.url, store.url, SETTINGS, fresh=True) as services:
        addresses = {name: service.address for name, service in services.items()}
        processes = {name: psutil.Process(service.process.pid) for name, service in services.items()}
        async with gateway_before(addresses, 0) as address:
            return await _measure(address, processes | server_processes(broker, store), leads, count)


async def measure_standalone(folder: Path, leads: Path, count: int) -> Measured:
    """Score a file through everything in one process."""
    with standalone(folder / "data", SETTINGS, fresh=True) as service:
        process = psutil.Process(service.process.pid)
        return await _measure(service.address, {"leadline serve": process}, leads, count)


async def _measure(address: str, processes: dict[str, psutil.Process], leads: Path, count: int) -> Measured:
    """Upload, then measure from POST /score to the last result readable, then export."""
    async with httpx.AsyncClient(base_url=address, timeout=600, trust_env=False) as client:
        upload_seconds = await upload(client, leads)
        before = {name: processor_seconds(process) for name, process in processes.items()}
        measured = Measured(count, await _score(client, count), upload_seconds)
        measured.processor = {
            name: processor_seconds(process) - before[name] for name, process in processes.items()
        }
        measured.export_seconds = await _export(client, count)
        measured.memory = {name: _peak(process) for name, process in processes.items()}
        return measured


async def sample_of(store: RunningServer, folder: Path) -> Path:
    """Write one chunk's bodies and one stored result, as the services made them, for the floor to move."""
    client: AsyncIOMotorClient[dict[str, object]] = AsyncIOMotorClient(store.url, tz_aware=True)
    documents = await client.get_default_database("leadline")["records"].find().to_list(CHUNK)
    client.close()
    plain = json.loads(json.dumps(documents, default=str))
    shared = {name: plain[0][name] for name in ("owner", "run_id", "chunk", "offer_id", "model", "upload_id")}
    offer = {**OFFER, "id": shared["offer_id"], "icp": {"industries": [], "roles": [], "locations": []}}
    sample = {
        "accepted": json.dumps({**shared, "offer": offer, "leads": [one["lead"] for one in plain]}),
        "rules": json.dumps({**shared, "scores": [one["rules"] for one in plain]}),
        "ai": json.dumps({**shared, "scores": [one["ai"] for one in plain]}),
        "document": plain[0],
    }
    path = folder / "sample.json"
    path.write_text(json.dumps(sample), encoding="utf-8")
    return path


def measure_floor(broker: RunningServer, store: RunningServer, sample: Path, count: int) -> Measured:
    """Move and store the same with four thin processes."""
    chunks = count // CHUNK

    def start(role: str) -> subprocess.Popen[bytes]:
        arguments = [role, broker.url, store.url, str(sample), str(chunks)]
        return subprocess.Popen([sys.executable, "-m", "tests.bench.floor", *arguments])

    workers = [start(role) for role in ("rules", "ai", "results")]
    time.sleep(3)
    started = time.monotonic()
    workers.append(start("publish"))
    codes = [worker.wait() for worker in workers]
    if any(codes):
        raise RuntimeError(f"the floor failed: exit codes {codes}")
    return Measured(chunks * CHUNK, time.monotonic() - started)


async def upload(client: httpx.AsyncClient, leads: Path) -> float:
    """Create an offer and upload a file; return how many seconds that took."""
    (await client.post("/offer", json=OFFER)).raise_for_status()
    started = time.monotonic()
    with leads.open("rb") as file:
        (await client.post("/leads/upload", files={"file": file})).raise_for_status()
    return time.monotonic() - started


async def _score(client: httpx.AsyncClient, count: int) -> float:
    started = time.monotonic()
    answer = await client.post("/score", headers={"Prefer": "respond-async"})
    run = answer.raise_for_status().json()["run_id"]
    while (await client.get(f"/runs/{run}?wait=30")).json()["status"] != "finished":
        pass
    readable = await client.get(f"/results?run_id={run}&limit=1")
    if readable.headers["X-Total-Count"] != str(count):
        raise RuntimeError(f"{readable.headers['X-Total-Count']} of {count} results are readable")
    return time.monotonic() - started


async def _export(client: httpx.AsyncClient, count: int) -> float:
    started = time.monotonic()
    lines = 0
    async with client.stream("GET", "/results/export?format=csv") as answer:
        async for piece in answer.aiter_bytes():
            lines += piece.count(b"\n")
    if lines != count + 1:
        raise RuntimeError(f"the export has {lines} lines for {count} results")
    return time.monotonic() - started


def server_processes(broker: RunningServer, store: RunningServer) -> dict[str, psutil.Process]:
    """Find the servers' processes by the ports they listen on; none where they run elsewhere."""
    wanted = {urlsplit(broker.url).port: "rabbitmq", urlsplit(store.url).port: "mongodb"}
    return {
        wanted[listening.laddr.port]: psutil.Process(listening.pid)
        for listening in psutil.net_connections("tcp")
        if listening.status == psutil.CONN_LISTEN and listening.pid and listening.laddr.port in wanted
    }


def processor_seconds(process: psutil.Process) -> float:
    """Return what a process has taken of the processor."""
    times = process.cpu_times()
    return float(times.user + times.system)


def _peak(process: psutil.Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024
