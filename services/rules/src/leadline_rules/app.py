"""The composition root of the rules service."""

from leadline_common.broker.consumer import Consumer
from leadline_common.broker.port import Broker
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_common.process.serve import Composition, Parts
from leadline_common.process.service import Service
from leadline_common.telemetry.dependencies import DependencyProbe
from leadline_common.telemetry.metrics import Metrics
from leadline_common.telemetry.queue_lengths import QueueLengthCollector
from leadline_contracts.topology import RULES, RULES_ROUTE
from leadline_rules.handler import RulesHandler
from leadline_rules.metrics import RulesMetrics
from leadline_rules.route_handler import RouteHandler
from leadline_rules.settings import RulesSettings

_WORKERS = 8
"""Chunks under way at a time: while the broker confirms one's scores, others are scored."""

_STEPS = 20
"""Steps of workflows handled at once: each is small, so the cost that a batch shares outweighs theirs."""

_LINGER = 0.03
"""Seconds that a step waits for others to be handled with it."""


def build(broker: Broker, metrics: Metrics) -> Service:
    """Return the service over the given broker."""
    handler = RulesHandler(RulesMetrics(metrics.registry))
    scoring = Consumer(broker, handler, [RULES], metrics, prefetch=_WORKERS, workers=_WORKERS)
    routing = Consumer(
        broker, RouteHandler(), [RULES_ROUTE], metrics, prefetch=2 * _STEPS, batch=_STEPS, linger=_LINGER
    )
    servers = {"broker": broker.ping}
    return Service(
        "rules",
        consumers=[scoring, routing],
        loops=[
            QueueLengthCollector(broker, [RULES, RULES_ROUTE], metrics).run,
            DependencyProbe(servers, metrics).run,
        ],
        checks=servers,
    )


async def compose(parts: Parts, settings: RulesSettings, metrics: Metrics) -> Composition:
    """Return the service over RabbitMQ."""
    broker = parts.keep(await RabbitBroker.connect(settings.broker_url))
    return Composition([build(broker, metrics)])
