"""Reading the upload form as it arrives."""

from collections.abc import AsyncIterator

import pytest

from leadline_contracts.errors import Problem
from leadline_ingest.prospects.multipart import UploadForm
from leadline_testing.tables import every_row

from .builders import FORM, csv_of, form_of

FILE = csv_of(40)


async def read(body: bytes, size: int = 64) -> tuple[UploadForm, bytes]:
    """Read a body that comes in pieces of so many bytes; return the form and what its file holds."""
    taken = bytearray()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), size):
            yield body[start : start + size]
        yield b""

    async def take(piece: bytes) -> None:
        taken.extend(piece)

    form = UploadForm(FORM["Content-Type"])
    await form.read(pieces(), take)
    return form, bytes(taken)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 61, 1_000_000])
async def test_how_the_body_is_cut_changes_nothing(size: int) -> None:
    """The network may cut a form anywhere, also within its boundary and headers."""
    form, taken = await read(form_of(("offer_id", b" abc "), ("file", FILE)), size)
    assert (taken, form.fields.get("offer_id")) == (FILE, "abc")


async def test_a_file_may_hold_what_looks_like_a_boundary() -> None:
    """Only the whole delimiter at the start of a line ends the file."""
    tricky = b"name\r\n--cu\r\n--cutter is fine? no\r\n-\r\r\n--"
    with pytest.raises(Problem):
        await read(form_of(("file", tricky)))
    harmless = b"name\r\n--cu\r\n-- cut\r\n-\r\r\n--"
    assert (await read(form_of(("file", harmless)), 3))[1] == harmless


@pytest.mark.parametrize(
    "parts", [[("offer_id", b"abc"), ("file", FILE)], [("file", FILE), ("offer_id", b"abc")]]
)
async def test_the_offer_may_come_before_or_after_the_file(parts: list[tuple[str, bytes]]) -> None:
    """Clients order the parts of a form as they like."""
    form, taken = await read(form_of(*parts))
    assert (taken, form.fields.get("offer_id")) == (FILE, "abc")


@pytest.mark.parametrize("value", [b"", b"  "])
async def test_an_empty_offer_field_is_no_offer(value: bytes) -> None:
    """A browser sends a field that was left empty."""
    assert (await read(form_of(("offer_id", value), ("file", FILE))))[0].fields["offer_id"] == ""


@every_row("end", [1, 30, 90, 600, -1, -3, -5, -10])
async def test_a_body_that_ends_early_is_refused(end: int) -> None:
    """A file is whole only where its closing boundary came."""
    with pytest.raises(Problem) as refused:
        await read(form_of(("file", FILE)).rstrip()[:end])
    assert (refused.value.status, refused.value.title) == (400, "Broken upload")


@every_row(
    ("body", "status", "title"),
    [
        (form_of(("file", FILE), ("file", FILE)), 422, "Two files"),
        (form_of(("other", FILE)), 422, "No file"),
        (form_of(("offerid", b"x"), ("file", FILE)), 422, "Invalid fields"),
        (form_of(("offer_id", b"abc")), 422, "No file"),
        (form_of(), 422, "No file"),
        (form_of(("offer_id", b"x" * 16_385), ("file", FILE)), 422, "Field too long"),
        (form_of(*[("offer_id", b"x")] * 20, ("file", FILE)), 400, "Broken upload"),
        (b"name,role\nAda,CTO\n", 400, "Broken upload"),
        (b"--cut\r\nContent-Type: text/csv\r\n\r\nname\r\n--cut--\r\n", 400, "Broken upload"),
        (b"--cut\r\n" + b"X" * 5_000, 400, "Broken upload"),
    ],
)
async def test_a_form_that_is_no_upload_is_refused_by_what_is_wrong(
    body: bytes, status: int, title: str
) -> None:
    """Each mistake has a title of its own, and the detail says how to send a file."""
    with pytest.raises(Problem) as refused:
        await read(body)
    assert (refused.value.status, refused.value.title) == (status, title)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=cut",
    ],
)
def test_a_body_of_another_kind_is_refused_before_it_is_read(content_type: str) -> None:
    """A body that cannot be used is refused before any of it is read, however large it is."""
    with pytest.raises(Problem) as refused:
        UploadForm(content_type)
    assert refused.value.status == 415
