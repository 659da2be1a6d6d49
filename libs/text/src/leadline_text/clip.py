"""Text made short enough to show: cut to a length, and put on one line."""


def clip(text: str, limit: int, ellipsis: str = "…", *, trim: bool = False) -> str:
    """Return `text`, or its beginning and an ellipsis, in at most `limit` characters.

    With `trim`, no white space stands before the ellipsis.
    """
    if len(text) <= limit:
        return text
    start = text[: limit - len(ellipsis)]
    return (start.rstrip() if trim else start) + ellipsis


def one_line(text: str) -> str:
    """Return `text` with each run of white space as one blank, and none at its ends."""
    return " ".join(text.split())


def printable(text: str) -> str:
    """Return `text` of the same length, with blanks for line breaks and control characters."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
