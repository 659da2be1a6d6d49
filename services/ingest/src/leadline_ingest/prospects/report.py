"""What became of an uploaded file."""

from typing import Literal

from leadline_contracts.envelope import Wire

ROWS_SHOWN = 1_000
"""Rows that an answer lists of each kind; it counts them all."""


class RejectedRow(Wire):
    """A row that was left out: its number in the file, the column at fault if one is, and why."""

    row: int
    column: str | None = None
    reason: str


class DuplicateRow(Wire):
    """A row of a prospect that is known: its number, and the row and upload of the one that was there first.

    `by` is what they have in common: all six fields, or the e-mail address, LinkedIn profile or record id.
    """

    row: int
    of_row: int
    of_upload_id: str
    by: Literal["fields", "mark"]


class UploadReport(Wire):
    """What became of an uploaded file: `rows` = `inserted` + `duplicates` + `rejected_count` + `blank`.

    `rows` counts those below the header; `blank` those that hold no prospect: empty ones, lines of dashes,
    headers again, footers of reports. `rejected` and `duplicate_rows` list the first 1,000 of each.
    `columns` says for each field which column was taken for it, joined ones with " + ". `encoding` and
    `delimiter` are those that a text was read by, `sheet` is the one of a workbook. With `dry_run` nothing
    was stored, and there is no `upload_id`.
    With `duplicates=keep`, duplicates are counted in `inserted`, and `duplicates` is 0.
    """

    upload_id: str | None
    rows: int = 0
    inserted: int
    duplicates: int = 0
    rejected_count: int
    blank: int = 0
    columns: dict[str, str] = {}
    rejected: list[RejectedRow]
    duplicate_rows: list[DuplicateRow] = []
    warnings: list[str]
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    dry_run: bool = False
