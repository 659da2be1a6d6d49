"""docker-compose.yml says what the code, the gateway and Prometheus take for granted, and nothing is open."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
import yaml
from pydantic_settings import BaseSettings
from tests.deploy.promql import promtool

from leadline_ai.settings import AiSettings
from leadline_common.process.settings import PREFIX, ServiceSettings, load_settings
from leadline_ingest.settings import IngestSettings
from leadline_results.settings import ResultsSettings
from leadline_rules.settings import RulesSettings
from leadline_testing.tables import every_row

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
SETTINGS: dict[str, type[ServiceSettings]] = {
    "ingest": IngestSettings,
    "rules": RulesSettings,
    "ai": AiSettings,
    "results": ResultsSettings,
}
VARIABLE = re.compile(r"\$\{(\w+)(?::(-|\?)([^}]*))?\}")
MADE_BY_MAKE = "LEADLINE_REVISION"


def test_it_is_a_compose_file() -> None:
    """What Compose would refuse is refused here."""
    schema = json.loads((DEPLOY / "schemas" / "compose-spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(COMPOSE)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_service_knows_what_it_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable is misspelt, none is missing, and each has a value that the service takes."""
    told = {variable: filled_in(value) for variable, value in CONTAINERS[name]["environment"].items()}
    assert told.keys() <= known_variables(SETTINGS[name])
    for variable in known_variables(SETTINGS[name]):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in told.items():
        monkeypatch.setenv(variable, value)
    load_settings(SETTINGS[name])


def test_everybody_means_the_same_ports() -> None:
    """The gateway and Prometheus ask each service at its default port."""
    ports = {name: settings.model_fields["port"].default for name, settings in SETTINGS.items()}
    assert not any("LEADLINE_PORT" in CONTAINERS[name]["environment"] for name in SETTINGS)
    upstreams = re.findall(r"server (\w+):(\d+) resolve;", (DEPLOY / "gateway" / "nginx.conf").read_text())
    assert {name: int(port) for name, port in upstreams} == {
        name: ports[name] for name in ("ingest", "results")
    }
    jobs = {job["job_name"]: job for job in prometheus()["scrape_configs"]}
    targets = [(group["labels"], group["targets"]) for group in jobs["leadline"]["static_configs"]]
    assert targets == [({"service": name}, [f"{name}:{port}"]) for name, port in ports.items()]


