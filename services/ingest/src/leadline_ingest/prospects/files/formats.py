"""Recognises what a file is by how it begins, and refuses what holds no table that can be read."""

import re
from collections.abc import Set as AbstractSet
from enum import Enum, auto

from leadline_ingest.prospects.files.refusal import CsvRefused

_SAVE_AS = "In Excel choose File > Save As > CSV UTF-8 and upload that file."
_EXPORT = "Export the table behind it as CSV and upload that file."
_XLS = f"This is an Excel workbook of the old kind (.xls), or one with a password. {_SAVE_AS}"
_XLSB = f"This is a binary Excel workbook (.xlsb). {_SAVE_AS}"
_ODS = (
    "This is an OpenDocument spreadsheet (.ods). "
    "In LibreOffice choose File > Save As > Text CSV, UTF-8, and upload that file."
)
_NUMBERS = (
    "This is a Numbers document. In Numbers choose File > Export To > CSV, Unicode (UTF-8), "
    "and upload that file."
)
_DOCUMENT = f"This is a document or a presentation, not a table. {_EXPORT}"
_IMAGE = "This is an image, not a CSV. Upload the table itself, saved as CSV UTF-8."
_HTML = (
    "This is a web page, not a CSV; some systems export one under the name .xls, or a login page was saved. "
    f"Export the table as CSV instead, or open the file in Excel. {_SAVE_AS}"
)
_JSON = "This is JSON, not a CSV. Convert it to a CSV with a header row and upload that file."
_XML = f"This is XML, not a CSV. {_SAVE_AS}"
_BINARY = "This is a binary file, not a CSV. Save the table as CSV UTF-8 and upload that file."
_PACKED = "This is an archive of a kind that is not read. Unpack it and upload the CSV inside."
_NESTED = "The archive holds another archive or a workbook. Unpack it and upload what is inside by itself."

_SIGNATURES = {
    b"\xd0\xcf\x11\xe0": _XLS,
    b"\x09\x08\x10\x00": _XLS,
    b"\x09\x08\x08\x00": _XLS,
    b"%PDF-": f"This is a PDF, not a CSV. {_EXPORT}",
    b"\x89PNG": _IMAGE,
    b"\xff\xd8\xff": _IMAGE,
    b"GIF8": _IMAGE,
    b"7z\xbc\xaf\x27\x1c": _PACKED,
    b"Rar!": _PACKED,
    b"BZh": _PACKED,
    b"\xfd7zXZ\x00": _PACKED,
    b"\x28\xb5\x2f\xfd": _PACKED,
}
_MARKUP = {"<!doctype": _HTML, "<html": _HTML, "<table": _HTML, "<?xml": _XML, "{": _JSON, "[": _JSON}
_GZIP = b"\x1f\x8b"
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_SAMPLE = 4096  # characters


class Kind(Enum):
    """What can be read."""

    TEXT = auto()
    GZIP = auto()
    ZIP = auto()


def kind_of(head: bytes) -> Kind:
    """The kind of a file by its first bytes."""
    return Kind.GZIP if head.startswith(_GZIP) else Kind.ZIP if head.startswith(_ZIP) else Kind.TEXT


def refuse_other_signatures(head: bytes) -> None:
    """Raise CsvRefused (415) where the first bytes of a file tell that it holds no table."""
    reason = _by_signature(head) if kind_of(head) is Kind.TEXT else None
    if reason:
        raise CsvRefused(415, reason)


def refuse_other_formats(head: bytes, text: str) -> None:
    """Raise CsvRefused (415) where a file that begins with ``head``, decoded as ``text``, is no CSV."""
    reason = _by_signature(head) or _by_markup(text) or _by_control_characters(text)
    if reason:
        raise CsvRefused(415, reason)


def is_workbook(names: AbstractSet[str]) -> bool:
    """Whether a ZIP with these members is an Excel workbook. Raises CsvRefused (415) for other documents."""
    reason = None
    if "xl/workbook.bin" in names:
        reason = _XLSB
    elif any(name.startswith("Index/") or name == "Index.zip" for name in names):
        reason = _NUMBERS
    elif "content.xml" in names and "mimetype" in names:
        reason = _ODS
    elif "word/document.xml" in names or "ppt/presentation.xml" in names:
        reason = _DOCUMENT
    if reason:
        raise CsvRefused(415, reason)
    return "[Content_Types].xml" in names


def _by_signature(head: bytes) -> str | None:
    if kind_of(head) is not Kind.TEXT:
        return _NESTED
    return next((reason for magic, reason in _SIGNATURES.items() if head.startswith(magic)), None)


def _by_markup(text: str) -> str | None:
    start = text[:_SAMPLE].lstrip().lower()
    return next((reason for mark, reason in _MARKUP.items() if start.startswith(mark)), None)


def _by_control_characters(text: str) -> str | None:
    """A NUL in the first line, or many control characters; a few further down make bad rows."""
    sample = text[:_SAMPLE]
    first_line = re.split(r"[\r\n]", sample.lstrip(), maxsplit=1)[0]
    is_text = "\0" not in first_line and len(_CONTROL.findall(sample)) <= 10 + len(sample) // 10
    return None if is_text else _BINARY
