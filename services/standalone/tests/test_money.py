"""Money in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadline_contracts.scoring import AiSpend
from leadline_standalone.money import dollars, spent_text


@pytest.mark.parametrize(
    ("nano_usd", "shown", "bound"),
    [
        (0, "$0.00", "$0.00"),
        (1, "$0.0001", "$0.0001"),
        (495_900, "$0.0005", "$0.0005"),
        (1_140_000, "$0.0011", "$0.0012"),
        (104_000_000, "$0.10", "$0.11"),
        (10_000_000_000, "$10.00", "$10.00"),
        (1_234_567_000_000_000, "$1,234,567.00", "$1,234,567.00"),
    ],
)
def test_amounts_are_shown_as_exactly_as_they_matter(nano_usd: int, shown: str, bound: str) -> None:
    """Cents, below one cent hundredths of it, and never nothing for what costs something."""
    assert (dollars(nano_usd), dollars(nano_usd, up=True)) == (shown, bound)


@given(st.integers(0, 10**15))
def test_a_bound_is_never_shown_too_low(nano_usd: int) -> None:
    """What is said to be the most is at least the most."""
    assert float(dollars(nano_usd, up=True).replace("$", "").replace(",", "")) * 1e9 >= nano_usd - 1


def test_a_run_without_requests_tells_of_no_tokens() -> None:
    """Where every answer was there already the line says that nothing was spent, and for how many leads."""
    spend = AiSpend(source="anthropic", assessor="claude-haiku-5-5", cached=2_000)
    assert spent_text(spend) == (
        "claude-haiku-5-5: nothing was spent; 2,000 leads answered from what was paid for before."
    )


def test_all_input_counts() -> None:
    """Tokens read from and written to the provider's cache are input too, and failed requests are named."""
    spend = AiSpend(
        source="anthropic",
        assessor="m",
        calls=3,
        failed_calls=1,
        input_tokens=1_000,
        cache_read_tokens=200,
        cache_write_tokens=30,
        output_tokens=400,
        nano_usd=20_000_000,
    )
    assert spent_text(spend) == (
        "m: 3 requests (1 brought nothing usable), 1,230 input and 400 output tokens, $0.02."
    )
