"""The composition root of the ai service."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import structlog

from leadline_ai.budget.collector import BudgetCollector
from leadline_ai.budget.prices import NANO_PER_USD, Price
from leadline_ai.budget.reservations import Reservations
from leadline_ai.cancelled.handler import CancelledRunsHandler
from leadline_ai.cancelled.lookup import CancelledRuns
from leadline_ai.leads.answer_cache import LeadAnswerCache
from leadline_ai.leads.assessor import ModelAssessor
from leadline_ai.leads.handler import AiHandler
from leadline_ai.leads.policy import Policy
from leadline_ai.leads.prompt import load_prompt
from leadline_ai.limiter.adaptive import AdaptiveLimiter
from leadline_ai.limiter.breaker import CircuitBreaker
from leadline_ai.metrics import AiMetrics
from leadline_ai.providers.asker import Asker
from leadline_ai.providers.port import Provider
from leadline_ai.providers.probe import ProviderProbe
from leadline_ai.settings import AiSettings, AssessorSettings
from leadline_ai.steps.answer_cache import StepAnswerCache
from leadline_ai.steps.assessor import StepAssessor
from leadline_ai.steps.handler import StepHandler
from leadline_ai.steps.policy import StepPolicy
from leadline_ai.store import AiStore
from leadline_ai.stores.mongo import MongoAiStore
from leadline_common.broker.consumer import Consumer
from leadline_common.broker.port import Broker
from leadline_common.broker.rabbitmq.broker import RabbitBroker
from leadline_common.clock import now
from leadline_common.process.serve import Composition, Parts
from leadline_common.process.service import Loop, Service
from leadline_common.telemetry.dependencies import DependencyProbe
from leadline_common.telemetry.metrics import Metrics
from leadline_common.telemetry.queue_lengths import QueueLengthCollector
from leadline_contracts.errors import SettingsError
from leadline_contracts.scoring import CHUNK_SIZE
from leadline_contracts.topology import AI, AI_CLASSIFY, AI_EXTRACT, AI_JUDGE, AI_RUNS

_STEP_QUEUES = (AI_CLASSIFY, AI_EXTRACT, AI_JUDGE)
_LEAST_WORKERS = 3
_CANCELLED_AT_ONCE = 20
_OFFLINE_STEPS = 20
"""Steps handled at once without a provider."""
_LINGER = 0.03
"""Seconds that such a step waits for others: many small batches cost more than a few large ones."""

log = structlog.get_logger()


KEYS = {"anthropic": "ANTHROPIC_API_KEY", "gemini": "GEMINI_API_KEY", "openai": "OPENAI_API_KEY"}
"""The providers, in the order in which `auto` looks for a key, and the variables of their keys."""


@dataclass(frozen=True, slots=True)
class Ai:
    """The service, and the probe of its provider, None where the offline assessor is the chosen one.

    `stop_asking` is called right before the service is stopped where nothing more is to be paid for.
    """

    service: Service
    probe: ProviderProbe | None
    stop_asking: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParts:
    """The parts of a language model that leads and steps share."""

    asker: Asker
    store: AiStore
    reservations: Reservations
    cancelled_runs: CancelledRuns


def build(
    broker: Broker, store: AiStore, provider: Provider | None, settings: AssessorSettings, metrics: Metrics
) -> Ai:
    """Return the service over the given broker and store, asking the provider, or the offline assessor.

    Raises SettingsError where no price is known for the model.
    """
    ai_metrics = AiMetrics(metrics.registry)
    cancelled_runs = CancelledRuns(store, now)
    servers = {"broker": broker.ping, "ai_store": store.ping}
    loops: list[Loop] = [
        QueueLengthCollector(broker, [AI, AI_RUNS, *_STEP_QUEUES], metrics).run,
        DependencyProbe(servers, metrics).run,
    ]
    if provider is None:
        log.info("assessor_chosen", source="offline", reason=_why_offline(settings))
        leads, steps, probe = Policy(), StepPolicy(), None
        stop_asking = _nothing
    else:
        log.info("assessor_chosen", source=provider.name, model=provider.model)
        parts = model_parts(provider, store, settings, ai_metrics, cancelled_runs)
        leads, steps = lead_policy(parts, settings), step_policy(parts, settings)
        ai_metrics.show_limiter(provider.name, parts.asker.limiter)
        spent = ai_metrics.show_day_budget(settings.ai_day_budget_usd)
        probe = ProviderProbe(provider, parts.asker.limiter.breaker)
        stop_asking = parts.asker.stop
        loops += [probe.run, BudgetCollector(parts.reservations, spent).run]

    async def offline_ready() -> str:
        return f"offline, {_why_offline(settings)}"

    lead_handler = AiHandler(leads, cancelled_runs, ai_metrics)
    consumers = [
        _lead_consumer(broker, lead_handler, settings, metrics, offline=provider is None),
        _step_consumer(broker, StepHandler(steps, ai_metrics), settings, metrics, offline=provider is None),
        Consumer(
            broker, CancelledRunsHandler(cancelled_runs), [AI_RUNS], metrics, prefetch=_CANCELLED_AT_ONCE
        ),
    ]
    checks = {**servers, "ai": probe.ready if probe else offline_ready}
    return Ai(Service("ai", consumers=consumers, loops=loops, checks=checks), probe, stop_asking)


def _nothing() -> None:
    pass


def _lead_consumer(
    broker: Broker, handler: AiHandler, settings: AssessorSettings, metrics: Metrics, *, offline: bool
) -> Consumer:
    workers = _LEAST_WORKERS if offline else workers_for(settings)
    return Consumer(broker, handler, [AI], metrics, prefetch=workers, workers=workers)


def _step_consumer(
    broker: Broker, handler: StepHandler, settings: AssessorSettings, metrics: Metrics, *, offline: bool
) -> Consumer:
    # Steps that wait for a provider are handled side by side, the offline assessor's quick ones in batches.
    workers, batch = (1, _OFFLINE_STEPS) if offline else (settings.ai_concurrency, 1)
    return Consumer(
        broker,
        handler,
        _STEP_QUEUES,
        metrics,
        prefetch=workers * batch,
        workers=workers,
        batch=batch,
        linger=_LINGER if offline else 0.0,
    )


def choose_provider(settings: AssessorSettings) -> Provider | None:
    """Return the provider the settings ask for, None for the offline assessor.

    Raises SettingsError where one is asked for by name and has no key, where the key cannot be one, and
    where its SDK is not installed.
    """
    keys = {
        "anthropic": settings.anthropic_api_key,
        "gemini": settings.gemini_api_key,
        "openai": settings.openai_api_key,
    }
    name: str = settings.ai
    if name == "auto":
        name = next((known for known in KEYS if keys[known] is not None), "offline")
    if name == "offline":
        return None
    key = keys[name]
    if key is None:
        raise SettingsError(f"{KEYS[name]}: LEADLINE_AI={name} needs the key; or set LEADLINE_AI=offline")
    try:
        return _CONNECT[name](key.get_secret_value(), settings)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"LEADLINE_AI={name} needs the package {error.name}: install leadline-ai[{name}]"
        ) from None


def model_parts(
    provider: Provider,
    store: AiStore,
    settings: AssessorSettings,
    metrics: AiMetrics,
    cancelled_runs: CancelledRuns,
) -> ModelParts:
    """Make the parts over a provider. Raises SettingsError where no price is known for its model."""
    limiter = AdaptiveLimiter(CircuitBreaker(provider.name), settings.ai_concurrency)
    return ModelParts(
        asker=Asker(
            provider=provider, limiter=limiter, metrics=metrics, call_seconds=settings.ai_timeout_seconds
        ),
        store=store,
        reservations=Reservations(
            store=store,
            price=Price.of(provider.model, settings.ai_prices),
            source=provider.name,
            model=provider.model,
            run_limit=round(settings.ai_run_budget_usd * NANO_PER_USD),
            day_limit=round(settings.ai_day_budget_usd * NANO_PER_USD),
            metrics=metrics,
            clock=now,
        ),
        cancelled_runs=cancelled_runs,
    )


def lead_policy(parts: ModelParts, settings: AssessorSettings) -> Policy:
    """Return the policy that has leads judged by the model."""
    return Policy(lead_cache(parts, settings), settings.ai_on_failure)


def lead_cache(parts: ModelParts, settings: AssessorSettings) -> LeadAnswerCache:
    """Return the model's answers about leads."""
    assessor = ModelAssessor(
        asker=parts.asker,
        prompt=load_prompt(),
        price=parts.reservations.price,
        leads_per_request=settings.ai_leads_per_request,
        calls_a_lead=settings.ai_attempts,
    )
    return LeadAnswerCache(
        assessor=assessor,
        store=parts.store,
        reservations=parts.reservations,
        cancelled_runs=parts.cancelled_runs,
    )


