"""How likely a text is in a language, by which letters follow which: enough to tell a wrong decoding.

What lies beyond ASCII is weighed, and a little what stands beside it: the rest is the same in every encoding.
"""

import tomllib
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import pairwise
from math import log

_SIGNS = frozenset("–—‘’‚“”„…«»€©®™°§•·№¡¿´¨ºª²³½¼×±£")  # noqa: RUF001 - the signs themselves are meant
_AFTER_LETTERS = frozenset("–—’”“…»®™")  # noqa: RUF001
_BEFORE_LETTERS = frozenset("–—’„“«¡¿")  # noqa: RUF001
_RARE_SIGN, _NO_SIGN, _NO_TEXT = log(1e-4), log(1e-6), log(1e-9)
_SIGN = log(2e-3)
_NEVER = 1e-6
_SOME = log(0.3)
_HARDLY = log(0.02)
_CAPITAL_AFTER_SMALL = log(0.003)
_CAPITAL_WITHIN = -5.0
_PLAIN_WEIGHT = 0.3  # of letter pairs within ASCII: they hint at the language, and never at the encoding
_SHARE_OF_OTHERS = 0.15  # a file in one language holds names from others


class Alphabet:
    """A language written with an alphabet."""

    def __init__(self, words: Sequence[str]) -> None:
        pairs: Counter[tuple[str, str]] = Counter()
        singles: Counter[str] = Counter()
        for word in words:
            padded = f" {''.join(map(_small, word))} "
            pairs.update(pairwise(padded))
            singles.update(padded[:-1])
        total = singles.total()
        self._single = {letter: count / total for letter, count in singles.items()}
        self._pair = {pair: count / singles[pair[0]] for pair, count in pairs.items()}

    def follows(self, first: str, second: str) -> float:
        """The probability of `second` after `first`; both small letters, or " " for what is none."""
        if first not in self._single:
            return 0.0
        return 0.8 * self._pair.get((first, second), 0.0) + 0.2 * self._single.get(second, 0.0)

    def likelihood(self, text: str, others: Sequence["Alphabet"]) -> float:
        """The logarithm of how likely `text` is; `others` are the languages of the same encoding."""
        padded = f" {text} "
        total = 0.0
        for first, second in pairwise(padded):
            if not (first.isascii() and second.isascii()):
                total += self._step(first, second, others)
            elif second.isalpha():
                before = _small(first) if first.isalpha() else " "
                total += _PLAIN_WEIGHT * log(self.follows(before, _small(second)) + 1e-4)
        return total + _CAPITAL_WITHIN * _capitals_within(padded)

    def _step(self, first: str, second: str, others: Sequence["Alphabet"]) -> float:
        after_letter = first.isalpha()
        if second.isalpha() and (after_letter or not second.isascii()):
            return self._letter(first, second, others)
        if not second.isascii():
            sign = _SIGN if second in _SIGNS else _RARE_SIGN if second == "\u00a0" else _NO_SIGN
            sign = sign if second.isprintable() or second == "\u00a0" else _NO_TEXT
            return sign + ((_SOME if second in _AFTER_LETTERS else _HARDLY) if after_letter else 0.0)
        if after_letter:
            ends = second in " ,.;:-')(/\"&"
            return log(0.7 * self.follows(_small(first), " ") + 0.03) if ends else log(0.01)
        return (_SOME if first in _BEFORE_LETTERS else _HARDLY) if second.isalpha() else 0.0

    def _letter(self, first: str, second: str, others: Sequence["Alphabet"]) -> float:
        before, letter = _small(first) if first.isalpha() else " ", _small(second)
        elsewhere = sum(other.follows(before, letter) for other in others) / len(others)
        own = (1 - _SHARE_OF_OTHERS) * self.follows(before, letter) + _SHARE_OF_OTHERS * elsewhere
        capital = _CAPITAL_AFTER_SMALL if first.islower() and second.isupper() else 0.0
        return log(own + _NEVER) + capital


class Ideographs:
    """A language written without an alphabet: its signs are weighed one by one."""

    def __init__(self, words: Sequence[str]) -> None:
        counts = Counter("".join(words))
        total = counts.total()
        self._known = {sign: count / total for sign, count in counts.items()}

    def likelihood(self, text: str, others: Sequence[object]) -> float:
        """As that of an Alphabet."""
        total = 0.0
        for first, second in pairwise(f" {text} "):
            if second.isascii():
                if second.islower():
                    total += _HARDLY * (_PLAIN_WEIGHT if first.isascii() else 1.0)
            elif _is_ideograph(second):
                known = self._known.get(second, 0.0)
                total += log(0.8 * known + 0.2 / (4e3 if _is_common(second) else 4e5))
                total += _HARDLY if first.isascii() and first.islower() else 0.0
            else:
                total += log(1e-3 if second in _SIGNS else 1e-7)
        return total


Language = Alphabet | Ideographs
_WITHOUT_ALPHABET = frozenset({"zh", "zh-tw", "ja", "ko"})


@cache
def languages() -> dict[str, Language]:
    """Each language by its code; counted once, when the first file asks."""
    words = tomllib.loads(files(__package__).joinpath("letters.toml").read_text(encoding="utf-8"))
    return {
        code: (Ideographs if code in _WITHOUT_ALPHABET else Alphabet)(text.split())
        for code, text in words.items()
    }


def _small(letter: str) -> str:
    small = letter.lower()
    return small if len(small) == 1 else letter


def _capitals_within(padded: str) -> int:
    """How many capitals stand between a letter and a small one, pairs within ASCII aside."""
    triples = zip(padded, padded[1:], padded[2:], strict=False)
    return sum(
        middle.isupper() and after.islower() and before.isalpha() and not (before + middle).isascii()
        for before, middle, after in triples
    )


def _is_ideograph(sign: str) -> bool:
    return "\u2e80" <= sign < "\ufb00" or "\uff00" <= sign <= "\uff60"


@cache
def _is_common(sign: str) -> bool:
    """Kana, Hangul, and what the first level of a national standard holds: its usual characters."""
    if "\u3041" <= sign <= "\u30ff" or "\uac00" <= sign <= "\ud7a3":
        return True
    for encoding, low, high in (("gb2312", 0xB0, 0xD7), ("big5", 0xA4, 0xC6), ("shift_jis", 0x88, 0x97)):
        coded = sign.encode(encoding, "ignore")
        if len(coded) == 2 and low <= coded[0] <= high:
            return True
    return False
