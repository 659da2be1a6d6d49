"""Rate limits from a provider's headers, whose names are in lower case; times in seconds."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from leadline_common.clock import now

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return for how long the headers ask for no request, None where they do not or make no sense.

    `retry-after` holds seconds or a date (RFC 9110, 10.2.3); `retry-after-ms` is finer, and OpenAI's.
    """
    in_ms = _number(headers.get("retry-after-ms", ""))
    if in_ms is not None:
        return in_ms / 1_000
    asked = headers.get("retry-after", "")
    seconds = _number(asked)
    if seconds is not None:
        return seconds
    try:
        return _until(parsedate_to_datetime(asked))
    except ValueError:
        return None


def cooldown(headers: Mapping[str, str]) -> float:
    """Return for how long no further request will be taken: until no limit is used up, 0 where none is.

    Each limit has a header with what remains and one with its reset, named alike: a moment as of RFC 3339
    (https://platform.claude.com/docs/en/api/rate-limits), or a duration such as `6m0s`
    (https://developers.openai.com/api/docs/guides/rate-limits).
    """
    resets = (
        headers.get(name.replace("remaining", "reset"), "")
        for name, left in headers.items()
        if left == "0" and "ratelimit" in name and "remaining" in name
    )
    return max(map(_to_reset, resets), default=0.0)


def duration(text: str) -> float | None:
    """Return what `1s`, `6m0s` or `20ms` means, None for anything else."""
    if not re.fullmatch(f"(?:{_PART})+", text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, text))


def _to_reset(text: str) -> float:
    if (seconds := duration(text)) is not None:
        return seconds
    try:
        return _until(datetime.fromisoformat(text))
    except ValueError:
        return 0.0


def _until(moment: datetime) -> float:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (aware - now()).total_seconds())


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
