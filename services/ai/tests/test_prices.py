"""What tokens cost, what a request may cost at most, and the files that say so."""

import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_ai.budget.prices import NANO_PER_USD, Price, input_tokens, tokens
from leadline_ai.providers.port import Question, Usage
from leadline_contracts.errors import SettingsError
from leadline_testing.tables import every_row

KNOWN = tomllib.loads(files("leadline_ai").joinpath("prices.toml").read_text(encoding="utf-8"))

RATES = st.integers(0, 100_000).map(lambda thousandths: thousandths / 1_000)
PRICES = st.builds(Price, input=RATES, output=RATES, cache_read=RATES, cache_write=RATES)
QUESTIONS = st.builds(
    Question,
    system=st.text(max_size=300),
    prefix=st.text(max_size=300),
    body=st.text(max_size=300),
    schema=st.just({"type": "object"}),
    max_tokens=st.integers(1, 20_000),
)


@pytest.mark.parametrize("model", KNOWN)
def test_every_model_of_the_price_file_has_a_price(model: str) -> None:
    """A slip in the file shows here; an answer costs more than its question, and what is cached less."""
    price = Price.of(model)
    assert 0 < price.cache_read < price.input < price.output
    assert price.cache_write >= price.input


@pytest.mark.parametrize(
    ("usage", "nano_usd"),
    [
        (Usage(), 0),
        (Usage(input_tokens=1), 100),
        (Usage(output_tokens=1), 500),
        (Usage(cache_read_tokens=1), 10),
        (Usage(cache_write_tokens=1), 125),
        (Usage(input_tokens=1_000_000, output_tokens=1_000_000), 600_000_000),
        (Usage(input_tokens=1, output_tokens=10, cache_read_tokens=100, cache_write_tokens=1_000), 131_100),
    ],
)
def test_each_kind_of_token_costs_its_own_rate(usage: Usage, nano_usd: int) -> None:
    """Dollars a million tokens become whole 10^-9 dollars a token, nothing rounded away."""
    cost = Price.of("claude-haiku-5-5").cost(usage)
    assert type(cost) is int
    assert cost == nano_usd


def test_a_rate_finer_than_the_unit_is_rounded_for_the_call_not_for_the_token() -> None:
    """A token at 0.3 of 10^-9 dollars is not free."""
    price = Price(input=0.0003, output=0)
    assert [price.cost(Usage(input_tokens=count)) for count in (1, 10, 10_000)] == [0, 3, 3_000]


def test_a_cache_rate_that_is_not_given_is_that_of_input() -> None:
    """A provider that caches unasked is not booked as free of charge."""
    price = Price(input=2, output=8)
    for usage in (Usage(input_tokens=50), Usage(cache_read_tokens=50), Usage(cache_write_tokens=50)):
        assert price.cost(usage) == 50 * 2_000


@given(price=PRICES, question=QUESTIONS, data=st.data())
def test_no_call_costs_more_than_was_set_aside(price: Price, question: Question, data: st.DataObject) -> None:
    """However input is split between fresh, read and written, and however long the answer: it is covered."""
    sent = input_tokens(question)
    read = data.draw(st.integers(0, sent))
    written = data.draw(st.integers(0, sent - read))
    usage = Usage(
        input_tokens=sent - read - written,
        cache_read_tokens=read,
        cache_write_tokens=written,
        output_tokens=data.draw(st.integers(0, question.max_tokens)),
    )
    assert price.cost(usage) <= price.bound(question)


@given(question=QUESTIONS)
def test_a_bound_is_reached_and_not_far_off(question: Question) -> None:
    """The worst call costs the bound itself: a budget is not eaten by reserves that nothing can need."""
    price = Price(input=1, output=5, cache_read=0.1, cache_write=1.25)
    worst = Usage(cache_write_tokens=input_tokens(question), output_tokens=question.max_tokens)
    assert price.bound(question) == price.cost(worst)


def test_tokens_are_rather_over_than_underestimated() -> None:
    """English has about 4 bytes a token and Chinese about 3, so neither is ever guessed too low."""
    english = "Leads growth at a software company in the north. " * 20
    chinese = "负责一家软件公司的增长业务。" * 20
    assert len(english) / 4 < tokens(english) < len(english) / 2
    assert tokens(chinese) > len(chinese)


