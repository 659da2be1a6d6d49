"""The offline assessor's part in a message's workflow, and the guard rails of every routing."""

from leadline_contracts.inbound import (
    ClassifyStep,
    ExtractStep,
    Judgement,
    JudgeStep,
    Routing,
    StepSource,
    checked_output,
)
from leadline_inbound.classify import classify
from leadline_inbound.extract import extract
from leadline_inbound.guard_rails import guard_rails
from leadline_inbound.prioritise import judge

Output = dict[str, object]
"""A step's output as JSON has it."""

OFFLINE_STEPS = StepSource(source="offline", assessor="offline", prompt="offline.v1")
"""How the offline assessor's outputs are marked."""


def step_offline(step: ClassifyStep | ExtractStep | JudgeStep) -> Output:
    """Return the offline assessor's output for a step: always the same for the same step."""
    match step:
        case ClassifyStep():
            return checked_output(step.step, classify(step.input.message).model_dump(mode="json"))
        case ExtractStep(classification=known, input=message):
            fields = extract(
                message.message,
                known.category,
                message.contact_channel,
                message.name,
                step.received_at.date(),
            )
            return checked_output(step.step, fields.model_dump(mode="json"))
        case JudgeStep(classification=known):
            judged = judge(known.category, known.confidence, step.extraction, step.default)
            return judged.model_dump(mode="json")


def route_of(step: JudgeStep, proposed: Output) -> Output:
    """Return the route for a proposed judgement; where a guard rail changed it, both are kept."""
    judged, known = Judgement.model_validate(proposed), step.classification
    guarded = guard_rails(known.category, known.confidence, step.extraction.language, judged, step.default)
    return Routing.model_validate(
        {
            **vars(guarded.judgement),
            "default": step.default,
            "proposed": judged if guarded.changes else None,
            "guard_rails": list(guarded.changes),
        }
    ).model_dump(mode="json")
