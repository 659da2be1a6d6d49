"""Taking a file of prospects in, piece by piece: all of it becomes ready at once, or nothing of it stays."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import structlog

from leadline_common.clock import Clock
from leadline_common.ids import new_id
from leadline_contracts.envelope import Wire
from leadline_contracts.errors import LeadlineError, Overloaded
from leadline_contracts.scoring import Lead, text_bytes
from leadline_ingest.prospects.csv import CsvReader, ProspectRow, Rejection
from leadline_ingest.prospects.store import Prospect, ProspectStore, Upload
from leadline_ingest.prospects.validation import check_lead

REJECTIONS_SHOWN = 1_000
ABANDONED_AFTER = timedelta(minutes=10)
"""How long an upload may be silent before it counts as interrupted."""
_BATCH_ROWS = 1_000
_BATCH_BYTES = 1_048_576
_ROW_OVERHEAD = 1_500
"""Bytes that a row takes in memory besides its text, about."""
_UPLOADS_BYTES = 48 * 1_048_576
_LONG_RECORD = 262_144
"""Bytes of one record; who holds more has to stop first where memory is short."""
_FLUSHES_AT_ONCE = 4
_TURN_BYTES = 65_536
"""Read without a pause: some milliseconds of work, after which other requests get their turn."""
_SWEEP_SECONDS = 60.0

log = structlog.get_logger()


class RejectedRow(Wire):
    """A row that was left out: its number (the header is row 1), the column at fault if one is, and why."""

    row: int
    column: str | None = None
    reason: str


class UploadReport(Wire):
    """What became of an uploaded file; `rejected` holds the first 1,000 of `rejected_count` rows."""

    upload_id: str
    inserted: int
    rejected: list[RejectedRow]
    rejected_count: int
    warnings: list[str]


class UploadMemory:
    """What all uploads of a process hold in memory; where it is short, they store early what they hold."""

    def __init__(self, limit: int = _UPLOADS_BYTES) -> None:
        self._limit = limit
        self._held: dict[str, int] = {}
        self.flushes = asyncio.Semaphore(_FLUSHES_AT_ONCE)

    def note(self, upload_id: str, held: int) -> None:
        """Note how many bytes an upload holds by now; 0 once it has ended."""
        if held:
            self._held[upload_id] = held
        else:
            self._held.pop(upload_id, None)

    @property
    def short(self) -> bool:
        """Whether the uploads hold more than they may."""
        return sum(self._held.values()) > self._limit


class UploadReceiver:
    """Takes one file. Feed it all, then `commit`; or `drop` it.

    The offer may become known at any time before `commit`. One batch of rows and one record are in memory.
    """

    def __init__(self, store: ProspectStore, owner: str, clock: Clock, memory: UploadMemory) -> None:
        self._store = store
        self._clock = clock
        self._memory = memory
        self._upload = Upload(id=new_id(), owner=owner)
        self._reader = CsvReader()
        self._batch: list[Prospect] = []
        self._batch_bytes = 0
        self._inserted = 0
        self._last_row = 0
        self._rejected: list[RejectedRow] = []
        self._rejected_count = 0
        self._opened = False

    async def feed(self, data: bytes) -> None:
        """Take a piece of the file.

        Raises CsvRefused where the file is of no use, Overloaded where its record is so long that it does
        not fit beside the other uploads, Unavailable.
        """
        for start in range(0, len(data), _TURN_BYTES):
            await self._take(self._reader.feed(data[start : start + _TURN_BYTES]))
            await self._spare_memory()
            await asyncio.sleep(0)

    async def commit(self, offer_id: str | None) -> UploadReport:
        """Make the upload ready. Raises CsvRefused where the file is of no use, Unavailable."""
        await self._take(self._reader.finish())
        await self._flush()
        await self._open()
        ready = self._upload.model_copy(
            update={"offer_id": offer_id, "ready": True, "last_row": self._last_row}
        )
        await self._store.commit_upload(ready)
        self._memory.note(self._upload.id, 0)
        log.info("upload_ready", upload_id=ready.id, inserted=self._inserted, rejected=self._rejected_count)
        return UploadReport(
            upload_id=ready.id,
            inserted=self._inserted,
            rejected=self._rejected,
            rejected_count=self._rejected_count,
            warnings=self._reader.warnings,
        )

    async def drop(self) -> None:
        """Forget what was taken; where that fails, the sweep does it later."""
        self._memory.note(self._upload.id, 0)
        if not self._opened:
            return
        try:
            await self._store.drop_upload(self._upload.id)
        except LeadlineError as error:
            log.warning("upload_not_dropped", upload_id=self._upload.id, error=str(error))

    async def _take(self, rows: list[ProspectRow | Rejection]) -> None:
        for row in rows:
            found = row if isinstance(row, Rejection) else self._prospect(row)
            if isinstance(found, Rejection):
                self._reject(found)
            else:
                self._batch.append(found)
                self._batch_bytes += text_bytes(found.lead) + _ROW_OVERHEAD
                self._last_row = found.row
            if len(self._batch) >= _BATCH_ROWS or self._batch_bytes >= _BATCH_BYTES:
                await self._flush()

    async def _spare_memory(self) -> None:
        record = self._reader.held
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
        lead = Lead.model_construct(
            id=new_id(),
            name=row.name,
            role=row.role,
            company=row.company,
            industry=row.industry,
            location=row.location,
            linkedin_bio=row.linkedin_bio,
        )
        wrong = check_lead(lead)
        return (
            Prospect(row.row, lead) if wrong is None else Rejection(row.row, None, f"the row {wrong.message}")
        )

    def _reject(self, rejection: Rejection) -> None:
        self._rejected_count += 1
        if len(self._rejected) < REJECTIONS_SHOWN:
            self._rejected.append(
                RejectedRow(row=rejection.row, column=rejection.column, reason=rejection.reason)
            )

    async def _open(self) -> None:
        if not self._opened:
            self._opened = True  # before the store is asked: cut short, it may have opened the upload
            await self._store.open_upload(self._upload, self._clock())

    async def _flush(self) -> None:
        if not self._batch:
            return
        await self._open()
        async with self._memory.flushes:
            await self._store.add_prospects(self._upload, self._batch, self._clock())
        self._inserted += len(self._batch)
        self._batch, self._batch_bytes = [], 0


@asynccontextmanager
async def receiving(receiver: UploadReceiver) -> AsyncIterator[UploadReceiver]:
    """Leave nothing of an upload behind when taking it fails, also when the sender went away."""
    try:
        yield receiver
    except BaseException:
        await asyncio.shield(receiver.drop())
        raise


async def sweep_uploads(store: ProspectStore, clock: Clock) -> None:
    """Drop interrupted uploads, for ever."""
    while True:
        try:
            for upload_id in await store.abandoned_uploads(clock() - ABANDONED_AFTER):
                await store.drop_upload(upload_id)
                log.info("upload_swept", upload_id=upload_id)
        except LeadlineError as error:
            log.warning("sweep_failed", error=str(error))
        await asyncio.sleep(_SWEEP_SECONDS)
