"""The composition root of the ingest service."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from pwdlib import PasswordHash

from leadline_common.broker.consumer import Consumer
from leadline_common.broker.port import Broker
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_common.clock import now
from leadline_common.http.auth import Tokens
from leadline_common.http.server import serving_api
from leadline_common.process.serve import Composition, Parts
from leadline_common.process.service import Service
from leadline_common.process.settings import load_settings
from leadline_common.telemetry.dependencies import DependencyProbe
from leadline_common.telemetry.metrics import Metrics
from leadline_common.telemetry.queue_lengths import QueueLengthCollector
from leadline_contracts.topology import MESSAGES, RUN_EVENTS, SUBMISSIONS
from leadline_ingest.accounts.passwords import Passwords
from leadline_ingest.accounts.routes import account_routes
from leadline_ingest.accounts.service import Accounts
from leadline_ingest.accounts.store import AccountStore
from leadline_ingest.inbound.handler import MessageHandler
from leadline_ingest.inbound.routes import message_routes
from leadline_ingest.inbound.service import Messages
from leadline_ingest.metrics import IngestMetrics
from leadline_ingest.prospects.offer_routes import offer_routes
from leadline_ingest.prospects.upload_routes import upload_routes
from leadline_ingest.prospects.uploads import sweep_uploads
from leadline_ingest.runs.events import RunEventsHandler
from leadline_ingest.runs.outbox import Outbox
from leadline_ingest.runs.routes import run_routes
from leadline_ingest.runs.service import Runs
from leadline_ingest.runs.submissions import SubmissionHandler
from leadline_ingest.settings import IngestSettings
from leadline_ingest.store import IngestStore
from leadline_ingest.stores.mongo import MongoIngestStore

_SUBMISSION_WORKERS = 8
"""As many submissions are held: the broker may let in some that have many megabytes."""


@dataclass(frozen=True, slots=True)
class Ingest:
    """The service, and its parts that callers in the same process use directly."""

    service: Service
    runs: Runs
    messages: Messages
    metrics: IngestMetrics


def build(broker: Broker, store: IngestStore, metrics: Metrics, *, paused: Collection[str] = ()) -> Ingest:
    """Return the service over the given broker and store, which leaves the runs with these ids alone."""
    ingest_metrics = IngestMetrics(metrics.registry)
    outbox = Outbox(store, broker, now, ingest_metrics, paused=paused)
    submissions = Consumer(
        broker,
        SubmissionHandler(store, broker, outbox, now, ingest_metrics),
        [SUBMISSIONS],
        metrics,
        prefetch=_SUBMISSION_WORKERS,
        workers=_SUBMISSION_WORKERS,
    )
    messages = Messages(store, broker, now)
    inbound = Consumer(
        broker,
        MessageHandler(messages, broker),
        [MESSAGES],
        metrics,
        prefetch=2 * _SUBMISSION_WORKERS,
        workers=_SUBMISSION_WORKERS,
    )
    run_events = Consumer(broker, RunEventsHandler(store), [RUN_EVENTS], metrics, prefetch=20)
    needed, optional = {"ingest_store": store.ping}, {"broker": broker.ping}
    service = Service(
        "ingest",
        consumers=[submissions, inbound, run_events],
        loops=[
            outbox.resume_forever,
            lambda: sweep_uploads(store, now),
            QueueLengthCollector(broker, [SUBMISSIONS, MESSAGES, RUN_EVENTS], metrics).run,
            DependencyProbe(optional | needed, metrics).run,
        ],
        checks=needed,
        optional=optional,
    )
    return Ingest(service, Runs(store, outbox), messages, ingest_metrics)


def build_accounts(store: AccountStore, tokens: Tokens, token_hours: float) -> Accounts:
    """Return the accounts over the given store."""
    return Accounts(store, Passwords(PasswordHash.recommended()), tokens, timedelta(hours=token_hours), now)


async def migrate() -> None:
    """Create the store's indexes."""
    store = await MongoIngestStore.connect(load_settings(IngestSettings).store_url)
    await store.close()


async def compose(parts: Parts, settings: IngestSettings, metrics: Metrics) -> Composition:
    """Return the service and its API over RabbitMQ and MongoDB."""
    store = parts.keep(await MongoIngestStore.connect(settings.store_url, metrics))
    broker = parts.keep(await RabbitBroker.connect(settings.broker_url))
    ingest = build(broker, store, metrics)
    accounts = build_accounts(store, Tokens(settings.jwt_secret), settings.token_hours)
    routes = [
        *account_routes(accounts, settings.trusted_proxies),
        *offer_routes(store),
        *upload_routes(store, now, ingest.metrics),
        *run_routes(ingest.runs),
        *message_routes(ingest.messages),
    ]
    return Composition(
        [ingest.service],
        lambda health: serving_api("Leadline ingest", routes, health, metrics, settings, idempotency=store),
    )
