"""A CSV of leads that a person has labelled: the columns of an upload, and `intent`."""

from contextlib import closing
from dataclasses import dataclass, field
from typing import NamedTuple

from leadline_common.ids import new_id
from leadline_contracts.scoring import LEAD_FIELDS, Intent, Lead
from leadline_ingest.prospects.report import RejectedRow
from leadline_ingest.prospects.table import CsvReader, CsvRefused, ProspectRow, Rejection
from leadline_ingest.prospects.table.header_words import words_of
from leadline_ingest.prospects.validation import check_lead
from leadline_standalone.quality import LABELS

_LABEL = "intent"
_BY_KEY = {label.casefold(): label for label in LABELS}
_NO_COLUMN = f"The header has no column {_LABEL}; add one with High, Medium or Low in each row."


class LabelledRow(NamedTuple):
    """One row (the header is row 1): its lead, under an id of its own, and a person's label for it."""

    row: int
    lead: Lead
    label: Intent


@dataclass(slots=True)
class Labelled:
    """A file as it was read; `rejected` are the rows left out."""

    rows: list[LabelledRow] = field(default_factory=list)
    rejected: list[RejectedRow] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_labelled(data: bytes, encoding: str | None = None) -> Labelled:
    """Read a whole file, whose columns may be named as in an upload.

    Raises CsvRefused where it is no CSV, has no rows, or nowhere says `intent`.
    """
    reader = CsvReader(encoding=encoding)
    with closing(reader.file):
        found = [row for rows in (*reader.feed(data), *reader.finish()) for row in rows]
    title = next((title for title in reader.rows.columns.titles if words_of(title) == [_LABEL]), None)
    if title is None:
        raise CsvRefused(422, _NO_COLUMN)
    read = Labelled(warnings=reader.warnings)
    for row in found:
        labelled = _read_row(row, title)
        if isinstance(labelled, LabelledRow):
            read.rows.append(labelled)
        else:
            read.rejected.append(labelled)
    return read


def _read_row(row: ProspectRow | Rejection, title: str) -> LabelledRow | RejectedRow:
    """Return a row, or why it is left out."""
    if isinstance(row, Rejection):
        return RejectedRow(row=row.row, column=row.column, reason=row.reason)
    lead = Lead(id=new_id(), **{name: getattr(row, name) for name in LEAD_FIELDS})
    if wrong := check_lead(lead):
        return RejectedRow(row=row.row, reason=f"the row {wrong.message}")
    said = row.extra.get(title, "")
    label = _BY_KEY.get(said.casefold())
    if label is None:
        reason = "is none of High, Medium and Low" if said else "is empty; write High, Medium or Low"
        return RejectedRow(row=row.row, column=title, reason=reason)
    return LabelledRow(row.row, lead, label)
