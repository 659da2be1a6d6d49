"""Which legacy encoding a file is in, told by how likely the text is that each would make of it."""

import codecs
import re
from dataclasses import dataclass
from typing import Any

from leadline_ingest.prospects.files.letters import languages

_WESTERN = ("de", "fr", "es", "pt", "it", "sv", "da", "no", "fi")
_CENTRAL = ("pl", "cs", "sk", "hu", "hr", "ro", "sl")
_CANDIDATES: dict[str, tuple[tuple[str, ...], float]] = {
    # The languages that it is used for, and how much less usual than Windows-1252 it is (a logarithm).
    "cp1252": (_WESTERN, 0.0),
    "cp1250": (_CENTRAL, -1.0),
    "cp1251": (("ru", "uk", "bg"), -1.0),
    "gb18030": (("zh",), -1.0),
    "cp1254": (("tr",), -2.0),
    "cp1253": (("el",), -2.0),
    "cp932": (("ja",), -2.0),
    "big5": (("zh-tw",), -2.0),
    "cp949": (("ko",), -2.0),
    "mac_roman": (_WESTERN, -3.0),
    "iso8859-2": (_CENTRAL, -3.0),
    "koi8-r": (("ru",), -3.0),
    "cp866": (("ru",), -3.0),
    "cp850": (_WESTERN, -4.0),
    "cp852": (_CENTRAL, -4.0),
}
_UNREADABLE = -12.0  # for each cell
_CERTAIN = 8.0  # a lead over the next that is hardly ever wrong
_CELLS = 100
_CELL_BYTES = 200
_BETWEEN_CELLS = re.compile(rb'[\r\n\t,;"]+')  # none of these is part of a character in any of the encodings


@dataclass(frozen=True, slots=True)
class Guess:
    """The likeliest encoding, and a cell that the next likeliest reads otherwise, "" where there is none."""

    encoding: str
    certain: bool
    cell: str


@dataclass(frozen=True, slots=True)
class _Reading:
    encoding: str
    likelihood: float
    texts: list[str]


def guess_encoding(sample: bytes) -> Guess:
    """The encoding of text that is not UTF-8; a sample of some dozen kilobytes is enough."""
    found = (cell.strip()[:_CELL_BYTES] for cell in _BETWEEN_CELLS.split(sample) if not cell.isascii())
    cells = [*dict.fromkeys(found)][:_CELLS]
    readings = sorted((_read(cells, encoding) for encoding in _CANDIDATES), key=lambda one: -one.likelihood)
    best = readings[0]
    other = next((reading for reading in readings if reading.texts != best.texts), None)
    if other is None:
        return Guess(best.encoding, True, "")
    cell = next(mine for mine, its in zip(best.texts, other.texts, strict=True) if mine != its)
    return Guess(best.encoding, best.likelihood - other.likelihood >= _CERTAIN, cell)


def _read(cells: list[bytes], encoding: str) -> _Reading:
    codes, usual = _CANDIDATES[encoding]
    spoken: list[Any] = [languages()[code] for code in codes]
    texts = [_decode(cell, encoding) for cell in cells]
    likelihood = max(sum(language.likelihood(text, spoken) for text in texts) for language in spoken)
    damaged = sum("\ufffd" in text for text in texts)
    return _Reading(encoding, likelihood + usual + _UNREADABLE * damaged, texts)


def _decode(cell: bytes, encoding: str) -> str:
    return codecs.getincrementaldecoder(encoding)("replace").decode(cell)  # it may be cut within a character
