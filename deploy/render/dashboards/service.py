"""One service: its requests, its messages, its store and its processes."""

from deploy.render.dashboards.panels import Panel, Query, dashboard, lines, stat, table, variable
from deploy.render.dashboards.queries import quantile, rate, share

_OURS = '{service="$service"}'
_USERS = 'service="$service", route!~"/(health|metrics).*"'
_REQUESTS = "leadline_http_request_duration_seconds"
_STORE = "leadline_store_operation_duration_seconds"
_RESTARTS = f"sum(changes(process_start_time_seconds{_OURS}[1h]))"


def render() -> str:
    """Return the dashboard's JSON."""
    rows = [_now(), _requests(), _messages(), _handling(), _store(), _process(), _build()]
    service = variable("service", "Service", 'label_values(up{job="leadline"}, service)')
    return dashboard("leadline-service", "Leadline: one service", "One service from inside.", rows, [service])


def _now() -> list[Panel]:
    return [
        stat(
            "Processes up",
            "Processes of the service that answer Prometheus.",
            "none",
            Query(f"sum(up{_OURS})", "up"),
        ),
        stat(
            "Restarts in an hour",
            "How often processes of the service were started again in the last hour.",
            "none",
            Query(_RESTARTS, "restarts"),
            limits=[(1, "orange"), (3, "red")],
        ),
        stat(
            "Messages held",
            "Messages held because the broker or the store does not answer.",
            "none",
            Query(f"sum(leadline_messages_held{_OURS})", "held"),
            limits=[(1, "red")],
        ),
        stat(
            "Messages a second",
            "Messages that the service takes from all its queues.",
            "suffix: a second",
            Query(rate(f"leadline_messages_consumed_total{_OURS}"), "messages"),
        ),
    ]


def _requests() -> list[Panel]:
    users = f"{_REQUESTS}_count{{{_USERS}}}"
    return [
        lines(
            "Requests",
            "Requests a second by route; rules and ai have none but those of probes, which are left out.",
            "reqps",
            Query(rate(users, "method, route"), "{{method}} {{route}}"),
        ),
        lines(
            "Requests answered with 5xx",
            "Share of each route's requests that was answered with 5xx.",
            "percentunit",
            Query(
                share(f'{_REQUESTS}_count{{{_USERS}, status=~"5.."}}', users, "method, route"),
                "{{method}} {{route}}",
            ),
        ),
        lines(
            "Time of requests",
            "Time that 95 of 100 requests of a route stay below; some wait because the caller asks.",
            "s",
            Query(
                quantile(0.95, _REQUESTS, "method, route", f"{{{_USERS}}}"),
                "{{method}} {{route}}",
            ),
        ),
    ]


def _messages() -> list[Panel]:
    return [
        lines(
            "Messages consumed",
            "Messages a second from each queue, redeliveries among them.",
            "suffix: a second",
            Query(rate(f"leadline_messages_consumed_total{_OURS}", "queue"), "{{queue}}"),
        ),
        lines(
            "Messages settled",
            "Messages a second by what became of them: done, halved, to be retried, or dead.",
            "suffix: a second",
            Query(rate(f"leadline_messages_settled_total{_OURS}", "outcome"), "{{outcome}}"),
        ),
        lines(
            "Messages waiting",
            "Messages in the service's own queues, by state; none while the broker does not answer.",
            "short",
            Query(f"max by (queue, state) (leadline_queue_messages{_OURS}) > 0", "{{queue}} {{state}}"),
        ),
    ]


def _handling() -> list[Panel]:
    return [
        lines(
            "Age of messages",
            "Age that 95 of 100 messages of a queue are below when their handling begins.",
            "s",
            Query(quantile(0.95, "leadline_message_age_seconds", "queue", _OURS), "{{queue}}"),
        ),
        lines(
            "Time of handling",
            "Time that 95 of 100 batches stay below, by the queue of a batch's first message.",
            "s",
            Query(quantile(0.95, "leadline_message_handling_seconds", "queue", _OURS), "{{queue}}"),
        ),
    ]


def _store() -> list[Panel]:
    commands = f"{_STORE}_count{_OURS}"
    failed = f'{_STORE}_count{{service="$service", outcome="failed"}}'
    return [
        lines(
            "Commands to the store",
            "Commands a second to MongoDB, by command; rules has no store.",
            "ops",
            Query(rate(commands, "operation"), "{{operation}}"),
        ),
        lines(
            "Commands that fail",
            "Share of the commands to MongoDB that fail.",
            "percentunit",
            Query(share(failed, commands, "operation"), "{{operation}}"),
        ),
        lines(
            "Time of commands",
            "Time that 95 of 100 commands to MongoDB stay below, by command.",
            "s",
            Query(quantile(0.95, _STORE, "operation", _OURS), "{{operation}}"),
        ),
    ]


def _process() -> list[Panel]:
    return [
        lines(
            "Processor",
            "Processor time of each process; 1 is a whole core, and one process uses hardly more.",
            "suffix: cores",
            Query(f"rate(process_cpu_seconds_total{_OURS}[$__rate_interval])", "{{instance}}"),
        ),
        lines(
            "Memory",
            "Memory that each process holds.",
            "bytes",
            Query(f"process_resident_memory_bytes{_OURS}", "{{instance}}"),
        ),
        lines(
            "Open files",
            "Files and connections that each process has open.",
            "short",
            Query(f"process_open_fds{_OURS}", "{{instance}}"),
        ),
    ]


def _build() -> list[Panel]:
    return [
        lines(
            "Running for",
            "Time since each process was started.",
            "s",
            Query(f"time() - process_start_time_seconds{_OURS}", "{{instance}}"),
        ),
        table(
            "Builds",
            "What runs here: version, revision and Python of each process.",
            Query(f"leadline_build_info{_OURS}", "{{instance}}"),
            hidden=["job", "service", "exported_service"],
        ),
    ]
