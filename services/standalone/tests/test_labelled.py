"""How a labelled file is read."""

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_ingest.prospects.table import CsvReader, CsvRefused, ProspectRow
from leadline_standalone.labelled import Labelled, read_labelled

from .conftest import EXAMPLES


def read(text: str) -> Labelled:
    """Read a file of this text."""
    return read_labelled(text.encode())


def test_columns_are_known_by_the_names_an_upload_knows() -> None:
    """Another language, another order and another delimiter are understood, and the label in any case."""
    read_file = read("Intent;Firma;Funktion;Branche\nHIGH;Nordlicht;Geschäftsführer;IT\nlow;Hof;Bauer;IT\n")
    assert [(row.row, row.label, row.lead.role, row.lead.company) for row in read_file.rows] == [
        (2, "High", "Geschäftsführer", "Nordlicht"),
        (3, "Low", "Bauer", "Hof"),
    ]
    assert not any("intent" in warning.casefold() for warning in read_file.warnings)


def test_a_row_without_a_known_label_is_named_and_the_rest_goes_on() -> None:
    """Empty, cut off and unknown labels name row and column, an unreadable row its row; nothing is quoted."""
    read_file = read(
        "role,company,My,Intent\nCTO,A,,High\nCEO,B,,\nVP,C\nCIO,D,,Perhaps\nCMO,E,,Low,x\n,,,Medium\n"
    )
    assert [row.row for row in read_file.rows] == [2]
    assert [(row.row, row.column) for row in read_file.rejected] == [
        (3, "Intent"),
        (4, "Intent"),
        (5, "Intent"),
        (6, None),
        (7, None),
    ]
    assert "High, Medium or Low" in read_file.rejected[0].reason
    assert "Perhaps" not in read_file.rejected[2].reason


def test_the_same_row_twice_is_two_leads() -> None:
    """Rows that are equal, label included, keep apart: each has an id of its own."""
    first, second = read("role,intent\nCEO,High\nCEO,High\n").rows
    assert first.lead.id != second.lead.id
    assert first.lead.model_copy(update={"id": second.lead.id}) == second.lead


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("role,company\nCEO,Acme\n", "no column intent"),
        ("name,intent\nAnn,High\n", "No column was recognised as role, company or industry"),
        ("", "empty"),
        ("PK\x03\x04", "archive is damaged"),
    ],
)
def test_a_file_of_no_use_is_refused(text: str, said: str) -> None:
    """A file without labels, without anything to score, or that is no CSV says so as a whole."""
    with pytest.raises(CsvRefused, match=said):
        read(text)


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=8), st.sampled_from([",", ";", "\t"]))
def test_a_labelled_file_is_read_as_an_upload_is(cells: list[tuple[str, str]], delimiter: str) -> None:
    """Whatever stands in the cells, the prospects are those of an upload of the same file."""
    lines = [["role", "company", "intent"], *([*pair, "High"] for pair in cells)]
    quoted = [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines]
    data = "\r\n".join(quoted).encode("utf-8", "replace")
    reader = CsvReader()
    with closing(reader.file):
        rows = [row for rows in [*reader.feed(data), *reader.finish()] for row in rows]
    uploaded = [row for row in rows if isinstance(row, ProspectRow)]
    found = {row.row: (row.lead.role, row.lead.company) for row in read_labelled(data).rows}
    assert found == {row.row: (row.role, row.company) for row in uploaded if row.role or row.company}


def test_the_example_is_whole() -> None:
    """The labelled example of the repository has 40 rows, each with a label, and each label often."""
    read_file = read_labelled((EXAMPLES / "labelled.csv").read_bytes())
    labels = [row.label for row in read_file.rows]
    assert (len(labels), read_file.rejected, read_file.warnings) == (40, [], [])
    assert min(labels.count(label) for label in ("High", "Medium", "Low")) >= 10
