"""Decodes a file piece by piece: by its byte order mark, else as UTF-8, else as Windows-1252."""

import codecs
import io

from leadline_ingest.prospects.csv.outcome import CsvRefused

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


class TextDecoder:
    """Bytes in, text out, the same text however the bytes are cut.

    A byte that UTF-8 cannot read means Windows-1252 from there on, if only ASCII came before
    (``guessed`` turns True). Otherwise the file is UTF-8 with a damaged place. Bytes that stay
    unreadable come out as lone surrogates (PEP 383), which no valid text contains.
    """

    def __init__(self) -> None:
        self.guessed = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self._ascii_so_far = True
        # Holds a CR back until it is known whether a LF follows, so that no CRLF is cut in two.
        self._line_ends = io.IncrementalNewlineDecoder(None, translate=False)

    def decode(self, data: bytes, final: bool = False) -> str:
        """The next text. The first ``data`` must hold the byte order mark, if there is one.

        Raises CsvRefused where a file declared as UTF-16 is not.
        """
        if self._decoder is None:
            mark, encoding = next((known for known in _MARKS if data.startswith(known[0])), (b"", "utf-8"))
            self._decoder = codecs.getincrementaldecoder(encoding)("strict")
            self._ascii_so_far = not mark
            data = data[len(mark) :]
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            text = self._recover(error, final)
        self._ascii_so_far = self._ascii_so_far and text.isascii()
        return self._line_ends.decode(text, final)

    def _recover(self, error: UnicodeDecodeError, final: bool) -> str:
        if error.encoding.startswith("utf-16"):
            raise CsvRefused(
                400,
                "The file says that it is UTF-16 but is damaged or cut off. "
                "Save it as CSV UTF-8 and upload that file.",
            ) from error
        unread = error.object  # what the decoder had held back, then the new data
        self.guessed = self._ascii_so_far and unread[: error.start].isascii()
        encoding = "cp1252" if self.guessed else "utf-8"
        self._decoder = codecs.getincrementaldecoder(encoding)("surrogateescape")
        return self._decoder.decode(unread, final)
