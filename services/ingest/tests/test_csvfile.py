"""The CSV reader on small files, one behaviour each."""

import codecs
import tracemalloc
from contextlib import closing

import pytest

from leadline_ingest.prospects.table import MAX_FIELD, CsvReader, CsvRefused, ProspectRow, Rejection
from leadline_testing.tables import every_row

HEADER = b"name,role,company,industry,location,linkedin_bio\n"
FIELDS = ("name", "role", "company", "industry", "location", "linkedin_bio")


def read(data: bytes) -> tuple[list[ProspectRow], list[Rejection], list[str]]:
    reader = CsvReader()
    with closing(reader.file):
        found = [item for items in (*reader.feed(data), *reader.finish()) for item in items]
    rows = [item for item in found if isinstance(item, ProspectRow)]
    rejected = [item for item in found if isinstance(item, Rejection)]
    return rows, rejected, reader.warnings


def prospects(data: bytes) -> list[tuple[str, ...]]:
    """The filled fields of each prospect; the file must have no bad row."""
    rows, rejected, _ = read(data)
    assert rejected == []
    return [tuple(value for field in FIELDS if (value := getattr(row, field))) for row in rows]


def refusal(data: bytes) -> CsvRefused:
    with pytest.raises(CsvRefused) as caught:
        read(data)
    return caught.value


def field_of(header: str, other: str) -> str:
    """The field that receives the value below ``header``; ``other`` makes the file one of use."""
    rows, _, _ = read(f"{other};{header}\n;value\n".encode())
    return next((field for field in FIELDS if getattr(rows[0], field) == "value"), "none")


def test_reads_the_six_columns() -> None:
    """A file in the documented form gives every field, numbered from row 2, without a warning."""
    rows, rejected, warnings = read(
        HEADER + b"Ann,CTO,Acme,SaaS,Berlin,Builds things\nBob,CEO,Beta,Retail,Rome,Sells\n"
    )
    assert rows[0] == ProspectRow(2, "Ann", "CTO", "Acme", "SaaS", "Berlin", "Builds things")
    assert (rows[1].row, rows[1].name) == (3, "Bob")
    assert (rejected, warnings) == ([], [])


@pytest.mark.parametrize(
    ("titles", "field"),
    [
        ("Name|FULL NAME|full-name|Contact|Contact Name|Ansprechpartner|Nom complet|Nombre|Nome|Nom", "name"),
        ("First Name|Last_Name|Vorname|Nachname|Prénom|Apellidos|Sobrenome", "name"),
        (
            "ROLE|Job Title|job_title|Title|Position|Designation|Funktion|Poste|Fonction|Cargo|Puesto|Função",
            "role",
        ),
        ("Company|Company Name|Organization|Organisation|Account|Employer", "company"),
        ("Firma|Unternehmen|Entreprise|Société|SOCIÉTÉ|Empresa|Compañía", "company"),
        ("Industry|Sector|Branch|Vertical|Secteur d'activité|Setor|Industria", "industry"),
        (
            "Location|City|Country|Region|Standort|Ort|Stadt|Ville|Pays|Ubicación|Cidade|País|Localização",
            "location",
        ),
        (
            "linkedin_bio|LinkedIn Bio|LinkedInBio|linkedin-bio|Bio|About|Summary|Biographie|Résumé",
            "linkedin_bio",
        ),
    ],
)
def test_known_titles(titles: str, field: str) -> None:
    """Each usual title, in any case and spelling, fills its field."""
    other = "industry" if field == "company" else "company"
    wrong = {title: found for title in titles.split("|") if (found := field_of(title, other)) != field}
    assert wrong == {}


