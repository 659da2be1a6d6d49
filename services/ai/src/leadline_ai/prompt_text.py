"""Text on its way into a prompt, and out of a model's answer."""

import json
import re
from typing import Any

from pydantic import ValidationError

from leadline_contracts.envelope import describe

_UNSEEN = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
_encode = json.JSONEncoder(ensure_ascii=False).encode


def one_line(text: str) -> str:
    """Return `text` as one line of plain text: no control characters, no marks that reorder what is read."""
    return _UNSEEN.sub(" ", text).strip()


def fence(data: dict[str, Any]) -> str:
    """Return the data as JSON fit to stand in a tag: none of its text can close the tag or open another."""
    text = _encode(data)
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def first_fault(error: ValidationError) -> str:
    """Name the first wrong field; a key of the model's own making may hold lead text and is not named."""
    first = error.errors(include_url=False, include_input=False)[0]
    match first["type"]:
        case "extra_forbidden":
            return "a key that was not asked for"
        case "json_invalid":
            return "it is no whole JSON"
        case _:
            return describe(error)
