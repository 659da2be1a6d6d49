"""The step `route` in; the step `judge` out, with the default queue and the signals for it."""

from collections.abc import Sequence

from leadline_common.broker.chunks import message_of
from leadline_common.broker.consumer import Handler
from leadline_common.broker.port import Message
from leadline_contracts.errors import Permanent
from leadline_contracts.inbound import JudgeStep, RouteDefault, RouteStep, StepError, StepFinished
from leadline_inbound.route import default_route


class RouteHandler(Handler):
    """Stateless: the same step always gives the same message."""

    async def handle(self, messages: Sequence[Message]) -> list[Message]:
        """Work out the default of every step, and pass the step on with it."""
        return [_passed_on(RouteStep.decode(message.body), message) for message in messages]

    def on_dead_letter(self, message: Message, error: str) -> list[Message]:
        """End the step with the error, so that its workflow does not wait."""
        try:
            step = RouteStep.decode(message.body)
        except Permanent:
            return []
        finished = StepFinished.of(step, error=StepError(code="broken", message=error))
        return [message_of(finished, f"{message.id}:{StepFinished.TYPE}", message.trace)]


def default_of(step: RouteStep) -> RouteDefault:
    """Return the default queue of a message by the rules, and the signals in it."""
    known = step.classification
    return default_route(known.category, known.confidence, step.extraction, step.input.message)


def _passed_on(step: RouteStep, message: Message) -> Message:
    judge = JudgeStep(**vars(step), default=default_of(step))
    return message_of(judge, f"{message.id}:{JudgeStep.TYPE}", message.trace)
