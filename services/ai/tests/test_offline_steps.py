"""The offline assessor's answers to all steps, and the guard rails of every route."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadline_ai.steps.offline import route_of, step_offline
from leadline_contracts.inbound import (
    SLA_MINUTES,
    Category,
    Classification,
    Judgement,
    JudgeStep,
    MessageSpec,
    Priority,
    RouteDefault,
    RouteQueue,
    Signal,
    StepName,
    checked_output,
)
from leadline_testing.tables import every_row

from .step_cases import CATEGORIES, JUDGED, classified, classify_step, extract_step, extracted, judge_step

QUEUES: tuple[RouteQueue, ...] = ("sales", "support", "ignore", "needs_clarification")
PRIORITIES: tuple[Priority, ...] = ("p0", "p1", "p2")
MESSAGES = [
    ("Could you send me a quote for cleaning our office? Our budget is 3000 euros.", "sales_new", "en"),
    ("¿Cuánto cuesta una limpieza de oficina? Quiero un presupuesto, por favor.", "sales_new", "es"),
    ("Was kostet eine Büroreinigung? Ich hätte gern ein Angebot, bitte.", "sales_new", "de"),
    ("Combien coûte un nettoyage de bureau ? Je voudrais un devis, merci.", "sales_new", "fr"),
    ("Quanto custa uma limpeza de escritório? Gostaria de um orçamento, por favor.", "sales_new", "pt"),
    ("The invoice you sent me is wrong and nobody answers my complaint.", "support", "en"),
    ("I would like to reschedule my appointment that I booked with you.", "sales_existing", "en"),
    ("WIN a FREE prize now!!! Click http://win.example and buy our SEO service.", "spam", "en"),
    ("Hello", "unknown", None),
]
TEXTS = st.text(min_size=1, max_size=300).filter(str.strip)
JUDGEMENTS = st.builds(
    Judgement,
    queue=st.sampled_from(QUEUES),
    priority=st.sampled_from(PRIORITIES),
    sla_minutes=st.integers(1, 100_000),
    recommended_next_action=st.just("Call."),
    required_followups=st.lists(st.just("Ask for the date."), max_size=10),
    explanation=st.just("As it says."),
)
SIGNALS = st.builds(
    Signal,
    kind=st.sampled_from(["urgency", "budget", "churn_risk", "injection"]),
    strength=st.floats(0, 1),
    evidence=st.sampled_from(["today", "3000 euros", "or we leave"]),
)
DEFAULTS = st.builds(
    RouteDefault,
    queue=st.sampled_from(QUEUES),
    reason=st.just("By its category."),
    signals=st.lists(SIGNALS, max_size=4),
)


def routed(step: JudgeStep, **proposed: object) -> dict[str, Any]:
    """Return the route that holds of a judgement with these changes."""
    return route_of(step, JUDGED | proposed)


@every_row(("text", "category", "language"), MESSAGES)
def test_a_message_is_read_in_its_language(text: str, category: Category, language: str | None) -> None:
    """Without a key an ordinary message has its category, and the fields of that category."""
    found = step_offline(classify_step(text))
    fields = step_offline(extract_step(category, text))

    assert found["category"] == category
    assert fields["category"] == category
    assert fields["contact_channel"] == "email"
    if language is not None:
        assert fields["language"] == language


def test_what_is_said_is_extracted() -> None:
    """Dates count from the day the message was received, the name is the sender's."""
    text = "Hi, I'm Ben. What would a quote for window cleaning in Leeds on May 11 cost? I have 800 euros."
    fields = step_offline(
        extract_step("sales_new", text, input=MessageSpec(name=None, contact_channel="webchat", message=text))
    )

    assert fields["customer_name"] == "Ben"
    assert fields["service_date"] == "2026-05-11"
    assert fields["budget_range"] == "500-2000"
    assert fields["contact_channel"] == "webchat"


@given(text=TEXTS, category=st.sampled_from(CATEGORIES), name=st.none() | st.text(max_size=500))
@settings(max_examples=60, deadline=None)
def test_any_message_gets_outputs_that_fit(text: str, category: Category, name: str | None) -> None:
    """No text fails a step; the same step gets the same answer, each whole as its contract asks."""
    spec = MessageSpec(name=name, contact_channel="whatsapp", message=text)
    classify, extract = classify_step(input=spec), extract_step(category, input=spec)
    found, fields = step_offline(classify), step_offline(extract)
    judge = judge_step(input=spec, classification=Classification.model_validate(found), extraction=fields)
    route = route_of(judge, step_offline(judge))

    assert (step_offline(classify), step_offline(extract)) == (found, fields)
    for step, output in [(StepName.CLASSIFY, found), (StepName.EXTRACT, fields), (StepName.ROUTE, route)]:
        assert checked_output(step, output) == output
    assert fields["category"] == category


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_offline_judgement_is_within_bounds(category: Category) -> None:
    """What the offline assessor proposes of a sure message no guard rail has to change, but a queue."""
    step = judge_step(category, 0.95)
    judged = step_offline(step)

    assert Judgement.model_validate(judged).model_dump(mode="json") == judged
    route = route_of(step, judged)
    if category != "spam":
        assert (route["proposed"], route["guard_rails"]) == (None, [])


