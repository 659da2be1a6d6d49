"""The signals in a message: its known phrases, without negated ones and without words meant for a machine."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from leadline_inbound.amounts import Amount, find_amounts
from leadline_inbound.language import DetectedLanguage, detect_language, is_negated
from leadline_inbound.lexicon import Language, signal_phrases, signals
from leadline_inbound.mail import read_message
from leadline_inbound.message import Message
from leadline_text.phrases import Found

STEERING = "injection"

_EVIDENCE = 40
_MOST_EVIDENCE = 4
_SHOUT_LETTERS = 20
_SHOUT_SHARE = 0.7
_SHORTENERS = ("bit.ly", "tinyurl.com", "t.co/", "goo.gl", "cutt.ly", "rb.gy", "is.gd", "xn--")
_DOUBTFUL_ENDINGS = (".xyz", ".top", ".click", ".win", ".vip", ".club", ".ru", ".biz", ".online", ".live")

_Hit = Found[tuple[str, Language]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A signal that was seen: in how many different phrases, and the first of them as they were written."""

    count: int
    evidence: tuple[str, ...]

    @property
    def weight(self) -> float:
        """1 for one phrase, closer to 2 the more there are."""
        return 2 - 2.0 ** (1 - self.count)


@dataclass(frozen=True, slots=True)
class Reading:
    """A message, its language and its signals by id.

    `steered` are the signals of sentences that speak to a machine, which count for nothing; `message` is
    without those sentences; `greeting_only`: no other word is left.
    """

    message: Message
    detected: DetectedLanguage
    seen: Mapping[str, Seen]
    steered: frozenset[str]
    amounts: tuple[Amount, ...]
    greeting_only: bool


def read_signals(text: str) -> Reading:
    """Reads the signals of a message of any length (20,000 characters count). Never raises."""
    whole = read_message(text)
    hits = signal_phrases().find(whole.words)
    detected = detect_language(whole, [_spoken(hit) for hit in _different(whole, hits)])
    struck = {place for hit in hits if _is(hit, STEERING) for place in whole.sentence(hit.start)}
    message = _without(whole, struck) if struck else whole
    amounts = find_amounts(message)
    said = [hit for hit in hits if hit.start not in struck or _is(hit, STEERING)]
    seen = _seen(whole, said, detected.language) | _structure(message, amounts)
    steered = frozenset(name for hit in hits if hit.start in struck for name, _ in hit.values) - {STEERING}
    greeted = {place for hit in hits if _is(hit, "greeting") for place in range(hit.start, hit.stop)}
    bare = all(place in greeted for place, word in enumerate(message.words) if word.isalnum())
    return Reading(message, detected, seen, steered, tuple(amounts), bare)


def _is(hit: _Hit, name: str) -> bool:
    return any(known == name for known, _ in hit.values)


def _spoken(hit: _Hit) -> frozenset[Language]:
    return frozenset(language for _, language in hit.values)


def _different(message: Message, hits: Iterable[_Hit]) -> list[_Hit]:
    return list({message.words[hit.start : hit.stop]: hit for hit in hits}.values())


def _without(message: Message, struck: set[int]) -> Message:
    """The message with those words as blanks, so that nothing is read from them."""
    plain = list(message.plain)
    for place in struck:
        start, stop = message.spans[place]
        plain[start:stop] = " " * (stop - start)
    words = tuple("\n" if place in struck else word for place, word in enumerate(message.words))
    return replace(message, words=words, plain="".join(plain))


def _seen(message: Message, hits: Iterable[_Hit], language: Language | None) -> dict[str, Seen]:
    quotes: dict[str, dict[tuple[str, ...], str]] = {}
    for hit in hits:
        words = message.words[hit.start : hit.stop]
        for name in dict.fromkeys(name for name, _ in hit.values):
            known = quotes.setdefault(name, {})
            denied = signals().signal[name].negatable and _is_denied(message, hit, language)
            if words not in known and not denied:
                quoted = len(known) < _MOST_EVIDENCE
                known[words] = message.excerpt(hit.start, hit.stop, _EVIDENCE) if quoted else ""
    return {
        name: Seen(len(known), tuple(filter(None, known.values()))) for name, known in quotes.items() if known
    }


def _is_denied(message: Message, hit: _Hit, language: Language | None) -> bool:
    return is_negated(message.words, hit.start, message.clause(hit.start), language)


def _structure(message: Message, amounts: list[Amount]) -> dict[str, Seen]:
    """Signals that need no language: links, sums of money, capitals."""
    found: dict[str, Seen] = {}
    if message.links:
        shown = tuple(link[:_EVIDENCE] for link in dict.fromkeys(message.links))
        found["link"] = Seen(1, shown[:1])
        if len(shown) > 1 or any(map(_is_doubtful, message.links)):
            found["links"] = Seen(min(len(shown), 3), shown[:2])
    if named := [amount for amount in amounts if amount.named]:
        first = message.source[named[0].start : named[0].stop].strip()
        found["amount"] = Seen(1, (first,))
    letters = [c for c in message.source[:2_000] if c.isalpha()]
    if len(letters) >= _SHOUT_LETTERS and sum(map(str.isupper, letters)) >= _SHOUT_SHARE * len(letters):
        found["shouting"] = Seen(1, ("capital letters",))
    return found


def _is_doubtful(link: str) -> bool:
    host = link.lower().removeprefix("https://").removeprefix("http://").partition("/")[0]
    return (
        host.endswith(_DOUBTFUL_ENDINGS)
        or host.replace(".", "").isdigit()
        or any(name in link.lower() for name in _SHORTENERS)
    )
