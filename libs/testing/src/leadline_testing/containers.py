"""Servers from a Docker engine, through testcontainers; its reaper ends what a killed test run leaves."""

import gc
import time
import warnings
from collections.abc import Callable, Mapping, Sequence

from docker.errors import DockerException  # type: ignore[import-untyped]
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient

from leadline_testing.processes import BOOT_SECONDS
from leadline_testing.running_server import LOOPBACK, RunningServer, ServerFailed


class ContainerServer(RunningServer):
    """A server in a container of ours; `stop` removes it with its data."""

    def __init__(self, url: str, how: str, container: DockerContainer) -> None:
        super().__init__(url, how)
        self._container: DockerContainer | None = container

    def stop(self) -> None:
        """Remove the container."""
        if self._container is not None:
            self._container.stop()
            self._container = None


def engine_answers() -> bool:
    """Say whether a Docker engine answers whose containers we reach over loopback."""
    with warnings.catch_warnings():
        # A refused docker-py leaves its socket to the garbage collector, whose warning hits a later test.
        warnings.simplefilter("ignore", ResourceWarning)
        local = _engine_host() in {"localhost", LOOPBACK}
        gc.collect()
    return local


def _engine_host() -> str | None:
    try:
        client = DockerClient(timeout=3)
        client.client.ping()
    except (DockerException, OSError):
        return None
    return client.host()


def start_container(
    image: str,
    *,
    url: str,
    ports: Mapping[int, int],
    ready: Callable[[], bool],
    command: Sequence[str] = (),
) -> ContainerServer:
    """Run `image` with its `ports` (inside: outside) on loopback and wait for `ready`.

    Raises ServerFailed where that takes longer than BOOT_SECONDS.
    """
    container = DockerContainer(image)
    if command:
        container.with_command(list(command))
    for inside, outside in ports.items():
        # with_bind_ports would publish on every interface; the engine takes (host, port) as well.
        container.ports[f"{inside}/tcp"] = (LOOPBACK, outside)  # type: ignore[assignment]
    container.start()
    server = ContainerServer(url, f"container of {image}", container)
    try:
        deadline = time.monotonic() + BOOT_SECONDS
        while not ready():
            if time.monotonic() > deadline:
                raise ServerFailed(f"{server.how} did not come up in {BOOT_SECONDS:.0f} s")
            time.sleep(0.2)
    except BaseException:
        server.stop()
        raise
    return server
