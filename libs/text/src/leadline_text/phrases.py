"""Free text as words: folding, tokens, and finding known phrases, the longest first, in one pass."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from typing import Generic, TypeVar

T = TypeVar("T")

SEPARATORS = frozenset({"and", ",", "/", "-", "(", ")", "|"})

_TOKEN = re.compile(
    r"(?:[^\W\d_]\.-?){2,}[^\W\d_]?(?!\w)"  # C.E.O., P.-D.G.
    r"|['\u2019][sS]\b|\b[dDlL]['\u2019]"
    r"|[^\W_]+"
    r"|[,/|;•·&+()@:\n\u2013\u2014]|(?<=\s)-(?=\s)"
)
_AS_WORD = {
    "&": "and", "+": "and", "und": "and", "et": "and", "y": "and",
    ";": "|", "•": "|", "·": "|", "\n": "|",
    ":": "-", "\u2013": "-", "\u2014": "-", "@": "at",
}  # fmt: skip
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_ALTERNATIVES = re.compile(r"\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Text:
    """`words[i]` is the folded word or separator found at `source[spans[i][0]:spans[i][1]]`."""

    source: str
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]

    def quote(self, start: int, stop: int) -> str:
        """The words from `start` up to, not including, `stop`, as they were written."""
        return self.source[self.spans[start][0] : self.spans[stop - 1][1]]


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A known phrase at words[start:stop]."""

    start: int
    stop: int
    value: T


def fold(word: str) -> str:
    """`word` without case, accents and the dots of an abbreviation."""
    if word.isascii():
        return (
            word.lower()
            if word.isalnum() or len(word) == 1
            else word.lower().replace(".", "").replace("-", "")
        )
    plain = unicodedata.normalize("NFKD", word.casefold())
    return "".join(c for c in plain if not unicodedata.combining(c) and c not in ".-").casefold()


def read_text(text: str) -> Text:
    """Splits `text` into folded words; signs that separate two statements become one of SEPARATORS."""
    source = text if text.isascii() else unicodedata.normalize("NFKC", text)
    words: list[str] = []
    spans: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(source):
        raw = token.group().replace("\u2019", "'")
        word = _AS_WORD.get(raw) or fold(raw)
        if word == "e" and words and source[token.end() : token.end() + 1] == " ":
            word = "and"  # Portuguese; the e of e-commerce stays a letter
        words.append(_AS_WORD.get(word, word))
        spans.append(token.span())
    return Text(source, tuple(words), tuple(spans))


def expand(notation: str) -> list[str]:
    """Spellings of a phrase of the data files, where "(a|b)" means either and "(a)" means with or without.

    A phrase with an umlaut is also given with ae, oe, ue: "gründer(in)" makes four spellings.
    """
    parts = _ALTERNATIVES.split(notation.lower())
    choices = [
        [part] if index % 2 == 0 else part.split("|") if "|" in part else ["", part]
        for index, part in enumerate(parts)
    ]
    spellings = ["".join(choice) for choice in product(*choices)]
    return list(dict.fromkeys(spellings + [spelling.translate(_GERMAN) for spelling in spellings]))


class Phrases(Generic[T]):
    """Known phrases, found by whole words only. Where two overlap, the longer masks the words of the other.

    `endings` are the last parts of compounds written as one word (German "Vertriebsleiter"); they count
    where the whole word is no phrase of its own. Raises ValueError for a phrase with two values.
    """

    def __init__(self, phrases: Iterable[tuple[str, T]], endings: Iterable[tuple[str, T]] = ()) -> None:
        self._phrases: dict[str, T] = {}
        self._longest: dict[str, int] = {}
        for phrase, value in phrases:
            words = read_text(phrase).words
            key = " ".join(words)
            if self._phrases.setdefault(key, value) != value:
                raise ValueError(f"the phrase {key!r} is listed with two meanings: keep one")
            self._longest[words[0]] = max(len(words), self._longest.get(words[0], 0))
        self._endings = {fold(ending): value for ending, value in endings}
        self._ending_lengths = sorted({len(ending) for ending in self._endings}, reverse=True)

    def find(self, words: Sequence[str]) -> list[Found[T]]:
        """The phrases in `words`, none overlapping, in the order of the text."""
        candidates = [found for start in range(len(words)) for found in self._at(words, start)]
        if len(candidates) < 2:
            return candidates
        candidates.sort(key=lambda found: found.start - found.stop)
        taken: set[int] = set()
        chosen = []
        for found in candidates:
            places = range(found.start, found.stop)
            if taken.isdisjoint(places):
                taken.update(places)
                chosen.append(found)
        return sorted(chosen, key=attrgetter("start"))

    def _at(self, words: Sequence[str], start: int) -> list[Found[T]]:
        longest = self._longest.get(words[start], 0)
        found = []
        for stop in range(start + 1, min(start + longest, len(words)) + 1):
            phrase = words[start] if stop == start + 1 else " ".join(words[start:stop])
            if phrase in self._phrases:
                found.append(Found(start, stop, self._phrases[phrase]))
        if self._endings and not (found and found[0].stop == start + 1):
            found.extend(self._compound(words[start], start))
        return found

    def _compound(self, word: str, start: int) -> list[Found[T]]:
        for length in self._ending_lengths:
            if length < len(word) and word[-length:] in self._endings:
                return [Found(start, start + 1, self._endings[word[-length:]])]
        return []
