"""The `leadline` command."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from leadline_common.errors import LeadlineError, SettingsError
from leadline_common.logs import configure_logging
from leadline_common.messages import ModelName
from leadline_common.service import run_main, spare_collector
from leadline_common.settings import check_loopback
from leadline_standalone import __version__
from leadline_standalone.report import show
from leadline_standalone.score import BadFile, Order, Outcome, output_format, read_offer, score_file
from leadline_standalone.serve import serve as serve_until_stopped

EXIT_BAD_FILE = 2
EXIT_SOME_FAILED = 3

app = typer.Typer(
    help="Score prospects against an offer, 0-100 with High/Medium/Low intent and the reasons.",
    no_args_is_help=True,
    add_completion=False,
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
    leads: Annotated[Path, typer.Argument(metavar="LEADS.csv", help="The prospects, one a row.")],
    offer: Annotated[
        Path,
        typer.Option(
            metavar="OFFER.json", help="The offer: {name, value_props, ideal_use_cases} and maybe {icp}."
        ),
    ],
    model: Annotated[
        ModelName, typer.Option(help="The scoring model; `graded` grades roles and industries finer.")
    ] = "standard",
    output: Annotated[
        Path | None, typer.Option(help="Write all results to this .csv, .json or .ndjson file.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the data in this directory; without it, nothing is kept.")
    ] = None,
) -> None:
    """Score a CSV of prospects against an offer and show them ranked, with reasons.

    With ANTHROPIC_API_KEY set the AI half comes from Claude, else from the offline assessor
    (LEADLINE_AI=offline chooses it in any case).

    Exit code: 0 all rows scored, 2 a file or setting is wrong, 3 some rows were not scored,
    130 interrupted.
    """
    configure_logging("leadline", "ERROR")
    errors = Console(stderr=True)
    try:
        if output is not None:
            output_format(output)
            if output.resolve() in {leads.resolve(), offer.resolve()}:
                raise BadFile(f"{output}: is an input; choose another name for the results")
        spec = read_offer(offer)
        order = Order(leads=leads, offer=spec, model=model, output=output, data_dir=data_dir)
        outcome = _score(order, errors)
    except (BadFile, SettingsError) as error:
        errors.print(f"leadline: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(EXIT_BAD_FILE) from None
    except LeadlineError as error:
        errors.print(f"leadline: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None
    show(outcome, Console(), output)
    if output is not None and outcome.upload.inserted:
        errors.print(f"All results are in {output}.", markup=False, highlight=False)
    if not outcome.complete:
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on; loopback only.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    data_dir: Annotated[Path, typer.Option(help="Where everything is kept.")] = Path(".leadline"),
) -> None:
    """Run all of Leadline in this process: REST on one address, data in one directory.

    Ctrl-C finishes what is under way and stops. Whatever was accepted survives a crash: the next start
    finishes it.
    """

    async def main() -> None:
        await serve_until_stopped(check_loopback(host), port, data_dir)

    run_main(main)


def _score(order: Order, console: Console) -> Outcome:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    spare_collector()
    with Progress(*columns, console=console) as progress:
        return asyncio.run(score_file(order, progress))


def main() -> None:
    """Run the command."""
    try:
        app()
    except KeyboardInterrupt:
        sys.stderr.write("leadline: interrupted; no results were written\n")
        sys.exit(130)


if __name__ == "__main__":
    main()
