"""What the results service counts of leads and runs."""

import collections
import math
from collections.abc import Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from leadline_common.ids import age_of
from leadline_results.runs.record import Record, Status

_LATENCIES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0)


class ResultMetrics:
    """Leads that are done, and how runs go. Labels are bounded: states, events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._done = Counter(
            "leadline_leads_done_total",
            "Leads that came to an end, by the status they first came to (scored, partial, failed, "
            "cancelled).",
            ["status"],
            registry=registry,
        )
        self._latency = Histogram(
            "leadline_lead_latency_seconds",
            "Time from asking for a lead's run to its result, a lead.",
            buckets=_LATENCIES,
            registry=registry,
        )
        self._events = Counter(
            "leadline_run_events_total",
            "What happened to runs: started, finished, cancelled, pushed (asked again for what is missing), "
            "ended_short (finished without some of its leads).",
            ["event"],
            registry=registry,
        )
        self.unfinished = Gauge(
            "leadline_runs_unfinished",
            "Runs that are not finished; every replica shows the same.",
            registry=registry,
        )
        self.unfinished.set(math.nan)  # until the first check
        for status in (Status.SCORED, Status.PARTIAL, Status.FAILED, Status.CANCELLED):
            self._done.labels(status.value)
        for event in ("started", "finished", "cancelled", "pushed", "ended_short"):
            self._events.labels(event)

    def count_done(self, records: Sequence[Record]) -> None:
        """Count leads that are done."""
        for status, leads in collections.Counter(record.status for record in records).items():
            self._done.labels(status.value).inc(leads)
        # Leads of a run that are done at the same moment have the same latency.
        for (run_id, at), leads in collections.Counter(
            (record.run_id, record.scored_at) for record in records
        ).items():
            seconds = age_of(run_id, at) if at else math.inf
            if math.isfinite(seconds):
                for _ in range(leads):
                    self._latency.observe(max(0.0, seconds))

    def count_run(self, event: Literal["started", "finished", "cancelled", "pushed", "ended_short"]) -> None:
        """Count what happened to a run."""
        self._events.labels(event).inc()
