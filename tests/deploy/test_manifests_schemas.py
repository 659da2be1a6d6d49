"""Every object is one that Kubernetes, or the operator it is for, would take."""

import json
import subprocess
from functools import cache

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from tests.deploy.manifests import K8S, Json, each_overlay, objects

SCHEMAS = K8S.parent / "schemas"
KUBERNETES = ("1.34", "1.37")
"""The oldest and the newest version that the objects are held against."""


@each_overlay
def test_every_object_fits_its_schema(overlay: str) -> None:
    """A misspelt field, a wrong type or a kind that nothing checks is found before a cluster sees it."""
    for each in objects(overlay):
        check(each)


def test_the_dev_secrets_fit_their_schema() -> None:
    """What the script prints can be created as it is."""
    printed = subprocess.run([K8S / "overlays/dev/secrets"], capture_output=True, text=True, check=True)
    secrets = list(yaml.safe_load_all(printed.stdout))
    assert {each["kind"] for each in secrets} == {"Secret"}
    for each in secrets:
        check(each)


@pytest.mark.parametrize(
    "wrong",
    [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prots": []}},
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": {"name": "a"},
            "spec": {"selector": {}, "podMetricsEndpoint": []},
        },
        {"apiVersion": "example.com/v1", "kind": "Unknown", "metadata": {"name": "a"}},
    ],
)
def test_the_check_itself_refuses(wrong: Json) -> None:
    """A misspelt field of a core kind, one of a custom kind, and a kind without a schema are refused."""
    with pytest.raises((jsonschema.ValidationError, kubernetes_validate.SchemaNotFoundError)):
        check(wrong)


def check(each: Json) -> None:
    """Raise unless the object fits the schema of its kind; what two overlays share is looked at once."""
    _check(json.dumps(each, sort_keys=True))


@cache
def _check(text: str) -> None:
    each = json.loads(text)
    group, _, version = each["apiVersion"].rpartition("/")
    custom = SCHEMAS / f"{each['kind'].lower()}-{group.partition('.')[0]}-{version}.json"
    if custom.exists():
        jsonschema.validate(each, json.loads(custom.read_text(encoding="utf-8")))
    else:
        for kubernetes in KUBERNETES:
            kubernetes_validate.validate(each, kubernetes, strict=True)
