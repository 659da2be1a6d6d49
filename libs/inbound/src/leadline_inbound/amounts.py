"""Sums of money in a message, and the budget they stand for."""

import re
from dataclasses import dataclass
from functools import cache

from leadline_contracts.inbound import BudgetRange
from leadline_inbound.message import Message
from leadline_inbound.wordlists import fields, word_set
from leadline_text.tokens import fold_letters

_NEAR = 5  # words
_BEFORE = 3  # words
_MOST_READ = 50  # amounts
_LEAST_UNNAMED = 100  # a smaller number beside "budget" counts something else
_BOUND = 0.001  # "under 500" is a little less than 500
_RANGE_WORDS = frozenset(
    ["-", "\u2013", "to", "bis", "a", "and", "und", "y", "e", "et", "ou", "o", "or", "oder"]
)


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum (whole units of any currency) at source[start:stop]; `named`: a currency stands beside it."""

    value: float
    start: int
    stop: int
    named: bool


@dataclass(frozen=True, slots=True)
class Budget:
    """A class of budgets and the words it was read from."""

    range: BudgetRange
    evidence: str


UNKNOWN = Budget("unknown", "")


def find_amounts(message: Message) -> list[Amount]:
    """The numbers that may be money, in the order of the text; a currency names both ends of a range."""
    found: list[Amount] = []
    for match in _amount().finditer(message.plain):
        value = _value(match["number"]) * (1000 if match["thousands"] else 1)
        found.append(Amount(value, match.start(), match.end(), bool(match["before"] or match["after"])))
        if len(found) == _MOST_READ:
            break
    return _joined(message, found)


def read_budget(message: Message, amounts: list[Amount], *, words_needed: bool) -> Budget:
    """The budget that the message names. Amounts without a currency count beside budget words only.

    `words_needed`: so do those with one, since the message is about money that was paid or is promised.
    """
    beside = [amount for amount in amounts if _is_budget(message, amount)]
    named = [amount for amount in amounts if amount.named and not words_needed]
    never = word_set(fields().budget.never)
    preferred = [amount for amount in beside if amount.named] or beside or named
    preferred = [amount for amount in preferred if not _is_beside(message, amount, never)]
    if not preferred:
        return UNKNOWN
    first, *rest = preferred
    value = _bounded(message, first)
    if rest and _is_range(message, first, rest[0]):
        value = (value + _bounded(message, rest[0])) / 2
    return Budget(_class_of(value), message.source[first.start : first.stop].strip())


@cache
def _amount() -> re.Pattern[str]:
    data = fields().budget
    units = "|".join(sorted((re.escape(fold_letters(unit)) for unit in data.units), key=len, reverse=True))
    signs = "|".join(sorted(map(re.escape, data.signs), key=len, reverse=True))
    thousands = "|".join(sorted(data.thousands, key=len, reverse=True))
    return re.compile(
        rf"(?P<before>(?:{signs}|(?<![^\W_])(?:{units}))[ ]?)?"
        r"(?<![\w.,:/+])(?P<number>\d{1,3}(?:[ .,'\u2019]\d{3}){1,3}(?!\d)(?:[.,]\d{1,2}(?!\d))?"
        r"|\d{1,9}(?!\d)(?:[.,]\d{1,2}(?!\d))?)"
        rf"(?:[ ]?(?P<thousands>{thousands})(?![^\W_]))?"
        rf"(?P<after>(?:[ ]?(?:de )?(?:{units})|(?<=\d\d\d)e)(?![^\W_]))?"  # "800e" as in French chats
        r"(?![\w/:]|\.\d| ?%)"
    )


def _value(number: str) -> float:
    """ "1.500,00" and "1,500.00" alike: a sign before one or two last digits is the decimal one."""
    digits = re.sub(r"[ '\u2019]", "", number)
    whole, decimals = digits, ""
    cut = max(digits.rfind("."), digits.rfind(","))
    if cut >= len(digits) - 3 and cut > 0:
        whole, decimals = digits[:cut], digits[cut + 1 :]
    return float(f"{whole.replace('.', '').replace(',', '')}.{decimals or 0}")


def _joined(message: Message, found: list[Amount]) -> list[Amount]:
    joined = list(found)
    for index in range(len(found) - 1):
        first, second = joined[index], joined[index + 1]
        if first.named != second.named and _is_range(message, first, second):
            value = first.value
            if not first.named and second.value >= 1000 > first.value * 10:
                value *= 1000  # "1-2k"
            joined[index] = Amount(value, first.start, first.stop, named=True)
            joined[index + 1] = Amount(second.value, second.start, second.stop, named=True)
    return joined


def _is_range(message: Message, first: Amount, second: Amount) -> bool:
    return message.plain[first.stop : second.start].strip() in _RANGE_WORDS


def _is_budget(message: Message, amount: Amount) -> bool:
    likely = amount.named or amount.value >= _LEAST_UNNAMED
    return likely and _is_beside(message, amount, word_set(fields().budget.words))


def _is_beside(message: Message, amount: Amount, wanted: frozenset[str]) -> bool:
    at = message.index_at(amount.start)
    if at >= len(message.words):
        return False
    sentence = message.sentence(at)
    near = range(max(sentence.start, at - _NEAR), min(sentence.stop, at + _NEAR + 1))
    return any(message.words[index] in wanted for index in near)


def _bounded(message: Message, amount: Amount) -> float:
    at = message.index_at(amount.start)
    before = message.words[max(0, at - _BEFORE) : at]
    if any(word in word_set(fields().budget.under) for word in before):
        return amount.value * (1 - _BOUND)
    if any(word in word_set(fields().budget.over) for word in before):
        return amount.value * (1 + _BOUND)
    return amount.value


def _class_of(value: float) -> BudgetRange:
    return next((known.name for known in fields().budget.classes if value < known.below), "unknown")
