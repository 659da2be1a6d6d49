"""Finding known phrases among words."""

import pytest

from leadline_text.phrases import Phrases
from leadline_text.tokens import MESSAGES


def test_phrases_mind_gaps_prefixes_and_the_longest() -> None:
    """The longest phrase masks the words of the others; a gap ends with its clause."""
    book = Phrases(
        [("my ~ order", "order"), ("cancel*", "cancel"), ("cancel my", "both"), ("order", "bare")],
        read=MESSAGES.read,
        clause_ends=MESSAGES.clause_ends,
    )
    assert [hit.value for hit in book.find(["my", "last", "big", "order"])] == ["order"]
    assert [hit.value for hit in book.find(["my", ",", "order"])] == ["bare"]
    assert [hit.value for hit in book.find(["cancelled"])] == ["cancel"]
    assert [hit.value for hit in book.find(["cancel", "my"])] == ["both"]


@pytest.mark.parametrize("phrase", ["~ order", "order ~", "a ~ b ~ c ~ d", "abc*", ""])
def test_phrases_that_would_match_too_much_are_refused(phrase: str) -> None:
    """A slip in a data file is an error at loading, with the phrase in it."""
    with pytest.raises(ValueError, match="a p"):
        Phrases([(phrase, True)])


def test_a_phrase_with_two_meanings_is_refused_unless_that_is_wanted() -> None:
    """A slip in a data file is an error; where several values are allowed, all are given in their order."""
    listed = [("cancel(led)", 1), ("Cancel", 2)]
    with pytest.raises(ValueError, match="'cancel' is listed with two meanings"):
        Phrases(listed)
    (found,) = Phrases(listed, several=True).find(["cancel"])
    assert (found.values, found.value) == ((1, 2), 1)


def test_the_end_of_a_compound_counts_where_the_word_is_no_phrase() -> None:
    """German compounds are found by their last part, but a word that is listed is that word."""
    phrases = Phrases([("Mitarbeiter", "staff")], [("leiter", "lead"), ("arbeiter", "worker")])
    assert [hit.value for hit in phrases.find(["vertriebsleiter", "mitarbeiter"])] == ["lead", "staff"]
