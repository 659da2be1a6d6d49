"""What column titles are taken for: those the word lists were made by, and those kept apart from them."""

from pathlib import Path

import pytest

from leadline_ingest.prospects.table.meaning import meaning_of

DATA = Path(__file__).parent / "data"


def misses(name: str) -> tuple[list[str], int]:
    """Each title of a labelled list that is read as something else, and how many titles the list has."""
    rows = [line.split("\t") for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
    read = {title: meaning.field if (meaning := meaning_of(title)) else "-" for title, _ in rows}
    return [f"{title!r}: {read[title]}, not {label}" for title, label in rows if read[title] != label], len(
        rows
    )


def test_fitted_titles() -> None:
    """Every title that the word lists were made for means what it says, in all its languages."""
    assert misses("column_titles.tsv") == ([], 428)


def test_held_out_titles() -> None:
    """Of titles that nobody looked at while making the lists, nearly all are read right."""
    wrong, total = misses("column_titles_held_out.tsv")
    assert len(wrong) <= 0.1 * total, wrong


@pytest.mark.parametrize(
    ("plainer", "vaguer"),
    [
        ("Job Title", "Title"),
        ("Title", "Job Function"),
        ("Position", "Job"),
        ("Company Name", "Account"),
        ("Primary Industry", "Primary Sub-Industry"),
        ("Industry", "Market"),
        ("Location", "Company Location"),
        ("Contact Name", "Contact"),
        ("LinkedIn Bio", "Summary"),
    ],
)
def test_the_plainer_title_is_stronger(plainer: str, vaguer: str) -> None:
    """Of two titles for one field the plainer one is stronger, so that its column is taken."""
    strong, weak = meaning_of(plainer), meaning_of(vaguer)
    assert strong is not None
    assert weak is not None
    assert (strong.field, strong.strength > weak.strength) == (weak.field, True)
