"""A file that cannot be read as a table, and how long its cells may be."""

MAX_FIELD = 1_000_000  # characters in one cell


class CsvRefused(Exception):
    """The file as a whole cannot be read as prospects.

    ``status`` is 400 where it is no CSV or has nothing in it, 422 where it is a CSV of no use.
    ``reason`` is a sentence or two for the person who sent the file.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
