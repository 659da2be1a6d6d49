"""What headers say about when to come again."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from leadline_ai.providers.rate_limits import cooldown, duration, retry_after
from leadline_testing.tables import every_row


@every_row(
    ("headers", "seconds"),
    [
        ({"retry-after": "7.5"}, 7.5),
        ({"retry-after": "0"}, 0),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "tomorrow"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_unless_it_is_nonsense(headers: dict[str, str], seconds: float | None) -> None:
    """The caller waits for a finite time that somebody asked for, or decides on its own."""
    assert retry_after(headers) == seconds


@pytest.mark.parametrize("zone", [UTC, None])
def test_retry_after_may_be_a_date(zone: timezone | None) -> None:
    """RFC 9110 allows both; a date without a zone is in UTC."""
    moment = datetime.now(UTC) + timedelta(seconds=60)

    asked = retry_after({"retry-after": format_datetime(moment.replace(tzinfo=zone))})

    assert asked is not None
    assert 58 < asked <= 60


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("1h2m3.5s", 3_723.5),
        ("", None),
        ("7", None),
        ("soon", None),
    ],
)
def test_durations_are_read_as_providers_write_them(text: str, seconds: float | None) -> None:
    """OpenAI's resets and Gemini's pauses share a form."""
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("left", "reset", "seconds"),
    [("0", "6m0s", 360), ("3", "6m0s", 0), ("0", "soon", 0), ("0", "2015-10-21T07:28:00Z", 0)],
)
def test_only_a_used_up_limit_with_a_readable_reset_asks_for_rest(
    left: str, reset: str, seconds: float
) -> None:
    """A header in an unknown form stops nothing."""
    headers = {"x-ratelimit-remaining-tokens": left, "x-ratelimit-reset-tokens": reset}

    assert cooldown(headers) == seconds
