"""The composition root of the results service."""

from datetime import UTC, datetime

from leadline_common.broker import Broker
from leadline_common.brokers.rabbitmq import RabbitBroker
from leadline_common.consumer import Consumer
from leadline_common.http.api import build_app
from leadline_common.http.server import serving
from leadline_common.logs import configure_logging
from leadline_common.metrics import Metrics, new_registry
from leadline_common.service import Service, running, until_signalled
from leadline_common.settings import load_settings
from leadline_common.topology import RESULT_AI, RESULT_LEADS, RESULT_RULES, RESULT_RUNS
from leadline_results.handler import MergeHandler, RunsHandler
from leadline_results.rescue import Rescue
from leadline_results.routes import results_routes
from leadline_results.settings import ResultsSettings
from leadline_results.store import ResultStore
from leadline_results.stores.mongo import MongoResultStore
from leadline_results.tracker import Tracker

_CHUNKS = 20
"""Chunks of each queue held and merged at once; the three queues are in step, so they are the same chunks."""
_LINGER = 0.5
"""Seconds that leads wait for their scores before they are stored as pending."""


def build(broker: Broker, store: ResultStore, metrics: Metrics) -> Service:
    """Return the service over the given broker and store."""
    tracker = Tracker(store, broker, now)
    rescue = Rescue(store, broker, tracker, now)
    queues = [RESULT_LEADS, RESULT_RULES, RESULT_AI]
    handler = MergeHandler(store, tracker, now)
    merging = Consumer(
        broker,
        handler,
        queues,
        metrics,
        prefetch=_CHUNKS,
        batch=len(queues) * _CHUNKS,
        linger=_LINGER,
        ripe=handler.in_step.ripe,
    )
    runs = Consumer(broker, RunsHandler(tracker), [RESULT_RUNS], metrics, prefetch=_CHUNKS)
    return Service(
        "results",
        consumers=[merging, runs],
        loops=[tracker.follow, rescue.sweep_forever],
        checks={"broker": broker.ping, "results_store": store.ping},
    )


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


async def main() -> None:
    """Run the service until it is told to stop."""
    settings = load_settings(ResultsSettings)
    configure_logging("results", settings.log_level)
    metrics = Metrics(new_registry())
    store = await MongoResultStore.connect(settings.store_url)
    broker = await RabbitBroker.connect(settings.broker_url)
    try:
        async with running([build(broker, store, metrics)], settings.drain_seconds) as health:
            app = build_app("Leadline results", results_routes(store, now), health, metrics)
            async with serving(app, settings.host, settings.port, settings.drain_seconds):
                await until_signalled(health)
    finally:
        await broker.close()
        await store.close()
