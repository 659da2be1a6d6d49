"""Who answers a workflow's step: the chosen assessor, and where it fails the offline one or nobody."""

import json
from dataclasses import dataclass, field

from leadline_ai.budget.reservations import Spending
from leadline_ai.cache.keyed_lock import Turns
from leadline_ai.cache.retry import at_last
from leadline_ai.leads.answers import Failure
from leadline_ai.leads.policy import OnFailure
from leadline_ai.steps.assessor import StepAssessor
from leadline_ai.steps.offline import OFFLINE_STEPS, Output, route_of, step_offline
from leadline_ai.steps.step import AskedStep, prompt_of
from leadline_ai.store import AiStore, StoredAnswer
from leadline_contracts.errors import Transient
from leadline_contracts.inbound import JudgeStep, StepError, StepFinished, StepSource
from leadline_contracts.topology import MAX_ATTEMPTS


@dataclass(frozen=True, slots=True, kw_only=True)
class BoughtSteps:
    """Outputs that cost money: stored before they are given out, and never bought twice."""

    assessor: StepAssessor
    store: AiStore
    spending: Spending
    _turns: Turns = field(default_factory=Turns)

    async def of(self, step: AskedStep, attempt: int) -> Output | Failure:
        """Return the step's output, or why there is none. Raises Unavailable, Transient to wait."""
        key = self.assessor.key(step)
        async with self._turns.of((step.owner, key)):
            return await self._answer(step, key, attempt)

    async def _answer(self, step: AskedStep, key: str, attempt: int) -> Output | Failure:
        called = f"{step.step}:{step.epoch}"
        known = (await self.store.answers(step.owner, [key])).get(key)
        if known is not None:
            output: Output = json.loads(known.answer)
            return output

        async def keep(output: Output) -> None:
            await at_last(lambda: self.store.keep_answers(step.owner, [self._stored(step, key, output)]))

        async def note(calls: int) -> None:
            await at_last(lambda: self.store.note_calls(step.workflow_id, {called: calls}))

        before = await self.store.calls(step.workflow_id, [called])
        async with self.spending.account(step.owner, step.workflow_id, 0) as account:
            outcome = await self.assessor.ask(step, account, before.get(called, 0), keep, note)
        if isinstance(outcome, Failure) and outcome.kind == "later" and attempt < MAX_ATTEMPTS:
            raise Transient(outcome.error)
        return outcome

    def source(self, step: AskedStep) -> StepSource:
        """Say who is asked."""
        provider = self.assessor.asker.provider
        return StepSource(source=provider.name, assessor=provider.model, prompt=prompt_of(step.TYPE).version)

    def _stored(self, step: AskedStep, key: str, output: Output) -> StoredAnswer:
        source = self.source(step)
        return StoredAnswer(
            key=key,
            run_id=step.workflow_id,
            answer=json.dumps(output, ensure_ascii=False),
            source=source.source,
            assessor=source.assessor,
            prompt=source.prompt,
        )


@dataclass(frozen=True, slots=True)
class StepPolicy:
    """`bought` is the language model's part, None where the offline assessor is the chosen one."""

    bought: BoughtSteps | None = None
    on_failure: OnFailure = "fallback"

    async def answer(self, step: AskedStep, attempt: int) -> StepFinished:
        """Answer a step in the `attempt`-th delivery of its message. Raises as BoughtSteps.of does."""
        if self.bought is None:
            return self._offline(step)
        outcome = await self.bought.of(step, attempt)
        if isinstance(outcome, Failure):
            return self.without_answer(step, outcome)
        return _finished(step, self.bought.source(step), outcome)

    def without_answer(self, step: AskedStep, failure: Failure) -> StepFinished:
        """Answer a step that the chosen assessor gave no output for."""
        if self.on_failure == "fallback":
            return self._offline(step, failure.error)
        code = "unavailable" if failure.kind == "later" else failure.kind
        source = self.bought.source(step) if self.bought else OFFLINE_STEPS
        return _finished(step, source, error=StepError(code=code, message=failure.error))

    def _offline(self, step: AskedStep, fallback: str | None = None) -> StepFinished:
        source = OFFLINE_STEPS.model_copy(update={"fallback": fallback})
        return _finished(step, source, step_offline(step))


def _finished(
    step: AskedStep, source: StepSource, output: Output | None = None, error: StepError | None = None
) -> StepFinished:
    """Return the answer; a judgement goes through the guard rails, whoever made it."""
    if output is not None and isinstance(step, JudgeStep):
        output = route_of(step, output)
    return StepFinished.of(step, output=output, error=error, source=source)
