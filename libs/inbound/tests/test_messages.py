"""Messages as people write them, in five languages, and what each is read as.

The messages are in `messages.toml`. Those with a `known_limit` are read wrongly today; they stay in
the counts, and none of them may be read as something it is not with enough confidence to be ignored.
"""

import tomllib
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from leadline_inbound.classify import classify
from leadline_inbound.extract import extract
from leadline_inbound.route import default_route
from leadline_testing.tables import every_row

RECEIVED = date(2026, 11, 20)  # a Friday
DATA = Path(__file__).with_name("messages.toml")
MESSAGES: list[dict[str, Any]] = tomllib.loads(DATA.read_text(encoding="utf-8"))["message"]
READ = [message for message in MESSAGES if "known_limit" not in message]
MISREAD = [message for message in MESSAGES if "known_limit" in message]
LEAST_ACCURACY = {"en": 0.9, "es": 0.9, "de": 0.85, "fr": 0.9, "pt": 0.95, "": 1.0}
LEAST_FRESH_ACCURACY = 12 / 20


def title(message: dict[str, Any]) -> str:
    """Return the beginning of a message as the name of its test."""
    return " ".join(message["text"].split())[:40]


@every_row("message", READ)
def test_reads_message(message: dict[str, Any]) -> None:
    """A message is of the category, in the language and with the fields that a person would give it."""
    classified = classify(message["text"])
    assert classified.category == message["category"], classified.rationale
    extraction = extract(message["text"], classified.category, "whatsapp", None, RECEIVED)
    assert (extraction.language or "") == message["language"]
    wanted = {
        name: value.isoformat() if isinstance(value, date) else value
        for name, value in message.get("fields", {}).items()
    }
    assert {field: getattr(extraction, field) for field in wanted} == wanted


@every_row("message", MISREAD)
def test_known_limits_are_still_limits(message: dict[str, Any]) -> None:
    """A documented limit that no longer is one is to be taken out of the list, and none costs a customer."""
    classified = classify(message["text"])
    assert classified.category != message["category"], "it is read rightly now: remove its known_limit"
    extraction = extract(message["text"], classified.category, "whatsapp", None, RECEIVED)
    route = default_route(classified.category, classified.confidence, extraction, message["text"])
    assert route.queue != "ignore"


@pytest.mark.parametrize("language", LEAST_ACCURACY)
def test_accuracy_by_language(language: str) -> None:
    """No language falls behind the others unnoticed; messages that are misread count."""
    messages = [message for message in MESSAGES if message["language"] == language]
    right = Counter(classify(message["text"]).category == message["category"] for message in messages)
    assert right[True] / len(messages) >= LEAST_ACCURACY[language], right


def test_accuracy_on_fresh_messages() -> None:
    """What the phrases make of messages they were never fitted to; the rest is asked back, not misrouted."""
    fresh = MESSAGES[-20:]
    right = [message for message in fresh if classify(message["text"]).category == message["category"]]
    assert len(right) / len(fresh) >= LEAST_FRESH_ACCURACY
    for message in fresh:
        if message not in right:
            read = classify(message["text"])
            extraction = extract(message["text"], read.category, "email", None, RECEIVED)
            route = default_route(read.category, read.confidence, extraction, message["text"])
            assert route.queue == "needs_clarification"


@every_row("message", MESSAGES)
def test_reasons_are_short_and_quote_the_message(message: dict[str, Any]) -> None:
    """A rationale fits its field, is one line, and quotes nothing longer than a phrase."""
    rationale = classify(message["text"]).rationale
    assert 0 < len(rationale) <= 600
    assert len(rationale.splitlines()) == 1
    assert all(len(quoted) <= 40 for quoted in rationale.split('"')[1::2])
