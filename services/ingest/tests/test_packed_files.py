"""Files that are packed: gzip and ZIP with a CSV inside, Excel workbooks, and what a hostile one costs."""

import gzip
import io
import tracemalloc
import zipfile
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_ingest.prospects.files import archive as archive_module
from leadline_ingest.prospects.table import CsvReader, CsvRefused, ProspectRow, Rejection

from .workbooks import MAIN, rows_xml, workbook, zipped

TABLE = b"name,role,company\nJos\xc3\xa9,CTO,Acme\nBo,CEO,Beta\n"
TITLES = ("name", "role", "company", "industry", "location")


@dataclass
class Taken:
    """What came out of a file."""

    rows: list[ProspectRow] = field(default_factory=list)
    rejected: list[Rejection] = field(default_factory=list)
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    warnings: str = ""


def take(data: bytes, encoding: str | None = None, piece: int = 65_536) -> Taken:
    """Read a file that comes in pieces of this size."""
    reader = CsvReader(encoding=encoding)
    taken = Taken()
    with closing(reader.file):
        for at in range(0, len(data), piece):
            collect(taken, reader.feed(data[at : at + piece]))
        collect(taken, reader.finish())
    found = reader.file.found
    taken.encoding, taken.delimiter, taken.sheet = found.encoding, found.delimiter, found.sheet
    taken.warnings = " ".join(reader.warnings)
    return taken


def collect(taken: Taken, lists: Iterable[list[ProspectRow | Rejection]]) -> None:
    for outcomes in lists:
        taken.rows += [row for row in outcomes if isinstance(row, ProspectRow)]
        taken.rejected += [row for row in outcomes if isinstance(row, Rejection)]


def refused(data: bytes) -> CsvRefused:
    with pytest.raises(CsvRefused) as caught:
        take(data)
    return caught.value


def cells(*values: str) -> str:
    return f"<row>{''.join(values)}</row>"


def header() -> str:
    return rows_xml([TITLES])


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(TABLE),
        gzip.compress(TABLE[:20]) + gzip.compress(TABLE[20:]),
        gzip.compress(TABLE) + bytes(512),
        zipped({"leads.csv": TABLE}),
        zipped({"leads.csv": TABLE}, zipfile.ZIP_STORED),
        zipped({"no ending": TABLE, "__MACOSX/._no ending": b"x", "folder/": b"", ".DS_Store": b"x"}),
        zipped({"folder/leads.tsv": TABLE.replace(b",", b"\t")}),
    ],
    ids=["gzip", "two members", "padded", "zip", "stored", "byproducts", "tsv in a folder"],
)
@pytest.mark.parametrize("piece", [1, 7, 65_536])
def test_a_packed_csv_is_read(packed: bytes, piece: int) -> None:
    """gzip and ZIP are known by their content; where a file is cut on its way changes nothing."""
    taken = take(packed, piece=piece)
    found = [(row.row, row.name, row.company) for row in taken.rows]
    assert found == [(2, "José", "Acme"), (3, "Bo", "Beta")]
    assert taken.encoding == "utf-8"


def test_a_packed_csv_may_have_any_encoding() -> None:
    """What is packed is told apart by its letters as any other text, and may be named."""
    legacy = "name;role;company\nИван Петров;Директор;Ромашка\n".encode("cp1251")  # noqa: RUF001 - Russian
    for packed in (gzip.compress(legacy), zipped({"a.csv": legacy})):
        assert take(packed).rows[0].role == "Директор"
        assert take(packed, "koi8-r").encoding == "koi8-r"


def test_other_files_of_an_archive_are_named() -> None:
    """One CSV among other files is taken, and a warning names what was left; of two, none is."""
    taken = take(zipped({"read me.md": b"x", "leads.csv": TABLE, "chart.png": b"x"}))
    assert len(taken.rows) == 2
    assert "read me.md, chart.png" in taken.warnings
    many = refused(zipped({f"part {n}.csv": TABLE for n in range(12)}))
    assert many.status == 422
    assert "12 tables: part 0.csv, part 1.csv" in many.reason
    assert "and 2 more" in many.reason


