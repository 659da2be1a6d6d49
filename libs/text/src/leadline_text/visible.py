"""Text as a person sees it: without characters that leave no mark, every kind of space as a blank."""

import re

_JOINED = "\u0600-\u10ff\u1780-\u18af\ua840-\uabff\ufb50-\ufdff\ufe70-\ufefc"
"""Letters of scripts in which a joiner changes the shape of a word: Arabic, the Indic ones, Mongolian."""
_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]+"
)
_LOOSE_JOINER = re.compile(f"(?<![{_JOINED}])[\u200c\u200d]+|[\u200c\u200d]+(?![{_JOINED}])")
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000]")


def visible(text: str) -> str:
    """Return `text` without the characters that leave no mark, and with a blank for every other space.

    Zero-width spaces, soft hyphens, byte order marks, direction marks, variation selectors and the like go.
    A zero-width joiner or non-joiner stays between two letters of a script that spells with them. What is
    kept or sent on is the text itself; this is for reading it.
    """
    if text.isascii():
        return text
    return _SPACE.sub(" ", _LOOSE_JOINER.sub("", _HIDDEN.sub("", text)))
