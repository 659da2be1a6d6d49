"""What counts as nothing said, and what does not."""

from leadline_testing.tables import every_row
from leadline_text.placeholders import is_missing


@every_row(
    "text",
    [
        "",
        "  ",
        "\u200b",
        "N/A",
        "n/a",
        " NA ",
        "-",
        "--",
        "—",
        "?",
        "...",
        "null",
        "None",
        "UNKNOWN",
        "&nbsp;",
        "#REF!",
        "#N/A",
        "(blank)",
        "not provided",
        "keine Angabe",
        "Inconnu",
        "нет данных",
        "不明",
        "\xa0-\xa0",
    ],
)
def test_nothing_is_said(text: str) -> None:
    """However a tool writes that a cell is empty, it counts as missing."""
    assert is_missing(text)


@every_row(
    "text",
    [
        "CEO",
        "Nanna",
        "None Ltd",
        "NA Partners",
        "Unknown Worlds",
        "Null & Void GmbH",
        "X",
        "3",
        "東京",
        "Brakes",
        "N/A Coffee",
        "no data centre",
        "x" * 100000,
    ],
)
def test_something_is_said(text: str) -> None:
    """A word of a placeholder within a text is part of the text."""
    assert not is_missing(text)
