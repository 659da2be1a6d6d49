"""A server that tests may use, wherever it came from."""

import random
import socket
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_TRIES = 100


class ServersMissing(Exception):
    """No server is configured and none can be started here; the message says how to get one."""


class ServerFailed(Exception):
    """A server was found but did not come up; the message carries the end of its log."""


@dataclass
class RunningServer:
    """An answering server at `url`; `how` says in a few words where it came from.

    This base is a server somebody else runs, so `stop` leaves it alone.
    """

    url: str
    how: str

    def stop(self) -> None:
        """End the server if it was started for us; safe to call twice."""


def port_answers(port: int) -> bool:
    """Say whether something on this machine accepts connections on `port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def free_port(offsets: tuple[int, ...] = (0,)) -> int:
    """Find a port that is free, together with every `port + offset`.

    The ports lie below the ranges that Linux (32768) and macOS (49152) hand out to outgoing connections:
    a client that keeps retrying a stopped server from those ranges can otherwise take the server's port,
    or connect to itself.
    """
    for _ in range(_TRIES):
        port = random.randrange(10_000, 22_000)
        if not any(port_answers(port + offset) for offset in offsets):
            return port
    raise ServerFailed(f"no free port with offsets {offsets} in {_TRIES} tries between 10000 and 22000")


def remembered_port(folder: Path, offsets: tuple[int, ...] = (0,)) -> int:
    """Return the port kept in `folder`, or keep a free one there, so that kept data keeps its address."""
    memory = folder / "port"
    if not memory.exists():
        folder.mkdir(parents=True, exist_ok=True)
        memory.write_text(str(free_port(offsets)))
    return int(memory.read_text())
