"""What the ingest service counts."""

from typing import get_args

from prometheus_client import CollectorRegistry, Counter

from leadline_contracts.scoring import ModelName


class IngestMetrics:
    """Leads accepted and rejected. Labels are bounded: scoring models, entrypoints."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._accepted = Counter(
            "leadline_leads_accepted_total",
            "Leads published for scoring, by scoring model; those published again after a crash count again.",
            ["model"],
            registry=registry,
        )
        self._rejected = Counter(
            "leadline_leads_rejected_total",
            "Leads refused as they came in, by door (upload, queue); those that come again count again.",
            ["door"],
            registry=registry,
        )
        for model in get_args(ModelName):
            self._accepted.labels(model)
        for entrypoint in ("upload", "queue"):
            self._rejected.labels(entrypoint)

    def count_accepted(self, model: str, leads: int) -> None:
        """Count leads whose chunks the broker has confirmed."""
        self._accepted.labels(model).inc(leads)

    def count_rejected(self, entrypoint: str, leads: int) -> None:
        """Count leads that were not taken."""
        self._rejected.labels(entrypoint).inc(leads)