def test_all_that_is_sent_is_estimated() -> None:
    """Instructions, offer, leads and schema are billed alike."""
    short = Question(system="a", prefix="b", body="c", schema={}, max_tokens=1)
    long = "x" * 3_000
    assert input_tokens(short) < 10
    for part in ({"system": long}, {"prefix": long}, {"body": long}, {"schema": {"description": long}}):
        asked = Question(**{"system": "a", "prefix": "b", "body": "c", "schema": {}, "max_tokens": 1, **part})  # type: ignore[arg-type]
        assert input_tokens(asked) >= 1_000


def test_a_prefix_is_marked_for_the_cache_only_where_it_is_surely_long_enough() -> None:
    """A mark on too short a prefix does nothing, so the texts together must have 4 bytes a needed token."""
    price = Price(input=1, output=5, cache_from=1_000)
    assert price.caches("x" * 2_000, "y" * 2_100)
    assert price.caches("é" * 2_050)
    assert not price.caches("x" * 1_900, "y" * 1_900)
    assert not Price(input=1, output=5).caches("x" * 1_000_000)


def test_own_prices_come_before_the_ones_that_ship(tmp_path: Path) -> None:
    """A model of one's own, or one at other terms, is taken from the given file; the rest stay known."""
    own = tmp_path / "own.toml"
    own.write_text('["local"]\ninput = 0\noutput = 0\n["gpt-5.4-mini"]\ninput = 7\noutput = 9.5\n')
    assert Price.of("local", own).cost(Usage(input_tokens=10**9)) == 0
    assert Price.of("gpt-5.4-mini", own) == Price(input=7, output=9.5)
    assert Price.of("gpt-6-luna", own) == Price.of("gpt-6-luna")
    assert Price.of("gpt-5.4-mini") != Price.of("gpt-5.4-mini", own)


def test_a_model_without_a_price_is_refused_with_what_to_write() -> None:
    """No budget can be kept without a price; the text shows the file to write and the variable to set."""
    with pytest.raises(SettingsError) as raised:
        Price.of("gpt-9", None)
    for word in ("LEADLINE_AI_MODEL", '["gpt-9"]', "input =", "output =", "LEADLINE_AI_PRICES", "US dollars"):
        assert word in str(raised.value)


@every_row(
    ("text", "told"),
    [
        ('["m"]\noutput = 1', "m.input: Field required"),
        ('["m"]\ninput = 1', "m.output: Field required"),
        ('["m"]\ninput = -1\noutput = 1', "m.input: Input should be greater than or equal to 0"),
        ('["m"]\ninput = nan\noutput = 1', "m.input: Input should be a finite number"),
        ('["m"]\ninput = 1\noutput = inf', "m.output: Input should be a finite number"),
        ('["m"]\ninput = "cheap"\noutput = 1', "m.input"),
        ('["m"]\ninput = 1\noutput = 1\ncached = 0.1', "m.cached"),
        ('["m"]\ninput = 1\noutput = 1\ncache_from = 0', "m.cache_from"),
        ("input = 1\noutput = 1", "input: Input should be a valid dictionary"),
        ("[gpt-5.4-mini]\ninput = 1\noutput = 1", "its name in quotes"),
        ("input: 1", "is not TOML"),
        ("\udcff", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_price_file_is_told_by_its_name_and_place(
    tmp_path: Path, text: str | None, told: str
) -> None:
    """A slip in one's own file stops the start with the variable, the file and the field in one line."""
    own = tmp_path / "own.toml"
    if text is not None:
        own.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError) as raised:
        Price.of("gpt-5.4-mini", own)
    assert str(raised.value).startswith(f"LEADLINE_AI_PRICES: {own}")
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_dollar_has_a_thousand_million_units() -> None:
    """Settings are in dollars, everything kept is in their 10^-9: a million tokens at $1 are one of them."""
    assert Price(input=1, output=0).cost(Usage(input_tokens=1_000_000)) == NANO_PER_USD