@every_row(
    ("header", "cells", "field", "expected"),
    [
        ("Title,role", "Dr,CTO", "role", "CTO"),
        ("Account,COMPANY", "Other,Acme", "company", "Acme"),
        ("Title,Job Title", "Dr,CTO", "role", "CTO"),
        ("role,Role", "CTO,CEO", "role", "CTO"),
        ("role,name,First Name,Last Name", "CTO,Ann Lee,A,L", "name", "Ann Lee"),
        ("role,Last Name,First Name", "CTO,Lee,Ann", "name", "Ann Lee"),
        ("role,Last Name,First Name", "CTO,Lee,", "name", "Lee"),
        ("role,Name,Vorname", "CTO,Lee,Ann", "name", "Ann Lee"),
        ("role,Nom,Prénom", "CTO,Lee,Ann", "name", "Ann Lee"),
        ("role,Nombre,Apellidos", "CTO,Ana,Gil", "name", "Ana Gil"),
        ("role,Country,City", "CTO,Germany,Berlin", "location", "Berlin, Germany"),
        ("role,Country,City,State", "CTO,USA,,Ohio", "location", "Ohio, USA"),
        ("role,Country,Location", "CTO,Germany,Kiel", "location", "Kiel"),
    ],
)
def test_which_column_wins(header: str, cells: str, field: str, expected: str) -> None:
    """The canonical column beats aliases, the more telling alias the vaguer; halves are joined."""
    rows, _, _ = read(f"{header}\n{cells}\n".encode())
    assert getattr(rows[0], field) == expected


def test_warnings_name_what_is_unused_and_missing() -> None:
    """Repeated columns and fields without a column are each named in a warning; others simply come back."""
    _, _, warnings = read(b"Phone,role,Title,company,,industry,linkedin_bio\n1,a,b,c,d,e,f\n")
    assert warnings == [
        "Columns were not used because another one says the same more plainly: Title.",
        "No column was taken for: name, location. The prospects are taken without.",
    ]


def test_titles_are_shown_short_and_clean() -> None:
    """Damaged bytes, line breaks and great length in a title never reach a warning."""
    header = (
        "rôle,".encode() + b'"bad\xff\nbyte",' + b"x" * 200 + b"," + b",".join(b"u%d" % n for n in range(30))
    )
    _, _, warnings = read(header + b"\nCTO\n")
    assert f"The columns are: rôle, bad byte, {'x' * 59}…, u0, u1," in warnings[0]
    assert warnings[0].endswith("u16 and 13 more.")


@every_row("delimiter", [",", ";", "\t", "|"])
@every_row("line_end", ["\n", "\r\n", "\r"])
@every_row("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252"])
def test_dialects(delimiter: str, line_end: str, encoding: str) -> None:
    """Each encoding, delimiter and line end gives the same prospects."""
    lines = ["Role,Company,Bio", "Geschäftsführerin,Café Ö,", '"CTO",Acme,"a' + line_end + 'b, ""c"""']
    data = line_end.join(lines).replace(",", delimiter).encode(encoding)
    if encoding == "utf-16-be":
        data = codecs.BOM_UTF16_BE + data
    assert prospects(data) == [
        ("Geschäftsführerin", "Café Ö"),
        ("CTO", "Acme", f'a{line_end}b{delimiter} "c"'),
    ]


def test_mixed_line_ends() -> None:
    """LF, CR and CRLF may stand in one file."""
    assert prospects(b"role,company\ra,b\r\nc,d\ne,f\r\rg,h") == [
        ("a", "b"),
        ("c", "d"),
        ("e", "f"),
        ("g", "h"),
    ]


def test_other_separators_of_unicode_do_not_end_a_line() -> None:
    """Vertical tab, form feed, NEL and U+2028 are part of the text."""
    cell = "a\vb\fc\x85d\u2028e\x1cf"
    assert prospects(f"role,company\n{cell},x\n".encode()) == [(cell, "x")]


def test_german_file_with_decimal_commas() -> None:
    """The delimiter is the one that makes sense of the header, however many commas the rows hold."""
    data = "Firma;Umsatz;Branche\nAcme;1,5;Handel, Groß\nBeta;2,5;Bau, Hoch, Tief\n".encode()
    assert prospects(data) == [("Acme", "Handel, Groß"), ("Beta", "Bau, Hoch, Tief")]


