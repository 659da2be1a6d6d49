"""The proxy forwards faithfully and fails exactly as told."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from leadline_testing.tcp_proxy import TcpProxy

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes in, until the other side is done."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        return
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    """A proxy in front of an echo server."""
    target = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = target.sockets[0].getsockname()
    async with target, TcpProxy(host, port) as running:
        yield running


async def connect(proxy: TcpProxy) -> Connection:
    """Connect through the proxy."""
    return await asyncio.open_connection(proxy.host, proxy.port)


async def say(connection: Connection, text: bytes) -> bytes:
    """Send `text` and wait at most 2 s for as many bytes; none where the connection is gone."""
    reader, writer = connection
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.readexactly(len(text)), 60)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def test_bytes_pass_unchanged_both_ways(proxy: TcpProxy) -> None:
    """A megabyte comes back as it went, and a half-closed connection still delivers the rest."""
    reader, writer = await connect(proxy)
    sent = bytes(range(256)) * 4096
    writer.write(sent)
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(-1), 60) == sent
    writer.close()


async def test_cut_ends_open_connections_only(proxy: TcpProxy) -> None:
    """After a cut the old connection is gone and a new one works."""
    old = await connect(proxy)
    assert await say(old, b"before") == b"before"
    await proxy.cut()
    assert await say(old, b"after") == b""
    new = await connect(proxy)
    assert await say(new, b"again") == b"again"
    new[1].close()
    old[1].close()


async def test_refuse_spares_open_connections_until_accept(proxy: TcpProxy) -> None:
    """Refusing turns new connections away on the same port on which accepting takes them again."""
    old = await connect(proxy)
    port = proxy.port
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await connect(proxy)
    assert await say(old, b"still") == b"still"
    await proxy.accept()
    new = await connect(proxy)
    assert (await say(new, b"back"), proxy.port) == (b"back", port)
    new[1].close()
    old[1].close()


async def test_stall_holds_bytes_back_without_losing_them(proxy: TcpProxy) -> None:
    """A stalled connection stays open and silent, and delivers everything once it flows again."""
    connection = await connect(proxy)
    proxy.stall()
    reader, writer = connection
    writer.write(b"held")
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.2)
    await proxy.accept()
    assert await asyncio.wait_for(reader.readexactly(4), 60) == b"held"
    writer.close()


async def test_a_dead_target_closes_the_connection() -> None:
    """Where nothing listens behind the proxy the client is dropped, not left waiting."""
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    server.close()
    async with TcpProxy(host, port) as proxy:
        reader, writer = await connect(proxy)
        assert await asyncio.wait_for(reader.read(1), 60) == b""
        writer.close()
