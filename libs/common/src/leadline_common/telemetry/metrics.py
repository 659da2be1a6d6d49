"""The metrics that common code records, each declared once, on the registry the composition root makes."""

import platform

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)

from leadline_common import __version__

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_AGES = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Metrics:
    """What consumers, HTTP servers and stores count. Labels are bounded: queues, outcomes, routes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.consumed = Counter(
            "leadline_messages_consumed_total",
            "Messages received, redeliveries among them.",
            ["queue"],
            registry=registry,
        )
        self.settled = Counter(
            "leadline_messages_settled_total",
            "Messages settled, by queue and outcome (acked, split, retried, dead_lettered).",
            ["queue", "outcome"],
            registry=registry,
        )
        self.held = Gauge(
            "leadline_messages_held",
            "Messages held because a broker or store does not answer.",
            ["queue"],
            registry=registry,
        )
        self.age = Histogram(
            "leadline_message_age_seconds",
            "Age of a message since it was first published, when its handling begins.",
            ["queue"],
            buckets=_AGES,
            registry=registry,
        )
        self.handling = Histogram(
            "leadline_message_handling_seconds",
            "Time from taking a batch of messages to settling it, by the first message's queue.",
            ["queue"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.waiting = Gauge(
            "leadline_queue_messages",
            "Messages that wait in the service's own queues, by queue and state (ready, retrying, dead).",
            ["queue", "state"],
            registry=registry,
        )
        self.dependencies = Gauge(
            "leadline_dependency_up",
            "1 where a server behind the service answers, 0 where it does not, by name (broker, …_store).",
            ["dependency"],
            registry=registry,
        )
        self.requests = Histogram(
            "leadline_http_request_duration_seconds",
            "Time from a request's first byte to its answer's end, by method, route template and status.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.store_operations = Histogram(
            "leadline_store_operation_duration_seconds",
            "Time of a command to the database, by operation (its name) and outcome (ok, failed).",
            ["operation", "outcome"],
            buckets=(0.0005, 0.001, 0.0025, *_SECONDS),
            registry=registry,
        )

    def expect(self, queue: str) -> None:
        """Show zeros for a queue from the start: a rate cannot see the first event of a new series."""
        self.consumed.labels(queue)
        self.held.labels(queue)
        for outcome in ("acked", "split", "retried", "dead_lettered"):
            self.settled.labels(queue, outcome)


def new_registry(service: str = "leadline", revision: str = "unknown") -> CollectorRegistry:
    """Return a registry that holds what runs here, and the process's own figures (memory, CPU, files)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    build = Info("leadline_build", "What runs here: service, version, revision, Python.", registry=registry)
    python = platform.python_version()
    build.info({"service": service, "version": __version__, "revision": revision, "python": python})
    return registry
