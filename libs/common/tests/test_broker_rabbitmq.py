"""What the RabbitMQ broker adds to the port: outages, refusals, and messages of other systems."""

import asyncio
import base64
import hashlib
import http.client
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractRobustChannel, FieldValue

from leadline_common.broker.port import Delivery, Message, Subscription
from leadline_common.broker.rabbitmq import broker as rabbitmq
from leadline_common.broker.rabbitmq import subscription as rabbitmq_consumer
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_common.broker.rabbitmq.channels import reaching_rabbitmq
from leadline_contracts.errors import Permanent, SettingsError, Unavailable
from leadline_contracts.scoring import LeadsSubmitted, ResultsScored
from leadline_contracts.topology import DELIVERY_LIMIT, LEADLINE, RULES, SUBMISSIONS, Queue, Topology
from leadline_testing.running_server import free_port
from leadline_testing.tcp_proxy import TcpProxy

pytest_plugins = ["leadline_testing.pytest_servers"]
pytestmark = pytest.mark.servers

FEW = Topology(LEADLINE.exchange, (SUBMISSIONS, RULES))
"""Enough to test by: RabbitMQ takes its time over each queue."""


@pytest.fixture
async def broker(rabbitmq_vhost_url: str) -> AsyncIterator[RabbitBroker]:
    broker = await RabbitBroker.connect(rabbitmq_vhost_url, FEW)
    yield broker
    await broker.close()


@pytest.fixture
async def channel(rabbitmq_vhost_url: str, broker: RabbitBroker) -> AsyncIterator[AbstractRobustChannel]:
    """Another system on the broker's virtual host."""
    async with await aio_pika.connect_robust(rabbitmq_vhost_url) as connection:
        yield await connection.channel()


@pytest.fixture
async def proxy(rabbitmq_vhost_url: str) -> AsyncIterator[TcpProxy]:
    server = urlsplit(rabbitmq_vhost_url)
    assert server.hostname is not None
    async with TcpProxy(server.hostname, server.port or 5672) as proxy:
        yield proxy


@pytest.fixture
async def distant(rabbitmq_vhost_url: str, proxy: TcpProxy) -> AsyncIterator[RabbitBroker]:
    """A broker behind the proxy."""
    broker = await RabbitBroker.connect(through(proxy, rabbitmq_vhost_url), FEW)
    yield broker
    await broker.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One second in place of ten until the server counts as silent."""
    monkeypatch.setattr(rabbitmq, "TIMEOUT", 1.0)
    monkeypatch.setattr(rabbitmq_consumer, "TIMEOUT", 1.0)


def through(proxy: TcpProxy, url: str) -> str:
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{login}@{proxy.host}:{proxy.port}").geturl()


def submitted(*names: str) -> list[Message]:
    return [Message(type=LeadsSubmitted.TYPE, id=name, body=name.encode()) for name in names]


async def receive(subscription: Subscription) -> Delivery:
    async with asyncio.timeout(60):
        return await subscription.receive()


async def receive_for_ever(subscription: Subscription) -> None:
    while True:
        await receive(subscription)


async def publish_again(broker: RabbitBroker, *names: str) -> None:
    """Publish as a caller does who holds on to the work while the broker is unavailable."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await broker.publish(submitted(*names))
            except Unavailable:
                await asyncio.sleep(0.1)


def publish_without_properties(url: str, body: str) -> None:
    """Publish through the management API: every AMQP client here adds properties of its own."""
    server = urlsplit(url)
    login = base64.b64encode(f"{server.username}:{server.password}".encode()).decode()
    connection = http.client.HTTPConnection(server.hostname or "", (server.port or 5672) + 10_000)
    connection.request(
        "POST",
        f"/api/exchanges{server.path}/{LEADLINE.exchange}/publish",
        json.dumps(
            {
                "properties": {},
                "routing_key": LeadsSubmitted.TYPE,
                "payload": body,
                "payload_encoding": "string",
            }
        ),
        {"Authorization": f"Basic {login}"},
    )
    answer = json.load(connection.getresponse())
    connection.close()
    assert answer == {"routed": True}


