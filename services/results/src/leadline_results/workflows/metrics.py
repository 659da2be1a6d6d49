"""What the results service counts of workflows.

There is no gauge of how many workflows are in which state: it would count the whole store at each reading,
and the difference of the counters says how many are under way.
"""

from prometheus_client import CollectorRegistry, Counter, Histogram

from leadline_results.workflows.machine import Step, StepStatus, Workflow, WorkflowStatus

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0)


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
            if after.ended and after.epoch == 1:  # a manual retry would add a person's delay
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
