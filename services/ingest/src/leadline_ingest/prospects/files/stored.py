"""A file on its way that has to be kept until all of it is there."""

from tempfile import SpooledTemporaryFile

from leadline_ingest.prospects.files.refusal import CsvRefused

MAX_STORED = 500_000_000  # bytes of one file
_IN_MEMORY = 262_144


class StoredFile:
    """The bytes written so far: a little in memory, more in a temporary file that vanishes when closed."""

    def __init__(self, advice: str) -> None:
        """``advice`` says what to do with a file too large to be kept."""
        self.size = 0
        self._file: SpooledTemporaryFile[bytes] | None = None
        self._advice = advice

    @property
    def file(self) -> SpooledTemporaryFile[bytes]:
        """The file itself, for reading it anywhere."""
        if self._file is None:
            self._file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the reader closes it
        return self._file

    @property
    def in_memory(self) -> int:
        """Bytes of it that are held in memory."""
        return min(self.size, _IN_MEMORY)

    def write(self, data: bytes) -> None:
        """Append; raises CsvRefused (413) beyond MAX_STORED."""
        self.size += len(data)
        if self.size > MAX_STORED:
            raise CsvRefused(
                413, f"A file of this kind may have {MAX_STORED // 1_000_000} MB. {self._advice}"
            )
        self.file.write(data)

    def close(self) -> None:
        """Forget all of it."""
        if self._file is not None:
            self._file.close()
