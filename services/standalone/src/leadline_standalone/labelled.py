"""A CSV of leads that a person has labelled: the columns of an upload, and `intent`."""

from dataclasses import dataclass, field
from typing import NamedTuple

from leadline_common.ids import new_id
from leadline_contracts.scoring import LEAD_FIELDS, Intent, Lead
from leadline_ingest.prospects.csv import CsvRefused
from leadline_ingest.prospects.csv.columns import Columns, column_key
from leadline_ingest.prospects.csv.decode import TextDecoder
from leadline_ingest.prospects.csv.formats import refuse_other_formats
from leadline_ingest.prospects.csv.header import find_header
from leadline_ingest.prospects.csv.records import Flaw, RecordSplitter
from leadline_ingest.prospects.uploads import RejectedRow
from leadline_ingest.prospects.validation import check_lead
from leadline_standalone.quality import LABELS

_LABEL = "intent"
_BY_KEY = {label.casefold(): label for label in LABELS}
_NO_COLUMN = f"The header has no column {_LABEL}; add one with High, Medium or Low in each row."


class LabelledRow(NamedTuple):
    """One row (the header is row 1): its lead, under an id of its own, and what a person says of it."""

    row: int
    lead: Lead
    label: Intent


@dataclass(slots=True)
class Labelled:
    """A file as it was read; `rejected` are the rows left out."""

    rows: list[LabelledRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_labelled(data: bytes) -> Labelled:
    """Read a whole file, whose columns may be named as in an upload.

    Raises CsvRefused where it is no CSV, has no rows, or nowhere says `intent`.
    """
    text = TextDecoder().decode(data, final=True) + "\n"
    refuse_other_formats(data, text)
    header = find_header(text, final=True)
    cell = _label_cell(header.titles) if header else None
    if header is None or cell is None:
        raise CsvRefused(422, _NO_COLUMN)
    titles = [*header.titles]
    titles[cell] = ""  # or it would count as a column that Leadline does not know
    columns = Columns(titles)
    read = Labelled(warnings=columns.warnings)
    splitter = RecordSplitter(header.delimiter, len(titles))
    for row, record in enumerate(splitter.split(text[header.end :], final=True), 2):
        found = _read_row(row, record, columns, cell, header.titles[cell])
        if isinstance(found, LabelledRow):
            read.rows.append(found)
        elif found is not None:
            read.rejected.append(found)
    return read


def _label_cell(titles: list[str]) -> int | None:
    return next((cell for cell, title in enumerate(titles) if column_key(title) == _LABEL), None)


def _read_row(
    row: int, record: list[str] | Flaw, columns: Columns, cell: int, title: str
) -> LabelledRow | RejectedRow | None:
    """Return a row, why it is left out, or None where all of its cells are empty."""
    found = record if isinstance(record, Flaw) else columns.prospect(row, record)
    if isinstance(found, Flaw):
        return RejectedRow(row=row, column=columns.title(found.cell), reason=found.reason)
    if found is None or isinstance(record, Flaw):
        return None
    lead = Lead(id=new_id(), **{name: getattr(found, name) for name in LEAD_FIELDS})
    if wrong := check_lead(lead):
        return RejectedRow(row=row, reason=f"the row {wrong.message}")
    said = record[cell].strip() if cell < len(record) else ""
    label = _BY_KEY.get(said.casefold())
    if label is None:
        reason = "is none of High, Medium and Low" if said else "is empty; write High, Medium or Low"
        return RejectedRow(row=row, column=title.strip(), reason=reason)
    return LabelledRow(row, lead, label)
