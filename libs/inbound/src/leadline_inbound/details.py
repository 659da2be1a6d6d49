"""Details that a message names: who writes, which service, where, and which customer or order number."""

import re
from functools import cache

from leadline_inbound.lexicon import Language
from leadline_inbound.message import Message, excerpt
from leadline_inbound.wordlists import (
    account_book,
    fields,
    name_books,
    place_books,
    service_books,
    word_set,
)
from leadline_text.tokens import CLAUSE_ENDS

_READ = 2_000  # words; who writes more has said by then who and where they are
_LONGEST = 200
_NAME_WORDS = 3
_PLACE_WORDS = 3
_SERVICE_WORDS = 7
_NUMBER_DIGITS = 3
_NUMBER_WINDOW = 60
_HASHED = re.compile(r"#\s?([A-Za-z]{0,5}-?\d[\w/-]{2,30})(?!\w)")
_NUMBER = re.compile(r"[\s:#.()°º]{0,6}([A-Za-z]{0,5}[-/]?\d[\w/-]{2,30})(?!\w)")
_INSIDE_PLACE = frozenset({"de", "of", "do", "da", "del", "la", "am", "upon", "sur", "an", "der"})
_NAME = re.compile(r"[^\W\d_a-z][^\W\d_]*(?:[-'][^\W\d_]+)?\.?,?")
_POSTCODE = re.compile(r"\d{4,5}")


def customer_name(message: Message, given: str | None) -> str | None:
    """The name that was given with the message, else the one it introduces itself or is signed with."""
    line = excerpt(given or "", _LONGEST)
    if any(c.isalpha() for c in line) and "@" not in line:
        return line
    return _introduced(message) or _signed(message)


def service_interest(message: Message) -> str | None:
    """The noun phrase after "interested in", "quote for", "need a" and the like."""
    books = service_books()
    for book in (books.first, books.then):
        for hit in book.find(message.words[:_READ]):
            if phrase := _noun_phrase(message, hit.stop):
                return phrase
    return None


def location(message: Message, language: Language | None) -> str | None:
    """A place after "in", "near" and the like: capitalised, or known; in German only a known one."""
    books = place_books()
    known = {hit.start: hit.stop for hit in books.known.find(message.words[:_READ])}
    for hit in books.before.find(message.words[:_READ]):
        start = hit.stop
        if start < len(message.words) and _POSTCODE.fullmatch(message.words[start]):
            start += 1
        if start in known:
            return message.excerpt(start, known[start])
        if language in fields().place.known_only_in or not _leads_to_place(message, hit.stop - 1):
            continue
        if (stop := _end_of_place(message, start)) > start:
            return message.excerpt(start, stop)
    return next((message.excerpt(*span) for span in known.items() if _stands_out(message, span[0])), None)


def account_hint(message: Message) -> str | None:
    """The number of a customer, an order or a contract as it is written (at most 40 characters)."""
    for hit in account_book().find(message.words[:_READ]):
        stop = hit.stop
        while stop < len(message.words) and message.words[stop] in _account_verbs():
            stop += 1
        end = message.spans[stop - 1][1]
        found = _NUMBER.match(message.source, end, end + _NUMBER_WINDOW)
        if found and _has_digits(found[1]):
            return found[1].rstrip("-/")
    hashed = _HASHED.search(message.source)
    return hashed[1].rstrip("-/") if hashed and _has_digits(hashed[1]) else None


def _introduced(message: Message) -> str | None:
    books = name_books()
    for hit in books.before.find(message.words[:_READ]):
        start = hit.stop
        while start < len(message.words) and message.words[start] in {*books.titles, ".", ":"}:
            start += 1
        certain = any(word in books.certain for word in message.words[hit.start : hit.stop])
        stop = start
        while stop < min(len(message.words), start + _NAME_WORDS) and _is_name(message, stop):
            stop += 1
        if stop == start and certain and _may_be_name(message, start):
            stop += 1
        if stop > start:
            return message.excerpt(start, stop, _LONGEST)
    return None


def _signed(message: Message) -> str | None:
    words = (message.signed or "").split()
    if 1 <= len(words) <= _NAME_WORDS and all(map(_NAME.fullmatch, words)):
        return " ".join(words).rstrip(",")
    return None


def _is_name(message: Message, index: int) -> bool:
    return _may_be_name(message, index) and _is_capitalised(message, index)


def _may_be_name(message: Message, index: int) -> bool:
    if index >= len(message.words):
        return False
    word = message.words[index]
    return word.isalpha() and len(word) > 1 and word not in name_books().never


def _noun_phrase(message: Message, start: int) -> str | None:
    books, stop = service_books(), start
    while stop < min(len(message.words), start + _SERVICE_WORDS):
        word = message.words[stop]
        if word in CLAUSE_ENDS or (word in books.ends and stop > start) or not word[0].isalnum():
            break
        stop += 1
    while stop > start and message.words[stop - 1] in books.links:
        stop -= 1
    named = message.words[start:stop]
    if not named or named[0] in books.vague or named[0] in books.ends or not any(len(w) > 2 for w in named):
        return None
    return message.excerpt(start, stop, _LONGEST)


def _end_of_place(message: Message, start: int) -> int:
    stop = start
    while stop < min(len(message.words), start + _PLACE_WORDS):
        word = message.words[stop]
        inside = stop > start and word in _INSIDE_PLACE and _is_place_word(message, stop + 1)
        if not (_is_place_word(message, stop) or inside):
            break
        stop += 1
    return stop


def _is_place_word(message: Message, index: int) -> bool:
    return (
        index < len(message.words)
        and len(message.words[index]) > 2
        and message.words[index].isalpha()
        and message.words[index] not in place_books().never
        and _is_capitalised(message, index)
        and not message.source[slice(*message.spans[index])].isupper()
    )


def _leads_to_place(message: Message, index: int) -> bool:
    """French "à" does; the "a" of the others does not."""
    return message.words[index] != "a" or message.source[slice(*message.spans[index])] in {"à", "À"}


def _stands_out(message: Message, index: int) -> bool:
    return _is_capitalised(message, index) and index > message.sentence(index).start


def _is_capitalised(message: Message, index: int) -> bool:
    return message.source[message.spans[index][0]].isupper()


def _has_digits(text: str) -> bool:
    return sum(map(str.isdigit, text)) >= _NUMBER_DIGITS


@cache
def _account_verbs() -> frozenset[str]:
    return word_set(fields().account.verbs) | {":", "."}
