"""Leads in the columns that they came with, those of several uploads side by side in one table."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, Self, TypeVar

from leadline_contracts.errors import Problem
from leadline_contracts.scoring import LEAD_FIELDS, Lead, SourceColumn
from leadline_results.runs.record import Record
from leadline_results.runs.store import Query

MOST_COLUMNS = 16_000
"""Columns of a table at most; a sheet of Excel has 16,384."""
_SIX_FIELDS = [SourceColumn(title=field, field=field) for field in LEAD_FIELDS]
"""Stand in for columns that are not known."""
_UPLOADS_AT_ONCE = 25
_UPLOADS_HELD = 20_000
_CELLS_HELD = 20_000


class ResultSource(Protocol):
    """The part of ResultStore that an export reads."""

    def stream(self, query: Query) -> AsyncIterator[Record]:
        """Yield the query's records in order."""

    async def columns(self, upload_ids: Collection[str]) -> dict[str, list[SourceColumn]]:
        """Return what is known of the uploads' columns."""

    async def uploads_by_columns(self, query: Query) -> list[str | None]:
        """Return an upload for each list of columns among the query's records, None where it is not known."""


class _Cell(NamedTuple):
    """Where in a table's row stands what of a lead: a field, or else the cell of that title in `extra`."""

    position: int
    field: str | None
    title: str


_Layout = tuple[_Cell, ...]
T = TypeVar("T")


class OwnTable:
    """The columns of a query's leads: the union over their uploads, each in its order.

    `headers` are their titles as they stood in the files. Leads whose columns are not known have the six
    fields of a prospect. What is held in memory of the uploads has a bound, however many there are.
    """

    def __init__(self, source: ResultSource, headers: Mapping[str, str]) -> None:
        """`headers` are by title."""
        self._source = source
        self.headers = list(headers.values())
        self._positions = {title: position for position, title in enumerate(headers)}
        self._layouts: dict[str, _Layout] = {}
        self._different: dict[_Layout, _Layout] = {}
        self._cells = 0
        self._six_fields = self._placed(_SIX_FIELDS)

    @classmethod
    async def of(cls, source: ResultSource, query: Query) -> Self:
        """Return the table of the query's leads.

        Raises Problem (422) where they came with more different columns than a sheet takes.
        """
        headers: dict[str, str] = {}
        uploads = await source.uploads_by_columns(query)
        for some in _batches(uploads):
            known = await source.columns([upload_id for upload_id in some if upload_id is not None])
            for upload_id in some:
                columns = _SIX_FIELDS if upload_id is None else known[upload_id]
                for column in columns:
                    header = column.title if column.header is None else column.header
                    headers.setdefault(column.title, header)
            if len(headers) > MOST_COLUMNS:
                raise _too_many_columns()
        return cls(source, headers or dict(zip(LEAD_FIELDS, LEAD_FIELDS, strict=True)))

    async def rows(self, records: Sequence[Record]) -> list[list[str]]:
        """Return each record's cells, one a title."""
        await self._learn({record.upload_id for record in records if record.upload_id is not None})
        return [self._row(record) for record in records]

    async def _learn(self, upload_ids: set[str]) -> None:
        new = upload_ids - self._layouts.keys()
        if not new:
            return
        if len(self._layouts) > _UPLOADS_HELD or self._cells > _CELLS_HELD:
            self._layouts, self._different, self._cells, new = {}, {}, 0, upload_ids
        for some in _batches(list(new)):
            known = await self._source.columns(some)
            for upload_id in some:
                columns = known.get(upload_id)
                self._layouts[upload_id] = self._six_fields if columns is None else self._placed(columns)

    def _placed(self, columns: Iterable[SourceColumn]) -> _Layout:
        """Return where the columns stand; those of an upload that came after the header have no place."""
        layout = tuple(
            _Cell(self._positions[column.title], column.field, column.title)
            for column in columns
            if column.title in self._positions
        )
        if layout not in self._different:
            self._different[layout] = layout
            self._cells += len(layout)
        return self._different[layout]

    def _row(self, record: Record) -> list[str]:
        cells = [""] * len(self.headers)
        if record.lead is not None:
            layout = self._layouts[record.upload_id] if record.upload_id is not None else self._six_fields
            for cell in layout:
                cells[cell.position] = _text(record.lead, cell)
        return cells


def _batches(uploads: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield a few at a time: an upload may have a thousand columns."""
    for start in range(0, len(uploads), _UPLOADS_AT_ONCE):
        yield uploads[start : start + _UPLOADS_AT_ONCE]


def _text(lead: Lead, cell: _Cell) -> str:
    if cell.field is None:
        return lead.extra.get(cell.title, "") if lead.extra else ""
    return str(getattr(lead, cell.field, None) or "")


def _too_many_columns() -> Problem:
    return Problem(
        422,
        "Too many columns",
        f"These results came with more than {MOST_COLUMNS:,} different columns, more than a sheet takes. "
        "Export the uploads one by one with upload_id=…, or take columns=leadline or format=ndjson.",
    )
