"""Offers and uploads over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from litestar import Request, post
from litestar.di import NamedDependency
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from leadline_common.clock import Clock
from leadline_common.ids import new_id
from leadline_contracts.errors import Problem
from leadline_contracts.scoring import Offer, OfferSpec
from leadline_ingest.metrics import IngestMetrics
from leadline_ingest.prospects.csv import CsvRefused
from leadline_ingest.prospects.csv.formats import refuse_other_signatures
from leadline_ingest.prospects.multipart import UploadForm
from leadline_ingest.prospects.offers import known_offer, one_offer
from leadline_ingest.prospects.report import UploadReport
from leadline_ingest.prospects.spool import SpoolRoom, spooled
from leadline_ingest.prospects.store import ProspectStore
from leadline_ingest.prospects.upload_request import read_options
from leadline_ingest.prospects.uploads import UploadMemory, UploadReceiver, receiving

MAX_UPLOAD = 2_000_000_000
"""Bytes of an upload; about ten million rows."""
_UPLOAD_FORM = Schema(
    type=OpenAPIType.OBJECT,
    required=["file"],
    properties={
        "file": Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="the CSV"),
        "offer_id": Schema(type=OpenAPIType.STRING, description="score these against this offer only"),
    },
)


@dataclass
class _UploadOperation(Operation):
    """The body, which Litestar cannot see since the route reads it as it arrives."""

    def __post_init__(self) -> None:
        content = {"multipart/form-data": OpenAPIMediaType(schema=_UPLOAD_FORM)}
        self.request_body = RequestBody(content=content, required=True)


def prospect_routes(
    store: ProspectStore, clock: Clock, metrics: IngestMetrics
) -> list[ControllerRouterHandler]:
    """Return the routes for offers and uploads."""
    memory, room = UploadMemory(), SpoolRoom()

    @post("/offer", summary="Create an offer", tags=["offers"])
    async def create_offer(data: JSONBody[OfferSpec], owner: NamedDependency[str]) -> Offer:
        """What is sold, why, and for whom; the newest offer is what POST /score scores against."""
        offer = Offer(id=new_id(), **data.model_dump())
        await store.add_offer(owner, offer, inline=False)
        return offer

    @post(
        ["/leads/upload", "/leads/upload/{for_offer:str}"],
        summary="Upload a CSV of prospects",
        tags=["prospects"],
        request_max_body_size=MAX_UPLOAD,
        operation_class=_UploadOperation,
    )
    async def upload_leads(
        request: Request[Any, Any, Any], owner: NamedDependency[str], for_offer: FromPath[str | None] = None
    ) -> UploadReport:
        """A CSV in the form field `file`.

        Whatever else is said of it may stand in the form, before or after the file, or in the query.
        """
        form = UploadForm(request.headers.get("content-type", ""))
        if for_offer is not None:
            await known_offer(store, owner, for_offer)
        async with spooled(room) as spool:

            async def take(piece: bytes) -> None:
                await spool.write(piece)
                with _refusals():
                    refuse_other_signatures(spool.head)

            await form.read(request.stream(), take)
            await spool.flush()
            options = read_options({**request.query_params, **form.fields})
            offer_id = one_offer(for_offer, options.offer_id)
            if offer_id is not None:
                await known_offer(store, owner, offer_id)
            options = replace(options, offer_id=offer_id)
            async with receiving(UploadReceiver(store, owner, clock, memory, options)) as receiver:
                with _refusals():
                    async for piece in spool.pieces():
                        await receiver.feed(piece)
                    report = await receiver.commit()
        metrics.count_rejected("upload", report.rejected_count)
        return report

    return [create_offer, upload_leads]


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer a file of no use with its reason."""
    try:
        yield
    except CsvRefused as refused:
        raise Problem(refused.status, "Unusable file", refused.reason) from None
