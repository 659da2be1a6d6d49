"""Places in the ranked list as opaque text, for paging links."""

import base64
import json
from typing import Annotated

from pydantic import Field, TypeAdapter

from leadline_common.errors import Problem
from leadline_results.store import Position

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
        raise Problem(
            400, "Bad cursor", "Follow the `next` address of the Link header as it is, or leave `cursor` out."
        ) from None
