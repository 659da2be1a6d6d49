"""Chunks, and the service's own code over the real SDK, the local model server and a store."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from leadline_ai.app import ModelParts, choose_provider, lead_policy, model_parts
from leadline_ai.cancelled.lookup import CancelledRuns
from leadline_ai.leads.answer_cache import LeadAnswerCache
from leadline_ai.leads.policy import Policy
from leadline_ai.metrics import AiMetrics
from leadline_ai.settings import AssessorSettings
from leadline_ai.store import AiStore
from leadline_common.clock import now
from leadline_contracts.scoring import AiScored, Lead, LeadsAccepted, Offer
from leadline_testing.model_answers import answer_from_schema
from leadline_testing.model_behaviour import BY_NAME
from leadline_testing.model_request import Body, Request, leads_in
from leadline_testing.model_server import ModelServer

FAILING = {
    name: replace(treated, retry_after=None)
    for name, treated in BY_NAME.items()
    if name not in {"ok", "thinking", "obedient", "limit-reached"}
}
"""Everything the server can do wrong, by name."""
SLOW = {"slow", "trickle"}
"""Those that take 2 s or more."""
OFFER = Offer(id="offer-1", name="AI Outreach", ideal_use_cases=["B2B SaaS mid-market"])


def leads(count: int, first: int = 0) -> list[Lead]:
    """Return leads that differ in their names, "Lead 0", "Lead 1", …"""
    numbers = range(first, first + count)
    return [Lead(id=f"id-{n}", name=f"Lead {n}", role="CEO", industry="SaaS") for n in numbers]


def chunk(leads: Sequence[Lead], **changes: Any) -> LeadsAccepted:
    """Return a chunk of these leads; `changes` are its fields."""
    made = LeadsAccepted(
        owner="ann",
        run_id="run-1",
        chunk="0",
        offer_id=OFFER.id,
        model="standard",
        upload_id="upload-1",
        offer=OFFER,
        leads=list(leads),
    )
    return made.model_copy(update=changes)


@asynccontextmanager
async def lead_replica(
    server: ModelServer, store: AiStore, metrics: AiMetrics | None = None, **settings: Any
) -> AsyncIterator[Policy]:
    """Open a replica's policy for leads, which asks the server; its waits between calls are short."""
    async with replica_parts(server, store, metrics, **settings) as (parts, told):
        policy = lead_policy(parts, told)
        cache = cache_of(policy)
        assessor = replace(cache.assessor, first_wait=0.005, longest_wait=0.01)
        yield replace(policy, cache=replace(cache, assessor=assessor))


@asynccontextmanager
async def replica_parts(
    server: ModelServer, store: AiStore, metrics: AiMetrics | None = None, **settings: Any
) -> AsyncIterator[tuple[ModelParts, AssessorSettings]]:
    """Open what a replica has of a model, with a limiter and a breaker of its own, and its settings."""
    told = AssessorSettings(
        ai="anthropic",
        anthropic_api_key=SecretStr("sk-test"),
        **{"anthropic_base_url": server.base_url, "ai_timeout_seconds": 5.0, **settings},
    )
    provider = choose_provider(told)
    assert provider is not None
    try:
        counted, cancelled_runs = metrics or AiMetrics(CollectorRegistry()), CancelledRuns(store, now)
        yield model_parts(provider, store, told, counted, cancelled_runs), told
    finally:
        await provider.close()


def brief_for(name: str, seconds: float = 0.3) -> dict[str, Any]:
    """Return the settings with which a slow behaviour is not waited for."""
    return {"ai_timeout_seconds": seconds} if name in SLOW else {}


def cache_of(policy: Policy) -> LeadAnswerCache:
    """Return the language model's part of a policy that has one."""
    assert policy.cache is not None
    return policy.cache


def about_each(body: Body) -> Any:
    """Answer validly, each reasoning naming its lead, so that an answer given to another shows."""
    answer = answer_from_schema(body)
    for entry, (_, data) in zip(answer["answers"], leads_in(body), strict=True):
        entry["reasoning"] = f"About {name_in(data)}."
    return answer


def name_in(data: str) -> str:
    """Return the name in what a request says of a lead."""
    return str(json.loads(data)["name"])


def names(body: Body) -> list[str]:
    """Return whom a request is about."""
    return [name_in(data) for _, data in leads_in(body)]


def sizes(server: ModelServer) -> list[int]:
    """Return how many leads each request held, in the order they came in."""
    return [len(request.leads) for request in server.requests]


def asked(server: ModelServer) -> Counter[str]:
    """Return in how many requests each lead was, by name."""
    return Counter(name for request in server.requests for name in names(request.body))


def correction_in(request: Request) -> str:
    """Return what a request says after its last lead: what was wrong with an earlier answer."""
    return request.user_text.rsplit("</lead>", 1)[1].strip()


def answered_rightly(scores: Sequence[AiScored], leads: Sequence[Lead]) -> bool:
    """Tell whether each lead has an answer of the model's, in order and about itself."""
    told = [(score.lead_id, score.status, score.source, score.reasoning) for score in scores]
    return told == [(lead.id, "answered", "anthropic", f"About {lead.name}.") for lead in leads]
