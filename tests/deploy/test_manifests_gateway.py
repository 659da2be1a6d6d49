"""The HTTPRoute sends each request where the table of routes says, by the Gateway API's own precedence."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from deploy.render.http_route import TARGET, render
from litestar.types import Scope
from tests.deploy.manifests import Json, named, objects

from leadline_common.http.api import without_api_prefix
from leadline_common.http.service_map import ROUTES, service_for
from leadline_testing.tables import every_row

WITH_GATEWAY = ("dev-operators", "production")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
NEAR_MISSES = (
    *(
        "/",
        "/api",
        "/metrics",
        "/metrics/",
        "/metrics/x",
        "/docs",
        "/offers",
        "/offer/x",
        "/leadsx",
        "/scores",
    ),
    *("/leads/uploads", "/healthy", "/schemas", "/auth", "/auth/x", "/results/x", "/results/export/more"),
    *("/resultsx", "/run", "/export", "/export/x"),
)


def test_the_route_is_the_tables() -> None:
    """A table that changed has its manifest written again: `make manifests`."""
    assert TARGET.read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("overlay", WITH_GATEWAY)
async def test_each_request_goes_where_the_table_says(overlay: str) -> None:
    """Every method at every path of the table, at its neighbours, and all of it under /api."""
    rules = named(overlay, "HTTPRoute", "leadline")["spec"]["rules"]
    for path in paths():
        plain = await seen_by_a_service(path)
        for method in METHODS:
            rule = chosen(rules, method, path)
            service = rule and service_of(rule)
            wanted = service_for(method, plain)
            if wanted is None and service is not None:
                # A prefix has itself below it: the service that has what is below answers 404 as well.
                assert service == service_for(method, f"{plain.rstrip('/')}/any"), (method, path)
            else:
                assert service == wanted, (method, path)


@every_row("overlay", WITH_GATEWAY)
@every_row("path", ["/metrics", "/metrics/", "/api/metrics", "/api/metrics/"])
def test_metrics_are_not_exposed(overlay: str, path: str) -> None:
    """What Prometheus reads is for nobody outside."""
    rules = named(overlay, "HTTPRoute", "leadline")["spec"]["rules"]
    assert [chosen(rules, method, path) for method in METHODS] == [None] * len(METHODS)


@pytest.mark.parametrize("overlay", WITH_GATEWAY)
def test_the_route_leads_to_services_there_are(overlay: str) -> None:
    """Each rule has one backend, a Service of the overlay at a port it has."""
    ports = {
        (each["metadata"]["name"], port["port"])
        for each in objects(overlay, "Service")
        for port in each["spec"]["ports"]
    }
    for rule in named(overlay, "HTTPRoute", "leadline")["spec"]["rules"]:
        (backend,) = rule["backendRefs"]
        assert (backend["name"], backend["port"]) in ports


def test_the_route_keeps_to_what_gateways_take() -> None:
    """At most 16 rules, 64 matches each and 128 in all; no regular expressions, which not every one has."""
    rules = named("production", "HTTPRoute", "leadline")["spec"]["rules"]
    assert len(rules) <= 16
    assert max(len(rule["matches"]) for rule in rules) <= 64
    assert sum(len(rule["matches"]) for rule in rules) <= 128
    kinds = {match["path"]["type"] for rule in rules for match in rule["matches"]}
    assert kinds == {"Exact", "PathPrefix"}


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("POST", "/score", 70),
        ("GET", "/runs/some-run", 70),
        ("POST", "/leads/upload", 1800),
        ("POST", "/api/leads/upload/some-offer", 1800),
        ("GET", "/results/export", 1800),
        ("GET", "/api/export", 1800),
        ("GET", "/leads/some-id/events", 1800),
    ],
)
def test_long_requests_are_not_cut_off(method: str, path: str, least: int) -> None:
    """`Prefer: wait=60` and `?wait=60`, uploads of 2 GB, exports and events have their time."""
    rule = chosen(named("production", "HTTPRoute", "leadline")["spec"]["rules"], method, path)
    assert rule is not None
    assert seconds(rule["timeouts"]["request"]) >= least


def paths() -> Iterator[str]:
    """Yield what to ask for."""
    plain = {*NEAR_MISSES, "/health", "/health/ready", "/schema", "/schema/openapi.json", "/leads/upload/x/y"}
    for route in ROUTES:
        path = route.path.replace("*", "some-id")
        plain |= {path, f"{path}/below", path.rpartition("/")[0] or "/"}
    for path in sorted(plain):
        yield from (path, f"{path.rstrip('/')}/", f"/api{path}", f"/api{path.rstrip('/')}/")


async def seen_by_a_service(path: str) -> str:
    """Return the path as a service sees it that is asked for this one."""
    seen: list[str] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    unused: Any = None
    asked: Any = {"type": "http", "path": path, "raw_path": path.encode()}
    await without_api_prefix(app)(asked, unused, unused)
    return seen[0]


def chosen(rules: list[Json], method: str, path: str) -> Json | None:
    """Return the rule that a Gateway applies: an exact path before a longer prefix before a method."""
    fitting = [
        ((match["path"]["type"] == "Exact", len(match["path"]["value"]), "method" in match), rule)
        for rule in rules
        for match in rule["matches"]
        if fits(match, method, path)
    ]
    # Of equals the first rule wins, and max() keeps the first.
    return max(fitting, key=lambda each: each[0], default=(None, None))[1]


def fits(match: Json, method: str, path: str) -> bool:
    """Tell whether a request fits a match. A prefix fits whole segments."""
    value = match["path"]["value"]
    if match.get("method", method) != method:
        return False
    return (
        path == value if match["path"]["type"] == "Exact" else f"{path}/".startswith(f"{value.rstrip('/')}/")
    )


def service_of(rule: Json) -> str:
    """Return the service that a rule leads to."""
    (backend,) = rule["backendRefs"]
    return str(backend["name"].removeprefix("leadline-"))


def seconds(duration: str) -> int:
    """Return the seconds of a duration of one unit."""
    found = re.fullmatch(r"(\d+)([sh])", duration)
    assert found, duration
    return int(found[1]) * {"s": 1, "h": 3600}[found[2]]
