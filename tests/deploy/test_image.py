"""What an image holds: deploy/install-service run as its build runs it, and what that installs run alone."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from tests.deploy.dockerfile import ROOT, copy_sources
from tests.deploy.environments import Environment, run_alone, tree

from leadline_testing.running_server import free_port
from leadline_testing.services import SERVICES

AI_SDKS = {"anthropic", "google-genai", "openai"}
HTTP_SERVER = {"litestar", "uvicorn"}
MONGODB = {"motor", "pymongo"}
TOOLS = {"flit-core", "mypy", "pip", "pytest", "setuptools", "uv", "wheel"}
ABSENT = {
    "ingest": TOOLS | AI_SDKS,
    "rules": TOOLS | AI_SDKS | HTTP_SERVER | MONGODB,
    "ai": TOOLS | HTTP_SERVER,
    "results": TOOLS | AI_SDKS,
}
START_SECONDS = 60

Install = Callable[[str], Environment]

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What requirements.lock names, fetched once: over the index, pip takes a second a package."""
    if os.environ.get("LEADLINE_REQUIRE_SERVERS") != "1":
        pytest.skip(
            "fetches all dependencies from the package index: set LEADLINE_REQUIRE_SERVERS=1 to run it"
        )
    folder = tmp_path_factory.mktemp("wheels")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"]
    locked = [
        "--no-deps",
        "--only-binary",
        ":all:",
        "--require-hashes",
        "-r",
        str(ROOT / "requirements.lock"),
    ]
    subprocess.run([*pip, *locked, "--dest", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def install(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Gives a service's environment, installed once from nothing but what the Dockerfile copies."""
    folder = tmp_path_factory.mktemp("images")

    def installed(service: str) -> Environment:
        environment = Environment(service, folder / service / "source", folder / service / "app")
        if not environment.target.exists():
            copy_sources(service, environment.source)
            environment.install(wheels)
        return environment

    return installed


@pytest.mark.parametrize("service", SERVICES)
def test_the_lock_and_our_members_are_installed_and_nothing_else(install: Install, service: str) -> None:
    """An image has exactly its own dependencies, as locked, and no tool that could install or test."""
    environment = install(service)
    found = environment.distributions()
    ours = {name for name in found if name.startswith("leadline-")}

    assert {name: version for name, version in found.items() if name not in ours} == environment.locked()
    assert ours == environment.members()
    assert not ABSENT[service] & found.keys()
    assert service != "ai" or found.keys() >= AI_SDKS


@pytest.mark.parametrize("service", SERVICES)
def test_every_file_of_the_sources_is_installed_and_imports(install: Install, service: str) -> None:
    """No module needs a dependency that its member does not name, and no data file is left out."""
    environment = install(service)
    modules = environment.modules()
    program = "import importlib, sys; [importlib.import_module(name) for name in sys.argv[1:]]"
    imported = run_alone([environment.target / "bin/python", "-c", program, *modules])

    assert environment.installed_sources() == environment.sources()
    assert {f"leadline_{service}.__main__", f"leadline_{service}.app", "leadline_common.process.service"} <= {
        *modules
    }
    assert imported.returncode == 0, imported.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_without_settings_it_ends_with_one_line(install: Install, service: str) -> None:
    """An image started bare says what it needs."""
    ended = run_alone([install(service).command])

    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("leadline: LEADLINE_BROKER_URL ")


def test_rules_runs_from_what_cannot_be_written(install: Install, rabbitmq_vhost_url: str) -> None:
    """The image works with a read-only root, answers its own health check and ends well on SIGTERM."""
    environment = install("rules")
    before = tree(environment.target)
    settings = {"LEADLINE_BROKER_URL": rabbitmq_vhost_url, "LEADLINE_PORT": str(free_port())}
    with (
        read_only(environment.target),
        subprocess.Popen([environment.command], cwd="/", env=settings) as process,
    ):
        try:
            unanswered = run_alone([environment.command, "health"], {**settings, "LEADLINE_PORT": "1"})
            assert unanswered.returncode == 1
            await_healthy(process, environment, settings)
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()

    assert tree(environment.target) == before


@pytest.mark.parametrize("service", ["", "rule", "standalone"])
def test_an_unknown_service_is_named_with_the_known_ones(service: str, tmp_path: Path) -> None:
    """A build whose SERVICE is missing or mistyped ends, and its last line says what to give."""
    ended = run_alone(
        [ROOT / "deploy/install-service", service, tmp_path / "app"], {"PATH": os.environ["PATH"]}
    )

    assert ended.returncode == 1
    assert ended.stderr == f"install-service: SERVICE is '{service}', not one of: ai ingest results rules\n"
    assert not (tmp_path / "app").exists()


def test_the_same_sources_give_the_same_files(install: Install, wheels: Path, tmp_path: Path) -> None:
    """Two builds of an image have the same layer: every path, mode, time and byte."""
    environment = install("rules")
    first = tree(environment.target)
    shutil.rmtree(environment.target)
    copied = shutil.copytree(environment.source, tmp_path / "source", copy_function=shutil.copy)
    Environment("rules", copied, environment.target).install(wheels)

    assert tree(environment.target) == first


def await_healthy(
    process: subprocess.Popen[bytes], environment: Environment, settings: Mapping[str, str]
) -> None:
    """Return once the container's health check says yes."""
    deadline = time.monotonic() + START_SECONDS
    while (health := run_alone([environment.command, "health"], settings)).returncode != 0:
        assert process.poll() is None, f"it ended with exit code {process.returncode}"
        assert time.monotonic() < deadline, health.stdout


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take away the right to write in a folder. Root writes all the same, which shows in the `tree`."""
    subprocess.run(["chmod", "-R", "a-w", folder], check=True)
    yield
    subprocess.run(["chmod", "-R", "u+w", folder], check=True)
