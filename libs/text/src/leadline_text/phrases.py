"""Known phrases in a sequence of words, with prefixes ("cancel*") and gaps ("my ~ order")."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from operator import attrgetter
from typing import Generic, TypeVar

from leadline_text.tokens import SEPARATORS, Text, fold, read_text

T = TypeVar("T")

_GAP = 3
"""Words that a gap holds at most."""
_LEAST_PREFIX = 4
_MOST_GAPS = 2
_GERMAN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})
_ALTERNATIVES = re.compile(r"\(([^)]*)\)")


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A known phrase at words[start:stop], and what it stands for, in the order of the list."""

    start: int
    stop: int
    values: tuple[T, ...]

    @property
    def value(self) -> T:
        """What it stands for, the first where that is several."""
        return self.values[0]


class _Node(Generic[T]):
    """A place in the tree of phrases: what may follow at once, what may follow a gap, and what ends here."""

    __slots__ = ("after", "gap", "values")

    def __init__(self) -> None:
        self.after: dict[str, _Node[T]] = {}
        self.gap: _Node[T] | None = None
        self.values: tuple[T, ...] = ()


class Phrases(Generic[T]):
    """Known phrases, found by whole words in linear time. Where two overlap, the longer masks the other.

    `phrases` are in the notation of `expand`; "cancel*" is any word that begins so, and "~" up to three words
    of the same clause, whose ends are `clause_ends`. `read` cuts a phrase as the texts are cut that it is
    looked for in. `endings` are the last parts of compounds written as one word (German "Vertriebsleiter");
    they count where the whole word is no phrase of its own.

    Raises ValueError for a phrase of no words, a gap at an end, a third gap, a prefix of fewer than four
    letters, and, unless `several`, a phrase that is listed with two values.
    """

    def __init__(
        self,
        phrases: Iterable[tuple[str, T]],
        endings: Iterable[tuple[str, T]] = (),
        *,
        read: Callable[[str], Text] = read_text,
        clause_ends: frozenset[str] = SEPARATORS,
        several: bool = False,
    ) -> None:
        self._clause_ends = clause_ends
        self._root: _Node[T] = _Node()
        self._has_gaps = False
        prefixes: set[str] = set()
        for notation, value in phrases:
            for spelling in expand(notation):
                pattern = _pattern(spelling, read)
                self._add(pattern, value, several=several)
                prefixes.update(part for part in pattern if part.endswith("*"))
        self._prefixes = frozenset(prefixes)
        self._is_plain = not (prefixes or self._has_gaps)
        self._lengths = sorted({len(prefix) - 1 for prefix in prefixes})
        self._endings = {fold(ending): value for ending, value in endings}
        self._ending_lengths = sorted({len(ending) for ending in self._endings}, reverse=True)

    def find(self, words: Sequence[str]) -> list[Found[T]]:
        """The phrases in `words`, none overlapping, in the order of the text."""
        hits = self._exact if self._is_plain else self._hits(words)
        found: list[Found[T]] = []
        for start in range(len(words)):
            here = hits(words, start)
            if self._endings and not (here and any(hit.stop == start + 1 for hit in here)):
                here += self._compound(words[start], start)
            found += here
        return _longest(found)

    def _add(self, pattern: Sequence[str], value: T, *, several: bool) -> None:
        node = self._root
        for part in pattern:
            if part == "~":
                self._has_gaps = True
                node.gap = node = node.gap or _Node()
            else:
                node = node.after.setdefault(part, _Node())
        if value not in node.values:
            if node.values and not several:
                raise ValueError(f"the phrase {' '.join(pattern)!r} is listed with two meanings: keep one")
            node.values += (value,)

    def _exact(self, words: Sequence[str], start: int) -> list[Found[T]]:
        """The phrases at `start`, where there are neither prefixes nor gaps."""
        found = []
        node, stop = self._root.after.get(words[start]), start + 1
        while node:
            if node.values:
                found.append(Found(start, stop, node.values))
            node = node.after.get(words[stop]) if stop < len(words) else None
            stop += 1
        return found

    def _hits(self, words: Sequence[str]) -> Callable[[Sequence[str], int], list[Found[T]]]:
        """What finds the phrases that begin at a place of these words."""
        keys = {word: self._keys(word) for word in set(words)}
        first = self._root.after
        begins = {word for word, known in keys.items() if any(key in first for key in known)}
        return lambda words, start: list(self._from(start, words, keys)) if words[start] in begins else []

    def _from(
        self, start: int, words: Sequence[str], keys: Mapping[str, tuple[str, ...]]
    ) -> Iterator[Found[T]]:
        reached = [(self._root, start)]
        while reached:
            node, at = reached.pop()
            if node.values:
                yield Found(start, at, node.values)
            reached += _next(node, at, words, keys)
            if node.gap:
                for begin in range(at, min(at + _GAP + 1, len(words))):
                    reached += _next(node.gap, begin, words, keys)
                    if words[begin] in self._clause_ends:
                        break

    def _keys(self, word: str) -> tuple[str, ...]:
        if not self._lengths:
            return (word,)
        prefixes = (word[:length] + "*" for length in self._lengths if length <= len(word))
        return (word, *(prefix for prefix in prefixes if prefix in self._prefixes))

    def _compound(self, word: str, start: int) -> list[Found[T]]:
        for length in self._ending_lengths:
            if length < len(word) and word[-length:] in self._endings:
                return [Found(start, start + 1, (self._endings[word[-length:]],))]
        return []


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


def _next(
    node: _Node[T], at: int, words: Sequence[str], keys: Mapping[str, tuple[str, ...]]
) -> list[tuple[_Node[T], int]]:
    if at >= len(words) or not node.after:
        return []
    return [(node.after[key], at + 1) for key in keys[words[at]] if key in node.after]


def _pattern(spelling: str, read: Callable[[str], Text]) -> list[str]:
    pattern: list[str] = []
    for piece in spelling.split("~"):
        text = read(piece)
        stars = [text.source[stop : stop + 1] == "*" for _, stop in text.spans]
        pattern += ["~", *(word + "*" * star for word, star in zip(text.words, stars, strict=True))]
    del pattern[0]
    if not pattern or "~" in {pattern[0], pattern[-1]} or pattern.count("~") > _MOST_GAPS:
        raise ValueError(f"{spelling!r}: a phrase begins and ends with words and has at most two gaps")
    if any(part.endswith("*") and len(part) <= _LEAST_PREFIX for part in pattern):
        raise ValueError(f"{spelling!r}: a prefix has at least {_LEAST_PREFIX} letters")
    return pattern


def _longest(found: list[Found[T]]) -> list[Found[T]]:
    if len(found) < 2:
        return found
    found.sort(key=lambda hit: hit.start - hit.stop)
    taken: set[int] = set()
    chosen = []
    for hit in found:
        places = range(hit.start, hit.stop)
        if taken.isdisjoint(places):
            taken.update(places)
            chosen.append(hit)
    return sorted(chosen, key=attrgetter("start"))
