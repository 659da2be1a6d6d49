"""The stream of a workflow's changes while it is under way."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from leadline_results.workflows.machine import Workflow
from leadline_results.workflows.store import WorkflowStore

_POLL_SECONDS = 0.25
_SILENCE_SECONDS = 15.0
"""Seconds of silence after which something is sent: proxies close connections after a silent minute."""
_LIFETIME_SECONDS = 600.0
"""Longest life of a stream; a client that still listens then reconnects, maybe to another replica."""


async def stream_changes(
    store: WorkflowStore, workflow: Workflow, seen: int, stopping: Callable[[], bool]
) -> AsyncIterator[Workflow | None]:
    """Yield the workflow each time it is at a higher revision than was seen, and None after a long silence.

    Ends with the workflow, after ten minutes, or soon after `stopping` says so. Changes within a quarter of a
    second are yielded as one. Raises Unavailable where the store does not answer.
    """
    started = spoke = time.monotonic()
    while True:
        now = time.monotonic()
        if workflow.revision > seen:
            yield workflow
            seen, spoke = workflow.revision, now
        elif now - spoke >= _SILENCE_SECONDS:
            yield None
            spoke = now
        if workflow.ended or stopping() or now - started >= _LIFETIME_SECONDS:
            return
        await asyncio.sleep(_POLL_SECONDS)
        workflow = (await store.load([workflow.workflow_id]))[workflow.workflow_id]
