"""Health and metrics of a process that serves nothing else."""

import asyncio
import threading
from collections.abc import AsyncIterator

import httpx
import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter

from leadline_common import __version__
from leadline_common.process import health_server
from leadline_common.process.health_server import serving_health
from leadline_common.process.service import Health, Service
from leadline_contracts.errors import SettingsError, Unavailable


def ready_body(status: str, store: str) -> dict[str, object]:
    """What /health/ready answers, the version of what runs among it."""
    return {"status": status, "version": __version__, "checks": {"store": store}}


class Store:
    """Something a service stands on, which can be away or never answer."""

    away = False
    silent = False

    async def ping(self) -> None:
        if self.silent:
            await asyncio.sleep(60)
        if self.away:
            raise Unavailable("the store does not answer")


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def health(store: Store) -> Health:
    return Health([Service("rules", checks={"store": store.ping})])


@pytest.fixture
async def address(health: Health) -> AsyncIterator[str]:
    registry = CollectorRegistry()
    Counter("leadline_things", "Things.", registry=registry).inc(3)
    with serving_health(health, registry, "127.0.0.1", 0) as address:
        yield address


async def get(address: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(address + path)


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health/ready?verbose=1"])
async def test_readiness_follows_what_the_service_stands_on(
    address: str, store: Store, health: Health, path: str
) -> None:
    """Ready while each check answers; unready with the reason while one does not, and while stopping."""
    answer = await get(address, path)
    assert (answer.status_code, answer.json()) == (
        200,
        ready_body("ok", "ok"),
    )
    store.away = True
    answer = await get(address, path)
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "unready",
        "version": __version__,
        "checks": {"store": "the store does not answer"},
    }
    health.stopping = True
    assert (await get(address, path)).json()["checks"] == {"process": "is stopping"}


async def test_liveness_does_not_follow_dependencies(address: str, store: Store, health: Health) -> None:
    """A process is not restarted because its store is away, but because a loop of its own has ended."""
    store.away = True
    assert (await get(address, "/health/live")).json() == {"status": "ok"}
    health.watch([asyncio.create_task(asyncio.sleep(0))])
    await health.until_ending()
    answer = await get(address, "/health/live")
    assert (answer.status_code, answer.json()) == (503, {"status": "stalled"})


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
async def test_a_blocked_event_loop_is_stalled(
    address: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A probe gets its 503 from another thread though the loop does not turn."""
    monkeypatch.setattr(health_server, "_ANSWER_SECONDS", 0.1)
    answers: list[httpx.Response] = []
    probe = threading.Thread(target=lambda: answers.append(httpx.get(address + path)))
    probe.start()
    probe.join(60)  # the fault this test is about: the loop does not turn meanwhile
    [answer] = answers
    assert (answer.status_code, answer.json()) == (503, {"status": "stalled"})


async def test_a_check_that_never_answers_is_unready(
    address: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dependency that hangs does not make the probe hang."""
    monkeypatch.setattr(health_server, "_ANSWER_SECONDS", 0.1)
    store.silent = True
    assert (await get(address, "/health/ready")).status_code == 503


async def test_metrics_are_exposed(address: str) -> None:
    """The registry's figures come in Prometheus' text format."""
    answer = await get(address, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "leadline_things_total 3.0" in answer.text


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/health", 501)])
async def test_anything_else_is_refused_as_a_problem(
    address: str, method: str, path: str, status: int
) -> None:
    """Errors are problem details here as well, and name what there is."""
    async with httpx.AsyncClient() as client:
        answer = await client.request(method, address + path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert status != 404 or "/health/ready" in answer.json()["detail"]


async def test_probes_are_not_logged(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What comes every few seconds writes nothing."""
    with structlog.testing.capture_logs() as logs:
        await get(address, "/health/live")
        await get(address, "/nothing")
    assert logs == []
    assert capsys.readouterr().err == ""


async def test_a_taken_port_is_a_settings_error(address: str, health: Health) -> None:
    """The one line says which address it is and what to do."""
    port = int(address.rpartition(":")[2])
    with (
        pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{port}: .*in use; choose another port"),
        serving_health(health, CollectorRegistry(), "127.0.0.1", port),
    ):
        pass


async def test_it_listens_on_ipv6(health: Health) -> None:
    """The other loopback address works as well, and is shown so that it can be called."""
    with serving_health(health, CollectorRegistry(), "::1", 0) as address:
        assert (await get(address, "/health/live")).status_code == 200


async def test_the_port_is_free_afterwards(health: Health) -> None:
    """A process that starts again can listen where it listened before."""
    with serving_health(health, CollectorRegistry(), "127.0.0.1", 0) as address:
        await get(address, "/health")
    with serving_health(health, CollectorRegistry(), "127.0.0.1", int(address.rpartition(":")[2])) as again:
        assert again == address
