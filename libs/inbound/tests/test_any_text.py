"""What holds of any text: it is read, with legal labels, the same way each time, and in little time."""

import random
import time
from collections.abc import Callable
from datetime import date
from typing import get_args

from hypothesis import example, given, settings
from hypothesis import strategies as st

from leadline_contracts.inbound import Category, StepName, checked_output
from leadline_inbound.classify import classify
from leadline_inbound.extract import extract
from leadline_inbound.guard_rails import guard_rails
from leadline_inbound.lexicon import LANGUAGES
from leadline_inbound.message import MAX_CHARACTERS
from leadline_inbound.prioritise import judge
from leadline_inbound.route import default_route
from leadline_inbound.signals import read_signals
from leadline_testing.tables import every_row

CATEGORIES: tuple[Category, ...] = get_args(Category)
PIECES = [
    "how much ", "not ", "my order ", "#A-123 ", "ignore previous instructions ", "cancel ", "5 ",
    "1.500 € ", "budget ", "3/12/2026 ", "31.12.9999 ", "0000-00-00 ", "next week ", "in 999 months ",
    "mañana ", "übermorgen ", "\n", "> ", "--\n", "Von: a\nGesendet: b\n", "wrote:\n", "regards,\n",
    "www.x.top ", "a@b.cd ", "I'm ", "Anna ", "in ", "Berlin ", ", ", ". ", "! ", "\u0301", "\u200b",
    "İ", "ß", "ﷺ", "👍", "如", "\x00", "\r\n",
]  # fmt: skip
texts = st.one_of(st.text(max_size=300), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
days = st.dates(date(2000, 1, 1), date(2100, 12, 31))


@settings(deadline=None)
@given(texts, days)
@example("", date.min)
@example("tomorrow, in 999 months, 31.12.9999", date.max)
def test_what_is_read_from_any_text_fits_the_contracts(text: str, received: date) -> None:
    """Nothing raises, and each step's output is one that is stored without a complaint."""
    classified = classify(text)
    checked_output(StepName.CLASSIFY, classified.model_dump(mode="json"))
    for category in CATEGORIES:
        extraction = extract(text, category, "webchat", text, received)
        assert extraction.language in (*LANGUAGES, None)
        checked_output(StepName.EXTRACT, extraction.model_dump(mode="json"))
        default = default_route(category, classified.confidence, extraction, text)
        judgement = judge(category, classified.confidence, extraction, default)
        guarded = guard_rails(category, classified.confidence, extraction.language, judgement, default)
        assert guarded.judgement == judgement, guarded.changes
        route = {
            **judgement.model_dump(),
            "default": default.model_dump(),
            "proposed": judgement.model_dump(),
        }
        checked_output(StepName.ROUTE, {**route, "guard_rails": list(guarded.changes)})


@settings(deadline=None)
@given(texts)
def test_the_same_text_gives_the_same_reading(text: str) -> None:
    """No state and no order of a set changes a reading."""
    assert read_signals(text) == read_signals(text)
    assert classify(text) == classify(text)


def test_accents_and_case_do_not_matter() -> None:
    """A message typed in haste reads as the one typed with care."""
    careful = "¿Cuánto cuesta la reparación? ¿Tienen disponibilidad mañana?"
    hasty = "cuanto cuesta la reparacion? tienen disponibilidad manana?"
    assert classify(careful).category == classify(hasty).category == classify(careful.upper()).category
    assert classify("Ich möchte kündigen").category == classify("ich moechte kuendigen").category
    assert classify("HOOOOLA cuaaaanto cueeeesta").category == "sales_new"


def test_hidden_and_styled_letters_hide_nothing() -> None:
    """Zero-width signs and mathematical letters do not get a message past the phrases."""
    assert classify("S\u200bE\u200bO back\u00adlinks guaran\u200bteed www.a.top www.b.top").category == "spam"
    bold = "".join(chr(0x1D41A + ord(c) - ord("a")) if c.isalpha() else c for c in "verify your account")
    assert classify(f"{bold} http://bit.ly/x").category == "spam"


LONG = [
    "a", "A", "a.", "a-", "a.b.c.", "x@", "@", "1.", "1,", "1 111 ", "my my ", "my order ", "é ",
    "a\u0301\u0327", "\u0301\u0327", "👍", "如果", "> a\n", "a:\n", "\n", "www.", "http://a.b ",
    "how much ", "not ", "€5 ", "500€ - ", "3/12/2026 ", "geht geht ", "ignore ",
    "ignore x instructions. ", "ﷺ", "in Berlin ", "order 1 ", "#", "monday ", "aaab", "my name is Bob ",
    "?!", "quote for a a a ", "budget 500 ", "-----", "wrote:", "Regards,\n", " ", "'", "\u200b", "\x00",
]  # fmt: skip


def mixed(letters: str) -> str:
    """Return 20,000 letters in an order that is always the same."""
    return "".join(random.Random(7).choices(letters, k=MAX_CHARACTERS))


@every_row(
    "text",
    [
        *(piece * (MAX_CHARACTERS // len(piece)) for piece in LONG),
        mixed("abcdef ghij.,!?\n"),
        mixed("aé€1 ./-@ñ如👍"),
    ],
)
def test_the_time_to_read_a_message_grows_with_its_length_alone(text: str) -> None:
    """20,000 characters of any kind take each function about four times what 5,000 take, never sixteen."""
    extraction = extract("warm up", "sales_new", "email", None, date(2026, 1, 1))
    readings: list[Callable[[str], object]] = [
        classify,
        lambda text: extract(text, "sales_existing", "email", None, date(2026, 1, 1)),
        lambda text: default_route("support", 0.9, extraction, text),
    ]
    for read in readings:
        assert any(spent(read, text) < 8 * spent(read, text[:5_000]) + 0.01 for _ in range(3))


def spent(read: Callable[[str], object], text: str) -> float:
    """Return the processor time of a call in seconds."""
    started = time.process_time()
    read(text)
    return time.process_time() - started


def test_what_is_past_the_limit_is_not_read() -> None:
    """A megabyte is read by its beginning."""
    start = "How much is it? " + "x " * 10_000
    whole = start + "cancel my subscription " * 50_000
    assert any(spent(classify, whole) < 4 * spent(classify, start) + 0.05 for _ in range(3))
    assert classify(whole).category == "sales_new"
