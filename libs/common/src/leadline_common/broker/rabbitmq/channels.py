"""Channels of one connection, and the client's errors told as Leadline's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from aio_pika import Channel
from aio_pika.abc import AbstractRobustConnection
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, DeliveryError, PublishError

from leadline_contracts.errors import Permanent, Unavailable

TIMEOUT = 10.0
"""Seconds the server has to answer anything but a ping."""


@contextmanager
def reaching_rabbitmq() -> Iterator[None]:
    """Raise Unavailable in place of the client's error, and Permanent where a message reached no queue."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # The client cancels what waits on a connection that it closes; nobody cancelled this task.
        raise Unavailable("the connection to RabbitMQ was closed") from error
    except PublishError as error:
        raise Permanent("no queue takes this message; was the topology changed?") from error
    except DeliveryError as error:
        raise Unavailable("RabbitMQ refused to store a message") from error
    except TimeoutError as error:
        raise Unavailable("RabbitMQ did not answer in time") from error
    except CONNECTION_EXCEPTIONS as error:
        raise Unavailable(f"RabbitMQ: {type(error).__name__}: {error}") from error
    except Exception as error:
        # aiormq's FutureStore ends what waits on a connection that broke for no known reason with a bare one.
        if type(error) is not Exception:
            raise
        raise Unavailable("the connection to RabbitMQ was lost") from error


async def open_channel(connection: AbstractRobustConnection, *, confirms: bool) -> Channel:
    """Open a channel, once there is a connection.

    A plain one: what the client would restore behind our back after an outage could not be told from what
    was there before, so whoever uses a channel opens the next one.
    """
    if connection.is_closed:
        raise Unavailable("the broker is closed")
    await connection.ready()
    channel = Channel(connection, publisher_confirms=confirms, on_return_raises=confirms)
    await channel.initialize()
    return channel


@asynccontextmanager
async def short_channel(connection: AbstractRobustConnection, seconds: float) -> AsyncIterator[Channel]:
    """Open a channel for one question, which the server has `seconds` to answer."""
    with reaching_rabbitmq():
        async with asyncio.timeout(seconds), await open_channel(connection, confirms=False) as channel:
            yield channel
