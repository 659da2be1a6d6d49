"""What the ai service counts."""

from collections.abc import Iterable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from leadline_ai.budget.prices import NANO_PER_USD
from leadline_ai.limiter.adaptive import AdaptiveLimiter
from leadline_ai.limiter.breaker import CircuitBreaker, State
from leadline_ai.providers.port import Usage
from leadline_contracts.inbound import StepFinished
from leadline_contracts.scoring import CANCELLED, AiScored

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0)


def _is(breaker: CircuitBreaker, state: State) -> float:
    return float(breaker.state is state)


class AiMetrics:
    """Judged leads, calls, tokens and money. Labels are bounded: adapters, the one model, outcomes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._judged = Counter(
            "leadline_ai_leads_total",
            "Leads judged, by source (the assessor) and status (answered, fallback, failed, skipped_budget, "
            "cancelled).",
            ["source", "status"],
            registry=registry,
        )
        self._steps = Counter(
            "leadline_ai_steps_total",
            "Steps of workflows, by step, source (the assessor) and status (answered, fallback, failed, "
            "skipped_budget).",
            ["step", "source", "status"],
            registry=registry,
        )
        self._cached = Counter(
            "leadline_ai_cached_leads_total",
            "Leads answered from the answer cache.",
            registry=registry,
        )
        self._calls = Histogram(
            "leadline_ai_call_duration_seconds",
            "Time of a call to the provider, by model and outcome (complete, truncated, refused, other, "
            "overloaded, unavailable, declined, misconfigured, cancelled).",
            ["model", "outcome"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "leadline_ai_tokens_total",
            "Tokens of all calls, by model and kind (input, output, cache_read, cache_write).",
            ["model", "kind"],
            registry=registry,
        )
        self._dollars = Counter(
            "leadline_ai_cost_usd_total", "What all calls cost, in US dollars.", ["model"], registry=registry
        )

    def show_limiter(self, provider: str, limiter: AdaptiveLimiter) -> None:
        """Show the limit of calls and the state of its breaker whenever the metrics are read."""
        states = Gauge(
            "leadline_ai_provider_state",
            "1 for the state the provider is in: ok, failing or misconfigured.",
            ["provider", "state"],
            registry=self._registry,
        )
        for state in State:
            states.labels(provider, state.value).set_function(partial(_is, limiter.breaker, state))
        limit = Gauge(
            "leadline_ai_concurrency_limit",
            "Calls to the provider that may be under way now.",
            ["provider"],
            registry=self._registry,
        )
        limit.labels(provider).set_function(lambda: float(limiter.limit))

    def show_day_budget(self, limit_usd: float) -> Gauge:
        """Show the day's budget; return the gauge of what is spent of it."""
        budget = Gauge(
            "leadline_ai_day_budget_usd", "What all runs of a day (UTC) may cost.", registry=self._registry
        )
        budget.set(limit_usd)
        return Gauge(
            "leadline_ai_day_spent_usd",
            "What is spent of today's budget (UTC) by all replicas together, with what is reserved for calls "
            "under way.",
            registry=self._registry,
        )

    def count(self, scores: Iterable[AiScored]) -> None:
        """Count a chunk's answers."""
        for score in scores:
            status = "cancelled" if score.error == CANCELLED else score.status
            self._judged.labels(score.source, status).inc()

    def count_step(self, finished: StepFinished) -> None:
        """Count a step's answer."""
        source = finished.source.source if finished.source else "none"
        fallback = finished.source is not None and finished.source.fallback is not None
        status = "fallback" if fallback else "answered"
        if finished.error:
            status = "skipped_budget" if finished.error.code == "skipped_budget" else "failed"
        self._steps.labels(finished.step.value, source, status).inc()

    def count_cached(self, leads: int) -> None:
        """Count leads that cost nothing."""
        self._cached.inc(leads)

    def count_call(self, model: str, outcome: str, seconds: float) -> None:
        """Count a call that was sent."""
        self._calls.labels(model, outcome).observe(seconds)

    def count_usage(self, model: str, usage: Usage, nano_usd: int) -> None:
        """Count a call's tokens and cost."""
        self._tokens.labels(model, "input").inc(usage.input_tokens)
        self._tokens.labels(model, "output").inc(usage.output_tokens)
        self._tokens.labels(model, "cache_read").inc(usage.cache_read_tokens)
        self._tokens.labels(model, "cache_write").inc(usage.cache_write_tokens)
        self._dollars.labels(model).inc(nano_usd / NANO_PER_USD)
