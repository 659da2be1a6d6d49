"""Cutting text into words, as a field and as a message."""

from leadline_text.tokens import FIELDS, MESSAGES, read_text


def test_the_words_of_a_field() -> None:
    """Abbreviations are one word, and signs that separate two statements have one spelling."""
    text = read_text("C.E.O. & Gesch\u00e4ftsf\u00fchrer \u2013 Stra\u00dfenbau; IT")
    assert text.words == ("ceo", "and", "geschaftsfuhrer", "-", "strassenbau", "|", "it")
    assert text.quote(0, 3) == "C.E.O. & Gesch\u00e4ftsf\u00fchrer"


def test_the_words_of_a_message() -> None:
    """Signs that end a clause are kept, stretched letters are one, and accents do not matter."""
    words = MESSAGES.read("Sooo\u200b sch\u00f6n!!! A 1.5, b \u2014 c").words
    assert words == ("so", "schon", "!", "a", "1", "5", ",", "b", "-", "c")


def test_portuguese_and_is_no_letter() -> None:
    """Between two words "e" joins; alone, first or before a hyphen it is a letter."""
    assert read_text("diretor e fundador").words == ("diretor", "and", "fundador")
    assert read_text("e commerce, e-commerce").words == ("e", "commerce", ",", "e", "commerce")


def test_no_more_words_than_asked_for() -> None:
    """A very long text is read by its beginning."""
    assert FIELDS.cut("a b c", 2) == (("a", "b"), ((0, 1), (2, 3)))
