"""What scales on what: the queues and Deployments that autoscalers name are those there are."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from tests.deploy.manifests import SERVICES, Json, named, objects

from leadline_ai import app as ai
from leadline_ai.settings import AssessorSettings
from leadline_ai.stores.sqlite import SqliteAiStore
from leadline_common.broker.consumer import Consumer
from leadline_common.broker.embedded.broker import EmbeddedBroker
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.topology import AI
from leadline_results import app as results
from leadline_results.runs.sqlite import SqliteResultStore
from leadline_results.workflows.sqlite import SqliteWorkflowStore
from leadline_rules import app as rules

Held = dict[str, dict[str, int]]
"""By service and queue: the messages that one replica holds at most."""


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Held]:
    """What each service's own consumers take, as its composition root makes them."""
    broker = EmbeddedBroker(tmp_path / "broker.db")
    ai_store = SqliteAiStore(tmp_path / "ai.db")
    result_store = SqliteResultStore(tmp_path / "results.db")
    workflow_store = SqliteWorkflowStore(tmp_path / "workflows.db")
    settings = AssessorSettings.model_validate({})
    asking = ai.build(broker, ai_store, None, settings, Metrics(new_registry())).service
    found = {
        "rules": taken(rules.build(broker, Metrics(new_registry())).consumers),
        "ai": {queue: with_provider(queue, settings) for queue in taken(asking.consumers)},
        "results": taken(
            [
                *results.build(broker, result_store, Metrics(new_registry())).consumers,
                *results.build_workflows(broker, workflow_store, Metrics(new_registry())).service.consumers,
            ]
        ),
    }
    yield found
    await workflow_store.close()
    await result_store.close()
    await ai_store.close()
    await broker.close()


async def test_a_worker_scales_on_every_queue_it_consumes(held: Held) -> None:
    """A queue that is added, renamed or moved to another service is not left without an autoscaler."""
    for service, queues in held.items():
        triggers = scaled(service)["triggers"]
        assert {each["metadata"]["queueName"] for each in triggers} == queues.keys()
        assert len(triggers) == len(queues)


async def test_what_counts_is_the_backlog(held: Held) -> None:
    """Messages that consumers hold are not counted, so a value near what they hold would be noise."""
    for service, queues in held.items():
        for trigger in scaled(service)["triggers"]:
            assert trigger["type"] == "rabbitmq"
            assert trigger["metadata"]["mode"] == "QueueLength"
            assert trigger["metadata"]["protocol"] == "amqp"
            assert int(trigger["metadata"]["value"]) >= 10 * queues[trigger["metadata"]["queueName"]]


def test_each_service_has_one_autoscaler() -> None:
    """Each Deployment has its number of replicas from one place, and nobody else's."""
    queued = [each["spec"]["scaleTargetRef"] for each in objects("production", "ScaledObject")]
    busy = [each["spec"]["scaleTargetRef"] for each in objects("production", "HorizontalPodAutoscaler")]
    assert [each["name"] for each in busy] == ["leadline-ingest"]
    assert sorted(each["name"] for each in (*queued, *busy)) == sorted(
        f"leadline-{name}" for name in SERVICES
    )
    assert all(each.get("kind", "Deployment") == "Deployment" for each in (*queued, *busy))


def test_a_busy_consumer_is_not_taken_away_at_once() -> None:
    """Two replicas stay, others go one at a time after long quiet: held messages are not counted."""
    hpa = named("production", "HorizontalPodAutoscaler", "leadline-ingest")["spec"]
    assert 2 <= hpa["minReplicas"] < hpa["maxReplicas"]
    behaviors = [hpa["behavior"]]
    for each in objects("production", "ScaledObject"):
        spec = each["spec"]
        assert 2 <= spec["minReplicaCount"] < spec["maxReplicaCount"]
        assert "idleReplicaCount" not in spec
        behaviors.append(spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"])
    for behavior in behaviors:
        assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300
        (policy,) = behavior["scaleDown"]["policies"]
        assert (policy["type"], policy["value"]) == ("Pods", 1)
        # Longer than a pod takes to stop.
        assert policy["periodSeconds"] > 60


def test_keda_asks_the_broker_that_the_services_use() -> None:
    """Each trigger has the broker's address from the secret that the services have it from."""
    given = {
        each["metadata"]["name"]: each["spec"] for each in objects("production", "TriggerAuthentication")
    }
    for scaled_object in objects("production", "ScaledObject"):
        for trigger in scaled_object["spec"]["triggers"]:
            assert given[trigger["authenticationRef"]["name"]]["secretTargetRef"] == [
                {"parameter": "host", "name": "leadline-broker", "key": "LEADLINE_BROKER_URL"}
            ]


def scaled(service: str) -> Json:
    """Return how a service is scaled."""
    spec: Json = named("production", "ScaledObject", f"leadline-{service}")["spec"]
    assert spec["scaleTargetRef"]["name"] == f"leadline-{service}"
    return spec


def taken(consumers: Iterable[Consumer]) -> dict[str, int]:
    """Return the queues of consumers, and how many messages of each they hold at most."""
    return {queue.name: consumer._prefetch for consumer in consumers for queue in consumer._queues}


def with_provider(queue: str, settings: AssessorSettings) -> int:
    """Return how many messages of a queue ai holds with a provider, which is more than without."""
    return ai.workers_for(settings) if queue == AI.name else settings.ai_concurrency
