"""Places in the ranked list as opaque text, for paging links."""

import base64
import binascii
import json

from leadline_common.errors import Problem
from leadline_results.store import Position


def write_cursor(position: Position) -> str:
    """Return a position as URL-safe text."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def read_cursor(text: str) -> Position:
    """Read what `write_cursor` wrote. Raises Problem (400) for anything else."""
    try:
        score, lead_id, run_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return Position(int(score), str(lead_id), str(run_id))
    except (binascii.Error, ValueError, TypeError):
        raise Problem(
            400, "Bad cursor", "Follow the `next` address of the Link header as it is, or leave `cursor` out."
        ) from None
