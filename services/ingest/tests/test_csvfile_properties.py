"""The CSV reader on files that hypothesis makes up."""

import csv
import io
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_ingest.prospects.files import text_rows
from leadline_ingest.prospects.files.records import Record, RecordSplitter
from leadline_ingest.prospects.table import CsvReader, CsvRefused, ProspectRow, Rejection

FIELDS = ("name", "role", "company", "industry", "location", "linkedin_bio")
Outcome = tuple[list[ProspectRow | Rejection], list[str], str]

# In Windows-1252 no two of these pass for UTF-8, which the reader tries first.
letters = st.sampled_from("abéüÖNA0 .,;\t|\"'\n")
cells = st.text(letters, max_size=8)
tables = st.lists(st.tuples(*[cells] * len(FIELDS)), min_size=1, max_size=8)

# Bytes that often look like a CSV and as often break it.
scraps = st.sampled_from(
    [
        b"role,company\n",
        b"sep=;\n",
        b"a",
        b"b,c",
        b",",
        b";",
        b"\t",
        b" ",
        b'"',
        b'""',
        b"\n",
        b"\r",
        b"\r\n",
        b"{",
    ]
) | st.sampled_from([b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3", b"\xa9", b"\xe2\x82", b"\x81", "é".encode()])
files = st.lists(scraps | st.just(b"\0") | st.binary(max_size=3), max_size=40).map(b"".join)
with_header = st.lists(scraps, max_size=40).map(lambda rows: b"role,company\n" + b"".join(rows))


def outcome(pieces: list[bytes], encoding: str | None = None) -> Outcome:
    """All that reading gives: rows and rejections, warnings, and the reason of a refusal."""
    reader = CsvReader(encoding=encoding)
    try:
        found = [item for piece in pieces for items in reader.feed(piece) for item in items]
        found += [item for items in reader.finish() for item in items]
    except CsvRefused as refused:
        return [], reader.warnings, refused.reason
    finally:
        reader.file.close()
    return found, reader.warnings, ""


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def written(rows: list[tuple[str, ...]], delimiter: str, line_end: str, quoting: int) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return buffer.getvalue()


@given(files | with_header, st.lists(st.integers(0, 10_000), max_size=20))
def test_how_a_file_is_cut_changes_nothing(data: bytes, places: list[int]) -> None:
    """Whatever the file and wherever it is cut, the outcome is that of the whole."""
    assert outcome(cut(data, places)) == outcome([data])


@given(with_header, st.integers(1, 9))
def test_where_blocks_end_changes_nothing(data: bytes, size: int) -> None:
    """Below the first block, the reader's own block edges may fall anywhere."""
    whole = outcome([data])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_rows, "BLOCK", len(b"role,company\n") + size)
        assert outcome([data]) == whole


@given(st.lists(st.sampled_from(['"', '""', ",", "a", " ", "\n", "\r\n", "\0"]), max_size=40))
def test_where_text_is_cut_changes_no_record(pieces: list[str]) -> None:
    """Records are the same for text that comes at once and text that comes in pieces."""
    splitter = RecordSplitter(",", 2)
    records: list[Record] = []
    for piece in pieces:
        records += splitter.split(piece)
    records += splitter.split("\n", final=True)
    assert records == [*RecordSplitter(",", 2).split("".join(pieces) + "\n", final=True)]


@given(files | st.binary(max_size=300))
def test_only_refusals_are_raised(data: bytes) -> None:
    """Any bytes end in rows, rejections or a refusal with a reason; each row number comes once."""
    found, _, reason = outcome([data])
    numbers = [item.row for item in found]
    assert bool(found) != bool(reason)
    assert numbers == sorted(set(numbers))


@given(
    tables,
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_what_csv_writer_writes_comes_back(
    table: list[tuple[str, ...]], delimiter: str, line_end: str, encoding: str, quoting: int
) -> None:
    """Each cell comes back equal but for surrounding white space; empty rows are left out."""
    if line_end == "\r" and quoting == csv.QUOTE_MINIMAL:
        quoting = csv.QUOTE_ALL  # Python 3.11 quotes a line break only if it is the file's own
    data = written([FIELDS, *table], delimiter, line_end, quoting).encode(encoding)
    expected = [
        prospect_row(number, row)
        for number, row in enumerate(table, start=2)
        if any(cell.strip() for cell in row)
    ]
    found, _, reason = outcome([data], encoding if encoding == "cp1252" else None)
    assert found == expected
    assert bool(reason) == (expected == [])


def prospect_row(number: int, row: tuple[str, ...]) -> ProspectRow:
    name, role, company, industry, location, linkedin_bio = (cell.strip() for cell in row)
    return ProspectRow(number, name, role, company, industry, location, linkedin_bio)


BAD_ROWS: dict[str, Callable[[str], bytes]] = {
    "too many cells": lambda d: d.join("abcdefg").encode(),
    "NUL": lambda d: f"a{d}\0".encode(),
    "quote left open": lambda d: f'a{d}"b{d}c'.encode(),
    "quote left open at the start": lambda d: f'"a{d}b{d}c'.encode(),
    "damaged UTF-8": lambda d: f"a{d}b".encode() + b"\xff",
}
realistic = st.text(letters, max_size=8).map(lambda text: f"x{text}") | st.just("")
people = st.lists(st.tuples(st.just("Zoë"), *[realistic] * 5), min_size=1, max_size=5)


@given(
    people,
    people,
    st.sampled_from(sorted(BAD_ROWS)),
    st.tuples(
        st.sampled_from([",", ";", "\t"]),
        st.sampled_from(["\n", "\r\n"]),
        st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ),
)
def test_one_bad_row_loses_no_other(
    before: list[tuple[str, ...]],
    after: list[tuple[str, ...]],
    kind: str,
    dialect: tuple[str, str, int],
) -> None:
    """A bad row among rows that csv.writer wrote is rejected by number, and all the others come out.

    Cells begin with a letter: where one begins with a delimiter or a line break, the quote before it
    may pass for the end of the one left open, and no reader can tell.
    """
    delimiter, line_end, _ = dialect
    text = written([FIELDS, *before], *dialect)
    rest = written(after, *dialect)
    data = text.encode() + BAD_ROWS[kind](delimiter) + line_end.encode() + rest.encode()
    found, _, _ = outcome([data])
    bad_row = len(before) + 2
    assert [item.row for item in found if isinstance(item, Rejection)] == [bad_row]
    numbers = [*range(2, bad_row), *range(bad_row + 1, bad_row + 1 + len(after))]
    assert [item for item in found if isinstance(item, ProspectRow)] == [
        prospect_row(number, row) for number, row in zip(numbers, before + after, strict=True)
    ]
