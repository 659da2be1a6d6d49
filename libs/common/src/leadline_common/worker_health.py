"""Health and metrics over HTTP for a process that serves nothing else, without a web framework."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from leadline_common.errors import SettingsError
from leadline_common.service import Health

log = structlog.get_logger()


@contextlib.contextmanager
def serving_health(health: Health, registry: CollectorRegistry, host: str, port: int) -> Iterator[str]:
    """Serve /health, /health/live, /health/ready and /metrics; yield the address, port 0 being resolved.

    Raises SettingsError where the address cannot be listened on.
    """
    loop = asyncio.get_running_loop()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._answer(200, CONTENT_TYPE_LATEST, generate_latest(registry))
            elif self.path == "/health/live":
                alive = health.alive()
                self._json(200 if alive else 503, {"status": "ok" if alive else "stalled"})
            elif self.path in {"/health", "/health/ready"}:
                checks = asyncio.run_coroutine_threadsafe(health.ready(), loop).result(5)
                fine = all(answer == "ok" for answer in checks.values())
                self._json(200 if fine else 503, {"status": "ok" if fine else "unready", "checks": checks})
            else:
                self._json(404, {"status": "there is only /health, /health/live, /health/ready and /metrics"})

        def log_message(self, *_: object) -> None:
            """Probes come every few seconds and are not worth a line."""

        def _json(self, status: int, body: object) -> None:
            self._answer(status, "application/json", json.dumps(body).encode())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    try:
        server = ThreadingHTTPServer((host, port), Answers)
    except OSError as error:
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port"
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    address = f"http://{host}:{server.server_address[1]}"
    log.info("serving", address=address)
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
