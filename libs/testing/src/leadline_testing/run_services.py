"""`python -m leadline_testing.run_services`: the four services behind one address, over real servers."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from types import FrameType

import httpx

from leadline_common.http.server import serving
from leadline_contracts.errors import SettingsError
from leadline_testing.gateway import build_gateway
from leadline_testing.running_server import ServerFailed, ServersMissing
from leadline_testing.servers import BROKER_URL, both_servers
from leadline_testing.services import four_services


@contextlib.asynccontextmanager
async def gateway_before(addresses: Mapping[str, str], port: int) -> AsyncIterator[str]:
    """Serve the gateway on a loopback port (0: any); yield its address."""
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(timeout=None, limits=limits, trust_env=False) as client,  # noqa: S113 - waits are long
        serving(build_gateway(addresses, client), "127.0.0.1", port, 5) as address,
    ):
        yield address


def main() -> int:
    """Run until Ctrl-C or SIGTERM; 0 when stopped, 2 where the servers cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m leadline_testing.run_services", description="Run the four services over real servers."
    )
    parser.add_argument("--port", type=int, default=8000, help="port of the gateway (default 8000)")
    port: int = parser.parse_args().port
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        sys.stderr.write("Starting RabbitMQ and MongoDB ...\n")
        with both_servers() as (broker, store):
            sys.stderr.write(f"Using {broker.how} and {store.how}. Starting the four services ...\n")
            if BROKER_URL not in os.environ:  # a broker that was named may have a password in its address
                sys.stderr.write(f"{BROKER_URL}={broker.url}\n")
            with four_services(broker.url, store.url, fresh=True) as services:
                addresses = {name: service.address for name, service in services.items()}
                asyncio.run(_serve(addresses, port))
    except KeyboardInterrupt:
        return 0
    except (ServersMissing, ServerFailed, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


async def _serve(addresses: Mapping[str, str], port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with gateway_before(addresses, port) as address:
        for name, service in addresses.items():
            sys.stderr.write(f"  {name:8}{service}\n")
        sys.stderr.write(f"Leadline is at {address}. Ctrl-C stops it and everything started here.\n")
        await stop.wait()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
