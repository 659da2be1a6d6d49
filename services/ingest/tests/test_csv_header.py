"""Finding the header of a file, and the columns that a person names."""

from contextlib import closing

import pytest

from leadline_ingest.prospects.table import CsvReader, CsvRefused, ProspectRow, Rejection
from leadline_ingest.prospects.table.matching import Mapped


def read(text: str, mapped: Mapped | None = None) -> tuple[list[ProspectRow], list[Rejection], CsvReader]:
    reader = CsvReader(mapped)
    with closing(reader.file):
        found = [item for items in (*reader.feed(text.encode()), *reader.finish()) for item in items]
    rows = [item for item in found if isinstance(item, ProspectRow)]
    return rows, [item for item in found if isinstance(item, Rejection)], reader


def taken(text: str, mapped: Mapped | None = None) -> dict[str, str]:
    return read(text, mapped)[2].rows.columns.taken


def counted(reader: CsvReader, out: int) -> tuple[int, int]:
    """How many rows there were and how many hold no prospect; the others must have come out."""
    assert reader.rows.count == out + reader.rows.blank
    return reader.rows.count, reader.rows.blank


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Title,Job Function,Company", {"role": "Title", "company": "Company"}),
        ("Job Function,Title", {"role": "Title"}),
        ("Company Location,City,Country,Role", {"role": "Role", "location": "City + Country"}),
        ("Company City,Company Country,Role", {"role": "Role", "location": "Company City + Company Country"}),
        ("Name,First Name,Job", {"name": "First Name + Name", "role": "Job"}),
        ("Naam,Voornaam,Functie", {"name": "Voornaam + Naam", "role": "Functie"}),
        ("Nome,Cognome,Ruolo", {"name": "Nome + Cognome", "role": "Ruolo"}),
        ("姓,名,職位", {"name": "名 + 姓", "role": "職位"}),
        ("Anrede,Titel,Vorname,Nachname,Firma", {"name": "Vorname + Nachname", "company": "Firma"}),
        ("Navn,Titel,Virksomhed", {"name": "Navn", "role": "Titel", "company": "Virksomhed"}),
        ("Company Name,Company Name for Emails,Title", {"company": "Company Name", "role": "Title"}),
        (
            "Deal - Title,Person - Name,Organization - Name",
            {"name": "Person - Name", "company": "Organization - Name"},
        ),
    ],
)
def test_which_columns_are_taken(header: str, expected: dict[str, str]) -> None:
    """The better of two columns is taken, none for two fields, and what makes one field is joined."""
    assert (
        taken(f"{header}\nx,x,x,x,x\n".replace(",x" * (5 - header.count(",") - 1) + "\n", "\n")) == expected
    )


def test_a_person_names_the_columns() -> None:
    """A mapping overrules the guess, joins several columns, and may say that a field has none."""
    text = "What we call it,Title,Company,Given,Family\nBuyer,Dr,Acme,Ana,Prado\n"
    mapped = {"role": ["what we call it"], "name": ["Given", "Family"], "company": []}
    rows, _, reader = read(text, mapped)
    assert (rows[0].role, rows[0].name, rows[0].company) == ("Buyer", "Ana Prado", "")
    assert reader.rows.columns.taken == {"role": "What we call it", "name": "Given + Family"}
    assert rows[0].extra == {"Title": "Dr", "Company": "Acme", "Given": "Ana", "Family": "Prado"}


def test_a_mapping_may_name_columns_that_nothing_tells() -> None:
    """The header is found by the names of a mapping, also below title lines, where it has no known word."""
    rows, _, _ = read("Leads\n\nA,B\nCEO,Acme\n", {"role": ["A"], "company": ["B"]})
    assert [(row.row, row.role, row.company) for row in rows] == [(4, "CEO", "Acme")]


def test_a_mapping_to_a_missing_column_is_refused() -> None:
    """The refusal says which column is missing, which is meant perhaps, and which there are."""
    with pytest.raises(CsvRefused) as caught:
        read("Current Job,Company\nCEO,Acme\n", {"role": ["Curent Job"]})
    assert caught.value.status == 422
    assert caught.value.reason == (
        "The file has no column 'Curent Job', which the mapping names for role. Did you mean 'Current Job'? "
        "Its columns are: Current Job, Company."
    )


def test_what_is_missing_is_said_with_the_columns_there_are() -> None:
    """Without a role or an industry the warning names the columns, and how to say which is meant."""
    _, _, reader = read("Name,Company,Occupies\nAna,Acme,CEO\n")
    assert reader.warnings[0] == (
        "No column was taken for role and industry, so every prospect is scored without. If one holds it, "
        'say which: map={"role": "<column>"} or --map role="<column>". '
        "The columns are: Name, Company, Occupies."
    )


