"""Nothing that was answered with 2xx is lost or done twice, whatever is killed or cut, and whenever."""

import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from tests.conftest import FreshServers, Servers
from tests.support import OFFLINE, Client, Leadline, behind_gateway, connected, make_csv, numbered

from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_contracts.topology import DELIVERY_LIMIT, LEADLINE, RULES
from leadline_testing.processes import PrivateServer
from leadline_testing.running_server import RunningServer
from leadline_testing.services import ServiceProcess, standalone
from leadline_testing.tcp_proxy import TcpProxy

pytestmark = pytest.mark.slow

KILLS = 4
KILLS_IN_HAND = DELIVERY_LIMIT + 2
HOLD_SECONDS = 0.1
"""For a process to see what it holds: one that is killed before it can, ten times, sets no suspect aside."""
QUEUED = 6_000
FILES = (40, 2_100)
"""Rows of the files, in turn: one that is done in a moment, and one that takes several claims."""
ROWS = 4_000
CUT_SECONDS = 3.0


class Run(NamedTuple):
    """A run that was accepted: its upload, and its id."""

    upload_id: str
    run_id: str


class System(NamedTuple):
    """The four services with a proxy before their broker."""

    leadline: Leadline
    processes: dict[str, ServiceProcess]
    proxy: TcpProxy

    @property
    def client(self) -> Client:
        """Its REST calls."""
        return self.leadline.client


