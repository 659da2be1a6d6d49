"""The `leadline` command."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from leadline_common.process.main import Stop, run_until_told, spare_collector
from leadline_common.telemetry.logs import configure_logging
from leadline_contracts.errors import LeadlineError, NotFound, SettingsError
from leadline_contracts.scoring import OfferSpec
from leadline_ingest.prospects.upload_request import UploadOptions
from leadline_results.runs.export import ExportColumns
from leadline_standalone import __version__
from leadline_standalone.all_routes import whole_document
from leadline_standalone.approval import approve
from leadline_standalone.estimate import estimate_file
from leadline_standalone.estimate_report import forecast_lines
from leadline_standalone.evaluate import Task, evaluate_file
from leadline_standalone.evaluate_report import percent, show_evaluation
from leadline_standalone.inputs import STDOUT, BadFile, output_format, read_mapping, read_offer
from leadline_standalone.options import (
    Columns,
    DataDir,
    Duplicates,
    Encoding,
    EstimateOnly,
    Leads,
    Mapped,
    MinScore,
    OfferFile,
    OfIntent,
    OutputFile,
    Quiet,
    ScoringModel,
    Top,
    Yes,
)
from leadline_standalone.progress import COLUMNS
from leadline_standalone.report import show, show_notes
from leadline_standalone.score import Declined, Order, Outcome, Output, Selection, resume_run, score_file
from leadline_standalone.serve import serve as serve_until_stopped

EXIT_BAD_FILE = 2
EXIT_SOME_FAILED = 3
EXIT_TOO_INACCURATE = 4
EXIT_INTERRUPTED = 130

T = TypeVar("T")
app = typer.Typer(
    help="Score prospects against an offer, 0-100 with High/Medium/Low intent and the reasons.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",  # or the lines of these docstrings would be lines on the screen
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def leadline(
    version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Take the options that stand before a command."""
    if version:
        typer.echo(f"leadline {__version__}")
        raise typer.Exit


@app.command()
def score(
    leads: Leads,
    offer: OfferFile,
    *,
    encoding: Encoding = None,
    model: ScoringModel = "standard",
    output: OutputFile = None,
    columns: Columns = ExportColumns.OWN,
    data_dir: DataDir = None,
    mapped: Mapped = None,
    duplicates: Duplicates = "skip",
    top: Top = 25,
    min_score: MinScore = None,
    intent: OfIntent = None,
    quiet: Quiet = False,
    yes: Yes = False,
    estimate: EstimateOnly = False,
) -> None:
    """Score a CSV of prospects against an offer and show them ranked, with reasons.

    The AI half comes from the provider whose key is set (ANTHROPIC_API_KEY, GEMINI_API_KEY or
    OPENAI_API_KEY), else from the offline assessor (LEADLINE_AI=offline chooses it in any case). Answers
    that are kept in the data directory are not paid for again.

    Ctrl-C stops the run: nobody is asked any more, and the command says what was scored and what it cost.
    Cut short, by that or by a crash, the run stays in the data directory as it is. No other command works on
    it or pays for it; `leadline resume` finishes it.

    Exit code: 0 all rows scored, 1 something else failed, 2 a file or setting is wrong, 3 some rows were
    not taken or not scored in full, 130 interrupted.
    """
    with _one_line_errors() as errors:
        spec = read_offer(offer)
        options = UploadOptions(
            mapped=read_mapping(mapped or []), encoding=encoding, keep_duplicates=duplicates == "keep"
        )
        if estimate:
            _estimate(leads, spec, options, data_dir, errors)
            return
        _check_output(output, {leads, offer})
        order = Order(
            leads=leads,
            options=options,
            offer=spec,
            model=model,
            output=Output(output, columns) if output else None,
            data_dir=data_dir,
            selection=Selection(top=top, min_score=min_score, intent=intent),
            approve=lambda report, progress: approve(report, spec, progress, asks=not yes, quiet=quiet),
        )
        outcome = _run(errors, lambda progress: score_file(order, progress), quiet=quiet)
        _show(outcome, output, errors, quiet=quiet)


