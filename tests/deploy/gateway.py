"""The committed gateway on this machine's nginx, before two small servers that say what reached them."""

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import anyio.to_thread
import httpx
from anyio.from_thread import BlockingPortal
from litestar.types import Receive, Scope, Send

from leadline_common.http.server import serving
from leadline_testing.processes import PrivateServer
from leadline_testing.running_server import LOOPBACK, ServersMissing, free_port

GATEWAY = Path(__file__).parents[2] / "deploy" / "gateway"
EXPORT_PIECES = 64
"""More megabytes than the sockets on the way hold."""
_WAIT_SECONDS = 10.0
_MISSING = "no nginx: `apt-get install nginx-light`"


class Echo:
    """Answers each request with what came, as JSON.

    A POST sets `arrived` at the first piece of its body. A path ending in /events answers two events and
    waits for `go_on` between them; one ending in /export answers EXPORT_PIECES, counted in `exported`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrived = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()
        self.exported = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        size = await self._body_size(receive)
        if scope["path"].endswith("/events"):
            await self._send(send, "text/event-stream", b"data: first\n\n", more=True)
            await anyio.to_thread.run_sync(self.go_on.wait, _WAIT_SECONDS)
            await send({"type": "http.response.body", "body": b"data: second\n\n", "more_body": False})
            return
        if scope["path"].endswith("/export"):
            await self._export(send)
            return
        query = scope["query_string"].decode()
        told = {
            "service": self.name,
            "target": scope["raw_path"].decode() + (f"?{query}" if query else ""),
            "headers": [(name.decode(), value.decode()) for name, value in scope["headers"]],
            "connection": (scope["client"] or ("", 0))[1],
            "size": size,
        }
        await self._send(send, "application/json", json.dumps(told).encode(), more=False)

    async def _send(self, send: Send, kind: str, body: bytes, *, more: bool) -> None:
        headers = [(b"content-type", kind.encode()), (b"x-service", self.name.encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": more})

    async def _export(self, send: Send) -> None:
        await self._send(send, "application/octet-stream", b"", more=True)
        for self.exported in range(1, EXPORT_PIECES + 1):
            await send({"type": "http.response.body", "body": bytes(1 << 20), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _body_size(self, receive: Receive) -> int:
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                break
            more = message["more_body"]
            size += len(message["body"])
            if message["body"]:
                self.arrived.set()
        return size


@contextlib.contextmanager
def served(portal: BlockingPortal, service: Echo) -> Iterator[int]:
    """Serve it on a free port; yield the port."""
    port = free_port()
    with portal.wrap_async_context_manager(serving(service, LOOPBACK, port, 1)):
        yield port


class Gateway(PrivateServer):
    """A running nginx; `access_log` is what it wrote of each request, `health` its own health address."""

    def __init__(self, nginx: str, folder: Path, ports: Mapping[str, int]) -> None:
        port, health_port = free_port(), free_port()
        self.access_log = folder / "access.log"
        self.health = f"http://{LOOPBACK}:{health_port}/health"
        _write_configuration(
            folder,
            {
                "/tmp/": f"{folder}/",  # noqa: S108 - the container's own
                **{f"server {name}:": f"server {LOOPBACK}:{at}; # " for name, at in ports.items()},
                "listen 8080;": f"listen {LOOPBACK}:{port};",
                "listen 127.0.0.1:8081;": f"listen {LOOPBACK}:{health_port};",
                "/dev/stdout": str(self.access_log),
            },
        )
        user = " user root;" if os.geteuid() == 0 else ""  # else workers may not enter the folder
        super().__init__(
            url=f"http://{LOOPBACK}:{port}",
            how=f"nginx ({nginx})",
            port=port,
            command=[nginx, "-c", str(folder / "nginx.conf"), "-e", "stderr", "-g", f"daemon off;{user}"],
            environment={},
            log=folder / "nginx.log",
            ready=self._is_ready,
        )

    def _is_ready(self) -> bool:
        try:
            return httpx.get(self.health, trust_env=False).is_success
        except httpx.TransportError:
            return False


def start_gateway(folder: Path, ports: Mapping[str, int]) -> Gateway:
    """Start the gateway before services on these ports. Raises ServersMissing where there is no nginx."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        raise ServersMissing(_MISSING)
    return Gateway(nginx, folder, ports)


def _write_configuration(folder: Path, places: Mapping[str, str]) -> None:
    """Write the committed configuration with other places in it, and nothing else changed."""
    text = (GATEWAY / "nginx.conf").read_text()
    for place, here in places.items():
        assert place in text, place
        text = text.replace(place, here)
    (folder / "nginx.conf").write_text(text)
    shutil.copy(GATEWAY / "routes.conf", folder)
