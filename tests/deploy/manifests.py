"""The Kubernetes manifests as they are applied: each overlay, put together by kubectl."""

import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings
from tests.deploy.tools import tool

from leadline_ai.settings import AiSettings
from leadline_common.process.settings import ServiceSettings
from leadline_ingest.settings import IngestSettings
from leadline_results.settings import ResultsSettings
from leadline_rules.settings import RulesSettings

K8S = Path(__file__).parents[2] / "deploy" / "k8s"
OVERLAYS = ("dev", "dev-operators", "production")
SERVICES: dict[str, type[ServiceSettings]] = {
    "ingest": IngestSettings,
    "rules": RulesSettings,
    "ai": AiSettings,
    "results": ResultsSettings,
}
NAME, COMPONENT = "app.kubernetes.io/name", "app.kubernetes.io/component"

Json = dict[str, Any]

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)
each_service = pytest.mark.parametrize("service", SERVICES)


def objects(overlay: str, kind: str = "") -> list[Json]:
    """Return an overlay's objects, of one kind where one is named; skips where there is no kubectl."""
    return [each for each in _rendered(overlay) if kind in ("", each["kind"])]


def named(overlay: str, kind: str, name: str) -> Json:
    """Return one object."""
    return next(each for each in objects(overlay, kind) if each["metadata"]["name"] == name)


def templates(overlay: str) -> list[Json]:
    """Return the pod templates."""
    return [
        each["spec"]["template"] for kind in ("Deployment", "StatefulSet") for each in objects(overlay, kind)
    ]


def pod_of(overlay: str, service: str) -> Json:
    """Return the pod template of a service of ours."""
    template: Json = named(overlay, "Deployment", f"leadline-{service}")["spec"]["template"]
    return template


def container_of(overlay: str, service: str) -> Json:
    """Return its only container."""
    (container,) = pod_of(overlay, service)["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def labels_of(template: Json) -> Mapping[str, str]:
    """Return the labels of a template's pods."""
    labels: dict[str, str] = template["metadata"]["labels"]
    return labels


def selects(selector: Json, labels: Mapping[str, str]) -> bool:
    """Tell whether a label selector selects what has these labels."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for wanted in selector.get("matchExpressions", []):
        assert wanted["operator"] == "In", f"not read here: {wanted}"
        if labels.get(wanted["key"]) not in wanted["values"]:
            return False
    return True


def variables_of(settings: type[BaseSettings]) -> dict[str, bool]:
    """Return the variables that settings are read from, and whether each is required."""
    return {
        field.validation_alias if isinstance(field.validation_alias, str) else f"LEADLINE_{name.upper()}": (
            field.is_required()
        )
        for name, field in settings.model_fields.items()
    }


@cache
def _rendered(overlay: str) -> list[Json]:
    folder = K8S / "overlays" / overlay
    done = subprocess.run([tool("kubectl"), "kustomize", folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kubectl warns: {done.stderr}"
    return list(yaml.load_all(done.stdout, Loader=yaml.CSafeLoader))
