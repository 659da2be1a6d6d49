"""A service's own process: what every one of them does around the parts that its composition root names."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Protocol, TypeVar

from leadline_common.process.health_server import serving_health
from leadline_common.process.main import Stop
from leadline_common.process.service import Health, Service, running
from leadline_common.process.settings import ServiceSettings, load_settings
from leadline_common.telemetry.logs import configure_logging
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_common.telemetry.tracing import recorded


class Closeable(Protocol):
    """A broker, a store, or a client of another server."""

    async def close(self) -> None:
        """Close its connections or files."""


Part = TypeVar("Part", bound=Closeable)
SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


class Parts(AsyncExitStack):
    """What a process has opened; leaving the stack closes it in reverse order."""

    def keep(self, part: Part) -> Part:
        """Close the part when the stack is left; return it."""
        self.push_async_callback(part.close)
        return part


Api = Callable[[Health], AbstractAsyncContextManager[object]]
"""Serves HTTP, health and metrics among it, for as long as it is entered."""


@dataclass(frozen=True, slots=True)
class Composition:
    """What a process runs over its open parts. Without an API it serves health and metrics alone."""

    services: Sequence[Service]
    api: Api | None = None


Compose = Callable[[Parts, SettingsT, Metrics], Awaitable[Composition]]
"""Opens the broker and the stores, which `Parts.keep` takes, and builds the services over them.

Raises SettingsError, and Unavailable where a server cannot be reached.
"""


async def serve(stop: Stop, name: str, kind: type[SettingsT], compose: Compose[SettingsT]) -> None:
    """Run a service from its settings until it is told to stop, or a part of it dies.

    Then it is unready, open requests are answered, consumers drain, loops end, and the parts are closed.
    Raises SettingsError, and Unavailable where a server cannot be reached at the start; TaskDied after the
    ordinary stop, where a consumer, a loop or the HTTP server ended by itself.
    """
    settings = load_settings(kind)
    configure_logging(name, settings.log_level)
    metrics = Metrics(new_registry(name, settings.revision))
    async with Parts() as parts:
        parts.enter_context(recorded(settings.otel_service_name or name, settings.otlp_endpoint))
        composition = await compose(parts, settings, metrics)
        health = await parts.enter_async_context(running(composition.services, settings.drain_seconds))
        if composition.api is None:
            parts.enter_context(serving_health(health, metrics.registry, settings.host, settings.port))
        else:
            await parts.enter_async_context(composition.api(health))
        await stop.until_told(health)
