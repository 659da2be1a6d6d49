"""The lengths of queues as metrics."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.broker.port import Message
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_common.telemetry.queue_lengths import QueueLengthCollector
from leadline_contracts.errors import Unavailable
from leadline_contracts.scoring import LeadsSubmitted
from leadline_contracts.topology import RULES, SUBMISSIONS


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """A broker whose queue of submissions has one message ready, one to be retried, and two dead."""
    broker = EmbeddedBroker(tmp_path / "broker.db")
    await broker.publish([Message(type=LeadsSubmitted.TYPE, id=name, body=b"{}") for name in "abcd"])
    subscription = await broker.subscribe(SUBMISSIONS, 3)
    for error in ("retry", "dead", "dead"):
        delivery = await subscription.receive()
        await (delivery.dead_letter(error) if error == "dead" else delivery.retry(120, error))
    await subscription.close()
    yield broker
    await broker.close()


def shown(metrics: Metrics, queue: str, state: str) -> float | None:
    return metrics.registry.get_sample_value("leadline_queue_messages", {"queue": queue, "state": state})


async def test_each_state_of_a_queue_is_shown(broker: EmbeddedBroker) -> None:
    """What is ready, waits to be retried and is dead stands apart, and an empty queue shows zeros."""
    metrics = Metrics(new_registry())
    await QueueLengthCollector(broker, [SUBMISSIONS, RULES], metrics).collect()
    assert [shown(metrics, SUBMISSIONS.name, state) for state in ("ready", "retrying", "dead")] == [1, 1, 2]
    assert [shown(metrics, RULES.name, state) for state in ("ready", "retrying", "dead")] == [0, 0, 0]


async def test_nothing_is_shown_while_the_broker_is_away(broker: EmbeddedBroker) -> None:
    """An old figure would look like a new one, so there is none, and of another service's queues still is."""
    metrics = Metrics(new_registry())
    collector = QueueLengthCollector(broker, [SUBMISSIONS], metrics)
    await QueueLengthCollector(broker, [RULES], metrics).collect()
    await collector.collect()
    await broker.close()
    with pytest.raises(Unavailable):
        await collector.collect()
    assert shown(metrics, SUBMISSIONS.name, "ready") is None
    assert shown(metrics, RULES.name, "ready") == 0
