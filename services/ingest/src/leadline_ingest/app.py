"""The composition root of the ingest service."""

from dataclasses import dataclass
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
from leadline_common.topology import RUN_EVENTS, SUBMISSIONS
from leadline_ingest.handlers import RunEventsHandler, SubmissionHandler
from leadline_ingest.publisher import Publisher
from leadline_ingest.routes import ingest_routes
from leadline_ingest.runs import Runs
from leadline_ingest.settings import IngestSettings
from leadline_ingest.store import IngestStore
from leadline_ingest.stores.mongo import MongoIngestStore
from leadline_ingest.uploads import sweep_uploads

_SUBMISSION_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Ingest:
    """The service and what its callers in the same process use directly."""

    service: Service
    runs: Runs


def build(broker: Broker, store: IngestStore, metrics: Metrics) -> Ingest:
    """Return the service over the given broker and store."""
    publisher = Publisher(store, broker, now)
    submissions = Consumer(
        broker,
        SubmissionHandler(store, broker, publisher, now),
        [SUBMISSIONS],
        metrics,
        prefetch=2 * _SUBMISSION_WORKERS,
        workers=_SUBMISSION_WORKERS,
    )
    run_events = Consumer(broker, RunEventsHandler(store), [RUN_EVENTS], metrics, prefetch=20)
    service = Service(
        "ingest",
        consumers=[submissions, run_events],
        loops=[publisher.resume_forever, lambda: sweep_uploads(store, now)],
        checks={"broker": broker.ping, "ingest_store": store.ping},
    )
    return Ingest(service, Runs(store, publisher))


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


async def main() -> None:
    """Run the service until it is told to stop."""
    settings = load_settings(IngestSettings)
    configure_logging("ingest", settings.log_level)
    metrics = Metrics(new_registry())
    store = await MongoIngestStore.connect(settings.store_url)
    broker = await RabbitBroker.connect(settings.broker_url)
    ingest = build(broker, store, metrics)
    try:
        async with running([ingest.service], settings.drain_seconds) as health:
            app = build_app("Leadline ingest", ingest_routes(store, ingest.runs, now), health, metrics)
            async with serving(app, settings.host, settings.port, settings.drain_seconds):
                await until_signalled(health)
    finally:
        await broker.close()
        await store.close()
