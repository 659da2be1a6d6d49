"""What uploads may hold at once, in memory and on disk."""

import asyncio

from leadline_ingest.prospects.spool import no_room

_UPLOADS_BYTES = 48 * 1_048_576
_FILES_BYTES = 1_500_000_000
_STORED_FILES_AT_ONCE = 2
_FLUSHES_AT_ONCE = 4


class UploadMemory:
    """What all uploads of a process hold in memory and in temporary files.

    Where memory is short, they store rows early; where room for files is, the last is turned away.
    """

    def __init__(self, limit: int = _UPLOADS_BYTES, files_limit: int = _FILES_BYTES) -> None:
        self._limit = limit
        self._files_limit = files_limit
        self._held: dict[str, int] = {}
        self._files: dict[str, int] = {}
        self.flushes = asyncio.Semaphore(_FLUSHES_AT_ONCE)
        self.stored_files = asyncio.Semaphore(_STORED_FILES_AT_ONCE)

    def note(self, upload_id: str, held: int) -> None:
        """Note how many bytes an upload holds in memory by now."""
        self._held[upload_id] = held

    def note_files(self, upload_id: str, size: int) -> None:
        """Note how many bytes of temporary files it has. Raises Overloaded where all have too many."""
        self._files[upload_id] = size
        if size and sum(self._files.values()) > self._files_limit:
            raise no_room()

    def forget(self, upload_id: str) -> None:
        """Forget what an upload held, which has ended."""
        self._held.pop(upload_id, None)
        self._files.pop(upload_id, None)

    @property
    def short(self) -> bool:
        """Whether the uploads hold more than they may."""
        return sum(self._held.values()) > self._limit
