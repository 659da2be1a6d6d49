"""Which metrics Leadline's processes expose, read from the registries that they make."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.metrics import MetricWrapperBase

from leadline_ai.limiter.adaptive import AdaptiveLimiter
from leadline_ai.limiter.breaker import CircuitBreaker
from leadline_ai.metrics import AiMetrics
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_ingest.metrics import IngestMetrics
from leadline_results.runs.metrics import ResultMetrics
from leadline_results.workflows.metrics import WorkflowMetrics
from leadline_rules.metrics import RulesMetrics

_SUFFIXES: dict[type[MetricWrapperBase], tuple[str, ...]] = {
    Counter: ("_total",),
    Gauge: ("",),
    Info: ("_info",),
    Histogram: ("_bucket", "_count", "_sum"),
}


def registry() -> CollectorRegistry:
    """Return a registry with the metrics of all services."""
    made = new_registry("leadline", "unknown")
    Metrics(made)
    IngestMetrics(made)
    RulesMetrics(made)
    ai = AiMetrics(made)
    ai.show_limiter("anthropic", AdaptiveLimiter(CircuitBreaker("anthropic"), 1))
    ai.show_day_budget(1.0)
    ResultMetrics(made)
    WorkflowMetrics(made)
    return made


def known_metrics() -> dict[str, frozenset[str]]:
    """Return the labels of each sample that a metric of ours gives, by the sample's name."""
    known: dict[str, frozenset[str]] = {}
    for collector in _collectors(registry()):
        labels = set(collector._labelnames)
        if isinstance(collector, Info):
            labels |= set(collector._value)
        for suffix in _SUFFIXES[type(collector)]:
            known[collector._name + suffix] = frozenset(labels | ({"le"} if suffix == "_bucket" else set()))
    return known


def _collectors(registry: CollectorRegistry) -> Iterable[MetricWrapperBase]:
    # The library names the labels of a metric without samples nowhere else.
    return [one for one in registry._collector_to_names if isinstance(one, MetricWrapperBase)]
