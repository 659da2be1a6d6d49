"""A message as words: without links, quoted replies and signature, folded, and cut into clauses."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from leadline_text.clip import clip, one_line, printable

MAX_CHARACTERS = 20_000
_MOST_WORDS = 6_000  # prose of that length has about 4,500, signs included
_PIECE = 256  # a long run of combining marks takes quadratic time to normalise

SENTENCE_ENDS = frozenset({".", "!", "?", "\n", ";"})
CLAUSE_ENDS = SENTENCE_ENDS | {",", ":", "(", ")", "-"}

_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_WRAPPED = re.compile(r"(?<=[^\n.!?:;,>])[ \t]{0,9}\n(?=[a-zà-öø-ÿ])")
_TOKEN = re.compile(r"[^\W_]+|[.](?!\d)|,(?!\d)|[!?]+|\n+|[;:()%]|(?<=\s)[-\u2013](?=\s)|[\u2014\u2026]")
_SIGNS = {"!": "!", "?": "?", "\n": "\n", "\u2013": "-", "\u2014": "-", "\u2026": "."}
_STRETCHED = re.compile(r"([^\W\d])\1{2,}")
_LINK = re.compile(
    r"(?:https?://|www\.)[^\s<>\"]+"
    r"|(?<![\w.@+-])(?:[\w-]{1,63}\.){1,4}"
    r"(?:com|net|org|info|biz|ru|xyz|top|io|shop|online|click|link|site|live|club|vip|win|co|ly|me|app)"
    r"(?:/[^\s<>\"]*|(?![\w-]))",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}")


def _base_letters() -> dict[int, str]:
    table = {ord("ß"): "s", ord("æ"): "a", ord("œ"): "o", ord("ø"): "o", ord("ł"): "l", ord("đ"): "d"}
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        letter = unicodedata.normalize("NFD", chr(code))[0]
        if letter.isascii():
            table.setdefault(code, letter)
    return table


_BASE_LETTERS = _base_letters()


@dataclass(frozen=True, slots=True)
class Message:
    """`words[i]` is the folded word or the sign at `source[spans[i][0]:spans[i][1]]`.

    `plain` is `source` folded letter by letter, with blanks for links and addresses. `signed` is the line
    below a sign-off.
    """

    source: str
    plain: str
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    links: tuple[str, ...]
    signed: str | None = None

    def quote(self, start: int, stop: int, most: int = 60) -> str:
        """The words from `start` up to, not including, `stop`, on one line of at most `most` characters."""
        return excerpt(self.source[self.spans[start][0] : self.spans[stop - 1][1]], most)

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
    text = text[:MAX_CHARACTERS]
    if not text.isascii():
        pieces = range(0, len(text), _PIECE)
        text = "".join(unicodedata.normalize("NFKC", text[at : at + _PIECE]) for at in pieces)
        text = _HIDDEN.sub("", text).replace("\u0130", "I")[:MAX_CHARACTERS]
    return text.replace("\r\n", "\n").replace("\r", "\n")


def fold_letters(text: str) -> str:
    """`text` in small letters without accents, of the same length."""
    return text.lower().translate(_BASE_LETTERS)


def words_of(text: str) -> tuple[str, ...]:
    """The folded words and signs of a phrase."""
    return tuple(_word(token) for token in _TOKEN.findall(fold_letters(normalise(text))))


def read_body(body: str, signed: str | None = None) -> Message:
    """Reads normalised text whose quoted replies and signature are gone."""
    source = _WRAPPED.sub(lambda found: " " * len(found.group()), body)
    links = tuple(found.group() for found in _LINK.finditer(source))
    bare = _blank(_LINK, _blank(_ADDRESS, source))
    plain = fold_letters(bare)
    tokens = list(islice(_TOKEN.finditer(plain), _MOST_WORDS))
    known = {raw: _word(raw) for raw in {token.group() for token in tokens}}
    words = tuple(known[token.group()] for token in tokens)
    spans = tuple(token.span() for token in tokens)
    return Message(source, plain, words, spans, links, signed)


def letters(words: Sequence[str]) -> list[str]:
    """The words that are words, not signs or numbers."""
    return [word for word in words if word[0].isalpha()]


def _word(raw: str) -> str:
    return _SIGNS.get(raw[0]) or _STRETCHED.sub(r"\1", raw)


def _blank(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda found: " " * len(found.group()), text)
