"""The HTTP server of an application, beside other work in one event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Generator, Sequence
from typing import cast

import structlog
import uvicorn
from litestar.types import ASGIApp, ControllerRouterHandler
from uvicorn._types import ASGIApplication

from leadline_common.http.api import build_app
from leadline_common.http.auth import Authentication, Tokens
from leadline_common.http.openapi import whole_document
from leadline_common.idempotency.store import IdempotencyStore
from leadline_common.process.listening import address_of, listen
from leadline_common.process.service import Health
from leadline_common.process.settings import ApiSettings
from leadline_common.process.tasks import end_tasks, start_task
from leadline_common.telemetry.metrics import Metrics

_CLOSE_SECONDS = 5.0
"""Time to close the connections of requests that were cut off."""

log = structlog.get_logger()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the process, which stops more than this server."""
        yield


@contextlib.asynccontextmanager
async def serving(
    app: ASGIApp, host: str, port: int, drain_seconds: float, health: Health | None = None
) -> AsyncIterator[str]:
    """Serve the application; yield its address, port 0 being resolved. On leaving, finish open requests.

    Those that take longer than `drain_seconds` are cut off. Where there is a health, it watches the server.
    Raises SettingsError where the address cannot be listened on.
    """
    listener = listen(host, port)
    listener.setblocking(False)
    config = uvicorn.Config(
        cast(ASGIApplication, app),
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,  # by default X-Forwarded-For of any sender on loopback is believed
        timeout_graceful_shutdown=max(1, int(drain_seconds)),
    )
    server = _Server(config)
    task = start_task(server.serve(sockets=[listener]), "http server")
    if health is not None:
        health.watch([task])
    address = address_of(listener, host)
    try:
        log.info("serving", address=address)
        yield address
    finally:
        server.should_exit = True
        await asyncio.wait([task], timeout=drain_seconds + _CLOSE_SECONDS)
        await end_tasks([task])


def serving_api(
    title: str,
    routes: Sequence[ControllerRouterHandler],
    health: Health,
    metrics: Metrics,
    settings: ApiSettings,
    *,
    idempotency: IdempotencyStore,
) -> contextlib.AbstractAsyncContextManager[str]:
    """Serve a service's part of the API where and to whom its settings say, as `serving` does.

    The store keeps the answers to requests with an Idempotency-Key.
    """
    authentication = Authentication(Tokens(settings.jwt_secret), open_to_all=settings.auth == "open")
    app = build_app(
        title,
        routes,
        health,
        metrics,
        authentication,
        document=whole_document(),
        cors_origins=settings.cors_origins,
        idempotency=idempotency,
    )
    return serving(app, settings.host, settings.port, settings.drain_seconds, health)
