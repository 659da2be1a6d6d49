"""Known phrases in a sequence of words: with prefixes ("cancel*") and gaps ("my ~ order"), in linear time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from leadline_inbound.words import CLAUSE_ENDS, words_of
from leadline_text.phrases import Found, expand

T = TypeVar("T")

_GAP = 3
_LEAST_PREFIX = 4
_MOST_GAPS = 2


class _Node(Generic[T]):
    """A place in the tree of phrases: what may follow at once, what may follow a gap, and what ends here."""

    __slots__ = ("after", "gap", "values")

    def __init__(self) -> None:
        self.after: dict[str, _Node[T]] = {}
        self.gap: _Node[T] | None = None
        self.values: tuple[T, ...] = ()


class PhraseBook(Generic[T]):
    """Phrases and what they stand for. Where two overlap, the longer one masks the words of the other.

    A phrase may be listed for several values and gives them all, in the order of the list. Raises ValueError
    for a gap at an end of a phrase, a third gap, or a prefix of fewer than four letters.
    """

    def __init__(self, phrases: Iterable[tuple[str, T]]) -> None:
        self._root: _Node[T] = _Node()
        prefixes: set[str] = set()
        for notation, value in phrases:
            for spelling in expand(notation):
                pattern = _pattern(spelling)
                self._add(pattern, value)
                prefixes.update(part for part in pattern if part.endswith("*"))
        self._prefixes = frozenset(prefixes)
        self._lengths = sorted({len(prefix) - 1 for prefix in prefixes})

    def find(self, words: Sequence[str]) -> list[Found[tuple[T, ...]]]:
        """The phrases in `words`, none overlapping, in the order of the text."""
        keys = {word: self._keys(word) for word in set(words)}
        first = self._root.after
        begins = {word for word, known in keys.items() if any(key in first for key in known)}
        found = [
            Found(start, stop, values)
            for start, word in enumerate(words)
            if word in begins
            for stop, values in self._from(start, words, keys)
        ]
        return _longest(found)

    def _add(self, pattern: Sequence[str], value: T) -> None:
        node = self._root
        for part in pattern:
            if part == "~":
                node.gap = node = node.gap or _Node()
            else:
                node = node.after.setdefault(part, _Node())
        if value not in node.values:
            node.values += (value,)

    def _from(
        self, start: int, words: Sequence[str], keys: Mapping[str, tuple[str, ...]]
    ) -> Iterator[tuple[int, tuple[T, ...]]]:
        """Where the phrases that begin at `start` end, and what they stand for."""
        reached = [(self._root, start)]
        while reached:
            node, at = reached.pop()
            if node.values:
                yield at, node.values
            reached += _next(node, at, words, keys)
            if node.gap:
                for begin in range(at, min(at + _GAP + 1, len(words))):
                    reached += _next(node.gap, begin, words, keys)
                    if words[begin] in CLAUSE_ENDS:
                        break

    def _keys(self, word: str) -> tuple[str, ...]:
        prefixes = (word[:length] + "*" for length in self._lengths if length <= len(word))
        return (word, *(prefix for prefix in prefixes if prefix in self._prefixes))


def _next(
    node: _Node[T], at: int, words: Sequence[str], keys: Mapping[str, tuple[str, ...]]
) -> list[tuple[_Node[T], int]]:
    if at >= len(words):
        return []
    return [(node.after[key], at + 1) for key in keys[words[at]] if key in node.after]


def _pattern(spelling: str) -> list[str]:
    pattern: list[str] = []
    for part in spelling.split():
        if part == "~":
            pattern.append(part)
            continue
        words = words_of(part.removesuffix("*"))
        pattern.extend(words[:-1])
        pattern.append(words[-1] + "*" * part.endswith("*"))
    if not pattern or "~" in {pattern[0], pattern[-1]} or pattern.count("~") > _MOST_GAPS:
        raise ValueError(f"{spelling!r}: a phrase begins and ends with words and has at most two gaps")
    if any(part.endswith("*") and len(part) <= _LEAST_PREFIX for part in pattern):
        raise ValueError(f"{spelling!r}: a prefix has at least {_LEAST_PREFIX} letters")
    return pattern


def _longest(found: list[Found[tuple[T, ...]]]) -> list[Found[tuple[T, ...]]]:
    taken: set[int] = set()
    chosen = []
    for hit in sorted(found, key=lambda hit: (hit.start - hit.stop, hit.start)):
        places = range(hit.start, hit.stop)
        if taken.isdisjoint(places):
            taken.update(places)
            chosen.append(hit)
    return sorted(chosen, key=lambda hit: hit.start)
