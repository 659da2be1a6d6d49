"""What the results service counts of leads, runs and workflows.

There is no gauge of how many workflows are in which state: it would count the whole store at each reading,
and the difference of the counters says how many are under way.
"""

import collections
import math
from collections.abc import Sequence
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from leadline_common.ids import age_of
from leadline_results.runs.record import Record, Status
from leadline_results.workflows.machine import Step, StepStatus, Workflow, WorkflowStatus

_LATENCIES = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0)
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0)


class ResultMetrics:
    """Leads that are done, and how runs go. Labels are bounded: states, events."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._done = Counter(
            "leadline_leads_done_total",
            "Leads that came to an end, by the status they first came to (scored, partial, failed).",
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
            "What happened to runs: started, finished, pushed (asked again for what is missing), ended_short "
            "(finished without some of its leads).",
            ["event"],
            registry=registry,
        )
        self.unfinished = Gauge(
            "leadline_runs_unfinished",
            "Runs that are not finished; every replica shows the same.",
            registry=registry,
        )
        self.unfinished.set(math.nan)  # until somebody has looked
        for status in (Status.SCORED, Status.PARTIAL, Status.FAILED):
            self._done.labels(status.value)
        for event in ("started", "finished", "pushed", "ended_short"):
            self._events.labels(event)

    def count_done(self, records: Sequence[Record]) -> None:
        """Count leads that came to a status in which nothing more is awaited."""
        for status, leads in collections.Counter(record.status for record in records).items():
            self._done.labels(status.value).inc(leads)
        # Those of a run that are done together have waited for the same time.
        for (run_id, at), leads in collections.Counter(
            (record.run_id, record.scored_at) for record in records
        ).items():
            seconds = age_of(run_id, at.timestamp()) if at else math.inf
            if math.isfinite(seconds):
                for _ in range(leads):
                    self._latency.observe(max(0.0, seconds))

    def count_run(self, event: Literal["started", "finished", "pushed", "ended_short"]) -> None:
        """Count what happened to a run."""
        self._events.labels(event).inc()


class WorkflowMetrics:
    """Transitions and step timings. Labels are bounded: states, steps, outcomes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._transitions = Counter(
            "leadline_workflow_transitions_total",
            "Workflows that came into a status (pending, processing, completed, failed).",
            ["status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "leadline_workflow_step_duration_seconds",
            "Time from a step's start to its end with all attempts in between, by step (classify, extract, "
            "route) and outcome (completed, or the code of the error).",
            ["step", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._latency = Histogram(
            "leadline_workflow_latency_seconds",
            "Time from receiving a message to the end of its workflow, by status (completed, failed).",
            ["status"],
            buckets=_SECONDS,
            registry=registry,
        )
        for status in WorkflowStatus:
            self._transitions.labels(status.value)

    def count(self, before: Workflow | None, after: Workflow) -> None:
        """Count what has changed between two states of a workflow; `before` is None for a new one."""
        if before is None:
            self._transitions.labels(WorkflowStatus.PENDING.value).inc()
        if before is None or before.status is not after.status:
            self._transitions.labels(after.status.value).inc()
            if after.ended and after.epoch == 1:  # after a manual retry it says how long somebody took to ask
                seconds = (after.updated_at - after.received_at).total_seconds()
                self._latency.labels(after.status.value).observe(max(0.0, seconds))
        for name, step in after.steps.items():
            was = before.steps[name].status if before else StepStatus.NOT_STARTED
            outcome = _outcome(step)
            if step.status is not was and outcome and step.started_at and step.finished_at:
                seconds = (step.finished_at - step.started_at).total_seconds()
                self._seconds.labels(name.value, outcome).observe(seconds)


def _outcome(step: Step) -> str | None:
    if step.status is StepStatus.COMPLETED:
        return "completed"
    return step.error.code if step.error else None
