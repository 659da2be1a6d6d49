"""Decodes a file piece by piece, as long as one can be sure of its encoding while it arrives."""

import codecs
import io

from leadline_ingest.prospects.files.encodings import is_like_ascii, shown_name
from leadline_ingest.prospects.files.refusal import CsvRefused

# UTF-32 comes first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LOOKED_AT = 65_536  # bytes from the first beyond ASCII on, by which a file is UTF-8 or is not
_BEFORE = 4_096  # bytes before it, which a guess may want


class TextDecoder:
    """Bytes in, text out, the same text however the bytes are cut.

    The encoding is that of the byte order mark, else the one that was given, else UTF-16 where every other
    byte is NUL, else UTF-8 where what lies beyond ASCII is valid in it. Where it is not, ``unsure`` turns
    True and the rest, ``held``, waits to be decoded by ``decode_as``. Bytes that stay unreadable come out as
    lone surrogates (PEP 383), which no valid text contains.
    """

    def __init__(self, given: str | None = None) -> None:
        self.encoding: str | None = None  # None as long as there was nothing but ASCII
        self.unsure = False
        self.marked = False
        self.held = bytearray()  # from the first byte beyond ASCII on, until the encoding is known
        self.before = b""  # the ASCII text just before it
        self._given = given
        self._begun = False
        self._decoder: codecs.IncrementalDecoder | None = None
        # Holds a CR back until it is known whether a LF follows, so that no CRLF is cut in two.
        self._line_ends = io.IncrementalNewlineDecoder(None, translate=False)

    def decode(self, data: bytes, final: bool = False) -> str:
        """The next text. The first ``data`` must hold the byte order mark, if there is one.

        Raises CsvRefused where a file is not in the encoding that it declares, and cannot be read on.
        """
        if not self._begun:
            data = self._begin(data)
        if self.unsure:
            self.held += data
            return ""
        if self._decoder is None:
            return self._line_ends.decode(self._look(data, final), final and not self.unsure)
        return self._line_ends.decode(self._decoded(data, final), final)

    def decode_as(self, encoding: str) -> None:
        """Decode what is ``held``, and all that comes, in this encoding."""
        self.unsure = False
        self._decide(encoding)

    def _begin(self, data: bytes) -> bytes:
        self._begun = True
        mark, encoding = next((known for known in _MARKS if data.startswith(known[0])), (b"", None))
        self.marked = encoding is not None
        if encoding := encoding or self._given or _utf16_by_its_nuls(data[:64]):
            self._decide(encoding)
        return data[len(mark) :]

    def _decide(self, encoding: str) -> None:
        self.encoding = encoding
        # After a damaged place nobody knows where the next character of UTF-16 starts.
        errors = "surrogateescape" if is_like_ascii(encoding) else "strict"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)

    def _look(self, data: bytes, final: bool) -> str:
        """ASCII text is passed on; what begins beyond it is held until there is enough to tell."""
        if not self.held:
            if data.isascii():
                self.before = (self.before + data)[-_BEFORE:]
                return data.decode("ascii")
            start = next(at for at, byte in enumerate(data) if byte > 127)
            self.before = (self.before + data[:start])[-_BEFORE:]
            text = data[:start].decode("ascii")
            return text + self._look_at_rest(data[start:], final)
        return self._look_at_rest(data, final)

    def _look_at_rest(self, data: bytes, final: bool) -> str:
        self.held += data
        if len(self.held) < _LOOKED_AT and not final:
            return ""
        if not _is_utf8(bytes(self.held[:_LOOKED_AT]), final and len(self.held) <= _LOOKED_AT):
            self.unsure = True
            return ""
        self._decide("utf-8")
        held, self.held = bytes(self.held), bytearray()
        return self._decoded(held, final)

    def _decoded(self, data: bytes, final: bool) -> str:
        assert self._decoder is not None  # noqa: S101 - the callers have decided
        try:
            return self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            raise CsvRefused(
                400,
                f"The file says that it is {shown_name(error.encoding).upper()} but is damaged or cut off. "
                "Save it as CSV UTF-8 and upload that file.",
            ) from error


def _is_utf8(data: bytes, final: bool) -> bool:
    """Whether most of what lies beyond ASCII is valid in UTF-8; a place may be damaged."""
    text = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data, final)
    damaged = sum("\ud800" <= character <= "\udfff" for character in text)
    return damaged * 2 <= sum(character > "\x7f" for character in text)


def _utf16_by_its_nuls(data: bytes) -> str | None:
    even, odd = data[::2].count(0), data[1::2].count(0)
    if len(data) < 4 or min(even, odd) > 0 or max(even, odd) * 3 < len(data):
        return None
    return "utf-16-be" if even else "utf-16-le"
