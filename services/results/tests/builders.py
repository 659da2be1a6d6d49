"""Chunks of leads, the layers' answers to them, records and what a queue holds, for the tests of results."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry

from leadline_common.broker.chunks import chunk_message
from leadline_common.broker.port import Broker, Message
from leadline_contracts.envelope import LOCAL_OWNER
from leadline_contracts.scoring import (
    AiChunkScored,
    AiScored,
    AiSpend,
    AiStatus,
    Factor,
    Intent,
    Lead,
    LeadsAccepted,
    Offer,
    RuleScored,
    RulesScored,
    RunCancelled,
    RunPublished,
    RunStarted,
)
from leadline_contracts.topology import Queue
from leadline_results.runs.metrics import ResultMetrics
from leadline_results.runs.record import Record, conclude, gather, merge

COUNTED = ResultMetrics(CollectorRegistry())
"""For tests that ask for no figures."""
START = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
OFFER = Offer(id="offer", name="AI Outreach", value_props=["24/7 outreach"], ideal_use_cases=["B2B SaaS"])
VERSION = "rules-1"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def advance(self, **span: float) -> None:
        """Move on by a timedelta's arguments."""
        self.time += timedelta(**span)


def chunk(*lead_ids: str, run_id: str, name: str = "1") -> LeadsAccepted:
    """A chunk of leads that differ by their ids."""
    return LeadsAccepted(
        owner=LOCAL_OWNER,
        run_id=run_id,
        chunk=name,
        offer_id=OFFER.id,
        model="standard",
        upload_id="upload",
        offer=OFFER,
        leads=[Lead(id=lead_id, name=f"Name of {lead_id}", role="CEO") for lead_id in lead_ids],
    )


def rule_answer(lead_id: str, points: int = 20, error: str | None = None) -> RuleScored:
    """What the rules say of one lead: points with a factor that earns them, or an error."""
    if error is not None:
        return RuleScored(lead_id=lead_id, error=error)
    earned = Factor(layer="rules", factor="role", points=points, max=50, evidence="'CEO' decides")
    return RuleScored(lead_id=lead_id, points=points, factors=[earned])


def ai_answer(
    lead_id: str, intent: Intent = "High", error: str | None = None, status: AiStatus | None = None
) -> AiScored:
    """What the AI says of one lead: an intent, or an error."""
    about: dict[str, Any] = {"lead_id": lead_id, "source": "offline", "assessor": "offline-1", "prompt": "p1"}
    if error is not None:
        return AiScored(**about, status=status or "failed", error=error)
    about |= {"intent": intent, "confidence": 0.8, "reasoning": f"{lead_id} decides."}
    return AiScored(**about, status=status or "answered")


def by_rules(leads: LeadsAccepted, points: int = 20, error: str | None = None) -> RulesScored:
    """The rules' answers to a chunk."""
    answers = [rule_answer(lead.id, points, error) for lead in leads.leads]
    return RulesScored(**_ref(leads), model_version=VERSION, scores=answers)


def by_ai(
    leads: LeadsAccepted,
    intent: Intent = "High",
    error: str | None = None,
    status: AiStatus | None = None,
    spend: AiSpend | None = None,
) -> AiChunkScored:
    """The AI's answers to a chunk."""
    answers = [ai_answer(lead.id, intent, error, status) for lead in leads.leads]
    return AiChunkScored(**_ref(leads), scores=answers, spend=spend)


def all_of(leads: LeadsAccepted) -> list[Message]:
    """A chunk and both its scores, as messages."""
    return [chunk_message(leads), chunk_message(by_rules(leads)), chunk_message(by_ai(leads))]


def published(run_id: str, total: int) -> RunPublished:
    """The word that all of a run is queued."""
    return RunPublished(owner=LOCAL_OWNER, run_id=run_id, offer_id=OFFER.id, model="standard", total=total)


def cancelled(run_id: str, total: int) -> RunCancelled:
    """The word that a run was cancelled when so much of it was queued."""
    return RunCancelled(owner=LOCAL_OWNER, run_id=run_id, offer_id=OFFER.id, model="standard", total=total)


def started(run_id: str, *, refresh: bool = False) -> RunStarted:
    """The word that a run was asked for."""
    return RunStarted(owner=LOCAL_OWNER, run_id=run_id, offer=OFFER, model="standard", refresh=refresh)


def done_record(
    lead: Lead, *, run_id: str = "run", points: int = 20, intent: Intent = "High", **changes: object
) -> Record:
    """A scored record, as its parts make it; `changes` overrule what they make."""
    leads = chunk(run_id=run_id).model_copy(update={"leads": [lead]})
    [parts] = gather([leads, by_rules(leads, points), by_ai(leads, intent)]).values()
    return conclude(merge(None, parts), START).model_copy(update=changes)


async def drained(broker: Broker, queue: Queue) -> list[Message]:
    """Take every message that waits out of a queue."""
    waiting = await broker.depth(queue.name)
    subscription = await broker.subscribe(queue, waiting + 1)
    deliveries = [await subscription.receive() for _ in range(waiting)]
    await asyncio.gather(*(delivery.ack() for delivery in deliveries))
    await subscription.close()
    return [delivery.message for delivery in deliveries]


def _ref(leads: LeadsAccepted) -> dict[str, Any]:
    return leads.model_dump(include={"owner", "run_id", "chunk", "offer_id", "model"})
