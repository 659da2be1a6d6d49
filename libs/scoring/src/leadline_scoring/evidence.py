"""How a lead's own text is quoted in the evidence of a score."""

from leadline_text.clip import clip, one_line

_LIMIT = 80


def excerpt(text: str) -> str:
    """Return the beginning of `text` on one line of at most 80 characters."""
    return clip(one_line(text[: 2 * _LIMIT]), _LIMIT, "...")
