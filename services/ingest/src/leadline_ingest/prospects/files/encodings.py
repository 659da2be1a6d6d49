"""The names of encodings: those that a person may give, and those that Leadline answers with."""

import codecs
import re

from leadline_ingest.prospects.files.refusal import CsvRefused

USUAL = (
    "utf-8, utf-16, windows-1252 (Western Europe), windows-1250 (Central Europe), windows-1251 (Cyrillic), "
    "windows-1253 (Greek), windows-1254 (Turkish), macintosh, iso-8859-2, gb18030, big5, shift_jis"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}")
_NO_FILES = frozenset(
    {"idna", "mbcs", "oem", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"}
)
"""What Python counts among its text encodings and no file is written in."""
_OTHER_NAMES = {"macintosh": "mac_roman"}
_SHOWN = {"mac-roman": "macintosh", "ascii": "us-ascii"}


def find_encoding(name: str) -> str:
    """The codec of a name such as "windows-1251", "CP1251" or "latin1", as Python spells it.

    Raises CsvRefused (422) where there is none.
    """
    name = name.strip()
    try:
        found = codecs.lookup(_OTHER_NAMES.get(name.casefold(), name) if _NAME.fullmatch(name) else "")
    except (LookupError, ValueError):
        found = None
    if found is None or not found._is_text_encoding or found.name.replace("_", "-") in _NO_FILES:
        shown = name if _NAME.fullmatch(name) else "the given name"
        raise CsvRefused(422, f"There is no encoding {shown}. The usual ones are {USUAL}.")
    return found.name.removesuffix("-sig")  # a byte order mark is looked for in any case


def shown_name(codec: str) -> str:
    """The usual name of a codec: "windows-1251" for cp1251."""
    name = codec.replace("_", "-")
    if codec[:4] == "cp12" and codec[2:].isdigit():
        return f"windows-{codec[2:]}"
    return _SHOWN.get(name, re.sub(r"^iso8859-", "iso-8859-", name))


def is_like_ascii(codec: str) -> bool:
    """Whether ASCII text reads the same in it."""
    plain = bytes(range(32, 127)) + b"\t\r\n"
    try:
        return plain.decode(codec) == plain.decode("ascii")
    except UnicodeError:
        return False
