"""An upload form, read while it arrives: field values are kept, the file is passed on piece by piece."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from leadline_common.http.names import not_known
from leadline_common.http.problems import wrong_fields
from leadline_contracts.errors import Problem
from leadline_ingest.prospects.upload_request import NAMES

_MAX_FIELD = 16_384
_FIELDS = ("file", *NAMES)
_HOW = "Send it as a form: curl -F file=@leads.csv ADDRESS"


class UploadForm:
    """A form with one file part named `file` and maybe fields, before or after the file.

    `charset` is what the Content-Type of the file part says.
    """

    def __init__(self, content_type: str) -> None:
        """Raise Problem (415) where the body is no such form."""
        kind, options = parse_options_header(content_type)
        boundary = options.get("boundary")
        if kind != "multipart/form-data" or not boundary:
            raise Problem(415, "Not an upload form", f"The body must be multipart/form-data. {_HOW}")
        self._parser = PushMultipartParser(boundary, max_segment_count=20)
        self._field: bytearray | None = None
        self._name = ""
        self.fields: dict[str, str] = {}
        self.charset: str | None = None
        self.has_file = False

    async def read(self, body: AsyncIterator[bytes], take: Callable[[bytes], Awaitable[None]]) -> None:
        """Read the whole body and hand the file's pieces to `take`.

        Raises Problem (400) where the form is broken or ends early, (422) where it has no file.
        """
        async for piece in body:
            for event in self._parse(piece):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event is None:
                    self._end()
                elif self._field is None:
                    if self._name == "file":
                        await take(bytes(event))
                else:
                    self._gather(event)
        with _told_plainly():
            self._parser.close()
        if not self.has_file:
            raise Problem(422, "No file", f"The form has no file part named `file`. {_HOW}")

    def _parse(self, piece: bytes) -> Iterator[MultipartSegment | bytearray | None]:
        with _told_plainly():
            if piece and not self._parser.closed:
                yield from self._parser.parse(piece)

    def _begin(self, segment: MultipartSegment) -> None:
        self._name = segment.name
        is_file = segment.name == "file"
        self._field = None if is_file else bytearray()
        if segment.filename is None and segment.name not in _FIELDS:
            raise wrong_fields([not_known(segment.name, _FIELDS)])
        if segment.filename is not None and not is_file:
            raise Problem(422, "No file", f"The file must be in a form part named `file`. {_HOW}")
        if is_file and self.has_file:
            raise Problem(422, "Two files", "The form has more than one file; upload them one by one.")
        if is_file:
            self.has_file = True
            self.charset = segment.charset

    def _gather(self, piece: bytearray) -> None:
        if self._field is not None:
            self._field += piece
            if len(self._field) > _MAX_FIELD:
                raise Problem(
                    422, "Field too long", f"A form field besides `file` may hold {_MAX_FIELD} bytes."
                )

    def _end(self) -> None:
        if self._name in NAMES and self._field is not None:
            self.fields[self._name] = self._field.decode("utf-8", "replace").strip()
        self._field = None
        self._name = ""


@contextmanager
def _told_plainly() -> Iterator[None]:
    try:
        yield
    except MultipartError:
        raise Problem(
            400, "Broken upload", f"The form is malformed or ended early; nothing of it was taken. {_HOW}"
        ) from None
