"""Shortening text."""

import pytest

from leadline_text.clip import clip, one_line, printable


@pytest.mark.parametrize(
    ("text", "limit", "clipped"),
    [
        ("", 5, ""),
        ("abcde", 5, "abcde"),
        ("abcdef", 5, "abcd…"),
        ("abc def", 5, "abc …"),
    ],
)
def test_clip_keeps_to_the_limit(text: str, limit: int, clipped: str) -> None:
    """What fits is kept as it is; of what does not, the ellipsis is part of the limit."""
    assert clip(text, limit) == clipped


def test_another_ellipsis_and_no_blank_before_it() -> None:
    """Evidence that is stored keeps the form that it has always had."""
    assert clip("abc defgh", 7, "...") == "abc ..."
    assert clip("abc defgh", 7, "...", trim=True) == "abc..."


def test_text_on_one_line() -> None:
    """No run of white space and no control character is left."""
    assert one_line(" a\n\n b\t") == "a b"
    assert printable("a\x00b\nc é") == "a b c é"