@pytest.mark.parametrize("hint", [b"sep=;\r\n", b'"sep=;"\n', b"SEP=;\r", b"\n \nsep=;\n"])
def test_excels_delimiter_hint(hint: bytes) -> None:
    """Excel's first line "sep=;" names the delimiter and is not counted as a row."""
    rows, _, _ = read(hint + b"role;company, industry\nCTO;x\n")
    assert (rows[0].row, rows[0].role, rows[0].company) == (2, "CTO", "")


def test_excels_hint_may_name_another_delimiter() -> None:
    """A delimiter that is not tried by itself is taken from the hint."""
    assert prospects(b"sep=^\nrole^company\nCTO^a,b|c\n") == [("CTO", "a,b|c")]


def test_blank_lines() -> None:
    """Rows are numbered as a spreadsheet shows them: blank lines and empty rows count, at the top too."""
    rows, rejected, _ = read(b'\n \r\n,,\nrole,company\n\na,b\n  \n,\n"",""\nc,d\n')
    assert [(row.row, row.role) for row in rows] == [(6, "a"), (10, "c")]
    assert rejected == []


def test_row_numbers_count_records() -> None:
    """A line break inside quotes does not shift the numbers that follow."""
    rows, rejected, _ = read(b'role,company\n"a\nb\r\nc",x\nd,e\nf,g,h\n')
    assert [(row.row, row.role) for row in rows] == [(2, "a\nb\r\nc"), (3, "d")]
    assert [item.row for item in rejected] == [4]


@every_row(
    ("row", "expected"),
    [
        (b"NA,null", ("NA", "null")),
        (b"  a  ,\tb\xc2\xa0", ("a", "b")),
        (b'5" pipe,6"', ('5" pipe', '6"')),
        (b'"a ""b""","c,d"', ('a "b"', "c,d")),
        (b'"a" , "b" ', ("a", "b")),
        (b'"a"b,c', ("ab", "c")),
        (b'"a" "b",c', ('a "b"', "c")),
        (b'"=1+1",@x', ("=1+1", "@x")),
        (b"a", ("a",)),
        (b"a,b,,,", ("a", "b")),
        (b'a,b,"", ,', ("a", "b")),
        (b'"a\nb"  ,c', ("a\nb", "c")),
    ],
)
def test_cells_are_kept_as_they_are(row: bytes, expected: tuple[str, ...]) -> None:
    """Only surrounding white space and quoting go; missing cells and empty surplus cells do no harm."""
    assert prospects(b"role,company\n" + row + b"\n") == [expected]


@every_row(
    ("bad", "column", "word"),
    [
        (b"a,b,c,d", None, "more cells"),
        (b'"a\nb",c,d,e', None, "more cells"),
        (b"a,b\0,c", "company", "NUL"),
        (b'a,"b,c', "company", "not closed"),
        (b'"a,b,c', "role", "not closed"),
        (b'a,"b""', "company", "not closed"),
        (b'a,b,"', "bio", "not closed"),
        (b'a,b,"c",  "', None, "more cells"),
        (b"a,\xffb,c", "company", "encoding"),
        (b"a,b,\xc3", "bio", "encoding"),
    ],
)
@every_row("good", ["é,f,g\n", '"é","f","g"\n', '"é","f\nf",""\n'])
def test_a_bad_row_costs_no_other(bad: bytes, column: str | None, word: str, good: str) -> None:
    """A bad row is reported with row number and column, and the rows around it go in."""
    rows, rejected, _ = read(b"role,company,bio\n" + good.encode() + bad + b"\n" + good.encode() * 2)
    assert [row.row for row in rows] == [2, 4, 5]
    assert {row.role for row in rows} == {"é"}
    assert [(item.row, item.column) for item in rejected] == [(3, column)]
    assert word in rejected[0].reason


