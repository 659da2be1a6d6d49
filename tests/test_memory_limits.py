"""No input that is permitted takes a service above the memory that deploy/k8s/base gives it."""

import asyncio
import csv
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import aio_pika
import httpx
import pytest
import yaml
from anyio.from_thread import BlockingPortal
from pymongo import MongoClient
from tests.conftest import FreshServers, Servers
from tests.support import COLUMNS, OFFER, OFFLINE, Client, behind_gateway

from leadline_common.ids import new_id
from leadline_contracts.scoring import LEAD_BYTES
from leadline_contracts.topology import LEADLINE
from leadline_testing.memory_limit import MemoryLimit, NoMemoryLimits, memory_limit
from leadline_testing.services import SERVICES, ServiceProcess

pytestmark = [pytest.mark.servers, pytest.mark.slow]

MANIFESTS = Path(__file__).parents[1] / "deploy" / "k8s" / "base"
FILES = 8
ROWS = 120
KINDS = ("csv", "json", "ndjson") * 2
SECONDS = 300.0
"""Time to work off what is accepted; a service that is killed over and over never does."""
LONGEST = "🙂" + "x" * (LEAD_BYTES - 200)
"""One wide character makes all others take four bytes in memory."""


class System(NamedTuple):
    """The four services under their limits, and what stands behind them."""

    client: Client
    servers: Servers
    processes: dict[str, ServiceProcess]
    limits: dict[str, MemoryLimit]

    def assert_all_lived(self) -> None:
        """Check that no service was killed, or ended by itself."""
        assert {name: limit.kills for name, limit in self.limits.items()} == dict.fromkeys(SERVICES, 0)
        assert all(process.process.poll() is None for process in self.processes.values())


def limit_of(service: str) -> int:
    """Return the memory limit of a service's container in bytes."""
    documents = yaml.safe_load_all((MANIFESTS / f"{service}.yaml").read_text())
    pod = next(one["spec"]["template"]["spec"] for one in documents if one["kind"] == "Deployment")
    amount = str(pod["containers"][0]["resources"]["limits"]["memory"])
    assert amount.endswith("Mi")
    return int(amount.removesuffix("Mi")) * 2**20


