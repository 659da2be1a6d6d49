"""The life of a process, with real signals: how it starts, stops, dies, and with which exit code."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

SERVICE = """
import asyncio, contextlib, threading, time
from leadline_common.telemetry.logs import configure_logging
from leadline_common.process.main import run_main, run_until_told
from leadline_common.process.service import Service, running

def say(text):
    print(text, flush=True)

async def rest():
    try:
        await asyncio.sleep(600)
    finally:
        say("loop ended")

async def serve(stop, *loops):
    configure_logging("things")
    async with running([Service("things", loops=loops)], 5) as health:
        asyncio.get_running_loop().call_later(0, say, "ready")
        await stop.until_told(health)
        say((await health.ready()).checks["process"])
"""


@contextmanager
def process(script: str) -> Iterator[subprocess.Popen[str]]:
    """Run the script; it is gone afterwards."""
    command = [sys.executable, "-c", SERVICE + script]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running_process:
        try:
            yield running_process
        finally:
            running_process.kill()


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


def ended(told: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    """Wait for the end; return exit code, output, and the events of the log with lines that are none."""
    out, err = told.communicate(timeout=60)
    said = [json.loads(text)["event"] if text.startswith("{") else text for text in err.splitlines()]
    return told.returncode, out, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_in_order(number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C make it unready, end its loops, and it exits with 0 and no traceback."""
    with process("run_until_told(lambda stop: serve(stop, rest))") as told:
        assert line(told.stdout) == "ready"
        told.send_signal(number)
        assert ended(told) == (0, "is stopping\nloop ended\n", ["stopping"])


def test_a_signal_that_does_not_interrupt_the_wait_is_heeded() -> None:
    """Where a signal finds the event loop just about to wait, or another thread, the loop is woken by it."""
    script = """
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
run_until_told(lambda stop: serve(stop, rest))
"""
    with process("import signal" + script) as told:
        assert line(told.stdout) == "ready"
        told.terminate()
        assert ended(told) == (0, "is stopping\nloop ended\n", ["stopping"])


def test_further_signals_change_nothing() -> None:
    """Who is told again while stopping still finishes in order, down to the last moment."""
    script = """
async def slow():
    try:
        await asyncio.sleep(600)
    finally:
        say("ending")
        await asyncio.sleep(0.5)
        say("ended")

run_until_told(lambda stop: serve(stop, slow))
"""
    with process(script) as told:
        assert line(told.stdout) == "ready"
        told.terminate()
        assert line(told.stdout) == "is stopping"
        assert line(told.stdout) == "ending"
        while told.poll() is None:
            told.send_signal(signal.SIGTERM)
            told.send_signal(signal.SIGINT)
        assert ended(told) == (0, "ended\n", ["stopping"])


def test_a_start_that_is_stopped_closes_what_it_opened() -> None:
    """A signal before it is ready gives the start up, with exit code 0; a second one does not disturb."""
    script = """
async def connecting(stop):
    configure_logging("things")
    try:
        say("connecting")
        await asyncio.sleep(600)
    finally:
        say("closing")
        await asyncio.sleep(0.5)
        say("closed")

run_until_told(connecting)
"""
    with process(script) as told:
        assert line(told.stdout) == "connecting"
        told.terminate()
        assert line(told.stdout) == "closing"
        told.terminate()
        assert ended(told) == (0, "closed\n", ["stopped_while_starting"])


def test_a_start_that_loses_its_cancellation_stops_when_it_is_over() -> None:
    """Where a library swallows the cancellation, the service becomes ready only to stop at once."""
    script = """
async def deaf(stop):
    with contextlib.suppress(asyncio.CancelledError):
        say("connecting")
        await asyncio.sleep(600)
    await serve(stop, rest)

run_until_told(deaf)
"""
    with process(script) as told:
        assert line(told.stdout) == "connecting"
        told.terminate()
        code, out, said = ended(told)
    assert (code, said) == (0, ["stopping"])
    assert "is stopping" in out


def test_a_signal_while_it_loads_is_heeded() -> None:
    """Before there is anything to close the process just ends, with exit code 0."""
    script = """
from leadline_common.process.signals import end_when_told
end_when_told()
say("loading")
time.sleep(600)
"""
    with process(script) as told:
        assert line(told.stdout) == "loading"
        told.terminate()
        assert ended(told) == (0, "", [])


def test_an_entry_point_loads_next_to_nothing() -> None:
    """What takes long to load is loaded after signals are heeded."""
    heavy = "{'asyncio', 'pydantic', 'structlog'}"
    script = f"import sys, leadline_common.process.command; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_loop_that_dies_ends_the_process() -> None:
    """The other loops end in order, and exit code 1 comes with one line that names loop and reason."""
    script = """
async def frail():
    await asyncio.sleep(0.1)
    raise KeyError("bug")

run_until_told(lambda stop: serve(stop, rest, frail))
"""
    with process(script) as dying:
        code, out, said = ended(dying)
    assert (code, out) == (1, "ready\nis stopping\nloop ended\n")
    assert said == [
        "task_died",
        "stopping",
        "leadline: the background task 'things: frail' died of KeyError: 'bug'",
    ]


def test_what_will_not_end_does_not_keep_the_process() -> None:
    """Neither a task that refuses to be cancelled nor a thread that waits holds up the end."""
    script = """
async def stubborn():
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(600)

threading.Thread(target=time.sleep, args=(600,)).start()
run_until_told(lambda stop: serve(stop, stubborn))
"""
    with process(script) as told:
        assert line(told.stdout) == "ready"
        told.terminate()
        assert ended(told) == (0, "is stopping\n", ["stopping", "task_not_ended", "end_forced"])


def test_a_command_that_is_stopped_has_not_done_its_work() -> None:
    """What runs to its own end and not until told says so with 130, for SIGTERM too."""
    script = """
async def migrate():
    configure_logging("things")
    say("migrating")
    await asyncio.sleep(600)

run_main(migrate)
"""
    with process(script) as told:
        assert line(told.stdout) == "migrating"
        told.terminate()
        assert ended(told) == (130, "", ["interrupted"])
