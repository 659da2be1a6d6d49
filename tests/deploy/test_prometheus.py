"""The real Prometheus scrapes what `make run-services` started, and every rule and panel of ours answers."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.conftest import FreshServers
from tests.deploy.exposition import known_metrics
from tests.deploy.test_dashboards import FILES, filled, targets
from tests.deploy.tools import tool
from tests.support import EXAMPLES, OFFLINE, connected

from leadline_testing.running_server import LOOPBACK, free_port
from leadline_testing.services import SERVICES, ServiceProcess

pytestmark = pytest.mark.servers

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
_START_SECONDS = 30.0
# What is shown only where a language model is asked.
OF_A_PROVIDER = re.compile(r"leadline_ai_(call_|tokens_|cost_|provider_|concurrency_|day_)")


@pytest.fixture(scope="module")
def addresses(
    fresh_servers: FreshServers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The four services as `make run-services` runs them, after some work; each one's address."""
    log, port = tmp_path_factory.mktemp("services") / "log", free_port()
    command = ["leadline_testing.run_services", "--port", str(port)]
    with fresh_servers() as urls:
        settings = {"LEADLINE_BROKER_URL": urls.broker_url, "LEADLINE_STORE_URL": urls.store_url, **OFFLINE}
        process = ServiceProcess("run_services", command, port=port, settings=settings, log=log)
        try:
            process.await_ready()
            work(process.address)
            said = log.read_text(encoding="utf-8")
            yield dict(re.findall(rf"^  ({'|'.join(SERVICES)}) +(http\S+)$", said, re.MULTILINE))
        finally:
            process.stop()


def work(address: str) -> None:
    """Score the examples and take in a message, so that there is something to count."""
    with connected(address) as client:
        client.upload_new((EXAMPLES / "leads.csv").read_bytes())
        client.score()
        client.ended_workflow(client.submit("What does it cost for 40 seats?"))


@pytest.fixture(scope="module")
def prometheus(addresses: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Prometheus with our rules, which has scraped all four services."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    (folder / "prometheus.yml").write_text(json.dumps(configuration(addresses)), encoding="utf-8")
    command = [
        tool("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={LOOPBACK}:{port}",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://{LOOPBACK}:{port}/api/v1", trust_env=False) as http:
                await_scraped(http)
                yield http
        finally:
            process.terminate()


def configuration(addresses: dict[str, str]) -> dict[str, Any]:
    """Return the configuration of docker-compose.yml, faster, and for services that run elsewhere."""
    given: dict[str, Any] = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    [leadline] = [job for job in given["scrape_configs"] if job["job_name"] == "leadline"]
    for target in leadline["static_configs"]:
        target["targets"] = [addresses[target["labels"]["service"]].removeprefix("http://")]
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(PROMETHEUS / pattern) for pattern in given["rule_files"]],
        "scrape_configs": [leadline],
    }


def await_scraped(http: httpx.Client) -> None:
    """Wait until Prometheus has scraped every service a few times and evaluated every rule."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            scraped = answer(http, "/query", query='min(count_over_time(up{job="leadline"}[1m]))')["result"]
            groups = answer(http, "/rules")["groups"]
            if scraped and float(scraped[0]["value"][1]) >= 5 and all(g["evaluationTime"] for g in groups):
                return
        except (httpx.TransportError, ValueError):
            pass  # it is still starting, and answers with a word
        assert time.monotonic() < deadline, "Prometheus did not scrape the services in time"
        time.sleep(0.2)


def answer(http: httpx.Client, path: str, **parameters: str) -> Any:
    """Return what Prometheus answers; its API: https://prometheus.io/docs/prometheus/latest/querying/api/"""
    body = http.get(path, params=parameters).json()
    assert body["status"] == "success", body
    return body["data"]


@pytest.mark.parametrize("service", SERVICES)
def test_names_types_and_help_follow_the_conventions(addresses: dict[str, str], service: str) -> None:
    """promtool finds nothing to say about what a service shows."""
    shown = httpx.get(f"{addresses[service]}/metrics", trust_env=False).raise_for_status().content
    checked = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=shown, capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_every_service_is_scraped(prometheus: httpx.Client) -> None:
    """Each target is up and tells by itself which service it is."""
    up = answer(prometheus, "/query", query='up{job="leadline"} == 1')["result"]
    built = answer(prometheus, "/query", query="leadline_build_info")["result"]
    assert {one["metric"]["service"] for one in up} == set(SERVICES)
    assert {one["metric"]["exported_service"] for one in built} == set(SERVICES)


def test_every_metric_is_there(prometheus: httpx.Client) -> None:
    """What the code declares, a running Leadline shows."""
    names = set(answer(prometheus, "/label/__name__/values"))
    assert {name for name in known_metrics() if not OF_A_PROVIDER.match(name)} <= names


def test_every_rule_is_evaluated_and_no_alert_fires(prometheus: httpx.Client) -> None:
    """Each rule answers on real series, and of a healthy Leadline nothing is reported."""
    rules = [rule for group in answer(prometheus, "/rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    alerts = [rule for rule in rules if rule["type"] == "alerting"]
    assert len(alerts) > 10
    assert {rule["name"] for rule in alerts if rule["state"] == "firing"} == set()


def test_every_expression_answers(prometheus: httpx.Client) -> None:
    """Asked by hand, as somebody does at night, each rule's and each panel's expression is answered."""
    groups = answer(prometheus, "/rules")["groups"]
    rules = [rule["query"] for group in groups for rule in group["rules"]]
    panels = [filled(target["expr"]) for path in FILES for target in targets(path)]
    for expression in [*rules, *panels]:
        assert answer(prometheus, "/query", query=expression)["resultType"] in {"vector", "scalar"}
