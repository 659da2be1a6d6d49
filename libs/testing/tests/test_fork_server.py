"""What a copy of the fork server has of its own: everything but the time to load."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from leadline_testing.fork_server import Start, Started

TOLD = """
import json, os, sys
print(json.dumps([__name__, sys.argv[1:], os.environ["NAME"], os.getcwd(), sys.stdin.read()]))
print("oh", file=sys.stderr)
sys.exit(7)
"""
SLOW = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
print("ready", flush=True)
time.sleep(600)
"""


class Program(NamedTuple):
    """A module that can be started, and where its streams go."""

    start: Start
    out: Path
    err: Path


@pytest.fixture
def program(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    """The program that the test's parameter is the text of."""
    (tmp_path / "told.py").write_text(dedent(request.param), encoding="utf-8")
    environment = {**os.environ, "NAME": "Größe"}
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as output, err.open("wb") as errors:
        yield Program(Start(["told", "a", "b c"], environment, tmp_path, output, errors), out, err)


def await_line(path: Path) -> None:
    """Return once something was written to the file."""
    while not path.read_text(encoding="utf-8"):
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["forked", "fresh"])
@pytest.mark.parametrize("program", [TOLD], indirect=True, ids=["told"])
def test_a_copy_is_told_all_that_a_new_process_is(program: Program, kind: str, tmp_path: Path) -> None:
    """Arguments, environment, folder, streams and exit code are those of the command alone."""
    process: Started = getattr(program.start, kind)()
    assert process.wait(60) == process.poll() == 7
    told = f'["__main__", ["a", "b c"], "Gr\\u00f6\\u00dfe", "{tmp_path}", ""]\n'
    assert program.out.read_text(encoding="utf-8") == told
    assert program.err.read_text(encoding="utf-8") == "oh\n"


@pytest.mark.parametrize("program", [SLOW], indirect=True, ids=["slow"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 3), (signal.SIGKILL, -9), (signal.SIGINT, 1)])
def test_a_copy_gets_its_own_signals(program: Program, number: signal.Signals, code: int) -> None:
    """It is killed, or handles what it can by its own handlers; the next copy is not concerned."""
    one, other = program.start.forked(), program.start.forked()
    await_line(program.out)
    with pytest.raises(subprocess.TimeoutExpired):
        one.wait(0.01)
    assert one.poll() is None
    one.send_signal(number)
    assert one.wait(60) in (code, -number)
    assert other.poll() is None
    other.kill()
    assert other.wait(60) == -9
    other.kill()  # one that has ended


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize("program", [SLOW], indirect=True, ids=["slow"])
def test_a_copy_is_no_new_interpreter(program: Program) -> None:
    """It still shows the command line of the fork server, so it has loaded nothing anew."""
    one = program.start.forked()
    command = Path(f"/proc/{one.pid}/cmdline").read_text(encoding="utf-8")
    one.kill()
    one.wait(60)
    assert "leadline_testing.fork_server" in command
