"""The words that column titles are made of, in many languages, and what each stands for."""

import re
import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

UNKNOWN = "unknown"
"""What a word stands for that no list has."""

_WORD = re.compile(r"[^\W_]+")
# "jobTitle" and "HQLocation" are two words each.
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_EAST_ASIAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_UNMARKED = str.maketrans("łøđı", "lodi")  # whose marks are part of the letter in Unicode
_SHORTEST_PART = 3
_LONGEST_TITLE = 200


def fold(text: str) -> str:
    """Return text without case, accents and the marks of vowels: 'Société' and 'SOCIETE' are one."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_UNMARKED))
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", plain)  # or each sign of Korean would be several


def words_of(title: str) -> list[str]:
    """Return the folded words of a column title, those written together as one."""
    words: list[str] = []
    for word in _WORD.findall(title[:_LONGEST_TITLE]):
        parts = [word] if fold(word) in _vocabulary() else _HUMP.split(word)
        words += [fold(part) for part in parts]
    return words


def concepts_of(title: str) -> list[str]:
    """Return what the words of a column title stand for, in order: the names of the tables in the data file.

    The longest phrase wins. A word that no list has is taken apart where it is made of known ones
    ("companyname"), else it is `UNKNOWN`.
    """
    words = words_of(title)
    found: list[str] = []
    at = 0
    while at < len(words):
        length, concepts = _longest_phrase(words, at)
        found += concepts
        at += length
    return found


@cache
def header_words() -> frozenset[str]:
    """Return every word and phrase that a column title may be, without capitals and accents."""
    return frozenset(word.replace("_", " ") for word in _vocabulary())


def _longest_phrase(words: list[str], at: int) -> tuple[int, list[str]]:
    vocabulary = _vocabulary()
    for length in range(min(4, len(words) - at), 1, -1):
        concept = vocabulary.get("_".join(words[at : at + length]))
        if concept:
            return length, [concept]
    word = words[at]
    if word.isdigit():
        return 1, []
    return 1, [vocabulary[word]] if word in vocabulary else _parts(word)


@cache
def _parts(word: str) -> list[str]:
    """Take a word apart into known ones, the fewest; [UNKNOWN] where that cannot be done."""
    vocabulary = _vocabulary()
    shortest = 1 if _EAST_ASIAN.search(word) else _SHORTEST_PART
    best: list[list[str] | None] = [[]]
    for end in range(1, len(word) + 1):
        ways = [
            [*before, vocabulary[word[start:end]]]
            for start in range(max(0, end - 20), end - shortest + 1)
            if (before := best[start]) is not None and word[start:end] in vocabulary
        ]
        best.append(min(ways, key=len, default=None))
    return best[-1] or [UNKNOWN]


@cache
def _vocabulary() -> Mapping[str, str]:
    """Return what each word or phrase stands for."""
    data = files(__package__).joinpath("header_words.toml").read_text(encoding="utf-8")
    vocabulary: dict[str, str] = {}
    for concept, languages in tomllib.loads(data).items():
        for words in languages.values():
            for word in words.split():
                vocabulary.setdefault(fold(word), concept)
    return vocabulary
