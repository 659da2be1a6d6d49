"""The whole pipeline from left to right, and whether users get what they wait for."""

from deploy.render.dashboards.panels import Panel, Query, dashboard, lines, stat, table
from deploy.render.dashboards.queries import quantile, quantiles, rate, share

_LEADS_A_SECOND = "suffix: leads/s"
_REQUESTS = "leadline_http_request_duration_seconds_count"
_USERS = 'route!~"/(health|metrics).*"'
_WAITING = "leadline_queue_messages"
_STAGES = {
    "Accepted": ("leadline_leads_accepted_total", "Leads that ingest publishes for scoring."),
    "Rules": ("leadline_rules_leads_total", "Leads that the rule layer answers."),
    "AI": (
        "leadline_ai_leads_total",
        "Leads that the AI layer answers, from a model, from memory or offline.",
    ),
    "Done": ("leadline_leads_done_total", "Leads whose result is stored and readable."),
}


def render() -> str:
    """Return the dashboard's JSON."""
    rows = [_stages(), _health(), _flow(), _waiting(), _failures(), _runs(), _messages()]
    return dashboard("leadline-overview", "Leadline: overview", "The pipeline from left to right.", rows)


def _stages() -> list[Panel]:
    return [
        stat(name, description, _LEADS_A_SECOND, Query(rate(metric), name))
        for name, (metric, description) in _STAGES.items()
    ]


def _health() -> list[Panel]:
    firing = 'count(ALERTS{alertname=~"Leadline.*", alertstate="firing"}) or vector(0)'
    return [
        stat(
            "Alerts firing",
            "Alerts of Leadline that fire now; they are listed further down.",
            "none",
            Query(firing, "alerts"),
            limits=[(1, "red")],
        ),
        stat(
            "95 of 100 leads are done within",
            "Time from a run's beginning until a lead of it is done; the objective is 5 minutes.",
            "s",
            Query(quantile(0.95, "leadline_lead_latency_seconds"), "95 %"),
            limits=[(300, "red")],
        ),
        stat(
            "Runs under way",
            "Runs some of whose leads are not done yet.",
            "none",
            Query("max(leadline_runs_unfinished)", "runs"),
        ),
        stat(
            "Dead letters",
            "Messages that could not be handled and wait for a person.",
            "none",
            Query(f'sum(max by (queue) ({_WAITING}{{state="dead"}}))', "messages"),
            limits=[(1, "orange")],
        ),
    ]


def _flow() -> list[Panel]:
    return [
        lines(
            "Leads through the pipeline",
            "Leads a second at each stage; where one stays below the one before, leads pile up.",
            _LEADS_A_SECOND,
            *(Query(rate(metric), name) for name, (metric, _) in _STAGES.items()),
        ),
        lines(
            "From accepted to done",
            "Time from a run's beginning until a lead is done; the dashed line is the objective for 95 %.",
            "s",
            *quantiles("leadline_lead_latency_seconds"),
            limit=300,
        ),
    ]


def _waiting() -> list[Panel]:
    return [
        lines(
            "Messages ready, by queue",
            "Messages that wait for a consumer.",
            "short",
            Query(f'max by (queue) ({_WAITING}{{state="ready"}})', "{{queue}}"),
        ),
        lines(
            "Age of messages, by queue",
            "Age that 95 of 100 messages are below when handled; the dashed line is the alert's.",
            "s",
            Query(quantile(0.95, "leadline_message_age_seconds", "queue"), "{{queue}}"),
            limit=300,
        ),
        lines(
            "Messages retrying and dead, by queue",
            "Messages that failed: those that come back by themselves, and those that wait for a person.",
            "short",
            Query(f'max by (queue, state) ({_WAITING}{{state=~"retrying|dead"}}) > 0', "{{queue}} {{state}}"),
        ),
    ]


def _failures() -> list[Panel]:
    done, moved = "leadline_leads_done_total", "leadline_workflow_transitions_total"
    bad = f'{_REQUESTS}{{{_USERS}, status=~"5.."}}'
    return [
        lines(
            "Requests answered with 5xx",
            "Share of users' requests that a service answered with 5xx; the objective is 0.1 %.",
            "percentunit",
            Query(share(bad, f"{_REQUESTS}{{{_USERS}}}", "service"), "{{service}}"),
            limit=0.001,
        ),
        lines(
            "Leads failed or partial",
            "Share of the done leads that got no full score; the objective is 1 %.",
            "percentunit",
            Query(share(f'{done}{{status="failed"}}', done), "failed"),
            Query(share(f'{done}{{status="partial"}}', done), "partial"),
            limit=0.01,
        ),
        lines(
            "Workflows failed",
            "Share of the ended workflows of messages that have failed; the objective is 1 %.",
            "percentunit",
            Query(share(f'{moved}{{status="failed"}}', f'{moved}{{status=~"completed|failed"}}'), "failed"),
            limit=0.01,
        ),
    ]


def _runs() -> list[Panel]:
    return [
        lines(
            "Runs",
            "What happened to runs, a minute; pushed and ended_short are those that stood still.",
            "suffix: a minute",
            Query(rate("leadline_run_events_total", "event", " * 60"), "{{event}}"),
        ),
        lines(
            "Leads refused",
            "Leads refused as they came in, by the entrypoint they came to.",
            _LEADS_A_SECOND,
            Query(rate("leadline_leads_rejected_total", "door"), "{{door}}"),
        ),
        table(
            "Alerts",
            "The alerts of Leadline that fire now.",
            Query('ALERTS{alertname=~"Leadline.*", alertstate="firing"}', "{{alertname}}"),
            hidden=["alertstate", "job"],
        ),
    ]


def _messages() -> list[Panel]:
    return [
        lines(
            "Workflows of messages",
            "Workflows that came into a state, a second.",
            "suffix: a second",
            Query(rate("leadline_workflow_transitions_total", "status"), "{{status}}"),
        ),
        lines(
            "From message to routed",
            "Time from a message's arrival to its workflow's end; the dashed line is the objective for 95 %.",
            "s",
            *quantiles("leadline_workflow_latency_seconds"),
            limit=60,
        ),
        lines(
            "Steps of workflows",
            "Time that 95 of 100 steps stay below, by step and how it ended.",
            "s",
            Query(
                quantile(0.95, "leadline_workflow_step_duration_seconds", "step, outcome"),
                "{{step}} {{outcome}}",
            ),
        ),
    ]