LONG = b"x" * (MAX_FIELD + 1)


@pytest.mark.parametrize(
    ("bad", "column", "word"),
    [
        (b"a,b," + LONG, "bio", "1,000,000"),
        (b'a,"' + LONG + b'"', "company", "1,000,000"),
        (b'a,"' + LONG, "company", "1,000,000"),
        (b"x" * 9_000_000, "role", "1,000,000"),
        (b'a,"' + b"x" * 9_000_000 + b'",b', "company", "1,000,000"),
        (b",".join([b"x" * 990_000] * 9), None, "row is longer"),
    ],
    ids=["plain", "quoted", "unclosed", "plain, beyond a record", "quoted, beyond a record", "many cells"],
)
def test_a_huge_row_costs_no_other(bad: bytes, column: str | None, word: str) -> None:
    """A cell or row too long to hold is reported, and the rows around it go in."""
    rows, rejected, _ = read(b"role,company,bio\nc,d,e\n" + bad + b"\r\nf,g,h\n")
    assert [(row.row, row.role) for row in rows] == [(2, "c"), (4, "f")]
    assert [(item.row, item.column) for item in rejected] == [(3, column)]
    assert word in rejected[0].reason


def test_a_quote_never_closed() -> None:
    """Where no closing quote comes within the limit, the rows that it swallowed are read after all."""
    rows, rejected, _ = read(b'role,company\na,"b\n' + b"c,d\n" * 251_000)
    assert [(item.row, item.column) for item in rejected] == [(2, "company")]
    assert "not closed" in rejected[0].reason
    assert (len(rows), rows[0].row, rows[-1].row) == (251_000, 3, 251_002)


