"""What a Grafana dashboard is made of: panels in rows, each with its queries, a unit and one sentence."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_SCHEMA = 39
"""Grafana 11; newer ones migrate it as they load it."""
_LIST = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}}
_TOOLTIP = {"tooltip": {"mode": "multi", "sort": "desc"}}
_LAST = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}


class Query(NamedTuple):
    """An expression, and how its series are called in the legend."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One panel; `limits` are values with the colour that begins at them."""

    kind: str
    title: str
    description: str
    unit: str
    queries: Sequence[Query]
    limits: Sequence[tuple[float, str]] = ()
    height: int = 8
    options: Json = field(default_factory=dict)
    custom: Json = field(default_factory=dict)
    defaults: Json = field(default_factory=dict)
    extra: Json = field(default_factory=dict)


def lines(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    limit: float | None = None,
    stacked: bool = False,
) -> Panel:
    """Return a panel of lines over time, with a red line at the limit."""
    custom: Json = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    custom["stacking"] = {"mode": "normal" if stacked else "none", "group": "A"}
    if limit is not None:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    return Panel(
        "timeseries",
        title,
        description,
        unit,
        queries,
        limits=() if limit is None else ((limit, "red"),),
        options=_LIST | _TOOLTIP,
        custom=custom,
        defaults={"min": 0},
    )


def stat(
    title: str, description: str, unit: str, *queries: Query, limits: Sequence[tuple[float, str]] = ()
) -> Panel:
    """Return the newest value in large print, with its way there behind it."""
    options = _LAST | {"colorMode": "value", "graphMode": "area", "textMode": "auto", "justifyMode": "auto"}
    return Panel("stat", title, description, unit, queries, limits, height=4, options=options)


def gauge(title: str, description: str, query: Query, limits: Sequence[tuple[float, str]]) -> Panel:
    """Return a share of a whole as a dial."""
    options = _LAST | {"showThresholdLabels": False, "showThresholdMarkers": True}
    return Panel(
        "gauge",
        title,
        description,
        "percentunit",
        [query],
        limits,
        options=options,
        defaults={"min": 0, "max": 1},
    )


def states(title: str, description: str, query: Query) -> Panel:
    """Return a band for each series, coloured while it is 1."""
    mapping = {"0": {"text": " ", "color": "transparent", "index": 0}, "1": {"text": "now", "index": 1}}
    return Panel(
        "state-timeline",
        title,
        description,
        "none",
        [query],
        options=_LIST | _TOOLTIP | {"mergeValues": True, "showValue": "never", "rowHeight": 0.8},
        custom={"fillOpacity": 80, "lineWidth": 0},
        defaults={"mappings": [{"type": "value", "options": mapping}]},
    )


def table(title: str, description: str, query: Query, hidden: Sequence[str]) -> Panel:
    """Return the labels of the series there are now, without those that say nothing."""
    excluded = dict.fromkeys(("Time", "Value", "__name__", *hidden), True)
    organized = {"id": "organize", "options": {"excludeByName": excluded}}
    return Panel(
        "table",
        title,
        description,
        "none",
        [query],
        options={"showHeader": True, "cellHeight": "sm"},
        defaults={"noValue": "none"},
        extra={"transformations": [organized]},
    )


def dashboard(
    uid: str, title: str, description: str, rows: Sequence[Sequence[Panel]], variables: Sequence[Json] = ()
) -> str:
    """Return a dashboard's JSON; the panels of a row share its width."""
    links = {"type": "dashboards", "title": "Leadline", "tags": ["leadline"], "asDropdown": True}
    document = {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["leadline"],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "timezone": "",
        "links": [links | {"includeVars": True, "keepTime": True}],
        "templating": {"list": [_datasource(), *variables]},
        "annotations": {"list": []},
        "panels": list(_placed(rows)),
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def variable(name: str, label: str, query: str) -> Json:
    """Return a variable whose values Prometheus knows."""
    asked = {"query": query, "refId": "variable"}
    shared = {"datasource": _SOURCE, "refresh": 2, "sort": 1, "multi": False, "includeAll": False}
    return {"name": name, "label": label, "type": "query", "definition": query, "query": asked} | shared


def _datasource() -> Json:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _placed(rows: Sequence[Sequence[Panel]]) -> Iterator[Json]:
    number = top = 0
    for row in rows:
        width, height = _COLUMNS // len(row), max(panel.height for panel in row)
        for place, panel in enumerate(row):
            number += 1
            position = {"x": place * width, "y": top, "w": width, "h": height}
            yield {"id": number, "gridPos": position} | _shown(panel)
        top += height


def _shown(panel: Panel) -> Json:
    steps: list[Json] = [{"value": None, "color": "green"}]
    steps += [{"value": value, "color": color} for value, color in panel.limits]
    defaults = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "custom": panel.custom,
    }
    instant = {"instant": True, "range": False, "format": "table"} if panel.kind == "table" else {}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults | panel.defaults, "overrides": []},
        "options": panel.options,
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend,
            }
            | instant
            for at, query in enumerate(panel.queries)
        ],
    } | panel.extra