@app.command()
def evaluate(
    labelled: Annotated[
        Path,
        typer.Argument(
            metavar="LABELLED.csv",
            help="Prospects, one a row, with a column `intent`: High, Medium or Low as a person judges.",
        ),
    ],
    offer: OfferFile,
    *,
    encoding: Encoding = None,
    model: ScoringModel = "standard",
    min_accuracy: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="End with code 4 where the first run's accuracy is below this."),
    ] = None,
    runs: Annotated[
        int,
        typer.Option(min=1, max=10, help="Score the file so often, each time with new AI answers."),
    ] = 2,
    data_dir: DataDir = None,
) -> None:
    """Score a CSV that a person has labelled, and show how well the scores agree with the labels.

    Shows accuracy, a confusion matrix with precision and recall, lift by score band, rows that got another
    intent in another run, who answered, and what it took. A row without an intent counts as wrong. The
    assessor is chosen as for `leadline score`; from the second run on its answers are paid for anew. As a
    gate set LEADLINE_AI_ON_FAILURE=fail as well, or the offline assessor's answers count where a model fails.

    Cut short, its run waits in the data directory as one of `leadline score` does; evaluate again for the
    figures.

    Exit code: 0 all rows scored, 1 something else failed, 2 a file or setting is wrong, 3 some rows were
    not taken or not scored in full, 4 the accuracy is below --min-accuracy, 130 interrupted.
    """
    with _one_line_errors() as errors:
        task = Task(
            labelled=labelled,
            encoding=encoding,
            offer=read_offer(offer),
            model=model,
            runs=runs,
            data_dir=data_dir,
        )
        evaluation = _run(errors, lambda progress: evaluate_file(task, progress))
    show_evaluation(evaluation, Console())
    accuracy = evaluation.accuracy.value
    if min_accuracy is not None and accuracy is not None and accuracy < min_accuracy:
        _say(errors, f"the accuracy, {percent(accuracy)}, is below --min-accuracy {min_accuracy:g}")
        raise typer.Exit(EXIT_TOO_INACCURATE)
    if not evaluation.complete:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def resume(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="The run, as the commands name it.")],
    data_dir: Annotated[
        Path,
        typer.Option("--data-dir", exists=True, file_okay=False, help="The directory that has the run."),
    ],
    *,
    output: OutputFile = None,
    columns: Columns = ExportColumns.OWN,
) -> None:
    """Finish a run of `leadline score` or `evaluate` that was cut short, and show it ranked, with reasons.

    Only what is missing is scored: answers that were paid for are used again. The assessor is chosen as
    for `leadline score`.

    Exit code: 0 all leads scored, 1 something else failed, 2 no such run, or a file or setting is wrong,
    3 some leads were not scored in full, 130 interrupted.
    """
    with _one_line_errors() as errors:
        _check_output(output, set())
        target = Output(output, columns) if output else None
        _show(_run(errors, lambda progress: resume_run(run_id, data_dir, target, progress)), output, errors)


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; loopback only, unless LEADLINE_AUTH=required.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path(".leadline"),
) -> None:
    """Run all of Leadline in this process: REST on one address, data in one directory.

    Ctrl-C finishes what is under way and stops. Whatever was accepted survives a crash: the next start
    finishes it.
    """

    async def main(stop: Stop) -> None:
        await serve_until_stopped(stop, host, port, data_dir)

    run_until_told(main)


@app.command()
def openapi() -> None:
    """Print the OpenAPI document of the whole API, for making clients from."""
    with _one_line_errors():
        sys.stdout.write(json.dumps(asyncio.run(whole_document()), indent=2) + "\n")


@contextmanager
def _one_line_errors() -> Iterator[Console]:
    """Yield the console for errors; end the command with one line on it where Leadline raises an error or the
    command is interrupted.
    """
    configure_logging("leadline", "ERROR")
    errors = Console(stderr=True)
    try:
        yield errors
    except LeadlineError as error:
        _say(errors, str(error))
        wrong = isinstance(error, BadFile | SettingsError | NotFound | Declined)
        raise typer.Exit(EXIT_BAD_FILE if wrong else 1) from None
    except KeyboardInterrupt:
        _say(errors, "interrupted")
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _say(errors: Console, text: str) -> None:
    errors.print(Text(f"leadline: {text}", style="red"), soft_wrap=True)


def _check_output(output: Path | None, inputs: set[Path]) -> None:
    if output is None or output == STDOUT:
        return
    output_format(output)
    if output.resolve() in {path.resolve() for path in inputs}:
        raise BadFile(f"{output}: is an input; choose another name for the results")


def _show(outcome: Outcome, output: Path | None, errors: Console, *, quiet: bool = False) -> None:
    if not quiet:
        # A file that goes to standard output is all that stands there.
        show(outcome, errors if output == STDOUT else Console(), output)
    if output not in {None, STDOUT} and outcome.upload.inserted and not quiet:
        errors.print(Text(f"All results are in {output}."))
    if not outcome.complete:
        raise typer.Exit(EXIT_SOME_FAILED)


def _estimate(
    leads: Path, offer: OfferSpec, options: UploadOptions, data_dir: Path | None, errors: Console
) -> None:
    upload, forecast = _run(errors, lambda progress: estimate_file(leads, offer, options, data_dir, progress))
    console = Console()
    for line in forecast_lines(upload.inserted, forecast):
        console.print(Text(line), soft_wrap=True)
    show_notes(upload.warnings, upload.rejected, upload.rejected_count, console)
    if upload.rejected_count:
        raise typer.Exit(EXIT_SOME_FAILED)


def _run(console: Console, work: Callable[[Progress], Coroutine[Any, Any, T]], *, quiet: bool = False) -> T:
    """Do the work with its progress shown. SIGTERM interrupts it as Ctrl-C does: raises KeyboardInterrupt."""
    spare_collector()
    with Progress(*COLUMNS, console=console, disable=quiet) as progress:
        try:
            return asyncio.run(_interruptible(work(progress)))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Do the work; SIGTERM cancels it, as asyncio has SIGINT do."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def main() -> None:
    """Run the command."""
    app()


if __name__ == "__main__":
    main()
