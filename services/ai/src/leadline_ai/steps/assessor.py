"""Requests to a language model about one step of a workflow, up to the calls that a step may take."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from leadline_ai.budget.reservations import Account, BudgetSpent
from leadline_ai.failures import Failure, FailureKind
from leadline_ai.limiter.breaker import CallNotPermitted
from leadline_ai.providers.asker import MESSAGE_SECONDS, Asker, backoff
from leadline_ai.providers.port import ProviderFailure, Reply, Stop
from leadline_ai.steps.offline import Output
from leadline_ai.steps.step import AskedStep, Unreadable, prompt_of, question_about, read_step

Keep = Callable[[Output], Awaitable[None]]
"""Returns when the output is stored."""
Note = Callable[[int], Awaitable[None]]
"""Stores how many calls were made for the step in all; returns when that is done."""
_KINDS: dict[str, FailureKind] = {
    "misconfigured": "misconfigured",
    "declined": "refused",
    "overloaded": "unavailable",
    "unavailable": "unavailable",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAssessor:
    """Asks at most `calls_a_step` times, repairs included; between calls to a failing provider it waits.

    The first wait is `first_wait` seconds, doubled each time up to `longest_wait`.
    """

    asker: Asker
    calls_a_step: int
    first_wait: float = 0.5
    longest_wait: float = 20.0

    async def ask(
        self, step: AskedStep, account: Account, calls: int, keep: Keep, note: Note
    ) -> Output | Failure:
        """Return the step's output, which `keep` has stored by then, or why there is none.

        `calls` is how many were made before; `note` stores their number after each one without an output.
        Raises Unavailable where the store does not answer.
        """
        deadline, fault = time.monotonic() + MESSAGE_SECONDS, ""
        outcome: Output | Failure = _failure(step, "unavailable", "its calls were spent before")
        while calls < self.calls_a_step:
            try:
                outcome = await self._once(step, fault, account, deadline, keep)
            except CallNotPermitted as refusal:
                return _failure(step, refusal.kind, str(refusal))
            except BudgetSpent as spent:
                return _failure(step, "skipped_budget", str(spent))
            if not isinstance(outcome, Failure):
                break
            calls += 1
            await note(calls)
            if outcome.kind == "unusable":
                fault = "" if fault else outcome.error
            elif outcome.kind != "unavailable":
                break
            elif calls < self.calls_a_step:
                await asyncio.sleep(backoff(calls, self.first_wait, self.longest_wait))
        return outcome

    async def _once(
        self, step: AskedStep, fault: str, account: Account, deadline: float, keep: Keep
    ) -> Output | Failure:
        """Make one call. Raises CallNotPermitted and BudgetSpent where none was made, Unavailable."""

        async def take(reply: Reply) -> Output | Failure:
            read = _read(step, reply)
            if not isinstance(read, Failure):
                await keep(read)
            elif reply.stop is Stop.COMPLETE:
                account.count_failed()
            return read

        try:
            return await self.asker.ask(question_about(step, fault), account, deadline, take)
        except ProviderFailure as failure:
            return _failure(step, _KINDS[failure.kind], str(failure))

    def key(self, step: AskedStep) -> str:
        """Return the key of all that the step's answer depends on."""
        question, provider = question_about(step), self.asker.provider
        parts = (prompt_of(step.TYPE).version, provider.name, provider.model, provider.endpoint)
        asked = "\x1f".join([*parts, question.system, question.body])
        return hashlib.sha256(asked.encode()).hexdigest()


def _read(step: AskedStep, reply: Reply) -> Output | Failure:
    match reply.stop:
        case Stop.REFUSED:
            return _failure(step, "refused", "the model declines to judge this message")
        case Stop.TRUNCATED | Stop.OTHER:
            return _failure(step, "unusable", "the answer was not complete")
        case Stop.COMPLETE:
            try:
                return read_step(step, reply.text)
            except Unreadable as wrong:
                return _failure(step, "unusable", str(wrong))


def _failure(step: AskedStep, kind: FailureKind, error: str) -> Failure:
    return Failure(step.workflow_id, kind, error)
