"""The rules of Prometheus: they fire when they should, rest when they should, and lead to what to do."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.render import prometheus_rule
from tests.deploy.promql import names_in, promtool, unknown_names

from leadline_testing.tables import every_row

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
TESTS = sorted((ROOT / "deploy" / "prometheus" / "tests").glob("*.yml"))
RUNBOOK = "docs/operations.md"

Rule = dict[str, Any]
Case = tuple[str, str]
"""An alert and its severity: one alert may have a rule for each."""


@cache
def rules() -> list[Rule]:
    """Return the rules of all files."""
    return [rule for group in prometheus_rule.groups() for rule in group["rules"]]


def alerts() -> list[Rule]:
    """Return the rules that alert."""
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> dict[str, str]:
    """Return the expression behind each recorded series."""
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def tried() -> list[tuple[str, list[str]]]:
    """Return each test of an alert with the severities it is to fire in."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in TESTS]
    tests = [test for file in files for case in file["tests"] for test in case["alert_rule_test"]]
    return [
        (test["alertname"], [alert["exp_labels"]["severity"] for alert in test["exp_alerts"]])
        for test in tests
    ]


def anchor_of(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def headings(text: str) -> list[str]:
    """Return the headings of a page, in order; what stands in blocks of code is none."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"^#+ (.+)$", prose, flags=re.MULTILINE)


def runbook() -> tuple[list[str], list[str]]:
    """Return the headings of the page, and those inside its section on alerts."""
    page = (ROOT / RUNBOOK).read_text(encoding="utf-8")
    section = re.split(r"^## ", page.partition("\n## Alerts\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    return headings(page), headings(section)


def test_promtool_accepts_the_rules() -> None:
    """What Prometheus would refuse at its start, and what its linter finds, is found here."""
    promtool("check", "rules", "--lint-fatal", *RULES)


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_rest_as_their_tests_say(path: Path) -> None:
    """An alert that fires late, early, or with another text fails its test."""
    promtool("test", "rules", path)


def test_every_alert_is_tried_both_ways() -> None:
    """In each severity an alert is seen to fire, and not to."""
    wanted = {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}
    fires = {(name, severity) for name, severities in tried() for severity in severities}
    rests = {case for case in wanted for name, severities in tried() if name == case[0] and not severities}
    assert fires == wanted
    assert rests == wanted


def test_every_file_of_rules_has_a_file_of_tests() -> None:
    """Tests that are not beside their rules would be missed by who changes them."""
    assert [path.stem for path in TESTS] == [f"{path.stem}_test" for path in RULES]


@every_row("rule", alerts())
def test_every_alert_says_what_it_means_and_what_to_do(rule: Rule) -> None:
    """Who is woken reads what users notice, and finds the runbook's section for it."""
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    assert all(rule["annotations"].values())
    assert rule["annotations"]["runbook"] == f"{RUNBOOK}#{anchor_of(rule['alert'])}"


def test_the_runbook_has_a_section_for_each_alert_and_no_other() -> None:
    """No alert leads nowhere, and no advice outlives its alert."""
    page, section = runbook()
    assert sorted(section) == sorted({rule["alert"] for rule in alerts()})
    anchors = [anchor_of(heading) for heading in page]
    assert all(anchors.count(anchor_of(name)) == 1 for name in section)


def test_rules_name_what_is_there() -> None:
    """A metric that was renamed would leave its alert silent for ever."""
    assert unknown_names([rule["expr"] for rule in rules()], recorded()) == set()


def test_recorded_series_are_used_and_named_by_the_convention() -> None:
    """level:metric:operations, and nothing is recorded for nobody."""
    used = {metric for rule in rules() for metric, _ in names_in(rule["expr"]).selectors}
    assert all(re.fullmatch(r"[a-z]+:[a-z_]+:[a-z0-9_]+", name) for name in recorded())
    assert set(recorded()) <= used


def test_the_manifest_holds_the_same_rules() -> None:
    """Kubernetes alerts as docker compose does; `make manifests` writes the file again."""
    assert prometheus_rule.TARGET.read_text(encoding="utf-8") == prometheus_rule.render()


@pytest.mark.parametrize(
    ("expression", "wrong"),
    [
        ("sum by (queue) (rate(leadline_messages_consumed_total[5m]))", set()),
        ("rate(leadline_message_consumed_total[5m])", {"leadline_message_consumed_total"}),
        ('leadline_queue_messages{status="dead"}', {"leadline_queue_messages{status}"}),
        (
            "max by (status) (leadline_runs_unfinished)",
            {"by (status) in max by (status) (leadline_runs_unfinished)"},
        ),
    ],
)
def test_the_reader_of_expressions_finds_what_is_not_there(expression: str, wrong: set[str]) -> None:
    """The check of names itself sees a wrong metric, a wrong label and a wrong grouping."""
    assert unknown_names([expression], {}) == wrong
