"""A fork server: starts Leadline's commands as copies of one process that has loaded them already.

A command spends a second and a half on loading its libraries. A copy has them, and is otherwise a process as
any other: its own arguments, environment, files and signals, its own end. What a process does while it loads
is tested on a new one. Needs Linux; elsewhere every process is a new one.
"""

import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, Union

PRELOADED = (
    "leadline_ingest.app",
    "leadline_rules.app",
    "leadline_ai.app",
    "leadline_results.app",
    "leadline_ai.providers.anthropic",
    "leadline_standalone.cli",
)
_REQUEST_BYTES = 1 << 18
_NUMBER = struct.Struct("i")


Started = Union[subprocess.Popen[bytes], "ForkedProcess"]


class ForkedProcess:
    """A command that was started, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, command: Sequence[str], keeper: socket.socket) -> None:
        self._command = list(command)
        self._keeper = keeper
        self.pid = self._told()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        try:
            return self._ended(0)
        except BlockingIOError:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code once it has ended. Raises subprocess.TimeoutExpired after so many seconds."""
        try:
            return self._ended(timeout)
        except TimeoutError:
            raise subprocess.TimeoutExpired(self._command, timeout or 0) from None

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, seconds: float | None) -> int:
        if self.returncode is None:
            self._keeper.settimeout(seconds)
            self.returncode = self._told()
            self._keeper.close()
        return self.returncode

    def _told(self) -> int:
        data = self._keeper.recv(_NUMBER.size)
        if not data:
            raise RuntimeError(f"nobody knows how {self._command} ended: its fork server was killed")
        number: int = _NUMBER.unpack(data)[0]
        return number


@dataclass(frozen=True, slots=True)
class Start:
    """What to start: `python -m COMMAND` in a folder, its streams ours where none are given."""

    command: list[str]
    environment: Mapping[str, str]
    folder: Path | None = None
    output: IO[bytes] | None = None
    errors: IO[bytes] | None = None
    new_session: bool = False

    @property
    def streams(self) -> tuple[int, int]:
        """The descriptors for standard output and standard error."""
        return self.output.fileno() if self.output else 1, self.errors.fileno() if self.errors else 2

    def forked(self) -> Started:
        """Start it as a copy of the fork server, where there can be one."""
        return _fork_server().start(self) if sys.platform == "linux" else self.fresh()

    def fresh(self, launcher: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Start it as a new interpreter, the launcher's words before its command."""
        return subprocess.Popen(  # noqa: S603
            [*launcher, sys.executable, "-m", *self.command],
            env=dict(self.environment),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=self.errors,
            start_new_session=self.new_session,
        )


class ForkServer:
    """A process with the modules loaded, of which each command gets a copy; it ends with who started it."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "leadline_testing.fork_server", str(theirs.fileno()), *modules]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: S603

    def start(self, start: Start) -> ForkedProcess:
        """Start the command; its input is empty."""
        request = {
            "command": start.command,
            "environment": dict(start.environment),
            "folder": str(start.folder or Path.cwd()),
            "new_session": start.new_session,
        }
        ours, keeper = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with keeper, Path(os.devnull).open("rb") as nothing:
            streams = (nothing.fileno(), *start.streams)
            socket.send_fds(self._control, [json.dumps(request).encode()], [*streams, keeper.fileno()])
        return ForkedProcess(start.command, ours)


@functools.cache
def _fork_server() -> ForkServer:
    """This process' own, started when it is first needed."""
    return ForkServer(PRELOADED)


def main() -> None:
    """Load the modules, then fork for every request, until who sends them is gone."""
    control = socket.socket(fileno=int(sys.argv[1]))
    for module in sys.argv[2:]:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, _REQUEST_BYTES, 4)
        if not data:
            return
        if os.fork() == 0:
            control.close()
            _become(json.loads(data), *_kept(descriptors))
            return
        for descriptor in descriptors:
            os.close(descriptor)


def _kept(descriptors: Sequence[int]) -> list[int]:
    """Fork once more: the child returns with its streams, its parent tells its pid and exit code and ends."""
    *streams, report = descriptors
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        for stream in streams:
            os.close(stream)
        _keep(pid, report)
    os.close(report)
    return streams


def _keep(pid: int, report: int) -> NoReturn:
    os.write(report, _NUMBER.pack(pid))
    _, status = os.waitpid(pid, 0)
    try:
        os.write(report, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
    finally:
        os._exit(0)


def _become(request: Mapping[str, Any], *streams: int) -> None:
    """Turn this process into the command, and run it."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(  # type: ignore[misc]  # noqa: SIM115
        2, "w", closefd=False, errors="backslashreplace", buffering=1
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]  # as of `python -m`
    tempfile.tempdir = None
    if request["new_session"]:
        os.setsid()
    module, *arguments = request["command"]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
