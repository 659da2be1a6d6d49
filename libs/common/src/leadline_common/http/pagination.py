"""Cursors as opaque text, and the Link header that leads to the next page."""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from pydantic import TypeAdapter

from leadline_contracts.errors import Problem

T = TypeVar("T")


def write_cursor(values: Sequence[int | str]) -> str:
    """Return the values as URL-safe text."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def read_cursor(text: str, shape: TypeAdapter[T]) -> T:
    """Return what `write_cursor` wrote. Raises Problem (400) for text that does not hold the shape."""
    try:
        written = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return shape.validate_json(written, strict=True)
    except ValueError:  # what base64 and pydantic raise are such
        raise bad_cursor() from None


def bad_cursor() -> Problem:
    """Return the problem to raise for a cursor that is none of ours."""
    return Problem(
        400, "Bad cursor", "Follow the `next` address of the Link header as it is, or leave `cursor` out."
    )


def next_link(path: str, query: Iterable[tuple[str, str]], cursor: str) -> str:
    """Return the Link header (RFC 8288) to the next page: the same request with another cursor."""
    kept = [(name, value) for name, value in query if name != "cursor"]
    return f'<{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
