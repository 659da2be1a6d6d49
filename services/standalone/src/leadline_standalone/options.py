"""The options of the `leadline` command that several commands have, or that need many words."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from leadline_contracts.scoring import Intent, ModelName
from leadline_results.runs.export import ExportColumns

OfferFile = Annotated[
    Path,
    typer.Option(
        "--offer",
        metavar="OFFER.json",
        help="The offer: {name, value_props, ideal_use_cases} and maybe {icp}.",
    ),
]
ScoringModel = Annotated[
    ModelName,
    typer.Option("--model", help="The scoring model; `graded` grades roles and industries finer."),
]
Encoding = Annotated[
    str | None,
    typer.Option(
        "--encoding",
        metavar="NAME",
        help="The encoding of a text that is not UTF-8, such as windows-1251; without it, it is guessed.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="Keep the data in this directory; without it, nothing is kept."),
]
OutputFile = Annotated[
    Path | None,
    typer.Option(
        "--output",
        help="Write all results to this .csv, .json or .ndjson file; - writes a CSV to standard output.",
    ),
]
Columns = Annotated[
    ExportColumns,
    typer.Option(
        "--columns",
        help="Of a .csv: `own` has the file's own columns and then Leadline's, `leadline` Leadline's alone.",
    ),
]
Leads = Annotated[
    Path,
    typer.Argument(
        metavar="LEADS.csv", help="The prospects, one a row: CSV, also as .csv.gz or .zip, or .xlsx."
    ),
]
Mapped = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help='Which column holds a field, as in --map role="Current Job". Repeat it for further fields, '
        "or for the same one to join columns.",
    ),
]
Duplicates = Annotated[
    Literal["skip", "keep"],
    typer.Option("--duplicates", help="Take a prospect that is there again once (skip) or each time (keep)."),
]
Top = Annotated[int, typer.Option("--top", min=0, help="How many of the best are shown.")]
MinScore = Annotated[
    int | None,
    typer.Option("--min-score", min=0, max=100, help="Show and write only leads of at least this score."),
]
OfIntent = Annotated[
    Intent | None,
    typer.Option("--intent", case_sensitive=False, help="Show and write only leads of this intent."),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show errors only.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Score without asking, whatever was not understood.")]
EstimateOnly = Annotated[
    bool, typer.Option("--estimate", help="Say what the AI answers would cost, and do nothing else.")
]
