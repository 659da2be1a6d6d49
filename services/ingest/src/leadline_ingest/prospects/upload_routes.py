"""Uploads over HTTP."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from leadline_common.clock import Clock
from leadline_common.http.idempotency import STREAMED, RequestAttempt, digest_of
from leadline_common.ids import made_at
from leadline_contracts.errors import Problem
from leadline_ingest.metrics import IngestMetrics
from leadline_ingest.prospects.files.formats import refuse_other_signatures
from leadline_ingest.prospects.multipart import UploadForm
from leadline_ingest.prospects.offer_routes import Cursor, Limit, page_after, page_headers
from leadline_ingest.prospects.offers import known_offer, known_upload, one_offer
from leadline_ingest.prospects.rejected_rows import rejected_csv
from leadline_ingest.prospects.report import UploadReport
from leadline_ingest.prospects.spool import SpoolRoom, spooled
from leadline_ingest.prospects.store import ProspectStore, Upload
from leadline_ingest.prospects.table import CsvRefused
from leadline_ingest.prospects.upload_memory import UploadMemory
from leadline_ingest.prospects.upload_request import NAMES, read_options
from leadline_ingest.prospects.uploads import UploadReceiver, receiving

InQuery = Annotated[str | None, QueryParameter(description="as the form field of that name")]
MapInQuery = Annotated[str | None, QueryParameter(name="map", description="as the form field of that name")]
MAX_UPLOAD = 2_000_000_000
"""Bytes of an upload; about ten million rows."""
_UPLOAD_FORM = Schema(
    type=OpenAPIType.OBJECT,
    required=["file"],
    properties={
        "file": Schema(
            type=OpenAPIType.STRING,
            format=OpenAPIFormat.BINARY,
            description="a CSV, alone or in gzip or ZIP, or .xlsx",
        ),
        "offer_id": Schema(type=OpenAPIType.STRING, description="score these against this offer only"),
        "encoding": Schema(type=OpenAPIType.STRING, description="of a text, such as windows-1251"),
        "map": Schema(
            type=OpenAPIType.STRING,
            description="which columns hold a field, as JSON; whatever is left out is guessed",
            examples=['{"role": "Current Job", "name": ["First", "Last"]}'],
        ),
        "duplicates": Schema(
            type=OpenAPIType.STRING,
            enum=["skip", "keep"],
            default="skip",
            description="whether a prospect that is known is stored again",
        ),
        "dry_run": Schema(
            type=OpenAPIType.BOOLEAN,
            default=False,
            description="report what would be taken, and store nothing",
        ),
    },
)


@dataclass
class _UploadOperation(Operation):
    """The body, which Litestar cannot see since the route reads it as it arrives."""

    def __post_init__(self) -> None:
        content = {"multipart/form-data": OpenAPIMediaType(schema=_UPLOAD_FORM)}
        self.request_body = RequestBody(content=content, required=True)


def upload_routes(
    store: ProspectStore, clock: Clock, metrics: IngestMetrics
) -> list[ControllerRouterHandler]:
    """Return the routes for uploads."""
    memory, room = UploadMemory(), SpoolRoom()

    @post(
        ["/leads/upload", "/leads/upload/{for_offer:str}"],
        summary="Upload a CSV of prospects",
        tags=["prospects"],
        request_max_body_size=MAX_UPLOAD,
        operation_class=_UploadOperation,
        opt={STREAMED: True},
        dependencies={"wanted": Provide(_in_query)},
    )
    async def upload_leads(
        request: Request[Any, Any, Any],
        owner: NamedDependency[str],
        attempt: NamedDependency[RequestAttempt],
        wanted: NamedDependency[dict[str, str]],
        for_offer: FromPath[str | None] = None,
    ) -> UploadReport:
        """A CSV in the form field `file`.

        Whatever else is said of it may stand in the form, before or after the file, or in the query.
        """
        form = UploadForm(request.headers.get("content-type", ""))
        if for_offer is not None:
            await known_offer(store, owner, for_offer)
        file = sha256()
        async with spooled(room) as spool:

            async def take(piece: bytes) -> None:
                file.update(piece)
                await spool.write(piece)
                with _refusals():
                    refuse_other_signatures(spool.head)

            await form.read(request.stream(), take)
            await spool.flush()
            content = json.dumps([form.fields, file.hexdigest()], sort_keys=True)
            await attempt.bind(digest_of(request.scope, content.encode()))
            if attempt.repeated and (before := await _left_by_first(store, owner, attempt.object_id)):
                return before
            options = read_options(wanted | form.fields)
            offer_id = one_offer(for_offer, options.offer_id)
            if offer_id is not None:
                await known_offer(store, owner, offer_id)
            options = replace(options, offer_id=offer_id, charset=form.charset)
            with _refusals():
                taker = UploadReceiver(store, owner, clock, memory, options, upload_id=attempt.object_id)
            async with receiving(taker) as receiver:
                with _refusals():
                    async for piece in spool.pieces():
                        await receiver.feed(piece)
                    report = await receiver.commit()
        metrics.count_rejected("upload", report.rejected_count)
        return report

    @get("/uploads", summary="List uploads", tags=["prospects"])
    async def list_uploads(
        request: Request[Any, Any, Any],
        owner: NamedDependency[str],
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> Response[list[UploadView]]:
        """The files that were uploaded, the newest first, each with what became of its rows."""
        uploads = await store.uploads(owner, page_after(cursor), limit + 1)
        shown = [_view(upload) for upload in uploads[:limit]]
        return Response(shown, headers=page_headers(request, [one.id for one in uploads], limit))

    @get("/uploads/{upload_id:str}", summary="One upload", tags=["prospects"])
    async def show_upload(upload_id: FromPath[str], owner: NamedDependency[str]) -> UploadView:
        """What became of an uploaded file: the same as its upload was answered."""
        return _view(await known_upload(store, owner, upload_id))

    @get("/uploads/{upload_id:str}/errors.csv", summary="The rejected rows of an upload", tags=["prospects"])
    async def rejected_rows(upload_id: FromPath[str], owner: NamedDependency[str]) -> Stream:
        """The rejected rows as they came, with row number, column and reason; the first 100,000 of them."""
        upload = await known_upload(store, owner, upload_id)
        titles = [column.title for column in upload.columns]
        return Stream(
            rejected_csv(titles, store.rejected(upload.id)),
            media_type="text/csv",
            headers={"Content-Disposition": 'attachment; filename="errors.csv"'},
        )

    return [upload_leads, list_uploads, show_upload, rejected_rows]


async def _left_by_first(store: ProspectStore, owner: str, upload_id: str) -> UploadReport | None:
    """Return what an earlier attempt at this upload made ready; forget what another left behind."""
    await store.drop_upload(upload_id)
    upload = await store.upload(owner, upload_id)
    return upload.report if upload else None


class UploadView(UploadReport):
    """An upload as it was answered, with when it came and the offer it is for, if it is for one only."""

    offer_id: str | None
    uploaded_at: datetime | None


def _view(upload: Upload) -> UploadView:
    report = upload.report or UploadReport(
        upload_id=upload.id,
        inserted=0,
        rejected_count=0,
        rejected=[],
        warnings=["An older version took this file and kept no report of it."],
    )
    return UploadView(**report.model_dump(), offer_id=upload.offer_id, uploaded_at=made_at(upload.id))


async def _in_query(
    *,
    offer_id: InQuery = None,
    mapped: MapInQuery = None,
    encoding: InQuery = None,
    duplicates: InQuery = None,
    dry_run: InQuery = None,
) -> dict[str, str]:
    """What the query says of a file, as the form may say it."""
    given = (offer_id, mapped, encoding, duplicates, dry_run)
    return {name: value for name, value in zip(NAMES, given, strict=True) if value is not None}


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer a file of no use with its reason."""
    try:
        yield
    except CsvRefused as refused:
        raise Problem(refused.status, "Unusable file", refused.reason) from None
