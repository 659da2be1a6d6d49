"""Standard error that cannot be written: who logs notices nothing, and logging goes on when it can."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

WRITERS = """
import logging, sys, warnings
import structlog
from rich.console import Console
from leadline_common.telemetry.logs import configure_logging

configure_logging("things")

def write_all(number):
    structlog.get_logger().warning("ours", number=number)
    logging.getLogger("library").warning("theirs")
    sys.stderr.write("plain\\n")
    sys.stderr.flush()
    print("printed", file=sys.stderr, flush=True)
    Console(stderr=True).print("rich")

"""
BROKEN = WRITERS + "{breaking}\nwrite_all(1)\nwrite_all(2)\nprint('went on')\n"


@contextmanager
def full_device() -> Iterator[int]:
    with Path("/dev/full").open("wb") as device:
        yield device.fileno()


@contextmanager
def closed_pipe() -> Iterator[int]:
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@contextmanager
def sound() -> Iterator[int]:
    with Path(os.devnull).open("wb") as device:
        yield device.fileno()


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("sink", "breaking"),
    [
        (full_device, ""),
        (closed_pipe, ""),
        (sound, "import os; os.close(2)"),
        (sound, "sys.__stderr__.close()"),
    ],
    ids=["full disk", "nobody reads", "closed descriptor", "closed file"],
)
def test_whoever_logs_goes_on(
    sink: Callable[[], AbstractContextManager[int]], breaking: str, unbuffered: str
) -> None:
    """No event, library's line, print or console raises where it cannot be written; the exit code is 0."""
    script = BROKEN.format(breaking=breaking)
    with sink() as stderr:
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, b"went on\n")


def test_a_process_without_standard_error_works() -> None:
    """Started with the descriptor closed, it logs nowhere, and nothing else is written there instead."""
    script = BROKEN.format(breaking="")
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "shell", sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, b"went on\n")


def test_what_was_lost_is_counted_when_there_is_room_again(tmp_path: Path) -> None:
    """A line that was cut off is ended, one line tells how many were lost, and logging goes on."""
    log = tmp_path / "log"
    script = WRITERS + (
        "import resource\n"
        "for number in range(3): structlog.get_logger().warning('ours', number=number, text=400 * 'x')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        "structlog.get_logger().warning('ours', number=3)\n"
    )
    with log.open("wb") as stderr:
        subprocess.run(
            [sys.executable, "-c", script],
            stderr=stderr,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (700, 1_000_000)),
            timeout=60,
            check=True,
        )
    first, cut_off, told, last = log.read_text().splitlines()
    assert json.loads(first)["number"] == 0
    assert len(first) + 1 + len(cut_off) == 700
    assert json.loads(told).items() >= {"event": "log_lines_lost", "lines": 2, "level": "warning"}.items()
    assert json.loads(last)["number"] == 3
