"""Small files of prospects, each in an encoding that is known."""

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

WORDS = tomllib.loads(Path(__file__).with_name("encoding_words.toml").read_text(encoding="utf-8"))
_WESTERN = ("cp1252", "mac_roman", "cp850")
_CENTRAL = ("cp1250", "iso8859-2", "cp852")
ENCODINGS = {
    **dict.fromkeys(("de", "fr", "es", "pt"), _WESTERN),
    **dict.fromkeys(("pl", "cs", "hu"), _CENTRAL),
    "ru": ("cp1251", "koi8-r", "cp866"),
    "uk": ("cp1251",),
    "bg": ("cp1251",),
    "el": ("cp1253",),
    "tr": ("cp1254",),
    "zh": ("gb18030",),
    "zh-tw": ("big5",),
    "ja": ("cp932",),
}
_UNSPACED = {"zh", "zh-tw", "ja"}
_ENGLISH = (
    "Sarah Miller;CEO;Bright Labs;SaaS;Boston",
    "Tom Becker;Head of Sales;Acme Corp;Retail;London",
    "Grace Kim;CTO;Northwind;Software;Austin",
    "Paul Turner;Marketing Manager;Blue River Foods;Food;Denver",
)


class EncodedFile(NamedTuple):
    """`group` says which encoding it has, and whether all of its rows or one name alone is not English."""

    group: str
    language: str
    encoding: str
    text: str
    data: bytes


def encoded_files(part: str) -> Iterator[EncodedFile]:
    """Files of 1, 3, 10 and 100 rows from one part of the words: fitted, held_out, or rows."""
    for language, encodings in ENCODINGS.items():
        for encoding in encodings:
            for count in (1, 3, 10, 100):
                source = random.Random(f"{language} {encoding} {count} {part}")
                own = _rows(language, part, count, source)
                yield from _file("full", language, encoding, own)
                name = own[0].split(";", 1)[0]
                english = source.choices(_ENGLISH, k=count)
                at = source.randrange(count)
                english[at] = ";".join([name, *english[at].split(";")[1:]])
                yield from _file("one name", language, encoding, english)


def _file(kind: str, language: str, encoding: str, rows: list[str]) -> Iterator[EncodedFile]:
    text = "\r\n".join(["name;role;company;industry;location", *rows, ""])
    data = text.encode(encoding, "ignore")
    if not data.isascii():
        yield EncodedFile(f"{encoding}, {kind}", language, encoding, data.decode(encoding), data)


def _rows(language: str, part: str, count: int, source: random.Random) -> list[str]:
    if part == "rows":
        return source.sample(lines := WORDS[language]["rows"].split("\n")[:-1], min(count, len(lines)))
    words = WORDS[language][part].split()
    space = "" if language in _UNSPACED else " "
    lengths = (2, 2, 2, 1, 1)
    return [";".join(space.join(source.sample(words, n)) for n in lengths) for _ in range(count)]
