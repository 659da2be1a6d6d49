"""Steps of workflows, a model that answers them, and the service's own code that asks it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from leadline_ai.app import step_policy
from leadline_ai.metrics import AiMetrics
from leadline_ai.steps.policy import StepPolicy
from leadline_ai.steps.step import AskedStep
from leadline_ai.store import AiStore
from leadline_contracts.inbound import (
    Category,
    Classification,
    ClassifyStep,
    ExtractStep,
    JudgeStep,
    MessageSpec,
    RouteDefault,
    Signal,
    StepName,
)
from leadline_testing.model_request import Body, Request, schema_of
from leadline_testing.model_server import ModelServer

from .lead_cases import replica_parts

CATEGORIES: tuple[Category, ...] = ("sales_new", "sales_existing", "support", "spam", "unknown")
TEXT = "Could you clean our office in Leeds next week, and what would it cost?"
RECEIVED = datetime(2026, 5, 4, 9, 30, tzinfo=UTC)
CORE: dict[str, object] = {
    "customer_name": "Ava Patel",
    "service_interest": "office cleaning",
    "location": None,
    "urgency": "medium",
    "timeline": "<1w",
    "budget_range": "unknown",
    "language": "en",
    "confidence": 0.8,
}
BY_CATEGORY: dict[Category, dict[str, Any]] = {
    "sales_new": {"lead_type": "pricing", "service_date": "2026-05-11"},
    "sales_existing": {"account_hint": "order 17", "change_request": "cancel"},
    "support": {"issue_type": "billing", "severity": "high"},
    "spam": {"spam_reason": "promo"},
    "unknown": {"missing_info": ["timeline", "contact"]},
}
CLASSIFIED: dict[str, object] = {
    "category": "support",
    "confidence": 0.9,
    "rationale": "An invoice is wrong.",
}
JUDGED: dict[str, object] = {
    "queue": "support",
    "priority": "p1",
    "sla_minutes": 120,
    "recommended_next_action": "Check the invoice.",
    "required_followups": ["Ask for the invoice number."],
    "explanation": "A bill is wrong, and the tone is calm.",
}


def of_message(text: str = TEXT, **changes: Any) -> dict[str, Any]:
    """Return the fields of every step about this message."""
    spec = MessageSpec(name="Ava Patel", contact_channel="email", message=text)
    common = {"owner": "ann", "workflow_id": "workflow-1", "epoch": 1, "deadline": RECEIVED, "input": spec}
    return {**common, **changes}


def classified(category: Category = "support", confidence: float = 0.9) -> Classification:
    """Return a classification."""
    return Classification(category=category, confidence=confidence, rationale="As it says.")


def classify_step(text: str = TEXT, **changes: Any) -> ClassifyStep:
    """Return the first step of a message."""
    return ClassifyStep(step=StepName.CLASSIFY, **of_message(text, **changes))


def extract_step(category: Category = "support", text: str = TEXT, **changes: Any) -> ExtractStep:
    """Return the second step of a message of this category."""
    fields = {"classification": classified(category), "received_at": RECEIVED, **changes}
    return ExtractStep(step=StepName.EXTRACT, **of_message(text, **fields))


def extracted(category: Category = "support", **changes: Any) -> dict[str, Any]:
    """Return an extraction of this category as a contract has it."""
    known = {"category": category, "contact_channel": "email"}
    return {**CORE, **BY_CATEGORY[category], **known, **changes}


def judge_step(
    category: Category = "support",
    confidence: float = 0.9,
    language: str | None = "en",
    text: str = TEXT,
    **changes: Any,
) -> JudgeStep:
    """Return the last step of a message, whose rules say `support` and saw two signals of weight."""
    signals = [
        Signal(kind="urgency", strength=0.7, evidence="today"),
        Signal(kind="complaint", strength=0.7, evidence="is wrong"),
    ]
    fields = {
        "classification": classified(category, confidence),
        "extraction": extracted(category, language=language),
        "default": RouteDefault(queue="support", reason="By its category.", signals=signals),
        **changes,
    }
    return JudgeStep(step=StepName.ROUTE, **of_message(text, **fields))


EVERY_STEP: dict[str, AskedStep] = {
    "classify": classify_step(),
    **{f"extract-{category}": extract_step(category) for category in CATEGORIES},
    "judge": judge_step(),
}


def answer_step(body: Body) -> Any:
    """Answer a step's question validly, with the last value of each list of allowed ones."""
    return {name: _value(name, part) for name, part in schema_of(body)["properties"].items()}


def _value(name: str, schema: Any) -> Any:
    told = {"language": "en", "service_date": "2026-05-11", "sla_minutes": 600, "confidence": 0.9}
    if name in told:
        return told[name]
    if "enum" in schema:
        return schema["enum"][-1]
    return [_value("", schema["items"])] if schema.get("type") == "array" else "What the message says."


@asynccontextmanager
async def step_replica(
    server: ModelServer, store: AiStore, metrics: AiMetrics | None = None, **settings: Any
) -> AsyncIterator[StepPolicy]:
    """Open a replica's policy for steps, which asks the server; its waits between calls are short."""
    async with replica_parts(server, store, metrics, **settings) as (parts, told):
        policy = step_policy(parts, told)
        assert policy.cache is not None
        assessor = replace(policy.cache.assessor, first_wait=0.005, longest_wait=0.01)
        yield replace(policy, cache=replace(policy.cache, assessor=assessor))


def correction_in(request: Request) -> str:
    """Return what a request says after the message and its facts: what was wrong with an earlier answer."""
    return request.user_text.rsplit(">", 1)[1].strip()
