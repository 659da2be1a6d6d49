"""Unfinished foreground runs: kept as they are until `leadline resume` finishes one."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from leadline_contracts.errors import NotFound

_TOLD = 3


class UnfinishedRun(NamedTuple):
    """A run of `score` or `evaluate` that was cut short, with how many of its leads are scored."""

    run_id: str
    upload_id: str
    offer: str
    scored: int
    total: int

    def __str__(self) -> str:
        return f"{self.run_id} ({self.offer!r}, {scored_text(self.scored, self.total)})"


def chosen(runs: Sequence[UnfinishedRun], run_id: str, data_dir: Path) -> UnfinishedRun:
    """Return the run of that id. Raises NotFound, naming those there are."""
    for run in runs:
        if run.run_id == run_id:
            return run
    known = ", ".join(map(str, runs)) or "none"
    raise NotFound(f"{data_dir} has no unfinished run {run_id[:64]!r}; unfinished there: {known}")


def notices(runs: Sequence[UnfinishedRun], data_dir: Path) -> list[str]:
    """Say which runs were left alone and how to finish them, the newest first."""
    newest = sorted(runs, reverse=True)
    lines = [
        f"left alone, and not paid for: unfinished run {run}. To finish it: {advice(run.run_id, data_dir)}"
        for run in newest[:_TOLD]
    ]
    more = len(newest) - len(lines)
    return [*lines, f"… and {more:,} older unfinished runs"] if more else lines


def scored_text(scored: int, total: int) -> str:
    """Say how far a run is."""
    return f"{scored:,} of {total:,} scored"


def advice(run_id: str, data_dir: Path) -> str:
    """Return the command that finishes a run."""
    return f"leadline resume {run_id} --data-dir {shlex.quote(str(data_dir))}"
