"""The category of a message, from the sum of many weighted signals."""

import math
from collections.abc import Mapping

from leadline_contracts.inbound import Category, Classification
from leadline_inbound.lexicon import signals
from leadline_inbound.signals import STEERING, Reading, Seen, read_signals

_NAMED = 3
_STEERED = {"sales_new", "sales_existing", "support"}


def classify(text: str) -> Classification:
    """The category of any text, with how sure it is and why. Never raises; the same text, the same answer."""
    reading = read_signals(text)
    if nothing := _nothing_to_tell(reading):
        return nothing
    points = _points(reading)
    ranked = sorted(points, key=lambda category: -points[category])
    first, second = ranked[0], max(0.0, points[ranked[1]])
    scale = signals().scale
    if points[first] < scale.least:
        return Classification(category="unknown", confidence=scale.unsure, rationale=_unclear(reading))
    share = points[first] / (points[first] + second)
    confidence = share * (1 - math.exp(-points[first] / scale.strength))
    if reading.detected.language is None:
        confidence *= scale.unread_language
    confidence = round(min(scale.most, confidence), 2)
    return Classification(
        category=first, confidence=confidence, rationale=_why(reading, first, ranked[1], second)
    )


def _nothing_to_tell(reading: Reading) -> Classification | None:
    scale = signals().scale
    if STEERING in reading.seen and reading.greeting_only and not reading.message.links:
        words = _quoted(reading.seen[STEERING])
        if _STEERED & {category for name in reading.steered for category in signals().signal[name].weights}:
            why = f"It tries to steer its reader ({words}) and asks for something, too."
            return Classification(category="unknown", confidence=scale.unsure, rationale=why)
        return Classification(
            category="spam",
            confidence=0.7,
            rationale=f"It does nothing but try to steer its reader ({words}).",
        )
    if reading.greeting_only and not reading.message.links:
        why = "It is a greeting only." if "greeting" in reading.seen else "It has no words to read."
        return Classification(category="unknown", confidence=scale.nothing, rationale=why)
    return None


def _points(reading: Reading) -> dict[Category, float]:
    data = signals()
    points: dict[Category, float] = {"sales_new": 0, "sales_existing": 0, "support": 0, "spam": 0}
    for name, seen in reading.seen.items():
        for category, weight in data.signal[name].weights.items():
            points[category] += weight * seen.weight
    for together in data.together:
        if all(name in reading.seen for name in together.signals):
            for category, weight in together.weights.items():
                points[category] += weight
    if reading.detected.foreign and not {"amount", "link"} & reading.seen.keys():
        points = {category: data.scale.foreign * value for category, value in points.items()}
    if _evidence(reading.seen, "spam") < 2:
        points["spam"] *= data.scale.lone_spam
    if reading.detected.language is None and "links" not in reading.seen:
        points["spam"] = min(points["spam"], 0.0)  # words of a language nobody read are no spam
    return points


def _evidence(seen: Mapping[str, Seen], category: Category) -> int:
    return sum(
        known.count for name, known in seen.items() if signals().signal[name].weights.get(category, 0) > 0
    )


def _why(reading: Reading, category: Category, other: Category, points: float) -> str:
    said = f"For {category}: {_named(reading, category)}."
    if points >= signals().scale.least / 2:
        said += f" Against it, for {other}: {_named(reading, other)}."
    elif reading.detected.language is None:
        said += " Its language is not known."
    return said


def _named(reading: Reading, category: Category) -> str:
    def weight(name: str) -> float:
        weights = signals().signal[name].weights
        own = weights.get(category, 0.0)
        return own * reading.seen[name].weight if own >= max(weights.values(), default=0) / 2 else 0.0

    names = sorted((name for name in reading.seen if weight(name) > 0), key=lambda name: -weight(name))
    parts = [f"{signals().signal[name].says} ({_quoted(reading.seen[name])})" for name in names[:_NAMED]]
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]])) or "signals that stand together"


def _quoted(seen: Seen) -> str:
    return ", ".join(f'"{words}"' for words in seen.evidence[:2])


def _unclear(reading: Reading) -> str:
    known = [signals().signal[name].says for name in reading.seen if name != "greeting"]
    told = f"All that was seen is {' and '.join(known[:_NAMED])}" if known else "No known signal was seen"
    language = "" if reading.detected.language else ", and its language is not known"
    return f"{told}{language}; that is too little to tell."