async def test_a_cut_ends_the_stream_and_loses_nothing(distant: RabbitBroker, proxy: TcpProxy) -> None:
    """After a cut receive says Unavailable; a new subscription gets all that was not acknowledged."""
    await distant.publish(submitted("acked", "held", "unseen"))
    subscription = await distant.subscribe(SUBMISSIONS, 3)
    await (await receive(subscription)).ack()
    held = await receive(subscription)
    await asyncio.sleep(0.1)  # the acknowledgement is on its way, not confirmed
    await proxy.cut()
    with pytest.raises(Unavailable):
        await receive_for_ever(subscription)
    await held.ack()
    await held.retry(1, "too late")
    await subscription.close()
    again = await distant.subscribe(SUBMISSIONS, 3)
    names = [(await receive(again)).message.id for _ in range(2)]
    assert sorted(names) == ["held", "unseen"]
    assert await distant.depth(SUBMISSIONS.retry(1)) == 0


async def test_publishing_in_an_outage_fails_in_time_and_works_afterwards(
    distant: RabbitBroker, proxy: TcpProxy, impatient: None
) -> None:
    """While the server cannot be reached publish raises Unavailable; then it works again by itself."""
    await proxy.refuse()
    await proxy.cut()
    async with asyncio.timeout(60):
        for _ in range(2):
            with pytest.raises(Unavailable):
                await distant.publish(submitted("lost"))
        with pytest.raises(Unavailable):
            await distant.ping()
    await proxy.accept()
    await publish_again(distant, "kept")
    assert (await receive(await distant.subscribe(SUBMISSIONS, 1))).message.id == "kept"


async def test_a_cut_in_the_middle_of_publishing_is_reported(distant: RabbitBroker, proxy: TcpProxy) -> None:
    """A publish whose confirms did not all come raises, and publishing again completes it."""
    names = [str(number) for number in range(2000)]
    publishing = asyncio.create_task(distant.publish(submitted(*names)))
    await asyncio.sleep(0.1)
    await proxy.cut()
    with pytest.raises(Unavailable):
        await publishing
    await publish_again(distant, *names)
    assert await distant.depth(SUBMISSIONS.name) >= len(names)


