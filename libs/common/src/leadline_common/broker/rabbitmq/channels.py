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
    """Raise Unavailable in place of the client's error, and Permanent where a message reached no queue.

    Who is cancelled within gets CancelledError, whatever the client made of it: its own tasks, which get the
    cancellation first, may return all the same or end with the error of a channel that is being closed.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0

    def is_cancelled() -> bool:
        return task is not None and task.cancelling() > before

    try:
        yield
    except (Exception, asyncio.CancelledError) as error:
        if is_cancelled():
            raise asyncio.CancelledError from error
        ours = _as_ours(error)
        if ours is None:
            raise
        raise ours from error
    if is_cancelled():
        raise asyncio.CancelledError


def _as_ours(error: BaseException) -> Permanent | Unavailable | None:
    """Return what Leadline calls the client's error; None for what is none of its."""
    match error:
        case PublishError():
            return Permanent("no queue takes this message; was the topology changed?")
        case DeliveryError():
            return Unavailable("RabbitMQ refused to store a message")
        case TimeoutError():
            return Unavailable("RabbitMQ did not answer in time")
    if isinstance(error, CONNECTION_EXCEPTIONS):
        return Unavailable(f"RabbitMQ: {type(error).__name__}: {error}")
    # With these the client ends what waits on a connection that it closes, or that broke for no known reason.
    if isinstance(error, asyncio.CancelledError) or type(error) is Exception:
        return Unavailable("the connection to RabbitMQ was lost")
    return None


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
        async with asyncio.timeout(seconds):
            channel = await open_channel(connection, confirms=False)
            try:
                yield channel
            finally:
                # Shielded: where closing is cut off, the client closes a second time, and the server answers
                # that with the end of the whole connection.
                await asyncio.shield(asyncio.ensure_future(channel.close()))
