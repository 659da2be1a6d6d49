"""What the ai service counts."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter

from leadline_common.messages import AiScored


class AiMetrics:
    """Judged leads by who judged them and how it went."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._judged = Counter(
            "leadline_ai_leads_total",
            "Leads judged, by source (anthropic, offline) and outcome (answered, fallback, failed).",
            ["source", "outcome"],
            registry=registry,
        )

    def count(self, scores: Iterable[AiScored]) -> None:
        """Count a chunk's answers."""
        for score in scores:
            outcome = "failed" if score.error else "fallback" if score.fallback else "answered"
            self._judged.labels(score.source, outcome).inc()
