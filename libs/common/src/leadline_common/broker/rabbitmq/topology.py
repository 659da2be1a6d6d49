"""The queue layout on RabbitMQ: declared by every process before it publishes, and safe to declare again."""

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, FieldValue

from leadline_contracts.topology import DELIVERY_LIMIT, RETRY_DELAYS, Queue, Topology

Arguments = dict[str, FieldValue]

_QUORUM: Arguments = {"x-queue-type": "quorum"}


async def declare(channel: AbstractChannel, topology: Topology) -> None:
    """Declare the exchange, all queues and their bindings."""
    exchange = await channel.declare_exchange(topology.exchange, ExchangeType.TOPIC, durable=True)
    for queue in topology.queues:
        # The queues that take a queue's dead letters come before it.
        await channel.declare_queue(queue.dead, durable=True, arguments=_QUORUM)
        await declare_suspects(channel, queue)
        work = await channel.declare_queue(queue.name, durable=True, arguments=_work(queue))
        for delay in RETRY_DELAYS:
            await channel.declare_queue(queue.retry(delay), durable=True, arguments=_retry(queue, delay))
        for kind in queue.types:
            await work.bind(exchange, routing_key=kind)


async def declare_suspects(channel: AbstractChannel, queue: Queue) -> None:
    """Declare the queue where the suspects of another wait."""
    await channel.declare_queue(queue.suspects, durable=True, arguments=_work(queue))


def _work(queue: Queue) -> Arguments:
    # RabbitMQ dead-letters when the returns exceed its limit: https://www.rabbitmq.com/docs/quorum-queues
    return {**_dead_lettering_to(queue.dead), "x-delivery-limit": DELIVERY_LIMIT - 1}


def _retry(queue: Queue, delay: int) -> Arguments:
    return {**_dead_lettering_to(queue.name), "x-message-ttl": delay * 1000}


def _dead_lettering_to(target: str) -> Arguments:
    """Arguments under which no message is lost on its way: at-least-once needs reject-publish."""
    return {
        **_QUORUM,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": target,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
