"""A set of numbers too large for memory: it stands in a temporary SQLite file, which goes with it."""

import json
import sqlite3
from collections.abc import Iterable, Sequence

_SCHEMA = "CREATE TABLE seen (number INTEGER PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID"
_SEE = "INSERT INTO seen VALUES (?, ?) ON CONFLICT DO NOTHING"
_SEEN = "SELECT number, place FROM seen WHERE number IN (SELECT value FROM json_each(?))"
_CACHE_KIB = 2_048


class SeenNumbers:
    """Numbers of 64 bits with the place where each was seen first. Memory stays flat; close it in the end."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)  # on disk, but without a name
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._connection.execute(f"PRAGMA {pragma}")
        self._connection.execute(_SCHEMA)

    def see(self, numbers: Iterable[tuple[int, int]]) -> None:
        """Note numbers with their places; those that were seen before keep theirs."""
        self._connection.executemany(_SEE, numbers)

    def seen(self, numbers: Sequence[int]) -> dict[int, int]:
        """Return which of these numbers were seen, and where."""
        return dict(self._connection.execute(_SEEN, [json.dumps(list(numbers))]).fetchall())

    def close(self) -> None:
        """Give up what is held; doing it again changes nothing."""
        self._connection.close()
