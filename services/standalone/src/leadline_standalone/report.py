"""What `leadline score` shows on the terminal."""

from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leadline_common.messages import AiScored
from leadline_results.record import Record
from leadline_results.views import reasoning_of
from leadline_standalone.score import Outcome

_STYLES = {"High": "bold green", "Medium": "yellow", "Low": "dim"}


def show(outcome: Outcome, console: Console, output: Path | None) -> None:
    """Print the ranked table, then what was left out and why."""
    console.print(_table(outcome.best))
    done = outcome.scored + outcome.failed
    hidden = done - len(outcome.best)
    if hidden > 0:
        where = f"all of them are in {output}" if output else "--output FILE.csv writes all of them"
        console.print(Text(f"… and {hidden:,} more; {where}."))
    console.print(f"{outcome.scored:,} of {done + outcome.upload.rejected_count:,} rows scored.")
    for line in _judges(outcome.best):
        console.print(Text(line))
    for warning in outcome.upload.warnings:
        console.print(Text(f"Note: {warning}", style="yellow"))
    _show_failures(outcome, console)


def _judges(records: list[Record]) -> list[str]:
    """Say who judged the leads shown, and why where it is another than the chosen one."""
    answers = [record.ai for record in records if record.ai is not None and record.ai.error is None]
    chosen = sorted({_name_of(answer) for answer in answers if answer.fallback is None})
    reasons = sorted({answer.fallback for answer in answers if answer.fallback is not None})
    lines = [f"Intent judged by {' and '.join(chosen)}."] if chosen else []
    return lines + [f"Judged by the offline assessor instead, because {reason}." for reason in reasons]


def _name_of(answer: AiScored) -> str:
    return "the offline assessor" if answer.source == "offline" else answer.assessor


def _table(records: list[Record]) -> Table:
    table = Table(header_style="bold", expand=True, pad_edge=False, padding=(0, 1, 0, 0), box=SIMPLE_HEAD)
    table.add_column("Score", justify="right", no_wrap=True)
    table.add_column("Intent", no_wrap=True)
    for column in ("Name", "Role", "Company"):
        table.add_column(column, ratio=2, min_width=12)
    table.add_column("Reasoning", ratio=5, min_width=20)
    for record in records:
        lead = record.lead
        cells = (lead.name, lead.role, lead.company) if lead else ("", "", "")
        table.add_row(
            "-" if record.score is None else str(record.score),
            Text(record.intent or "-", style=_STYLES.get(record.intent or "", "")),
            *(Text(_shown(cell)) for cell in cells),
            Text(_shown(reasoning_of(record))),
        )
    return table


def _show_failures(outcome: Outcome, console: Console) -> None:
    rejected = outcome.upload
    for row in rejected.rejected[:20]:
        where = f"row {row.row}" + (f", column {row.column}" if row.column else "")
        console.print(Text(f"Not taken: {where}: {row.reason}", style="red"))
    if rejected.rejected_count > 20:
        console.print(f"… and {rejected.rejected_count - 20:,} more rows not taken.")
    for record in outcome.failures:
        who = record.lead.name if record.lead and record.lead.name else record.lead_id
        console.print(Text(f"Not fully scored: {_shown(who)}: {record.error}", style="red"))
    if outcome.failed > len(outcome.failures):
        console.print(f"… and {outcome.failed - len(outcome.failures):,} more not fully scored.")


def _shown(text: str) -> str:
    """Return lead text fit for a terminal: one line, no control characters, not too long."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return plain if len(plain) <= 300 else f"{plain[:299]}…"
