"""Steps of workflows in, their answers out."""

from collections.abc import Sequence

from leadline_ai.failures import Failure
from leadline_ai.metrics import AiMetrics
from leadline_ai.steps.policy import StepPolicy
from leadline_ai.steps.step import STEPS, AskedStep
from leadline_common.broker.chunks import message_of
from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Message
from leadline_contracts.errors import Permanent
from leadline_contracts.inbound import StepFinished


class StepHandler(Handler):
    """Answers the steps that ask for a judgement."""

    def __init__(self, policy: StepPolicy, metrics: AiMetrics) -> None:
        self._policy = policy
        self._metrics = metrics

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Answer every step."""
        return [await self._answer(message) for message in messages]

    def on_dead_letter(self, message: Message, error: str) -> list[Message]:
        """Answer without the chosen assessor, so that the workflow does not wait for this step."""
        try:
            step = _decode(message)
        except Permanent:
            return []
        failure = Failure(step.workflow_id, "unavailable", error)
        finished = self._policy.without_answer(step, failure)
        self._metrics.count_step(finished)
        return [_finished_message(finished, message)]

    async def _answer(self, message: Message) -> Message:
        finished = await self._policy.answer(_decode(message), message.attempt)
        self._metrics.count_step(finished)
        return _finished_message(finished, message)


def _decode(message: Message) -> AskedStep:
    kind = STEPS.get(message.type)
    if kind is None:
        raise Permanent(f"ai does not know the type {message.type}")
    return kind.decode(message.body)


def _finished_message(finished: StepFinished, asked: Message) -> Message:
    return message_of(finished, f"{asked.id}:{StepFinished.TYPE}", asked.trace)
