"""The bars of a command: one each for reading, scoring and writing, which count rows and tell the rate."""

from collections.abc import AsyncIterator, Collection

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from leadline_contracts.scoring import SourceColumn
from leadline_results.runs.own_columns import ResultSource
from leadline_results.runs.record import Record
from leadline_results.runs.store import Query


class RateColumn(ProgressColumn):
    """How many rows a second: of late, or in all where that was short."""

    def render(self, task: Task) -> Text:
        """Return the rate, nothing as long as there is none."""
        seconds = task.finished_time or task.elapsed
        rate = task.finished_speed or task.speed or (task.completed / seconds if seconds else 0)
        return Text(f"{rate:,.{int(rate < 10)}f} rows/s" if rate else "")


COLUMNS = (
    TextColumn("{task.description}"),
    BarColumn(),
    MofNCompleteColumn(),
    RateColumn(),
    TimeRemainingColumn(),
)


def show_reading(progress: Progress, task: TaskID, rows: int, read: int, size: int) -> None:
    """Show how many rows were read, in so many bytes of the file; until its end their total is estimated."""
    ended = read >= size
    total = rows if ended else max(rows, round(rows * size / read))
    progress.update(task, completed=rows, total=total or None)


class CountedResults:
    """A source of results with a bar that counts those that are read from it."""

    def __init__(self, source: ResultSource, progress: Progress, description: str, total: int) -> None:
        self._source = source
        self._progress = progress
        self._task = progress.add_task(description, total=total)

    async def stream(self, query: Query) -> AsyncIterator[Record]:
        """Yield the query's records in order."""
        async for record in self._source.stream(query):
            yield record
            self._progress.advance(self._task)

    async def columns(self, upload_ids: Collection[str]) -> dict[str, list[SourceColumn]]:
        """Return what is known of the uploads' columns."""
        return await self._source.columns(upload_ids)

    async def uploads_by_columns(self, query: Query) -> list[str | None]:
        """Return an upload for each list of columns among the query's records."""
        return await self._source.uploads_by_columns(query)