@pytest.fixture(scope="module")
def system(
    portal: BlockingPortal, fresh_servers: FreshServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Each service in a control group with the limit that its manifest gives it."""
    with ExitStack() as stack:
        limits = {}
        for name in SERVICES:
            try:
                limits[name] = stack.enter_context(memory_limit(name, limit_of(name)))
            except NoMemoryLimits as error:
                pytest.skip(str(error))
        servers = stack.enter_context(fresh_servers())
        log = tmp_path_factory.mktemp("limited") / "log"
        launchers = {name: limit.launcher for name, limit in limits.items()}
        leadline, processes = stack.enter_context(
            behind_gateway(portal, *servers, log, OFFLINE, launchers=launchers)
        )
        leadline.client.http.timeout = httpx.Timeout(SECONDS)
        yield System(leadline.client, servers, processes, limits)


def file_of(bio: str, rows: int = ROWS) -> str:
    """Return a CSV whose rows all have this text."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for number in range(rows):
        writer.writerow([f"Name {number}", "CTO", "Acme", "SaaS", "Berlin", bio])
    return text.getvalue()


def upload_and_score(client: Client, bio: str) -> str | None:
    """Upload a file against an offer of its own and ask for a run; None where no row was taken."""
    offer_id = client.create_offer()
    report = patiently(lambda: client.upload(file_of(bio), offer_id))
    if not report["inserted"]:
        assert "bytes of text and may hold 65,536" in report["rejected"][0]["reason"]
        return None
    answer = client.post_score("respond-async", upload_id=report["upload_id"]).raise_for_status()
    return str(answer.json()["run_id"])


def patiently(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do as a 503 says: call again a few seconds later."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return call()
        except httpx.HTTPStatusError as error:
            if "Retry-After" not in error.response.headers or time.monotonic() > deadline:
                raise
            time.sleep(2)


def test_files_of_the_longest_texts(system: System) -> None:
    """Many uploads, runs, pages and exports at once, all of the longest prospects there can be."""
    client = system.client
    bios = [LONGEST, "\\" * (LEAD_BYTES - 200), "é" * (LEAD_BYTES // 2 - 200), "x" * 999_000]
    with ThreadPoolExecutor(FILES) as pool:
        runs = list(pool.map(lambda number: upload_and_score(client, bios[number % 4]), range(FILES)))
        accepted = [run for run in runs if run is not None]
        assert len(accepted) == FILES * 3 // 4
        for run in pool.map(lambda run: client.finished_run(run, SECONDS), accepted):
            assert (run["scored"], run["failed"]) == (ROWS, 0)
        pages = pool.map(
            lambda run: client.http.get("/results", params={"run_id": run, "limit": 1000}), accepted * 2
        )
        assert all(page.raise_for_status().json() for page in pages)
        files = pool.map(lambda kind: client.http.get("/results/export", params={"format": kind}), KINDS)
        assert all(file.raise_for_status().content for file in files)
    system.assert_all_lived()


def test_files_with_records_that_never_end(system: System) -> None:
    """A quote that is left open makes the whole rest of a file one record."""

    def upload(number: int) -> httpx.Response:
        content = f'{",".join(COLUMNS)}\nAda,CTO,Acme,SaaS,Berlin,b\nBob,CTO,"{LONGEST * 60}'
        return system.client.http.post("/leads/upload", files={"file": ("leads.csv", content)})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(upload, range(32)))
    assert {answer.status_code for answer in answers} <= {201, 503}
    assert answers[0].status_code == 201 or "long rows" in answers[0].json()["title"]
    system.assert_all_lived()


def test_submissions_as_large_as_may_be(system: System) -> None:
    """What other systems publish is worked off however large, and what is too large is refused."""
    leads = [{"name": f"Name {number}", "linkedin_bio": LONGEST} for number in range(60)]
    fits = json.dumps({"offer": OFFER, "leads": leads}, ensure_ascii=False).encode()
    too_large = json.dumps({"offer": OFFER, "leads": leads * 4}, ensure_ascii=False).encode()
    assert len(fits) < 4_194_304 < len(too_large)
    replies = asyncio.run(submitted(system.servers.broker_url, [fits] * 20 + [too_large] * 4))
    assert sorted(reply["accepted"] for reply in replies) == [0] * 4 + [60] * 20
    assert all("4,194,304" in reply["error"] for reply in replies if reply["accepted"] == 0)
    for reply in replies:
        if reply["accepted"]:
            run = system.client.finished_run(str(reply["run_id"]), SECONDS)
            assert (run["scored"], run["failed"]) == (60, 0)
    system.assert_all_lived()


def test_leads_with_the_most_other_columns(system: System) -> None:
    """What comes with leads and goes back with their results has bounds too: long cells and many cells."""
    long_cells = {"bio": LONGEST, "titles": ["Notes"], "cells": [LONGEST]}
    many_cells = {"bio": "", "titles": [f"T{number}" for number in range(990)], "cells": ["x"] * 990}
    offer_ids = [system.client.create_offer() for _ in range(4)]

    def upload(number: int) -> str:
        kind = (long_cells, many_cells)[number % 2]
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([*COLUMNS, *kind["titles"]])
        for row in range(ROWS):
            writer.writerow([f"Name {row}", "CTO", "Acme", "SaaS", "Berlin", kind["bio"], *kind["cells"]])
        report = patiently(lambda: system.client.upload(text.getvalue(), offer_ids[number]))
        assert report["inserted"] == ROWS
        answer = system.client.post_score("respond-async", upload_id=report["upload_id"])
        return str(answer.raise_for_status().json()["run_id"])

    with ThreadPoolExecutor(FILES) as pool:
        runs = list(pool.map(upload, range(4)))
        for run in pool.map(lambda run: system.client.finished_run(run, SECONDS), runs):
            assert (run["scored"], run["failed"]) == (ROWS, 0)
        pages = [{"run_id": run, "limit": "1000"} for run in runs * 2]
        assert all(pool.map(lambda query: system.client.http.get("/results", params=query).json(), pages))
        exports = [{"run_id": runs[number % 4], "format": kind} for number, kind in enumerate(KINDS)]
        files = pool.map(lambda query: system.client.http.get("/results/export", params=query), exports)
        assert all(file.raise_for_status().content for file in files)
    system.assert_all_lived()


def test_prospects_that_an_older_version_took(system: System) -> None:
    """What was stored when a lead might have two million characters is scored as well."""
    offer_id = system.client.create_offer()
    upload_id = str(system.client.upload(file_of("Opens new markets.", 40), offer_id)["upload_id"])
    with MongoClient[dict[str, object]](system.servers.store_url) as mongo:
        prospects = mongo.get_default_database()["prospects"]
        prospects.update_many(
            {"upload_id": upload_id}, {"$set": {"role": LONGEST * 15, "company": "🙂" * 250_000}}
        )
    answer = system.client.post_score("respond-async", upload_id=upload_id).raise_for_status()
    run = system.client.finished_run(answer.json()["run_id"], SECONDS)
    assert (run["scored"], run["failed"]) == (40, 0)
    system.assert_all_lived()


async def submitted(broker_url: str, bodies: list[bytes]) -> list[dict[str, Any]]:
    """Publish submissions and return the answers to them."""
    connection = await aio_pika.connect(broker_url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange(LEADLINE.exchange)
        queue = await channel.declare_queue(exclusive=True)
        answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            answers.put_nowait(json.loads(message.body))

        await queue.consume(take, no_ack=True)
        for body in bodies:
            message = aio_pika.Message(body, message_id=new_id(), reply_to=queue.name)
            await exchange.publish(message, "leads.submitted.v1")
        async with asyncio.timeout(SECONDS):
            return [await answers.get() for _ in bodies]
