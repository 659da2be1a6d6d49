"""What `leadline evaluate` shows on the terminal."""

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadline_standalone.evaluate import Answered, EvaluatedRun, Evaluation
from leadline_standalone.money import counted, spent_text
from leadline_standalone.quality import (
    LABELS,
    Judged,
    Share,
    confusion,
    flips,
    lift,
    precision,
    recall,
)
from leadline_standalone.report import show_notes

_FLIPS_SHOWN = 10


def show_evaluation(evaluation: Evaluation, console: Console) -> None:
    """Print how good the first run was, how the runs differ, who answered, and what all of them cost."""
    if evaluation.runs:
        first = evaluation.runs[0].judged
        console.print(Text(_accuracy(first, evaluation.accuracy)), soft_wrap=True)
        console.print(_confusion(first))
        console.print(_lift(first))
        for line in (*_flips(evaluation.runs), *_answered(evaluation.runs), *_spent(evaluation)):
            console.print(Text(line), soft_wrap=True)
    labelled = evaluation.labelled
    show_notes(labelled.warnings, labelled.rejected, len(labelled.rejected), console)


def percent(share: float | None) -> str:
    """Return a share as a percentage; a dash for that of nothing."""
    return "-" if share is None else f"{share:.1%}"


def _accuracy(rows: Sequence[Judged], accuracy: Share) -> str:
    low, high = accuracy.interval()
    unscored = sum(row.intent is None for row in rows)
    wrong = f"; {counted(unscored, 'row')} without an intent counted as wrong" if unscored else ""
    return (
        f"Accuracy {percent(accuracy.value)} (95 % interval {percent(low)} to {percent(high)}): "
        f"{accuracy.hits:,} of {counted(accuracy.of, 'row')} got the intent they are labelled with{wrong}."
    )


def _confusion(rows: Sequence[Judged]) -> Table:
    """Labels down, intents across."""
    counts = confusion(rows)
    table = _table("Labelled \\ got", *LABELS, "None", "Recall")
    for label in LABELS:
        cells = [counts[label, intent] for intent in (*LABELS, None)]
        table.add_row(label, *map(_number, cells), percent(recall(rows, label).value))
    table.add_row("Precision", *(percent(precision(rows, label).value) for label in LABELS), "", "")
    return table


def _lift(rows: Sequence[Judged]) -> Table:
    table = _table("Score", "Rows", "Labelled High", "Share", "Lift")
    for band in reversed(lift(rows)):
        share = band.labelled_high
        above = "-" if band.lift is None else f"{band.lift:.2f}"
        cells = (_number(share.of), _number(share.hits), percent(share.value), above)
        table.add_row(f"{band.low}-{band.high}", *cells)
    return table


def _flips(runs: Sequence[EvaluatedRun]) -> Iterator[str]:
    if len(runs) == 1:
        return
    found = flips([run.judged for run in runs])
    share = percent(Share(len(found.rows), found.compared).value)
    yield (
        f"Flips between {len(runs)} runs: {len(found.rows):,} of {counted(found.compared, 'row')} ({share}) "
        "did not get the same intent each time."
    )
    for row, intents in found.rows[:_FLIPS_SHOWN]:
        yield f"  Row {row:,}: {', then '.join(intents)}"
    if len(found.rows) > _FLIPS_SHOWN:
        yield f"  … and {len(found.rows) - _FLIPS_SHOWN:,} more"


def _answered(runs: Sequence[EvaluatedRun]) -> Iterator[str]:
    for number, run in enumerate(runs, 1):
        for way, rows in run.answered.most_common():
            yield f"Run {number}: {counted(rows, 'row')} {_way(way)}."


def _way(way: Answered) -> str:
    by = "the offline assessor" if way.assessor == "offline" else way.assessor
    match way.status:
        case "answered":
            return f"judged by {by}"
        case "fallback":
            return f"judged by {by} instead, because {way.reason}"
        case "skipped_budget":
            return f"not judged, because {way.reason}"
        case "failed":
            return f"not scored in full: {way.reason}"


def _spent(evaluation: Evaluation) -> Iterator[str]:
    if not evaluation.spent:
        yield "All runs: no model was asked, nothing was spent."
    for spend in evaluation.spent:
        yield f"All runs: {spent_text(spend)}"


def _table(first: str, *more: str) -> Table:
    table = Table(header_style="bold", pad_edge=False, padding=(0, 1, 0, 0), box=SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for column in more:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _number(number: int) -> str:
    return f"{number:,}"
