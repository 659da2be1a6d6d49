"""The Grafana dashboards, from their panels: TARGETS names each file and what writes it."""

from collections.abc import Callable
from pathlib import Path

from deploy.render.dashboards import ai, overview, service

_FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"

TARGETS: dict[Path, Callable[[], str]] = {
    _FOLDER / "overview.json": overview.render,
    _FOLDER / "ai.json": ai.render,
    _FOLDER / "service.json": service.render,
}
