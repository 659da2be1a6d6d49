"""Makes the real servers available to every test, and begins with the tests that take longest."""

from collections import Counter

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["leadline_testing.pytest_servers"]

# A loaded machine takes its time over an example, which says nothing about the code.
settings.register_profile("leadline", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("leadline")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first, then those with the most tests on servers and processes.

    Workers take whole files, in this order (`--dist loadfile --no-loadscope-reorder`): at the end there are
    only short ones left, and no worker waits for another that is in the middle of a long one.
    """
    weights = Counter[object]()
    for item in items:
        weights[item.path] += 100 * _is_marked(item, "slow") + _uses_processes(item)
    items.sort(key=lambda item: -weights[item.path])


def _is_marked(item: pytest.Item, name: str) -> bool:
    return item.get_closest_marker(name) is not None


def _uses_processes(item: pytest.Item) -> bool:
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return _is_marked(item, "servers") or "leadline" in fixtures