@given(
    proposed=JUDGEMENTS,
    default=DEFAULTS,
    category=st.sampled_from(CATEGORIES),
    confidence=st.floats(0, 1),
    language=st.sampled_from([None, "en", "de", "tr"]),
)
@settings(deadline=None)
def test_every_route_is_within_bounds(
    proposed: Judgement, default: RouteDefault, category: Category, confidence: float, language: str | None
) -> None:
    """Whatever is proposed: only sure spam is ignored, spam waits, the SLA fits; both are kept or neither."""
    step = judge_step(category, confidence, language, default=default)
    said = proposed.model_dump(mode="json")
    route: Any = route_of(step, said)

    assert checked_output(StepName.ROUTE, route) == route
    assert (route["queue"] == "ignore") <= (category == "spam" and confidence >= 0.6)
    assert (category == "spam") <= (route["queue"] in {"ignore", "needs_clarification"})
    assert (category == "spam" or route["queue"] == "ignore") <= (route["priority"] == "p2")
    least, most = SLA_MINUTES[route["priority"]]
    assert least <= route["sla_minutes"] <= most
    assert route["default"] == default.model_dump(mode="json")
    kept = {name: route[name] for name in said}
    assert route["proposed"] == (None if kept == said else said)
    assert bool(route["guard_rails"]) == (kept != said)


@every_row("language", [None, "tr", "en"])
@every_row("queue", QUEUES)
@every_row("priority", PRIORITIES)
def test_sure_spam_is_ignored_whatever_is_said(language: str | None, queue: str, priority: str) -> None:
    """A message that talks a model into a sale in the last step has gained nothing."""
    route = routed(judge_step("spam", 0.95, language), queue=queue, priority=priority)

    assert (route["queue"], route["priority"]) == ("ignore", "p2")
    assert route["required_followups"] == (JUDGED["required_followups"] if queue == "ignore" else [])


@pytest.mark.parametrize(("confidence", "queue"), [(0.59, "needs_clarification"), (0.6, "ignore")])
def test_unsure_spam_is_asked_back(confidence: float, queue: str) -> None:
    """What may be a customer is not ignored."""
    assert routed(judge_step("spam", confidence), queue="ignore")["queue"] == queue


@pytest.mark.parametrize(("language", "queue"), [(None, "needs_clarification"), ("en", "ignore")])
def test_a_language_nobody_read_is_not_spam(language: str | None, queue: str) -> None:
    """Where the language is not known, more is needed to ignore a message than where it is."""
    assert routed(judge_step("spam", 0.7, language), queue="ignore")["queue"] == queue
    for category in ("sales_new", "sales_existing", "support", "unknown"):
        assert routed(judge_step(category, 0.9, language), queue="ignore")["queue"] != "ignore"


@every_row("category", ["sales_new", "sales_existing", "support", "unknown"])
@every_row("queue", QUEUES)
def test_a_low_confidence_needs_clarification(category: Category, queue: str) -> None:
    """Nobody is sent a message of which it is a guess what it is, and it is never ignored."""
    route = routed(judge_step(category, 0.44), queue=queue)

    assert route["queue"] == "needs_clarification"
    assert bool(route["guard_rails"]) == (queue != "needs_clarification")


@pytest.mark.parametrize("priority", PRIORITIES)
@pytest.mark.parametrize("proposed", [1, 100_000])
def test_the_sla_is_clamped_to_its_priority(priority: Priority, proposed: int) -> None:
    """The nearer end of the range holds, and the reason names both numbers."""
    route = routed(judge_step(), priority=priority, sla_minutes=proposed)
    expected = SLA_MINUTES[priority][0 if proposed == 1 else 1]

    assert route["sla_minutes"] == expected
    assert f"{proposed} minutes became {expected}" in route["guard_rails"][0]
    assert route["proposed"]["sla_minutes"] == proposed


def test_a_route_within_bounds_is_what_was_proposed() -> None:
    """No change is kept as no change."""
    route = routed(judge_step())

    assert {name: route[name] for name in JUDGED} == JUDGED
    assert (route["proposed"], route["guard_rails"]) == (None, [])


@pytest.mark.parametrize(("count", "priority"), [(0, "p1"), (1, "p1"), (2, "p0")])
def test_one_signal_makes_no_p0(count: int, priority: str) -> None:
    """A single word weighs too little for the shortest time, whoever proposes it."""
    signals = [
        Signal(kind="urgency", strength=0.9, evidence="today"),
        Signal(kind="churn_risk", strength=0.9, evidence="or we leave"),
    ]
    default = RouteDefault(queue="support", reason="By its category.", signals=signals[:count])
    route = routed(judge_step(default=default), priority="p0", sla_minutes=30)

    assert route["priority"] == priority


def test_an_extraction_without_a_language_is_judged() -> None:
    """A field that is not known is None in what is kept, and no reason to fail."""
    step = judge_step("unknown", 0.9, None, extraction=extracted("unknown", language=None))

    assert route_of(step, step_offline(step))["queue"] == "support"
    assert step.classification == classified("unknown")
