"""What a person wrote, apart from what their mail program added: quoted replies, headers, signatures."""

from dataclasses import dataclass
from functools import cache

from leadline_inbound.message import Message, normalise, read_body, words_of
from leadline_inbound.wordlists import book, fields, word_set
from leadline_text.phrases import Phrases

_LINE = 200
_LOOKED_AT = 200  # lines that may begin a quotation
_FOOT = 10  # lines of text in which a sign-off is looked for
_NAME_WORDS = 3


@dataclass(frozen=True, slots=True)
class _Marks:
    sign_offs: Phrases[bool]
    replies: Phrases[bool]
    originals: Phrases[bool]
    headers: frozenset[str]


@cache
def _marks() -> _Marks:
    data = fields().sign_off
    return _Marks(book(data.phrases), book(data.replies), book(data.originals), word_set(data.headers))


def read_message(text: str) -> Message:
    """Reads what a person wrote; the whole where nothing else would be left. Never raises."""
    whole = normalise(text)
    lines = _own_lines(whole.split("\n"))
    lines, signed = _without_signature(lines)
    message = read_body("\n".join(lines), signed)
    return message if message.words or message.links else read_body(whole)


def _own_lines(lines: list[str]) -> list[str]:
    kept: list[str] = []
    looked = 0
    for index, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith(">"):
            continue
        if stripped == "--":
            break
        if (looked < _LOOKED_AT and stripped[-1:] in {":", "-"}) or ":" in stripped[:12]:
            looked += 1
            if looked < _LOOKED_AT and _begins_quotation(stripped, lines[index + 1 : index + 2]):
                break
        kept.append(line)
    return kept


def _begins_quotation(line: str, following: list[str]) -> bool:
    words = words_of(line[-_LINE:])
    if line.endswith(":") and _marks().replies.find(words):
        return True
    if line.startswith(("--", "__")) and _marks().originals.find(words):
        return True
    header = len(words) > 2 and words[0] in _marks().headers and words[1] == ":"
    return header and any(":" in after[:12] for after in following)


def _without_signature(lines: list[str]) -> tuple[list[str], str | None]:
    below: list[str] = []
    for index in range(len(lines) - 1, -1, -1):
        line = lines[index].strip()
        if not line:
            continue
        rest = _after_sign_off(line)
        if rest is not None:
            named = [rest] if rest else below[-1:]
            added = [after for after in reversed(below) if after.lower().startswith(("ps", "p.s"))]
            return lines[:index] + added, named[0] if named else None
        below.append(line)
        if len(below) > _FOOT or "?" in line:
            break
    return lines, None


def _after_sign_off(line: str) -> str | None:
    """What follows a sign-off on its line; None where the line is none."""
    if len(line) > _LINE:
        return None
    words = words_of(line)
    found = _marks().sign_offs.find(words)
    if not found or found[0].start > 0:
        return None
    rest = words[found[0].stop :]
    if not any(word.isalnum() for word in rest):
        return ""
    name = line.partition(",")[2].strip()
    return name if rest[0] == "," and name.istitle() and len(rest) <= _NAME_WORDS + 1 else None
