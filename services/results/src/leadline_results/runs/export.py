"""Results as files: CSV for spreadsheets, NDJSON and JSON for programs, all streamed."""

import csv
import io
from collections.abc import AsyncIterator, Callable
from enum import StrEnum

from leadline_results.runs.record import Record
from leadline_results.runs.views import reasoning_of, result_view

COLUMNS = (
    "lead_id",
    "name",
    "company",
    "role",
    "industry",
    "location",
    "score",
    "intent",
    "rule_score",
    "ai_points",
    "reasoning",
    "ai_status",
    "ai_source",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_PIECE = 64 * 1024
"""Characters gathered before they are sent on."""


class ExportFormat(StrEnum):
    """The file format of an export."""

    CSV = "csv"
    NDJSON = "ndjson"
    JSON = "json"

    @property
    def media_type(self) -> str:
        """The media type of the file, whose text is UTF-8."""
        return {"csv": "text/csv", "ndjson": "application/x-ndjson"}.get(self.value, "application/json")


def export(records: AsyncIterator[Record], kind: ExportFormat) -> AsyncIterator[str]:
    """Yield the file in pieces."""
    writers: dict[ExportFormat, Callable[[AsyncIterator[Record]], AsyncIterator[str]]] = {
        ExportFormat.CSV: _csv,
        ExportFormat.NDJSON: _ndjson,
        ExportFormat.JSON: _json,
    }
    return _gathered(writers[kind](records))


def neutralised(text: str) -> str:
    """Return the cell in a form that no spreadsheet takes for a formula.

    Source: OWASP's advice on CSV injection, a leading apostrophe.
    """
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


async def _csv(records: AsyncIterator[Record]) -> AsyncIterator[str]:
    yield ",".join(COLUMNS) + "\r\n"
    line = io.StringIO()
    writer = csv.writer(line)
    async for record in records:
        writer.writerow(_row(record))
        yield line.getvalue()
        line.seek(0)
        line.truncate()


def _row(record: Record) -> list[object]:
    lead, ai = record.lead, record.ai
    texts = (lead.name, lead.company, lead.role, lead.industry, lead.location) if lead else ("",) * 5
    return [
        record.lead_id,
        *(neutralised(text) for text in texts),
        record.score,
        record.intent,
        record.rule_points,
        record.ai_points,
        neutralised(reasoning_of(record)),
        ai.status if ai else None,
        neutralised(ai.source) if ai else None,
    ]


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
