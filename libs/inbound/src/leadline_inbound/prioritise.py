"""How soon a message is answered, and what is done: the judgement without a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from leadline_contracts.inbound import (
    SLA_MINUTES,
    Category,
    Extraction,
    Judgement,
    Priority,
    RouteDefault,
    RouteQueue,
)
from leadline_inbound.lexicon import routing
from leadline_inbound.message import excerpt

_SENTENCE = 600
_FOLLOWUPS = 10

_Weighed = Literal["urgency", "budget", "churn_risk", "timeline", "severity", "complaint", "sentiment"]
_ORDER: Final[tuple[_Weighed, ...]] = (
    "urgency", "severity", "budget", "churn_risk", "timeline", "complaint", "sentiment",
)  # fmt: skip
_ASKED: Final[Mapping[Category, tuple[str, ...]]] = {
    "sales_new": ("service_interest", "timeline", "location", "budget_range"),
    "sales_existing": ("account_hint",),
    "support": ("customer_name",),
    "spam": (),
    "unknown": (),
}
"""The fields each category needs for an answer."""


@dataclass(frozen=True, slots=True)
class _Weight:
    """One term of the priority's sum: its strength (0..1), its weight, and the words for it."""

    what: _Weighed
    strength: float
    points: float
    words: str

    @property
    def quoted(self) -> str:
        """The words as part of an explanation."""
        return f' ("{excerpt(self.words, 40)}")' if self.words else ""


def judge(category: Category, confidence: float, extraction: Extraction, default: RouteDefault) -> Judgement:
    """The judgement without a model: the default queue, and a priority by the sum of all that was weighed.

    p0 needs a high sum and two signals of weight, so that no single word is enough. Spam is p2, and a message
    that needs a question back is p1 at most, since its category is unclear. The greater the sum, the shorter
    the time within the priority's range. The signal `injection` adds nothing to the sum.
    """
    weights = _weigh(extraction, default)
    total = sum(weight.points for weight in weights)
    priority = _priority(category, default, total)
    return Judgement(
        queue=default.queue,
        priority=priority,
        sla_minutes=_sla(priority, total),
        recommended_next_action=_action(default.queue, extraction),
        required_followups=_followups(category, default, extraction),
        explanation=_explanation(
            f"{category} ({confidence:.2f}) goes to {default.queue} as {priority}", weights, total
        ),
    )


def _weigh(extraction: Extraction, default: RouteDefault) -> list[_Weight]:
    levels, shares = routing().levels, routing().weights
    seen = {signal.kind: signal for signal in default.signals if signal.kind != "injection"}
    strengths: dict[_Weighed, float] = {
        "urgency": levels.urgency[extraction.urgency],
        "budget": levels.budget[extraction.budget_range],
        "timeline": levels.timeline[extraction.timeline],
        "severity": levels.severity[getattr(extraction, "severity", "low")],
    }
    for kind in ("churn_risk", "complaint", "sentiment"):
        if kind in seen:
            strengths[kind] = seen[kind].strength
    weights = []
    for what in _ORDER:
        if strength := strengths.get(what, 0.0):
            words = next((signal.evidence for kind, signal in seen.items() if kind == what), "")
            weights.append(_Weight(what, strength, strength * getattr(shares, what), words))
    return sorted(weights, key=lambda weight: -weight.points)


def signals_of_weight(default: RouteDefault) -> int:
    """How many signals of weight were seen; two in the same words are one, and `injection` is none."""
    least = routing().priority.of_weight
    return len({s.evidence for s in default.signals if s.kind != "injection" and s.strength >= least})


def _priority(category: Category, default: RouteDefault, total: float) -> Priority:
    rules = routing().priority
    if category == "spam" or default.queue == "ignore" or total < rules.p1:
        return "p2"
    p0 = total >= rules.p0 and signals_of_weight(default) >= rules.p0_signals
    return "p0" if p0 and default.queue != "needs_clarification" else "p1"


def _sla(priority: Priority, total: float) -> int:
    rules = routing().priority
    least, most = SLA_MINUTES[priority]
    low, high = {"p0": (rules.p0, rules.most), "p1": (rules.p1, rules.p0), "p2": (0.0, rules.p1)}[priority]
    share = min(1.0, max(0.0, (total - low) / (high - low)))
    return round(most - (most - least) * share)


def _action(queue: RouteQueue, extraction: Extraction) -> str:
    if queue in {"sales", "support"}:
        for field in ("change_request", "issue_type", "lead_type"):
            known = routing().actions_for.get(getattr(extraction, field, ""))
            if known:
                return known
    return routing().actions[queue]


def _followups(category: Category, default: RouteDefault, extraction: Extraction) -> list[str]:
    if default.queue == "ignore":
        return []
    known = routing().followups
    missing = [field for field in _ASKED[category] if getattr(extraction, field, None) in {None, "unknown"}]
    asked = [known[name] for name in (*missing, *getattr(extraction, "missing_info", ()))]
    if any(signal.kind == "injection" for signal in default.signals):
        asked.append(known["injection"])
    return list(dict.fromkeys(asked))[:_FOLLOWUPS]


def _explanation(what: str, weights: list[_Weight], total: float) -> str:
    if not weights:
        return f"{what}: nothing in it calls for haste."
    named = [
        f"{weight.what.replace('_', ' ')} {weight.strength:.1f}{weight.quoted}" for weight in weights[:3]
    ]
    return excerpt(f"{what}. What was weighed adds up to {total:.2f} of 1: {', '.join(named)}.", _SENTENCE)
