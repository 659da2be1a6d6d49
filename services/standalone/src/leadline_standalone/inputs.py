"""The files named on the command line."""

import asyncio
import json
import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError
from rich.progress import Progress

from leadline_common.clock import now
from leadline_contracts.envelope import LOCAL_OWNER, describe
from leadline_contracts.errors import LeadlineError
from leadline_contracts.scoring import LEAD_FIELDS, OfferSpec
from leadline_ingest.prospects.report import UploadReport
from leadline_ingest.prospects.table import CsvRefused
from leadline_ingest.prospects.upload_memory import UploadMemory
from leadline_ingest.prospects.upload_request import UploadOptions
from leadline_ingest.prospects.uploads import UploadReceiver, receiving
from leadline_ingest.store import IngestStore
from leadline_results.runs.export import ExportFormat
from leadline_standalone.progress import show_reading
from leadline_text.clip import clip, printable

STDOUT = Path("-")
"""What names standard output in place of a file."""
_PIECE = 256 * 1024


class BadFile(LeadlineError):
    """A file given on the command line cannot be used; the text says which and why."""


def read_offer(path: Path) -> OfferSpec:
    """Read an offer from a JSON file. Raises BadFile."""
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        return OfferSpec.model_validate(value)
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadFile(f"{path}: is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise BadFile(
            f"{path}: is not JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        ) from None
    except ValidationError as error:
        raise BadFile(f"{path}: {describe(error)}") from None


def output_format(path: Path) -> ExportFormat:
    """Return the format a file name asks for. Raises BadFile for an unknown ending or folder."""
    if not path.parent.is_dir():
        raise BadFile(f"{path}: there is no folder {path.parent}")
    try:
        return ExportFormat(path.suffix.removeprefix(".").lower())
    except ValueError:
        endings = ", ".join(f".{kind}" for kind in ExportFormat)
        raise BadFile(f"{path}: the name must end in one of {endings}") from None


def read_mapping(given: Sequence[str]) -> dict[str, list[str]]:
    """Read `FIELD=COLUMN` as it is given on the command line; the same field again joins. Raises BadFile."""
    mapped: dict[str, list[str]] = {}
    for one in given:
        field, equals, title = one.partition("=")
        field = field.strip().casefold()
        if not equals or field not in LEAD_FIELDS:
            raise BadFile(
                f'--map {one}: write FIELD=COLUMN, as in --map role="Current Job"; the fields are '
                f"{', '.join(LEAD_FIELDS)}"
            )
        mapped.setdefault(field, [])
        if title.strip():
            mapped[field].append(title.strip())
    return mapped


async def upload(store: IngestStore, path: Path, options: UploadOptions, progress: Progress) -> UploadReport:
    """Store a CSV of prospects, for the offer of the options alone. Raises BadFile, Unavailable."""
    try:
        receiver = UploadReceiver(store, LOCAL_OWNER, now, UploadMemory(), options)
        with path.open("rb") as file:
            size, read = os.fstat(file.fileno()).st_size, 0
            task = progress.add_task("Reading", total=None)
            async with receiving(receiver):
                while piece := await asyncio.to_thread(file.read, _PIECE):
                    await receiver.feed(piece)
                    read += len(piece)
                    show_reading(progress, task, receiver.rows_read, read, max(size, read + 1))
                report = await receiver.commit()
                show_reading(progress, task, receiver.rows_read, read, read)
            progress.update(task, description=f"Reading {_taken(report)}")
            return report
    except OSError as error:
        raise BadFile(f"{path}: {error.strerror}") from None
    except CsvRefused as refused:
        raise BadFile(f"{path}: {refused.reason}") from None


def _taken(report: UploadReport) -> str:
    """How a file was read: "windows-1251, ';'", or the sheet of a workbook."""
    if report.sheet is not None:
        return f"sheet {clip(printable(report.sheet), 30)}"
    delimiter = "tab" if report.delimiter == "\t" else f"'{report.delimiter}'"
    return f"{report.encoding}, {delimiter}"
