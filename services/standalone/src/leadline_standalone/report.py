"""What `leadline score` shows on the terminal."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadline_contracts.scoring import AiScored
from leadline_ingest.prospects.report import RejectedRow
from leadline_results.runs.record import Record
from leadline_results.runs.views import reasoning_of
from leadline_standalone.money import counted, dollars, spent_text
from leadline_standalone.score import Outcome, Shortfall
from leadline_text.clip import clip, printable

_ROWS_SHOWN = 20
_LINES = 2
_WIDE = {"Name": 15, "Role": 18, "Company": 14, "Industry": 13, "Reasoning": 40}
_NARROW = {"Name": 45, "Role": 55}
"""Columns beside score and intent, and their shares of the width in percent."""
_NARROW_WIDTH = 60
_SCORE_AND_INTENT, _BESIDE_A_COLUMN = 11, 2
_STYLES = {"High": "bold green", "Medium": "yellow", "Low": "dim"}


def show(outcome: Outcome, console: Console, output: Path | None) -> None:
    """Print the ranked table, then what was left out and why."""
    console.print(_table(outcome.best, console))
    hidden = outcome.selected - len(outcome.best)
    if hidden > 0:
        where = f"all of them are in {output}" if output else "--output FILE.csv writes all of them"
        console.print(Text(f"… and {hidden:,} more; {where}."))
    for line in _summary(outcome):
        console.print(Text(line))
    lines = [*_judges(outcome.best), *map(spent_text, outcome.spent), *_skipped(outcome)]
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    upload = outcome.upload
    show_notes(upload.warnings, upload.rejected, upload.rejected_count, console)
    _show_failures(outcome.shortfall, console)


def _summary(outcome: Outcome) -> list[str]:
    """Count the results by intent, with what they cost, and say how many share the best score."""
    done = outcome.scored + outcome.failed
    counts = [f"{intent} {leads:,}" for intent, leads in outcome.intents.items()]
    cost = dollars(sum(spend.nano_usd for spend in outcome.spent))
    lines = [
        f"{outcome.scored:,} of {done + outcome.upload.rejected_count:,} rows scored: "
        f"{', '.join([*counts, f'failed {outcome.failed:,}'])}; {cost}."
    ]
    if outcome.tied > 1:
        best = outcome.best[0].score
        lines.append(
            f"{outcome.tied:,} leads share the best score, {best}; equal ones stand in the file's order."
        )
    return lines


def show_notes(
    warnings: Sequence[str], rejected: Sequence[RejectedRow], rejected_count: int, console: Console
) -> None:
    """Print the warnings about a file that was read, and which rows were not taken."""
    for warning in warnings:
        console.print(Text(f"Note: {warning}", style="yellow"))
    for row in rejected[:_ROWS_SHOWN]:
        where = f"row {row.row}" + (f", column {row.column}" if row.column else "")
        console.print(Text(f"Not taken: {where}: {row.reason}", style="red"))
    if rejected_count > _ROWS_SHOWN:
        console.print(f"… and {rejected_count - _ROWS_SHOWN:,} more rows not taken.")


def _judges(records: list[Record]) -> list[str]:
    """Say which assessor judged the leads shown, and why where it is another than the chosen one."""
    answers = [record.ai for record in records if record.ai is not None and record.ai.error is None]
    chosen = sorted({_name_of(answer) for answer in answers if answer.fallback is None})
    reasons = sorted({answer.fallback for answer in answers if answer.fallback is not None})
    lines = [f"Intent judged by {' and '.join(chosen)}."] if chosen else []
    return lines + [f"Judged by the offline assessor instead, because {reason}." for reason in reasons]


def _name_of(answer: AiScored) -> str:
    return "the offline assessor" if answer.source == "offline" else answer.assessor


def _table(records: list[Record], console: Console) -> Table:
    """Lay out the leads in at most two lines each, as wide as the console."""
    table = Table(header_style="bold", expand=True, pad_edge=False, padding=(0, 1, 0, 0), box=SIMPLE_HEAD)
    table.add_column("Score", justify="right", no_wrap=True)
    table.add_column("Intent", no_wrap=True)
    shares = _WIDE if console.width >= _NARROW_WIDTH else _NARROW
    room = console.width - _SCORE_AND_INTENT - _BESIDE_A_COLUMN * (len(shares) + 2)
    widths = {title: room * share // 100 for title, share in shares.items()}
    for title, width in widths.items():
        table.add_column(title, width=width)
    for record in records:
        texts = _texts(record)
        table.add_row(
            "-" if record.score is None else str(record.score),
            Text(record.intent or "-", style=_STYLES.get(record.intent or "", "")),
            *(_two_lines(texts[title], width, console) for title, width in widths.items()),
        )
    return table


def _texts(record: Record) -> dict[str, str]:
    lead = record.lead
    cells = (lead.name, lead.role, lead.company, lead.industry) if lead else ("",) * 4
    return dict(zip(_WIDE, (*cells, reasoning_of(record)), strict=True))


def _two_lines(text: str, width: int, console: Console) -> Text:
    """Return the first two lines of a text that is broken at this width."""
    lines = Text(_shown(text)).wrap(console, width)
    if len(lines) > _LINES:
        lines[_LINES - 1].truncate(width - 1)
        lines[_LINES - 1].append("…")
    return Text("\n").join(lines[:_LINES])


def _skipped(outcome: Outcome) -> list[str]:
    """Say for how many leads a budget had no room, and what to do."""
    return [
        f"{counted(leads, 'lead')} scored by rules alone: {reason}. "
        "What is kept in a --data-dir is not paid for again."
        for reason, leads in outcome.shortfall.skipped.most_common()
    ]


def _show_failures(shortfall: Shortfall, console: Console) -> None:
    for record in shortfall.failures:
        who = record.lead.name if record.lead and record.lead.name else record.lead_id
        console.print(Text(f"Not fully scored: {_shown(who)}: {record.error}", style="red"))
    if shortfall.failed > len(shortfall.failures):
        console.print(f"… and {shortfall.failed - len(shortfall.failures):,} more not fully scored.")


def _shown(text: str) -> str:
    """Return lead text fit for a terminal: one line, no control characters, not too long."""
    return clip(printable(text), 300)
