"""What the rules service counts."""

from prometheus_client import CollectorRegistry, Counter


class RulesMetrics:
    """Leads that were scored, and leads that failed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._leads = Counter(
            "leadline_rules_leads_total",
            "Leads answered by the rule layer, by status (scored, failed).",
            ["status"],
            registry=registry,
        )
        for status in ("scored", "failed"):
            self._leads.labels(status)

    def count_scored(self, leads: int) -> None:
        """Count leads that got their points."""
        self._leads.labels("scored").inc(leads)

    def count_failed(self, leads: int) -> None:
        """Count leads that got an error in place of points."""
        self._leads.labels("failed").inc(leads)
