"""The PrometheusRule of the Kubernetes manifests, from the rule files that Prometheus reads elsewhere."""

from pathlib import Path
from typing import Any

import yaml

DEPLOY = Path(__file__).parents[1]
RULES = DEPLOY / "prometheus" / "rules"
TARGET = DEPLOY / "k8s" / "components" / "monitoring" / "prometheus-rule.yaml"

_HEAD = "# Made by `make manifests` from deploy/prometheus/rules.\n"


def groups() -> list[dict[str, Any]]:
    """Return the groups of all rule files."""
    files = sorted(RULES.glob("*.yml"))
    return [group for file in files for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]]


def render() -> str:
    """Return the manifest."""
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "leadline"},
        "spec": {"groups": groups()},
    }
    return _HEAD + yaml.dump(rule, Dumper=_Readable, sort_keys=False, width=110)


class _Readable(yaml.SafeDumper):
    """Writes expressions over several lines as they stand in their files."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)
