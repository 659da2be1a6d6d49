"""The routes that start and cancel runs."""

import re
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Operation, RequestBody
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from leadline_common.http.idempotency import RequestAttempt
from leadline_ingest.prospects.offers import one_offer
from leadline_ingest.runs.service import RunProgress, Runs, ScoreRequest

DEFAULT_WAIT = 2.0
MAX_WAIT = 60.0


@dataclass
class _ScoreOperation(Operation):
    """A body that may be left out, which Litestar documents as required."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False


def run_routes(runs: Runs) -> list[ControllerRouterHandler]:
    """Return the routes that start and cancel runs."""

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
        attempt: NamedDependency[RequestAttempt],
        data: JSONBody[ScoreRequest | None] = None,
        for_offer: FromPath[str | None] = None,
    ) -> Response[RunProgress]:
        """Every prospect not yet scored against the offer, with `refresh` those scored before as well.

        Waits two seconds, or as `Prefer` says.
        """
        wanted = data or ScoreRequest()
        wanted = wanted.model_copy(update={"offer_id": one_offer(for_offer, wanted.offer_id)})
        run = await runs.start(owner, wanted, run_id=attempt.object_id)
        preferences = ", ".join(request.headers.getall("prefer", []))
        progress, finished = await runs.wait(run, _wait_seconds(preferences))
        return Response(
            progress, status_code=200 if finished else 202, headers={"Location": f"/runs/{run.id}"}
        )

    @post(
        "/runs/{run_id:str}/cancel",
        summary="Cancel a run",
        tags=["runs"],
        status_code=202,
    )
    async def cancel(owner: NamedDependency[str], run_id: FromPath[str]) -> Response[RunProgress]:
        """Nothing more of it is scored or paid for; what is scored stays. 409 where it had ended."""
        progress = await runs.cancel(owner, run_id)
        return Response(progress, status_code=202, headers={"Location": f"/runs/{run_id}"})

    return [score, cancel]


def _wait_seconds(prefer: str) -> float:
    """Read `Prefer: wait=N` and `respond-async` (RFC 7240); anything else in the header is left alone."""
    wait = re.search(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6}(?:\.\d{1,3})?)", prefer, re.IGNORECASE)
    if wait:
        return min(float(wait[1]), MAX_WAIT)
    if re.search(r"(?:^|[,;\s])respond-async(?:$|[,;\s])", prefer, re.IGNORECASE):
        return 0.0
    return DEFAULT_WAIT