def test_long_cells_up_to_the_limit_go_in() -> None:
    """A cell of exactly the limit is taken, plain, quoted or over many lines."""
    lines = "y\n" * (MAX_FIELD // 2 - 1) + "yy"
    data = f'role,company,bio\n{"x" * MAX_FIELD},"{"x" * MAX_FIELD}","{lines}"\na,b,c\n'
    rows, rejected, _ = read(data.encode())
    assert [len(cell) for cell in (rows[0].role, rows[0].company, rows[0].linkedin_bio)] == [MAX_FIELD] * 3
    assert (len(rows), rows[1].row, rejected) == (2, 3, [])


def test_reasons_never_quote_the_row() -> None:
    """A rejection says nothing of what the row holds."""
    _, rejected, _ = read(b'role,company\nSECRET,"SECRET\nSECRET,b,SECRET\nSECRET\0,c\n')
    assert len(rejected) == 3
    assert "SECRET" not in "".join(item.reason for item in rejected)


def test_windows_1252() -> None:
    """What is no UTF-8 is read by its letters; where they leave no doubt, nobody is asked to look."""
    rows, rejected, warnings = read(b"role,company\nCTO,M\xfcller\nCEO,\x80 Caf\xe9\n")
    assert [row.company for row in rows] == ["Müller", "€ Café"]
    assert rejected == []
    assert not any("windows" in warning for warning in warnings)


def test_windows_1252_begins_late() -> None:
    """A hundred thousand ASCII rows before the first umlaut change nothing."""
    rows, _, _ = read(b"role,company\n" + b"CTO,Acme\n" * 100_000 + b"CEO,M\xfcller\n")
    assert (rows[-1].row, rows[-1].company) == (100_002, "Müller")


def test_a_byte_that_windows_1252_lacks() -> None:
    """Windows-1252 has holes; a byte in one costs its row."""
    names = b"J\xfcrgen Sch\xe4fer,a\nK\xe4the M\xfcller,\x81\nBj\xf6rn Gro\xdf,d\n"
    rows, rejected, _ = read(b"role,company\n" + names)
    assert [row.role for row in rows] == ["Jürgen Schäfer", "Björn Groß"]
    assert [(item.row, item.column) for item in rejected] == [(3, "company")]


def test_a_marked_file_is_never_windows_1252() -> None:
    """A byte order mark settles that the file is UTF-8, so a damaged byte costs its row."""
    rows, rejected, warnings = read(codecs.BOM_UTF8 + b"role,company\na,\xfc\nb,c\n")
    assert ([row.row for row in rows], [item.row for item in rejected]) == ([3], [2])
    assert not any("windows-1252" in warning for warning in warnings)


@every_row(
    ("data", "status", "word"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), 415, "(.xls)"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", 415, "PDF"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 415, "image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", 415, "image"),
        (b"GIF89a", 415, "image"),
        (b"7z\xbc\xaf'\x1c" + bytes(9), 415, "archive"),
        (b"\n <!DOCTYPE html><html>", 415, "web page"),
        (b"<html lang=en>", 415, "web page"),
        (b"<table><tr><td>role</td></tr></table>", 415, "web page"),
        ("<!doctype html>".encode("utf-16"), 415, "web page"),
        (b'<?xml version="1.0"?><Workbook>', 415, "XML"),
        (b'{"role": "CTO"}', 415, "JSON"),
        (b'[{"role": "CTO"}]', 415, "JSON"),
        (b"\x7fELF\x02\x01\x01" + bytes(100), 415, "binary"),
        (bytes(range(256)) * 4, 415, "binary"),
        ("role,company\nCTO,Acme\n".encode("utf-16") + b"x", 400, "damaged"),
        (codecs.BOM_UTF16_LE + b"\0\xdc,\0", 400, "damaged"),
        (b"", 400, "empty"),
        (codecs.BOM_UTF8, 400, "empty"),
        (codecs.BOM_UTF16_LE, 400, "empty"),
        (b"\r\n \n,,\n", 400, "empty"),
        (b"sep=;\n", 400, "empty"),
        (b"role" * 500_000, 400, "header"),
    ],
)
def test_what_is_no_csv(data: bytes, status: int, word: str) -> None:
    """Another kind of file is refused with 415, a damaged or empty one with 400, each in its own words."""
    refused = refusal(data)
    assert refused.status == status
    assert word in refused.reason


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"role,company\n", "no rows"),
        (b"role,company", "no rows"),
        (b"role,company\n\n,\n", "no rows"),
        (b"name,location\nAnn,Rome\n", "role, company or industry"),
        (b'"role,company\nCTO,Acme\n', "header is not closed"),
        (b"role" + b",x" * 1000 + b"\nCTO\n", "1,001 columns"),
    ],
)
def test_a_csv_of_no_use(data: bytes, word: str) -> None:
    """A CSV without rows or without a column to score by is refused with 422."""
    refused = refusal(data)
    assert refused.status == 422
    assert word in refused.reason


def test_a_file_of_bad_rows_alone_is_not_header_only() -> None:
    """Where all rows are bad they are reported, not hidden behind a refusal."""
    rows, rejected, _ = read(b"role,company\na,b,c\n")
    assert (rows, len(rejected)) == ([], 1)


def test_one_nul_near_the_top_is_a_bad_row() -> None:
    """A NUL below the header does not turn a CSV into a binary file."""
    rows, rejected, _ = read(b"role,company\na\0,b\nc,d\n")
    assert ([row.row for row in rows], [item.row for item in rejected]) == ([3], [2])


def test_memory_does_not_grow_with_the_file() -> None:
    """Of thirty megabytes without a line end, at most one record's worth is held."""
    reader = CsvReader()
    assert [*reader.feed(HEADER)] == []
    megabyte = b"x" * 1_000_000
    tracemalloc.start()
    try:
        found = [item for _ in range(30) for items in reader.feed(megabyte) for item in items]
        found += [item for items in reader.finish() for item in items]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 1
    assert peak < 30_000_000
