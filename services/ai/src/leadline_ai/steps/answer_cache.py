"""The answer cache of steps: a stored output is used again, a missing one is requested and stored."""

import json
from dataclasses import dataclass, field

from leadline_ai.budget.reservations import Reservations
from leadline_ai.cache.keyed_lock import KeyedLock
from leadline_ai.cache.retry import retry_until_stored
from leadline_ai.cache.store import AnswerStore, StoredAnswer
from leadline_ai.failures import Failure
from leadline_ai.steps.assessor import StepAssessor
from leadline_ai.steps.offline import Output
from leadline_ai.steps.step import AskedStep, prompt_of
from leadline_contracts.errors import Transient
from leadline_contracts.inbound import StepSource
from leadline_contracts.topology import MAX_ATTEMPTS


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAnswerCache:
    """Outputs by (owner, step, prompt version, provider and model): the same input, the same output.

    An output is stored before it is given out: none is paid for twice.
    """

    assessor: StepAssessor
    store: AnswerStore
    reservations: Reservations
    _lock: KeyedLock = field(default_factory=KeyedLock)

    async def answer(self, step: AskedStep, attempt: int) -> Output | Failure:
        """Return the step's output, or why there is none. Raises Unavailable; Transient to be redelivered."""
        key = self.assessor.key(step)
        async with self._lock.hold((step.owner, key)):
            return await self._look_up(step, key, attempt)

    async def _look_up(self, step: AskedStep, key: str, attempt: int) -> Output | Failure:
        called = f"{step.step}:{step.epoch}"
        known = (await self.store.answers(step.owner, [key])).get(key)
        if known is not None:
            output: Output = json.loads(known.answer)
            return output

        async def keep(output: Output) -> None:
            await retry_until_stored(
                lambda: self.store.keep_answers(step.owner, [self._stored(step, key, output)])
            )

        async def note(calls: int) -> None:
            await retry_until_stored(lambda: self.store.note_calls(step.workflow_id, {called: calls}))

        before = await self.store.calls(step.workflow_id, [called])
        async with self.reservations.account(step.owner, step.workflow_id, 0) as account:
            outcome = await self.assessor.ask(step, account, before.get(called, 0), keep, note)
        if isinstance(outcome, Failure) and outcome.kind == "later" and attempt < MAX_ATTEMPTS:
            raise Transient(outcome.error)
        return outcome

    def source(self, step: AskedStep) -> StepSource:
        """Return which model and prompt are asked."""
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
