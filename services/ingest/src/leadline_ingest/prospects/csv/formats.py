"""Recognises the files that people upload in place of a CSV, by how they begin."""

import re

from leadline_ingest.prospects.csv.outcome import CsvRefused

_SAVE_AS = "In Excel choose File > Save As > CSV UTF-8 and upload that file."
_EXPORT = "Export the table behind it as CSV and upload that file."
_XLSX = f"This is an Excel workbook (.xlsx), not a CSV. {_SAVE_AS}"
_XLS = f"This is an Excel workbook of the old kind (.xls), not a CSV. {_SAVE_AS}"
_ZIP = (
    "This is a ZIP archive, as Excel workbooks are too, not a CSV. "
    "Unpack it and upload the CSV inside; a workbook save as CSV UTF-8 first."
)
_IMAGE = "This is an image, not a CSV. Upload the table itself, saved as CSV UTF-8."
_HTML = "This is a web page, not a CSV; perhaps a login or error page was saved. Download the CSV again."
_JSON = "This is JSON, not a CSV. Convert it to a CSV with a header row and upload that file."
_XML = f"This is XML, not a CSV. {_SAVE_AS}"
_UTF16 = "This is UTF-16 text without a byte order mark. Save it as CSV UTF-8 and upload that file."
_BINARY = "This is a binary file, not a CSV. Save the table as CSV UTF-8 and upload that file."

_SIGNATURES = {
    b"PK\x05\x06": _ZIP,
    b"\xd0\xcf\x11\xe0": _XLS,
    b"%PDF-": f"This is a PDF, not a CSV. {_EXPORT}",
    b"\x1f\x8b": "This is a gzip archive, not a CSV. Unpack it and upload the CSV inside.",
    b"\x89PNG": _IMAGE,
    b"\xff\xd8\xff": _IMAGE,
    b"GIF8": _IMAGE,
    b"\xff\xfe\x00\x00": "This is UTF-32 text. Save it as CSV UTF-8 and upload that file.",
    b"\x00\x00\xfe\xff": "This is UTF-32 text. Save it as CSV UTF-8 and upload that file.",
}
_MARKUP = {"<!doctype": _HTML, "<html": _HTML, "<?xml": _XML, "{": _JSON, "[": _JSON}
_OFFICE_PARTS = (b"[Content_Types].xml", b"docProps/", b"xl/")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_SAMPLE = 4096  # characters


def refuse_other_signatures(head: bytes) -> None:
    """Raise CsvRefused (400) where the first bytes of a file tell that it is no CSV."""
    reason = _by_signature(head)
    if reason:
        raise CsvRefused(400, reason)


def refuse_other_formats(head: bytes, text: str) -> None:
    """Raise CsvRefused (400) where a file that begins with ``head``, decoded as ``text``, is no CSV."""
    reason = _by_signature(head) or _by_markup(text) or _by_control_characters(head, text)
    if reason:
        raise CsvRefused(400, reason)


def _by_signature(head: bytes) -> str | None:
    if head.startswith(b"PK\x03\x04"):
        return _XLSX if any(part in head for part in _OFFICE_PARTS) else _ZIP
    return next((reason for magic, reason in _SIGNATURES.items() if head.startswith(magic)), None)


def _by_markup(text: str) -> str | None:
    start = text[:_SAMPLE].lstrip().lower()
    return next((reason for mark, reason in _MARKUP.items() if start.startswith(mark)), None)


def _by_control_characters(head: bytes, text: str) -> str | None:
    """A NUL in the first line, or many control characters; a few further down make bad rows."""
    sample = text[:_SAMPLE]
    first_line = re.split(r"[\r\n]", sample.lstrip(), maxsplit=1)[0]
    if "\0" not in first_line and len(_CONTROL.findall(sample)) <= 10 + len(sample) // 10:
        return None
    return _UTF16 if _every_other_byte_is_nul(head[:64]) else _BINARY


def _every_other_byte_is_nul(data: bytes) -> bool:
    even, odd = data[::2].count(0), data[1::2].count(0)
    return len(data) > 3 and min(even, odd) == 0 and max(even, odd) * 3 >= len(data)