@pytest.fixture(scope="module")
def system(
    portal: BlockingPortal, fresh_servers: FreshServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Services that reach their broker through a proxy."""
    log = tmp_path_factory.mktemp("outages") / "log"
    with fresh_servers() as urls:
        broker = urlsplit(urls.broker_url)
        proxy = TcpProxy(str(broker.hostname), broker.port or 5672)
        with portal.wrap_async_context_manager(proxy):
            place = f"{broker.username}:{broker.password}@{proxy.host}:{proxy.port}"
            proxied = Servers(broker._replace(netloc=place).geturl(), urls.store_url)
            with behind_gateway(portal, *proxied, log) as (leadline, processes):
                yield System(leadline, processes, proxy)


@pytest.fixture(scope="module")
def accepted(system: System, portal: BlockingPortal, rabbitmq_server: RunningServer) -> dict[str, Run]:
    """A run for each failure, which struck while it was under way. None of them is awaited.

    What a dead publisher held is taken up when its lease ends. All of them wait for that together, and
    meanwhile the tests of `leadline serve` run.
    """
    runs = {"cut": start_run(system.client, "Cut")}
    runs["asked while cut"] = cut_the_broker_off(system, portal)
    runs["killed"] = start_run(system.client, "Killed")
    kill_each(system)
    runs["restarted"] = start_run(system.client, "Restarted")
    await_published(system.client, runs["restarted"])
    if isinstance(rabbitmq_server, PrivateServer):
        rabbitmq_server.restart()
    return runs


def test_kills_with_messages_in_hand_dead_letter_nothing(tmp_path: Path) -> None:
    """Ten and more kills, each right after messages were taken, leave it to the next start to finish all."""
    data = tmp_path / "data"
    with standalone(data, OFFLINE) as leadline, connected(leadline.address) as client:
        run = start_run(client, "Held", QUEUED)
        await_published(client, run)
        deaths = -1.0
        for _ in range(KILLS_IN_HAND):
            deaths = await_taken(data / "broker.db", deaths)
            leadline.restart()
        leadline.await_ready()
        ended = client.finished_run(run.run_id, 240)
    assert (ended["scored"], ended["failed"]) == (QUEUED, 0)
    assert ask(data / "broker.db", "SELECT count(*) FROM messages WHERE queue LIKE '%.dead'") == (0,)


@pytest.mark.servers
def test_kills_of_a_service_with_messages_in_hand_dead_letter_nothing(
    portal: BlockingPortal, fresh_servers: FreshServers, tmp_path: Path
) -> None:
    """The same over RabbitMQ, whose own count of deliveries would have moved what rules held."""
    with (
        fresh_servers() as urls,
        # Started as in production: one that is up at once may be killed ten times with a suspect alone.
        behind_gateway(portal, *urls, tmp_path / "log", fresh=True) as (leadline, processes),
    ):
        broker = portal.call(RabbitBroker.connect, urls.broker_url)
        rules = processes["rules"]
        rules.kill()
        run = start_run(leadline.client, "Held", QUEUED)
        await_published(leadline.client, run)
        for _ in range(KILLS_IN_HAND):
            waiting = portal.call(broker.depth, RULES.name)
            rules.restart()
            while portal.call(broker.depth, RULES.name) >= waiting:
                time.sleep(0.001)
            time.sleep(HOLD_SECONDS)
            rules.kill()
        rules.restart()
        ended = leadline.client.finished_run(run.run_id, 240)
        dead = [portal.call(broker.depth, queue.dead) for queue in LEADLINE.queues]
        portal.call(broker.close)
    assert (ended["scored"], ended["failed"]) == (QUEUED, 0)
    assert not any(dead)


class Load:
    """A caller that uploads and scores without pause, and remembers what was answered with 2xx."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.names: list[str] = []
        self.runs: list[str] = []
        self.files: list[list[str]] = []

    def until_gone(self) -> None:
        """Go on until the server is gone."""
        try:
            while True:
                names = numbered(f"File {len(self.files)} row", FILES[len(self.files) % 2])
                self.files.append(names)
                self._client.upload(make_csv(names))
                self.names += names
                answer = self._client.post_score(prefer="respond-async").raise_for_status()
                self.runs.append(answer.json()["run_id"])
        except httpx.TransportError:
            return


@pytest.mark.servers
def test_services_recover_by_themselves(system: System, accepted: dict[str, Run]) -> None:
    """When what failed is back, every service is ready again without being started anew."""
    assert accepted
    for process in system.processes.values():
        process.await_ready()


def test_a_kill_at_any_moment_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """After several kills every accepted prospect is scored exactly once, and every accepted run ends."""
    draw = random.Random(20)
    with standalone(tmp_path / "data", OFFLINE) as leadline, connected(leadline.address) as client:
        offer_id = client.create_offer()
        load = Load(client)
        with ThreadPoolExecutor(1) as pool:
            for _ in range(KILLS):
                loading = pool.submit(load.until_gone)
                time.sleep(draw.uniform(0.2, 2.5))
                leadline.kill()
                loading.result()
                leadline.restart()
                leadline.await_ready()
        load.runs.append(client.score()["run_id"])
        for run_id in load.runs:
            client.finished_run(run_id)
        results = client.results(offer_id=offer_id)
        runs = {*load.runs, *(result["run_id"] for result in results)}
        scorings = Counter(r["lead_id"] for run_id in runs for r in client.results(run_id=run_id))
    names = Counter(result["name"] for result in results)
    assert len(load.runs) > KILLS
    assert set(load.names) <= set(names)
    assert set(names.values()) == {1}
    assert {result["status"] for result in results} == {"scored"}
    assert set(scorings.values()) == {1}
    for file in load.files:
        assert len(set(file) & set(names)) in {0, len(file)}, "part of a file was scored"


def test_an_upload_cut_short_by_a_kill_is_never_scored(tmp_path: Path) -> None:
    """Rows of a file whose end never came count for nothing, also after a restart."""
    with standalone(tmp_path / "data", OFFLINE) as leadline, connected(leadline.address) as client:
        client.create_offer()
        try:
            client.http.post(
                "/leads/upload",
                content=half_of_a_form(leadline),
                headers={"Content-Type": "multipart/form-data; boundary=limit"},
            )
        except httpx.TransportError:
            leadline.restart()
        leadline.await_ready()
        assert client.post_score().json()["title"] == "No prospects"
        client.upload(make_csv(["Whole"]))
        assert client.score()["queued"] == 1
        assert [result["name"] for result in client.results()] == ["Whole"]


@pytest.mark.servers
def test_a_run_is_cancelled_though_ingest_is_killed_before_it_says_so(
    system: System, portal: BlockingPortal
) -> None:
    """Answered with 202 while the broker is away, and killed then, ingest tells of it after its restart."""
    run = start_run(system.client, "Cancelled")
    await_published(system.client, run)
    portal.call(system.proxy.refuse)
    portal.call(system.proxy.cut)
    answer = system.client.http.post(f"/runs/{run.run_id}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelling")
    system.processes["ai"].kill()  # or all might be scored before ingest is back
    system.processes["ingest"].restart()
    assert system.client.http.get(f"/runs/{run.run_id}").json()["status"] == "running"
    portal.call(system.proxy.accept)
    await_cancelled(system.client, run)
    system.processes["ai"].restart()
    ended = system.client.ended_run(run.run_id, 120)
    assert (ended["status"], ended["failed"]) == ("cancelled", 0)
    assert ended["scored"] < ended["total"] == ROWS
    system.processes["ingest"].await_ready()
    assert system.client.score(upload_id=run.upload_id)["queued"] == ROWS - ended["scored"]
    assert len(system.client.results(upload_id=run.upload_id)) == ROWS


@pytest.mark.servers
@pytest.mark.parametrize("failure", ["cut", "asked while cut", "killed", "restarted"])
def test_every_accepted_prospect_is_scored_once(
    system: System, accepted: dict[str, Run], failure: str
) -> None:
    """A service that dies and a broker that goes away delay a run, and neither lose nor repeat a prospect."""
    run = system.client.finished_run(accepted[failure].run_id)
    assert (run["total"], run["scored"], run["failed"]) == (ROWS, ROWS, 0)
    results = system.client.results(upload_id=accepted[failure].upload_id)
    assert len(Counter(result["name"] for result in results)) == len(results) == ROWS
    assert {(result["status"], result["run_id"]) for result in results} == {("scored", run["run_id"])}


@pytest.mark.servers
def test_nothing_is_left_open(system: System, accepted: dict[str, Run]) -> None:
    """After the failures no claim is stuck, asking again finds nothing to do; and no loop has died."""
    for run in accepted.values():
        assert system.client.score(upload_id=run.upload_id)["queued"] == 0
    assert "task_died" not in system.leadline.log.read_text(encoding="utf-8")


def half_of_a_form(leadline: ServiceProcess) -> Iterator[bytes]:
    """Send several thousand rows slowly enough to be stored, and then kill the receiver."""
    yield b'--limit\r\nContent-Disposition: form-data; name="file"; filename="leads.csv"\r\n\r\n'
    for number in range(5):
        rows = make_csv(numbered(f"Half {number}", 1_000))
        yield (rows if number == 0 else rows.partition("\r\n")[2]).encode()
        time.sleep(0.1)
    leadline.kill()
    while True:
        yield b"Late,CTO,Late Inc,SaaS,Berlin,Bio\r\n"


def await_taken(journal: Path, deaths: float) -> float:
    """Wait until a process has messages in hand that was started after so many deaths; return how many now.

    Each held message counts its own.
    """
    deadline = time.monotonic() + 60
    while True:
        held, now = ask(journal, "SELECT total(held), total(crashes) FROM messages")
        if held and now != deaths:
            return now
        assert time.monotonic() < deadline, "no message was taken in time"
        time.sleep(0.002)


def ask(journal: Path, query: str) -> tuple[float, ...]:
    """Read one row beside the process that writes."""
    connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=30)
    try:
        row: tuple[float, ...] = connection.execute(query).fetchone()
        return row
    finally:
        connection.close()


