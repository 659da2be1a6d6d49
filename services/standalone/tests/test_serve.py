"""`leadline serve` as a process: where it listens, whom it lets in, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from leadline_testing.services import ServiceProcess, standalone

from .conftest import EXAMPLES, Leadline


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[ServiceProcess]:
    """A running server whose data is in `data`."""
    with standalone(tmp_path / "data", {"LEADLINE_AI": "offline"}, tmp_path / "log") as process:
        yield process


def test_a_data_dir_has_one_user_and_keeps_its_data(
    serving: ServiceProcess, leadline: Leadline, tmp_path: Path
) -> None:
    """A second process is refused with the holder's name; after the first has ended, its data is there."""
    offer = httpx.post(f"{serving.address}/offer", json={"name": "Kept"}, trust_env=False).json()
    second = leadline("serve", "--port", "0", "--data-dir", "data")
    assert second.code == 2
    assert str(serving.process.pid) in second.err
    assert "--data-dir" in second.err
    scoring = leadline(
        *("score", EXAMPLES / "leads.csv", "--offer", EXAMPLES / "offer.json", "--data-dir", "data")
    )
    assert (scoring.code, str(serving.process.pid) in scoring.err) == (2, True)

    assert serving.stop() == 0
    serving.restart()
    serving.await_ready()
    files = {"file": (EXAMPLES / "leads.csv").read_bytes()}
    upload = httpx.post(f"{serving.address}/leads/upload/{offer['id']}", files=files, trust_env=False)
    assert upload.status_code == 201


def test_it_is_reached_from_this_machine_alone(leadline: Leadline) -> None:
    """Listening for others is refused with the reason, since whoever reaches it may read everything."""
    everybody = "0.0.0.0"  # noqa: S104 - that is what is refused
    ran = leadline("serve", "--host", everybody)
    assert ran.code == 2
    assert everybody in ran.err
    assert "127.0.0.1" in ran.err


def test_a_taken_port_is_one_line(leadline: Leadline) -> None:
    """Where somebody else listens the command says so and what to do, without a traceback."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = leadline("serve", "--port", str(port))
    assert ran.code == 2
    assert "Traceback" not in ran.err
    [line] = [line for line in ran.err.splitlines() if line.startswith("leadline: ")]
    assert f"cannot listen on 127.0.0.1:{port}" in line
    assert "choose another port" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_told_to_stop_it_finishes_what_it_has(
    serving: ServiceProcess, tmp_path: Path, number: signal.Signals
) -> None:
    """A stop in the middle of a run ends with code 0 and without an error, and the next start finishes it."""
    rows = "".join(f"Person {row},CTO,Company {row}\n" for row in range(2_000))
    with httpx.Client(base_url=serving.address, timeout=30, trust_env=False) as client:
        client.post("/offer", json={"name": "Any"}).raise_for_status()
        client.post("/leads/upload", files={"file": f"name,role,company\n{rows}"}).raise_for_status()
        accepted = client.post("/score", headers={"Prefer": "respond-async"})
        while client.get(accepted.headers["Location"]).is_error:
            pass  # until the first of it is under way
        serving.process.send_signal(number)
        assert serving.process.wait(120) == 0
        assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
        serving.restart()
        serving.await_ready()
        run = client.get(accepted.headers["Location"], params={"wait": 30}).raise_for_status().json()
    assert (run["status"], run["scored"], run["failed"]) == ("finished", 2_000, 0)


def test_the_command_explains_itself(leadline: Leadline) -> None:
    """The help of `leadline score` says how to score a file and what the exit codes mean."""
    assert "LEADS.csv" in (ran := leadline("score", "--help")).out
    assert "Exit code" in ran.out


def test_the_providers_sdk_is_loaded_by_those_who_use_it() -> None:
    """Whoever has no key does not wait for a library that takes longer to load than all else."""
    check = "import sys, leadline_standalone.cli; sys.exit('anthropic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def _nobody_reads(folder: Path) -> Path:
    """Return a pipe whose reader goes away when its writer has come."""
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    threading.Timer(0.5, os.close, [reader]).start()
    return pipe


@pytest.mark.parametrize("sink", [_nobody_reads, lambda _: Path("/dev/full")], ids=["pipe", "full disk"])
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, sink: Callable[[Path], Path]) -> None:
    """With standard error gone it starts, takes uploads, scores, lives on, and ends with code 0."""
    with (
        standalone(tmp_path / "data", {"LEADLINE_AI": "offline"}, sink(tmp_path)) as serving,
        httpx.Client(base_url=serving.address, timeout=90, trust_env=False) as client,
    ):
        assert client.post("/offer", json={"name": "Any"}).status_code == 201
        files = {"file": (EXAMPLES / "leads.csv").read_bytes()}
        assert client.post("/leads/upload", files=files).status_code == 201
        scored = client.post("/score", headers={"Prefer": "wait=60"})
        assert (scored.status_code, scored.json()["processed"]) == (200, 20)
        assert client.get("/no/such/page").status_code == 404
        assert client.get("/health/live").status_code == 200
        assert serving.stop() == 0
