"""The policy of who answers a step: the chosen assessor; where it fails, the offline one or none."""

from dataclasses import dataclass

from leadline_ai.failures import Failure, OnFailure
from leadline_ai.steps.answer_cache import StepAnswerCache
from leadline_ai.steps.offline import OFFLINE_STEPS, Output, route_of, step_offline
from leadline_ai.steps.step import AskedStep
from leadline_contracts.inbound import JudgeStep, StepError, StepFinished, StepSource


@dataclass(frozen=True, slots=True)
class StepPolicy:
    """`cache` is the language model with its answer cache, None where the offline assessor is chosen."""

    cache: StepAnswerCache | None = None
    on_failure: OnFailure = "fallback"

    async def answer(self, step: AskedStep, attempt: int) -> StepFinished:
        """Answer a step in the `attempt`-th delivery of its message. Raises as StepAnswerCache does."""
        if self.cache is None:
            return self._offline(step)
        outcome = await self.cache.answer(step, attempt)
        if isinstance(outcome, Failure):
            return self.without_answer(step, outcome)
        return _finished(step, self.cache.source(step), outcome)

    def without_answer(self, step: AskedStep, failure: Failure) -> StepFinished:
        """Answer a step that the chosen assessor gave no output for."""
        if self.on_failure == "fallback":
            return self._offline(step, failure.error)
        source = self.cache.source(step) if self.cache else OFFLINE_STEPS
        match failure.kind:
            case "later" | "cancelled":
                error = StepError(code="unavailable", message=failure.error)
            case code:
                error = StepError(code=code, message=failure.error)
        return _finished(step, source, error=error)

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