def start_run(client: Client, name: str, rows: int = ROWS) -> Run:
    """Upload prospects and have them scored, without waiting."""
    offer_id = client.create_offer()
    upload_id = client.upload(make_csv(numbered(name, rows)), offer_id)["upload_id"]
    # Not for the upload by name: its total would be known before all of it is queued.
    answer = client.post_score(prefer="respond-async", offer_id=offer_id).raise_for_status()
    return Run(upload_id, answer.json()["run_id"])


def await_published(client: Client, run: Run) -> None:
    """Wait until all of a run is in the broker."""
    deadline = time.monotonic() + 30
    while client.http.get(f"/runs/{run.run_id}").json().get("total") is None:
        assert time.monotonic() < deadline, "the run was not published in time"
        time.sleep(0.02)


def await_cancelled(client: Client, run: Run) -> None:
    """Wait until a run shows that it was cancelled."""
    deadline = time.monotonic() + 60
    while client.http.get(f"/runs/{run.run_id}").json()["status"] != "cancelled":
        assert time.monotonic() < deadline, "the run was not cancelled in time"
        time.sleep(0.05)


def kill_each(system: System) -> None:
    """Kill each service at some moment of the run and start it again at once."""
    draw = random.Random(7)
    for name in ("rules", "ingest", "ai", "results"):
        time.sleep(draw.uniform(0.05, 0.3))
        system.processes[name].restart()
    for process in system.processes.values():
        process.await_ready()


def cut_the_broker_off(system: System, portal: BlockingPortal) -> Run:
    """Cut every connection to the broker for some seconds, and ask for one more run meanwhile."""
    portal.call(system.proxy.refuse)
    portal.call(system.proxy.cut)
    run = start_run(system.client, "Asked")
    for name, process in system.processes.items():
        ready = httpx.get(f"{process.address}/health/ready", timeout=10, trust_env=False)
        # Uploads and results need no broker, so a gateway must go on sending requests.
        assert ready.status_code == (200 if name in {"ingest", "results"} else 503)
        assert not ready.json()["checks"]["broker"].startswith("ok")
        assert httpx.get(f"{process.address}/health/live", timeout=10, trust_env=False).status_code == 200
    time.sleep(CUT_SECONDS)
    portal.call(system.proxy.accept)
    return run
