"""A TCP proxy that fails on demand, for tests of outages."""

import asyncio
from types import TracebackType
from typing import Self

from leadline_testing.running_server import LOOPBACK

_READ_BYTES = 65_536


class TcpProxy:
    """`async with TcpProxy("127.0.0.1", 5672) as proxy:` forwards `proxy.port` to the target.

    MongoDB drivers ask a replica set for its members and then go round the proxy: connect through it with
    `directConnection=true` and no `replicaSet`.
    """

    def __init__(self, target_host: str, target_port: int) -> None:
        self.host = LOOPBACK
        self.port = 0
        self._target = (target_host, target_port)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.refuse()
        await self.cut()

    async def cut(self) -> None:
        """Drop every open connection with what it still held; new ones are taken as before."""
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    async def refuse(self) -> None:
        """Refuse new connections; open ones live on, until `cut`."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def stall(self) -> None:
        """Hold back every byte in both directions while connections stay open, until `accept`."""
        self._flowing.clear()

    async def accept(self) -> None:
        """Take new connections, on the port as before, and let held bytes flow."""
        self._flowing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._forward, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has a task
        self._connections.add(task)
        ends = [writer]
        try:
            target_reader, target_writer = await asyncio.open_connection(*self._target)
            ends.append(target_writer)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._pump(reader, target_writer))
                directions.create_task(self._pump(target_reader, writer))
        except* (OSError, asyncio.CancelledError):
            for end in ends:
                end.transport.abort()
        finally:
            self._connections.discard(task)
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one direction, its end included; an error on either side ends both."""
        while data := await reader.read(_READ_BYTES):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        writer.write_eof()
