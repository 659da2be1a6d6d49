"""Asking a person, before anything is scored, about what was not understood."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.progress import Progress
from rich.text import Text

from leadline_contracts.scoring import OfferSpec
from leadline_ingest.prospects.report import UploadReport
from leadline_standalone.read_back import doubts, file_lines, offer_line


def approve(report: UploadReport, offer: OfferSpec, progress: Progress, *, asks: bool, quiet: bool) -> bool:
    """Say what was read; on a terminal ask whether to go on where the scores would be of little worth."""
    found = doubts(report, offer)
    if not quiet:
        for line in (*file_lines(report), offer_line(offer)):
            progress.console.print(Text(line), soft_wrap=True)
    for doubt in found:
        progress.console.print(Text(f"Warning: {doubt}.", style="bold yellow"), soft_wrap=True)
    if not found or not asks or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    progress.stop()
    with _interruptible():
        agreed = typer.confirm("Score all the same?", default=False, err=True)
    progress.start()
    return agreed


@contextmanager
def _interruptible() -> Iterator[None]:
    """Have Ctrl-C end the question, which it would else outlive: the loop that heeds it does not run."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
