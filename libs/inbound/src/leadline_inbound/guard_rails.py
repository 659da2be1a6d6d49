"""The bounds that hold for every judgement, whoever made it.

1. Spam that is sure enough is ignored; whatever is not sure spam is never ignored.
2. A low confidence needs a question back.
3. Spam is p2.
4. p0 needs two signals of weight, in different words, among those that the rules saw. This holds where the
   rules read the language or saw words meant to steer the reader; in other languages they see too few
   signals to overrule p0.
5. The time to a first answer is inside the range of the priority.
"""

from dataclasses import dataclass

from leadline_contracts.inbound import SLA_MINUTES, Category, Judgement, RouteDefault, RouteQueue
from leadline_inbound.lexicon import LANGUAGES, routing
from leadline_inbound.message import excerpt
from leadline_inbound.prioritise import signals_of_weight

_SENTENCE = 600


@dataclass(frozen=True, slots=True)
class Guarded:
    """A judgement within bounds, and a sentence for each thing that was changed, empty where nothing was."""

    judgement: Judgement
    changes: tuple[str, ...]


def guard_rails(
    category: Category,
    confidence: float,
    language: str | None,
    proposed: Judgement,
    default: RouteDefault,
) -> Guarded:
    """The judgement within the bounds. One that is within them already comes back as it is; never raises.

    Where the queue is changed, the action and the explanation are those of the new queue.
    """
    judgement, changes = proposed, list[str]()
    for rail in (_guard_queue, _guard_priority):
        judgement, change = rail(category, confidence, language, judgement, default)
        changes += change
    judgement, change = _guard_sla(judgement)
    return Guarded(judgement, (*changes, *change))


def _guard_queue(
    category: Category, confidence: float, language: str | None, judgement: Judgement, default: RouteDefault
) -> tuple[Judgement, list[str]]:
    queue, why = _bounded_queue(category, confidence, language, judgement.queue, default)
    if queue == judgement.queue:
        return judgement, []
    change = f"{judgement.queue} became {queue}: {why}."
    changed = {
        "queue": queue,
        "recommended_next_action": routing().actions[queue],
        "required_followups": [] if queue == "ignore" else judgement.required_followups,
        "explanation": excerpt(f"{change[0].upper()}{change[1:]}", _SENTENCE),
    }
    return judgement.model_copy(update=changed), [change]


def _bounded_queue(
    category: Category, confidence: float, language: str | None, queue: RouteQueue, default: RouteDefault
) -> tuple[RouteQueue, str]:
    rules = routing().default
    if category == "spam":
        needed = rules.ignore_from if language else rules.ignore_unread
        if confidence >= needed:
            return "ignore", "spam is not answered"
        unread = "" if language else " in a language that is not known"
        return (
            "needs_clarification",
            f"spam{unread} is ignored from a confidence of {needed:.2f}, and this has {confidence:.2f}",
        )
    if confidence < rules.clarify_below:
        return (
            "needs_clarification",
            f"a confidence of {confidence:.2f} is less than {rules.clarify_below:.2f}",
        )
    if queue == "ignore":
        instead = "needs_clarification" if default.queue == "ignore" else default.queue
        return instead, f"only spam is ignored, and this is {category}"
    return queue, ""


def _guard_priority(
    category: Category, confidence: float, language: str | None, judgement: Judgement, default: RouteDefault
) -> tuple[Judgement, list[str]]:
    if judgement.priority != "p2" and (category == "spam" or judgement.queue == "ignore"):
        return judgement.model_copy(update={"priority": "p2"}), [
            f"{judgement.priority} became p2: spam waits."
        ]
    rules = routing().priority
    steered = any(signal.kind == "injection" for signal in default.signals)
    read = language in LANGUAGES or steered
    weighty = signals_of_weight(default)
    if judgement.priority == "p0" and read and weighty < rules.p0_signals:
        change = (
            f"p0 became p1: it needs {rules.p0_signals} signals of weight in different words, "
            f"and the rules saw {weighty or 'none'}."
        )
        return judgement.model_copy(update={"priority": "p1"}), [change]
    return judgement, []


def _guard_sla(judgement: Judgement) -> tuple[Judgement, list[str]]:
    least, most = SLA_MINUTES[judgement.priority]
    minutes = min(most, max(least, judgement.sla_minutes))
    if minutes == judgement.sla_minutes:
        return judgement, []
    was = judgement.sla_minutes
    change = f"{was} minutes became {minutes}: {judgement.priority} takes {least} to {most}."
    return judgement.model_copy(update={"sla_minutes": minutes}), [change]