def step_policy(parts: ModelParts, settings: AssessorSettings) -> StepPolicy:
    """Return the policy that has steps answered by the model."""
    assessor = StepAssessor(asker=parts.asker, calls_a_step=settings.ai_attempts)
    cache = StepAnswerCache(assessor=assessor, store=parts.store, reservations=parts.reservations)
    return StepPolicy(cache, settings.ai_on_failure)


def workers_for(settings: AssessorSettings) -> int:
    """Return how many chunks at a time keep the provider's concurrency full, with one to spare."""
    requests = ceil(CHUNK_SIZE / settings.ai_leads_per_request)
    return max(_LEAST_WORKERS, ceil(settings.ai_concurrency / requests) + 1)


def _anthropic(key: str, settings: AssessorSettings) -> Provider:
    from leadline_ai.providers.anthropic import DEFAULT_MODEL, AnthropicProvider  # noqa: PLC0415

    return AnthropicProvider(
        key, model=settings.ai_model or DEFAULT_MODEL, base_url=settings.anthropic_base_url
    )


def _gemini(key: str, settings: AssessorSettings) -> Provider:
    from leadline_ai.providers.gemini import DEFAULT_MODEL, GeminiProvider  # noqa: PLC0415

    return GeminiProvider(key, model=settings.ai_model or DEFAULT_MODEL, base_url=settings.gemini_base_url)


def _openai(key: str, settings: AssessorSettings) -> Provider:
    from leadline_ai.providers.openai import DEFAULT_MODEL, OpenAiProvider  # noqa: PLC0415

    return OpenAiProvider(key, model=settings.ai_model or DEFAULT_MODEL, base_url=settings.openai_base_url)


# Imported when chosen: an SDK takes a second of start-up, and two of them are extras.
_CONNECT = {"anthropic": _anthropic, "gemini": _gemini, "openai": _openai}


def _why_offline(settings: AssessorSettings) -> str:
    if settings.ai == "offline":
        return "as LEADLINE_AI says"
    return f"since none of {', '.join(KEYS.values())} is set"


async def compose(parts: Parts, settings: AiSettings, metrics: Metrics) -> Composition:
    """Return the service over RabbitMQ, MongoDB and the provider that the settings choose."""
    provider = choose_provider(settings)
    if provider is not None:
        parts.keep(provider)
    store = parts.keep(await MongoAiStore.connect(settings.store_url, metrics))
    broker = parts.keep(await RabbitBroker.connect(settings.broker_url))
    return Composition([build(broker, store, provider, settings, metrics).service])
