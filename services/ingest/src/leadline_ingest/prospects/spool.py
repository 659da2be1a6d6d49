"""An uploaded file on disk, from its first byte to its last, before any of it is read.

Every field of the form is known by then, in whatever order it came, and whoever stops sending leaves nothing
behind.
"""

import asyncio
import errno
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import IO

from leadline_contracts.errors import Overloaded

_SPOOLED_BYTES = 4_000_000_000
"""Of all files that a process holds at once."""
_PIECE = 1_048_576
_HEAD = 4_096
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class SpoolRoom:
    """What the files of a process may take on disk together."""

    def __init__(self, limit: int = _SPOOLED_BYTES) -> None:
        self._limit = limit
        self._taken = 0

    def take(self, size: int) -> None:
        """Take room for so many bytes. Raises Overloaded where there is none."""
        if self._taken + size > self._limit:
            raise no_room()
        self._taken += size

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self._taken -= size


class Spool:
    """One file; write it in pieces, then read it in pieces, from the beginning each time."""

    def __init__(self, file: IO[bytes], room: SpoolRoom) -> None:
        self.file = file
        self.size = 0
        self.head = b""
        """The first bytes, by which a file of another kind is known before all of it came."""
        self._room = room
        self._buffer = bytearray()

    async def write(self, piece: bytes) -> None:
        """Append a piece. Raises Overloaded where there is no room for it."""
        self._room.take(len(piece))
        self.size += len(piece)
        if len(self.head) < _HEAD:
            self.head += piece[: _HEAD - len(self.head)]
        self._buffer += piece
        if len(self._buffer) >= _PIECE:
            await self.flush()

    async def flush(self) -> None:
        """Have all that was written on disk. Raises Overloaded where there is no room for it."""
        written, self._buffer = self._buffer, bytearray()
        with disk_may_be_full():
            await asyncio.to_thread(self._append, written)

    def _append(self, data: bytearray) -> None:
        self.file.write(data)
        self.file.flush()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the file's bytes."""
        await asyncio.to_thread(self.file.seek, 0)
        while piece := await asyncio.to_thread(self.file.read, _PIECE):
            yield piece


@asynccontextmanager
async def spooled(room: SpoolRoom) -> AsyncIterator[Spool]:
    """Open a spool, whose file goes with it."""
    with tempfile.TemporaryFile() as file:
        spool = Spool(file, room)
        try:
            yield spool
        finally:
            room.give_back(spool.size)


@contextmanager
def disk_may_be_full() -> Iterator[None]:
    """Raise Overloaded where the disk has no room for what is written inside."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise no_room() from error


def no_room() -> Overloaded:
    """Return the refusal of a file that there is no room for now."""
    return Overloaded(
        "No room for the file",
        "Other large files are being uploaded, or the disk is full. Send the file again in a minute.",
        retry_after=60,
    )
