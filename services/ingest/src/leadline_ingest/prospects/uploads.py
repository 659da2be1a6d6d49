"""Uploads of a file of prospects, piece by piece: all of it becomes ready at once, or nothing of it stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import astuple
from datetime import timedelta
from typing import Generic, TypeVar

import structlog

from leadline_common.clock import Clock
from leadline_common.ids import new_id
from leadline_common.process.periodic import every
from leadline_contracts.errors import LeadlineError, Overloaded
from leadline_contracts.scoring import EXTRA_BYTES, Lead, SourceColumn, extra_bytes, lead_bytes
from leadline_ingest.prospects.duplicates import Duplicates
from leadline_ingest.prospects.identity import identity_of
from leadline_ingest.prospects.report import ROWS_SHOWN, DuplicateRow, RejectedRow, UploadReport
from leadline_ingest.prospects.spool import disk_may_be_full
from leadline_ingest.prospects.store import Prospect, ProspectStore, RejectedCells, Upload
from leadline_ingest.prospects.table import CsvReader, ProspectRow, Rejection
from leadline_ingest.prospects.upload_memory import UploadMemory
from leadline_ingest.prospects.upload_request import UploadOptions
from leadline_ingest.prospects.validation import check_lead

ABANDONED_AFTER = timedelta(minutes=10)
"""How long an upload may be silent before it counts as interrupted."""
_BATCH_ROWS = 1_000
_BATCH_BYTES = 1_048_576
_ROW_OVERHEAD = 1_500
"""Bytes that a row takes in memory besides its text, about."""
_LONG_RECORD = 524_288
"""Bytes of one record; who holds more has to stop first where memory is short."""
_TURN_BYTES = 65_536
"""Read without a pause: some milliseconds of work, after which other requests get their turn."""
_SWEEP_SECONDS = 60.0
_REJECTED_KEPT = 100_000
"""Rejected rows of a file that are kept to be given back."""
_CUT_ROWS_SHOWN = 10
_NONE: dict[str, str] = {}

T = TypeVar("T")

log = structlog.get_logger()


class UploadReceiver:
    """Takes one file. Feed it all, then `commit`; or `drop` it.

    One batch of rows and one record are in memory. `rows_read` counts the rows so far, taken or not.
    """

    def __init__(
        self,
        store: ProspectStore,
        owner: str,
        clock: Clock,
        memory: UploadMemory,
        options: UploadOptions | None = None,
        *,
        upload_id: str | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._memory = memory
        self._options = options or UploadOptions()
        self._upload = Upload(id=upload_id or new_id(), owner=owner, offer_id=self._options.offer_id)
        self._scope = f"{owner}\x1f{self._options.offer_id or ''}"
        self._reader = CsvReader(self._options.mapped, self._options.encoding, self._options.charset)
        self._duplicates = Duplicates(store, self._upload.id)
        self._batch: list[Prospect] = []
        self._batch_bytes = 0
        self.rows_read = 0
        self._inserted = 0
        self._last_row = 0
        self._rejected = _Listed[RejectedRow]()
        self._rejected_cells: list[RejectedCells] = []
        self._known = _Listed[DuplicateRow]()
        self._cut_rows: list[int] = []
        self._opened = False

    async def feed(self, data: bytes) -> None:
        """Take a piece of the file.

        Raises CsvRefused where the file is of no use, Overloaded where there is no room for it, or for so
        long a record, beside the other uploads, Unavailable.
        """
        with disk_may_be_full():
            for start in range(0, len(data), _TURN_BYTES):
                for rows in self._reader.feed(data[start : start + _TURN_BYTES]):
                    await self._take(rows)
                    await self._spare_memory()
                    await asyncio.sleep(0)
                await self._spare_memory()
                await asyncio.sleep(0)

    async def commit(self) -> UploadReport:
        """Make the upload ready. Raises what `feed` raises."""
        await self._finish()
        await self._flush()
        report = self._report()
        if not self._options.dry_run:
            await self._open()
            await self._store.commit_upload(
                self._upload.model_copy(
                    update={
                        "ready": True,
                        "last_row": self._last_row,
                        "columns": self._columns(),
                        "report": report,
                    }
                )
            )
            log.info(
                "upload_ready",
                upload_id=self._upload.id,
                inserted=report.inserted,
                duplicates=report.duplicates,
                rejected=report.rejected_count,
            )
        self._end()
        return report

    async def drop(self) -> None:
        """Forget what was taken; where that fails, the sweep does it later."""
        self._end()
        if not self._opened:
            return
        try:
            await self._store.drop_upload(self._upload.id)
        except LeadlineError as error:
            log.warning("upload_not_dropped", upload_id=self._upload.id, error=str(error))

    def _end(self) -> None:
        self._memory.forget(self._upload.id)
        self._reader.file.close()
        self._duplicates.close()

    async def _finish(self) -> None:
        """Take what is left, piece by piece in a thread: of a packed file that is all of it."""
        pieces = self._reader.finish()

        def piece() -> list[ProspectRow | Rejection] | None:
            return next(pieces, None)

        with disk_may_be_full():
            async with self._memory.stored_files if self._reader.file.stored else nullcontext():
                while (rows := await asyncio.to_thread(piece)) is not None:
                    await self._take(rows)
                    await self._spare_memory()

    def _report(self) -> UploadReport:
        rows = self._reader.rows
        return UploadReport(
            upload_id=None if self._options.dry_run else self._upload.id,
            rows=rows.count,
            inserted=self._inserted,
            duplicates=self._known.count,
            rejected_count=self._rejected.count,
            blank=rows.blank,
            columns=rows.columns.taken,
            rejected=self._rejected.first,
            duplicate_rows=self._known.first,
            warnings=[*self._reader.warnings, *self._cut_warnings()],
            encoding=self._reader.file.found.encoding,
            delimiter=self._reader.file.found.delimiter,
            sheet=self._reader.file.found.sheet,
            dry_run=self._options.dry_run,
        )

    def _columns(self) -> list[SourceColumn]:
        columns = self._reader.rows.columns
        return [
            SourceColumn(
                title=title,
                field=columns.fields.get(number),
                header=None if header == title else header,
            )
            for number, (title, header) in enumerate(zip(columns.titles, columns.headers, strict=True))
        ]

    def _cut_warnings(self) -> list[str]:
        if not self._cut_rows:
            return []
        shown = ", ".join(f"{row:,}" for row in self._cut_rows)
        return [
            f"The other columns of a row may hold {EXTRA_BYTES:,} bytes of text; the longest cells of rows "
            f"{shown} and maybe further ones do not come back."
        ]

    async def _take(self, rows: list[ProspectRow | Rejection]) -> None:
        self.rows_read += len(rows)
        for row in rows:
            found = row if isinstance(row, Rejection) else self._prospect(row)
            if isinstance(found, Rejection):
                self._reject(found)
            else:
                self._batch.append(found)
                self._batch_bytes += lead_bytes(found.lead) + _ROW_OVERHEAD
            if len(self._batch) >= _BATCH_ROWS or self._batch_bytes >= _BATCH_BYTES:
                await self._flush()

    async def _spare_memory(self) -> None:
        record = self._reader.file.held
        self._memory.note_files(self._upload.id, self._reader.file.stored)
        self._memory.note(self._upload.id, record + self._batch_bytes)
        if not self._memory.short:
            return
        await self._flush()
        self._memory.note(self._upload.id, record)
        if self._memory.short and record > _LONG_RECORD:
            raise Overloaded(
                "Too many long rows at once",
                "Other uploads with very long rows are under way. Send the file again in a few seconds.",
                retry_after=5,
            )

    def _prospect(self, row: ProspectRow) -> Prospect | Rejection:
        identities = self._reader.rows.columns.identities
        marks = (
            {mark: row.extra.get(title, "") for mark, title in identities.items()} if identities else _NONE
        )
        lead = Lead.model_construct(
            id=new_id(),
            name=row.name,
            role=row.role,
            company=row.company,
            industry=row.industry,
            location=row.location,
            linkedin_bio=row.linkedin_bio,
            external_id=marks.get("record_id") or None,
            extra=self._bounded(row),
            row=None,
        )
        wrong = check_lead(lead)
        if wrong is not None:
            return Rejection(row.row, None, f"the row {wrong.message}")
        return Prospect(row.row, lead, identity_of(self._scope, lead, marks))

    def _bounded(self, row: ProspectRow) -> dict[str, str] | None:
        """The other cells of a row without the longest ones, where all of them are too much."""
        if not row.extra:
            return None
        extra = dict(row.extra)
        if extra_bytes(extra) > EXTRA_BYTES:
            while extra_bytes(extra) > EXTRA_BYTES:
                del extra[max(extra, key=lambda title: len(extra[title]))]
            if len(self._cut_rows) < _CUT_ROWS_SHOWN:
                self._cut_rows.append(row.row)
        return extra

    def _reject(self, rejection: Rejection) -> None:
        self._rejected.add(RejectedRow(row=rejection.row, column=rejection.column, reason=rejection.reason))
        if self._rejected.count <= _REJECTED_KEPT:
            self._rejected_cells.append(RejectedCells(*astuple(rejection)))

    async def _open(self) -> None:
        if not self._opened:
            self._opened = True  # before the store is asked: cut short, it may have opened the upload
            await self._store.open_upload(self._upload, self._clock())

    async def _flush(self) -> None:
        batch, rejected = self._batch, self._rejected_cells
        self._batch, self._rejected_cells, self._batch_bytes = [], [], 0
        if batch and not self._options.keep_duplicates:
            batch, known = await self._duplicates.sorted_out(batch)
            for one in known:
                self._known.add(one)
        self._inserted += len(batch)
        if batch:
            self._last_row = batch[-1].row
        if self._options.dry_run or not (batch or rejected):
            return
        await self._open()
        async with self._memory.flushes:
            await self._store.add_prospects(self._upload, batch, self._clock())
            await self._store.add_rejected(self._upload, rejected)


class _Listed(Generic[T]):
    """Counts items and holds on to the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[T] = []

    def add(self, item: T) -> None:
        self.count += 1
        if len(self.first) < ROWS_SHOWN:
            self.first.append(item)


@asynccontextmanager
async def receiving(receiver: UploadReceiver) -> AsyncIterator[UploadReceiver]:
    """Drop the upload where an error is raised inside, also when the sender disconnects."""
    try:
        yield receiver
    except BaseException:
        await asyncio.shield(receiver.drop())
        raise


async def sweep_uploads(store: ProspectStore, clock: Clock) -> None:
    """Drop interrupted uploads, for ever."""

    async def sweep() -> None:
        for upload_id in await store.abandoned_uploads(clock() - ABANDONED_AFTER):
            await store.drop_upload(upload_id)
            log.info("upload_swept", upload_id=upload_id)

    await every(_SWEEP_SECONDS, sweep, failed="sweep_failed")
