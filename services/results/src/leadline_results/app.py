"""The composition root of the results service."""

from collections.abc import Collection
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from leadline_common.broker.consumer import Consumer
from leadline_common.broker.port import Broker
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_common.clock import now
from leadline_common.http.server import serving_api
from leadline_common.process.serve import Composition, Parts
from leadline_common.process.service import Health, Service
from leadline_common.process.settings import load_settings
from leadline_common.telemetry.dependencies import DependencyProbe
from leadline_common.telemetry.metrics import Metrics
from leadline_common.telemetry.queue_lengths import QueueLengthCollector
from leadline_contracts.topology import (
    RESULT_AI,
    RESULT_LEADS,
    RESULT_MESSAGES,
    RESULT_RULES,
    RESULT_RUNS,
    RESULT_STEPS,
)
from leadline_results.runs.handler import MergeHandler, RunsHandler
from leadline_results.runs.metrics import ResultMetrics
from leadline_results.runs.mongo import MongoResultStore
from leadline_results.runs.redrive import Redrive
from leadline_results.runs.routes import results_routes
from leadline_results.runs.store import ResultStore
from leadline_results.runs.tracker import Tracker
from leadline_results.settings import ResultsSettings
from leadline_results.workflows.compare_and_swap import CompareAndSwap
from leadline_results.workflows.handler import WorkflowHandler
from leadline_results.workflows.metrics import WorkflowMetrics
from leadline_results.workflows.mongo import MongoWorkflowStore
from leadline_results.workflows.retry import WorkflowRetry
from leadline_results.workflows.routes import workflow_routes
from leadline_results.workflows.step_timeouts import StepTimeouts
from leadline_results.workflows.store import WorkflowStore

_CHUNKS = 20
"""Chunks of each queue held and merged at once; the chunk join makes them the same for all three queues."""
_LINGER = 0.5
"""Seconds that leads wait for their scores before they are stored as pending."""
_WORKFLOWS = 200
"""Messages about workflows held and written at once."""
_WORKFLOW_LINGER = 0.02
"""Seconds that a message about a workflow waits for others; somebody may be watching."""


@dataclass(frozen=True, slots=True)
class Workflows:
    """The part of the service that runs workflows, and what its routes need of it."""

    service: Service
    retries: WorkflowRetry


def build(broker: Broker, store: ResultStore, metrics: Metrics, *, paused: Collection[str] = ()) -> Service:
    """Return the service over the given broker and store, which leaves the runs with these ids alone."""
    result_metrics = ResultMetrics(metrics.registry)
    tracker = Tracker(store, broker, now, result_metrics)
    redrive = Redrive(store, broker, tracker, now, result_metrics, paused=paused)
    queues = [RESULT_LEADS, RESULT_RULES, RESULT_AI]
    handler = MergeHandler(store, tracker, now, result_metrics)
    merging = Consumer(
        broker,
        handler,
        queues,
        metrics,
        prefetch=_CHUNKS,
        batch=len(queues) * _CHUNKS,
        linger=_LINGER,
        policy=handler.chunk_join.ready,
    )
    runs = Consumer(broker, RunsHandler(tracker), [RESULT_RUNS], metrics, prefetch=_CHUNKS)
    needed, optional = {"results_store": store.ping}, {"broker": broker.ping}
    return Service(
        "results",
        consumers=[merging, runs],
        loops=[
            tracker.run,
            redrive.run,
            QueueLengthCollector(broker, [*queues, RESULT_RUNS], metrics).run,
            DependencyProbe(optional | needed, metrics).run,
        ],
        checks=needed,
        optional=optional,
    )


def build_workflows(broker: Broker, store: WorkflowStore, metrics: Metrics) -> Workflows:
    """Return the workflows over the given broker and store."""
    states = CompareAndSwap(store, WorkflowMetrics(metrics.registry))
    timeouts = StepTimeouts(store, states, broker, now)
    following = Consumer(
        broker,
        WorkflowHandler(store, states, now),
        [RESULT_MESSAGES, RESULT_STEPS],
        metrics,
        prefetch=_WORKFLOWS,
        batch=_WORKFLOWS,
        linger=_WORKFLOW_LINGER,
    )
    service = Service(
        "workflows",
        consumers=[following],
        loops=[
            timeouts.run,
            QueueLengthCollector(broker, [RESULT_MESSAGES, RESULT_STEPS], metrics).run,
        ],
        checks={"workflow_store": store.ping},
        optional={"broker": broker.ping},
    )
    return Workflows(service, WorkflowRetry(store, states, broker, now))


async def migrate() -> None:
    """Create the stores' indexes."""
    url = load_settings(ResultsSettings).store_url
    for kind in (MongoResultStore, MongoWorkflowStore):
        store = await kind.connect(url)
        await store.close()


async def compose(parts: Parts, settings: ResultsSettings, metrics: Metrics) -> Composition:
    """Return the services and their API over RabbitMQ and MongoDB."""
    store = parts.keep(await MongoResultStore.connect(settings.store_url, metrics))
    workflow_store = parts.keep(await MongoWorkflowStore.connect(settings.store_url, metrics))
    broker = parts.keep(await RabbitBroker.connect(settings.broker_url))
    workflows = build_workflows(broker, workflow_store, metrics)

    def api(health: Health) -> AbstractAsyncContextManager[str]:
        routes = [
            *results_routes(store, now),
            *workflow_routes(workflow_store, workflows.retries, lambda: health.stopping),
        ]
        return serving_api("Leadline results", routes, health, metrics, settings, idempotency=workflow_store)

    return Composition([build(broker, store, metrics), workflows.service], api)
