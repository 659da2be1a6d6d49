"""The command line of a service."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from leadline_common.process import main as process
from leadline_common.process import serve
from leadline_common.process.command import run_service
from leadline_common.process.health_server import serving_health
from leadline_common.process.main import Stop
from leadline_common.process.service import Check, Health, Service
from leadline_common.process.settings import ServiceSettings
from leadline_common.telemetry.metrics import new_registry
from leadline_contracts.errors import Unavailable
from leadline_testing.running_server import free_port

Run = Callable[..., int]


@pytest.fixture
def ran() -> list[str]:
    """What the commands did."""
    return []


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, ran: list[str]) -> Iterator[Run]:
    """Runs a command to its end and returns its exit code."""
    monkeypatch.setenv("LEADLINE_BROKER_URL", "amqp://localhost/")
    monkeypatch.setattr(process, "_end_soon", lambda code: None)  # this process goes on
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    async def fake_serve(stop: Stop, name: str, kind: type[ServiceSettings], compose: object) -> None:
        ran.append(f"serve {name}")

    async def migrate() -> None:
        ran.append("migrate")

    monkeypatch.setattr(serve, "serve", fake_serve)
    app = ModuleType("things_app")
    monkeypatch.setitem(sys.modules, app.__name__, app)
    vars(app).update(compose=object(), migrate=migrate)

    def start(*arguments: str, stored: bool = True) -> int:
        try:
            run_service(
                "things",
                settings="leadline_common.process.settings:ServiceSettings",
                compose="things_app:compose",
                migrate="things_app:migrate" if stored else None,
                arguments=arguments,
            )
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    yield start
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "done"), [([], "serve things"), (["serve"], "serve things"), (["migrate"], "migrate")]
)
def test_a_command_does_what_it_says(run: Run, ran: list[str], arguments: list[str], done: str) -> None:
    """Without a command the service is run."""
    assert (run(*arguments), ran) == (0, [done])


def test_a_service_without_a_store_has_nothing_to_migrate(run: Run, ran: list[str]) -> None:
    """The command that it does not have is refused, with those that it has."""
    assert (run("migrate", stored=False), ran) == (2, [])


def test_help_names_every_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Who asks for help is told the commands and where the settings come from."""
    assert run("--help") == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("serve", "health", "migrate", "LEADLINE_BROKER_URL"))


async def _ready() -> None:
    return None


async def _away() -> None:
    raise Unavailable("no answer from db:27017")


@pytest.mark.parametrize(
    ("check", "code", "text"), [(_ready, 0, '"ok"'), (_away, 1, "no answer from db:27017")]
)
async def test_health_tells_whether_the_service_is_ready(
    *,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
    check: Check,
    code: int,
    text: str,
) -> None:
    """A container's health check gets an exit code, and whoever reads it the reason."""
    port = free_port()
    monkeypatch.setenv("LEADLINE_PORT", str(port))
    monkeypatch.setenv("LEADLINE_HOST", "0.0.0.0")  # noqa: S104 - as in a container; nothing listens there
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    health = Health([Service("things", checks={"store": check})])
    with serving_health(health, new_registry(), "127.0.0.1", port):
        assert await asyncio.to_thread(run, "health") == code
    sys.stdout.flush()
    assert text.encode() in capfdbinary.readouterr().out


def test_health_of_nothing_is_bad(
    run: Run, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Where nobody listens, the address that was asked is named."""
    port = free_port()
    monkeypatch.setenv("LEADLINE_PORT", str(port))
    assert run("health") == 1
    sys.stdout.flush()
    assert f"127.0.0.1:{port}".encode() in capfdbinary.readouterr().out


def test_a_wrong_setting_is_told_apart_from_bad_health(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and the line that names the variable."""
    monkeypatch.setenv("LEADLINE_PORT", "http")
    assert run("health") == 2
    assert "LEADLINE_PORT" in capsys.readouterr().err