def test_a_workbook_is_read_as_it_looks() -> None:
    """Numbers have no ".0", dates, percent and filling zeros are written out, formulas give their results."""
    row = cells(
        '<c t="s"><v>1</v></c><c t="str"><f>A1</f><v>C_x00C9_O &amp; more</v></c>',
        '<c t="s"><v>2</v></c><c t="b"><v>1</v></c><c t="e"><v>#N/A</v></c>',
    )
    numbers = [("0", "42"), ("0", "42.0"), ("0", "1.5"), ("1", "45992"), ("2", "45992.75"), ("3", "1234")]
    numbers += [("4", "0.25"), ("5", "1234.5"), ("6", "0.5"), ("0", "4.9170123456E10"), ("0", "1E-7")]
    rows = "".join(
        f'<row r="{at}"><c r="B{at}" s="{style}"><v>{value}</v></c></row>'
        for at, (style, value) in enumerate(numbers, 10)
    )
    strings = (
        "<si><t>unused</t></si><si><r><t>An</t></r><r><rPr/><t>na</t></r><rPh><t>x</t></rPh></si>"
        '<si><t xml:space="preserve"> Acme </t></si>'
    )
    taken = take(workbook({"Leads": header() + row + rows}, strings))
    first = taken.rows[0]
    assert (first.row, first.name, first.role, first.company) == (2, "Anna", "CÉO & more", "Acme")
    assert (first.industry, first.location) == ("TRUE", "#N/A")
    assert [row.row for row in taken.rows[1:]] == [*range(10, 21)]
    assert [row.role for row in taken.rows[1:]] == [
        *("42", "42", "1.5", "2025-12-01", "2025-12-01 18:00", "01234"),
        *("25%", "1234.5", "12:00", "49170123456", "1e-07"),
    ]
    assert (taken.sheet, taken.encoding, taken.delimiter) == ("Leads", None, None)


def test_days_may_count_from_1904() -> None:
    """A workbook from an old Mac counts its days from another year."""
    rows = header() + '<row><c r="B2" s="1"><v>1</v></c></row>'
    assert take(workbook({"a": rows})).rows[0].role == "1900-01-01"
    old = workbook({"a": rows}, more='<workbookPr date1904="1"/>')
    assert take(old).rows[0].role == "1904-01-02"


def test_the_first_sheet_with_rows_is_taken() -> None:
    """Empty sheets are passed over, hidden ones come last, and a warning names what was not read."""
    table = header() + rows_xml([("Ann", "CTO", "Acme")])
    taken = take(workbook({"Cover": "<row/>", "Lists": table, "Leads": table, "Old": table}, hidden="Lists"))
    assert (taken.sheet, len(taken.rows)) == ("Leads", 1)
    assert "The sheet Leads was read. The workbook has others: Cover, Old, Lists." in taken.warnings
    assert take(workbook({"Only": table}, hidden="Only")).sheet == "Only"
    assert "empty" in refused(workbook({"a": "", "b": "<row/>"})).reason


def test_rows_of_a_sheet_keep_their_numbers() -> None:
    """Blank rows are not in the file, and still count; a bad row is named by the number that Excel shows."""
    row = '<row r="{0}"><c r="C{0}" t="inlineStr"><is><t>{1}</t></is></c>{2}</row>'
    far = '<c r="ZZ12"><v>1</v></c>'
    sheet = row.format(4, "role", "") + row.format(9, "CTO", "") + row.format(12, "CEO", far)
    taken = take(workbook({"a": sheet}))
    assert [(found.row, found.role) for found in taken.rows] == [(9, "CTO")]
    assert [(found.row, "more cells" in found.reason) for found in taken.rejected] == [(12, True)]


