"""Each service is given the settings it reads, from where they are, and no others."""

import re
import subprocess
from functools import cache
from typing import NamedTuple

import pytest
import yaml
from tests.deploy.manifests import (
    K8S,
    OVERLAYS,
    SERVICES,
    Json,
    container_of,
    each_overlay,
    each_service,
    objects,
    templates,
    variables_of,
)

from leadline_ai.app import KEYS
from leadline_common.process.settings import load_settings

SECRET = re.compile(r"URL$|SECRET$|KEY$|PASS$|USER$")
KNOWN = {variable for settings in SERVICES.values() for variable in variables_of(settings)}


class SecretKey(NamedTuple):
    """Where a variable's value is kept."""

    secret: str
    key: str
    optional: bool


@each_overlay
@each_service
def test_a_service_gets_what_it_reads_and_no_more(overlay: str, service: str) -> None:
    """A variable that is misspelt, left over, meant for another service, or missing is noticed."""
    given = {**plain_of(overlay, service), **secrets_of(overlay, service)}
    read = variables_of(SERVICES[service])
    assert given.keys() <= read.keys()
    assert {variable for variable, required in read.items() if required} <= given.keys()


@each_overlay
@each_service
def test_a_service_starts_with_it(overlay: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every value is one that the service's own settings accept, with the secrets as dev makes them."""
    for variable in KNOWN:
        monkeypatch.delenv(variable, raising=False)
    for variable, value in plain_of(overlay, service).items():
        monkeypatch.setenv(variable, value)
    for variable, ref in secrets_of(overlay, service).items():
        if not ref.optional:
            monkeypatch.setenv(variable, dev_secrets()[ref.secret][ref.key])
    settings = load_settings(SERVICES[service])
    assert settings.host == "0.0.0.0"  # noqa: S104 - the pod's own addresses


@each_overlay
def test_every_variable_of_ours_is_a_setting(overlay: str) -> None:
    """No LEADLINE_ variable stands in a ConfigMap, or in any pod, that no service knows."""
    in_maps = {key for each in objects(overlay, "ConfigMap") for key in each.get("data", {})}
    in_pods = {
        variable["name"]
        for template in templates(overlay)
        for container in template["spec"]["containers"]
        for variable in container.get("env", [])
    }
    ours = {name for name in in_maps | in_pods if name.startswith("LEADLINE_")}
    assert ours
    assert ours <= KNOWN


@each_overlay
def test_every_plain_setting_is_read_by_somebody(overlay: str) -> None:
    """A ConfigMap of settings that no pod takes would be changed without effect."""
    taken = {
        source["configMapRef"]["name"] for service in SERVICES for source in sources_of(overlay, service)
    }
    kept = {
        each["metadata"]["name"]
        for each in objects(overlay, "ConfigMap")
        if any(key.startswith("LEADLINE_") for key in each["data"])
    }
    assert taken == kept
    assert all(re.search(r"-[a-z0-9]{10}$", name) for name in taken), (
        "without a hash no change rolls the pods"
    )


@each_overlay
def test_no_secret_stands_in_a_manifest(overlay: str) -> None:
    """What is secret comes by reference alone, with a key that dev makes or that may be missing."""
    assert not objects(overlay, "Secret")
    for each in objects(overlay, "ConfigMap"):
        assert not [key for key in each.get("data", {}) if SECRET.search(key)]
    for template in templates(overlay):
        for variable in template["spec"]["containers"][0].get("env", []):
            assert not SECRET.search(variable["name"]) or "valueFrom" in variable, variable
            if ref := secret_key(variable):
                assert ref.key == variable["name"]
                assert ref.optional or ref.key in dev_secrets()[ref.secret]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_only_the_keys_of_providers_may_be_missing(overlay: str) -> None:
    """A pod whose secret is missing waits for it; one without a provider's key can do without."""
    optional = {
        ref.key
        for service in SERVICES
        for ref in secrets_of(overlay, service).values()
        if ref.optional and ref.secret == "leadline-ai"
    }
    assert optional == set(KEYS.values())
    others = [ref for s in SERVICES for ref in secrets_of(overlay, s).values() if ref.secret != "leadline-ai"]
    assert not [ref for ref in others if ref.optional]


def test_dev_makes_no_secret_twice_the_same() -> None:
    """There is no default password, and what makes them writes nothing down."""
    assert made_secrets()["leadline-auth"] != made_secrets()["leadline-auth"]
    assert made_secrets()["leadline-broker"] != made_secrets()["leadline-broker"]


def test_dev_asks_the_servers_that_it_runs() -> None:
    """The addresses in the secrets name Services of the overlay, at their ports, with RabbitMQ's own user."""
    broker, store = dev_secrets()["leadline-broker"], dev_secrets()["leadline-store"]
    user, password = broker["RABBITMQ_DEFAULT_USER"], broker["RABBITMQ_DEFAULT_PASS"]
    assert broker["LEADLINE_BROKER_URL"] == f"amqp://{user}:{password}@rabbitmq:5672/"
    ports = {
        each["metadata"]["name"]: [port["port"] for port in each["spec"]["ports"]]
        for each in objects("dev", "Service")
    }
    assert 5672 in ports["rabbitmq"]
    assert ports["mongodb"] == [27017]
    assert store["LEADLINE_STORE_URL"].startswith("mongodb://mongodb-0.mongodb:27017/leadline?")


def test_production_is_not_applied_as_it_is() -> None:
    """Registry, tag, host name and addresses of the example are refused until each is replaced."""
    text = yaml.safe_dump_all(objects("production"))
    for example, own in (
        ("registry.example.com", "registry.internal"),
        (":set-me", ":1.4.2"),
        ("leadline.example.com", "leadline.internal"),
        ("192.0.2.0/24", "10.1.0.0/24"),
        ("198.51.100.0/24", "10.2.0.0/24"),
    ):
        refused = checked(text)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert example in refused.stderr
        text = text.replace(example, own)
    passed = checked(text)
    assert (passed.returncode, passed.stdout) == (0, text)


def checked(manifests: str) -> subprocess.CompletedProcess[str]:
    """Give manifests to the check that stands before they are applied."""
    check = K8S / "overlays/production/check"
    return subprocess.run([check], input=manifests, capture_output=True, text=True, check=False)


def plain_of(overlay: str, service: str) -> dict[str, str]:
    """Return the plain settings a service's pods are given."""
    maps = {each["metadata"]["name"]: each["data"] for each in objects(overlay, "ConfigMap")}
    given: dict[str, str] = {}
    for source in sources_of(overlay, service):
        given |= maps[source["configMapRef"]["name"]]
    return given


def secrets_of(overlay: str, service: str) -> dict[str, SecretKey]:
    """Return the variables that a service's pods are given from secrets."""
    variables = container_of(overlay, service)["env"]
    return {variable["name"]: ref for variable in variables if (ref := secret_key(variable))}


def sources_of(overlay: str, service: str) -> list[Json]:
    """Return what a service's pods take whole."""
    sources: list[Json] = container_of(overlay, service)["envFrom"]
    return sources


def secret_key(variable: Json) -> SecretKey | None:
    """Return where a variable's value is kept, None where it is not a secret."""
    ref = variable.get("valueFrom", {}).get("secretKeyRef")
    return ref and SecretKey(ref["name"], ref["key"], ref.get("optional", False))


def made_secrets() -> dict[str, dict[str, str]]:
    """Run what makes the secrets of dev and return them by name."""
    printed = subprocess.run([K8S / "overlays/dev/secrets"], capture_output=True, text=True, check=True)
    return {each["metadata"]["name"]: each["stringData"] for each in yaml.safe_load_all(printed.stdout)}


dev_secrets = cache(made_secrets)
