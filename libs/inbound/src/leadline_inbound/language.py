"""Which of the five languages a message is in, by its common words, its known phrases and its letters."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from leadline_inbound.lexicon import LANGUAGES, Language, languages
from leadline_inbound.message import Message, letters, words_of
from leadline_text.tokens import fold_letters

_READ = 300  # words
_READ_LETTERS = 2_000
_NEGATION_REACH = 4
_LATIN = 0x250
_MORE_LATIN = range(0x1E00, 0x1F00)


@dataclass(frozen=True, slots=True)
class DetectedLanguage:
    """One of the five languages, or None; `foreign`: another language is likelier than any of them."""

    language: Language | None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class _Negators:
    words: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    breaks: frozenset[str]


def detect_language(message: Message, phrases: Sequence[frozenset[Language]]) -> DetectedLanguage:
    """The language of a message; `phrases` are the languages of each different phrase known in it."""
    words = letters(message.words[:_READ])
    if not words:
        return DetectedLanguage(None)
    if _is_foreign_script(message.source[:_READ_LETTERS]):
        return DetectedLanguage(None, foreign=True)
    points = _points(words, message.source[:_READ_LETTERS].lower(), phrases)
    return _choose(points, len(words))


def is_negated(words: Sequence[str], start: int, clause: range, language: Language | None) -> bool:
    """Whether a negation of the language stands in the few words before `start` in its clause."""
    negators = _negators(language)
    before = list(words[max(clause.start, start - _NEGATION_REACH) : start])
    for index in range(len(before) - 1, -1, -1):
        if before[index] in negators.breaks:
            before = before[index + 1 :]
            break
    return any(word in negators.words for word in before) or any(
        pair in negators.pairs for pair in pairwise(before)
    )


def _points(words: list[str], source: str, phrases: Sequence[frozenset[Language]]) -> dict[str, float]:
    points: defaultdict[str, float] = defaultdict(float)
    for word in words:
        for language, share in _common_words().get(word, {}).items():
            points[language] += share
    for letter, shares in languages().letters.items():
        if letter in source:
            for language, share in shares.items():
                points[language] += share
    for spoken in phrases:
        for language in spoken:
            points[language] += languages().scale.phrase / len(spoken)
    return points


def _choose(points: dict[str, float], words: int) -> DetectedLanguage:
    scale = languages().scale
    ranked = sorted(points.items(), key=lambda item: -item[1])[:2]
    if not ranked:
        return DetectedLanguage(None)
    first, most = ranked[0]
    second = ranked[1][1] if len(ranked) > 1 else 0.0
    known = next((language for language in LANGUAGES if language == first), None)
    thin = most < scale.least or (words > scale.long and most < scale.cover * words)
    if known is None:
        return DetectedLanguage(None, foreign=not thin)
    return DetectedLanguage(None if thin or most < scale.ahead * second else known)


def _is_foreign_script(text: str) -> bool:
    alphabetic = [c for c in text if c.isalpha()]
    foreign = sum(1 for c in alphabetic if ord(c) >= _LATIN and ord(c) not in _MORE_LATIN)
    return 2 * foreign > len(alphabetic)


@cache
def _common_words() -> dict[str, dict[str, float]]:
    lists: list[tuple[str, Iterable[str]]] = [
        (language, _folded(data.words)) for language, data in languages().language.items()
    ]
    lists += [(language, _folded(words)) for language, words in languages().others.items()]
    spoken: dict[str, list[str]] = {}
    for language, words in lists:
        for word in words:
            spoken.setdefault(word, []).append(language)
    return {word: dict.fromkeys(by, 1 / len(by)) for word, by in spoken.items()}


def _folded(words: str) -> list[str]:
    return sorted(set(fold_letters(words).split()))


@cache
def _negators(language: Language | None) -> _Negators:
    """Those of one language, or of all; in doubt Portuguese "no" (in the) is not taken for a negation."""
    chosen = [language] if language else LANGUAGES
    data = [languages().language[name] for name in chosen]
    return _Negators(
        frozenset(word for entry in data for word in _folded(entry.not_words)),
        frozenset((first, second) for entry in data for first, second in _pairs(entry.not_pairs)),
        frozenset(word for entry in data for word in _folded(entry.breaks)),
    )


def _pairs(text: str) -> Iterable[tuple[str, str]]:
    for pair in text.split():
        first, second = words_of(pair)
        yield first, second
