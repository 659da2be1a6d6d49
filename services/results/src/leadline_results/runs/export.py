"""Results as files: CSV for spreadsheets, NDJSON and JSON for programs, all streamed."""

import csv
import io
import re
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from enum import StrEnum

from leadline_contracts.scoring import lead_bytes
from leadline_results.runs.own_columns import OwnTable, ResultSource
from leadline_results.runs.record import Record
from leadline_results.runs.store import Query
from leadline_results.runs.views import reasoning_of, result_view

_SCORED = ("score", "intent", "rule_score", "ai_points", "reasoning", "ai_status", "ai_source")
COLUMNS = ("lead_id", "name", "company", "role", "industry", "location", *_SCORED)
"""The columns of a CSV where only Leadline's are asked for."""
ADDED_COLUMNS = ("row", "lead_id", *_SCORED)
"""The columns that stand after a lead's own."""
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-][0-9 \u00a0\u202f().,/-]*")
"""A phone number, or a number with its sign: no formula can be made of these characters alone."""
_PIECE = 64 * 1024
"""Characters gathered before they are sent on."""
_RECORDS_AT_ONCE = 50
_BYTES_AT_ONCE = 1_048_576


class ExportFormat(StrEnum):
    """The file format of an export."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"

    @property
    def media_type(self) -> str:
        """The media type of the file, whose text is UTF-8."""
        return {"csv": "text/csv", "ndjson": "application/x-ndjson"}.get(self.value, "application/json")


class ExportColumns(StrEnum):
    """The columns of a CSV: those that the leads came with and then Leadline's, or Leadline's alone."""

    OWN = "own"
    LEADLINE = "leadline"


def export(
    source: ResultSource, query: Query, kind: ExportFormat, columns: ExportColumns = ExportColumns.OWN
) -> AsyncIterator[str]:
    """Yield the file in pieces; `columns` matters to CSV alone.

    Raises Problem (422) where the leads' own columns are too many for a sheet.
    """
    if kind is ExportFormat.NDJSON:
        return _gathered(_ndjson(source.stream(query)))
    if kind is ExportFormat.JSON:
        return _gathered(_json(source.stream(query)))
    own = columns is ExportColumns.OWN
    return _gathered(_lines(_own_rows(source, query) if own else _rows(source.stream(query))))


def neutralised(text: str) -> str:
    """Return the cell in a form that no spreadsheet takes for a formula; numbers stay as they are.

    Source: OWASP's advice on CSV injection, a leading apostrophe.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(text) else text


async def _own_rows(source: ResultSource, query: Query) -> AsyncIterator[Sequence[object]]:
    """Yield the header and a row for each record: its own columns, then ours."""
    table = await OwnTable.of(source, query)
    yield [*map(neutralised, table.headers), *_beside(table.headers)]
    async for records in _batches(source.stream(query)):
        for record, cells in zip(records, await table.rows(records), strict=True):
            row = record.lead.row if record.lead else None
            yield [*map(neutralised, cells), row, record.lead_id, *_scored(record)]


async def _rows(records: AsyncIterator[Record]) -> AsyncIterator[Sequence[object]]:
    """Yield the header and a row for each record, in our columns."""
    yield COLUMNS
    async for record in records:
        lead = record.lead
        texts = (lead.name, lead.company, lead.role, lead.industry, lead.location) if lead else ("",) * 5
        yield [record.lead_id, *map(neutralised, texts), *_scored(record)]


def _scored(record: Record) -> list[object]:
    ai = record.ai
    return [
        record.score,
        record.intent,
        record.rule_points,
        record.ai_points,
        neutralised(reasoning_of(record)),
        ai.status if ai else None,
        neutralised(ai.source) if ai else None,
    ]


def _beside(titles: Iterable[str]) -> list[str]:
    """Return the titles of our columns, each another one than those of the leads', whatever their case."""
    taken = {title.casefold() for title in titles}
    return [_unlike(taken, title) for title in ADDED_COLUMNS]


def _unlike(taken: Collection[str], title: str) -> str:
    while title in taken:
        title = f"leadline_{title}"
    return title


async def _batches(records: AsyncIterator[Record]) -> AsyncIterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    async for record in records:
        batch.append(record)
        size += lead_bytes(record.lead) if record.lead else 0
        if len(batch) == _RECORDS_AT_ONCE or size > _BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _lines(rows: AsyncIterator[Sequence[object]]) -> AsyncIterator[str]:
    line = io.StringIO()
    writer = csv.writer(line)
    async for row in rows:
        writer.writerow(row)
        yield line.getvalue()
        line.seek(0)
        line.truncate()


async def _ndjson(records: AsyncIterator[Record]) -> AsyncIterator[str]:
    async for record in records:
        yield result_view(record).model_dump_json() + "\n"


async def _json(records: AsyncIterator[Record]) -> AsyncIterator[str]:
    before = "["
    async for record in records:
        yield before + result_view(record).model_dump_json()
        before = ",\n"
    yield "[]" if before == "[" else "]"


async def _gathered(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    gathered: list[str] = []
    size = 0
    async for line in lines:
        gathered.append(line)
        size += len(line)
        if size >= _PIECE:
            yield "".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield "".join(gathered)