@pytest.mark.parametrize(
    ("above", "row"),
    [
        ('Notes:\n"When exporting your connection data, you may notice that\nsome are missing."\n\n', 4),
        ("Leads by company and industry\n\n", 3),
        ("Report, Leads, company,2026-11-28\nFiltered by: Region = EMEA\n\n\n", 5),
        (";;;;\n", 2),
        ("\n\n", 3),
        ("Exported on 28.11.2026;;;;\n;;;;\n", 3),
    ],
)
def test_title_lines_above_the_header(above: str, row: int) -> None:
    """The header is found below titles, notes and filters, and rows keep the numbers of the sheet."""
    for delimiter in ",;\t|":
        header = "First Name,Last Name,Email Address,Company,Position".replace(",", delimiter)
        text = f"{above}{header}\n{delimiter.join(['Ana', 'Prado', 'a@x.io', 'Acme', 'CEO'])}\n"
        rows, rejected, reader = read(text)
        assert [(found.row, found.name, found.role) for found in rows] == [(row + 1, "Ana Prado", "CEO")], (
            delimiter
        )
        assert rejected == []
        assert any("above it" in warning for warning in reader.warnings) == any(above.strip("; \n"))


@pytest.mark.parametrize(
    "again",
    ["Name,Job Title,Company", "name,JOB TITLE,company", "Full name,Position,Firm", "Vorname,Rolle,Firma"],
)
def test_a_header_again_is_no_prospect(again: str) -> None:
    """Where files were put together, the second header is left out with a warning, in other words too."""
    rows, _, reader = read(f"Name,Job Title,Company\nAna,CEO,Acme\n{again}\nBob,CTO,Beta\n")
    assert [found.row for found in rows] == [2, 4]
    assert counted(reader, 2) == (3, 1)
    assert reader.warnings[-1].startswith("Row 3 (")


def test_a_second_header_in_another_order() -> None:
    """Rows below a header whose columns moved are rejected, since they would be read into wrong fields."""
    rows, rejected, reader = read("Name,Title,Company\nAna,CEO,Acme\nCompany,Name,Title\nBeta,Bob,CTO\n")
    assert [found.name for found in rows] == ["Ana"]
    assert [(one.row, one.cells) for one in rejected] == [(4, ("Beta", "Bob", "CTO"))]
    assert "second header, in row 3" in rejected[0].reason
    assert counted(reader, 2) == (3, 1)


@pytest.mark.parametrize(
    "line", ["Response,Open-Ended Response,Response", '{"ImportId":"QID1"},,{"ImportId":"QID2"}']
)
def test_a_second_header_row(line: str) -> None:
    """What survey tools write below the header is no prospect."""
    quoted = ",".join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in line.split(","))
    rows, _, reader = read(f"Name,Job Title,Company\n{quoted}\nAna,CEO,Acme\n")
    assert [found.name for found in rows] == ["Ana"]
    assert counted(reader, 1) == (2, 1)


@pytest.mark.parametrize(
    "footer",
    [
        'Total,,,\n"Copyright (c) 2000-2026 salesforce.com, inc. All rights reserved."\n'
        "Confidential Information - Do Not Distribute\n"
        "Generated By: Jane Doe 11/26/2026 4:12 PM\nSalesforce\n",
        "\nMy report\nCopyright © 2026 Acme\n",
        "\nGrand Totals (2 records),,,\n",
        "Total,,,2\n",
        "-----,----,---,----\n2 records\n",
        ",,,\nErstellt von Max am 3.4.2026\nAnzahl Datensätze: 2\n",
        "Page 1 of 1\n",
        "Итого: 2\n",
    ],
)
def test_report_footers(footer: str) -> None:
    """Copyright, totals, who made it and how many records there are, are no prospects and are named."""
    rows, rejected, reader = read(f"Name,Title,Company,Amount\nAna,CEO,Acme,1\nBob,CTO,Beta,2\n{footer}")
    assert [found.name for found in rows] == ["Ana", "Bob"]
    assert rejected == []
    count, blank = counted(reader, 2)
    assert count - blank == 2
    assert "left out" in reader.warnings[-1]


@pytest.mark.parametrize(
    "row",
    [
        "TotalEnergies,CEO,Total,",
        "Total,CEO,x,",
        "Salesforce,,,",
        ",,Data by Design,",
        "\nAna,,,",
        "Count Basie,,,",
        ",Page,,",
        "Name,,Contact Ltd,",
        "-,CEO,Acme,",
        "Summary,Position Paper,Title Co,",
    ],
)
def test_prospects_that_look_like_something_else(row: str) -> None:
    """A person or company whose name has such words stays a prospect."""
    rows, rejected, _ = read(f"Name,Title,Company,Amount\nAna,CEO,Acme,1\n{row}\nBob,CTO,Beta,2\n")
    assert (len(rows), rejected) == (3, [])


def test_columns_without_or_with_the_same_title_come_back() -> None:
    """Each cell comes back under a title of its own."""
    rows, _, reader = read("role,,Note,Note,industry\nCEO,a,b,c,SaaS\n")
    assert reader.rows.columns.titles == ["role", "Column 2", "Note", "Note (2)", "industry"]
    assert rows[0].extra == {"Column 2": "a", "Note": "b", "Note (2)": "c"}
