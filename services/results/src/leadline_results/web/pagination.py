"""Paging links, and places in the ranked list as opaque text for them."""

import base64
import json
from collections.abc import Iterable
from typing import Annotated
from urllib.parse import urlencode

from pydantic import Field, TypeAdapter

from leadline_contracts.errors import Problem
from leadline_results.runs.store import Position

_PARTS = TypeAdapter(tuple[Annotated[int, Field(ge=-1, le=100)], str, str])


def write_cursor(position: Position) -> str:
    """Return a position as URL-safe text."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def read_cursor(text: str) -> Position:
    """Read what `write_cursor` wrote. Raises Problem (400) for anything else."""
    try:
        written = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return Position(*_PARTS.validate_json(written, strict=True))
    except ValueError:  # what base64 and pydantic raise are such
        raise bad_cursor() from None


def bad_cursor() -> Problem:
    """Return what is raised for a cursor that is none of ours."""
    return Problem(
        400, "Bad cursor", "Follow the `next` address of the Link header as it is, or leave `cursor` out."
    )


def next_link(path: str, query: Iterable[tuple[str, str]], cursor: str) -> str:
    """Return the Link header (RFC 8288) to the next page: the same request with another cursor."""
    kept = [(name, value) for name, value in query if name != "cursor"]
    return f'<{path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
