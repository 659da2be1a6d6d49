"""deploy/Dockerfile and .dockerignore, as far as they can be checked without a container engine."""

import importlib
import json
import re
import shlex

import pytest
from tests.deploy.dockerfile import ROOT, copied_sources, files_under, instructions, reaches_the_build

from leadline_testing.services import SERVICES


def test_each_stage_has_the_python_that_the_lock_files_are_for() -> None:
    """The environment is built by, runs on and is locked for the same minor version of Python."""
    locked_for = re.findall(r"--python-version (\S+)", (ROOT / "Makefile").read_text())
    bases = [base.split()[0] for base in instructions("FROM")]

    assert set(bases) == {f"python:{version}-slim" for version in locked_for}
    assert len(bases) == 2


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_copied_is_there_and_let_in(service: str) -> None:
    """No path of a COPY is mistyped, or kept out by .dockerignore."""
    empty = [source for source in copied_sources(service) if not files_under(source)]

    assert not empty


def test_nothing_else_is_let_in() -> None:
    """Secrets, test code and what was built on this machine never reach a build."""
    copied = {
        path for service in SERVICES for source in copied_sources(service) for path in files_under(source)
    }
    private = [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "deploy/k8s/secret.yaml",
        "services/rules/.env/tests/x",
    ]

    assert set(files_under(".")) == copied
    assert not [path for path in private if reaches_the_build(path)]
    assert not [path for path in copied if "tests" in path.split("/")]


def test_the_installing_script_is_the_only_step_of_the_build() -> None:
    """What the tests run as deploy/install-service is what an image is made by."""
    first, _ = instructions("RUN")

    assert shlex.split(first) == ["deploy/install-service", "$SERVICE", "/app"]
    assert [copy for copy in instructions("COPY") if copy.startswith("--from")] == [
        "--from=builder /app /app"
    ]


def test_it_runs_as_nobody_in_particular() -> None:
    """A number lets Kubernetes see that the user is not root."""
    assert instructions("USER") == ["10001:10001"]


def test_signals_and_health_checks_reach_python() -> None:
    """No shell stands between the container's first process and Python."""
    (entrypoint,) = instructions("ENTRYPOINT")
    (health,) = instructions("HEALTHCHECK")

    assert json.loads(entrypoint) == ["leadline-service"]
    assert json.loads(health.split(" CMD ", 1)[1]) == ["leadline-service", "health"]
    assert not instructions("CMD")


def test_the_named_ports_are_those_of_the_services() -> None:
    """EXPOSE says where each service listens by default."""
    settings = [importlib.import_module(f"leadline_{name}.settings") for name in SERVICES]
    ports = [
        getattr(module, f"{name.capitalize()}Settings").model_fields["port"].default
        for name, module in zip(SERVICES, settings, strict=True)
    ]

    assert [int(port) for port in " ".join(instructions("EXPOSE")).split()] == ports


def test_it_listens_beyond_the_container_and_writes_nothing() -> None:
    """The defaults of a laptop, loopback and bytecode beside the source, are not those of a container."""
    (environment,) = instructions("ENV")
    variables = dict(word.split("=", 1) for word in shlex.split(environment))

    assert variables["LEADLINE_HOST"] == "0.0.0.0"  # noqa: S104 - of a container
    assert variables["LEADLINE_REVISION"] == "${REVISION}"
    assert variables["PYTHONDONTWRITEBYTECODE"] == "1"
    assert variables["PATH"].startswith("/app/bin:")
