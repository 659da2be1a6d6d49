"""The metrics that common code records, each declared once, on the registry the composition root makes."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """What consumers and HTTP servers count. Labels are bounded: queues, outcomes, route templates."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.messages = Counter(
            "leadline_messages_total",
            "Messages settled, by queue and outcome (acked, split, retried, dead_lettered).",
            ["queue", "outcome"],
            registry=registry,
        )
        self.handling = Histogram(
            "leadline_handling_seconds",
            "Time from taking a batch of messages to settling it, by the first message's queue.",
            ["queue"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.holding = Gauge(
            "leadline_holding_messages",
            "Messages held because a broker or store does not answer.",
            ["queue"],
            registry=registry,
        )
        self.requests = Histogram(
            "leadline_http_request_seconds",
            "Time from a request's first byte to its answer's end, by method, route template and status.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )


def new_registry() -> CollectorRegistry:
    """Return a registry that already holds the process's own figures (memory, CPU, file handles)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry
