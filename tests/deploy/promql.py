"""What an expression of PromQL names, found by a small reader of its own: metrics and labels."""

import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.deploy.exposition import known_metrics
from tests.deploy.tools import tool

TARGET_LABELS = frozenset({"job", "service", "instance"})
"""What the scrape configuration gives every series."""
NOT_OURS = {
    "up": frozenset[str](),
    "ALERTS": frozenset({"alertname", "alertstate", "severity"}),
    "process_start_time_seconds": frozenset[str](),
    "process_cpu_seconds_total": frozenset[str](),
    "process_resident_memory_bytes": frozenset[str](),
    "process_open_fds": frozenset[str](),
    "process_max_fds": frozenset[str](),
}
"""What Prometheus and its client library add."""

_TOKEN = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<number>\d[\w.]*)
      | (?P<name>[A-Za-z_:][\w:]*)
      | (?P<sign>=~|!~|!=|==|>=|<=|[-+*/%^()\[\]{},=<>@:])
      | \s+""",
    re.VERBOSE,
)
_LISTS = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "offset", "bool", "start", "end", "inf", "nan"})
_NO_METRIC_BEFORE = frozenset({"(", "by", "without"})


class Names(NamedTuple):
    """The metrics of an expression with the labels their selectors match, and the labels of its groupings."""

    selectors: tuple[tuple[str, frozenset[str]], ...]
    grouped: frozenset[str]


def names_in(expression: str) -> Names:
    """Read an expression. Raises ValueError at what no expression holds."""
    tokens = list(_tokens(expression))
    selectors: list[tuple[str, frozenset[str]]] = []
    grouped: set[str] = set()
    at = 0
    while at < len(tokens):
        kind, text = tokens[at]
        follows = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind == "name" and text in _LISTS and follows == "(":
            end = tokens.index(("sign", ")"), at)
            grouped |= {name for kind, name in tokens[at:end] if kind == "name"} - {text}
            at = end
        elif text == "{":
            raise ValueError(f"a selector without a metric: {expression}")
        elif kind == "name" and follows == "{":
            end = tokens.index(("sign", "}"), at)
            matched = frozenset(name for kind, name in tokens[at + 2 : end] if kind == "name")
            selectors.append((text, matched))
            at = end
        elif (
            kind == "name"
            and text.lower() not in _WORDS
            and text not in _LISTS
            and follows not in _NO_METRIC_BEFORE
        ):
            selectors.append((text, frozenset()))
        at += 1
    return Names(tuple(selectors), frozenset(grouped))


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            raise ValueError(f"unreadable from {expression[at:]!r}")
        at = found.end()
        if found.lastgroup:
            yield found.lastgroup, found.group()


def unknown_names(expressions: Iterable[str], recorded: Mapping[str, str]) -> set[str]:
    """Return what these expressions name though nothing of ours shows it.

    `recorded` are the recording rules; a recorded series has the labels of what it is recorded from.
    """
    known = known_metrics() | NOT_OURS
    wrong: set[str] = set()
    for expression in expressions:
        names = names_in(expression)
        available: set[str] = set()
        for metric, matched in names.selectors:
            labels = _labels_of(metric, known, recorded)
            if labels is None:
                wrong.add(metric)
                continue
            available |= labels
            wrong |= {f"{metric}{{{label}}}" for label in matched - labels}
        if all(metric in known or metric in recorded for metric, _ in names.selectors):
            wrong |= {f"by ({label}) in {expression}" for label in names.grouped - available}
    return wrong


def _labels_of(
    metric: str, known: Mapping[str, frozenset[str]], recorded: Mapping[str, str]
) -> frozenset[str] | None:
    if metric in known:
        return known[metric] | TARGET_LABELS
    if metric not in recorded:
        return None
    sources = [_labels_of(source, known, recorded) for source, _ in names_in(recorded[metric]).selectors]
    return frozenset().union(*(labels or frozenset() for labels in sources))


def promtool(*arguments: str | Path) -> str:
    """Run promtool and return what it says; fails where it finds fault, skips where it is not there."""
    ran = subprocess.run([tool("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
