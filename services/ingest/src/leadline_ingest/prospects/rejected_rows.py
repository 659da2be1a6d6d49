"""The rejected rows of an upload as a CSV, to be corrected and uploaded again."""

import csv
import io
from collections.abc import AsyncIterator, Sequence

from leadline_ingest.prospects.store import RejectedCells

OWN_COLUMNS = ("row", "column", "reason")


async def rejected_csv(titles: Sequence[str], rows: AsyncIterator[RejectedCells]) -> AsyncIterator[str]:
    """Yield the file: the columns as they came, then the row's number, the column at fault and why.

    A row that could not be cut into cells has its number and the reason alone.
    """
    line = io.StringIO()
    writer = csv.writer(line)
    writer.writerow([*titles, *(name if name not in titles else f"leadline_{name}" for name in OWN_COLUMNS)])
    async for one in rows:
        cells = list(one.cells or ())[: len(titles)]
        cells += [""] * (len(titles) - len(cells))
        writer.writerow([*cells, one.row, one.column or "", one.reason])
        yield line.getvalue()
        line.seek(0)
        line.truncate()
    yield line.getvalue()
