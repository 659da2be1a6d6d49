"""Standard error that never fails whoever writes to it."""

import io
import json
import os
import sys
import threading
from typing import Any

from leadline_common.clock import now


def guard_stderr() -> None:
    """Let no write to `sys.stderr` raise, whoever writes: our logs, a library's, `print`.

    What cannot be written (a full disk, a pipe that nobody reads) is dropped and counted. Once writing works
    again, a line `{"event": "log_lines_lost", "lines": 12, …}` tells how many. Safe to call twice.
    """
    if sys.stderr is None:  # started with the descriptor closed, which another file could get otherwise
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
        return
    buffer = getattr(sys.stderr, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # unbuffered (PYTHONUNBUFFERED) there is nothing in between
    if isinstance(raw, io.FileIO):
        sys.stderr = io.TextIOWrapper(
            _Unfailing(raw),
            encoding=sys.stderr.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )


class _Unfailing(io.RawIOBase):
    """A file that takes everything; what the file beneath refuses is counted in lines."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file
        self._lost = 0
        self._cut_off = False
        # The same thread may come again: a destructor that runs in the middle of a write may warn.
        self._lock = threading.RLock()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._file.isatty()

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, data: Any, /) -> int:
        whole = bytes(data)
        with self._lock:
            try:
                if self._lost:
                    self._write(self._notice())
                    self._lost, self._cut_off = 0, False
                self._write(whole)
            except (OSError, ValueError):
                self._lost += whole.count(b"\n") or 1
        return len(whole)

    def _write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            written = self._file.write(rest)
            if written is None:
                raise BlockingIOError
            rest = rest[written:]
            self._cut_off = bool(rest)

    def _notice(self) -> bytes:
        notice = {
            "event": "log_lines_lost",
            "lines": self._lost,
            "level": "warning",
            "timestamp": now().isoformat().replace("+00:00", "Z"),
        }
        return b"\n" * self._cut_off + json.dumps(notice).encode() + b"\n"
