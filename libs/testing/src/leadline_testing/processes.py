"""Private server processes: each in a session of its own, and gone when the process that started it is."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from leadline_testing.running_server import RunningServer, ServerFailed, port_answers

BOOT_SECONDS = 60.0
_DYING_SECONDS = 5.0
_POLL_SECONDS = 0.05

# Blocks on a pipe that only the starting process holds: the kernel closes it however that process ends.
_GUARD = 'read _; kill -s KILL -- "-$1"'


class PrivateServer(RunningServer):
    """A server run from a local binary, which tests may also break.

    `ready` is polled after every start until it says yes. Raises ServerFailed where the process ends or
    BOOT_SECONDS pass first. Port and data folder stay the same over a restart.
    """

    def __init__(
        self,
        *,
        url: str,
        how: str,
        port: int,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        ready: Callable[[], bool],
    ) -> None:
        super().__init__(url, how)
        self._port = port
        self._command = list(command)
        self._environment = {**os.environ, **environment}
        self._log = log
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._start()

    def stop(self) -> None:
        """End the server; like a crash, which what it confirmed survives (a node's own way out takes 6 s)."""
        self.kill()

    def kill(self) -> None:
        """End the server and everything it started as a crash would: no signal it could handle, no flush.

        A lone RabbitMQ node (seen with 3.10) loses the quorum queues declared in its last half second,
        so wait a second between declaring and killing.
        """
        if self._process is None or self._guard is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._guard.kill()
        self._guard.communicate()
        self._process = self._guard = None
        # The leader is reaped; the one of its children that listens may take a moment longer.
        deadline = time.monotonic() + _DYING_SECONDS
        while port_answers(self._port) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def restart(self) -> None:
        """Start again on the same port and data, killing the server first where it still runs."""
        self.kill()
        self._start()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers, until `resume`."""
        pid = self._signal(signal.SIGSTOP)
        # A process stops a moment after it is told to, time enough for one more answer.
        os.waitpid(pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> int:
        """Signal the whole process group and return its leader's pid."""
        if self._process is None:
            raise ServerFailed(f"{self.how} is not running: restart() it before it is signalled")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        return self._process.pid

    def _start(self) -> None:
        if port_answers(self._port):
            raise ServerFailed(f"port {self._port} is taken: is another server using {self._log.parent}?")
        with self._log.open("ab") as log:
            self._process = _spawn(self._command, stdin=subprocess.DEVNULL, output=log, env=self._environment)
        guard = ["/bin/sh", "-c", _GUARD, "guard", str(self._process.pid)]
        self._guard = _spawn(guard, stdin=subprocess.PIPE, output=subprocess.DEVNULL)
        try:
            self._wait_until_ready(self._process)
        except BaseException:
            self.kill()
            raise

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            if self._ready():
                return
            time.sleep(_POLL_SECONDS)
        end = self._log.read_text(errors="replace")[-2000:].strip()
        raise ServerFailed(f"{self.how} did not come up; the end of {self._log}:\n{end}")


def _spawn(
    command: Sequence[str], *, stdin: int, output: IO[bytes] | int, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `command` as the leader of a session of its own, out of reach of the terminal's Ctrl-C."""
    return subprocess.Popen(  # noqa: S603 - the commands are built here, from no one's input
        command, stdin=stdin, stdout=output, stderr=subprocess.STDOUT, env=env, start_new_session=True
    )
