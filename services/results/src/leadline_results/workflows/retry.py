"""The manual retry of a failed workflow."""

import structlog

from leadline_common.broker.port import Broker
from leadline_common.clock import Clock
from leadline_contracts.errors import Unavailable
from leadline_results.workflows.compare_and_swap import Change, CompareAndSwap
from leadline_results.workflows.machine import Workflow, retry
from leadline_results.workflows.messages import step_request
from leadline_results.workflows.store import WorkflowStore

log = structlog.get_logger()


class WorkflowRetry:
    """Opens a new epoch and publishes the request for its first step."""

    def __init__(self, store: WorkflowStore, states: CompareAndSwap, broker: Broker, clock: Clock) -> None:
        self._store = store
        self._states = states
        self._broker = broker
        self._clock = clock

    async def retry(self, workflow: Workflow) -> Workflow:
        """Start again from the failed step; return the workflow as it is then.

        Of two calls at once, one starts it. Raises Conflict where no step failed, Unavailable where
        the store does not answer. Once it is written the retry is certain: a request that the broker does not
        take now is published by the step timeout.
        """
        again = retry(workflow, self._clock())
        while await self._states.swap([Change(workflow, again)]):
            workflow = (await self._store.load([workflow.workflow_id]))[workflow.workflow_id]
            again = retry(workflow, self._clock())
        try:
            await self._broker.publish([step_request(again)])
        except Unavailable as error:
            log.warning("retry_left_to_sweep", workflow_id=again.workflow_id, error=str(error))
        return again
