"""A message that was answered with 202 comes to its end, once, whatever is killed between its steps."""

import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest
from anyio.from_thread import BlockingPortal
from tests.conftest import FreshServers
from tests.support import Client, answer_step, asking, behind_gateway, connected, events_of

from leadline_testing.model_behaviour import Behaviour
from leadline_testing.model_server import ModelServer
from leadline_testing.services import ServiceProcess, standalone

pytestmark = pytest.mark.slow

SENDERS = 5
STEPS = ("classify", "extract", "route")
ORDERLY = [("accepted", None), *[(event, step) for step in STEPS for event in ("started", "completed")]]
"""The history of a workflow whose every cause came through: nothing had to wait for a timeout."""


@pytest.fixture
def provider(portal: BlockingPortal) -> Iterator[ModelServer]:
    """A model that takes its time, so that at any moment there are messages at every step."""
    slow = Behaviour(latency=0.25)
    with portal.wrap_async_context_manager(ModelServer(answer=answer_step, default=slow)) as server:
        yield server


def test_a_kill_of_the_one_process_loses_no_message(provider: ModelServer, tmp_path: Path) -> None:
    """However often `leadline serve` dies, it takes each message up at the step where it was."""
    with (
        standalone(tmp_path / "data", asking(provider), tmp_path / "log") as process,
        connected(process.address) as client,
    ):
        sent = send_while(client, lambda: kill_in_turn(client, [process] * 3))
        check_all_ended_once(client, sent)


@pytest.mark.servers
def test_a_kill_of_any_service_loses_no_message(
    provider: ModelServer, portal: BlockingPortal, fresh_servers: FreshServers, tmp_path: Path
) -> None:
    """Whichever service dies between two steps, what it had in hand is taken up again where it was."""
    with (
        fresh_servers() as urls,
        behind_gateway(portal, *urls, tmp_path / "log", asking(provider)) as (leadline, processes),
    ):
        turns = [processes[name] for name in ("ai", "results", "rules", "ingest", "results", "ai")]
        sent = send_while(leadline.client, lambda: kill_in_turn(leadline.client, turns))
        check_all_ended_once(leadline.client, sent)
    assert "task_died" not in (tmp_path / "log").read_text(encoding="utf-8")


def send_while(client: Client, break_things: Callable[[], None]) -> dict[str, str]:
    """Send messages for as long as things break; return the workflows' ids by external id."""
    over = Event()
    with ThreadPoolExecutor(SENDERS) as pool:
        senders = [pool.submit(send_until, over, client, number) for number in range(SENDERS)]
        try:
            break_things()
        finally:
            over.set()
    return {name: workflow_id for sender in senders for name, workflow_id in sender.result().items()}


def send_until(over: Event, client: Client, sender: int) -> dict[str, str]:
    """Send one or two messages a second."""
    draw = random.Random(sender)
    sent: dict[str, str] = {}
    while not over.wait(draw.uniform(0.2, 1.0)):
        name = f"sender {sender}, message {len(sent)}"
        sent[name] = send(client, name)
    return sent


def send(client: Client, name: str) -> str:
    """Send a message again and again until it is accepted, as a webhook does; return its workflow's id."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            answer = client.post_message(f"Can you clean our windows? {name}", external_message_id=name)
            if answer.status_code == 202:
                return str(answer.json()["id"])
        time.sleep(0.1)
    raise AssertionError(f"{name} was not accepted in time")


def kill_in_turn(client: Client, processes: list[ServiceProcess]) -> None:
    """Kill each at some moment at which messages are under way; the next one once that works again."""
    draw = random.Random(4)
    for process in processes:
        time.sleep(draw.uniform(0.3, 1.2))
        # Not `client.workflows`, which checks the count that is told: it changes meanwhile.
        while not client.http.get("/leads", params={"status": "processing"}).raise_for_status().json():
            time.sleep(0.05)
        process.restart()
        process.await_ready()


def check_all_ended_once(client: Client, sent: dict[str, str]) -> None:
    """Fail unless each message has one workflow, which took each step in order and without a timeout."""
    workflows = [client.ended_workflow(workflow_id) for workflow_id in sent.values()]
    assert [workflow["external_message_id"] for workflow in workflows] == list(sent)
    assert sorted(workflow["id"] for workflow in client.workflows()) == sorted(sent.values())
    assert Counter(workflow["status"] for workflow in workflows) == {"completed": len(sent)}
    for workflow in workflows:
        assert events_of(workflow) == ORDERLY
        times = [entry["at"] for entry in workflow["history"]]
        assert times == sorted(times)
