"""The Grafana dashboards: every panel can be read, and every query names what is there."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.render.dashboards import TARGETS
from tests.deploy.promql import names_in, promtool, unknown_names
from tests.deploy.tools import tool

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
VARIABLES = {"$__rate_interval": "5m", "$service": "ingest"}
UNITS = {"none", "short", "s", "bytes", "percentunit", "reqps", "ops", "currencyUSD"}
COLUMNS = 24

Json = dict[str, Any]

each_dashboard = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)


def dashboard(path: Path) -> Json:
    """Return a dashboard as Grafana reads it."""
    document: Json = json.loads(path.read_text(encoding="utf-8"))
    return document


def targets(path: Path) -> Iterator[Json]:
    """Yield the queries of all its panels."""
    for panel in dashboard(path)["panels"]:
        yield from panel["targets"]


def filled(expression: str) -> str:
    """Return an expression as Grafana sends it."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def cells(panel: Json) -> set[tuple[int, int]]:
    """Return the squares of the grid that a panel covers."""
    at = panel["gridPos"]
    return {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}


def test_the_committed_dashboards_are_those_of_the_code() -> None:
    """What is changed in the code is written again by `make manifests`; what is changed in a file is lost."""
    assert set(TARGETS) == set(FILES)
    assert {path: path.read_text(encoding="utf-8") for path in FILES} == {
        path: render() for path, render in TARGETS.items()
    }


def test_dashboards_can_be_told_apart_and_found() -> None:
    """Each has an id that links keep working by, the tag they are found by, and a data source to choose."""
    documents = [dashboard(path) for path in FILES]
    assert len({document["uid"] for document in documents}) == len(documents)
    for document in documents:
        variables = {variable["name"]: variable["type"] for variable in document["templating"]["list"]}
        assert variables["datasource"] == "datasource"
        assert document["tags"] == ["leadline"]
        assert document["title"]
        assert document["description"]


@each_dashboard
def test_every_panel_says_what_it_shows(path: Path) -> None:
    """A title, a unit and one sentence: who has never seen it before can read it at night."""
    panels = dashboard(path)["panels"]
    assert all(count == 1 for count in Counter(panel["title"] for panel in panels).values())
    assert all(count == 1 for count in Counter(panel["id"] for panel in panels).values())
    for panel in panels:
        unit = panel["fieldConfig"]["defaults"]["unit"]
        assert panel["title"]
        assert unit in UNITS or re.fullmatch(r"suffix: [a-z/ ]+", unit), panel["title"]
        assert re.fullmatch(r"[A-Z](?:[^.]|\.\d)+\.", panel["description"]), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"]
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@each_dashboard
def test_panels_fill_their_rows_and_cover_nobody(path: Path) -> None:
    """No panel lies on another or beyond the edge."""
    panels = dashboard(path)["panels"]
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= COLUMNS for panel in panels)
    assert all(panel["gridPos"]["w"] > 0 and panel["gridPos"]["h"] > 0 for panel in panels)
    wrong = [(a["title"], b["title"]) for a, b in combinations(panels, 2) if cells(a) & cells(b)]
    assert not wrong


@each_dashboard
def test_queries_are_promql(path: Path, tmp_path: Path) -> None:
    """What Prometheus would refuse is found here and not by somebody who looks for a cause."""
    rules = [
        {"record": f"panel:query:{number}", "expr": filled(target["expr"])}
        for number, target in enumerate(targets(path))
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", file)


@each_dashboard
def test_queries_name_what_is_there(path: Path) -> None:
    """A metric or a label that was renamed would leave its panel empty."""
    assert unknown_names([filled(target["expr"]) for target in targets(path)], {}) == set()


@each_dashboard
def test_legends_name_labels_that_the_query_keeps(path: Path) -> None:
    """A label that was summed away would leave its lines without a name."""
    for target in targets(path):
        names = names_in(filled(target["expr"]))
        aggregated = re.search(r"\b(sum|max|min|count)\b", target["expr"])
        wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert target["legendFormat"]
        assert wanted <= names.grouped or not aggregated, target


@each_dashboard
def test_rates_follow_the_chosen_range(path: Path) -> None:
    """A rate over a range of its own is smeared once somebody zooms in; restarts are counted by the hour."""
    for target in targets(path):
        ranges = set(re.findall(r"\[(.+?)\]", target["expr"]))
        assert ranges <= ({"1h"} if "changes(" in target["expr"] else {"$__rate_interval"}), target


def test_variables_in_queries_are_declared() -> None:
    """What Grafana cannot fill in it sends as it stands."""
    for path in FILES:
        declared = {variable["name"] for variable in dashboard(path)["templating"]["list"]}
        used = {name for target in targets(path) for name in re.findall(r"\$(\w+)", target["expr"])}
        assert used - {"__rate_interval"} <= declared


def test_kubernetes_gets_every_dashboard() -> None:
    """The ConfigMap holds all of them, under the label by which Grafana's sidecar finds it."""
    made = subprocess.run(
        [tool("kubectl"), "kustomize", GRAFANA], capture_output=True, text=True, check=True
    ).stdout
    config = yaml.safe_load(made)
    assert config["metadata"] == {"labels": {"grafana_dashboard": "1"}, "name": "leadline-dashboards"}
    assert config["data"] == {f"leadline-{path.name}": path.read_text(encoding="utf-8") for path in FILES}
