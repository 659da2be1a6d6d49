"""The REST door: offers, uploads and requests to score."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import OpenAPIMediaType, OpenAPIType, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from leadline_common.ids import new_id
from leadline_contracts.errors import Problem
from leadline_contracts.scoring import Offer, OfferSpec
from leadline_ingest.metrics import IngestMetrics
from leadline_ingest.prospects.csv import CsvRefused
from leadline_ingest.prospects.multipart import UploadForm
from leadline_ingest.prospects.uploads import UploadMemory, UploadReceiver, UploadReport, receiving
from leadline_ingest.runs.service import RunProgress, RunRequest, Runs, known_offer
from leadline_ingest.store import IngestStore

MAX_UPLOAD = 2_000_000_000
"""Bytes of an upload; about ten million rows."""
DEFAULT_WAIT = 2.0
MAX_WAIT = 60.0
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


@dataclass
class _ScoreOperation(Operation):
    """A body that may be left out, which Litestar documents as required."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False


def ingest_routes(
    store: IngestStore, runs: Runs, clock: Callable[[], datetime], metrics: IngestMetrics
) -> list[ControllerRouterHandler]:
    """Return the routes that take things in."""
    memory = UploadMemory()

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
        """Form field `file`, and `offer_id` where the prospects are for one offer only."""
        form = UploadForm(request.headers.get("content-type", ""))
        if for_offer is not None:
            await known_offer(store, owner, for_offer)
        async with receiving(UploadReceiver(store, owner, clock, memory)) as receiver:
            try:
                await form.read(request.stream(), receiver.feed)
                offer_id = _one_offer(for_offer, form.offer_id)
                if offer_id is not None:
                    await known_offer(store, owner, offer_id)
                report = await receiver.commit(offer_id)
            except CsvRefused as refused:
                raise Problem(refused.status, "Unusable file", refused.reason) from None
        metrics.count_rejected("upload", report.rejected_count)
        return report

    @post(
        ["/score", "/score/{for_offer:str}"],
        summary="Score prospects against an offer",
        tags=["runs"],
        status_code=200,
        responses={202: ResponseSpec(RunProgress, description="Under way; ask at `Location` how far it is")},
        operation_class=_ScoreOperation,
    )
    async def score(
        request: Request[Any, Any, Any],
        owner: NamedDependency[str],
        data: JSONBody[RunRequest | None] = None,
        for_offer: FromPath[str | None] = None,
    ) -> Response[RunProgress]:
        """Every prospect not yet scored against the offer, with `refresh` those scored before as well.

        Waits two seconds, or as `Prefer` says.
        """
        wanted = data or RunRequest()
        wanted = wanted.model_copy(update={"offer_id": _one_offer(for_offer, wanted.offer_id)})
        run = await runs.start(owner, wanted)
        preferences = ", ".join(request.headers.getall("prefer", []))
        progress, finished = await runs.wait(run, _wait_seconds(preferences))
        return Response(
            progress, status_code=200 if finished else 202, headers={"Location": f"/runs/{run.id}"}
        )

    return [create_offer, upload_leads, score]


def _one_offer(in_path: str | None, in_body: str | None) -> str | None:
    """Return the offer that is named. Raises Problem (422) where path and body name two."""
    if in_path is not None and in_body not in {None, in_path}:
        raise Problem(422, "Two offers", "The path and the body name different offers; name one.")
    return in_path or in_body


def _wait_seconds(prefer: str) -> float:
    """Read `Prefer: wait=N` and `respond-async` (RFC 7240); anything else in the header is left alone."""
    wait = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6}(?:\.\d{1,3})?)", prefer, re.IGNORECASE)
    if wait:
        return min(float(wait[1]), MAX_WAIT)
    if re.search(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", prefer, re.IGNORECASE):
        return 0.0
    return DEFAULT_WAIT
