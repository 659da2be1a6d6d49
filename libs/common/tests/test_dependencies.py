"""Whether servers answer, as metrics."""

from leadline_common.telemetry.dependencies import DependencyProbe
from leadline_common.telemetry.metrics import Metrics, new_registry
from leadline_contracts.errors import Unavailable


async def test_a_server_that_does_not_answer_is_shown_and_hides_no_other() -> None:
    """Each has a figure of its own, from the first look on, whether there is work or not."""
    down = {"broker"}

    async def ping_broker() -> None:
        if "broker" in down:
            raise Unavailable("no answer")

    async def ping_store() -> None:
        return None

    metrics = Metrics(new_registry())
    probe = DependencyProbe({"broker": ping_broker, "store": ping_store}, metrics)

    async def shown(name: str) -> float | None:
        await probe.probe()
        return metrics.registry.get_sample_value("leadline_dependency_up", {"dependency": name})

    assert (await shown("broker"), await shown("store")) == (0, 1)
    down.clear()
    assert await shown("broker") == 1