async def test_closing_in_the_middle_of_publishing_is_reported(
    distant: RabbitBroker, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A publish whose confirms the broker's own close gave up never looks like a success."""
    proxy.stall()
    publishing = asyncio.create_task(distant.publish(submitted("a", "b")))
    await asyncio.sleep(0.1)
    monkeypatch.setattr(rabbitmq, "TIMEOUT", 0.5)
    await distant.close()
    with pytest.raises(Unavailable):
        await publishing


async def test_a_silent_server_is_unavailable(
    distant: RabbitBroker, proxy: TcpProxy, impatient: None
) -> None:
    """A server that keeps the connection but answers nothing does not hold a caller for ever."""
    proxy.stall()
    async with asyncio.timeout(60):
        for call in (distant.publish(submitted("a")), distant.ping(), distant.depth(SUBMISSIONS.name)):
            with pytest.raises(Unavailable):
                await call
    await proxy.accept()
    await publish_again(distant, "a")


async def test_closing_does_not_wait_for_a_silent_server(
    distant: RabbitBroker, proxy: TcpProxy, impatient: None
) -> None:
    """A process that stops while its server is silent stops all the same, and nothing is lost."""
    await distant.publish(submitted("a", "b"))
    subscription = await distant.subscribe(SUBMISSIONS, 2)
    await receive(subscription)
    proxy.stall()
    async with asyncio.timeout(60):
        await subscription.close()
        await distant.close()


async def test_closing_does_not_break_off_the_look_for_suspects(
    rabbitmq_vhost_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The client ends a channel whose question was cancelled, and now and then waits for that in vain."""
    for number in range(10):
        broker = await RabbitBroker.connect(rabbitmq_vhost_url, FEW)
        for queue in (SUBMISSIONS, RULES):
            await broker.subscribe(queue, 1)
        await asyncio.sleep(number / 5_000)
        await broker.close()
    assert "cancelled" not in caplog.text


async def test_a_vanished_topology_is_declared_again(
    broker: RabbitBroker, channel: AbstractRobustChannel
) -> None:
    """After the server lost its exchange a publish fails once; the next finds all in place."""
    await channel.exchange_delete(LEADLINE.exchange)
    with pytest.raises(Unavailable):
        await broker.publish(submitted("a"))
    await broker.publish(submitted("b"))
    assert await broker.depth(SUBMISSIONS.name) == 1


async def test_a_deleted_queue_ends_its_stream(broker: RabbitBroker, channel: AbstractRobustChannel) -> None:
    """A consumer whose queue is deleted under it does not wait for ever."""
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    await channel.queue_delete(SUBMISSIONS.name)
    with pytest.raises(Unavailable):
        await receive(subscription)
    await subscription.close()


async def test_a_routed_type_that_reaches_no_queue_is_permanent(
    broker: RabbitBroker, channel: AbstractRobustChannel
) -> None:
    """A pipeline message that would be dropped is an error; a public event beside it is not."""
    queue = await channel.get_queue(SUBMISSIONS.name)
    await queue.unbind(LEADLINE.exchange, LeadsSubmitted.TYPE)
    with pytest.raises(Permanent):
        await broker.publish(submitted("a"))
    await broker.publish([Message(type=ResultsScored.TYPE, id="b", body=b"{}")])


async def test_what_never_reaches_our_code_is_dead_lettered_by_the_server(
    broker: RabbitBroker, rabbitmq_vhost_url: str
) -> None:
    """A message whose connection ends before it is read is moved by the server, and told as we tell ours."""
    await broker.publish(submitted("poison"))
    for _ in range(DELIVERY_LIMIT):
        async with await aio_pika.connect(rabbitmq_vhost_url) as connection:
            queue = await (await connection.channel()).get_queue(SUBMISSIONS.name)
            await queue.get()
    dead = (await receive(await broker.subscribe(Queue(SUBMISSIONS.dead, ()), 1))).message
    assert (dead.id, dead.body) == ("poison", b"poison")
    assert dead.headers == {
        "leadline-attempt": "1",
        "leadline-error": f"its consumer died {DELIVERY_LIMIT} times with it in hand",
        "leadline-queue": SUBMISSIONS.name,
    }
    assert await broker.depth(SUBMISSIONS.name) == 0


async def test_counts_of_another_system_make_no_suspect(
    broker: RabbitBroker, channel: AbstractRobustChannel
) -> None:
    """What a client copied from a message that it received says nothing about the one it publishes."""
    headers: dict[str, FieldValue] = {"x-delivery-count": 50, "leadline-crashes": "50"}
    exchange = await channel.get_exchange(LEADLINE.exchange)
    for name in ("a", "b"):
        await exchange.publish(aio_pika.Message(b"", message_id=name, headers=headers), LeadsSubmitted.TYPE)
    subscription = await broker.subscribe(SUBMISSIONS, 2)
    for name in ("a", "b"):
        delivery = await receive(subscription)
        assert (delivery.message.id, delivery.message.headers) == (name, {})


async def test_a_deleted_queue_of_suspects_is_declared_again(
    broker: RabbitBroker, channel: AbstractRobustChannel
) -> None:
    """Without it a subscription ends; the next one finds it in place, and nothing is lost."""
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    await channel.queue_delete(SUBMISSIONS.suspects)
    await broker.subscribe(RULES, 1)  # has all suspects looked for
    with pytest.raises(Unavailable):
        await receive(subscription)
    await broker.publish(submitted("a"))
    assert (await receive(await broker.subscribe(SUBMISSIONS, 1))).message.id == "a"
    assert await broker.depth(SUBMISSIONS.suspects) == 0


async def test_a_bare_message_of_another_system_is_read(
    broker: RabbitBroker, rabbitmq_vhost_url: str
) -> None:
    """Without properties the type is the routing key and the id a hash of the body, also after a retry."""
    await asyncio.to_thread(publish_without_properties, rabbitmq_vhost_url, "not even JSON")
    digest = hashlib.sha256(b"not even JSON").hexdigest()
    subscription = await broker.subscribe(SUBMISSIONS, 1)
    delivery = await receive(subscription)
    assert delivery.message == Message(type=LeadsSubmitted.TYPE, id=digest, body=b"not even JSON")
    await delivery.retry(1, "odd")
    again = (await receive(subscription)).message
    assert (again.type, again.id, again.body) == (LeadsSubmitted.TYPE, digest, b"not even JSON")


async def test_odd_headers_of_another_system_break_nothing(
    broker: RabbitBroker, channel: AbstractRobustChannel
) -> None:
    """Numbers, dates and bytes become text, tables and lists are left out, a senseless attempt is 1."""
    headers: dict[str, FieldValue] = {
        "number": 5,
        "flag": True,
        "rate": 0.5,
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "raw": bytearray(b"\xff\x00"),
        "table": {"a": [1]},
        "list": [1, "a"],
        "nothing": None,
        "x-death": "no list",
        "leadline-attempt": -3,
    }
    exchange = await channel.get_exchange(LEADLINE.exchange)
    await exchange.publish(aio_pika.Message(b"", headers=headers), LeadsSubmitted.TYPE)
    delivery = await receive(await broker.subscribe(SUBMISSIONS, 1))
    assert delivery.attempt == 1
    read = dict(delivery.message.headers)
    assert read.pop("raw").endswith("\x00")
    assert read.pop("leadline-attempt") == "-3"
    assert read == {"number": "5", "flag": "True", "rate": "0.5", "when": "2026-01-02T00:00:00+00:00"}


async def test_several_processes_declare_at_once(rabbitmq_vhost_url: str) -> None:
    """Services that start together on an empty server all come up, and so does one that comes later."""
    brokers = await asyncio.gather(*(RabbitBroker.connect(rabbitmq_vhost_url) for _ in range(4)))
    brokers.append(await RabbitBroker.connect(rabbitmq_vhost_url))
    for broker in brokers:
        await broker.ping()
        await broker.close()


async def test_a_refused_login_is_one_plain_line(rabbitmq_vhost_url: str) -> None:
    """A wrong password is told with the host, and never shown."""
    parts = urlsplit(rabbitmq_vhost_url)
    url = parts._replace(netloc=f"guest:open-sesame@{parts.hostname}:{parts.port}").geturl()
    with pytest.raises(Unavailable, match=f"no connection to RabbitMQ at {parts.hostname}") as caught:
        await RabbitBroker.connect(url)
    assert "\n" not in str(caught.value)
    assert "open-sesame" not in str(caught.value)


async def test_an_unreachable_server_is_one_plain_line() -> None:
    """Nobody at the address is told at once, with host and port."""
    port = free_port()
    with pytest.raises(Unavailable, match=f"no connection to RabbitMQ at 127.0.0.1:{port}") as caught:
        await RabbitBroker.connect(f"amqp://guest:open-sesame@127.0.0.1:{port}/")
    assert "\n" not in str(caught.value)
    assert "open-sesame" not in str(caught.value)


async def test_a_server_that_never_answers_is_not_waited_for(
    rabbitmq_vhost_url: str, proxy: TcpProxy, impatient: None
) -> None:
    """Whoever accepts the connection and then says nothing is unavailable, in time."""
    proxy.stall()
    async with asyncio.timeout(60):
        with pytest.raises(Unavailable, match="did not answer in time"):
            await RabbitBroker.connect(through(proxy, rabbitmq_vhost_url))


@pytest.mark.parametrize("url", ["", "localhost:5672", "http://localhost/", "amqp://host:port/", "amqp:///"])
async def test_an_unreadable_url_is_a_settings_error(url: str) -> None:
    """A URL that is none of AMQP's names the variable and shows what one looks like."""
    with pytest.raises(SettingsError, match="LEADLINE_BROKER_URL"):
        await RabbitBroker.connect(url)


async def test_a_bare_exception_of_the_client_is_an_outage() -> None:
    """aiormq ends what waits on a connection that broke for no known reason with a bare Exception."""
    with pytest.raises(Unavailable, match="lost"), reaching_rabbitmq():
        raise Exception
    with pytest.raises(ValueError, match="ours"), reaching_rabbitmq():
        raise ValueError("ours")
