"""What the AI layer answers, how well, how fast and for how much."""

from deploy.render.dashboards.panels import Panel, Query, dashboard, gauge, lines, stat, states
from deploy.render.dashboards.queries import quantile, quantiles, rate, share

_LEADS = "leadline_ai_leads_total"
_STEPS = "leadline_ai_steps_total"
_CALLS = "leadline_ai_call_duration_seconds"
_COST = "leadline_ai_cost_usd_total"


def render() -> str:
    """Return the dashboard's JSON."""
    rows = [_now(), _provider(), _answers(), _calls(), _money(), _steps()]
    return dashboard("leadline-ai", "Leadline: AI", "Cost and quality of the AI layer.", rows)


def _now() -> list[Panel]:
    return [
        stat(
            "Leads judged",
            "Leads that the AI layer answers.",
            "suffix: leads/s",
            Query(rate(_LEADS), "leads"),
        ),
        stat(
            "From memory",
            "Share of the leads that are answered from the answer cache, at no cost.",
            "percentunit",
            Query(share("leadline_ai_cached_leads_total", _LEADS), "from memory"),
        ),
        stat(
            "Fallback",
            "Share of the leads that the offline assessor judges because the model gave no usable answer.",
            "percentunit",
            Query(share(f'{_LEADS}{{status="fallback"}}', _LEADS), "fallback"),
            limits=[(0.01, "orange"), (0.1, "red")],
        ),
        stat(
            "Not judged",
            "Share of the leads without any answer: failed, or skipped because a budget is spent.",
            "percentunit",
            Query(share(f'{_LEADS}{{status=~"failed|skipped_budget"}}', _LEADS), "not judged"),
            limits=[(0.01, "red")],
        ),
    ]


def _provider() -> list[Panel]:
    return [
        states(
            "Provider",
            "State of the provider as any replica sees it; empty with the offline assessor.",
            Query("max by (provider, state) (leadline_ai_provider_state)", "{{provider}} {{state}}"),
        ),
        lines(
            "Calls that may be under way",
            "Limit of each replica: halved when the provider is overloaded, 1 while it fails.",
            "short",
            Query("leadline_ai_concurrency_limit", "{{instance}} {{provider}}"),
        ),
        gauge(
            "Budget of the day",
            "Share of today's budget (UTC) that is spent or reserved by all replicas together.",
            Query("max(leadline_ai_day_spent_usd) / (max(leadline_ai_day_budget_usd) > 0)", "spent"),
            limits=[(0.8, "orange"), (1, "red")],
        ),
    ]


def _answers() -> list[Panel]:
    return [
        lines(
            "Leads by answer",
            "Leads by what became of them: answered, fallback, failed, or skipped for want of budget.",
            "suffix: leads/s",
            Query(rate(_LEADS, "status"), "{{status}}"),
            stacked=True,
        ),
        lines(
            "Leads by assessor",
            "Leads by who judged them: a provider or the offline assessor.",
            "suffix: leads/s",
            Query(rate(_LEADS, "source"), "{{source}}"),
            stacked=True,
        ),
    ]


def _calls() -> list[Panel]:
    return [
        lines(
            "Calls by outcome",
            "Requests to the provider by how they ended; all but complete are asked again or given up.",
            "reqps",
            Query(rate(f"{_CALLS}_count", "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        lines(
            "Time of a call",
            "Time of the requests to the provider that were answered in full.",
            "s",
            *quantiles(_CALLS, '{outcome="complete"}'),
        ),
        lines(
            "Tokens",
            "Tokens a second by kind; those read from the provider's cache are the cheapest.",
            "suffix: tokens/s",
            Query(rate("leadline_ai_tokens_total", "kind"), "{{kind}}"),
        ),
    ]


def _money() -> list[Panel]:
    answered = rate(f'{_LEADS}{{status="answered"}}')
    return [
        lines(
            "Dollars an hour",
            "What all calls cost at the present pace, messages among them.",
            "currencyUSD",
            Query(rate(_COST, "model", " * 3600"), "{{model}}"),
        ),
        lines(
            "Dollars per 1,000 leads",
            "What all calls cost, messages among them, for each 1,000 leads that got an answer.",
            "currencyUSD",
            Query(f"1000 * {rate(_COST)} / ({answered} > 0)", "per 1,000 leads"),
        ),
        lines(
            "Spent today",
            "Dollars spent or reserved since midnight UTC, and the budget.",
            "currencyUSD",
            Query("max(leadline_ai_day_spent_usd)", "spent"),
            Query("max(leadline_ai_day_budget_usd)", "budget"),
        ),
    ]


def _steps() -> list[Panel]:
    return [
        lines(
            "Steps of messages by answer",
            "Steps of workflows by what became of them.",
            "suffix: steps/s",
            Query(rate(_STEPS, "status"), "{{status}}"),
            stacked=True,
        ),
        lines(
            "Steps failed or answered by fallback",
            "Share of the steps that got no answer of the model.",
            "percentunit",
            Query(share(f'{_STEPS}{{status="fallback"}}', _STEPS, "step"), "{{step}} fallback"),
            Query(share(f'{_STEPS}{{status="failed"}}', _STEPS, "step"), "{{step}} failed"),
        ),
        lines(
            "Slowest calls, by model",
            "Time that 99 of 100 requests to a model stay below, however they ended.",
            "s",
            Query(quantile(0.99, _CALLS, "model"), "{{model}}"),
        ),
    ]