ENTITIES = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("data", "status", "word"),
    [
        (zipped({"mimetype": b"application/vnd.oasis", "content.xml": b"<x/>"}), 415, "(.ods)"),
        (zipped({"Index/Document.iwa": b"x", "preview.jpg": b"x"}), 415, "Numbers"),
        (zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.bin": b"x"}), 415, "(.xlsb)"),
        (zipped({"[Content_Types].xml": b"<x/>", "word/document.xml": b"<x/>"}), 415, "document"),
        (zipped({"[Content_Types].xml": b"<x/>"}), 400, "damaged"),
        (zipped({}), 400, "empty"),
        (zipped({"a.csv": gzip.compress(TABLE)}), 415, "another archive"),
        (gzip.compress(zipped({"a.csv": TABLE})), 415, "another archive"),
        (gzip.compress(gzip.compress(TABLE)), 415, "another archive"),
        (zipped({"a.csv": TABLE}, zipfile.ZIP_BZIP2), 422, "unusual way"),
        (gzip.compress(TABLE)[:-9], 400, "damaged"),
        (gzip.compress(TABLE) + b"more", 400, "damaged"),
        (zipped({"a.csv": TABLE})[:-9], 400, "damaged"),
        (zipped({"a.csv": TABLE}, zipfile.ZIP_STORED).replace(b"Beta", b"Bxta"), 400, "damaged"),
        (workbook({"a": header() + "<row><c"}), 400, "damaged"),
        (workbook({"a": header() + '<row><c t="s"><v>7</v></c></row>'}), 400, "damaged"),
        (workbook({"a": header() + '<row r="1"/>'}), 400, "damaged"),
        (workbook({"a": '<row r="1048577"/>'}), 400, "damaged"),
        (workbook({"a": ""}).replace(b"PK\x01\x02", b"PK\x01\x03"), 400, "damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_packed_and_cannot_be_read(data: bytes, status: int, word: str) -> None:
    """Each is refused with what it is or what is wrong with it."""
    error = refused(data)
    assert (error.status, word in error.reason) == (status, True), error.reason


def test_a_password_is_said() -> None:
    """An archive with a password is not called damaged."""
    data = bytearray(zipped({"a.csv": TABLE}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "password" in refused(bytes(data)).reason


def peak_of(data: bytes) -> tuple[int, Taken | CsvRefused]:
    """The most memory that reading a file takes, and what came of it."""
    tracemalloc.start()
    try:
        try:
            found: Taken | CsvRefused = take(data)
        except CsvRefused as error:
            found = error
        return tracemalloc.get_traced_memory()[1], found
    finally:
        tracemalloc.stop()


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to far more than its size is given up on the way, in gzip, ZIP and workbook alike."""
    monkeypatch.setattr(archive_module, "_SMALL", 1_000_000)
    bomb = TABLE + b"\n" * 5_000_000
    sheets: dict[str, str | list[str]] = {"a": [header(), *(" " * 1_000_000 for _ in range(5))]}
    for data in (gzip.compress(bomb), zipped({"a.csv": bomb}), workbook(sheets)):
        peak, found = peak_of(data)
        assert isinstance(found, CsvRefused)
        assert (found.status, "250 times" in found.reason) == (413, True)
        assert peak < 8_000_000


@pytest.mark.parametrize(
    ("sheet", "strings"),
    [
        ('<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>', ""),
        ("<row><c><v>" + "1" * 3_000_000 + "</v></c></row>", ""),
        (f'<row><c x="{"y" * 3_000_000}"/></row>', ""),
        ("<row/>", [f"<si><t>{n}</t></si>" for n in range(200_000)]),
        ("<row/>", "<si><t>" + "x" * 3_000_000 + "</t></si>"),
        (header() + '<row><c t="s"><v>0</v></c></row>' * 3_000, "<si><t>" + "x" * 40_000 + "</t></si>"),
    ],
    ids=[
        "far corners",
        "long number",
        "long attribute",
        "many strings",
        "long string",
        "repeated long string",
    ],
)
def test_a_hostile_workbook_costs_little(sheet: str, strings: str | list[str]) -> None:
    """No place, length or number of cells makes a workbook take more than some megabytes of memory."""
    data = workbook({"a": sheet}, strings)
    peak, found = peak_of(data)
    kept = sum(len(row.name) for row in found.rows) if isinstance(found, Taken) else 0  # by the test itself
    assert peak - kept < 20_000_000


def test_entities_are_not_expanded() -> None:
    """A document type, by which a line can grow to gigabytes, is refused wherever it stands."""
    cell = "<row><c><v>&b;</v></c></row>"
    sheet = f'{ENTITIES}<worksheet xmlns="{MAIN}"><sheetData>{cell}</sheetData></worksheet>'
    plain = workbook({"a": rows_xml([("x",)])})
    with zipfile.ZipFile(io.BytesIO(plain)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    for part in ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/sharedStrings.xml", "xl/styles.xml"):
        assert "damaged" in refused(zipped(files | {part: sheet.encode()})).reason


def test_a_directory_without_end_is_not_read() -> None:
    """A ZIP of a hundred thousand empty files is given up before they are listed."""
    data = zipped({f"{n:06}": b"" for n in range(30_000)}, zipfile.ZIP_STORED)
    peak, found = peak_of(data)
    assert isinstance(found, CsvRefused)
    assert peak < 10_000_000


@given(
    st.sampled_from([gzip.compress(TABLE), zipped({"a.csv": TABLE}), workbook({"a": header() + header()})]),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_damage_anywhere_ends_in_rows_or_a_refusal(data: bytes, changes: list[tuple[int, int]]) -> None:
    """Whatever bytes of an archive are changed, nothing else is raised."""
    damaged = bytearray(data)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    with suppress(CsvRefused):
        take(bytes(damaged))
