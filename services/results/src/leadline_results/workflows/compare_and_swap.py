"""Compare-and-swap of workflows: a new state is written only over the state that it was made from."""

from collections.abc import Sequence
from typing import NamedTuple

from leadline_results.workflows.machine import Workflow
from leadline_results.workflows.metrics import WorkflowMetrics
from leadline_results.workflows.store import WorkflowStore


class Change(NamedTuple):
    """A workflow before and after something happened to it; `before` is None for a new one."""

    before: Workflow | None
    after: Workflow


class CompareAndSwap:
    """Writes changes in bulk and counts them. A call has at most one change for each workflow."""

    def __init__(self, store: WorkflowStore, metrics: WorkflowMetrics) -> None:
        self._store = store
        self._metrics = metrics

    async def swap(self, changes: Sequence[Change]) -> set[str]:
        """Write each `after` whose `before` is what is stored; return the ids of the other workflows.

        Those are left as they are. A change that changes nothing is not written. Raises Unavailable.
        """
        new = [change.after for change in changes if change.before is None]
        changed = [after for before, after in changes if before is not None and after is not before]
        lost = await self._store.insert(new) if new else set()
        lost |= await self._store.replace(changed) if changed else set()
        for before, after in changes:
            if after.workflow_id not in lost and after is not before:
                self._metrics.count(before, after)
        return lost
