"""A message as words: without links, quoted replies and signature, folded, and cut into clauses."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from leadline_text.clip import clip, one_line, printable
from leadline_text.phrases import Phrases
from leadline_text.tokens import CLAUSE_ENDS, MESSAGES, SENTENCE_ENDS, Text, fold_letters, plain_prose

T = TypeVar("T")

MAX_CHARACTERS = 20_000
_MOST_WORDS = 6_000  # prose of that length has about 4,500, signs included

_WRAPPED = re.compile(r"(?<=[^\n.!?:;,>])[ \t]{0,9}\n(?=[a-zà-öø-ÿ])")
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"]+"
    r"|(?<![\w.@+-])(?:[\w-]{1,63}\.){1,4}"
    r"(?:com|net|org|info|biz|ru|xyz|top|io|shop|online|click|link|site|live|club|vip|win|co|ly|me|app)"
    r"(?:/[^\s<>\"]*|(?![\w-]))",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")


@dataclass(frozen=True, slots=True)
class Message(Text):
    """A message as words.

    `plain` is `source` folded letter by letter, with blanks for links and addresses. `signed` is the line
    below a sign-off.
    """

    plain: str
    links: tuple[str, ...]
    signed: str | None = None

    def excerpt(self, start: int, stop: int, limit: int = 60) -> str:
        """The words from `start` up to, not including, `stop`, on one line of at most `limit` characters."""
        return excerpt(self.quote(start, stop), limit)

    def sentence(self, index: int) -> range:
        """The places of the sentence around a word."""
        return self._around(index, SENTENCE_ENDS)

    def clause(self, index: int) -> range:
        """The places of the clause around a word."""
        return self._around(index, CLAUSE_ENDS)

    def index_at(self, position: int) -> int:
        """The index of the first word that ends after a position of `source`, or the number of words."""
        low, high = 0, len(self.spans)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.spans[middle][1] <= position else (low, middle)
        return low

    def _around(self, index: int, ends: frozenset[str], reach: int = 40) -> range:
        start, stop = index, index + 1
        while start > 0 and self.words[start - 1] not in ends and index - start < reach:
            start -= 1
        while stop < len(self.words) and self.words[stop] not in ends and stop - index < reach:
            stop += 1
        return range(start, stop)


def excerpt(text: str, limit: int) -> str:
    """Return the beginning of `text` on one printable line of at most `limit` characters."""
    return clip(one_line(printable(text[: 4 * limit])), limit, "...", trim=True)


def normalise(text: str) -> str:
    """The first 20,000 characters of `text` in one spelling: compatibility forms plain, nothing hidden."""
    return plain_prose(text[:MAX_CHARACTERS])[:MAX_CHARACTERS]


def words_of(text: str) -> tuple[str, ...]:
    """The folded words and signs of a phrase, or of the first 20,000 characters of a text."""
    return MESSAGES.cut(fold_letters(normalise(text)))[0]


def phrase_book(phrases: Iterable[tuple[str, T]]) -> Phrases[T]:
    """Phrases to find in messages; one that is listed for several values gives them all."""
    return Phrases(phrases, read=MESSAGES.read, clause_ends=MESSAGES.clause_ends, several=True)


def read_body(body: str, signed: str | None = None) -> Message:
    """Reads normalised text whose quoted replies and signature are gone."""
    source = _WRAPPED.sub(lambda found: " " * len(found.group()), body)
    links = tuple(found.group() for found in _LINK.finditer(source))
    bare = _blank(_LINK, _blank(_ADDRESS, source))
    plain = fold_letters(bare)
    words, spans = MESSAGES.cut(plain, _MOST_WORDS)
    return Message(source, words, spans, plain, links, signed)


def letters(words: Sequence[str]) -> list[str]:
    """The words that are words, not signs or numbers."""
    return [word for word in words if word[0].isalpha()]


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda found: " " * len(found.group()), text)
