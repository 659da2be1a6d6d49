"""Pages of the ranked list, and positions in it as cursors."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from leadline_common.http.pagination import read_cursor, write_cursor
from leadline_contracts.scoring import lead_bytes
from leadline_results.runs.record import Record
from leadline_results.runs.store import Position, Query, ResultStore, position_of

_POSITION = TypeAdapter(tuple[Annotated[int, Field(ge=-1, le=100)], str, str])
_PAGE_BYTES = 4_194_304
_READ_AT_ONCE = 64
"""Records asked of the store at a time, however many a page may hold: they may be long."""


def write_position(position: Position) -> str:
    """Return a position as a cursor."""
    return write_cursor(position)


def read_position(cursor: str) -> Position:
    """Return the position that `write_position` wrote. Raises Problem (400) for any other cursor."""
    return Position(*read_cursor(cursor, _POSITION))


async def read_page(
    store: ResultStore, wanted: Query, after: Position | None, limit: int
) -> tuple[list[Record], bool]:
    """Return the next records, up to `limit` and about 4 MiB of text; and whether there are more."""
    page: list[Record] = []
    size = 0
    while True:
        asked = min(_READ_AT_ONCE, limit + 1 - len(page))
        records = await store.page(wanted, after, asked)
        for record in records:
            if len(page) == limit or size > _PAGE_BYTES:
                return page, True
            page.append(record)
            size += lead_bytes(record.lead) if record.lead else 0
        if len(records) < asked:
            return page, False
        after = position_of(records[-1])
