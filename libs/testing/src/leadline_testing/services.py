"""Leadline's processes, started as they run in production and broken as they break there."""

import contextlib
import http.client
import os
import secrets
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from leadline_testing.fork_server import Start, Started
from leadline_testing.running_server import LOOPBACK, ServerFailed, free_port

SERVICES = ("ingest", "rules", "ai", "results")
_START_SECONDS = 60.0
_DRAIN_SECONDS = 30.0


class ServiceProcess:
    """One process of Leadline; address, settings and log file stay the same over a restart.

    Its log goes to the end of the file `log`, or to standard error where there is none. `launcher` are the
    words before its command. It is a copy of the fork server, unless it has a launcher or is to be `fresh`: a
    new interpreter, which loads for a second and a half.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        port: int,
        settings: Mapping[str, str] | None = None,
        log: Path | None = None,
        launcher: Sequence[str] = (),
        fresh: bool = False,
    ) -> None:
        self.name = name
        self.address = f"http://{LOOPBACK}:{port}"
        self._port = port
        self._command = list(command)
        self._launcher = launcher
        self._fresh = fresh or bool(launcher)
        self._environment = {**os.environ, **(settings or {})}
        self._log = log
        self.process = self._spawn()

    def await_ready(self) -> None:
        """Return once the process is ready for work. Raises ServerFailed where it ends or takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerFailed(f"{self.name} ended with exit code {self.process.returncode}")
            if self._is_ready():
                return
            time.sleep(0.05)
        raise ServerFailed(f"{self.name} was not ready within {_START_SECONDS:g} seconds")

    def kill(self) -> None:
        """End the process as a crash does."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start the process anew, killing it first where it still runs; it is not awaited."""
        self.kill()
        self.process = self._spawn()

    def stop(self) -> int:
        """End the process as an orchestrator does, SIGTERM and then SIGKILL; return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.wait()

    def _spawn(self) -> Started:
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(self._log.open("ab")) if self._log else None
            start = Start(self._command, self._environment, errors=log)
            return start.fresh(self._launcher) if self._fresh else start.forked()

    def _is_ready(self) -> bool:
        # Not by a client that reads all certificates of the machine first: it is asked very often.
        connection = http.client.HTTPConnection(LOOPBACK, self._port, timeout=5)
        try:
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


@contextlib.contextmanager
def four_services(
    broker_url: str,
    store_url: str,
    settings: Mapping[str, str] | None = None,
    log: Path | None = None,
    launchers: Mapping[str, Sequence[str]] | None = None,
    *,
    fresh: bool = False,
) -> Iterator[dict[str, ServiceProcess]]:
    """Start the four services on free ports; yield them by name once all are ready; stop them in order.

    They also take requests without a token, unless the `settings`, further variables of their environment,
    say otherwise. `launchers` are the words before a service's command, `fresh` is as for ServiceProcess.
    Raises ServerFailed where one does not start.
    """
    with contextlib.ExitStack() as stack:
        services = {}
        secret = secrets.token_urlsafe(48)
        for name in SERVICES:
            port = free_port()
            addresses = {
                "LEADLINE_BROKER_URL": broker_url,
                "LEADLINE_STORE_URL": store_url,
                "LEADLINE_PORT": str(port),
                "LEADLINE_AUTH": "open",
                "LEADLINE_JWT_SECRET": secret,
            }
            service = ServiceProcess(
                name,
                [f"leadline_{name}"],
                port=port,
                settings={**addresses, **(settings or {})},
                log=log,
                launcher=(launchers or {}).get(name, ()),
                fresh=fresh,
            )
            stack.callback(service.stop)
            services[name] = service
        for service in services.values():
            service.await_ready()
        yield services


@contextlib.contextmanager
def standalone(
    data_dir: Path,
    settings: Mapping[str, str] | None = None,
    log: Path | None = None,
    *,
    fresh: bool = False,
) -> Iterator[ServiceProcess]:
    """Start `leadline serve` on a free port; yield it once it is ready; stop it. Raises ServerFailed.

    `fresh` is as for ServiceProcess.
    """
    port = free_port()
    command = ["leadline_standalone", "serve", "--port", str(port), "--data-dir", str(data_dir)]
    service = ServiceProcess("leadline serve", command, port=port, settings=settings, log=log, fresh=fresh)
    try:
        service.await_ready()
        yield service
    finally:
        service.stop()
