"""Free text as words: cutting it up, and the one spelling that each word is known by.

There is one tokeniser. `FIELDS` and `MESSAGES` are the two ways it is used, for short fields such as a job
title and for the prose of a message. They differ in the signs that matter and in the folding: the words of a
field are folded whole ("ß" is "ss"), those of a message letter by letter, so that positions stay the same.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from leadline_text.visible import visible

SEPARATORS = frozenset({"and", ",", "/", "-", "(", ")", "|"})
"""What separates two statements of a field."""
SENTENCE_ENDS = frozenset({".", "!", "?", "\n", ";"})
CLAUSE_ENDS = SENTENCE_ENDS | {",", ":", "(", ")", "-"}
"""What ends a sentence, or a part of one, in a message."""

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Text:
    """`words[i]` is the folded word or sign found at `source[spans[i][0]:spans[i][1]]`."""

    source: str
    words: tuple[str, ...]
    spans: Spans

    def quote(self, start: int, stop: int) -> str:
        """The words from `start` up to, not including, `stop`, as they were written."""
        return self.source[self.spans[start][0] : self.spans[stop - 1][1]]


@dataclass(frozen=True, slots=True)
class Tokeniser:
    """How text is cut into words and signs.

    `normalise` brings a text into one spelling of its characters, `pattern` finds the words and signs in it,
    and `word` gives each the spelling that it is known by. `clause_ends` are the signs among those spellings
    that no phrase with a gap reaches across.
    """

    pattern: re.Pattern[str]
    normalise: Callable[[str], str]
    word: Callable[[str], str]
    clause_ends: frozenset[str]

    def read(self, text: str) -> Text:
        """The words of `text`; the source is its normalised form."""
        source = self.normalise(text)
        return Text(source, *self.cut(source))

    def cut(self, source: str, limit: int | None = None) -> tuple[tuple[str, ...], Spans]:
        """The first `limit` words of normalised text, and where each stands in it."""
        words: list[str] = []
        spans: list[tuple[int, int]] = []
        known: dict[str, str] = {}
        for token in islice(self.pattern.finditer(source), limit):
            raw = token.group()
            word = known.get(raw)
            if word is None:
                word = known[raw] = self.word(raw)
            words.append(word)
            spans.append(token.span())
        return tuple(words), tuple(spans)


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


def _base_letters() -> dict[int, str]:
    table = {ord("ß"): "s", ord("æ"): "a", ord("œ"): "o", ord("ø"): "o", ord("ł"): "l", ord("đ"): "d"}
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        letter = unicodedata.normalize("NFD", chr(code))[0]
        if letter.isascii():
            table.setdefault(code, letter)
    return table


_BASE_LETTERS = _base_letters()


def fold_letters(text: str) -> str:
    """`text` in small letters without accents, of the same length."""
    return text.lower().translate(_BASE_LETTERS)


_AS_WORD = {
    "&": "and", "+": "and", "und": "and", "et": "and", "y": "and",
    ";": "|", "•": "|", "·": "|", "\n": "|",
    ":": "-", "\u2013": "-", "\u2014": "-", "@": "at",
}  # fmt: skip


def _field_word(raw: str) -> str:
    word = _AS_WORD.get(raw) or fold(raw.replace("\u2019", "'"))
    return _AS_WORD.get(word, word)


def _composed(text: str) -> str:
    return text if text.isascii() else unicodedata.normalize("NFKC", visible(text))


FIELDS = Tokeniser(
    re.compile(
        r"(?:[^\W\d_]\.-?){2,}[^\W\d_]?(?!\w)"  # C.E.O., P.-D.G.
        r"|['\u2019][sS]\b|\b[dDlL]['\u2019]"
        r"|[^\W_]+"
        r"|[,/|;•·&+()@:\n\u2013\u2014]|(?<=\s)-(?=\s)"
    ),
    _composed,
    _field_word,
    SEPARATORS,
)
"""Job titles, industries, use cases: signs that separate two statements become one of SEPARATORS."""


def read_text(text: str) -> Text:
    """The words of a field; a Portuguese "e" between two words is "and", the e of e-commerce a letter."""
    read = FIELDS.read(text)
    if "e" not in read.words[1:]:
        return read
    words = [
        "and" if word == "e" and index and read.source[stop : stop + 1] == " " else word
        for index, (word, (_, stop)) in enumerate(zip(read.words, read.spans, strict=True))
    ]
    return Text(read.source, tuple(words), read.spans)


_PIECE = 256  # a long run of combining marks takes quadratic time to normalise
_STRETCHED = re.compile(r"([^\W\d])\1{2,}")
_SIGNS = {"!": "!", "?": "?", "\n": "\n", "\u2013": "-", "\u2014": "-", "\u2026": "."}


def plain_prose(text: str) -> str:
    """`text` in one spelling: compatibility forms as their letters, nothing hidden, "\\n" ends a line."""
    if not text.isascii():
        text = visible(text)
        pieces = range(0, len(text), _PIECE)
        text = "".join(unicodedata.normalize("NFKC", text[at : at + _PIECE]) for at in pieces)
        text = text.replace("\u0130", "I")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _message_word(raw: str) -> str:
    return _SIGNS.get(raw[0]) or _STRETCHED.sub(r"\1", raw)


MESSAGES = Tokeniser(
    re.compile(r"[^\W_]+|[.](?!\d)|,(?!\d)|[!?]+|\n+|[;:()%]|(?<=\s)[-\u2013](?=\s)|[\u2014\u2026]"),
    lambda text: fold_letters(plain_prose(text)),
    _message_word,
    CLAUSE_ENDS,
)
"""The prose of messages: sentences and clauses are kept apart, and "sooo" is "so"."""