def test_the_example_names_every_secret_and_has_none() -> None:
    """Whoever fills in all of .env.example has all that is needed, and what may be left out is real."""
    used = {match[1]: match[2] for match in VARIABLE.finditer(TEXT)}
    example = (ROOT / ".env.example").read_text()
    needed = set(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    optional = set(re.findall(r"^#(\w+)=", example, re.MULTILINE))
    assert needed == {(name, "") for name, how in used.items() if how == "?"}
    assert optional | {MADE_BY_MAKE} == {name for name, how in used.items() if how == "-"}


def test_no_secret_is_written_down() -> None:
    """Every password and key comes from .env, and none but a provider's may be missing."""
    for container in CONTAINERS.values():
        for name, value in container.get("environment", {}).items():
            if re.search("PASS|SECRET|KEY|TOKEN$", name):
                assert (match := VARIABLE.fullmatch(value)), name
                assert match[2] == "?" or (match.group(2, 3) == ("-", "") and name.endswith("_API_KEY")), name
    passwords = re.findall(r"://\w+:(.*?)@", TEXT)
    assert len(passwords) == 2
    assert all(VARIABLE.fullmatch(password) for password in passwords)


@every_row("name", CONTAINERS)
def test_a_container_can_do_little(name: str) -> None:
    """Each runs without privileges on a file system it cannot write, in so much memory, and is watched."""
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["restart"] == "unless-stopped"
    assert container["mem_limit"]
    assert container["healthcheck"]["test"][0] == "CMD"
    for mount in container.get("volumes", []):
        source, _, how = mount.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert how.endswith(":ro"), mount
        else:
            assert source in COMPOSE["volumes"]


def test_uploads_may_wait_on_disk() -> None:
    """ingest can write to /tmp, and to nothing else; a tmpfs would take its memory."""
    assert CONTAINERS["ingest"]["volumes"] == ["ingest-tmp:/tmp"]
    assert "tmpfs" not in CONTAINERS["ingest"]


@every_row("name", CONTAINERS)
def test_an_image_is_named(name: str) -> None:
    """A service's image is built from its own sources; any other is of a version somebody chose."""
    container = CONTAINERS[name]
    if name in SETTINGS:
        assert container["image"] == f"leadline-{name}"
        assert container["build"]["args"]["SERVICE"] == name
        assert (ROOT / container["build"]["dockerfile"]).exists()
    else:
        assert re.fullmatch(r"[\w./-]+:v?\d[\w.-]*", container["image"])


def test_a_service_is_asked_as_its_image_asks() -> None:
    """Compose and a plain `docker run` take the same answer for health."""
    asked = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert asked
    for name in SETTINGS:
        assert CONTAINERS[name]["healthcheck"]["test"] == ["CMD", *json.loads(asked[1])]


def test_who_needs_a_server_waits_until_it_is_healthy() -> None:
    """Nothing starts before the servers whose addresses it gets take requests."""
    needs = {"gateway": {"ingest", "results"}, "grafana": {"prometheus"}}
    for name in SETTINGS:
        told = CONTAINERS[name]["environment"]
        servers = {"LEADLINE_BROKER_URL": "rabbitmq", "LEADLINE_STORE_URL": "mongodb"}
        needs[name] = {server for variable, server in servers.items() if variable in told}
        assert all(f"@{servers[variable]}:" in told[variable] for variable in servers if variable in told)
    for name, container in CONTAINERS.items():
        waits = container.get("depends_on", {})
        assert waits == {needed: {"condition": "service_healthy"} for needed in needs.get(name, ())}


def test_a_service_may_finish_its_work() -> None:
    """Nobody is killed while requests and messages under way have their time."""
    drain = ServiceSettings.model_fields["drain_seconds"].default
    for name in (*SETTINGS, "gateway"):
        assert "LEADLINE_DRAIN_SECONDS" not in CONTAINERS[name].get("environment", {})
        assert float(CONTAINERS[name]["stop_grace_period"].removesuffix("s")) > 2 * drain


def test_only_loopback_is_published() -> None:
    """What this machine serves to others is for somebody to decide; RabbitMQ and MongoDB never are."""
    published = {name: container["ports"] for name, container in CONTAINERS.items() if "ports" in container}
    assert published.keys() == {"gateway", "prometheus", "grafana"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)


def test_only_ai_leads_outside() -> None:
    """A service or store that was broken into can send what it holds nowhere."""
    outside = {name for name, network in COMPOSE["networks"].items() if not network.get("internal")}
    leads_out = {name for name, container in CONTAINERS.items() if outside & set(container["networks"])}
    assert leads_out == {"ai", "gateway", "prometheus", "grafana"}
    assert all("inside" in container["networks"] for container in CONTAINERS.values())


def test_prometheus_takes_its_configuration() -> None:
    """The scrape configuration and all rule files beside it are good."""
    said = promtool("check", "config", DEPLOY / "prometheus" / "prometheus.yml")
    assert f"{len(list((DEPLOY / 'prometheus' / 'rules').glob('*.yml')))} rule files found" in said


def test_make_up_says_what_to_fill_in(tmp_path: Path) -> None:
    """Nothing is built or started before every secret is there, and each that is missing is named."""
    for name in ("Makefile", ".env.example"):
        shutil.copy(ROOT / name, tmp_path)
    assert "cp .env.example .env" in refused_make_up(tmp_path)
    example = (tmp_path / ".env.example").read_text()
    names = re.findall(r"^(\w+)=$", example, re.MULTILINE)
    (tmp_path / ".env").write_text(re.sub(f"^{names[0]}=$", f"{names[0]}={'x' * 32}", example, flags=re.M))
    told = refused_make_up(tmp_path)
    assert names[0] not in told
    assert all(name in told for name in names[1:])


def test_make_up_leaves_the_restarting_of_containers_alone(tmp_path: Path) -> None:
    """Docker takes any kill for a stop by hand, after which a container that crashes stays down."""
    fill_in(tmp_path)
    made = make_up(tmp_path, 'echo "$@" >> asked')
    assert (made.returncode, made.stderr) == (0, "")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[1:] == [f"compose exec -T {name} sh -c kill -HUP 1" for name in ("gateway", "prometheus")]
    scripts = [ROOT / "Makefile", *(ROOT / "deploy").rglob("*"), *(ROOT / "docs").rglob("*.md")]
    assert not [
        path.name
        for path in scripts
        if path.is_file() and re.search(r"docker(?:-| )compose kill|docker kill", path.read_text("latin-1"))
    ]


def test_a_failed_make_up_says_where_to_look(tmp_path: Path) -> None:
    """Who waits for containers that do not come up sees how each is, and how to read what one says."""
    fill_in(tmp_path)
    made = make_up(tmp_path, 'echo "asked $@"; [ "$2" != up ]')
    assert made.returncode != 0
    assert "asked compose ps --all" in made.stdout
    assert "make logs ARGS=NAME" in made.stdout


def fill_in(folder: Path) -> None:
    """Put the Makefile and a filled-in .env into the folder."""
    for name in ("Makefile", ".env.example"):
        shutil.copy(ROOT / name, folder)
    example = (folder / ".env.example").read_text()
    (folder / ".env").write_text(re.sub(r"^(\w+)=$", rf"\1={'x' * 32}", example, flags=re.M))


def make_up(folder: Path, docker: str) -> subprocess.CompletedProcess[str]:
    """Run `make up` with a shell script in place of Docker."""
    program = folder / "docker"
    program.write_text(f"#!/bin/sh\n{docker}\n")
    program.chmod(0o755)
    path = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    return subprocess.run(["make", "up"], cwd=folder, env=path, capture_output=True, text=True, check=False)


def refused_make_up(folder: Path) -> str:
    """Return what `make up` says where it refuses, even though all that Docker is asked would succeed."""
    made = make_up(folder, "")
    assert made.returncode != 0
    return made.stdout


def known_variables(settings: type[BaseSettings]) -> set[str]:
    """Return the names of the variables that a service reads."""
    return {
        str(field.validation_alias or f"{PREFIX}{name.upper()}")
        for name, field in settings.model_fields.items()
    }


def filled_in(value: object) -> str:
    """Return a value as Compose passes it on, each secret of .env being 64 letters."""
    return VARIABLE.sub(lambda match: match[3] if match[2] == "-" else "s" * 64, str(value))


def prometheus() -> dict[str, Any]:
    """Return Prometheus's configuration."""
    return cast(dict[str, Any], yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text()))
