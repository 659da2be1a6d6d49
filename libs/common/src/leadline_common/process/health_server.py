"""Health and metrics over HTTP for a process that serves nothing else, without a web framework."""

import asyncio
import contextlib
import json
from collections.abc import Callable, Coroutine, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from leadline_common import __version__
from leadline_common.process.listening import address_of, listen
from leadline_common.process.service import Health
from leadline_common.process.tasks import start_task
from leadline_contracts.errors import code_of, type_of

_ANSWER_SECONDS = 5.0
"""Time the event loop has to answer a probe."""

log = structlog.get_logger()

Answer = tuple[int, str, bytes]
"""Status, content type and body."""
Question = Callable[[Health], Coroutine[Any, Any, Answer]]


@contextlib.contextmanager
def serving_health(health: Health, registry: CollectorRegistry, host: str, port: int) -> Iterator[str]:
    """Serve /health, /health/live, /health/ready and /metrics; yield the address, port 0 being resolved.

    Raises SettingsError where the address cannot be listened on.
    """
    listener = listen(host, port)
    server = ThreadingHTTPServer((host, port), _answers(health, registry), bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.daemon_threads = True
    thread = asyncio.get_running_loop().run_in_executor(None, server.serve_forever, 0.05)
    health.watch([start_task(_end_of(thread), "health server")])
    address = address_of(listener, host)
    log.info("serving", address=address)
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()


async def _end_of(thread: asyncio.Future[None]) -> None:
    await thread


def _answers(health: Health, registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    """Return the request handler. It works in threads, and what it tells of health it asks the event loop."""
    loop = asyncio.get_running_loop()

    def ask(question: Question) -> Answer:
        asked = asyncio.run_coroutine_threadsafe(question(health), loop)
        try:
            return asked.result(_ANSWER_SECONDS)
        except TimeoutError:
            asked.cancel()
            return _json(503, {"status": "stalled"})

    pages: dict[str, Callable[[], Answer]] = {
        "/health": lambda: ask(_ready),
        "/health/ready": lambda: ask(_ready),
        "/health/live": lambda: ask(_live),
        "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
    }

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path.partition("?")[0])
            if page is None:
                self.send_error(404, f"There is {', '.join(pages)}.")
            else:
                self._answer(*page())

        def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
            """Write every refusal, the base class's own among them, as RFC 9457 problem details."""
            title = HTTPStatus(code).phrase
            kind = code_of(title)
            body = {
                "type": type_of(kind),
                "title": title,
                "status": code,
                "code": kind,
                "detail": message or title,
            }
            self._answer(code, "application/problem+json", json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds and are not worth a line."""

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

    return Answers


async def _live(health: Health) -> Answer:
    alive = health.alive()
    return _json(200 if alive else 503, {"status": "ok" if alive else "stalled"})


async def _ready(health: Health) -> Answer:
    fine, checks = await health.ready()
    return _json(
        200 if fine else 503,
        {"status": "ok" if fine else "unready", "version": __version__, "checks": checks},
    )


def _json(status: int, body: object) -> Answer:
    return status, "application/json", json.dumps(body).encode()
