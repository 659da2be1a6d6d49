"""Serving an application beside other work in one event loop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator
from typing import cast

import structlog
import uvicorn
from litestar.types import ASGIApp
from uvicorn._types import ASGIApplication

from leadline_common.errors import SettingsError

log = structlog.get_logger()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the process, which stops more than this server."""
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, host: str, port: int, drain_seconds: float) -> AsyncIterator[str]:
    """Serve the application; yield its address, port 0 being resolved. On leaving, finish open requests.

    Raises SettingsError where the address cannot be listened on.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        cast(ASGIApplication, app),
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=max(1, int(drain_seconds)),
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}"
    try:
        log.info("serving", address=address)
        yield address
    finally:
        server.should_exit = True
        await task


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen on {host}:{port}: {error.strerror}; choose another port"
        ) from None
    listener.listen(2048)
    listener.setblocking(False)
    return listener
