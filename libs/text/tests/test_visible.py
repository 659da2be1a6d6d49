"""Characters that nobody sees."""

import pytest

from leadline_text.tokens import MESSAGES, read_text
from leadline_text.visible import visible

HIDDEN = (
    "\u00ad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202e\u2060\u2063\u2066\u2069\u3164"
    "\ufe0f\ufeff\U000e0041\U000e0100"
)


@pytest.mark.parametrize("hidden", HIDDEN, ids=lambda hidden: f"U+{ord(hidden):04X}")
def test_what_leaves_no_mark_is_not_read(hidden: str) -> None:
    """A hidden character within a word or around it changes no word of a field or a message."""
    text = f"{hidden}C{hidden}EO{hidden}"
    assert visible(text) == "CEO"
    assert read_text(text).words == MESSAGES.read(text).words == ("ceo",)


@pytest.mark.parametrize("space", "\u00a0\u1680\u2002\u2009\u202f\u205f\u3000\u2800", ids=ascii)
def test_every_space_is_a_blank(space: str) -> None:
    """A space of another width separates words as a blank does."""
    assert visible(f"Head{space}of{space}IT") == "Head of IT"
    assert read_text(f"Head{space}of{space}IT").words == ("head", "of", "it")
    assert read_text(f"CEO{space}-{space}Acme").words == ("ceo", "-", "acme")


@pytest.mark.parametrize("word", ["می\u200cخو\u200cهم", "क्\u200dष", "ක්\u200dෂ"])  # noqa: RUF001 - Persian
def test_a_joiner_stays_where_a_script_spells_with_it(word: str) -> None:
    """Persian, Hindi and Sinhala words keep their joiners; at the edge of a word nothing is joined."""
    assert visible(word) == word
    assert visible(f"\u200d{word}\u200c") == word


def test_other_text_is_unchanged() -> None:
    """Accents, emoji, line ends and other scripts are seen, so they stay."""
    text = "Zoë Müller\r\n\tМосква 董事长 ٣ 👩 e\u0301"  # noqa: RUF001 - Russian
    assert visible(text) == text
