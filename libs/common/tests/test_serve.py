"""The process of a service, with real signals: what it opens, serves and closes, in which order."""

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from leadline_testing.running_server import free_port

PROGRAM = """
import asyncio
from contextlib import asynccontextmanager
from leadline_common.process.main import run_until_told
from leadline_common.process.serve import Composition, serve
from leadline_common.process.service import Service
from leadline_common.process.settings import ServiceSettings
from leadline_contracts.errors import Unavailable

def say(text):
    print(text, flush=True)

class Part:
    def __init__(self, name):
        self.name = name
    async def close(self):
        say(f"{self.name} closed")

async def rest():
    say("ready")
    try:
        await asyncio.sleep(600)
    finally:
        say("loop ended")

async def frail():
    await asyncio.sleep(0.1)
    raise KeyError("bug")

@asynccontextmanager
async def api(health):
    yield
    say(f"api closed, {(await health.ready()).checks['process']}")

async def compose(parts, settings, metrics):
    parts.keep(Part("store"))
    parts.keep(Part("broker"))
    return Composition([Service("things", loops=[LOOP])], API)

async def connecting(parts, settings, metrics):
    parts.keep(Part("store"))
    raise Unavailable("no broker at mq:5672")

run_until_told(lambda stop: serve(stop, "things", ServiceSettings, COMPOSE))
"""


@contextmanager
def process(
    compose: str = "compose", loop: str = "rest", api: str = "api", **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """Run the program; it is gone afterwards."""
    script = PROGRAM.replace("COMPOSE", compose).replace("LOOP", loop).replace("API", api)
    variables = {"LEADLINE_BROKER_URL": "amqp://mq/", **settings}
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def ended(told: subprocess.Popen[str]) -> tuple[int, list[str], list[str]]:
    """Wait for the end; return exit code, output, and the events of the log with lines that are none."""
    out, err = told.communicate(timeout=60)
    said = [json.loads(text)["event"] if text.startswith("{") else text for text in err.splitlines()]
    return told.returncode, out.splitlines(), said


def test_what_was_opened_is_closed_in_reverse() -> None:
    """Told to stop, a service is unready, then its API, its loops, its broker and its store end; exit 0."""
    with process() as told:
        assert told.stdout is not None
        assert told.stdout.readline() == "ready\n"
        told.send_signal(signal.SIGTERM)
        order = ["api closed, is stopping", "loop ended", "broker closed", "store closed"]
        assert ended(told) == (0, order, ["stopping"])


def test_a_loop_that_dies_closes_everything_too() -> None:
    """A programming error in a loop ends the process in the same order, with 1 and its reason."""
    with process(loop="frail") as dying:
        code, out, said = ended(dying)
    assert (code, out[-2:]) == (1, ["broker closed", "store closed"])
    assert said[-1] == "leadline: the background task 'things: frail' died of KeyError: 'bug'"


def test_a_start_that_fails_closes_what_it_opened() -> None:
    """A server that cannot be reached ends the start with 1 and one line, and leaves nothing open."""
    with process("connecting") as failing:
        assert ended(failing) == (1, ["store closed"], ["leadline: no broker at mq:5672"])


def test_a_wrong_setting_opens_nothing() -> None:
    """Exit code 2 and the line that names the variable come before any connection."""
    with process("connecting", LEADLINE_PORT="http") as failing:
        code, out, (said,) = ended(failing)
    assert (code, out) == (2, [])
    assert "LEADLINE_PORT" in said


def test_a_service_without_an_api_serves_its_health() -> None:
    """Whoever watches a worker asks it at its own port."""
    port = free_port()
    with process(api="None", LEADLINE_PORT=str(port)) as told:
        assert told.stderr is not None
        assert json.loads(told.stderr.readline())["event"] == "serving"
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready") as answer:
            assert json.load(answer)["status"] == "ok"
        told.terminate()
        assert ended(told)[:2] == (0, ["ready", "loop ended", "broker closed", "store closed"])
