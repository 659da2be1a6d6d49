"""What reading a CSV file can come to: prospects, rejected rows, or a refused file."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple


class ProspectRow(NamedTuple):
    """One prospect; a field that the file lacks is ''.

    ``row`` is its number in a spreadsheet: a line break inside a quoted cell does not count, a blank line
    does. ``extra`` has the other cells that are not empty by the titles of their columns, also the parts of
    what was joined.
    """

    row: int
    name: str
    role: str
    company: str
    industry: str
    location: str
    linkedin_bio: str
    extra: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rejection:
    """One row left out. ``column`` is its title in the file, None where no single cell is at fault.

    ``reason`` never quotes the row. ``cells`` are the row's own, None where it could not be cut into cells.
    """

    row: int
    column: str | None
    reason: str
    cells: tuple[str, ...] | None = None
